"""Plain values in words: what kind of thing one is, and what is in it, in a few short lines."""

import torch

from stncourse import _check
from stncourse.exercises.engine.plain import plain


def kind_of(value):
    """In words, what kind of thing a plain value is."""
    words = {"none": "None", "bool": "True or False", "number": "a number", "text": "a text"}
    if value["kind"] == "tensor":
        return value.get("text") or _check.describe(value["tensor"])
    if value["kind"] == "list":
        return {"list": "a list", "tuple": "a tuple"}.get(value["type"]) or f"a {value['type']}"
    return words.get(value["kind"]) or value["text"]


def told_apart(a, b):
    """Two numbers as texts: four digits, or as many more as it takes to tell them apart."""
    for digits in range(4, 18):
        texts = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if texts[0] != texts[1] or a == b:
            break
    return texts


def describe_value(value, digits=4):
    """A plain value in a few short lines; numbers with so many decimals."""
    tensor = value.get("tensor")
    if tensor is not None:
        text = _short(tensor, digits)
        return text if tensor.numel() <= 64 else f"{_check.describe(tensor)}\n{text}"
    if value["kind"] == "list":
        items = [describe_value(item, digits) for item in value["items"]]
        return "\n".join(items) if any("\n" in item or len(item) > 20 for item in items) else f"({', '.join(items)})"
    return f"{value['value']:.{digits + 2}g}" if value["kind"] == "number" else str(value.get("value", kind_of(value)))


def describe_both(want, got):
    """Two plain values as texts, with as many digits as it takes to tell them apart; or with their types."""
    for digits in (4, 8, 12):
        texts = describe_value(want, digits), describe_value(got, digits)
        if texts[0] != texts[1]:
            return texts
    return tuple(f"{kind_of(value)}\n{text}" for value, text in zip((want, got), texts, strict=True))


def describe_arguments(names, arguments):
    """``name = value`` for each argument."""
    return "\n".join(f"{name} = {describe_value(plain(value))}" for name, value in zip(names, arguments, strict=True))


def _short(tensor, digits):
    with_few = torch.round(tensor.double(), decimals=digits) + 0.0 if tensor.is_floating_point() else tensor
    return str(with_few.tolist()) if with_few.numel() <= 8 else _rows(with_few, digits - 1)


def _rows(tensor, digits):
    """At most six rows of the last axis, eight numbers each."""
    rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim else tensor.reshape(1, 1)
    lines = [
        "  ".join(f"{v:4d}" if isinstance(v, int) else f"{v:{digits + 4}.{digits}f}" for v in row[:8].tolist())
        + (" …" if len(row) > 8 else "")
        for row in rows[:6]
    ]
    return "\n".join(lines + ["…"] * (len(rows) > 6))
