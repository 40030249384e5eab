"""Distorted digits with the true θ of each: what an STN is asked to undo (Jaderberg et al. 2015, section 4.1).

The paper says how R, RTS and TC are made. Of P and E it leaves open on which canvas; that, and their range of scales,
we know from reimplementations only. Here P and E stay on the digit's own canvas. Nor does it say in which direction P
"stretches" a corner by its one random amount; here it is along the diagonal. Of the readings that we tried this one
gives errors nearest to the paper's (notebook 10).
"""

import functools
from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.transformer.grids import affine_grid, pixel_centers, projective_grid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.splines import lattice, spline_weights
from stncourse.transformer.theta import affine_theta

#: The paper's distortions: rotated; rotated, scaled and translated; projective; elastic; translated, with clutter.
KINDS = ("R", "RTS", "P", "E", "TC")

# All in proportion to MNIST's 28 pixels, so that other sizes are distorted alike.
_MNIST = 28
_RTS_CANVAS, _TC_CANVAS = 42, 60
_CORNER_MOVES, _CONTROL_MOVES = 5.0, 1.5  # standard deviations, in pixels
_PATCHES, _PATCH = 6, 6
_DRAWN = {"dtype": torch.float32, "device": "cpu"}  # as the generator is, whatever torch's defaults


class Distorted(NamedTuple):
    """What :func:`distort` made."""

    images: torch.Tensor  #: (N, C, H_out, W_out), dtype as given
    theta: torch.Tensor | None  #: (N, 2, 3), P (N, 3, 3), from the distorted image to the original; E: None
    grid: torch.Tensor  #: (N, H_out, W_out, 2), where each distorted pixel was read in the original


def distort(images, kind, generator=None, others=None):
    """Distort raw digits at random, and say exactly how.

    Lengths are pixels of MNIST's 28×28; with other sizes everything is in proportion.

    - ``"R"``: rotation, uniform within ±90°; same size.
    - ``"RTS"``: rotation within ±45°, magnification 0.7 to 1.2, at a random place on a 42×42 canvas, as far from its
      edge as the magnified square of the digit allows.
    - ``"P"``: magnification 0.75 to 1.0, then each corner of the digit's square moves along its diagonal, outwards or
      inwards, by N(0, 5 pixels); same size. Corners that no projection of a square has (not convex, one in 500) are
      drawn again.
    - ``"E"``: magnification 0.75 to 1.0, then the 4×4 control points of a thin-plate spline, a regular lattice over the
      image, look N(0, 1.5 pixels) aside along x and y; same size.
    - ``"TC"``: the digit at a random place of a 60×60 canvas, in whole pixels, and six patches of 6×6 pixels, cut at
      random from *other* digits, at random places. Where things overlap, the brighter pixel shows.

    R, RTS and TC are the paper's. The canvas of P and E, and their scales, are known from reimplementations only; that
    P's corners move along the diagonals is our reading of "stretching each corner of an image by an amount".

    Args:
        images: ``(N, C, H, W)``, uint8 or floating-point, *not normalised*: 0 is background.
        kind: one of ``stncourse.KINDS``.
        generator: ``torch.Generator`` on the CPU; the same state gives the same distortions.
        others: for ``"TC"``: ``(M, C, H, W)``, digits to cut the patches from. Default: the other images of the batch,
            so that a batch of training digits is cluttered with training digits only.

    Returns:
        :class:`Distorted` ``(images, theta, grid)``.

    Convention:
        ``theta`` is the θ that *made* the distorted image by sampling the original: distorted (output) coordinates →
        original (input) coordinates. Rotation by +30 in it shows the digit turned 30° counter-clockwise. An STN that
        undoes it perfectly finds the inverse matrix. It is ``(N, 3, 3)`` for P, to be divided by the third coordinate
        (:func:`stncourse.projective_grid`), and None for E, which no matrix describes. The clutter of TC is in no θ.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above; TC of one single image without others.

    >>> digits = load_digits("test", source="offline").images[:5]
    >>> distort(digits, "RTS", torch.Generator().manual_seed(0)).images.shape
    torch.Size([5, 1, 42, 42])
    """
    _check.tensor("images", images, "N C H W", floating=False)
    _check.choice("kind", kind, KINDS)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    _check_others(others, images, kind)
    theta, grid = _MAKERS[kind](len(images), tuple(images.shape[-2:]), generator)
    grid = grid.to(images.device)
    warped = Sampler()(images.to(grid.dtype), grid)
    if kind == "TC":
        warped = _with_clutter(warped, images, others, generator)
    if not images.is_floating_point():
        warped = warped.round()
    return Distorted(warped.to(images.dtype), None if theta is None else theta.to(images.device), grid)


