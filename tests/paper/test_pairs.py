"""Two digits at once: drawn, distorted each by itself, placed in one image; and which of them a transformer follows."""

import pytest
import torch

from stncourse import Digits, Sampler, affine_grid, affine_theta, distort, load_digits
from stncourse.paper.pairs import EachDistorted, distort_each, pairs_of, two_in_one
from stncourse.paper.taken import who_took_which


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Pairs


def test_a_pair_is_two_digits_and_their_sum(digits):
    pairs, each = pairs_of(digits, 200, seeded())
    assert pairs.images.shape == (200, 2, 28, 28)
    assert torch.equal(pairs.labels, each[:, 0] + each[:, 1])
    for i in range(20):
        for channel in range(2):
            same = (digits.images[:, 0] == pairs.images[i, channel]).flatten(1).all(1).nonzero().flatten()
            assert digits.labels[same[0]] == each[i, channel]
    assert len(pairs.labels.unique()) == 19
    assert torch.equal(pairs_of(digits, 200, seeded())[0].images, pairs.images)
    assert not torch.equal(pairs_of(digits, 200, seeded(1))[0].images, pairs.images)


@pytest.mark.parametrize("kind", ["R", "RTS", "P", "E"])
def test_each_channel_is_distorted_by_its_own_theta(digits, kind):
    pairs, _ = pairs_of(digits, 7, seeded())
    made = distort_each(pairs.images, kind, seeded())
    assert made.images.dtype == torch.uint8
    for channel in range(2):
        again = Sampler()(pairs.images[:, channel : channel + 1].float(), made.grid[:, channel])
        assert torch.equal(again[:, 0].round().to(torch.uint8), made.images[:, channel])
        if kind in ("R", "RTS"):
            grid = affine_grid(made.theta[:, channel], tuple(made.images.shape[-2:]))
            assert torch.allclose(grid, made.grid[:, channel], atol=1e-5)
    assert (made.grid[:, 0] - made.grid[:, 1]).abs().amax((1, 2, 3)).min() > 0.01


def test_one_channel_is_distorted_as_ever(digits):
    images = digits.images[:5]
    assert torch.equal(distort_each(images, "P", seeded()).images, distort(images, "P", seeded()).images)


def test_the_transform_draws_anew_every_time(digits):
    transform, generator = EachDistorted("RTS"), seeded()
    images = pairs_of(digits, 5, seeded())[0].images / 255
    first, second = transform(images, generator), transform(images, generator)
    assert first.shape == (5, 2, 42, 42)
    assert not torch.equal(first, second)


# Two in one image


def test_one_digit_lies_in_each_half(digits):
    two = two_in_one(digits, 300, seeded())
    assert two.images.shape == (300, 1, 64, 64)
    assert two.images.dtype == torch.uint8
    assert two.labels.shape == (300, 2)
    blank = Digits(torch.zeros_like(digits.images), digits.labels, "offline")
    blank.images[digits.labels == 1] = 255
    filled = two_in_one(blank, 300, seeded())
    for half, label in ((slice(0, 32), two.labels[:, 0]), (slice(32, 64), two.labels[:, 1])):
        area = (filled.images[..., half].double() / 255).sum((1, 2, 3))
        ones = label == 1
        # A whole digit's square, magnified by 0.6 to 1.0: nothing of it is cut off.
        assert area[~ones].max() == 0
        assert ((area[ones] > (0.6 * 28 - 1) ** 2) & (area[ones] < (28 + 1) ** 2)).all()
        assert area[ones].max() / area[ones].min() > 1.8
        places = filled.images[ones][..., half].double().mean(3).argmax(2)
        assert places.unique().numel() > 5


def test_what_is_in_the_image_are_the_digits_of_its_labels(digits):
    two = two_in_one(digits.subset(slice(0, 100)), 40, seeded())
    ink = two.images[..., :32].double().sum((1, 2, 3))
    assert ink.min() > 0
    # The mean ink of ones is less than that of zeros: the labels are not mixed up.
    many = two_in_one(digits, 1000, seeded())
    for half, label in ((slice(0, 32), many.labels[:, 0]), (slice(32, 64), many.labels[:, 1])):
        inks = many.images[..., half].double().sum((1, 2, 3))
        assert inks[label == 1].mean() < 0.6 * inks[label == 0].mean()


@pytest.mark.parametrize("maker", [pairs_of, two_in_one])
def test_errors_name_the_argument(digits, maker):
    with pytest.raises(TypeError, match=r"^digits: expected Digits"):
        maker(digits.images, 5)
    with pytest.raises(ValueError, match=r"^digits: expected grey"):
        maker(Digits(digits.images.repeat(1, 3, 1, 1), digits.labels, "offline"), 5)
    with pytest.raises(ValueError, match=r"^count: expected"):
        maker(digits, 0)
    with pytest.raises(TypeError, match=r"^generator: expected"):
        maker(digits, 5, 0)


def test_two_in_one_takes_digits_of_28_pixels(digits):
    with pytest.raises(ValueError, match=r"^digits: expected images of 28×28"):
        two_in_one(Digits(digits.images[..., :20], digits.labels, "offline"), 5)


# Who took which


def whole(theta):
    return torch.cat([theta, theta.new_tensor([[[0, 0, 1]]]).expand(len(theta), 1, 3)], 1)


def test_a_transformer_that_undoes_one_digits_distortion_has_taken_that_one():
    made = distort_each(torch.zeros(300, 2, 28, 28, dtype=torch.float64), "RTS", seeded())
    theta = made.theta.double()
    # Not undone quite: always turned by 20° and moved on the digit. It is held still for all that.
    habit = whole(affine_theta(rotation=20, scale=1.3, translation=(0.2, -0.1))).double()
    grids = [affine_grid((torch.linalg.inv(whole(theta[:, k])) @ habit)[:, :2], (9, 12)) for k in (1, 0)]
    taken = who_took_which(grids, theta)
    assert taken.digit.tolist() == [1, 0]
    assert taken.spread.diagonal().min() > 5
    assert taken.spread.flip(1).diagonal().max() < 1e-6
    assert taken.share.tolist() == [1, 1]


def test_the_spread_is_in_pixels_of_the_digit():
    """A frame that is now 2 pixels to the left of its mean, now 2 to the right, and the digit twice as high as wide."""
    shift = torch.tensor([-1.0, 1.0], dtype=torch.float64) * 2 * 2 / 14  # a width of 14 pixels is 2
    theta = affine_theta(translation=(torch.zeros(2, dtype=torch.float64), 0))[:, None]
    grid = affine_grid(affine_theta(translation=(shift, 0)), (5, 7))
    assert who_took_which([grid], theta, (28, 14)).spread.item() == pytest.approx(2)
    down = affine_grid(affine_theta(translation=(0, shift)), (5, 7))
    assert who_took_which([down], theta, (28, 14)).spread.item() == pytest.approx(4)
    # The digit lies half as large on the image: a step on the image is two on the digit.
    half = affine_theta(scale=torch.tensor([2.0, 2.0], dtype=torch.float64))[:, None]
    assert who_took_which([grid], half, (28, 14)).spread.item() == pytest.approx(4)


def test_one_image_tells_nothing_of_straying():
    with pytest.raises(ValueError, match=r"^theta: expected at least two images"):
        who_took_which(torch.zeros(1, 1, 3, 3, 2), torch.zeros(1, 2, 2, 3))
    with pytest.raises(ValueError, match=r"^theta: expected"):
        who_took_which(torch.zeros(1, 4, 3, 3, 2), torch.zeros(3, 2, 2, 3))
