"""Samplers against torch's grid_sample, and against plain loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from stncourse import Sampler, affine_grid, affine_theta, bilinear_sample, pixel_centers, projective_grid
from stncourse.transformer.sampling import PADDING_MODES

SIZES = [(1, 1), (1, 5), (4, 1), (5, 4), (8, 8)]
IDENTITY = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)

padding_modes = pytest.mark.parametrize("padding_mode", PADDING_MODES)
both_rulers = pytest.mark.parametrize("align_corners", [False, True])


def random_images(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_grid(count, size, reach, seed=1):
    """Points all over [-reach, reach], so for reach > 1 also outside the image."""
    points = torch.rand(count, *size, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (2 * points - 1) * reach


def value_and_gradients(sample, images, grid):
    images, grid = images.clone().requires_grad_(), grid.clone().requires_grad_()
    output = sample(images, grid)
    weight = torch.arange(1.0, output.numel() + 1, dtype=output.dtype).view_as(output) / output.numel()
    return output, *torch.autograd.grad((output * weight).sum(), (images, grid))


def assert_same_as_torch(images, grid, padding_mode, align_corners):
    ours = value_and_gradients(lambda i, g: bilinear_sample(i, g, padding_mode, align_corners), images, grid)
    theirs = value_and_gradients(
        lambda i, g: F.grid_sample(i, g, padding_mode=padding_mode, align_corners=align_corners), images, grid
    )
    for what, a, b in zip(("value", "gradient by images", "gradient by grid"), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=lambda text, what=what: f"{what}: {text}")


# bilinear_sample


@padding_modes
@both_rulers
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("reach", [0.9, 1.5, 40.0])
def test_bilinear_sample_equals_torch_in_value_and_gradients(padding_mode, align_corners, size, channels, reach):
    images = random_images(2, channels, *size)
    assert_same_as_torch(images, random_grid(2, (6, 7), reach), padding_mode, align_corners)


@padding_modes
@both_rulers
@pytest.mark.parametrize("size", SIZES)
def test_bilinear_sample_equals_torch_on_the_identity_grid(padding_mode, align_corners, size):
    """With align_corners=True its outer points lie exactly on the border, where the gradient jumps."""
    images = random_images(1, 2, *size)
    grid = affine_grid(IDENTITY, size, align_corners)
    torch.testing.assert_close(bilinear_sample(images, grid, padding_mode, align_corners), images)
    assert_same_as_torch(images, grid, padding_mode, align_corners)


@padding_modes
@both_rulers
def test_bilinear_sample_equals_torch_at_the_corners_of_the_square(padding_mode, align_corners):
    corners = torch.tensor([[[[-1, -1], [0, -1], [1, -1]], [[-1, 1], [0, 0], [1, 1]]]], dtype=torch.float64)
    assert_same_as_torch(random_images(1, 1, 5, 4), corners, padding_mode, align_corners)


def reflected(pixel, low, high):
    while not low <= pixel <= high:
        pixel = 2 * low - pixel if pixel < low else 2 * high - pixel
        if low == high:
            return low
    return pixel


def sampled_by_loops(image, x, y, padding_mode, align_corners):
    """One point of one (H, W) image, by the definition: a tent of width one around every pixel (equation 5)."""
    position = []
    for coordinate, size in ((x, image.shape[1]), (y, image.shape[0])):
        if align_corners:
            pixel, low, high = (coordinate + 1) / 2 * (size - 1), 0, size - 1
        else:
            pixel, low, high = (coordinate + 1) / 2 * size - 0.5, -0.5, size - 0.5
        if padding_mode == "reflection":
            pixel = reflected(pixel, low, high)
        if padding_mode != "zeros":
            pixel = min(max(pixel, 0), size - 1)
        position.append(pixel)
    total = 0.0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            weight = max(0, 1 - abs(position[0] - column)) * max(0, 1 - abs(position[1] - row))
            total += weight * image[row, column].item()
    return total


@padding_modes
@both_rulers
@pytest.mark.parametrize("size", SIZES)
def test_bilinear_sample_equals_plain_loops(padding_mode, align_corners, size):
    image, grid = random_images(1, 1, *size), random_grid(1, (3, 5), 2.7)
    output = bilinear_sample(image, grid, padding_mode, align_corners)[0, 0]
    for i in range(3):
        for j in range(5):
            expected = sampled_by_loops(image[0, 0], *grid[0, i, j].tolist(), padding_mode, align_corners)
            assert output[i, j].item() == pytest.approx(expected, abs=1e-12)


@padding_modes
@both_rulers
def test_bilinear_sample_passes_gradcheck(padding_mode, align_corners):
    images = random_images(2, 2, 3, 4).requires_grad_()
    grid = random_grid(2, (2, 3), 1.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, g: bilinear_sample(i, g, padding_mode, align_corners), (images, grid))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 4),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    reach=st.sampled_from([1.0, 3.0, 100.0]),
    padding_mode=st.sampled_from(PADDING_MODES),
    align_corners=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_bilinear_sample_equals_torch_for_any_size(shape, size, reach, padding_mode, align_corners, seed):
    images, grid = random_images(*shape, seed=seed), random_grid(shape[0], size, reach, seed=seed + 1)
    assert_same_as_torch(images, grid, padding_mode, align_corners)


BROKEN = [math.nan, math.inf, -math.inf, 1e30, -1e30, 3e38, 1e12]


@padding_modes
@both_rulers
@pytest.mark.parametrize("value", BROKEN)
def test_bilinear_sample_survives_nan_and_huge_coordinates(padding_mode, align_corners, value):
    grid = torch.tensor([[[[value, 0.0], [0.0, value], [value, value], [0.0, 0.0]]]], requires_grad=True)
    images = torch.rand(1, 1, 5, 5, requires_grad=True)
    output = bilinear_sample(images, grid, padding_mode, align_corners)
    output.sum().backward()
    assert output.isfinite().all()
    assert images.grad.isfinite().all()
    assert output[0, 0, 0, 3] == images[0, 0, 2, 2]  # the good point is not disturbed
    if padding_mode == "zeros":
        assert output[0, 0, 0, :3].tolist() == [0.0, 0.0, 0.0]


def test_bilinear_sample_takes_an_empty_batch_and_an_empty_grid():
    assert bilinear_sample(torch.rand(0, 2, 3, 3), torch.rand(0, 4, 5, 2)).shape == (0, 2, 4, 5)
    assert bilinear_sample(torch.rand(1, 2, 3, 3), torch.rand(1, 0, 5, 2)).shape == (1, 2, 0, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_bilinear_sample_finds_the_last_pixel_in_every_dtype(dtype):
    """64×64 has more pixels than float16 and bfloat16 can count."""
    images = torch.zeros(1, 1, 64, 64, dtype=dtype)
    images[0, 0, 63, 62:] = torch.tensor([2.0, 4.0])
    points = torch.tensor([[[[1.0, 1.0], [1.0 - 2 / 63, 1.0]]]], dtype=torch.float64).to(dtype)
    output = bilinear_sample(images, points, "border", align_corners=True)
    assert output.dtype == dtype
    assert output.flatten().tolist() == pytest.approx([4.0, 2.0], abs=0.1 if dtype == torch.float16 else 0.5)


@pytest.mark.parametrize("sample", [bilinear_sample, Sampler()])
@pytest.mark.parametrize(
    ("images", "grid", "error", "name"),
    [
        ("images", torch.zeros(1, 2, 2, 2), TypeError, "images"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, 2, 2, 2), TypeError, "images"),
        (torch.zeros(1, 4, 4), torch.zeros(1, 2, 2, 2), ValueError, "images"),
        (torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 3), ValueError, "grid"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(1, 2, 2, 2), ValueError, "grid"),
        (torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 2, dtype=torch.float64), ValueError, "grid"),
    ],
)
def test_wrong_images_and_grids_are_named(sample, images, grid, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        sample(images, grid)


def test_bilinear_sample_refuses_an_unknown_padding_mode():
    with pytest.raises(ValueError, match=r"^padding_mode: expected one of 'zeros', 'border', 'reflection', got"):
        bilinear_sample(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 2), "mirror")


# Sampler


@padding_modes
@both_rulers
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_sampler_equals_torch_when_the_padding_value_is_zero(mode, padding_mode, align_corners):
    images, grid = random_images(2, 3, 5, 4), random_grid(2, (6, 7), 1.7)
    sampler = Sampler(mode, padding_mode, align_corners=align_corners)
    assert torch.equal(sampler(images, grid), F.grid_sample(images, grid, mode, padding_mode, align_corners))


@pytest.mark.parametrize("value", [-0.4242, 7, (1.5, -2, 0)])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_sampler_puts_exactly_the_padding_value_outside(value, mode):
    outside = torch.full((1, 2, 2, 2), 3.0)
    output = Sampler(mode, padding_value=value)(torch.rand(1, 3, 5, 5), outside)
    expected = torch.tensor(value, dtype=torch.float32).expand(3)
    assert torch.equal(output, expected[None, :, None, None].expand(1, 3, 2, 2))


@pytest.mark.parametrize("value", [-0.4242, (1.5, -2.0, 0.0)])
def test_sampler_mixes_in_the_padding_value_at_the_edge(value):
    """The same as surrounding the image with pixels of that value."""
    images, grid = random_images(2, 3, 5, 4), random_grid(2, (9, 9), 1.4)
    padding = torch.tensor(value, dtype=torch.float64).expand(3)[:, None, None]
    framed = padding.expand(2, 3, 9, 8).clone()
    framed[:, :, 2:-2, 2:-2] = images
    output = Sampler(padding_value=value)(images, grid)
    on_the_frame = grid * torch.tensor([4 / 8, 5 / 9], dtype=torch.float64)
    torch.testing.assert_close(output, F.grid_sample(framed, on_the_frame, align_corners=False))
    shifted = F.grid_sample(images - padding, grid, align_corners=False) + padding
    torch.testing.assert_close(output, shifted)
    half_out = torch.tensor([[[[-1.0, 0.0]]]], dtype=torch.float64)
    at_edge = Sampler(padding_value=value)(images[:1], half_out)[0, :, 0, 0]
    torch.testing.assert_close(at_edge, (images[0, :, 2, 0] + padding.flatten()) / 2)


def test_sampler_ignores_the_padding_value_where_nothing_is_padded():
    images, grid = random_images(1, 1, 5, 4), random_grid(1, (6, 7), 1.7)
    expected = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    assert torch.equal(Sampler(padding_mode="border", padding_value=9.0)(images, grid), expected)


def test_sampler_padding_value_can_be_changed():
    sampler, outside = Sampler(padding_value=-1.0), torch.full((1, 1, 1, 2), 3.0)
    sampler.padding_value = 2
    assert sampler.padding_value == 2.0
    assert sampler(torch.zeros(1, 1, 4, 4), outside).item() == 2.0
    assert "padding_value=2.0" in repr(sampler)


@pytest.mark.parametrize(
    "value",
    [np.float32(-0.5), np.float64(-0.5), np.array(-0.5), torch.tensor(-0.5), torch.tensor(-0.5, dtype=torch.float16)],
    ids=repr,
)
def test_a_padding_value_is_a_number_of_any_kind(value):
    sampler = Sampler(padding_value=value)
    assert sampler.padding_value == -0.5
    assert type(sampler.padding_value) is float
    assert type(Sampler(padding_value=np.int64(2)).padding_value) is float


@pytest.mark.parametrize(
    "row",
    [tuple, list, np.array, torch.tensor, lambda row: [torch.tensor(v) for v in row], lambda row: np.float32(row)],
)
def test_padding_values_are_a_row_of_any_kind(row):
    sampler = Sampler(padding_value=row([0.5, -2.0, 0.0]))
    assert sampler.padding_value == (0.5, -2.0, 0.0)
    outside = sampler(torch.rand(1, 3, 4, 4), torch.full((1, 1, 1, 2), 3.0))
    assert outside.flatten().tolist() == [0.5, -2.0, 0.0]


def test_numpys_true_switches_on():
    sampler = Sampler(align_corners=np.True_, antialias=np.True_)
    images, grid = random_images(1, 1, 9, 9), random_grid(1, (3, 3), 1)
    assert torch.equal(sampler(images, grid), Sampler(align_corners=True, antialias=True)(images, grid))


@pytest.mark.parametrize("padding_value", [0.0, -0.4242])
def test_sampler_gives_the_gradients_of_torch(padding_value):
    images, grid = random_images(2, 3, 5, 4), random_grid(2, (6, 7), 1.3)
    ours = value_and_gradients(Sampler(padding_value=padding_value), images, grid)
    theirs = value_and_gradients(lambda i, g: bilinear_sample(i - padding_value, g) + padding_value, images, grid)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_nearest_gives_the_grid_no_gradient():
    grid = random_grid(1, (6, 7), 0.9).requires_grad_()
    Sampler("nearest")(random_images(1, 1, 5, 4), grid).sum().backward()
    assert grid.grad.count_nonzero() == 0


@padding_modes
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("value", BROKEN)
def test_sampler_survives_nan_and_huge_coordinates(mode, padding_mode, value):
    """torch's own CPU kernel ends the process here, in backward, with border and reflection."""
    grid = torch.full((1, 4, 4, 2), value).requires_grad_()
    output = Sampler(mode, padding_mode)(torch.rand(1, 1, 5, 5, requires_grad=True), grid)
    output.sum().backward()
    if abs(value) <= 1e30:  # above, pixel coordinates overflow to infinity
        assert output.isfinite().all()
        assert padding_mode != "zeros" or output.count_nonzero() == 0


