"""What the θ playground shows, as a pure function: (digits, settings) -> frame. No widget in here.

The same, to be drawn by a browser, is in ``assets/playground.js``: it gets a :func:`scene`.
"""

import base64
import io
import json
import math
from dataclasses import dataclass, replace
from importlib import resources
from string import Template
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

from stncourse import _check
from stncourse._shown import black, denormalize, shown
from stncourse.device import resolve_device
from stncourse.grids import affine_grid, affine_theta
from stncourse.sampling import Sampler

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: What lies outside the image: the name on the control -> padding_mode. The second pads the normalised image with 0.
PADDINGS = {
    "background": "zeros",
    "raw 0 (bright frame)": "zeros",
    "border": "border",
    "reflection": "reflection",
}
MODES = ("bilinear", "nearest", "bicubic")
DIRECTIONS = ("output → input", "input → output")
#: Ranges of the sliders. θ outside them is kept all the same.
LIMITS = {
    "rotation": (-180.0, 180.0),
    "scale_x": (-2.0, 2.0),
    "scale_y": (-2.0, 2.0),
    "shear": (-2.0, 2.0),
    "shift_x": (-2.0, 2.0),
    "shift_y": (-2.0, 2.0),
}
SLIDERS = {
    "rotation": "rotation (°)",
    "scale_x": "scale x",
    "scale_y": "scale y",
    "shear": "shear",
    "shift_x": "shift x (tx)",
    "shift_y": "shift y (ty)",
}
STEPS = dict.fromkeys(LIMITS, 0.05) | {"rotation": 1.0}
_ROOT = math.sqrt(0.5)
PRESETS = {
    "identity": IDENTITY,
    "zoom in": (0.5, 0.0, 0.0, 0.0, 0.5, 0.0),
    "mirror": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "rotate 45°": (_ROOT, -_ROOT, 0.0, _ROOT, _ROOT, 0.0),
    "shear": (1.0, 0.5, 0.0, 0.0, 1.0, 0.0),
    "what does tx = +0.4 do?": (1.0, 0.0, 0.4, 0.0, 1.0, 0.0),
}
LARGEST = 1e6  #: of θ's entries: beyond it float32 coordinates mean nothing
PANEL = 224  #: pixels of one panel's side on the page
MARGIN = 0.25  #: of the input's side, shown around it, to see a frame that leaves the image
_GREY, _ORANGE = (200, 200, 200), (255, 159, 28)


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
        object.__setattr__(self, "theta", _six_numbers(self.theta))
        _check.choice("padding", self.padding, PADDINGS)
        _check.choice("mode", self.mode, MODES)
        _check.choice("direction", self.direction, DIRECTIONS)
        for name in ("grid_align_corners", "sampler_align_corners"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name}: expected True or False, got {_check.describe(getattr(self, name))}")
            object.__setattr__(self, name, bool(getattr(self, name)))
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


