"""What students really write in notebooks 10 and 12: wrong in a natural way, or right in an unusual one."""

import math
import re
import statistics
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stncourse import affine_grid
from stncourse.exercises import exercises_of
from stncourse.exercises.engine.observe import observe_answer

EXERCISES = {exercise.name: exercise for key in ("09", "10", "12") for exercise in exercises_of(key)}


def judged(name, attempt):
    exercise = EXERCISES[name]
    with mock.patch("stncourse.exercises.engine.observe.calls_that_end", lambda work, count, seconds: count):
        return exercise.judge(lambda calls: observe_answer(attempt, calls, getattr(exercise, "signature", None))).result


# Right


def middle_of_the_border_by_numpy(images):
    colours = []
    for channel in images.numpy().transpose(1, 0, 2, 3):
        inner = np.zeros(channel.shape[1:], dtype=bool)
        inner[1:-1, 1:-1] = True
        colours.append(np.median(channel[:, ~inner]) / 255)
    return torch.tensor(colours, dtype=torch.float32)


def middle_of_the_border_by_quantile(images):
    x = images.permute(1, 0, 2, 3).float() / 255
    parts = [x[:, :, 0], x[:, :, -1], x[:, :, 1:-1, 0], x[:, :, 1:-1, -1]]
    return torch.quantile(torch.cat([part.flatten(1) for part in parts], 1), 0.5, dim=1)


def middle_of_the_border_by_sorting(images):
    n, c, h, w = images.shape
    keep = [i * w + j for i in range(h) for j in range(w) if i in (0, h - 1) or j in (0, w - 1)]
    values = images.view(n, c, -1)[:, :, keep].permute(1, 0, 2).reshape(c, -1).sort(dim=1).values
    return values[:, values.shape[1] // 2] / 255  # the upper one of the middle two


def crop_by_matrices(crops, size):
    """Normalised output -> pixels of the crop -> normalised input."""
    h, w = size
    out = []
    for left, top, width, height in crops.double():
        to_pixels = torch.tensor(
            [[width / 2, 0, left + width / 2], [0, height / 2, top + height / 2], [0, 0, 1]], dtype=torch.float64
        )
        to_units = torch.tensor([[2 / w, 0, -1], [0, 2 / h, -1], [0, 0, 1]], dtype=torch.float64)
        out.append((to_units @ to_pixels)[:2])
    return torch.stack(out).to(crops.dtype)


def crop_by_three_corners(crops, size):
    """Three corners and where they have to land: six equations for six numbers."""
    lengths = torch.tensor([size[1], size[0]], dtype=crops.dtype)
    start, end = crops[:, :2], crops[:, :2] + crops[:, 2:]
    corners = torch.stack(
        [start, torch.stack([end[:, 0], start[:, 1]], 1), torch.stack([start[:, 0], end[:, 1]], 1)], 1
    )
    places = corners / lengths * 2 - 1
    output = torch.tensor([[-1, -1, 1], [1, -1, 1], [-1, 1, 1]], dtype=crops.dtype)
    return torch.linalg.solve(output.expand(len(crops), 3, 3), places).transpose(1, 2)


def crop_in_numpy(crops, size):
    theta = np.zeros((len(crops), 2, 3), dtype=crops.numpy().dtype)
    theta[:, [0, 1], [0, 1]] = crops[:, 2:].numpy() / np.array(size[::-1])
    theta[:, :, 2] = 2 * (crops[:, :2] + crops[:, 2:] / 2).numpy() / np.array(size[::-1]) - 1
    return torch.from_numpy(theta)


def moved_by_affine_grid(theta, size):
    identity = torch.eye(2, 3, dtype=theta.dtype).expand_as(theta)
    grids = [F.affine_grid(t, (len(theta), 1, *size), align_corners=False) for t in (theta, identity)]
    half = torch.tensor([size[1] / 2, size[0] / 2], dtype=theta.dtype)
    return ((grids[0] - grids[1]) * half).pow(2).sum(-1).sqrt().flatten(1).mean(1)


def moved_by_the_courses_grid(theta, size):
    still = affine_grid(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]], dtype=theta.dtype), size)
    dx, dy = (affine_grid(theta, size) - still).unbind(-1)
    return torch.hypot(dx * size[1] / 2, dy * size[0] / 2).mean((1, 2))


def moved_by_complex_numbers(theta, size):
    h, w = size
    x = (np.arange(w) + 0.5) * 2 / w - 1
    y = ((np.arange(h) + 0.5) * 2 / h - 1)[:, None]
    answers = []
    for (a, b, tx), (c, d, ty) in theta.double().numpy():
        to = (a * x + b * y + tx) * w / 2 + 1j * (c * x + d * y + ty) * h / 2
        answers.append(np.abs(to - (x * w / 2 + 1j * y * h / 2)).mean())
    return torch.tensor(answers, dtype=theta.dtype)