@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
def test_sampler_shows_a_nan_point_as_nan(padding_mode):
    grid = torch.tensor([[[[math.nan, 0.0], [0.0, math.nan], [0.0, 0.0]]]])
    output = Sampler(padding_mode=padding_mode)(torch.rand(1, 2, 5, 5), grid)
    assert output.isnan()[0, :, 0].tolist() == [[True, True, False]] * 2


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"mode": "linear"}, ValueError, "mode"),
        ({"padding_mode": "wrap"}, ValueError, "padding_mode"),
        ({"padding_value": "0"}, TypeError, "padding_value"),
        ({"padding_value": None}, TypeError, "padding_value"),
        ({"padding_value": ()}, TypeError, "padding_value"),
        ({"padding_value": (0.0, "1")}, TypeError, "padding_value"),
        ({"padding_value": math.nan}, ValueError, "padding_value"),
        ({"padding_value": np.array([])}, TypeError, "padding_value"),
        ({"padding_value": np.zeros((2, 2))}, TypeError, "padding_value"),
        ({"padding_value": torch.tensor([0.0, math.inf])}, ValueError, "padding_value"),
        ({"padding_value": torch.tensor([True])}, TypeError, "padding_value"),
        ({"padding_value": (0.0, True)}, TypeError, "padding_value"),
    ],
)
def test_sampler_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        Sampler(**arguments)


