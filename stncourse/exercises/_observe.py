"""Runs somebody's attempt and writes down what happened: never raises, never waits for ever, believes nothing.

What is written down is plain (tensors, numbers, texts, lists of them), so that the grader can run the attempt in the
student's kernel and judge it in its own process.
"""

import contextlib
import ctypes
import inspect
import linecache
import sys
import sysconfig
import threading
import time
import traceback
from pathlib import Path

import torch

#: Seconds that an attempt has, over all the inputs it is tried on.
TIME_LIMIT = 10.0
_PRINTED_AT_MOST = 2000
_ONE_AT_A_TIME = threading.Lock()


class TooSlow(BaseException):
    """Thrown into an attempt that does not end. Not an Exception: a loop with ``except Exception`` must not eat it."""


def observe(attempt, calls, *, signature=None, time_limit=None):
    """Call ``attempt`` with each of ``calls`` and describe what came.

    Args:
        attempt: what the student gave.
        calls: list of dicts: ``args`` (a list), and for a gradient ``differentiate`` (positions in args) and
            ``weights`` (a tensor of the output's shape, by which the output is multiplied before it is summed up).
        signature: how the function is to be called, in words.

    Returns:
        A list of dicts with ``value`` (see :func:`plain`), ``changed`` (the attempt wrote into its input),
        ``printed``, ``gradients`` and ``error`` (None, or a dict with ``kind`` and ``message``). It ends early
        after an attempt that is not finished, cannot be called or is too slow.
    """
    seconds = TIME_LIMIT if time_limit is None else time_limit
    if problem := _cannot_be_called(attempt, calls, signature):
        return [nothing(problem)]
    seen = []
    printed = _Printed()

    def work():
        for call in calls:
            seen.append(_observe_one(attempt, call, printed))
            if seen[-1]["error"] and seen[-1]["error"]["kind"] == "not done":
                return

    with _ONE_AT_A_TIME, printed:
        state = _run(work, seconds, printed)
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


def plain(value):
    """A value as a dict of plain things: ``kind`` says which of them it is."""
    if isinstance(value, torch.Tensor):
        with contextlib.suppress(RuntimeError):  # on the meta device or the like there are no numbers to take
            copy = value.detach().to("cpu", copy=True)
            if copy.layout == torch.strided and not copy.is_quantized:
                # as_subclass: a Parameter is a tensor here
                copy = copy.as_subclass(torch.Tensor).resolve_conj().resolve_neg()
                return {
                    "kind": "tensor",
                    "tensor": copy,
                    "device": str(value.device),
                    "attached": bool(value.requires_grad),
                }
        return {"kind": "other", "text": f"a tensor on the device {value.device}", "type": "Tensor"}
    if value is None or value is Ellipsis:
        return {"kind": "none"}
    if isinstance(value, bool):
        return {"kind": "bool", "value": value}
    if isinstance(value, (int, float)):
        with contextlib.suppress(OverflowError):
            return {"kind": "number", "value": float(value)}
    if isinstance(value, str):
        return {"kind": "text", "value": value[:200]}
    if isinstance(value, (list, tuple)) and len(value) <= 1000:
        return {"kind": "list", "items": [plain(item) for item in value], "type": type(value).__name__}
    kind = type(value)
    if kind.__module__ == "numpy":
        shape = getattr(value, "shape", ())
        text = f"a NumPy array of shape {tuple(shape)}" if shape else f"a NumPy {kind.__name__}"
        return {"kind": "numpy", "text": text, "type": kind.__name__}
    return {"kind": "other", "text": f"{_article(kind.__name__)} {kind.__name__}", "type": kind.__name__}


def copied(value):
    """A deep copy of arguments: tensors, and lists and tuples of them."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    return value


def same(a, b):
    """Whether two arguments are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
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
    return [torch.zeros_like(x) if slope is None else slope.detach() for slope, x in zip(slopes, inputs, strict=True)]


def nothing(error):
    """An observation of nothing but an error."""
    return {"value": None, "changed": False, "printed": "", "gradients": None, "error": error}


def _cannot_be_called(attempt, calls, signature):
    if not callable(attempt):
        came = plain(attempt)
        if came["kind"] == "none":
            return {"kind": "not done", "message": "There is no function yet."}
        came = "a tensor" if came["kind"] == "tensor" else came.get("text", f"a {type(attempt).__name__}")
        message = f"check wants your function itself, not what it returns: it got {came}. Leave the brackets away."
        return {"kind": "not a function", "message": message}
    try:
        inspect.signature(attempt).bind(*calls[0]["args"])
    except TypeError as error:
        expected = f" It has to be callable as {signature}." if signature else ""
        return {"kind": "not callable so", "message": f"Your function cannot be called: {error}.{expected}"}
    except ValueError:  # a built-in without a signature: let it be called
        pass
    return None


# What was raised, and where


def _raised(error):
    name, text = type(error).__name__, " ".join(str(error).split())
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
    Path(__file__).resolve().parents[1],
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
    if done.is_set():
        return "done"
    return "stopped" if _stop(thread, done) else "running"


def _stop(thread, done):
    for _ in range(20):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))
        if done.wait(0.05):
            return True
    return False


class _Printed:
    """Takes what *one* thread prints; what others print goes where it always goes."""

    def __init__(self):
        self.thread = None
        self._pieces, self._room = [], 0

    def __enter__(self):
        self._before = sys.stdout, sys.stderr
        self._ours = _Fork(self, sys.stdout), _Fork(self, sys.stderr)
        sys.stdout, sys.stderr = self._ours
        return self

    def __exit__(self, *_):
        for name, ours, before in zip(("stdout", "stderr"), self._ours, self._before, strict=True):
            if getattr(sys, name) is ours:
                setattr(sys, name, before)

    def start(self):
        self._pieces, self._room = [], _PRINTED_AT_MOST

    def take(self, text):
        self._pieces.append(text[: self._room])
        self._room -= len(self._pieces[-1])

    def text(self):
        return "".join(self._pieces)


class _Fork:
    def __init__(self, printed, real):
        self._printed, self._real = printed, real

    def write(self, text):
        if threading.get_ident() == self._printed.thread:
            self._printed.take(str(text))
            return len(text)
        return self._real.write(text)

    def __getattr__(self, name):
        return getattr(self._real, name)


def _article(word):
    return "an" if word[:1].lower() in "aeiou" else "a"


def write_answers(source, target, make_attempt):
    """For the grader, inside the student's kernel: read calls from ``source``, write what was seen to ``target``."""
    task = torch.load(source, weights_only=True)
    try:
        attempt = make_attempt()
    except BaseException as error:
        seen = [nothing({"kind": "raised", "message": f"The cell's answer could not be read: {type(error).__name__}."})]
    else:
        if task["calls"] is None:
            seen = [nothing(None) | {"value": plain(attempt)}]
        else:
            seen = observe(attempt, task["calls"], signature=task["signature"], time_limit=task["seconds"])
    torch.save(seen, target)


def observe_answer(attempt, calls, signature=None):
    """What ``judge`` asks for: an answer as it is (``calls`` None), or what a function does on ``calls``."""
    if calls is None:
        return [nothing(None) | {"value": plain(attempt)}]
    return observe(attempt, calls, signature=signature)