def _check_others(others, images, kind):
    if others is None:
        if kind == "TC" and len(images) == 1:
            raise ValueError("others: expected digits to cut the clutter from, as there is one image only, got None")
        return
    if kind != "TC":
        raise ValueError(f"others: expected None, as only 'TC' has clutter, got {_check.describe(others)}")
    _check.tensor("others", others, "M " + " ".join(map(str, images.shape[1:])), floating=False)
    if others.dtype != images.dtype or others.device != images.device or not len(others):
        raise ValueError(
            f"others: expected at least one image, {images.dtype} on {images.device} like images, "
            f"got {_check.describe(others)} on {others.device}"
        )


# Each: how many, size of the originals, generator -> (theta, grid)


def _rotated(count, size, generator):
    theta = affine_theta(rotation=_uniform(count, -90, 90, generator), size=size)
    return theta, affine_grid(theta, size)


def _rotated_scaled_moved(count, size, generator):
    canvas = _canvas(size, _RTS_CANVAS)
    rotation = _uniform(count, -45, 45, generator)
    magnification = _uniform(count, 0.7, 1.2, generator)
    # Where the digit's centre goes on the canvas, in normalised units, so that its square stays inside.
    room = [1 - magnification * small / large for small, large in zip(size, canvas, strict=True)]
    center_y, center_x = (_uniform(count, -1, 1, generator) * r for r in room)
    zoom_x, zoom_y = canvas[1] / size[1] / magnification, canvas[0] / size[0] / magnification
    theta = affine_theta(rotation=rotation, scale=(zoom_x, zoom_y), size=size)
    # input = A (output - center), so the translation is -A center.
    theta[:, :, 2] = -(theta[:, :, :2] @ torch.stack([center_x, center_y], -1)[:, :, None])[:, :, 0]
    return theta, affine_grid(theta, canvas)


def _projected(count, size, generator):
    corners = _moved_corners(count, generator)
    # The other way is asked for, distorted → original; but only this way the ninth number is never 0, as the digit's
    # centre lands where the diagonals cross.
    theta = torch.linalg.inv(_homography(_SQUARE, corners))
    theta = (theta / theta[:, 2:, 2:].abs()).float()
    return theta, projective_grid(theta, size)


# Clockwise.
_SQUARE = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64, device="cpu")


def _moved_corners(count, generator):
    """Where the corners of each digit's square go: ``(count, 4, 2)``, convex."""
    magnification = _uniform(count, 0.75, 1.0, generator)[:, None, None]
    outwards = 2 * _CORNER_MOVES / _MNIST * _SQUARE / 2**0.5  # one standard deviation along the diagonal
    corners = torch.zeros(count, 4, 2, dtype=torch.float64, device="cpu")
    while (again := ~_is_convex(corners)).any():
        amounts = torch.randn(int(again.sum()), 4, 1, generator=generator, **_DRAWN)
        corners[again] = magnification[again] * _SQUARE + outwards * amounts
    return corners


def _is_convex(corners):
    """Whether four corners, clockwise on the screen, always turn right, and by more than nearly nothing."""
    sides = corners.roll(-1, 1) - corners
    following = sides.roll(-1, 1)
    turns = sides[..., 0] * following[..., 1] - sides[..., 1] * following[..., 0]
    return (turns > 0.01).all(1)


def _homography(source, target):
    """The ``(N, 3, 3)`` matrices, ninth number 1, that take four points ``(4, 2)`` to ``(N, 4, 2)``."""
    x, y = source.expand_as(target).unbind(-1)
    u, v = target.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # u (g x + h y + 1) = a x + b y + c, and the same for v with d, e, f.
    rows_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)
    rows_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    numbers = torch.linalg.solve(torch.cat([rows_u, rows_v], 1), torch.cat([u, v], 1))
    return torch.cat([numbers, one[:, :1]], 1).reshape(-1, 3, 3)


def _elastic(count, size, generator):
    magnification = _uniform(count, 0.75, 1.0, generator)[:, None, None]
    moves = 2 * _CONTROL_MOVES / _MNIST * torch.randn(count, 16, 2, generator=generator, **_DRAWN)
    base, weights = _sheet(size)
    grid = (base + weights @ moves) / magnification
    return None, grid.reshape(count, *size, 2)