RIGHT = [
    ("fair_baseline", "equal"),
    ("fair_baseline", " Equal "),
    ("test_set_luck", 0.071),
    ("test_set_luck", np.float32(0.07053)),
    ("test_set_luck", torch.tensor([0.0705])),
    ("test_set_luck", 100 * (0.005 * 0.995 / 10_000) ** 0.5),
    ("mean_and_error", lambda errors: (errors.mean(), errors.std() / len(errors) ** 0.5)),
    (
        "mean_and_error",
        lambda errors: (statistics.fmean(e := errors.tolist()), statistics.stdev(e) / math.sqrt(len(e))),
    ),
    ("mean_and_error", lambda errors: [np.mean(e := errors.numpy()), np.std(e, ddof=1) / np.sqrt(e.size)]),
    ("mean_and_error", lambda errors: (errors.sum() / len(errors), (errors.var() / errors.numel()).sqrt())),
    ("where_to_tune", "validation"),
    ("where_to_tune", "VALIDATION"),
    ("steps_per_epoch", -(-12_500 // 64)),
    ("steps_per_epoch", np.int64(196)),
    ("steps_per_epoch", torch.tensor(196)),
    ("background_of", middle_of_the_border_by_numpy),
    ("background_of", middle_of_the_border_by_quantile),
    ("background_of", middle_of_the_border_by_sorting),
    ("theta_for_crop", crop_by_matrices),
    ("theta_for_crop", crop_by_three_corners),
    ("theta_for_crop", crop_in_numpy),
    ("moved_pixels", moved_by_affine_grid),
    ("moved_pixels", moved_by_the_courses_grid),
    ("moved_pixels", moved_by_complex_numbers),
]


@pytest.mark.parametrize(("name", "attempt"), RIGHT, ids=lambda value: value if isinstance(value, str) else None)
def test_right_in_an_unusual_way(name, attempt):
    result = judged(name, attempt)
    assert result.passed is True, result.message


# Wrong


def cut_theta(parameters):
    return torch.stack([torch.tensor([[s, 0.0, tx], [0.0, s, ty]]) for s, tx, ty in parameters.tolist()])


def cut_theta_of_its_type(parameters):
    rows = [[[s.item(), 0, tx.item()], [0, s.item(), ty.item()]] for s, tx, ty in parameters]
    return torch.tensor(rows, dtype=parameters.dtype)


def border_of(images):
    mask = torch.ones(images.shape[-2:], dtype=torch.bool)
    mask[1:-1, 1:-1] = False
    return images[:, :, mask]


def rows_and_columns(images):
    x = images.float() / 255
    sides = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], dim=2)
    return sides.transpose(0, 1).flatten(1).median(1).values


def crop_from_numbers(build):
    """build(left, top, width, height, H, W) -> the rows of one θ."""

    def attempt(crops, size):
        return torch.tensor([build(*crop, *size) for crop in crops.tolist()], dtype=crops.dtype)

    return attempt


def moved(distance, x_of=lambda j, w: (2 * j + 1) / w - 1):
    """distance(dx, dy, H, W), on tensors (N, H, W) in units of [−1, 1] -> (N,)."""

    def attempt(theta, size):
        h, w = size
        x = x_of(torch.arange(w, dtype=theta.dtype), w)[None, None]
        y = x_of(torch.arange(h, dtype=theta.dtype), h)[None, :, None]
        a, b, tx, c, d, ty = theta.reshape(-1, 6, 1, 1).unbind(1)
        return distance(a * x + b * y + tx - x, c * x + d * y + ty - y, h, w)

    return attempt


