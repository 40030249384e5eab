"""How an answer differs from the right one, in words."""

import math

import torch

from stncourse.exercises.engine.describe import kind_of

#: How far a right answer may be off, by its dtype: relative, and absolute for numbers below 1.
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
_MISSING_BATCH = "missing batch dimension"


def difference(want, got):
    """What is wrong with ``got``, both as :func:`plain` has them: None, or (mistake or None, sentence)."""
    if got["kind"] == "none":
        return None, "Your function returns None: is there a `return` on its last line?"
    if want["kind"] == "number":
        return _number_difference(want, got)
    if want["kind"] in ("bool", "text"):
        if got["kind"] != want["kind"]:
            return None, f"It returns {kind_of(got)}; {kind_of(want)} is asked for."
        return None if got["value"] == want["value"] else (None, "The answer is wrong on the input below.")
    if want["kind"] == "list":
        count = len(want["items"])
        if got["kind"] != "list" or len(got["items"]) != count:
            many = f" of {len(got['items'])} things" if got["kind"] == "list" else ""
            return None, f"It returns {kind_of(got)}{many}; {count} things are asked for, as `return a, b`."
        for number, (a, b) in enumerate(zip(want["items"], got["items"], strict=True), 1):
            if problem := difference(a, b):
                return problem[0], f"Of the {count} things that it returns, no. {number}: {problem[1]}"
        return None
    return _tensor_difference(want["tensor"], got)


def _number_difference(want, got):
    got = as_number(got)
    if got["kind"] != "number":
        return None, f"It returns {kind_of(got)}; a number is asked for."
    close = math.isclose(got["value"], want["value"], rel_tol=1e-4, abs_tol=1e-5)
    if close or (math.isnan(got["value"]) and math.isnan(want["value"])):
        return None
    return None, f"It answers {got['value']:.4g} where {want['value']:.4g} is right."


def as_number(value):
    """A tensor of one real number as that number; anything else as it is."""
    tensor = value.get("tensor")
    if tensor is None or tensor.numel() != 1 or tensor.is_complex():
        return value
    return {"kind": "number", "value": float(tensor.item())}


def _tensor_difference(want, got):
    if got["kind"] != "tensor":
        cure = " `torch.from_numpy(…)` would make a tensor of it, but cut the gradient: use torch all the way." * (
            got["kind"] == "numpy"
        )
        return None, f"It returns {kind_of(got)}; a tensor is asked for.{cure}"
    have = got["tensor"]
    if got["device"] != "cpu":
        return None, f"The input lies on the cpu, but the answer on {got['device']}: keep it where the input is."
    if have.shape != want.shape:
        return _shape_difference(want, have)
    if have.dtype != want.dtype:
        names = [str(tensor.dtype).removeprefix("torch.") for tensor in (want, have)]
        return None, (
            f"It returns {names[1]} where {names[0]} is asked for. What you make inside takes its type from the input: "
            "`dtype=x.dtype`."
        )
    if have.isnan().any() and not want.isnan().any():
        return None, "There is NaN in the answer: is something divided by 0?"
    tolerance = TOLERANCE.get(want.dtype, 0)
    if torch.allclose(have, want, rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    off = (have.double() - want.double()).abs()
    place = tuple(int(i) for i in torch.unravel_index(off.nan_to_num(torch.inf).argmax(), off.shape))
    at = f"at index {list(place)} it" if place else "it"
    return None, (
        f"The shape is right, but not all numbers are: {at} says {have[place].item():.4g} where "
        f"{want[place].item():.4g} is right."
    )


def _shape_difference(want, have):
    """The sentence on a wrong shape; a missing batch dimension and swapped axes are recognised."""
    asked, came = tuple(want.shape), tuple(have.shape)
    text = f"It returns the shape {came} where {asked} is asked for."
    if came == asked[1:]:
        return _MISSING_BATCH, f"{text} The batch dimension is missing: an answer for every image, N of them in front."
    if len(came) == len(asked) > 1 and came[0] == 1 and came[1:] == asked[1:]:
        return _MISSING_BATCH, f"{text} The batch dimension is not honoured: only one of {asked[0]} is answered."
    for axis in range(len(asked) - 1):
        swapped = list(asked)
        swapped[axis], swapped[axis + 1] = swapped[axis + 1], swapped[axis]
        if len(came) == len(asked) and came == tuple(swapped):
            if axis >= 1 and len(asked) in (3, 4):
                return "H and W transposed", f"{text} Height comes before width: H rows of W pixels."
            return None, f"{text} Axes {axis} and {axis + 1} are swapped."
    return None, text
