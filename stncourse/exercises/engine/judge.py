"""How an attempt is judged: one function for each kind of exercise.

A function is tried on all inputs, and compared with what an independent specification answers; then its gradients are.
One that fails is compared with each classic mistake's answers: when it agrees on all inputs, the mistake has a name.
"""

import math
import textwrap

import torch

from stncourse.exercises.engine.compare import as_number, difference
from stncourse.exercises.engine.describe import describe_arguments, describe_value, kind_of
from stncourse.exercises.engine.plain import copied, plain

_IN_PLACE = (
    "input changed in place",
    "It writes into its own input: whoever calls it finds their data changed. Make a new tensor (`x = x + 1`, not "
    "`x += 1`), or work on `x.clone()`.",
)
_DETACHED = (
    "detached gradient",
    "The values are right, but the gradient is cut off on the way: through `.detach()`, `.data`, `.item()`, NumPy, "
    "`torch.no_grad()` or `torch.tensor(…)`. Nothing in front of it could learn.",
)


def judge_function(exercise, observe):
    """The Verdict on a function. ``observe(calls)`` tells what it does on them."""
    cases = exercise.cases()
    seen = observe(_calls_for_values(exercise, cases))
    seen, on_example = seen[: len(cases)], seen[len(cases) :]
    if seen[0]["error"] and seen[0]["error"]["kind"] == "not done":
        return exercise.not_done()
    expected = [plain(exercise.specification(*copied(case))) for case in cases]
    for case, want, got in zip(cases, expected, seen, strict=False):
        if problem := _problem(want, got):
            named = None if got["error"] or got["changed"] else _recognise(exercise, cases, seen)
            name, message = (named.name, named.message) if named else problem
            drawings = [*_drawings(exercise, case, want, got), *_drawings_of_example(exercise, on_example)]
            return _failed(exercise, message, name, case, want, got, drawings)
    if exercise.differentiable:
        return _judge_gradient(exercise, cases, observe)
    return _passed(exercise, cases)


def rounds_of_calls(exercise):
    """All that ``judge_function`` may ask ``observe``, in that order: the calls for the values, and for the slopes."""
    cases = exercise.cases()
    slopes = [_calls_for_slopes(exercise, cases)[1]] if exercise.differentiable else []
    return [_calls_for_values(exercise, cases), *slopes]


def _calls_for_values(exercise, cases):
    return [{"args": list(arguments)} for arguments in [*cases, *exercise.examples()]]


def _calls_for_slopes(exercise, cases):
    """The cases that have slopes, the calls on them, and the slopes that are right."""
    cases = [case for case in cases if all(case[i].dtype == torch.float64 for i in exercise.differentiable)]
    generator = torch.Generator().manual_seed(0)
    calls, wanted = [], []
    for case in cases:
        arguments = copied(list(case))
        inputs = [arguments[i].requires_grad_() for i in exercise.differentiable]
        value = exercise.specification(*arguments)
        weights = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        wanted.append(torch.autograd.grad((value * weights).sum(), inputs))
        calls.append({"args": list(case), "differentiate": list(exercise.differentiable), "weights": weights})
    return cases, calls, wanted


def _problem(want, got):
    """What is wrong with one answer, as (mistake or None, sentence), or None."""
    if got["error"]:
        if got["error"]["kind"] == "in place":
            return _IN_PLACE
        return None, got["error"]["message"]
    if got["changed"]:
        return _IN_PLACE
    return difference(want, got["value"])


def _recognise(exercise, cases, seen):
    """The mistake that answers as the attempt does, on every input."""
    if len(seen) < len(cases) or any(one["error"] for one in seen):
        return None
    for mistake in exercise.mistakes:
        if all(
            difference(plain(mistake.wrong(*copied(case))), one["value"]) is None
            for case, one in zip(cases, seen, strict=True)
        ):
            return mistake
    return None


def _judge_gradient(exercise, cases, observe):
    cases, calls, wanted = _calls_for_slopes(exercise, cases)
    for case, slopes, got in zip(cases, wanted, observe(calls), strict=False):
        name, message = _gradient_problem(exercise, slopes, got)
        if message:
            return _failed(exercise, message, name, case, None, got)
    return _passed(exercise, exercise.cases())


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
        if difference(plain(want), plain(have)):
            name = exercise.parameters[position]
            if want.any() and not have.any():
                return _DETACHED[0], f"{_DETACHED[1]} Here no slope arrives at `{name}`."
            return None, f"The values are right, but the gradient by `{name}` is not."
    return None, None


def _passed(exercise, cases):
    slopes = ", its gradient too" if exercise.differentiable else ""
    return exercise.verdict(True, f"Right, on {len(cases)} inputs of different sizes{slopes}.")


def _failed(exercise, message, mistake, case, want, got, drawings=()):
    details = [("input", describe_arguments(exercise.parameters, case))]
    if want is not None:
        details.append(("expected", describe_value(want)))
        if got["value"] is not None:
            details.append(("got", describe_value(got["value"])))
    if got["printed"].strip():
        details.append(("printed", textwrap.shorten(got["printed"], 300)))
    return exercise.verdict(False, message, mistake, details, drawings)


