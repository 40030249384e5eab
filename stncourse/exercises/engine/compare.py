"""How an answer differs from the right one, in words."""

import math

import torch

from stncourse.exercises.engine.describe import kind_of, told_apart

#: How far a right answer may be off, by its dtype: relative, and absolute for numbers below 1. A float64 may have been
#: computed from float32 on the way.
TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
#: Types of which one will do for the other.
ENOUGH = (torch.float32, torch.float64)
MISSING_BATCH = "missing batch dimension"


def difference(want, got, axes=""):
    """What is wrong with ``got``, both as :func:`plain` has them: None, or (mistake or None, sentence).

    ``axes``: what the axes are called, such as ``"N C H W"``.
    """
    if got["kind"] == "none":
        return None, "Your function returns None: is there a `return` on its last line?"
    if want["kind"] == "number":
        return _number_difference(want, got)
    if want["kind"] in ("bool", "text"):
        if got["kind"] != want["kind"]:
            return None, f"It returns {kind_of(got)}; {kind_of(want)} is asked for."
        return None if got["value"] == want["value"] else (None, "The answer is wrong on the input below.")
    if want["kind"] == "list":
        return _list_difference(want, got)
    return _tensor_difference(want["tensor"], got, axes)


def _list_difference(want, got):
    count, got = len(want["items"]), as_list(got)
    if got["kind"] != "list" or len(got["items"]) != count:
        came = f"{kind_of(got)} of {len(got['items'])} things" if got["kind"] == "list" else kind_of(got)
        return None, f"It returns {came}; {count} things are asked for, as `return a, b`."
    for number, (a, b) in enumerate(zip(want["items"], got["items"], strict=True), 1):
        if problem := difference(a, b):
            return problem[0], f"It returns {count} things. No. {number}: {problem[1]}"
    return None


def as_list(value):
    """A row of few numbers as a list of them; anything else as it is."""
    tensor = value.get("tensor")
    if tensor is None or tensor.ndim != 1 or len(tensor) > 8 or tensor.is_complex():
        return value
    return {"kind": "list", "items": [{"kind": "number", "value": float(x)} for x in tensor], "type": "tensor"}


def _number_difference(want, got):
    got = as_number(got)
    if got["kind"] != "number":
        return None, f"It returns {kind_of(got)}; a number is asked for."
    close = math.isclose(got["value"], want["value"], rel_tol=1e-4, abs_tol=1e-5)
    if close or (math.isnan(got["value"]) and math.isnan(want["value"])):
        return None
    return None, "It answers {} where {} is right.".format(*told_apart(got["value"], want["value"]))


def as_number(value):
    """A tensor of one real number as that number; anything else as it is."""
    tensor = value.get("tensor")
    if tensor is None or tensor.numel() != 1 or tensor.is_complex():
        return value
    return {"kind": "number", "value": float(tensor.item())}


def of_another_type(want, got):
    """The two names where ``got``, right but for that, is a float32 for a float64 or the other way round; else None."""
    if want["kind"] == "list" and got["kind"] == "list":
        return next(filter(None, map(of_another_type, want["items"], got["items"])), None)
    if want["kind"] != "tensor" or got["kind"] != "tensor" or want["tensor"].dtype == got["tensor"].dtype:
        return None
    return tuple(str(value["tensor"].dtype).removeprefix("torch.") for value in (want, got))


def _tensor_difference(want, got, axes):
    if got["kind"] != "tensor":
        cure = ""
        if got["kind"] == "number":
            cure = f" Its shape is {tuple(want.shape)}." if want.ndim else " `.item()` and `float()` cut the gradient."
        elif got["kind"] == "numpy":
            cure = " `torch.from_numpy(…)` would make a tensor of it, but cut the gradient: use torch all the way."
        return None, f"It returns {kind_of(got)}; a tensor is asked for.{cure}"
    have = got["tensor"]
    if got["device"] != "cpu":
        return None, f"The input lies on the cpu, but the answer on {got['device']}: keep it where the input is."
    if have.shape != want.shape:
        name, text = shape_difference(want.shape, have.shape, axes)
        shape = f"the shape {tuple(have.shape)}"
        return name, text.replace(shape, got.get("text", shape))
    if have.dtype != want.dtype and not (have.dtype in ENOUGH and want.dtype in ENOUGH):
        names = [str(tensor.dtype).removeprefix("torch.") for tensor in (want, have)]
        return None, f"It returns {names[1]} where {names[0]} is asked for."
    if have.isnan().any() and not want.isnan().any():
        return None, "There is NaN in the answer: is something divided by 0?"
    tolerance = max(TOLERANCE.get(tensor.dtype, 0) for tensor in (want, have))
    if torch.allclose(have.to(want.dtype), want, rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    off = (have.double() - want.double()).abs()
    place = tuple(int(i) for i in torch.unravel_index(off.nan_to_num(torch.inf).argmax(), off.shape))
    at = f"at index {list(place)} it" if place else "it"
    said, right = told_apart(have[place].item(), want[place].item())
    note = " (A NumPy array is fine here.)" if "text" in got else ""
    return None, (f"The shape is right, but not all numbers are: {at} says {said} where {right} is right." + note)


def shape_difference(asked, came, axes=""):
    """The sentence on a wrong shape; a missing batch dimension and swapped axes are recognised."""
    asked, came = tuple(asked), tuple(came)
    text = f"It returns the shape {came} where {asked} is asked for."
    if came == () and len(asked) == 1:
        return None, f"It returns one number where {asked[0]} are asked for."
    if came == asked[1:]:
        return MISSING_BATCH, f"{text} The batch dimension is missing: an answer for every image, N of them in front."
    for axis in range(len(asked) - 1):
        if asked[0] > 1 and came == (*asked[:axis], asked[axis] * asked[axis + 1], *asked[axis + 2 :]):
            return None, f"{text} Axes {axis} and {axis + 1} are still one: `.view(…)` takes them apart."
    if came == (1, *asked):
        return None, f"{text} One axis too many in front: `[0]` takes it off."
    if len(came) == len(asked) > 1 and came[0] == 1 and came[1:] == asked[1:]:
        return MISSING_BATCH, f"{text} The batch dimension is not honoured: only one of {asked[0]} is answered."
    if axes.endswith("2 3") and came[-2:] == (3, 3):
        return None, f"{text} θ has two rows: leave the third one, 0 0 1, out with `[…, :2, :]`."
    if axes.endswith("2 3") and came[-2:] == (2, 2):
        return None, f"{text} That is the left block alone. θ has a third column, the shift: 0 where nothing moves."
    for axis in range(len(asked) - 1):
        swapped = list(asked)
        swapped[axis], swapped[axis + 1] = swapped[axis + 1], swapped[axis]
        if len(came) == len(asked) and came == tuple(swapped):
            if "H W" in axes and axes.split()[axis] == "H":
                return "H and W transposed", f"{text} Height comes before width: H rows of W pixels."
            return None, f"{text} Axes {axis} and {axis + 1} are swapped."
    return None, text