def test_sampler_refuses_padding_values_for_another_number_of_channels():
    with pytest.raises(ValueError, match=r"^padding_value: expected one number per channel, 1 in all"):
        Sampler(padding_value=(1.0, 2.0, 3.0))(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 2))


# Anti-aliasing


def box_mean_by_loops(image, x, y, width, height, padding_mode):
    """Mean over a box with its centre at (x, y), in pixels from the corner of one (H, W) image, pixel by pixel."""
    rows, columns = image.shape
    if padding_mode == "reflection":
        x, y = reflected(x, 0, columns), reflected(y, 0, rows)
    sides = []
    for centre, length, size in ((x, width, columns), (y, height, rows)):
        low, high = centre - length / 2, centre + length / 2
        if padding_mode != "zeros":
            low, high = min(max(low, 0), size - 1), min(max(high, 1), size)
        sides.append((low, high))
    (left, right), (top, bottom) = sides
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            across = max(0, min(right, j + 1) - max(left, j))
            down = max(0, min(bottom, i + 1) - max(top, i))
            total += across * down * image[i, j].item()
    return total / ((right - left) * (bottom - top))


@padding_modes
@both_rulers
@pytest.mark.parametrize("scale", [(3.0, 1.6), (1.0, 4.0), (2.5, 2.5)])
def test_antialias_is_the_mean_over_a_box(padding_mode, align_corners, scale):
    height, width, out = 7, 9, (4, 5)
    image = random_images(1, 1, height, width)
    theta = IDENTITY * torch.tensor([[[*scale, 1.0]]], dtype=torch.float64)
    theta = theta + torch.tensor([[[0.0, 0.0, 0.21], [0.0, 0.0, -0.13]]], dtype=torch.float64)
    grid = affine_grid(theta, out, align_corners)
    sampler = Sampler(padding_mode=padding_mode, align_corners=align_corners, antialias=True)
    output = sampler(image, grid)[0, 0]
    if align_corners:
        places = [
            ((x + 1) / 2 * (width - 1) + 0.5, (y + 1) / 2 * (height - 1) + 0.5) for x, y in grid[0].reshape(-1, 2)
        ]
    else:
        places = [((x + 1) / 2 * width, (y + 1) / 2 * height) for x, y in grid[0].reshape(-1, 2)]
    box = [abs(places[1][0] - places[0][0]), abs(places[out[1]][1] - places[0][1])]
    box = [max(1.0, length.item() / 1.001) for length in box]
    for got, (x, y) in zip(output.flatten().tolist(), places, strict=True):
        expected = box_mean_by_loops(image[0, 0], x.item(), y.item(), *box, padding_mode)
        assert got == pytest.approx(expected, abs=1e-9)


