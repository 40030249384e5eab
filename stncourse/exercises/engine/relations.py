"""What a wrong answer has to do with the right one, whatever the exercise: axes in another order, a factor, a sign.

Each function is given the pairs (right, answer) of all inputs, plain values both, and says what holds on all of them:
(mistake or None, sentence), or None.
"""

import itertools
import math

import torch

from stncourse.exercises.engine.compare import ENOUGH, as_list, as_number

_THETA = ("θ11", "θ12", "tx", "θ21", "θ22", "ty")
_ENOUGH = 2  # so many different numbers show a factor, or what was added
_CHANNELS_LAST = "Channels come second in torch: `.permute(0, 3, 1, 2)` brings them there."


def related(pairs, axes=""):
    """How the axes are related: (mistake or None, sentence), or None. ``axes``: as ``Code`` has it."""
    tensors = _tensors(pairs)
    if tensors is None:
        return None
    if found := _axes_in_another_order(tensors, axes):
        return found
    if any(want.shape != have.shape for want, have in tensors):
        return None
    return _turned_over(tensors, axes) or _first_only(tensors, axes)


def right_parts(pairs, axes):
    """Which of the numbers that have names are right on all inputs: a sentence, or ""."""
    names = _THETA if axes.endswith("2 3") else ("x", "y") if axes.endswith(" 2") else ()
    tensors = _tensors(pairs)
    if not names or tensors is None or any(want.shape != have.shape for want, have in tensors):
        return ""
    close = [torch.isclose(want, have, rtol=1e-4, atol=1e-4).reshape(-1, len(names)) for want, have in tensors]
    fine = [name for name, is_right in zip(names, torch.cat(close).all(0).tolist(), strict=True) if is_right]
    if not fine or len(fine) == len(names):
        return ""
    names = ", ".join(fine)
    return f" ({names} is right everywhere.)" if len(fine) == 1 else f" ({names} are right everywhere.)"


def rounded_to(pairs):
    """The number of decimals to which all answers are rounded, or None."""
    tensors = _tensors(pairs)
    if tensors is None or any(want.shape != have.shape for want, have in tensors):
        return None
    for decimals in range(6):
        if all(_close(torch.round(want, decimals=decimals), have, 1e-6) for want, have in tensors):
            return decimals
    return None


def _tensors(pairs):
    """The pairs as float64 tensors, or None."""
    tensors = []
    for want, got in pairs:
        if want["kind"] == "list":
            got = as_list(got)
            if got["kind"] != "list" or len(got["items"]) != len(want["items"]):
                return None
            inner = _tensors(zip(want["items"], got["items"], strict=True))
            if inner is None:
                return None
            tensors += inner
            continue
        both = [_tensor(value) for value in (want, as_number(got) if want["kind"] == "number" else got)]
        if None in [None if t is None else 1 for t in both]:
            return None
        tensors.append(both)
    return tensors


def _tensor(value):
    tensor = value.get("tensor")
    if value["kind"] == "number":
        return torch.tensor(value["value"], dtype=torch.float64)
    return tensor.double() if value["kind"] == "tensor" and tensor.dtype in ENOUGH else None


def _close(a, b, tolerance=1e-4):
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def _axes_in_another_order(tensors, axes):
    """The numbers are right, or at least the shapes are, but for the order of the axes."""
    ndim = tensors[0][0].ndim
    names = axes.split() if len(axes.split()) == ndim else None
    if not 2 <= ndim <= 5 or any(want.ndim != ndim or have.ndim != ndim for want, have in tensors):
        return None
    orders = sorted(itertools.permutations(range(ndim)), key=lambda order: order != (0, 2, 3, 1))[:120]
    orders.remove(tuple(range(ndim)))
    same_numbers = [order for order in orders if all(_close(w.permute(order), h) for w, h in tensors)]
    if all(want.shape == have.shape for want, have in tensors):
        possible = same_numbers
    else:
        possible = same_numbers or [
            order for order in orders if all(w.permute(order).shape == h.shape for w, h in tensors)
        ]
    if not possible:
        return None
    order = possible[0]
    right = "The numbers are right, but the axes" if same_numbers else "The axes"
    if not names:
        return None, f"{right} come in another order than is asked for."
    came = ", ".join(names[place] for place in order)
    text = f"{right} come in another order: ({came}) where ({', '.join(names)}) is asked for."
    if names == ["N", "C", "H", "W"] and order == (0, 2, 3, 1):
        return "channels last", f"{text} {_CHANNELS_LAST}"
    swapped = [{"H": "W", "W": "H"}.get(name, name) for name in names]
    if "H" in names and came == ", ".join(swapped):
        return "H and W transposed", f"{text} Height comes before width: H rows of W pixels."
    if names[-2:] == ["2", "3"] and order == (0, 2, 1):
        return "θ transposed", f"{text} θ is two rows of three numbers."
    return None, text


def _turned_over(tensors, axes):
    """The numbers are right, but come in reverse along one axis."""
    words = {
        "H": (
            "upside down",
            "The rows come in reverse order, from the bottom up: y points *down*, and row 0 is on top.",
        ),
        "W": ("mirrored", "The columns come in reverse order: x grows to the right."),
    }
    for axis, name in enumerate(axes.split()):
        if name in words and all(want.ndim > axis and _close(want.flip(axis), have) for want, have in tensors):
            return words[name]
    return None


def _first_only(tensors, axes):
    """Only the first of a batch is right."""
    several = [(want, have) for want, have in tensors if axes.startswith("N") and want.ndim and len(want) > 1]
    if several and all(_close(w[0], h[0]) and not _close(w[1:], h[1:]) for w, h in several):
        return "only the first of the batch", (
            "Only the first of the batch is right: the others get something of the first, too. "
            "Is there a `[0]` that should be a `[:]`?"
        )
    return None


def related_numbers(pairs, axes=""):
    """Whether all numbers are the right ones times one factor, or with one number added."""
    tensors = _tensors(pairs)
    if tensors is None or any(want.shape != have.shape for want, have in tensors):
        return None
    want, have = (torch.cat([pair[side].flatten() for pair in tensors]) for side in (0, 1))
    if not (want.isfinite().all() and have.isfinite().all()):
        return None
    if len(want[want.abs() > 1e-3].unique()) < _ENOUGH:
        return None
    factor = (want @ have / (want @ want)).item()
    if abs(factor) > 1e-9 and abs(factor - 1) > 1e-3 and _close(want * factor, have):
        return None, _on_the_factor(factor)
    added = (have - want).mean().item()
    if abs(added) > 1e-3 and _close(want + added, have):
        return None, f"Every number is too {'large' if added > 0 else 'small'} by {abs(added):.4g}."
    return None


def _on_the_factor(factor):
    known = {
        math.pi: "Every number is π times too large.",
        -1.0: "The sign is wrong: every number is the negative of the right one.",
        100.0: "Every number is 100 times too large: percent, where a share of 1 is asked for?",
        math.degrees(1): "Every number is 57.3 times too large: that is what turns radians into degrees.",
        math.radians(1): "Every number is 57.3 times too small: that is what turns degrees into radians.",
        255.0: "Every number is 255 times too large: pixels go from 0 to 1 here.",
        1 / 255: "Every number is 255 times too small: divided by 255 once too often?",
    }
    for one, sentence in known.items():
        if math.isclose(factor, one, rel_tol=1e-4):
            return sentence
    return f"Every number is {factor:.4g} times the right one."
