"""Distorted digits: the θ that comes with each is the θ that made it."""

import pytest
import torch
import torch.nn.functional as F

from stncourse import KINDS, Sampler, affine_grid, distort, load_digits

kinds = pytest.mark.parametrize("kind", KINDS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline").images[::20]


def inverse(theta):
    """The θ that undoes this one."""
    matrix = torch.linalg.inv(theta[:, :, :2])
    return torch.cat([matrix, -matrix @ theta[:, :, 2:]], 2)


def in_pixels(theta, size_in, size_out):
    """The 2×2 part of θ, from output pixels to input pixels."""
    per_input = torch.tensor([size_in[1] / 2, size_in[0] / 2])
    per_output = torch.tensor([size_out[1] / 2, size_out[0] / 2])
    return theta[:, :, :2] * per_input[:, None] / per_output


def angle(matrix):
    return torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))


def many(kind, size=(28, 28), count=2000, seed=0):
    """θ of many distortions."""
    return distort(torch.zeros(count, 1, *size, dtype=torch.uint8), kind, seeded(seed)).theta


def assert_uniform(values, low, high):
    reach = high - low
    assert low - 1e-4 <= values.min() < low + 0.02 * reach
    assert high - 0.02 * reach < values.max() <= high + 1e-4
    assert abs(values.mean() - (low + high) / 2) < 0.03 * reach
    assert abs(values.std() - reach / 12**0.5) < 0.02 * reach


# Both kinds


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("R", (28, 28), (28, 28)),
        ("R", (20, 40), (20, 40)),
        ("R", (1, 1), (1, 1)),
        ("RTS", (28, 28), (42, 42)),
        ("RTS", (20, 40), (30, 60)),
        ("RTS", (5, 7), (8, 11)),
    ],
)
def test_shapes(kind, size, expected):
    images, theta, grid = distort(torch.zeros(3, 2, *size), kind, seeded())
    assert images.shape == (3, 2, *expected)
    assert theta.shape == (3, 2, 3)
    assert grid.shape == (3, *expected, 2)


@kinds
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_the_dtype_is_kept(digits, kind, dtype):
    scale = 1 if dtype == torch.uint8 else 255
    images = distort((digits / scale).to(dtype), kind, seeded()).images
    assert images.dtype == dtype
    assert images.min() == 0
    assert images.max() > 0.8 * 255 / scale


@kinds
def test_uint8_and_float_digits_are_distorted_alike(digits, kind):
    whole, real = distort(digits, kind, seeded()).images, distort(digits.float(), kind, seeded()).images
    assert torch.equal(whole.float(), real.round())


@kinds
def test_the_same_generator_state_gives_the_same_distortions(digits, kind):
    first, again, other = (distort(digits, kind, seeded(seed)) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.theta, other.theta)


@kinds
def test_without_a_generator_torchs_own_is_used(digits, kind):
    torch.manual_seed(0)
    first = distort(digits[:3], kind).theta
    second = distort(digits[:3], kind).theta
    torch.manual_seed(0)
    assert torch.equal(distort(digits[:3], kind).theta, first)
    assert not torch.equal(first, second)


@kinds
def test_every_digit_gets_a_distortion_of_its_own(digits, kind):
    theta = distort(digits, kind, seeded()).theta
    assert len(theta.unique(dim=0)) == len(digits)


@kinds
def test_images_are_the_originals_sampled_at_the_grid_of_theta(digits, kind):
    images, theta, grid = distort(digits, kind, seeded())
    expected_grid = F.affine_grid(theta, images.shape, align_corners=False)
    torch.testing.assert_close(grid, expected_grid, atol=1e-5, rtol=0)
    expected = F.grid_sample(digits.float(), expected_grid, align_corners=False)
    assert (images.float() - expected).abs().max() <= 0.51  # uint8: rounded


