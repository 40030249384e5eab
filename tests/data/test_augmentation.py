"""augment: small random affine warps, the same ones from the same generator."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from matrices import inverse

from stncourse import affine_theta, augment, load_digits
from stncourse.data.augmentation import ROTATION, SCALE, SHEAR, SHIFT

DIGITS = load_digits("test", source="offline").images[:64].float() / 255


def generator(seed=0):
    return torch.Generator(device="cpu").manual_seed(seed)


@pytest.mark.parametrize("shape", [(64, 1, 28, 28), (3, 2, 9, 14), (1, 1, 1, 1), (0, 1, 28, 28)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_keeps_shape_dtype_and_range(shape, dtype):
    images = torch.rand(shape, generator=generator()).to(dtype)
    warped = augment(images, generator())
    assert (warped.shape, warped.dtype) == (images.shape, dtype)
    assert not warped.numel() or (warped.min() >= 0 and warped.max() <= 1.001)


def test_the_same_generator_gives_the_same_warps_and_each_image_its_own():
    same = DIGITS[:1].expand(6, -1, -1, -1)
    warped = augment(same, generator())
    assert torch.equal(warped, augment(same, generator()))
    assert not torch.equal(warped, augment(same, generator(1)))
    assert len({tuple(image.flatten().tolist()) for image in warped}) == 6


@pytest.mark.parametrize("default", ["meta", torch.float64])
def test_torchs_defaults_change_nothing(default):
    """Its default device is another one ("meta" plays the GPU), or its default dtype float64."""
    expected = augment(DIGITS, generator())
    of_dtype = isinstance(default, torch.dtype)
    set_default, before = (torch.set_default_dtype, torch.float32) if of_dtype else (torch.set_default_device, None)
    set_default(default)
    try:
        warped = augment(DIGITS, generator())
    finally:
        set_default(before)
    assert (warped.device.type, warped.dtype) == ("cpu", torch.float32)
    assert torch.equal(warped, expected)


@pytest.mark.parametrize("number", [np.float32, np.float64, torch.tensor, np.array, Fraction])
def test_strength_is_any_real_number(number):
    assert torch.equal(augment(DIGITS, generator(), number(0.5)), augment(DIGITS, generator(), 0.5))


def test_strength_0_changes_nothing():
    assert torch.equal(augment(DIGITS, generator(), strength=0), DIGITS)


def places(strength, size, count=4000):
    """Where each pixel was read, in normalised units: of an image that shows its own coordinates. ``(N, 2, H, W)``."""
    height, width = size
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    ramp = torch.stack([x * (1 - 1 / width), y * (1 - 1 / height)]).expand(count, -1, -1, -1)
    return augment(ramp, generator(), strength)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_warps_fill_the_limits_they_are_said_to_have_and_keep_them(strength):
    """Read θ off the middle of a picture of coordinates, in pixels, and take it apart."""
    height, width = 40, 60
    read = places(strength, (height, width))
    rows, columns = slice(height // 2 - 1, height // 2 + 1), slice(width // 2 - 1, width // 2 + 1)
    middle = read[:, :, rows, columns]
    pixels = middle * torch.tensor([width, height])[:, None, None] / 2
    shift = middle.mean((2, 3))
    across = (pixels[:, :, :, 1] - pixels[:, :, :, 0]).mean(2)  # what one step to the right reads further on
    down = (pixels[:, :, 1] - pixels[:, :, 0]).mean(2)
    angle = torch.atan2(across[:, 1], across[:, 0])
    scale = across.norm(dim=1)
    sheared = (down * torch.stack([angle.cos(), angle.sin()], -1)).sum(1) / scale
    found = {"rotation": angle.rad2deg(), "scale": scale - 1, "shear": sheared, "x": shift[:, 0], "y": shift[:, 1]}
    limits = {"rotation": ROTATION, "scale": SCALE, "shear": SHEAR, "x": 2 * SHIFT, "y": 2 * SHIFT}
    for name, values in found.items():
        limit = strength * limits[name]
        assert values.abs().max() <= limit * 1.01 + 1e-4, name
        assert values.max() > 0.97 * limit, name
        assert values.min() < -0.97 * limit, name
        assert values.std() == pytest.approx(limit / math.sqrt(3), rel=0.05), name


def test_outside_lies_the_edge():
    ones = torch.ones(200, 1, 10, 10)
    torch.testing.assert_close(augment(ones, generator(), strength=5), ones)


def test_is_an_affine_warp_of_the_digit():
    """Undone by the inverse θ, a digit comes back, but for the blur of two readings."""
    from stncourse import Sampler, affine_grid

    torch.manual_seed(0)
    rotation, scale, shear, x, y = 2 * torch.rand(5, 64, generator=generator()) - 1
    theta = affine_theta(
        ROTATION * rotation, 1 + SCALE * scale, SHEAR * shear, (2 * SHIFT * x, 2 * SHIFT * y), (28, 28)
    )
    restored = Sampler()(augment(DIGITS, generator()), affine_grid(inverse(theta), (28, 28)))
    assert (restored - DIGITS).abs().mean() < 0.5 * (augment(DIGITS, generator()) - DIGITS).abs().mean()


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"images": (DIGITS * 255).byte()}, TypeError, "images"),
        ({"images": DIGITS[0]}, ValueError, "images"),
        ({"generator": 0}, TypeError, "generator"),
        ({"strength": -1}, ValueError, "strength"),
        ({"strength": 10}, ValueError, "strength"),
        ({"strength": math.nan}, ValueError, "strength"),
        ({"strength": "1"}, ValueError, "strength"),
        ({"strength": True}, ValueError, "strength"),
        ({"strength": np.float64(9.5)}, ValueError, "strength"),
        ({"strength": torch.tensor([1.0])}, ValueError, "strength"),
    ],
)
def test_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        augment(**{"images": DIGITS} | arguments)


@pytest.mark.gpu
def test_a_gpu_gets_the_same_warps():
    torch.testing.assert_close(
        augment(DIGITS.cuda(), generator()).cpu(), augment(DIGITS, generator()), atol=1e-4, rtol=0
    )
