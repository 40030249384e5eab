"""Runs somebody's attempt and writes down what happened: never raises, never waits for ever, believes nothing.

What is written down is plain (tensors, numbers, texts, lists of them), so that the grader can run the attempt in the
student's kernel and judge it in its own process.
"""

import contextlib
import ctypes
import inspect
import linecache
import sysconfig
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import torch

from stncourse import _check
from stncourse.exercises.engine.printed import Printed
from stncourse.exercises.engine.trial import calls_that_end, wait_for_the_end

#: Seconds that an attempt has, over all the inputs it is tried on.
TIME_LIMIT = 10.0
_ONE_AT_A_TIME = threading.Lock()


class TooSlow(BaseException):
    """Thrown into an attempt that does not end. Not an Exception: a loop with ``except Exception`` must not eat it."""


@contextlib.contextmanager
def as_torch_starts():
    """Torch's modes and defaults as they are at its start, whatever the notebook has made of them."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.device("cpu"),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)


def observe(attempt, calls, *, signature=None, time_limit=None):
    """Call ``attempt`` with each of ``calls`` and describe what came.

    The time limit holds whatever the attempt does. On Linux the calls are tried out in a copy of this process first,
    which can be killed at any moment; what an attempt does there to the notebook's variables is gone with the copy.
    Elsewhere, code in C that keeps the interpreter to itself, such as ``sum(range(10**13))``, has to come to an end of
    its own: nothing in the same process could stop it.

    Args:
        attempt: what the student gave.
        calls: list of dicts: ``args`` (a list), and for a gradient ``differentiate`` (positions in args) and
            ``weights`` (a tensor of the output's shape, by which the output is multiplied before it is summed up).
        signature: how the function is to be called, in words.
        time_limit: seconds for all calls together.

    Returns:
        A list of dicts with ``value`` (see :func:`plain`), ``changed`` (the attempt wrote into its input),
        ``printed``, ``gradients`` and ``error`` (None, or a dict with ``kind`` and ``message``). It ends early
        after an attempt that is not finished, cannot be called or is too slow.
    """
    seconds = TIME_LIMIT if time_limit is None else time_limit
    if problem := _cannot_be_called(attempt, calls, signature):
        return [nothing(problem)]
    seen = []
    printed = Printed()

    def work(calls, add):
        return _run(lambda: _observe_all(attempt, calls, printed, add), seconds, printed)

    with _ONE_AT_A_TIME, printed:
        ending = calls_that_end(lambda ended: work(calls, lambda _: ended()), len(calls), seconds)
        state = work(calls[:ending], seen.append) if ending else "done"
    if state == "done" and ending < len(calls):
        state = "stopped"
    if state != "done":
        seen = seen[: len(calls) - 1]
        what_now = (
            "and was stopped. A loop that never ends?"
            if state == "stopped"
            else "and could not be stopped. It is still running: restart the kernel."
        )
        message = f"Your function did not come to an end within {seconds:g} s {what_now}"
        seen.append(nothing({"kind": "too slow", "message": message}))
    return seen


def _observe_all(attempt, calls, printed, add):
    """``add`` what comes of each call, up to a stub's."""
    for call in calls:
        seen = _observe_one(attempt, call, printed)
        add(seen)
        if seen["error"] and seen["error"]["kind"] == "not done":
            return


def plain(value):
    """A value as a dict of plain things; ``kind`` says which. There is an answer whatever the value does."""
    try:
        return _plain(value, room=1000)
    except Exception:  # its own methods are called: it may do anything
        return _other(value)


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
            return _other(value)
        room = (room - 1) // max(1, len(items))
        return {"kind": "list", "items": [_plain(item, room) for item in items], "type": _name(kind)}
    if (number := _check.as_real(value)) is not None:
        with contextlib.suppress(OverflowError):
            return {"kind": "number", "value": float(number)}
    if kind.__module__ == "numpy":
        shape = getattr(value, "shape", ())
        text = f"a NumPy array of shape {tuple(shape)}" if shape else f"a NumPy {kind.__name__}"
        return {"kind": "numpy", "text": text, "type": kind.__name__}
    return _other(value)


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


def _other(value):
    name = _name(type(value))
    return {"kind": "other", "text": f"{_article(name)} {name}", "type": name}


def _name(kind):
    return type.__dict__["__name__"].__get__(kind)  # a metaclass may have a __name__ of its own


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
            return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
        except RuntimeError:  # moved to where it cannot be compared
            return False
    if isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def _observe_one(attempt, call, printed):
    arguments, differentiate = copied(list(call["args"])), call.get("differentiate", ())
    for position in differentiate:
        arguments[position].requires_grad_()
    printed.start()
    seen = nothing(None)
    try:
        value = attempt(*arguments)
        if differentiate:
            seen["gradients"] = _gradients(value, call["weights"], [arguments[i] for i in differentiate])
        seen["value"] = plain(value)
    except NotImplementedError:
        seen["error"] = {"kind": "not done", "message": "It still raises NotImplementedError."}
    except TooSlow:
        raise
    except BaseException as error:  # also SystemExit: an attempt must not end the notebook
        seen["error"] = _raised(error)
    seen["printed"] = printed.text()
    seen["changed"] = not all(
        map(same, [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments], call["args"])
    )
    return seen


def _gradients(value, weights, inputs):
    """The slopes of the weighted output, or None for an output that autograd does not know."""
    if not (isinstance(value, torch.Tensor) and value.requires_grad):
        return None
    slopes = torch.autograd.grad((value * weights).sum(), inputs, allow_unused=True)
    return [
        torch.zeros_like(x) if slope is None else slope.detach().to_dense()
        for slope, x in zip(slopes, inputs, strict=True)
    ]


def nothing(error):
    """An observation of nothing but an error."""
    return {"value": None, "changed": False, "printed": "", "gradients": None, "error": error}


def _cannot_be_called(attempt, calls, signature):
    if not callable(attempt):
        came = plain(attempt)
        if came["kind"] == "none":
            return {"kind": "not done", "message": "There is no function yet."}
        came = "a tensor" if came["kind"] == "tensor" else came.get("text", _other(attempt)["text"])
        message = f"check wants your function itself, not what it returns: it got {came}. Leave the brackets away."
        return {"kind": "not a function", "message": message}
    try:
        known = inspect.signature(attempt)
    except Exception:  # a built-in, or an object that says strange things of itself: let it be called
        return None
    try:
        known.bind(*calls[0]["args"])
    except TypeError as error:
        expected = f" It has to be callable as {signature}." if signature else ""
        return {"kind": "not callable so", "message": f"Your function cannot be called: {error}.{expected}"}
    return None


# What was raised, and where


def _raised(error):
    name, text = _name(type(error)), " ".join(_words_of(error).split())
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


_LIBRARIES = {
    Path(__file__).resolve().parents[2],
    Path(torch.__file__).resolve().parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
}


# Time limit and printing


def _run(work, seconds, printed):
    """Run ``work`` in a thread of its own: a signal would need Unix and the main thread, this works everywhere.

    Returns:
        ``"done"``, ``"stopped"``, or ``"running"``: code deep inside a library, or that catches everything, hears
        nothing.
    """
    done = threading.Event()

    def run():
        printed.thread = threading.get_ident()
        try:
            with contextlib.suppress(TooSlow):
                work()
        finally:
            done.set()

    thread = threading.Thread(target=run, name="attempt", daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    try:
        # In slices: on Windows a waiting thread does not hear Ctrl-C.
        while not done.wait(0.1) and time.monotonic() < deadline:
            pass
    except BaseException:  # the student pressed "interrupt"
        _stop(thread, done)
        raise
    state = "done" if done.is_set() else "stopped" if _stop(thread, done) else "running"
    if state != "running":
        wait_for_the_end(thread)
    return state


def _stop(thread, done):
    for _ in range(20):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))
        if done.wait(0.05):
            return True
    return False


def _article(word):
    return "an" if word[:1].lower() in "aeiou" else "a"


def observe_answer(attempt, calls, signature=None, time_limit=None):
    """What ``judge`` asks for: an answer as it is (``calls`` None), or what a function does on ``calls``."""
    if calls is None:
        return [nothing(None) | {"value": plain(attempt)}]
    return observe(attempt, calls, signature=signature, time_limit=time_limit)