@functools.lru_cache(maxsize=8)
def _sheet(size):
    """Pixel centres ``(H·W, 2)``, and how far each follows the 16 control points."""
    with torch.device("cpu"):  # kept for later calls, when torch's default may be another one
        x, y = pixel_centers(size[1]), pixel_centers(size[0])
        base = torch.stack([x.repeat(size[0]), y.repeat_interleave(size[1])], -1)
        return base, spline_weights(base.double(), lattice(4, 4)).float()


def _placed(count, size, generator):
    canvas = _canvas(size, _TC_CANVAS)
    # Whole pixels from the upper left corner; the digit's square stays inside.
    top, left = (_whole(count, large - small + 1, generator).float() for small, large in zip(size, canvas, strict=True))
    theta = torch.zeros(count, 2, 3, **_DRAWN)
    for axis, (start, small, large) in enumerate(((left, size[1], canvas[1]), (top, size[0], canvas[0]))):
        theta[:, axis, axis] = large / small
        theta[:, axis, 2] = (large - 2 * start) / small - 1
    return theta, affine_grid(theta, canvas)


def _with_clutter(canvas, images, others, generator):
    """Six patches of other digits on each canvas."""
    count, channels, *size = images.shape
    if not count:
        return canvas
    pool = images if others is None else others
    patch = [max(1, round(_PATCH * side / _MNIST)) for side in size]
    shape = (count, _PATCHES)
    if others is None:  # any image but one's own
        digit = (torch.arange(count, device="cpu")[:, None] + 1 + _whole(shape, count - 1, generator)) % count
    else:
        digit = _whole(shape, len(others), generator)
    where = [
        _whole(shape, side - p + 1, generator) for side, p in zip((*size, *canvas.shape[-2:]), 2 * patch, strict=True)
    ]
    digit, from_y, from_x, to_y, to_x = (index.to(images.device) for index in (digit, *where))
    # All pixels of all patches at once: (count, patches · patch height · patch width).
    y, x = torch.meshgrid(*(torch.arange(p, device=images.device) for p in patch), indexing="ij")
    source = ((from_y[..., None, None] + y) * size[1] + from_x[..., None, None] + x).flatten(1)
    target = ((to_y[..., None, None] + y) * canvas.shape[-1] + to_x[..., None, None] + x).flatten(1)
    digit = digit[..., None, None].expand(*shape, *patch).flatten(1)
    pixels = pool.flatten(2)[digit, :, source].to(canvas.dtype).transpose(1, 2)
    return (
        canvas.flatten(2)
        .scatter_reduce(2, target[:, None].expand(-1, channels, -1), pixels, "amax")
        .reshape(canvas.shape)
    )


def _canvas(size, of_mnist):
    """A canvas as much larger than the digit as this many pixels are than MNIST's 28, rounded up."""
    return tuple(-(-of_mnist * side // _MNIST) for side in size)


def _uniform(count, low, high, generator):
    return torch.rand(count, generator=generator, **_DRAWN) * (high - low) + low


def _whole(shape, below, generator):
    """Whole numbers from 0 to ``below`` - 1, one for each of ``count`` or of a shape."""
    shape = (shape,) if isinstance(shape, int) else shape
    return torch.randint(below, shape, generator=generator, device="cpu")


_MAKERS = {"R": _rotated, "RTS": _rotated_scaled_moved, "P": _projected, "E": _elastic, "TC": _placed}


_TEST_SEED = 1234


class Distortion:
    """A transform for :func:`stncourse.fit`: fresh distortions of one kind for every batch."""

    def __init__(self, kind, digits):
        self.kind = kind
        self.spare = digits.images[:2]  # for the clutter of a last batch that is one single digit
        self.__qualname__ = f"Distortion {kind}"  # a checkpoint of another one is refused

    def __call__(self, images, generator):
        others = None
        if self.kind == "TC" and len(images) == 1:
            others = self.spare.to(images) / 255
        return distort(images, self.kind, generator, others).images


def distorted_test(digits, kind):
    """The digits to measure on: distorted once, the same way for all models and seeds."""
    images = distort(digits.images, kind, torch.Generator().manual_seed(_TEST_SEED)).images
    return Digits(images, digits.labels, digits.source)
