"""θ's six numbers, and the turn, zoom, shear and shift that a person moves."""

import math

import numpy as np
import torch

from stncourse import _check
from stncourse.transformer.theta import affine_theta

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
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


def six_numbers(theta):
    """θ row by row as a tuple of floats: of a tuple or list, or of a ``(6,)``, ``(2, 3)`` or ``(1, 2, 3)`` array.

    Raises:
        TypeError, ValueError: it is none of them, or an entry is beyond ±``LARGEST``.

    >>> six_numbers(affine_theta())
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """
    values = theta
    if isinstance(theta, (torch.Tensor, np.ndarray)) and tuple(theta.shape) in ((6,), (2, 3), (1, 2, 3)):
        values = [] if getattr(theta, "is_meta", False) else theta.reshape(-1).tolist()
    values = [_check.as_real(value) for value in values] if isinstance(values, (tuple, list)) else [None]
    if None in values:
        raise TypeError(f"theta: expected a tuple of six numbers, got {_check.describe(theta)}")
    if len(values) != 6 or not all(abs(value) <= LARGEST for value in values):  # NaN is not <= either
        raise ValueError(f"theta: expected six numbers up to ±{LARGEST:,.0f}, got {_check.describe(theta)}")
    return tuple(map(float, values))


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
        parts.append(f"leaning by {shear:+.2f}".replace("-", "−"))
    if abs(turn) >= 0.5:
        parts.append(f"turned {abs(turn):.0f}° {'clockwise' if turn > 0 else 'counter-clockwise'}")
    for shift, (less, more) in ((shift_x, ("left", "right")), (shift_y, ("up", "down"))):
        if abs(shift) >= 0.005:
            parts.append(f"moved {more if shift > 0 else less} by {abs(shift):.2f}")
    return f"The digit comes out {', '.join(parts) or 'unchanged'}."
