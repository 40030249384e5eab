"""What students write in notebook 13: wrong in a natural way, or right in an unusual one."""

from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou

from stncourse.exercises import exercises_of
from stncourse.exercises.engine.observe import observe_answer

EXERCISES = {exercise.name: exercise for exercise in exercises_of("13")}


def judged(name, attempt):
    exercise = EXERCISES[name]
    with mock.patch("stncourse.exercises.engine.observe.calls_that_end", lambda work, count, seconds: count):
        return exercise.judge(lambda calls: observe_answer(attempt, calls, getattr(exercise, "signature", None))).result


# Right


def corners(frames):
    return torch.cat([frames[:, 1:] - frames[:, :1], frames[:, 1:] + frames[:, :1]], dim=1)


def iou_by_torchvision(first, second):
    return box_iou(corners(first), corners(second)).diagonal()


def iou_one_by_one(first, second):
    answers = []
    for (s, x, y), (z, u, v) in zip(first, second, strict=True):
        width = torch.relu(torch.minimum(x + s, u + z) - torch.maximum(x - s, u - z))
        height = torch.relu(torch.minimum(y + s, v + z) - torch.maximum(y - s, v - z))
        answers.append(width * height / (4 * s * s + 4 * z * z - width * height))
    return torch.stack(answers)


def iou_in_numpy(first, second):
    a, b = first.numpy(), second.numpy()
    apart = np.abs(a[:, 1:] - b[:, 1:])
    shared = np.clip(np.minimum(a[:, :1] + b[:, :1] - apart, 2 * np.minimum(a[:, :1], b[:, :1])), 0, None).prod(1)
    return torch.from_numpy(shared / (4 * a[:, 0] ** 2 + 4 * b[:, 0] ** 2 - shared))


def loss_by_distances(anchor, positive, negative, margin):
    near, far = (F.pairwise_distance(anchor, other, eps=0.0) for other in (positive, negative))
    return torch.maximum(near.pow(2) - far.pow(2) + margin, torch.zeros(())).mean()


def loss_by_norms(anchor, positive, negative, margin):
    gap = (anchor - positive).norm(dim=1).square() - (anchor - negative).norm(dim=1).square()
    return (gap + margin).clamp(min=0).mean()


def loss_multiplied_out(anchor, positive, negative, margin):
    gap = positive.square().sum(1) - negative.square().sum(1) - 2 * (anchor * (positive - negative)).sum(1)
    return torch.relu(gap + margin).mean(dim=0)


@pytest.mark.parametrize(
    ("name", "attempt"),
    [
        ("always_nine", 10.0),
        ("always_nine", 100 * sum(a + b == 9 for a in range(10) for b in range(10)) / 100),
        ("always_nine", torch.tensor(10)),
        ("frames_iou", iou_by_torchvision),
        ("frames_iou", iou_one_by_one),
        ("frames_iou", iou_in_numpy),
        ("triplet_loss", loss_by_distances),
        ("triplet_loss", loss_by_norms),
        ("triplet_loss", loss_multiplied_out),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_right_attempt_passes(name, attempt):
    result = judged(name, attempt)
    assert result.passed is True, result


# Wrong


def iou_of_whole_batch(first, second):
    return iou_one_by_one(first, second).mean()


def dice(first, second):
    shared = torch.relu(
        torch.minimum(corners(first), corners(second))[:, 2:] - torch.maximum(*map(corners, (first, second)))[:, :2]
    )
    return 2 * shared.prod(1) / (4 * first[:, 0] ** 2 + 4 * second[:, 0] ** 2)


def never_apart(first, second):
    low = torch.maximum(first[:, 1:] - first[:, :1], second[:, 1:] - second[:, :1])
    high = torch.minimum(first[:, 1:] + first[:, :1], second[:, 1:] + second[:, :1])
    shared = (high - low).prod(1)
    return shared / (4 * first[:, 0] ** 2 + 4 * second[:, 0] ** 2 - shared)


def all_pairs(first, second):
    return box_iou(corners(first), corners(second))


def torchs_own_loss(anchor, positive, negative, margin):
    return F.triplet_margin_loss(anchor, positive, negative, margin)


def pulled_apart(anchor, positive, negative, margin):
    return loss_by_norms(anchor, negative, positive, margin)


def one_for_each(anchor, positive, negative, margin):
    return F.relu((anchor - positive).pow(2).sum(1) - (anchor - negative).pow(2).sum(1) + margin)


def mean_squared_errors(anchor, positive, negative, margin):
    return F.relu(F.mse_loss(anchor, positive) - F.mse_loss(anchor, negative) + margin)


@pytest.mark.parametrize(
    ("name", "attempt", "mistake", "words"),
    [
        ("always_nine", 5.26, "one in nineteen", "equally likely"),
        ("always_nine", 9, "the sum itself", "percentage"),
        ("always_nine", "10 %", None, "without quotes"),
        ("frames_iou", never_apart, "apart, and yet shared", "Clamp"),
        ("frames_iou", iou_of_whole_batch, "all frames in one number", "(N,)"),
        ("frames_iou", dice, None, ""),
        ("frames_iou", all_pairs, None, "shape"),
        ("triplet_loss", torchs_own_loss, "not squared", "squares"),
        ("triplet_loss", pulled_apart, "near and far swapped", "away"),
        ("triplet_loss", one_for_each, "no mean", "mean"),
        ("triplet_loss", mean_squared_errors, "one hinge for all", "dim=1"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_attempt_hears_what_is_wrong(name, attempt, mistake, words):
    result = judged(name, attempt)
    assert result.passed is False
    assert result.mistake == mistake, result
    assert words in result.message