@padding_modes
@both_rulers
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_antialias_leaves_alone_bit_for_bit_what_is_not_shrunk(padding_mode, align_corners, mode):
    """The identity, turns, moves, magnification; also float32, where a turn's steps are 1 only up to rounding."""
    images = random_images(5, 3, 37, 64).float()
    theta = affine_theta(
        rotation=torch.tensor([0.0, 30.0, 77.0, 45.0, 0.0]),
        scale=torch.tensor([1.0, 1.0, 1.0, 0.6, 1.0]),
        translation=(torch.tensor([0.0, 0.0, 0.3, 0.1, 0.9]), 0.2),
        size=(37, 64),
    )
    grid = affine_grid(theta, (37, 64), align_corners)
    if align_corners:  # this ruler is 36 × 63 pixels
        grid = grid * 0.95
    options = {"mode": mode, "padding_mode": padding_mode, "padding_value": 0.3, "align_corners": align_corners}
    assert torch.equal(Sampler(**options, antialias=True)(images, grid), Sampler(**options)(images, grid))


def test_antialias_makes_fine_stripes_even_grey():
    stripes = (torch.arange(64) % 5 < 2).float().expand(64, 64)[None, None]
    grid = affine_grid(IDENTITY.float(), (13, 13))
    sampled, averaged = Sampler()(stripes, grid), Sampler(antialias=True)(stripes, grid)
    assert sampled.std() == pytest.approx(0.289, abs=0.001)
    assert averaged.std() < 0.020  # what average pooling over 5×5 gives
    assert averaged.mean() == pytest.approx(0.4, abs=0.02)


