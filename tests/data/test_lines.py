"""Lines of digits, straight and along arcs: compared with the way there, which the code never goes."""

import math

import pytest
import torch
from torch.testing import assert_close

from stncourse import Digits, curve_lines, digit_lines, load_digits
from stncourse.data.lines import _along_arcs


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline")


def laid_along_an_arc(grid, turn, line):
    """Places on the straight line -> pixels from the canvas's middle: the arc, walked point by point in Python."""
    total, places = math.radians(turn), []
    radius = line[1] / total
    sagitta = radius * (1 - math.cos(total / 2))  # the ends lie so far below the middle
    for x, y in grid.reshape(-1, 2).tolist():
        angle = (x * line[1] / 2) / radius
        from_centre = radius - y * line[0] / 2
        places.append((from_centre * math.sin(angle), radius - sagitta / 2 - from_centre * math.cos(angle)))
    return torch.tensor(places, dtype=torch.float64).reshape(grid.shape)


@pytest.mark.parametrize("turn", [120.0, -120.0, 37.0, -1.0, 180.0])
@pytest.mark.parametrize(("line", "canvas"), [((28, 84), (48, 84)), ((9, 21), (16, 25)), ((8, 20), (15, 20))])
def test_each_pixel_reads_the_place_that_the_arc_carries_to_it(turn, line, canvas):
    grid = _along_arcs(torch.tensor([turn], dtype=torch.float64), line, canvas)[0]
    height, width = canvas
    x, y = (torch.arange(side) + 0.5 - side / 2 for side in (width, height))
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    assert grid.shape == (height, width, 2)
    assert_close(laid_along_an_arc(grid, turn, line), pixels.double(), atol=1e-9, rtol=0)


def test_a_positive_turn_is_an_arch_and_a_negative_one_a_bowl():
    line = torch.zeros(200, 1, 9, 31)
    line[:, :, 4] = 1  # a straight stroke
    curved = curve_lines(line, seeded(), size=(31, 31))
    rows = torch.arange(31.0)[:, None]
    height = (curved.images[:, 0] * rows).sum(1) / curved.images[:, 0].sum(1)  # of the stroke, column by column
    ends_below = (height[:, 5] + height[:, 25]) / 2 - height[:, 15]
    strong = curved.turn.abs() > 30
    assert strong.sum() > 100
    assert torch.equal(ends_below[strong] > 0, curved.turn[strong] > 0)


def test_a_line_that_is_not_turned_is_laid_in_the_middle(digits):
    line = digit_lines(digits, 3, generator=seeded()).images
    curved = curve_lines(line, size=(48, 84), most=0)
    assert curved.turn.tolist() == [0, 0, 0]
    assert torch.equal(curved.images[:, :, 10:38], line)
    assert not curved.images[:, :, :9].any()
    assert not curved.images[:, :, 39:].any()


def test_turns_are_uniform_and_both_ways():
    turn = curve_lines(torch.zeros(2000, 1, 4, 12), seeded(), size=8, most=50).turn
    assert -50 <= turn.min() < -49
    assert 49 < turn.max() <= 50
    assert abs(turn.std() - 100 / 12**0.5) < 1


def test_hardly_anything_is_cut_off(digits):
    line = digit_lines(digits, 100, generator=seeded()).images
    curved = curve_lines(line, seeded(1))
    left = curved.images.double().sum((1, 2, 3)) / line.double().sum((1, 2, 3))
    assert left.min() > 0.9


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_images_keep_their_dtype(dtype, digits):
    line = digit_lines(digits, 2, generator=seeded()).images.to(dtype)
    assert curve_lines(line, seeded()).images.dtype == dtype


def test_a_line_shows_its_number(digits):
    lines = digit_lines(digits, 50, generator=seeded())
    assert lines.images.shape == (50, 1, 28, 84)
    for image, number in zip(lines.images[:, 0], lines.labels.tolist(), strict=True):
        for place, digit in enumerate(f"{number:03d}"):
            of_this_class = digits.images[digits.labels == int(digit), 0]
            assert (of_this_class == image[:, 28 * place : 28 * place + 28]).flatten(1).all(1).any()


def test_lines_of_other_lengths(digits):
    lines = digit_lines(digits, 3, length=5, generator=seeded())
    assert lines.images.shape == (3, 1, 28, 140)
    assert (lines.labels < 10**5).all()
    assert digit_lines(digits, 2, length=18).labels.min() >= 0


def test_the_same_seed_gives_the_same_lines_and_arcs(digits):
    first, again, other = (digit_lines(digits, 4, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.labels, other.labels)
    first, again, other = (curve_lines(first.images, seeded(seed)).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: digit_lines(d.images, 3), TypeError, "digits: expected Digits, got"),
        (lambda d: digit_lines(d.subset(slice(0)), 3), ValueError, "digits: expected at least one digit"),
        (lambda d: digit_lines(Digits(d.images[:1], [10], "mnist"), 3), ValueError, "labels from 0 to 9"),
        (lambda d: digit_lines(d, 0), ValueError, "count: expected an int >= 1, got 0"),
        (lambda d: digit_lines(d, 3, length=19), ValueError, "length: expected up to 18, got 19"),
        (lambda d: digit_lines(d, 3, generator=1), TypeError, "generator: expected a torch.Generator or None, got"),
        (lambda d: curve_lines(d.images[0]), ValueError, "images: expected"),
        (lambda d: curve_lines(d.images[:2], 1), TypeError, "generator: expected a torch.Generator or None, got"),
        (lambda d: curve_lines(d.images[:2], size=0), ValueError, "size: expected an int"),
        (lambda d: curve_lines(d.images[:2], most=181), ValueError, "most: expected degrees from 0 to 180, got"),
        (lambda d: curve_lines(d.images[:2], most=math.nan), ValueError, "most: expected degrees from 0 to 180"),
    ],
)
def test_bad_input_is_named(call, error, message, digits):
    with pytest.raises(error, match=message):
        call(digits)