def _drawings(exercise, case, want, got):
    """What is expected and what came, where both are pictures of one size."""
    value = got["value"]
    fits = value is not None and want["kind"] == value["kind"] == "tensor"
    if exercise.draw is None or not fits or want["tensor"].shape != value["tensor"].shape:
        return []
    if value["tensor"].is_complex():
        return []
    return [lambda: exercise.draw(case, want["tensor"], value["tensor"])]


def _drawings_of_example(exercise, seen):
    for arguments, got in zip(exercise.examples(), seen, strict=False):
        want = plain(exercise.specification(*copied(arguments)))
        if got["value"] is not None and difference(want, got["value"]):
            return _drawings(exercise, arguments, want, got)
    return []


def judge_answer(exercise, observe):
    """The Verdict on the answer to a question. ``observe(None)`` tells what was given."""
    got = observe(None)[0]
    if got["error"]:
        return exercise.verdict(False, got["error"]["message"])
    value = got["value"]
    if value["kind"] == "none":
        return exercise.not_done()
    if not exercise.options:
        value = as_number(value)
    wanted_kind = "text" if exercise.options else "number"
    if value["kind"] != wanted_kind:
        wanted = f"one of {', '.join(map(repr, exercise.options))}" if exercise.options else "a number"
        hint = " Leave the quotes away." if value["kind"] == "text" else ""
        return exercise.verdict(False, f"The answer has to be {wanted}; this is {kind_of(value)}.{hint}")
    return _judge_text(exercise, value["value"]) if exercise.options else _judge_number(exercise, value["value"])


def _judge_text(exercise, text):
    text = text.strip().lower()
    if text not in exercise.options:
        return exercise.verdict(False, f"{text!r} is not one of {', '.join(map(repr, exercise.options))}.")
    if text == exercise.answer():
        return exercise.verdict(True, f"Right. {exercise.explanation}")
    for mistake in exercise.mistakes:
        if text == mistake.wrong:
            return exercise.verdict(False, mistake.message, mistake.name)
    return exercise.verdict(False, "That is not it. Open a hint.")


def _judge_number(exercise, number):
    if not math.isfinite(number):
        return exercise.verdict(False, f"{number} is no answer: a finite number is asked for.")
    if abs(number - exercise.answer()) <= exercise.tolerance:
        return exercise.verdict(True, f"Right. {exercise.explanation}")
    for mistake in exercise.mistakes:
        wrong = mistake.wrong() if callable(mistake.wrong) else mistake.wrong
        if abs(number - wrong) <= exercise.tolerance:
            return exercise.verdict(False, mistake.message, mistake.name)
    return exercise.verdict(False, f"{number:g} is not it. Open a hint.")


def judge_theta(exercise, observe):
    """The Verdict on a puzzle's θ, by the picture that it makes. ``observe(None)`` tells what was given."""
    got = observe(None)[0]
    if got["error"]:
        return exercise.verdict(False, got["error"]["message"])
    if got["value"]["kind"] == "none":
        return exercise.not_done()
    theta, problem = _as_theta(got["value"])
    if problem:
        return exercise.verdict(False, problem)
    target, seen = exercise.seen_by(exercise.target()), exercise.seen_by(theta)
    drawings = [lambda: exercise.draw(exercise.picture(), target, seen)]
    off = (seen - target).abs().mean().item()
    if off <= exercise.tolerance:
        return exercise.verdict(True, f"Right. {exercise.explanation}", drawings=drawings)
    for mistake in exercise.mistakes:
        if (exercise.seen_by(mistake.wrong()) - seen).abs().mean() <= exercise.tolerance / 2:
            return exercise.verdict(False, mistake.message, mistake.name, drawings=drawings)
    scale = (target - exercise.picture()).abs().mean().item()
    closer = "closer to the target than the input is" if off < scale else "no closer to the target than the input is"
    return exercise.verdict(False, f"Not yet: what comes out is {closer}.", drawings=drawings)


def _as_theta(value):
    """Six numbers in whatever form they came -> a ``(2, 3)`` tensor, or a sentence."""
    problem = "A θ is two rows of three numbers: [[θ11, θ12, tx], [θ21, θ22, ty]]; this is "
    tensor = value.get("tensor")
    if value["kind"] == "list":
        flat = [number for item in value["items"] for number in (item["items"] if item["kind"] == "list" else [item])]
        if not all(item["kind"] == "number" for item in flat):
            return None, problem + kind_of(value) + " with something else in it."
        tensor = torch.tensor([item["value"] for item in flat])
    if tensor is None or tensor.is_complex():
        return None, problem + kind_of(value) + "."
    if tensor.numel() != 6:
        return None, f"{problem}{kind_of(value)} with {tensor.numel()} numbers."
    theta = tensor.float().reshape(2, 3)
    if not theta.isfinite().all():
        return None, "A θ of finite numbers is asked for."
    return theta, None