@kinds
def test_the_inverse_theta_puts_the_digit_back(digits, kind):
    images, theta, _ = distort(digits / 255, kind, seeded())
    restored = Sampler()(images, affine_grid(inverse(theta), (28, 28)))
    assert (restored - digits / 255).abs().mean() < 0.03
    both = torch.stack([restored.flatten(), (digits / 255).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.95
    if kind == "R":  # without undoing, it is another picture
        assert torch.corrcoef(torch.stack([images.flatten(), both[1]]))[0, 1] < 0.7


@kinds
def test_background_stays_background(kind):
    assert distort(torch.zeros(5, 1, 28, 28, dtype=torch.uint8), kind, seeded()).images.count_nonzero() == 0
    white = distort(torch.full((50, 1, 28, 28), 255, dtype=torch.uint8), kind, seeded()).images
    assert (white[:, 0, 0, 0] == 0).any()  # a corner that the square has left
    assert (white.flatten(1).max(1).values == 255).all()


@kinds
def test_channels_are_distorted_together(digits, kind):
    colored = digits.expand(-1, 3, -1, -1)
    images = distort(colored, kind, seeded()).images
    assert torch.equal(images[:, 0], images[:, 2])
    assert torch.equal(images[:, :1], distort(digits, kind, seeded()).images)


@kinds
def test_an_empty_batch_is_fine(kind):
    assert len(distort(torch.zeros(0, 1, 28, 28), kind).images) == 0


@kinds
def test_the_input_is_not_touched(digits, kind):
    before = digits.clone()
    distort(digits, kind, seeded())
    assert torch.equal(digits, before)


# R


@pytest.mark.parametrize("size", [(28, 28), (4, 8)])
def test_r_is_a_rotation_in_pixels_uniform_within_90_degrees(size):
    theta = many("R", size)
    matrix = in_pixels(theta, size, size)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(2).expand(len(matrix), 2, 2), atol=1e-5, rtol=0)
    assert (torch.linalg.det(matrix) > 0).all()
    assert theta[:, :, 2].count_nonzero() == 0
    assert_uniform(angle(matrix), -90, 90)


def test_r_shows_a_positive_rotation_counter_clockwise():
    """A spot at the top goes left where the rotation in θ is positive."""
    spot = torch.zeros(200, 1, 29, 29)
    spot[:, :, 2:5, 13:16] = 1
    images, theta, _ = distort(spot, "R", seeded())
    turned = angle(theta[:, :, :2])
    x = (images.sum((1, 2)) * torch.arange(-14.0, 15)).sum(1) / images.sum((1, 2, 3))
    torch.testing.assert_close(x, -11 * torch.sin(torch.deg2rad(turned)), atol=0.2, rtol=0)


# RTS


@pytest.mark.parametrize(("size", "canvas"), [((28, 28), (42, 42)), ((1, 2), (2, 3))])
def test_rts_rotation_and_magnification_are_uniform_in_their_ranges(size, canvas):
    matrix = in_pixels(many("RTS", size), size, canvas)
    magnification = torch.linalg.det(matrix) ** -0.5
    assert_uniform(magnification, 0.7, 1.2)
    assert_uniform(angle(matrix), -45, 45)
    rigid = matrix * magnification[:, None, None]
    torch.testing.assert_close(rigid @ rigid.mT, torch.eye(2).expand(len(rigid), 2, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "canvas"), [((28, 28), (42, 42)), ((1, 2), (2, 3))])
def test_rts_keeps_the_magnified_square_inside_and_uses_all_the_room(size, canvas):
    theta = many("RTS", size)
    magnification = torch.linalg.det(in_pixels(theta, size, canvas)) ** -0.5
    center = inverse(theta)[:, :, 2] * torch.tensor([canvas[1] / 2, canvas[0] / 2])  # of the digit, in canvas pixels
    for axis, (small, large) in enumerate(zip(size[::-1], canvas[::-1], strict=True)):
        room = (large - magnification * small) / 2
        assert (center[:, axis].abs() <= room + 1e-3).all()
        assert_uniform(center[:, axis] / room, -1, 1)
    assert torch.corrcoef(center.T)[0, 1].abs() < 0.1


def test_rts_shows_the_digit_where_theta_says():
    spot = torch.zeros(100, 1, 28, 28)
    spot[:, :, 10:18, 10:18] = 1  # its middle is the middle of the image
    images, theta, _ = distort(spot, "RTS", seeded())
    ruler = (2 * torch.arange(42) + 1) / 42 - 1
    x = (images.sum((1, 2)) * ruler).sum(1) / images.sum((1, 2, 3))
    y = (images.sum((1, 3)) * ruler).sum(1) / images.sum((1, 2, 3))
    torch.testing.assert_close(torch.stack([x, y], 1), inverse(theta)[:, :, 2], atol=0.01, rtol=0)


# Wrong arguments


@pytest.mark.parametrize(
    ("images", "kind", "generator", "error", "name"),
    [
        ([[0]], "R", None, TypeError, "images"),
        (torch.zeros(28, 28), "R", None, ValueError, "images"),
        (torch.zeros(1, 1, 4, 4), "T", None, ValueError, "kind"),
        (torch.zeros(1, 1, 4, 4), None, None, ValueError, "kind"),
        (torch.zeros(1, 1, 4, 4), "R", 0, TypeError, "generator"),
    ],
)
def test_errors_name_the_argument(images, kind, generator, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        distort(images, kind, generator)
