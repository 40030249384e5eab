"""Plain values in words: what kind of thing one is, and what is in it, in a few short lines."""

import torch

from stncourse import _check
from stncourse.exercises.engine.plain import plain


def kind_of(value):
    """In words, what kind of thing a plain value is."""
    words = {"none": "None", "bool": "True or False", "number": "a number", "text": "a text"}
    if value["kind"] == "tensor":
        return _check.describe(value["tensor"])
    if value["kind"] == "list":
        return f"a {value['type']}"
    return words.get(value["kind"]) or value["text"]


def describe_value(value):
    """A plain value in a few short lines."""
    if value["kind"] == "tensor":
        tensor = value["tensor"]
        return f"{_short(tensor)}" if tensor.numel() <= 64 else f"{_check.describe(tensor)}\n{_short(tensor)}"
    if value["kind"] == "list":
        items = [describe_value(item) for item in value["items"]]
        return "\n".join(items) if any("\n" in item or len(item) > 20 for item in items) else f"({', '.join(items)})"
    return f"{value['value']:.6g}" if value["kind"] == "number" else str(value.get("value", kind_of(value)))


def describe_arguments(names, arguments):
    """``name = value`` for each argument."""
    return "\n".join(f"{name} = {describe_value(plain(value))}" for name, value in zip(names, arguments, strict=True))


def _short(tensor):
    with_few = torch.round(tensor.double(), decimals=4) + 0.0 if tensor.is_floating_point() else tensor
    return str(with_few.tolist()) if with_few.numel() <= 8 else _rows(with_few)


def _rows(tensor):
    """At most six rows of the last axis, eight numbers each."""
    rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim else tensor.reshape(1, 1)
    lines = [
        "  ".join(f"{v:4d}" if isinstance(v, int) else f"{v:7.3f}" for v in row[:8].tolist())
        + (" …" if len(row) > 8 else "")
        for row in rows[:6]
    ]
    return "\n".join(lines + ["…"] * (len(rows) > 6))
