"""Two digits at once: in two channels, to be added, or side by side in one image, to be read."""

from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.data.digits import Digits, check_ten_classes
from stncourse.data.distortions import KINDS, Distorted, distort
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.theta import affine_theta

_DIGIT, _CANVAS = 28, 64


class Pairs(NamedTuple):
    """What :func:`pairs_of` made."""

    digits: Digits  #: images (N, 2, H, W), a digit a channel; labels (N,), their sum, 0 to 18
    each: torch.Tensor  #: (N, 2), the labels of the two


def pairs_of(digits, count, generator=None):
    """Pairs of digits, each in a channel of its own, with their sum as label (Jaderberg et al. 2015, appendix A.1).

    Both are drawn at random, with replacement: any digit may come several times, also in both channels.

    Args:
        digits: :class:`stncourse.Digits` of one channel.
        count: how many pairs.
        generator: ``torch.Generator`` on the CPU; the same state gives the same pairs.

    Returns:
        :class:`Pairs` ``(digits, each)``.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> pairs, each = pairs_of(load_digits("test", source="offline"), 5, torch.Generator().manual_seed(0))
    >>> pairs.images.shape, bool((pairs.labels == each.sum(1)).all())
    (torch.Size([5, 2, 28, 28]), True)
    """
    chosen = _two_of(digits, count, generator)
    each = digits.labels[chosen]
    return Pairs(Digits(digits.images[chosen][:, :, 0], each.sum(1), digits.source), each)


def distort_each(images, kind, generator=None):
    """Distort every channel at random by itself; see :func:`stncourse.distort`.

    Args:
        images: ``(N, C, H, W)``, raw.
        kind: one of ``stncourse.KINDS``.
        generator: ``torch.Generator`` on the CPU.

    Returns:
        :class:`stncourse.Distorted`: images ``(N, C, H_out, W_out)``, theta ``(N, C, 2, 3)`` (P ``(N, C, 3, 3)``, E
        None) and grid ``(N, C, H_out, W_out, 2)``.

    Convention:
        ``theta[i, c]`` made channel ``c`` of image ``i``: distorted (output) coordinates → original (input)
        coordinates, (x, y) in [-1, 1], ``align_corners=False``.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> pairs, _ = pairs_of(load_digits("test", source="offline"), 5, torch.Generator().manual_seed(0))
    >>> distort_each(pairs.images, "RTS", torch.Generator().manual_seed(0)).theta.shape
    torch.Size([5, 2, 2, 3])
    """
    _check.tensor("images", images, "N C H W", floating=False)
    made = distort(images.flatten(0, 1)[:, None], kind, generator)
    theta = None if made.theta is None else made.theta.unflatten(0, images.shape[:2])
    return Distorted(made.images[:, 0].unflatten(0, images.shape[:2]), theta, made.grid.unflatten(0, images.shape[:2]))


class EachDistorted:
    """A transform for :func:`stncourse.fit`: every channel gets a fresh distortion of its own, in every batch."""

    def __init__(self, kind):
        self.kind = _check.choice("kind", kind, KINDS)
        self.__qualname__ = f"EachDistorted {kind}"  # a checkpoint of another one is refused

    def __call__(self, images, generator):
        return distort_each(images, self.kind, generator).images


def two_in_one(digits, count, generator=None):
    """Two digits in one 64×64 image, both to be read: one in the left half, one in the right.

    Each is magnified by 0.6 to 1.0 and lies anywhere in its half, 32 pixels wide and 64 high.

    Args:
        digits: :class:`stncourse.Digits` of one channel, 28×28.
        count: how many images.
        generator: ``torch.Generator`` on the CPU; the same state gives the same images.

    Returns:
        :class:`stncourse.Digits`: images ``(N, 1, 64, 64)``, labels ``(N, 2)``, left and right.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> two = two_in_one(load_digits("test", source="offline"), 5, torch.Generator().manual_seed(0))
    >>> two.images.shape, two.labels.shape
    (torch.Size([5, 1, 64, 64]), torch.Size([5, 2]))
    """
    chosen = _two_of(digits, count, generator)
    if digits.images.shape[-2:] != (_DIGIT, _DIGIT):
        raise ValueError(f"digits: expected images of {_DIGIT}×{_DIGIT}, got {digits!r}")
    drawn = torch.rand(3, 2 * len(chosen), generator=generator, dtype=torch.float32, device="cpu")
    magnification = 0.6 + 0.4 * drawn[0]
    # Half a digit, and half a half of the canvas, in the canvas's normalised units.
    half, middle = magnification * _DIGIT / _CANVAS, torch.tensor([-0.5, 0.5], device="cpu").repeat(len(chosen))
    x = middle + (0.5 - half) * (2 * drawn[1] - 1)
    y = (1 - half) * (2 * drawn[2] - 1)
    # The point on the digit that a pixel of the canvas shows: (pixel - centre) / half.
    theta = affine_theta(scale=1 / half, translation=(-x / half, -y / half))
    grid = affine_grid(theta, (_CANVAS, _CANVAS)).to(digits.images.device)
    placed = Sampler()(digits.images[chosen].flatten(0, 1).float(), grid)
    images = placed.unflatten(0, (len(chosen), 2)).amax(1)
    return Digits(images.round().to(torch.uint8), digits.labels[chosen], digits.source)


def _two_of(digits, count, generator):
    """Positions ``(count, 2)`` of pairs; the arguments checked."""
    check_ten_classes(digits, "a pair of digits")
    count = _check.positive_int("count", count)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    return torch.randint(len(digits), (count, 2), generator=generator, device="cpu")
