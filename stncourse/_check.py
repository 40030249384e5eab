"""Argument checks shared by the public functions. Each names the argument, what was expected and what came.

Whatever *is* a whole or a real number counts as one: Python's, NumPy's, a tensor without dimensions, and the sizes that
torch traces (``torch.jit.trace``, ``torch.export``), which stay as they are, so that they can vary later.
"""

import operator
import os
from numbers import Real
from pathlib import Path

import numpy as np
import torch


def describe(value):
    """A short description of what came, for error messages."""
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim:
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        return f"a {str(value.dtype).removeprefix('torch.')} {kind} of shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except Exception:  # somebody else's object: a message must not fail for it
        return f"a {type(value).__name__}"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def tensor(name, value, shape, *, floating=True):
    """Check that ``value`` is a tensor of the given shape, written like ``"N C H W"`` or ``"N 2 3"``.

    Letters are sizes that may vary, numbers are exact.
    """
    if not isinstance(value, torch.Tensor) or (floating and not value.is_floating_point()):
        raise TypeError(f"{name}: expected {_a_tensor(shape, floating)}, got {describe(value)}")
    sizes = shape.split()
    fits = value.ndim == len(sizes) and all(
        not want.isdigit() or int(want) == have for want, have in zip(sizes, value.shape, strict=False)
    )
    if not fits:
        raise ValueError(f"{name}: expected {_a_tensor(shape, floating)}, got {describe(value)}")


def _a_tensor(shape, floating):
    return f"a {'floating-point ' if floating else ''}tensor of shape ({shape.replace(' ', ', ')})"


def as_integer(value):
    """The whole number that ``value`` is, in any of its forms; None where it is none (True and False are none)."""
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, torch.SymInt)):
        return value
    if isinstance(value, torch.Tensor):
        if value.ndim or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            return None
        if torch.jit.is_tracing():
            return value
    try:
        return operator.index(value)
    except (TypeError, RuntimeError):  # not a number; a number on the meta device
        return None


def as_real(value):
    """The real number that ``value`` is, as Python's int or float; None where it is none (True and False are none)."""
    if (whole := as_integer(value)) is not None:
        return whole
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, torch.SymFloat):
        return value
    if isinstance(value, torch.Tensor):
        if value.ndim or not value.is_floating_point() or value.is_meta:
            return None
        return value if torch.jit.is_tracing() else float(value)
    if isinstance(value, np.ndarray):
        return float(value) if value.ndim == 0 and value.dtype.kind == "f" else None
    return float(value) if isinstance(value, Real) else None


def as_pair(value):
    """``value`` as a tuple of two where it holds two, be it a tuple, a list, an array or a tensor; else None."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = tuple(value) if value.ndim == 1 and len(value) == 2 else ()
    return tuple(value) if isinstance(value, (tuple, list)) and len(value) == 2 else None


def image_size(name, value, *, minimum=1):
    """Return ``value`` as ``(height, width)``: a whole number for a square, or a pair of them."""
    single = as_integer(value)
    pair = as_pair(value) if single is None else (single, single)
    sizes = tuple(map(as_integer, pair)) if pair else ()
    if not sizes or any(size is None or size < minimum for size in sizes):
        raise ValueError(
            f"{name}: expected an int >= {minimum} or a pair (height, width) of them, got {describe(value)}"
        )
    return sizes


def positive_int(name, value, *, minimum=1):
    """Return ``value`` as an int of at least ``minimum``."""
    whole = as_integer(value)
    if whole is None:
        raise TypeError(f"{name}: expected an int >= {minimum}, got {describe(value)}")
    if whole < minimum:
        raise ValueError(f"{name}: expected an int >= {minimum}, got {whole}")
    return whole


def seed(name, value):
    """Return ``value`` as an int that seeds a ``torch.Generator``."""
    whole = positive_int(name, value, minimum=0)
    if whole >= 2**64:
        raise ValueError(f"{name}: expected an int from 0 to 2**64 - 1, got {whole}")
    return whole


def number(name, value, expected, fits):
    """Return ``value`` as a Python number for which ``fits`` holds; ``expected`` says the same in words.

    NaN fits nothing that compares.
    """
    real = as_real(value)
    if real is None or not fits(real):
        raise ValueError(f"{name}: expected {expected}, got {describe(value)}")
    return real


def path(name, value):
    """Return ``value`` as a Path, with ``~`` as the user's home."""
    if not isinstance(value, (str, os.PathLike)) or isinstance(value, bytes):
        raise TypeError(f"{name}: expected a path, got {describe(value)}")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}: expected a path, got {value!s}, and this user has no home folder") from error


def choice(name, value, options):
    """Check that ``value`` is one of ``options``."""
    if value not in tuple(options):  # a tuple: looking in a dict fails for what has no hash
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {describe(value)}")
    return value
