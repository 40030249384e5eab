"""Values as plain data, whatever they are: tensors, numbers, texts, lists of them.

So the grader can have an attempt run in the student's kernel and judge what came in its own process.
"""

import contextlib

import numpy as np
import torch

from stncourse import _check
from stncourse.exercises.engine.time_limit import TooSlow


def plain(value):
    """A value as a dict of plain things; ``kind`` says which. There is an answer whatever the value does."""
    try:
        return _plain(value, room=1000)
    except TooSlow:
        raise
    except BaseException:  # its own methods are called: it may do anything
        return of_another_kind(value)


def _plain(value, room):
    """``room``: how many things a list may hold, those in its lists counted; so one that holds itself has an end."""
    kind = type(value)  # not isinstance: that believes what an object says of itself
    if issubclass(kind, torch.Tensor):
        return _plain_tensor(value)
    if value is None or value is Ellipsis:
        return {"kind": "none"}
    if issubclass(kind, (bool, np.bool_)):
        return {"kind": "bool", "value": bool(value)}
    if issubclass(kind, str):
        return {"kind": "text", "value": str.__str__(value)[:200]}
    if issubclass(kind, (list, tuple)):
        items = list((tuple if issubclass(kind, tuple) else list).__iter__(value))
        if len(items) > room:
            return of_another_kind(value)
        room = (room - 1) // max(1, len(items))
        return {"kind": "list", "items": [_plain(item, room) for item in items], "type": name_of(kind)}
    if (number := _check.as_real(value)) is not None:
        with contextlib.suppress(OverflowError):
            return {"kind": "number", "value": float(number)}
    if kind.__module__ == "numpy":
        shape = getattr(value, "shape", ())
        text = f"a NumPy array of shape {tuple(shape)}" if shape else f"a NumPy {kind.__name__}"
        return {"kind": "numpy", "text": text, "type": kind.__name__, "tensor": _numbers_of(value)}
    return of_another_kind(value)


def _numbers_of(array):
    """A NumPy array's numbers as a tensor; None where it holds something else."""
    if type(array) is not np.ndarray or array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        return None
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))  # a copy


def _plain_tensor(value):
    if problem := _why_not_plain(value):
        return {"kind": "other", "text": f"a {problem} tensor", "type": "Tensor"}
    try:
        copy = value.detach().to("cpu", copy=True)
        # as_subclass: a Parameter is a tensor here
        copy = copy.as_subclass(torch.Tensor).resolve_conj().resolve_neg()
        copy.reshape(-1)[:1].to(torch.complex128).tolist()
    except RuntimeError:  # there are no numbers to take: on the meta device, or of a type that is a mere container
        dtype = str(value.dtype).removeprefix("torch.")
        return {"kind": "other", "text": f"a tensor of {dtype} on the device {value.device}", "type": "Tensor"}
    return {"kind": "tensor", "tensor": copy, "device": str(value.device), "attached": bool(value.requires_grad)}


def _why_not_plain(tensor):
    """What makes a tensor none that is a block of numbers: a word, or ""."""
    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantized"
    return "" if tensor.layout == torch.strided else str(tensor.layout).removeprefix("torch.").removeprefix("_")


def as_tensors(value):
    """A plain value in which NumPy's arrays are tensors."""
    if value["kind"] == "list":
        return value | {"items": [as_tensors(item) for item in value["items"]]}
    if value["kind"] == "numpy" and value["tensor"] is not None:
        return value | {"kind": "tensor", "device": "cpu", "attached": False}
    return value


def value_of(value):
    """A plain value as it was: a tensor, a number, a list of them; None for what is none of these."""
    if value["kind"] == "list":
        return [value_of(item) for item in value["items"]]
    return value.get("tensor", value.get("value"))


def of_another_kind(value):
    """The plain value of what is none of the kinds above: only the name of its class."""
    name = name_of(type(value))
    return {"kind": "other", "text": f"{_article(name)} {name}", "type": name}


def name_of(kind):
    """The name of a class, whatever it says of itself."""
    return type.__dict__["__name__"].__get__(kind)  # a metaclass may have a __name__ of its own


def _article(word):
    return "an" if word[:1].lower() in "aeiou" else "a"


def copied(value):
    """A deep copy of arguments: tensors, and lists and tuples of them."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    return value


def same(a, b):
    """Whether an argument is still what it was, bit for bit. ``b`` is ours, ``a`` went through the student's hands."""
    if type(a) is not type(b):
        return False
    if isinstance(b, torch.Tensor):
        try:
            alike = a.shape == b.shape and a.dtype == b.dtype
            return alike and bool(((a == b) | ((a != a) & (b != b))).all())  # NaN is what it was, too
        except RuntimeError:  # moved to where it cannot be compared
            return False
    if isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
