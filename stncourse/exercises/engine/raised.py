"""What an attempt raised, in words, and where in the student's own code it happened."""

import linecache
import re
import sysconfig
import traceback
from pathlib import Path

import torch

from stncourse.exercises.engine.plain import name_of
from stncourse.exercises.engine.time_limit import TooSlow

#: Torch's words where a float32 meets a float64.
_TWO_TYPES = r"(?i)float.*double|double.*float"
#: What often helps, by what torch says.
_HELP = {
    _TWO_TYPES: "Two types of numbers met there: what you make inside takes its type from the input, `dtype=…`.",
    r"'Tensor' and '(list|tuple)'|'(list|tuple)' and 'Tensor'": (
        "A list cannot be calculated with: `torch.tensor(…)` makes a tensor of it."
    ),
    r"index -?\d+ is out of bounds": (
        "The index lies beyond the end. Ask first whether it is inside: −1 would raise nothing, it is the last one."
    ),
    "Boolean value of Tensor with more than one": (
        "`if` wants one answer, and here are many: use `torch.where`, or `&` and `|` for and and or."
    ),
    "only one element tensors can be converted|only tensors with one element": (
        "`math` knows single numbers only: for a whole tensor there is `torch.sin` and the like."
    ),
}
_LIBRARIES = {
    Path(__file__).resolve().parents[2],
    Path(torch.__file__).resolve().parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
}


def describe_error(error):
    """What was raised, as a dict with ``kind`` ("types": a float32 met a float64) and ``message``."""
    name, text = name_of(type(error)), " ".join(_words_of(error).split())
    help_for_it = next((f" {help}" for words, help in _HELP.items() if re.search(words, text)), "")
    text = f": {text[:200]}" if text else ""
    raised = f"{name}{text}".replace("`", "'")
    message = f"Your function raised `{raised}`."
    if where := _own_line(error):
        message += f" It happened in {where}."
    message += help_for_it
    if re.search(_TWO_TYPES, text):
        kind = "types"
    elif "in-place operation" in text and "leaf" in text:
        kind = "in place"
    elif "numpy() on Tensor that requires grad" in text:
        kind = "detached"
    else:
        kind = "raised"
    return {"kind": kind, "message": message}


def _words_of(error):
    try:
        return str(error)
    except TooSlow:
        raise
    except BaseException:  # its __str__ is the student's
        return ""


def _own_line(error):
    """The last line of the student's own code, on the way down to the error."""
    own = [
        (frame.filename, frame.lineno, frame.line)
        for frame in traceback.extract_tb(error.__traceback__)
        if not _is_library(frame.filename)
    ]
    if not own:
        return ""
    filename, number, line = own[-1]
    line = line or linecache.getline(filename, number).strip()
    return f"line {number} of its cell, `{line}`" if line else f"line {number} of its cell"


def _is_library(filename):
    return filename.startswith("<frozen") or any(Path(filename).is_relative_to(folder) for folder in _LIBRARIES)
