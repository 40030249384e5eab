"""Runs somebody's attempt and writes down what happened: never raises, never waits for ever, believes nothing.

What is written down is plain data (``plain``). The time limit is held by a thread (``time_limit``) and, where that
cannot be stopped, by a copy of this process (``killable_copy``).
"""

import contextlib
import inspect
import threading

import torch
from torch.overrides import TorchFunctionMode

from stncourse.exercises.engine.killable_copy import calls_that_end
from stncourse.exercises.engine.plain import copied, of_another_kind, plain, same
from stncourse.exercises.engine.printed import Printed
from stncourse.exercises.engine.raised import describe_error
from stncourse.exercises.engine.time_limit import TooSlow, run_in_time

#: Seconds that an attempt has, over all the inputs it is tried on.
TIME_LIMIT = 10.0
_ONE_AT_A_TIME = threading.Lock()


def observe_answer(attempt, calls, signature=None, time_limit=None):
    """What ``judge`` asks for: an answer as it is (``calls`` None), or what a function does on ``calls``."""
    if calls is None:
        return [nothing(None) | {"value": plain(attempt)}]
    return observe(attempt, calls, signature=signature, time_limit=time_limit)


def observe(attempt, calls, *, signature=None, time_limit=None):
    """Call ``attempt`` with each of ``calls`` and describe what came.

    The time limit holds whatever the attempt does. On Linux the calls are tried out in a copy of this process first,
    which can be killed at any moment; what an attempt does there to the notebook's variables is gone with the copy.
    Elsewhere, code in C that keeps the interpreter to itself, such as ``sum(range(10**13))``, has to come to an end of
    its own: nothing in the same process could stop it.

    Args:
        attempt: what the student gave.
        calls: list of dicts: ``args`` (a list), and for a gradient ``differentiate`` (positions in args) and
            ``weights`` (a tensor of the output's shape, by which the output is multiplied before it is summed up),
            and ``watch`` for names of torch's functions.
        signature: how the function is to be called, in words.
        time_limit: seconds for all calls together.

    Returns:
        A list of dicts with ``value`` (see :func:`plain`), ``changed`` (the attempt wrote into its input),
        ``printed``, ``gradients``, ``used`` (the functions that were watched for and came) and ``error`` (None, or a
        dict with ``kind`` and ``message``). It ends early after an attempt that is not finished, cannot be called or
        is too slow.
    """
    seconds = TIME_LIMIT if time_limit is None else time_limit
    if problem := _cannot_be_called(attempt, calls, signature):
        return [nothing(problem)]
    seen = []
    printed = Printed()

    def work(calls, add):
        return run_in_time(lambda: _observe_all(attempt, calls, printed, add), seconds, printed)

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


def nothing(error):
    """An observation of nothing but an error."""
    return {"value": None, "changed": False, "printed": "", "gradients": None, "used": [], "error": error}


def _cannot_be_called(attempt, calls, signature):
    if not callable(attempt):
        came = plain(attempt)
        if came["kind"] == "none":
            return {"kind": "not done", "message": "There is no function yet."}
        came = "a tensor" if came["kind"] == "tensor" else came.get("text", of_another_kind(attempt)["text"])
        message = (
            f"check wants your function itself, not what it returns: it got {came}. Pass its name, without brackets."
        )
        return {"kind": "not a function", "message": message}
    try:
        known = inspect.signature(attempt)
    except BaseException:  # a built-in, or an object that does strange things when asked: let it be called
        return None
    try:
        inspect.Signature.bind(known, *calls[0]["args"])
    except TypeError as error:
        expected = f" It has to be callable as {signature}." if signature else ""
        return {"kind": "not callable so", "message": f"Your function cannot be called: {error}.{expected}"}
    return None


def _observe_all(attempt, calls, printed, add):
    """``add`` what comes of each call, up to a stub's."""
    for call in calls:
        seen = _observe_one(attempt, call, printed)
        add(seen)
        if seen["error"] and seen["error"]["kind"] == "not done":
            return


def _observe_one(attempt, call, printed):
    arguments, differentiate = copied(list(call["args"])), call.get("differentiate", ())
    for position in differentiate:
        arguments[position].requires_grad_()
    printed.start()
    seen = nothing(None)
    try:
        with _watching(call.get("watch"), seen["used"]):
            value = attempt(*arguments)
        if differentiate:
            seen["gradients"] = _gradients(value, call["weights"], [arguments[i] for i in differentiate])
        seen["value"] = plain(value)
    except NotImplementedError:
        seen["error"] = {"kind": "not done", "message": "It still raises NotImplementedError."}
    except TooSlow:
        raise
    except BaseException as error:  # also SystemExit: an attempt must not end the notebook
        seen["error"] = describe_error(error)
    seen["printed"] = printed.text()
    seen["changed"] = not all(
        map(same, [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments], call["args"])
    )
    return seen


def _watching(names, used):
    """Notes in ``used`` which of torch's functions with these names are called, whatever calls them."""
    if not names:
        return contextlib.nullcontext()

    class Watching(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", "")
            if name in names and name not in used:
                used.append(name)
            return function(*args, **(kwargs or {}))

    return Watching()


def _gradients(value, weights, inputs):
    """The slopes of the weighted output, or None for an output that autograd does not know."""
    if not (isinstance(value, torch.Tensor) and value.requires_grad):
        return None
    slopes = torch.autograd.grad((value * weights).sum(), inputs, allow_unused=True)
    return [
        torch.zeros_like(x) if slope is None else slope.detach().to_dense()
        for slope, x in zip(slopes, inputs, strict=True)
    ]
