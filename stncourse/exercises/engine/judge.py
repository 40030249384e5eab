"""How a function is judged; answers that are no functions: ``judge_answers``.

It is tried on all inputs, and compared with what an independent specification answers; then its gradients are, where
the task asks for them. One that fails is compared with the classic mistakes (``recognise``).
"""

import textwrap

import torch

from stncourse.exercises.engine.compare import ENOUGH, MISSING_BATCH, difference, of_another_type
from stncourse.exercises.engine.describe import describe_arguments, describe_both, describe_value
from stncourse.exercises.engine.plain import as_tensors, copied, plain
from stncourse.exercises.engine.recognise import Tried, recognised
from stncourse.exercises.engine.relations import right_parts, rounded_to

_IN_PLACE = (
    "input changed in place",
    "It writes into its own input, so the caller's data change. Make a new tensor (`x = x + 1`, not `x += 1`), or work "
    "on `x.clone()`.",
)
_DETACHED = (
    "detached gradient",
    "The values are right, but the gradient is cut off on the way: through `.detach()`, `.data`, `.item()`, rounding, "
    "NumPy, `torch.no_grad()` or `torch.tensor(…)`. Nothing in front of it could learn.",
)
_SLACK = 1e-4  # for gradients: relative, and absolute below 1
_FINE_DECIMALS = 3  # who rounds to so many is right


def judge_function(exercise, observe):
    """The Verdict on a function. ``observe(calls)`` tells what it does on them."""
    cases = exercise.cases()
    seen = observe(_calls_for_values(exercise, cases))
    seen, on_example = seen[: len(cases)], seen[len(cases) :]
    if seen[0]["error"] and seen[0]["error"]["kind"] == "not done":
        return exercise.not_done()
    compared = _compared(exercise, cases, seen)
    right, tried = compared[0]
    wrong = [one for one in tried if one.state in ("wrong", "raised")]
    if not any(one.state == "right" for one in tried):
        wrong = wrong or tried  # it raises on every input
    decimals = rounded_to([(one.want, one.got["value"]) for one in tried]) if _only_numbers(tried) else None
    if wrong and (decimals is None or decimals < _FINE_DECIMALS):
        return _failure(exercise, compared, wrong[0], decimals, on_example)
    if exercise.without and any(one["used"] for one in seen):
        return exercise.verdict(False, f"The numbers are right. {exercise.without[1]}", "not allowed here")
    remarks = _remarks(exercise, tried, decimals)
    if exercise.differentiable:
        return _judge_gradient(exercise, right, cases, observe, remarks)
    return _passed(exercise, cases, remarks)


def rounds_of_calls(exercise):
    """All that ``judge_function`` may ask ``observe``, in that order: the calls for the values, and for the slopes."""
    cases = exercise.cases()
    slopes = [_calls_for_slopes(exercise, exercise.right, cases)[1]] if exercise.differentiable else []
    return [_calls_for_values(exercise, cases), *slopes]


def _calls_for_values(exercise, cases):
    watch = {"watch": list(exercise.without[0])} if exercise.without else {}
    return [{"args": list(arguments)} | watch for arguments in [*cases, *exercise.examples()]]


def _compared(exercise, cases, seen):
    """(right function, what came of each case), for each of the functions that are right; first the one that fits."""
    compared = []
    for right in (exercise.right, *exercise.also_right):
        compared.append((right, [_tried(exercise, right, case, got) for case, got in zip(cases, seen, strict=False)]))
    return sorted(compared, key=lambda one: -sum(tried.state == "right" for tried in one[1]))


def _tried(exercise, right, case, got):
    want = plain(right(*copied(case)))
    if got["value"] is not None and not exercise.differentiable:  # NumPy's numbers will do
        got = got | {"value": as_tensors(got["value"])}
    problem = _problem(want, got, exercise)
    state = "right" if problem is None else "raised" if got["error"] else "wrong"
    if state == "raised" and got["error"]["kind"] == "types" and _has_float64(case):
        state = "silent"  # nobody asked for a float64
    return Tried(case, want, got, state, problem)


