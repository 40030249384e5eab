"""Augmentation: training digits turned, scaled, sheared and moved a little, another way every time."""

import torch

from stncourse import _check
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.theta import affine_theta

#: How far, at strength 1: degrees, part of the size, sideways step per step down, part of the image's side.
ROTATION, SCALE, SHEAR, SHIFT = 10.0, 0.08, 0.1, 0.05
MAXIMUM_STRENGTH = 9  # ±90°; at 12.5 an image may be scaled to nothing
_SAMPLER = Sampler(padding_mode="border")


def augment(images, generator=None, strength=1.0):
    """Warp each image by a small random affine transform, with the course's own grid and sampler.

    At strength 1: turned by up to ±10°, scaled by up to ±8 %, sheared by up to ±0.1, moved by up to ±5 % of the image's
    side (1.4 pixels of 28) each way, all uniform. Outside the image lies its edge (border padding).

    Args:
        images: ``(N, C, H, W)`` floating-point.
        generator: ``torch.Generator`` on the CPU; the same state gives the same transforms, on any device.
        strength: a factor on all of these; 0 leaves the images alone.

    Returns:
        Tensor of the same shape, dtype and device.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> images = torch.rand(5, 1, 28, 28)
    >>> augment(images, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 1, 28, 28])
    """
    _check.tensor("images", images, "N C H W")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    expected = f"a number from 0 to {MAXIMUM_STRENGTH}"
    strength = _check.number("strength", strength, expected, lambda value: 0 <= value <= MAXIMUM_STRENGTH)
    if strength == 0:
        return images
    size = tuple(images.shape[-2:])
    # The same draws whatever torch's default dtype and device.
    drawn = torch.rand(5, len(images), generator=generator, dtype=torch.float32, device="cpu")
    rotation, scale, shear, x, y = strength * (2 * drawn - 1)
    theta = affine_theta(ROTATION * rotation, 1 + SCALE * scale, SHEAR * shear, (2 * SHIFT * x, 2 * SHIFT * y), size)
    grid = affine_grid(theta.to(images.device), size)
    return _SAMPLER(images.to(grid.dtype), grid).to(images.dtype)
