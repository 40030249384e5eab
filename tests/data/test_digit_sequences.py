"""Rows of digits: they stand where their frames say, all of them, in their order, and nothing else is there."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.testing import assert_close

from stncourse import Digits, digit_sequences, load_digits
from stncourse.data.sequences import LONGEST, NONE, _painted


def seeded(seed=0):
    return torch.Generator(device="cpu").manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline")


def whole(count, height=28, width=28):
    """White squares, labelled 0."""
    return Digits(torch.full((count, 1, height, width), 255, dtype=torch.uint8), [0] * count, "made up")


@pytest.mark.parametrize("size", [64, 97, 128])
def test_shapes_and_kinds(digits, size):
    images, labels, frames = digit_sequences(digits, 7, seeded(), size)
    assert (images.shape, images.dtype) == ((7, 1, size, size), torch.uint8)
    assert (labels.shape, labels.dtype) == ((7, 5), torch.int64)
    assert (frames.shape, frames.dtype) == ((7, 5, 2, 3), torch.float32)


def test_digits_stand_at_the_left_and_none_behind_them(digits):
    labels = digit_sequences(digits, 1000, seeded()).labels
    lengths = (labels != NONE).sum(1)
    assert torch.equal(labels == NONE, torch.arange(LONGEST) >= lengths[:, None])
    counts = torch.bincount(lengths, minlength=6)[1:]
    assert len(counts) == 5
    assert (counts - 200).abs().max() < 50  # four standard deviations
    assert set(labels.unique().tolist()) == set(range(11))


@pytest.mark.parametrize("size", [64, 128])
def test_looking_through_a_frame_shows_its_digit(digits, size):
    """One digit of each class, so that a label says which it is; torch's own sampling looks."""
    ten = digits.subset(torch.tensor([int((digits.labels == label).nonzero()[0]) for label in range(10)]))
    images, labels, frames = digit_sequences(ten, 40, seeded(), size)
    there = labels != NONE
    grid = F.affine_grid(frames[there].double(), (int(there.sum()), 1, 28, 28), align_corners=False)
    canvases = images[:, None].expand(-1, 5, -1, -1, -1)[there].double()
    seen = F.grid_sample(canvases, grid, align_corners=False)

    def middle(images):
        """Neighbours reach into a square; its middle is its own. Without mean, of length 1."""
        pixels = images[:, 0, 4:24, 6:22].double().flatten(1)
        return F.normalize(pixels - pixels.mean(1, keepdim=True), dim=1)

    likeness = middle(seen) @ middle(ten.images).T
    assert torch.equal(likeness.argmax(1), labels[there])
    assert likeness.amax(1).mean() > 0.9


@pytest.mark.parametrize("size", [64, 101])
def test_squares_lie_on_the_canvas_one_right_of_the_other(digits, size):
    _, labels, frames = digit_sequences(digits, 2000, seeded(), size)
    there = labels != NONE
    assert torch.equal(frames.isnan().all(-1).all(-1), ~there)
    assert torch.equal(frames.isnan().any(-1).any(-1), ~there)
    side = frames[..., 0, 0] * size
    assert torch.equal(frames[there][:, 0, 1], torch.zeros(int(there.sum())))
    assert torch.equal(frames[there][:, 0, 0], frames[there][:, 1, 1])
    assert 14 - 1e-3 <= side[there].min() < 14.5
    assert 31 < side[there].max() <= 32 + 1e-3
    for row in (0, 1):  # the frame's two ends along x, along y
        centre, half = frames[there][:, row, 2], frames[there][:, 0, 0]
        assert (centre - half).min() >= -1 - 1e-5
        assert (centre + half).max() <= 1 + 1e-5
        assert (centre - half).min() < -0.9  # anywhere
        assert (centre + half).max() > 0.9
    both = there[:, 1]
    steps = (frames[both, 1, 0, 2] - frames[both, 0, 0, 2]) * size / 2 / side[both, 0]
    assert 0.7 - 1e-4 <= steps.min() < 0.71
    assert 0.84 < steps.max() <= 0.85 + 1e-4
    assert_close(frames[both, 1, 1, 2], frames[both, 0, 1, 2])  # in a row


