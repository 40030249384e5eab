"""What an attempt raised, in words, and where in the student's own code it happened."""

import linecache
import sysconfig
import traceback
from pathlib import Path

import torch

from stncourse.exercises.engine.plain import name_of
from stncourse.exercises.engine.time_limit import TooSlow

_LIBRARIES = {
    Path(__file__).resolve().parents[2],
    Path(torch.__file__).resolve().parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
}


def describe_error(error):
    """What was raised, as a dict with ``kind`` and ``message``."""
    name, text = name_of(type(error)), " ".join(_words_of(error).split())
    text = f": {text[:200]}" if text else ""
    message = f"Your function raised {name}{text}."
    if where := _own_line(error):
        message += f" It happened in {where}."
    if "in-place operation" in text and "leaf" in text:
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
