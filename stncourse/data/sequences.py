"""Rows of one to five digits on a larger canvas, at any place and size: numbers to be read as a whole."""

from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.data.digits import check_ten_classes

#: Digits in the longest row, and the class that says "no digit here (any more)".
LONGEST, NONE = 5, 10

_SMALLEST, _LARGEST = 14.0, 32.0  # pixels: the side of a digit's square
_CLOSEST, _WIDEST = 0.7, 0.85  # from one digit to the next, in sides; a fifth of MNIST's square is margin
_DRAWN = {"dtype": torch.float64, "device": "cpu"}


class Sequences(NamedTuple):
    """What :func:`digit_sequences` made."""

    images: torch.Tensor  #: (N, 1, size, size) uint8
    labels: torch.Tensor  #: (N, 5) int64: the digits from left to right, then 10, "none"
    frames: torch.Tensor  #: (N, 5, 2, 3), the θ that looks at each digit's square; NaN where there is none


def digit_sequences(digits, count, generator=None, size=64):
    """Make rows of one to five digits, each row at a random place and of a random size, on a black canvas.

    After the house numbers of the paper's section 4.2, which are such rows photographed. (These are *not* SVHN: no
    colour, no clutter, no slant.) As many rows of one digit as of two, …, of five. A digit's square has a side of 14 to
    32 pixels, or as much as fits, and the next one stands 0.7 to 0.85 sides to the right; the whole row lies on the
    canvas. Where squares overlap, the brighter pixel shows. On a larger canvas the digits stay as large as they are,
    and there is more to search, as in the paper's 128×128 images.

    Args:
        digits: :class:`stncourse.Digits` of one channel to draw from, each as often as it comes.
        count: how many rows.
        generator: ``torch.Generator`` on the CPU; the same state gives the same rows.
        size: side of the canvas; at least 64, so that five digits fit.

    Returns:
        :class:`Sequences` ``(images, labels, frames)``.

    Convention:
        ``frames[n, k]`` maps output → input, in [-1, 1], (x, y), ``align_corners=False``: sampled by it, the canvas
        shows digit ``k``'s square and nothing else, as an attention transform that reads it should.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> rows = digit_sequences(load_digits("test", source="offline"), 4, torch.Generator().manual_seed(0))
    >>> rows.images.shape, rows.labels[2:]
    (torch.Size([4, 1, 64, 64]), tensor([[ 5,  5,  2,  3, 10],
            [ 5, 10, 10, 10, 10]]))
    """
    check_ten_classes(digits, "a row of digits")
    count, size = _check.positive_int("count", count), _check.positive_int("size", size, minimum=64)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    length = torch.randint(1, LONGEST + 1, (count, 1), generator=generator, device="cpu")
    chosen = torch.randint(len(digits), (count, LONGEST), generator=generator, device="cpu")
    there = torch.arange(LONGEST, device="cpu") < length
    labels = torch.where(there, digits.labels.cpu()[chosen], NONE)
    sides, left, top = _placed(length, size, generator)
    images = torch.empty(count, 1, size, size, dtype=torch.uint8, device="cpu")
    for start in range(0, count, 1000):  # their floats all at once would fill the memory
        part = slice(start, start + 1000)
        squares = digits.images.cpu()[chosen[part], 0] * there[part, :, None, None]
        images[part, 0] = _painted(squares, sides[part], left[part], top[part], size)
    frames = torch.zeros(count, LONGEST, 2, 3, **_DRAWN)
    frames[..., 0, 0] = frames[..., 1, 1] = sides / size
    frames[..., 0, 2] = (2 * left + sides) / size - 1
    frames[..., 1, 2] = (2 * top + sides) / size - 1
    frames[~there] = torch.nan
    return Sequences(images, labels, frames.float())


def _placed(length, size, generator):
    """Of each digit's square, in pixels: its side ``(N, 1)``, left ``(N, 5)`` and upper edge ``(N, 1)``."""

    def uniform(low, high):
        return low + torch.rand(length.shape, generator=generator, **_DRAWN) * (high - low)

    step = uniform(_CLOSEST, _WIDEST)
    sides_in_row = 1 + (length - 1) * step
    side = uniform(_SMALLEST, (size / sides_in_row).clamp(max=_LARGEST))
    left = uniform(0.0, size - side * sides_in_row) + side * step * torch.arange(LONGEST, **_DRAWN)
    return side, left, uniform(0.0, size - side)


def _painted(squares, side, left, top, size):
    """``(N, 5, H, W)`` squares, shrunk or enlarged to these sides -> the ``(N, size, size)`` canvases, uint8."""
    height, width = squares.shape[-2:]
    down = _weights(height, side, top, size)
    across = _weights(width, side, left, size)
    return (down @ squares.float() @ across.mT).amax(1).round().to(torch.uint8)


def _weights(pixels, side, start, size):
    """How much of each of a square's rows is in each row of the canvas: ``(N, 1 or 5, size, pixels)``, float32.

    A triangle of one pixel's width, of the square or of the canvas, whichever is larger: bilinear where the square is
    enlarged, and without aliasing where it is shrunk.
    """
    scale = (pixels / side)[..., None, None]
    wanted = (torch.arange(size, **_DRAWN)[:, None] + 0.5 - start[..., None, None]) * scale - 0.5
    reach = 2 * -(-pixels // int(_SMALLEST))  # pixels around the square, black ones: with them a triangle is whole
    there = torch.arange(-reach, pixels + reach, dtype=torch.float32, device="cpu")
    weights = (1 - (wanted.float() - there).abs() / scale.float().clamp(min=1)).clamp(min=0)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)
    return weights[..., reach:-reach]
