"""Distorted digits with the true θ of each: what an STN is asked to undo (Jaderberg et al. 2015, section 4.1)."""

import math
from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.grids import affine_grid, affine_theta
from stncourse.sampling import Sampler

KINDS = ("R", "RTS")


class Distorted(NamedTuple):
    """What :func:`distort` made."""

    images: torch.Tensor  #: (N, C, H_out, W_out), dtype as given
    theta: torch.Tensor  #: (N, 2, 3), from the distorted image to the original: output → input
    grid: torch.Tensor  #: (N, H_out, W_out, 2), where each distorted pixel was read in the original


def distort(images, kind, generator=None):
    """Distort raw digits at random, and say exactly how.

    - ``"R"``: rotation, uniform within ±90°; same size.
    - ``"RTS"``: rotation within ±45°, magnification 0.7 to 1.2, at a random place on a canvas 1.5 times as wide and
      high (42×42 for MNIST), as far from its edge as the magnified square of the digit allows.

    Args:
        images: ``(N, C, H, W)``, uint8 or floating-point, *not normalised*: 0 is background.
        kind: one of ``stncourse.KINDS``.
        generator: ``torch.Generator`` on the CPU; the same state gives the same distortions.

    Returns:
        :class:`Distorted` ``(images, theta, grid)``.

    Convention:
        ``theta`` is the θ that *made* the distorted image by sampling the original: distorted (output) coordinates →
        original (input) coordinates. Rotation by +30 in it shows the digit turned 30° counter-clockwise. An STN that
        undoes it perfectly finds the inverse matrix.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> digits = load_digits("test", source="offline").images[:5]
    >>> distort(digits, "RTS", torch.Generator().manual_seed(0)).images.shape
    torch.Size([5, 1, 42, 42])
    """
    _check.tensor("images", images, "N C H W", floating=False)
    _check.choice("kind", kind, KINDS)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    height, width = images.shape[-2:]
    if kind == "R":
        size = (height, width)
        theta = affine_theta(rotation=_uniform(len(images), -90, 90, generator), size=size)
    else:
        size = (math.ceil(1.5 * height), math.ceil(1.5 * width))
        theta = _rts_theta(len(images), (height, width), size, generator)
    theta = theta.to(images.device)
    grid = affine_grid(theta, size)
    warped = Sampler()(images.to(grid.dtype), grid)
    if not images.is_floating_point():
        warped = warped.round()
    return Distorted(warped.to(images.dtype), theta, grid)


def _rts_theta(count, size_in, size_out, generator):
    rotation = _uniform(count, -45, 45, generator)
    magnification = _uniform(count, 0.7, 1.2, generator)
    # Where the digit's centre goes on the canvas, in normalised units, so that its square stays inside.
    room = [1 - magnification * small / large for small, large in zip(size_in, size_out, strict=True)]
    center_y, center_x = (_uniform(count, -1, 1, generator) * r for r in room)
    zoom_x, zoom_y = size_out[1] / size_in[1] / magnification, size_out[0] / size_in[0] / magnification
    theta = affine_theta(rotation=rotation, scale=(zoom_x, zoom_y), size=size_in)
    # input = A (output - center), so the translation is -A center.
    theta[:, :, 2] = -(theta[:, :, :2] @ torch.stack([center_x, center_y], -1)[:, :, None])[:, :, 0]
    return theta


def _uniform(count, low, high, generator):
    return torch.rand(count, generator=generator) * (high - low) + low
