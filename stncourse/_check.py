"""Argument checks shared by the public functions. Each names the argument, what was expected and what came.

Whatever *is* a whole or a real number counts as one: Python's, NumPy's, a tensor without dimensions, and the sizes that
torch traces (``torch.jit.trace``, ``torch.export``), which stay as they are, so that they can vary later.
"""

import operator
import os
import warnings
from numbers import Real
from pathlib import Path

import numpy as np
import torch


def describe(value):
    """A short description of what came, for error messages."""
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim:
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        return f"a {str(value.dtype).removeprefix('torch.')} {kind} of shape {tuple(sizes_of(value))}"
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
    sizes, wanted = sizes_of(value), shape.split()
    fits = len(sizes) == len(wanted)
    for want, have in zip(wanted, sizes, strict=False):  # a loop: this is asked in every call, and all() takes longer
        fits = fits and (not want.isdigit() or int(want) == have)
    if not fits:
        raise ValueError(f"{name}: expected {_a_tensor(shape, floating)}, got {describe(value)}")


def _a_tensor(shape, floating):
    return f"a {'floating-point ' if floating else ''}tensor of shape ({shape.replace(' ', ', ')})"


def known(number):
    """``number`` as it is in this run: checks ask for it, and what they ask is no part of a graph that is traced."""
    if not isinstance(number, torch.Tensor):
        return number
    if not torch.jit.is_tracing():
        return number.item()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return number.item()


def sizes_of(tensor):
    """The shape of ``tensor`` for checks: plain numbers also under ``torch.jit.trace``."""
    return tuple(map(known, tensor.shape)) if torch.jit.is_tracing() else tensor.shape


def some(mask):
    """Whether a mask holds anywhere, as far as can be known: tensors without numbers (meta, fake) know of nothing."""
    return type(mask) is torch.Tensor and not mask.is_meta and known(mask.any())


def as_integer(value):
    """The whole number that ``value`` is, in any of its forms; None where it is none (True and False are none)."""
    if type(value) is int:
        return value
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


def as_row(value):
    """``value`` as a tuple where it is a row of things, be it a tuple, a list, an array or a tensor; else None."""
    if isinstance(value, (tuple, list)):
        return tuple(value)
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 1:
        return value.unbind() if isinstance(value, torch.Tensor) else tuple(value)
    return None


def as_pair(value):
    """``value`` as a tuple of two where it holds two, be it a tuple, a list, an array or a tensor; else None."""
    values = as_row(value)
    return values if values is not None and len(values) == 2 else None


#: More pixels than this on a side nobody has; torch cannot count beyond 2**63.
_LARGEST_SIDE = 2**31 - 1


def image_size(name, value, *, minimum=1):
    """Return ``value`` as ``(height, width)``: a whole number for a square, a pair of them, or the shape of a batch."""
    sizes = _whole(value, (2, 4), minimum)
    # Not asked of a size that is traced: an upper bound would become part of the graph.
    if sizes is not None and any(type(size) is int and size > _LARGEST_SIDE for size in sizes):
        raise ValueError(f"{name}: expected at most {_LARGEST_SIDE} pixels on a side, got {describe(value)}")
    if sizes is None:
        raise ValueError(
            f"{name}: expected an int >= {minimum} or a pair (height, width) of them, or the four of "
            f"(N, channels, height, width), got {describe(value)}"
        )
    return sizes


def counts(name, value, *, minimum=1):
    """Return ``value`` as ``(rows, columns)``: a whole number for as many of both, or a pair of them."""
    sizes = _whole(value, (2,), minimum)
    if sizes is None:
        raise ValueError(
            f"{name}: expected an int >= {minimum} or a pair (rows, columns) of them, got {describe(value)}"
        )
    return sizes


def _whole(value, lengths, minimum):
    """A whole number, twice, or the last two of a row of them, which are at least ``minimum``; else None."""
    row = as_row(value)
    sizes = tuple(map(as_integer, (value, value) if row is None else row))
    if len(sizes) not in lengths:
        return None
    for size, least in zip(sizes, (0, 0, minimum, minimum)[-len(sizes) :], strict=True):
        if size is None or known(size) < least:
            return None
    return sizes[-2:]


def positive_int(name, value, *, minimum=1):
    """Return ``value`` as an int of at least ``minimum``."""
    whole = as_integer(value)
    if whole is None:
        raise TypeError(f"{name}: expected an int >= {minimum}, got {describe(value)}")
    if known(whole) < minimum:
        raise ValueError(f"{name}: expected an int >= {minimum}, got {whole}")
    return whole


def flag(name, value):
    """``value`` as a bool, if it is True or False, or NumPy's."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {describe(value)}")
    return bool(value)


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
    if real is None or not fits(known(real)):
        raise ValueError(f"{name}: expected {expected}, got {describe(value)}")
    return real


def probability(name, value):
    """Return ``value`` as a number from 0 to 1."""
    return number(name, value, "a probability, 0 to 1", lambda number: 0 <= number <= 1)


def path(name, value):
    """Return ``value`` as a Path, with ``~`` as the user's home."""
    if not isinstance(value, (str, os.PathLike)) or isinstance(value, bytes):
        raise TypeError(f"{name}: expected a path, got {describe(value)}")
    if "\0" in str(value):
        raise ValueError(f"{name}: expected a path, got {str(value)!r}, and no file's name holds a NUL")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}: expected a path, got {value!s}, and this user has no home folder") from error


def choice(name, value, options):
    """Check that ``value`` is one of ``options``."""
    # A tuple: looking in a dict fails for what has no hash. An array's == is an array.
    if isinstance(value, (torch.Tensor, np.ndarray)) or value not in tuple(options):
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {describe(value)}")
    return value