def _six_numbers(theta):
    values = theta
    if isinstance(theta, (torch.Tensor, np.ndarray)) and tuple(theta.shape) in ((6,), (2, 3), (1, 2, 3)):
        values = [] if getattr(theta, "is_meta", False) else theta.reshape(-1).tolist()
    values = [_check.as_real(value) for value in values] if isinstance(values, (tuple, list)) else [None]
    if None in values:
        raise TypeError(f"theta: expected a tuple of six numbers, got {_check.describe(theta)}")
    if len(values) != 6 or not all(abs(value) <= LARGEST for value in values):  # NaN is not <= either
        raise ValueError(f"theta: expected six numbers up to ±{LARGEST:,.0f}, got {_check.describe(theta)}")
    return tuple(map(float, values))


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
    >>> render(digit, Settings(theta=PRESETS["what does tx = +0.4 do?"])).words
    'The digit comes out moved left by 0.40.'
    """
    images, like = _raw_images(images, like)
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
    """All that ``assets/playground.js`` needs to draw ``images`` as :func:`render` does, but for θ: JSON values."""
    images, like = _raw_images(images, like)
    out_height, out_width = settings.size_for(images)
    return {
        "height": images.shape[-2],
        "width": images.shape[-1],
        "out_height": out_height,
        "out_width": out_width,
        **_raw_padding(settings.padding, like, background),
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


def _raw_padding(name, like, background=None):
    """The same for the browser, where pixels are not normalised: 0 to 255."""
    mode, value = _padding(name, like, background)
    mean, std = (numbers[0] for numbers in like.scale)
    return {"padding_mode": mode, "padding_value": 255 * (value * std + mean)}


def page(images):
    """The playground as one HTML page that needs no Python, no kernel and no network. Its controls are its own.

    Args:
        images: ``(N, 1, H, W)`` raw uint8, the digits to choose from; or a set of them.

    Returns:
        str, the page.

    Raises:
        TypeError, ValueError: ``images`` is not of the kind or shape above, or empty.

    >>> page(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)).startswith("<!doctype html>")
    True
    """
    images, like = _raw_images(images)
    start = decompose(IDENTITY)
    data = {
        "digits": base64.b64encode(images.numpy().tobytes()).decode(),
        "sliders": [
            {"text": text, "min": LIMITS[name][0], "max": LIMITS[name][1], "step": STEPS[name], "value": start[name]}
            for name, text in SLIDERS.items()
        ],
        "presets": {name: list(decompose(theta).values()) for name, theta in PRESETS.items()},
        "paddings": {name: _raw_padding(name, like) for name in PADDINGS},
        "scene": scene(images, Settings(), like=like),
    }
    template = Template((resources.files("stncourse") / "assets" / "playground.html").read_text(encoding="utf-8"))
    return template.substitute(script=browser_script(), data=json.dumps(data, ensure_ascii=False))


def _raw_images(images, like=None):
    """``(N, 1, H, W)`` raw uint8 on the CPU, and the set whose numbers count."""
    images, _, like = shown(images, like=like, channels=1)
    if images.dtype != torch.uint8:
        raise TypeError(f"images: expected raw uint8 images, got {_check.describe(images)}")
    if not len(images):
        raise ValueError("images: expected at least one digit, got none")
    return images, like


def browser_script():
    """The JavaScript module that draws the playground in a browser, as text."""
    return (resources.files("stncourse") / "assets" / "playground.js").read_text(encoding="utf-8")


def draw(images, theta, pixels):
    """One row per digit: the input with the frame that θ ``(2, 3)`` looks through, and the output. PNG bytes."""
    sheet = Image.new("RGB", (2 * PANEL + 16, len(images) * (PANEL + 8) - 8), "white")
    for row, (image, out) in enumerate(zip(images, pixels, strict=True)):
        top = row * (PANEL + 8)
        sheet.paste(_input_panel(image[0], theta), (0, top))
        panel = Image.fromarray(out[0].numpy()).resize((PANEL, PANEL), Image.Resampling.NEAREST)
        sheet.paste(panel, (PANEL + 16, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def output_from_picture(picture, size, row=0):
    """Read the output's pixels back out of a drawn picture, to compare what is shown with what was meant.

    Args:
        picture: PIL image of what :func:`draw` made.
        size: ``(H_out, W_out)``.
        row: which digit.

    Returns:
        uint8 tensor of shape ``size``.
    """
    height, width = size
    grey = torch.frombuffer(bytearray(picture.convert("L").tobytes()), dtype=torch.uint8)
    grey = grey.reshape(picture.height, picture.width)
    ys = row * (PANEL + 8) + ((torch.arange(height) + 0.5) * PANEL / height).long()
    xs = PANEL + 16 + ((torch.arange(width) + 0.5) * PANEL / width).long()
    return grey[ys][:, xs]


def _input_panel(image, theta):
    height, width = image.shape
    zoom = PANEL / (1 + 2 * MARGIN) / max(height, width)
    inner = (round(width * zoom), round(height * zoom))
    panel = Image.new("RGB", (PANEL, PANEL), _GREY)
    left, top = ((PANEL - side) // 2 for side in inner)
    panel.paste(Image.fromarray(image.numpy()).resize(inner, Image.Resampling.NEAREST), (left, top))
    pen = ImageDraw.Draw(panel)

    def place(points):
        """[-1, 1] coordinates of the output -> pixels of the panel, kept where a pen can draw."""
        x, y = (theta.new_tensor(points) @ theta.T).clamp(-50, 50).T
        return list(zip(((x + 1) / 2 * inner[0] + left).tolist(), ((y + 1) / 2 * inner[1] + top).tolist(), strict=True))

    for x, y in place(_DOTS):
        pen.rectangle((x - 0.5, y - 0.5, x + 0.5, y + 0.5), fill=_ORANGE)
    corners = place(_CORNERS)
    pen.line([*corners, corners[0]], fill=_ORANGE, width=2)
    pen.line(corners[:2], fill=_ORANGE, width=5)  # the output's top edge
    x, y = corners[0]
    pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_ORANGE)
    return panel


_CORNERS = ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))
_DOTS = tuple((x / 10, y / 10, 1) for y in range(-9, 10, 2) for x in range(-9, 10, 2))


def invert(theta):
    """The ``(N, 2, 3)`` matrices that go the other way.

    Raises:
        ValueError: one of them has no inverse.

    >>> invert(torch.tensor([[[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]]]))[0, 0].tolist()
    [1.0, 0.0, -0.4000000059604645]
    """
    linear = theta[:, :, :2].double()
    # The determinant a d - b c is 0, as far as the rounding of float32 lets it tell.
    products = linear[:, 0] * linear[:, 1].flip(-1)
    if (linear.det().abs() < 1e-9 + 2e-7 * products.abs().sum(-1)).any():
        raise ValueError("theta: expected a matrix that can be inverted, got a singular one: it squeezes all to a line")
    inverse = torch.linalg.inv(linear)
    shift = -inverse @ theta[:, :, 2:].double()
    return (torch.cat([inverse, shift], -1) + 0.0).to(theta.dtype)


def decompose(theta):
    """θ's six numbers -> the parameters of :func:`stncourse.affine_theta` that make it.

    A θ that mirrors can be written in two ways (a mirror left-right is one top-bottom and half a turn): it gives the
    one with the smaller turn. One that does not mirror gets positive scales.

    Returns:
        dict with the keys of ``LIMITS``, or None where scale x is 0 and no rotation is defined.

    >>> parameters = decompose((0.0, -2.0, 0.1, 1.0, 0.0, 0.0))
    >>> [round(value, 3) for value in parameters.values()]
    [90.0, 1.0, 2.0, 0.0, 0.1, 0.0]
    """
    a, b, tx, c, d, ty = theta
    scale_x = math.hypot(a, c)
    if scale_x < 1e-9:
        return None
    rotation = math.degrees(math.atan2(c, a))
    scale_y = (a * d - b * c) / scale_x
    # b and d, turned back: (shear * scale_y, scale_y)
    shear = (a * b + c * d) / scale_x / scale_y if abs(scale_y) > 1e-9 else 0.0
    if scale_y < 0 and abs(rotation) > 90:
        rotation -= math.copysign(180, rotation)
        scale_x, scale_y = -scale_x, -scale_y
    values = (rotation, scale_x, scale_y, shear, tx, ty)
    return {name: value + 0.0 for name, value in zip(LIMITS, values, strict=True)}


def compose(parameters):
    """The six numbers of θ for the parameters that :func:`decompose` gives."""
    p = parameters
    with torch.device("cpu"):
        theta = affine_theta(p["rotation"], (p["scale_x"], p["scale_y"]), p["shear"], (p["shift_x"], p["shift_y"]))
    return tuple(theta.flatten().tolist())


def words_for(theta):
    """What a ``(1, 2, 3)`` θ (output → input) does to what is seen, as a sentence.

    >>> words_for(affine_theta(rotation=30))
    'The digit comes out turned 30° counter-clockwise.'
    >>> words_for(affine_theta())
    'The digit comes out unchanged.'
    """
    try:
        parameters = decompose(tuple(invert(theta).flatten().tolist()))
    except ValueError:
        parameters = None
    if parameters is None:
        return "θ is singular: every output pixel looks at one line or point, so the digit is lost."
    turn, scale_x, scale_y, shear, shift_x, shift_y = parameters.values()
    parts = []  # in the order in which they happen
    mirrored = [name for name, scale in (("left-right", scale_x), ("top-bottom", scale_y)) if scale < 0]
    parts += [f"mirrored {' and '.join(mirrored)}"] if mirrored else []
    wide, high = abs(scale_x), abs(scale_y)
    if max(abs(wide - 1), abs(high - 1)) >= 0.005:
        parts.append(
            f"{wide:.2f} × as large" if abs(wide - high) < 0.005 else f"{wide:.2f} × as wide, {high:.2f} × as high"
        )
    if abs(shear) >= 0.005:
        parts.append(f"leaning by {shear:+.2f}")
    if abs(turn) >= 0.5:
        parts.append(f"turned {abs(turn):.0f}° {'clockwise' if turn > 0 else 'counter-clockwise'}")
    for shift, (less, more) in ((shift_x, ("left", "right")), (shift_y, ("up", "down"))):
        if abs(shift) >= 0.005:
            parts.append(f"moved {more if shift > 0 else less} by {abs(shift):.2f}")
    return f"The digit comes out {', '.join(parts) or 'unchanged'}."
