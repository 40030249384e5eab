"""What the θ playground shows, as a pure function: (digits, settings) -> frame. No widget in here.

The same, to be drawn by a browser, is in ``theta.js``: it gets a :func:`scene`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.device import resolve_device
from stncourse.figures.shown import black, denormalize, known, shown
from stncourse.playground.parameters import IDENTITY, invert, six_numbers, words_for
from stncourse.playground.picture import draw
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.sampling import Sampler

#: What lies outside the image: the name on the control -> padding_mode. The second pads the normalised image with 0.
PADDINGS = {
    "background": "zeros",
    "raw 0 (bright frame)": "zeros",
    "border": "border",
    "reflection": "reflection",
}
MODES = ("bilinear", "nearest", "bicubic")
DIRECTIONS = ("output → input", "input → output")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what the playground shows.

    Attributes:
        theta: the six numbers, row by row, up to ±``LARGEST``; or a ``(2, 3)`` or ``(1, 2, 3)`` tensor or array.
        padding: one of ``PADDINGS``. mode: one of ``MODES``.
        grid_align_corners, sampler_align_corners: may differ here: that is a lesson.
        output_size: side of the output in pixels, or ``(H, W)``, or None for the input's size.
        direction: one of ``DIRECTIONS``. With ``"input → output"``, θ says where the content goes, and the grid has to
            be made with its inverse.

    Raises:
        TypeError, ValueError: a value is not of the kind above.
    """

    theta: tuple = IDENTITY
    padding: str = "background"
    mode: str = "bilinear"
    grid_align_corners: bool = False
    sampler_align_corners: bool = False
    output_size: int | tuple | None = None
    direction: str = DIRECTIONS[0]

    def __post_init__(self):
        object.__setattr__(self, "theta", six_numbers(self.theta))
        _check.choice("padding", self.padding, PADDINGS)
        _check.choice("mode", self.mode, MODES)
        _check.choice("direction", self.direction, DIRECTIONS)
        for name in ("grid_align_corners", "sampler_align_corners"):
            object.__setattr__(self, name, _check.flag(name, getattr(self, name)))
        if self.output_size is not None:
            height, width = _check.image_size("output_size", self.output_size)
            object.__setattr__(self, "output_size", height if height == width else (height, width))

    def but(self, **changes):
        """The same settings with some values changed."""
        return replace(self, **changes)

    def size_for(self, images):
        """``(H_out, W_out)`` for ``(N, 1, H, W)`` images."""
        return tuple(images.shape[-2:]) if self.output_size is None else _check.image_size("size", self.output_size)

    def matrix(self):
        """θ as it goes into the grid generator: ``(1, 2, 3)``, output → input.

        Raises:
            ValueError: the direction is input → output and θ has no inverse.
        """
        theta = torch.tensor(self.theta, dtype=torch.float32, device="cpu").reshape(1, 2, 3)
        return theta if self.direction == DIRECTIONS[0] else invert(theta)


class Frame(NamedTuple):
    """What the playground shows for some settings."""

    png: bytes | None  #: the picture: per digit one row, input with its frame on the left, output on the right
    output: torch.Tensor  #: (N, 1, H_out, W_out), normalised, what the sampler made
    pixels: torch.Tensor  #: (N, 1, H_out, W_out) uint8, the same as it is shown
    words: str  #: what θ does, as a sentence


def render(images, settings, device="cpu", picture=True, *, like=None, background=None):
    """Sample ``images`` through θ and draw the result.

    Args:
        images: ``(N, 1, H, W)`` raw uint8; or a set of them, :class:`stncourse.Digits` or :class:`stncourse.ImageSet`.
        settings: :class:`Settings`.
        device: where to sample.
        picture: whether to draw it too; the frame's ``png`` is None without.
        like: the set whose numbers normalise the images. Default: ``images``, if it is a set, else MNIST.
        background: what is background *after normalisation*; default: black.

    Returns:
        :class:`Frame`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or θ has no inverse and one is needed.

    >>> digit = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    >>> render(digit, Settings(theta=(1, 0, 0.4, 0, 1, 0))).words
    'The digit comes out moved left by 0.40.'
    """
    images, like = raw_images(images, like)
    if not isinstance(settings, Settings):
        raise TypeError(f"settings: expected Settings, got {_check.describe(settings)}")
    theta, device = settings.matrix(), resolve_device(device)
    grid = affine_grid(theta.to(device), settings.size_for(images), settings.grid_align_corners).expand(
        len(images), -1, -1, -1
    )
    padding_mode, padding_value = _padding(settings.padding, like, background)
    sampler = Sampler(settings.mode, padding_mode, padding_value, settings.sampler_align_corners)
    with torch.no_grad():
        output = sampler(like.normalize(images).float().to(device), grid).cpu()
    pixels = (255 * denormalize(like, output)).clamp(0, 255).round().byte()
    png = draw(images, theta[0], pixels) if picture else None
    return Frame(png, output, pixels, words_for(theta))


def scene(images, settings, *, like=None, background=None):
    """All that ``theta.js`` needs to draw ``images`` as :func:`render` does, but for θ: JSON values."""
    images, like = raw_images(images, like)
    out_height, out_width = settings.size_for(images)
    return {
        "height": images.shape[-2],
        "width": images.shape[-1],
        "out_height": out_height,
        "out_width": out_width,
        **raw_padding(settings.padding, like, background),
        "mode": settings.mode,
        "grid_align_corners": settings.grid_align_corners,
        "sampler_align_corners": settings.sampler_align_corners,
        "inverse": settings.direction == DIRECTIONS[1],
    }


def _padding(name, like, background=None):
    """``(padding_mode, padding_value)`` for images that ``like`` normalises."""
    if name != "background":
        return PADDINGS[name], 0.0
    return PADDINGS[name], black(like)[0] if background is None else background


def raw_padding(name, like, background=None):
    """The same for the browser, where pixels are not normalised: 0 to 255."""
    mode, value = _padding(name, like, background)
    mean, std = (numbers[0] for numbers in like.scale)
    return {"padding": name, "padding_mode": mode, "padding_value": 255 * (value * std + mean)}


def raw_images(images, like=None):
    """``(N, 1, H, W)`` raw uint8 on the CPU, and the set whose numbers count."""
    images, _, like = shown(images, like=like, channels=1)
    if images.dtype != torch.uint8:
        raise TypeError(f"images: expected raw uint8 images, got {_check.describe(images)}")
    if not len(images):
        raise ValueError("images: expected at least one digit, got none")
    return images, known(like, images)
