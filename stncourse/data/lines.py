"""Lines of several digits, straight and curved: what a stiff transform cannot undo and a thin-plate spline can."""

from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.data.digits import Digits, check_ten_classes
from stncourse.data.distortions import _uniform
from stncourse.transformer.grids import pixel_centers
from stncourse.transformer.sampling import Sampler

# Below this a line is straight: over 84 pixels its ends are a thousandth of a pixel lower.
_STRAIGHT = 1e-4  # radians


class Curved(NamedTuple):
    """What :func:`curve_lines` made."""

    images: torch.Tensor  #: (N, C, H_out, W_out), dtype as given
    turn: torch.Tensor  #: (N,), degrees by which the line's direction turns from its left end to its right end
    grid: torch.Tensor  #: (N, H_out, W_out, 2), where each pixel of the curved line was read in the straight one


def digit_lines(digits, count, length=3, generator=None):
    """Digits drawn at random and put side by side: straight lines of text, each labelled with the number it shows.

    Args:
        digits: :class:`Digits` to draw from, labelled 0 to 9; a digit may come again.
        count: how many lines.
        length: digits in a line, up to 18 (an int64 holds no longer number).
        generator: ``torch.Generator`` on the CPU; the same state gives the same lines.

    Returns:
        :class:`Digits`: ``count`` images ``(C, H, length · W)``, and as labels the numbers, read from the left.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> lines = digit_lines(load_digits("test", source="offline"), 5, generator=torch.Generator().manual_seed(0))
    >>> lines.images.shape, lines.labels
    (torch.Size([5, 1, 28, 84]), tensor([897, 981, 624, 499, 715]))
    """
    check_ten_classes(digits, "a line of digits", grey=False)
    count, length = _check.positive_int("count", count), _check.positive_int("length", length)
    if length > 18:
        raise ValueError(f"length: expected up to 18, got {length}")
    _check_generator(generator)
    drawn = torch.randint(len(digits), (length, count), generator=generator, device="cpu")
    numbers = torch.zeros(count, dtype=torch.int64, device="cpu")
    for place in drawn:
        numbers = 10 * numbers + digits.labels[place]
    return Digits(torch.cat([digits.images[place] for place in drawn], dim=-1), numbers, digits.source)


def curve_lines(images, generator=None, size=(48, 84), most=120.0):
    """Bend straight lines of text along arcs of circles, as on a stamp or around a bottle.

    Each image is laid along an arc as long as the image is wide; each digit turns with it. By how many degrees the
    line's direction turns from one end to the other is drawn uniformly from ±``most``; positive ones are arches, with
    their ends below their middle. The arc lies in the middle of the canvas, ends and middle equally far from it. What
    does not fit there is cut off.

    Args:
        images: ``(N, C, H, W)`` straight lines, uint8 or floating-point, *not normalised*: 0 is background.
        generator: ``torch.Generator`` on the CPU; the same state gives the same arcs.
        size: the canvas ``(H_out, W_out)``, in the images' own pixels: nothing is enlarged.
        most: 0 to 180, in degrees.

    Returns:
        :class:`Curved` ``(images, turn, grid)``.

    Convention:
        The grid maps the curved image (output) to the straight one (input), (x, y) in [-1, 1], ``align_corners=False``.
        An arc of radius R around the point C: a pixel at the distance r from C is read R - r above the middle of the
        straight line, and as far along it as its angle around C takes up of the arc.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> line = digit_lines(load_digits("test", source="offline"), 5).images
    >>> curve_lines(line, torch.Generator().manual_seed(0)).images.shape
    torch.Size([5, 1, 48, 84])
    """
    _check.tensor("images", images, "N C H W", floating=False)
    _check_generator(generator)
    size = _check.image_size("size", size)
    most = _check.number("most", most, "degrees from 0 to 180", lambda angle: 0 <= angle <= 180)
    turn = _uniform(len(images), -most, most, generator)
    grid = _along_arcs(turn.double(), tuple(images.shape[-2:]), size).float().to(images.device)
    curved = Sampler()(images.to(grid.dtype), grid)
    if not images.is_floating_point():
        curved = curved.round()
    return Curved(curved.to(images.dtype), turn.to(images.device), grid)


def _check_generator(generator):
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")


def _along_arcs(turn, line, canvas):
    """Grids, float64, that read straight lines of size ``line`` along arcs that turn by so many degrees."""
    turn = torch.deg2rad(turn)[:, None, None]
    turn = torch.where(turn.abs() < _STRAIGHT, _STRAIGHT, turn)
    radius = line[1] / turn  # of the middle of the line; below 0: around a point above it
    # In pixels from the canvas's middle. The line's middle is as far above it as its ends are below.
    x, y = (side / 2 * pixel_centers(side, dtype=torch.float64) for side in reversed(canvas))
    y = y[:, None] + radius / 2 * (1 - torch.cos(turn / 2)) - radius  # from the arc's own centre
    along = radius.abs() * torch.atan2(x, -radius.sign() * y)
    below = radius - radius.sign() * torch.hypot(x, y)
    return torch.stack([along / (line[1] / 2), below / (line[0] / 2)], -1)