def test_antialias_begins_smoothly():
    """A box of just above one pixel is nearly bilinear sampling: no jump where it sets in."""
    images = random_images(1, 1, 20, 20)
    for scale, bound in ((1.0011, 1e-3), (1.01, 0.02)):
        grid = affine_grid(IDENTITY * scale, (20, 20))
        difference = (Sampler(antialias=True)(images, grid) - Sampler()(images, grid)).abs().max()
        assert 0 < difference < bound


@padding_modes
def test_antialias_passes_gradcheck(padding_mode):
    images = random_images(1, 2, 5, 6).requires_grad_()
    theta = torch.tensor([[[2.3, 0.4, 0.11], [-0.3, 1.9, -0.07]]], dtype=torch.float64, requires_grad=True)
    sampler = Sampler(padding_mode=padding_mode, antialias=True)
    assert torch.autograd.gradcheck(lambda i, t: sampler(i, affine_grid(t, (3, 4))), (images, theta))


@padding_modes
@pytest.mark.parametrize("value", BROKEN)
def test_antialias_survives_nan_and_huge_coordinates(padding_mode, value):
    grid = torch.full((1, 4, 4, 2), value)
    grid[0, 0, 0] = 0
    grid.requires_grad_()
    images = torch.rand(1, 1, 5, 5, requires_grad=True)
    output = Sampler(padding_mode=padding_mode, antialias=True)(images, grid)
    output.sum().backward()
    if abs(value) <= 1e30:  # above, grid_sample itself gives NaN
        assert output.isfinite().all()
        assert images.grad.isfinite().all()
        assert padding_mode != "zeros" or output[0, 0, 1:].count_nonzero() == 0
    elif padding_mode != "zeros" and math.isnan(value):
        assert output[0, 0, 1:].isnan().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1)])