def _problem(want, got, exercise):
    """What is wrong with one answer, as (mistake or None, sentence), or None."""
    if got["error"]:
        if got["error"]["kind"] == "in place":
            return _IN_PLACE
        return None, got["error"]["message"]
    if got["changed"]:
        return _IN_PLACE
    return difference(want, got["value"], exercise.axes)


def _has_float64(value):
    if isinstance(value, torch.Tensor):
        return value.dtype == torch.float64
    return isinstance(value, (list, tuple)) and any(map(_has_float64, value))


def _only_numbers(tried):
    """Whether something is wrong, and nothing but numbers is."""
    wrong = [one for one in tried if one.state != "right"]
    return bool(wrong) and all(one.state == "wrong" and one.problem is not _IN_PLACE for one in wrong)


def _failure(exercise, compared, first, decimals, on_example):
    """The verdict on an attempt that is wrong, ``first`` of all on this input."""
    name, message = first.problem
    if decimals is not None:
        name, message = "rounded", f"Right, but rounded to {decimals} decimals: give all of them, and round on paper."
    elif first.problem is not _IN_PLACE and (first.got["error"] or {}).get("kind") != "too slow":
        explained = ((recognised(exercise, *one), one[1]) for one in compared)
        if found := next((pair for pair in explained if pair[0]), None):
            name, message, first = found[0].name, found[0].message, found[1][found[0].place]
        else:
            first = _clearest(compared[0][1], first)
            name, message = first.problem
            if first.got["value"] is not None:
                pairs = [(one.want, one.got["value"]) for one in compared[0][1] if one.got["value"] is not None]
                message += right_parts(pairs, exercise.axes) + _on_the_type(
                    exercise, first.want, first.got["value"], first
                )
    drawings = [*_drawings(exercise, first), *_drawings_of_example(exercise, on_example)]
    return _failed(exercise, message, name, first, drawings)


def _clearest(tried, first):
    """The input that shows best what is wrong: a batch of one can look like no batch at all."""
    wrong = [one for one in tried if one.state == "wrong"]
    value = (first.got["value"] or {}).get("tensor")
    if first.problem[0] == MISSING_BATCH and any(one.problem[0] != MISSING_BATCH for one in wrong):
        return wrong[-1]
    if value is not None and value.ndim == 0 and first.want["kind"] == "tensor" and first.want["tensor"].ndim == 1:
        return wrong[-1]
    return first


def _on_the_type(exercise, want, value, tried):
    """How to get the right type, where the answer has a wrong one."""
    if want["kind"] == value["kind"] == "list":
        pairs = zip(want["items"], value["items"], strict=False)
        return next(filter(None, (_on_the_type(exercise, *pair, tried) for pair in pairs)), "")
    if want["kind"] != "tensor" or value["kind"] != "tensor" or want["tensor"].shape != value["tensor"].shape:
        return ""
    asked, came = want["tensor"].dtype, value["tensor"].dtype
    if asked == came or {asked, came} <= set(ENOUGH):
        return ""
    for name, argument in zip(exercise.parameters, tried.case, strict=True):
        if isinstance(argument, torch.Tensor) and argument.dtype == asked:
            return f" What you make inside takes its type from the input: `dtype={name}.dtype`."
    return f" `.to({asked})` at the end makes it one."


def _remarks(exercise, tried, decimals):
    """What could be better about an attempt that is right."""
    remarks = []
    if decimals is not None:
        remarks.append(f"it rounds to {decimals} decimals; who calls it may need more.")
    named = [
        name
        for name, argument in zip(exercise.parameters, tried[-1].case, strict=True)
        if isinstance(argument, torch.Tensor) and argument.is_floating_point()
    ]
    cure = f" `dtype={named[0]}.dtype` for what you make inside keeps the type that comes in." if named else ""
    if any(one.state == "silent" for one in tried):
        remarks.append(f"it takes float32 only.{cure}")
    elif types := next(filter(None, (of_another_type(one.want, one.got["value"]) for one in tried)), None):
        remarks.append(f"it returns {types[1]}, where {types[0]} would be expected.{cure}")
    return remarks