WRONG = [
    ("attention_theta", cut_theta, "gradient is cut"),
    ("attention_theta", cut_theta_of_its_type, "gradient is cut"),
    ("fair_baseline", "short", "learning rate of its own"),
    ("fair_baseline", "upright", "easier task"),
    ("fair_baseline", "paper", "no ±"),
    ("fair_baseline", "fair", "not one of"),
    ("test_set_luck", 0.0007053, "× 100"),
    ("test_set_luck", 0.000705, "× 100"),
    ("test_set_luck", np.float32(0.0007), "× 100"),
    ("test_set_luck", 7.0534, "number of digits"),
    ("test_set_luck", 7.05, "are digits"),
    ("test_set_luck", 7, "Seven digits"),
    ("test_set_luck", 0.5, "error itself"),
    ("test_set_luck", 49.75, "variance"),
    ("test_set_luck", 0.004975, "variance"),
    ("test_set_luck", 0.0, "is not it"),
    ("mean_and_error", lambda errors: (errors.mean(), errors.std()), "standard deviation"),
    ("mean_and_error", lambda errors: (errors.numpy().mean(), errors.numpy().std() / len(errors) ** 0.5), "n − 1"),
    ("mean_and_error", lambda errors: (errors.mean(), errors.std() / len(errors)), "divided by n"),
    ("mean_and_error", lambda errors: errors.mean(), "2 things"),
    ("where_to_tune", "test", "best of twelve"),
    ("where_to_tune", "both", "no longer honest"),
    ("where_to_tune", "train", "longest training"),
    ("steps_per_epoch", 50_000 / 64, "one process alone"),
    ("steps_per_epoch", 195, "round up"),
    ("steps_per_epoch", 195.3125, "round up"),
    ("steps_per_epoch", 50_000 / 64 / 16, "twice"),
    ("background_of", lambda images: border_of(images).float().median() / 255, "single number"),
    ("background_of", lambda images: border_of(images).float().mean((0, 2)) / 255, "mean"),
    ("background_of", lambda images: border_of(images).float().median(2).values / 255, "each image"),
    ("background_of", rows_and_columns, "counted twice"),
    ("background_of", lambda images: border_of(images).transpose(0, 1).flatten(1).median(1).values.float(), "255"),
    (
        "theta_for_crop",
        crop_from_numbers(
            lambda left, top, w, h, H, W: [[w / W, 0, (left + w / 2) / W], [0, h / H, (top + h / 2) / H]]
        ),
        "0 to 1",
    ),
    (
        "theta_for_crop",
        crop_from_numbers(lambda left, top, w, h, H, W: [[w / W, 0, 2 * left / W - 1], [0, h / H, 2 * top / H - 1]]),
        "centre",
    ),
    (
        "theta_for_crop",
        crop_from_numbers(
            lambda left, top, w, h, H, W: [[W / w, 0, (2 * left + w) / W - 1], [0, H / h, (2 * top + h) / H - 1]]
        ),
        "upside down",
    ),
    (
        "theta_for_crop",
        crop_from_numbers(
            lambda left, top, w, h, H, W: [[w / H, 0, (2 * left + w) / H - 1], [0, h / W, (2 * top + h) / W - 1]]
        ),
        "height first",
    ),
    (
        "theta_for_crop",
        crop_from_numbers(lambda left, top, w, h, H, W: [[w / W, 0, left + w / 2], [0, h / H, top + h / 2]]),
        "still in pixels",
    ),
    ("moved_pixels", moved(lambda dx, dy, h, w: (dx**2 + dy**2).sqrt().mean((1, 2))), r"units of \[−1, 1\]"),
    ("moved_pixels", moved(lambda dx, dy, h, w: torch.hypot(dx * w, dy * h).mean((1, 2))), "Twice too far"),
    ("moved_pixels", moved(lambda dx, dy, h, w: torch.hypot(dx * h / 2, dy * w / 2).mean((1, 2))), "swapped"),
    ("moved_pixels", moved(lambda dx, dy, h, w: torch.hypot(dx * w / 2, dy * h / 2).amax((1, 2))), "farthest"),
    (
        "moved_pixels",
        moved(lambda dx, dy, h, w: torch.hypot(dx.mean((1, 2)) * w / 2, dy.mean((1, 2)) * h / 2)),
        "centre",
    ),
    (
        "moved_pixels",
        moved(
            lambda dx, dy, h, w: torch.hypot(dx * w / 2, dy * h / 2).mean((1, 2)),
            lambda j, w: torch.linspace(-1, 1, w, dtype=j.dtype),
        ),
        "linspace",
    ),
    (
        "moved_pixels",
        moved(lambda dx, dy, h, w: ((dx * w / 2) ** 2 + (dy * h / 2) ** 2).mean((1, 2)).sqrt()),
        "root after the mean",
    ),
]


@pytest.mark.parametrize(
    ("name", "attempt", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else None
)
def test_wrong_in_a_natural_way_is_told_what_is_wrong(name, attempt, words):
    result = judged(name, attempt)
    assert result.passed is False
    assert re.search(words, result.message), result.message
    assert "batch dimension" not in result.message


@pytest.mark.parametrize("name", sorted({name for name, *_ in WRONG} - {"attention_theta"}))
def test_each_exercise_is_tried_rightly_and_wrongly(name):
    assert sum(other == name for other, *_ in WRONG) >= 3
    assert sum(other == name for other, _ in RIGHT) >= 2


def test_the_middle_of_the_border_is_the_same_by_every_median():
    for (images,) in EXERCISES["background_of"].cases():
        values = border_of(images).transpose(0, 1).flatten(1).sort(dim=1).values
        half = values.shape[1] // 2
        assert torch.equal(values[:, half - 1], values[:, half])