@pytest.mark.parametrize("out", [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_antialias_takes_single_rows_and_columns(size, out):
    images = random_images(2, 3, *size)
    output = Sampler(padding_mode="border", antialias=True)(images, affine_grid(IDENTITY.expand(2, 2, 3), out))
    assert output.shape == (2, 3, *out)
    assert output.isfinite().all()


def test_antialias_of_a_large_image_is_not_lost_in_rounding():
    """The table's sums reach a million; boxes are differences of them."""
    images = torch.rand(1, 1, 1024, 1024, generator=torch.Generator().manual_seed(0)) + 10
    grid = affine_grid(IDENTITY.float(), (512, 512))
    output = Sampler(padding_mode="border", antialias=True)(images, grid)
    exact = Sampler(padding_mode="border", antialias=True)(images.double(), affine_grid(IDENTITY, (512, 512)))
    torch.testing.assert_close(output.double(), exact, atol=2e-4, rtol=0)


def test_antialias_shows_in_the_repr():
    assert "antialias=True" in repr(Sampler(antialias=True))
    assert "antialias" not in repr(Sampler())


def test_a_wide_grid_is_for_images_in_half_precision_only():
    grid = torch.zeros(1, 2, 2, 2)
    assert Sampler()(torch.zeros(1, 1, 4, 4, dtype=torch.float16), grid).dtype == torch.float16
    with pytest.raises(ValueError, match=r"^grid: expected torch.float64 on cpu for images of torch.float64, got"):
        Sampler()(torch.zeros(1, 1, 4, 4, dtype=torch.float64), grid)
    with pytest.raises(ValueError, match=r"^grid: expected torch.float16 on cpu"):
        bilinear_sample(torch.zeros(1, 1, 4, 4, dtype=torch.float16), grid)


@pytest.mark.parametrize("value", ["no", 1, None])
def test_true_or_false_is_neither_a_word_nor_a_number(value):
    grid = torch.zeros(1, 2, 2, 2)
    for call in (
        lambda: Sampler(antialias=value),
        lambda: affine_grid(affine_theta(), 4, value),
        lambda: projective_grid(torch.eye(3)[None], 4, value),
        lambda: bilinear_sample(torch.zeros(1, 1, 2, 2), grid, align_corners=value),
    ):
        with pytest.raises(TypeError, match=r"^(antialias|align_corners): expected True or False, got"):
            call()


@pytest.mark.parametrize(("count", "error"), [(-1, ValueError), (0, ValueError), (2.5, TypeError)])
def test_pixels_are_counted(count, error):
    with pytest.raises(error, match=r"^count: expected an int >= 1, got"):
        pixel_centers(count)
