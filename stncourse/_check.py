"""Argument checks shared by the public functions. Each names the argument, what was expected and what came."""

import torch


def describe(value):
    """A short description of what came, for error messages."""
    if isinstance(value, torch.Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    text = repr(value)
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


def image_size(name, value, *, minimum=1):
    """Return ``value`` as ``(height, width)``: an int for a square, or a pair of ints."""
    pair = (value, value) if isinstance(value, int) else value
    if (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(isinstance(v, int) and not isinstance(v, bool) and v >= minimum for v in pair)
    ):
        return tuple(pair)
    raise ValueError(f"{name}: expected an int >= {minimum} or a pair (height, width) of them, got {describe(value)}")


def positive_int(name, value, *, minimum=1):
    """Check for an int of at least ``minimum``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an int >= {minimum}, got {describe(value)}")
    if value < minimum:
        raise ValueError(f"{name}: expected an int >= {minimum}, got {value}")
    return value


def choice(name, value, options):
    """Check that ``value`` is one of ``options``."""
    if value not in tuple(options):  # a tuple: looking in a dict fails for what has no hash
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {describe(value)}")
    return value