# Gradients


def _calls_for_slopes(exercise, right, cases):
    """The cases that have slopes, the calls on them, and the slopes that are right: in float64, then in float32."""
    cases = [
        case
        for dtype in (torch.float64, torch.float32)
        for case in cases
        if all(case[i].dtype == dtype for i in exercise.differentiable)
    ]
    generator = torch.Generator().manual_seed(0)
    calls, wanted = [], []
    for case in cases:
        arguments = copied(list(case))
        inputs = [arguments[i].requires_grad_() for i in exercise.differentiable]
        value = right(*arguments)
        weights = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        wanted.append(torch.autograd.grad((value * weights).sum(), inputs))
        calls.append({"args": list(case), "differentiate": list(exercise.differentiable), "weights": weights})
    return cases, calls, wanted


def _judge_gradient(exercise, right, cases, observe, remarks):
    with_slopes, calls, wanted = _calls_for_slopes(exercise, right, cases)
    for case, slopes, got in zip(with_slopes, wanted, observe(calls), strict=False):
        if got["error"] and got["error"]["kind"] == "types" and _has_float64(case):
            continue
        name, message = _gradient_problem(exercise, slopes, got)
        if message:
            return _failed(exercise, message, name, Tried(case, None, got, "wrong", None))
    return _passed(exercise, cases, remarks)


def _gradient_problem(exercise, wanted, got):
    """What is wrong with the gradients on one input, as (mistake or None, sentence or None)."""
    if got["error"]:
        kind = got["error"]["kind"]
        if kind in ("detached", "in place"):
            return _DETACHED if kind == "detached" else _IN_PLACE
        return None, "The values are right, but with requires_grad on: " + got["error"]["message"]
    if got["gradients"] is None:
        return _DETACHED
    for position, want, have in zip(exercise.differentiable, wanted, got["gradients"], strict=True):
        fits = want.shape == have.shape and not have.is_complex()
        if not (fits and torch.allclose(have.to(want.dtype), want, rtol=_SLACK, atol=_SLACK)):
            name = exercise.parameters[position]
            if want.any() and not have.any():
                return _DETACHED[0], f"{_DETACHED[1]} Here no slope arrives at `{name}`."
            return None, f"The values are right, but the gradient with respect to `{name}` is not."
    return None, None


# Verdicts


def _passed(exercise, cases, remarks):
    slopes = ", its gradient too" if exercise.differentiable else ""
    said = f" One remark: {' And '.join(remarks)}" if remarks else ""
    return exercise.verdict(True, f"Right, on {len(cases)} inputs of different sizes{slopes}.{said}")


def _failed(exercise, message, mistake, tried, drawings=()):
    details = [("input", describe_arguments(exercise.parameters, tried.case))]
    got = tried.got
    if tried.want is not None:
        expected, came = describe_value(tried.want), None
        if got["value"] is not None:
            expected, came = describe_both(tried.want, got["value"])
        details += [("expected", expected)] + [("got", came)] * (came is not None)
    if got["printed"].strip():
        details.append(("printed", textwrap.shorten(got["printed"], 300)))
    return exercise.verdict(False, message, mistake, details, drawings)


def _drawings(exercise, tried):
    """What is expected and what came, where both are pictures of one size."""
    want, value = tried.want, tried.got["value"]
    fits = value is not None and want["kind"] == value["kind"] == "tensor"
    if exercise.draw is None or not fits or want["tensor"].shape != value["tensor"].shape:
        return []
    if value["tensor"].is_complex():
        return []
    return [lambda: exercise.draw(tried.case, want["tensor"], value["tensor"])]


def _drawings_of_example(exercise, seen):
    for arguments, got in zip(exercise.examples(), seen, strict=False):
        want = plain(exercise.specification(*copied(arguments)))
        if got["value"] is not None and difference(want, got["value"]):
            return _drawings(exercise, Tried(arguments, want, got, "wrong", None))
    return []