@pytest.mark.parametrize("side", [14, 20, 28, 31])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (21, 32)])
def test_a_square_is_scaled_as_pillow_scales_it(side, height, width):
    """On whole pixels, against Pillow's bilinear filter, which widens its triangle where it shrinks, as ours does."""
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[5:-5, 5:-5] = np.random.default_rng(0).integers(0, 256, (height - 10, width - 10))
    squares = torch.zeros(1, 5, height, width, dtype=torch.uint8)
    squares[0, 2] = torch.from_numpy(pixels)
    left, top = torch.tensor([[0.0, 5, 30, 40, 50]]).double(), torch.tensor([[7.0]]).double()
    canvas = _painted(squares, torch.tensor([[float(side)]]).double(), left, top, 64)
    expected = np.zeros((64, 64), dtype=np.uint8)
    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    expected[7 : 7 + side, 30 : 30 + side] = np.asarray(resized)
    assert np.abs(canvas[0].numpy().astype(int) - expected).max() <= 1  # Pillow rounds between its two passes


def test_what_is_enlarged_or_shrunk_keeps_its_brightness():
    """A white square is white inside, whatever its size, and where two overlap no whiter."""
    images, _, frames = digit_sequences(whole(3, 20, 33), 50, seeded())
    for image, row in zip(images, frames, strict=True):
        for frame in row[~row[:, 0, 0].isnan()].double():
            x, y = ((float(frame[axis, 2]) + 1) * 32 - 0.5 for axis in (0, 1))
            half = float(frame[0, 0]) * 32 - 2
            inside = image[0, int(y - half) + 1 : int(y + half), int(x - half) + 1 : int(x + half)]
            assert inside.min() >= 254


def test_there_is_nothing_outside_the_squares():
    images, _, frames = digit_sequences(whole(3), 50, seeded())
    centres = torch.arange(64) + 0.5
    outside = torch.ones(50, 64, 64, dtype=torch.bool)
    for k in range(LONGEST):
        frame = frames[:, k]
        near = [
            (centres - (frame[:, axis, 2:] + 1) * 32).abs() < frame[:, :1, 0] * 32 + 1.5  # NaN is near to nothing
            for axis in (0, 1)
        ]
        outside &= ~(near[1][:, :, None] & near[0][:, None])
    assert images[:, 0][outside].max() == 0
    assert 0.2 < outside.float().mean() < 0.95


def test_the_same_state_gives_the_same_rows_and_another_others(digits):
    first, again, other = (digit_sequences(digits, 5, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert torch.equal(first.frames.nan_to_num(), again.frames.nan_to_num())
    assert not torch.equal(first.images, other.images)


def test_rows_beyond_the_first_thousand_are_made_too(digits):
    images = digit_sequences(digits, 1001, seeded()).images
    assert images[-1].max() > 100
    assert len(images.unique(dim=0)) == 1001


def test_torchs_defaults_change_nothing(digits, other_defaults):
    with torch.device("cpu"):
        ours = digit_sequences(digits, 3, seeded())
    by_default = digit_sequences(digits, 3, seeded())
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    expected = digit_sequences(digits, 3, seeded())
    for made in (ours, by_default):
        for a, b in zip(made, expected, strict=True):
            assert (a.device.type, a.dtype) == ("cpu", b.dtype)
            assert torch.equal(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(3, 1, 28, 28), 2), TypeError, r"^digits: expected Digits, got a float32 tensor"),
        ((whole(3).subset(slice(0)), 2), ValueError, r"^digits: expected at least one digit"),
        ((Digits(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [0, 1], "x"), 2), ValueError, r"^digits: expected grey"),
        ((Digits(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), [0, 10], "x"), 2), ValueError, r"^digits: .* from 0 to 9"),
        ((whole(3), 0), ValueError, r"^count: expected an int >= 1, got 0"),
        ((whole(3), 2, 5), TypeError, r"^generator: expected a torch.Generator or None, got int 5"),
        ((whole(3), 2, None, 63), ValueError, r"^size: expected an int >= 64, got 63"),
        ((whole(3), 2, None, (64, 64)), TypeError, r"^size: expected an int >= 64, got tuple"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        digit_sequences(*arguments)
