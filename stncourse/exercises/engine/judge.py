"""What an exercise is, and how an attempt is judged.

An exercise is data: a task, hints, a solution (a real function, from which the stub is made), an independent
specification, inputs from small to large, and the classic mistakes as real functions. An attempt that fails is
compared with each mistake's answers: when it agrees on all inputs, the mistake has a name.
"""

import ast
import inspect
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import torch

from stncourse.exercises.engine.compare import as_number, describe_arguments, describe_value, difference, kind_of
from stncourse.exercises.engine.observe import copied, plain
from stncourse.exercises.engine.text import readable


@dataclass(frozen=True)
class CheckResult:
    """The verdict of :func:`stncourse.check`. It is true in an ``if`` when the attempt passed.

    Attributes:
        passed: True, False, or None while the stub is untouched.
        message: one or several sentences: what is right, or what is wrong.
        mistake: the recognised classic mistake's short name, such as ``"x and y swapped"``, or None.
    """

    passed: bool | None
    message: str
    mistake: str | None = None

    def __bool__(self):
        return self.passed is True

    def _ipython_display_(self):
        """Nothing: ``check`` has shown it already."""


@dataclass(frozen=True)
class Verdict:
    """A CheckResult and what is shown with it: lines of (what, text), and functions that draw a figure each."""

    result: CheckResult
    details: tuple = ()
    drawings: tuple = ()


@dataclass(frozen=True)
class Mistake:
    """A classic mistake: its short name, a function that makes it (or a wrong answer), and what to tell the student."""

    name: str
    wrong: object
    message: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all exercises have.

    Attributes:
        name: what :func:`stncourse.check` calls it.
        title, task: markdown. hints: markdown, from a nudge to nearly all.
        mistakes: name -> (wrong, message), kept as a tuple of :class:`Mistake`.
        notebook: the two digits of the notebook it belongs to; ``exercises_of`` fills them in.
    """

    name: str
    title: str
    task: str
    hints: tuple
    mistakes: dict | tuple
    notebook: str = ""

    def __post_init__(self):
        if isinstance(self.mistakes, dict):
            mistakes = tuple(Mistake(name, *said) for name, said in self.mistakes.items())
            object.__setattr__(self, "mistakes", mistakes)

    def verdict(self, passed, message, mistake=None, details=(), drawings=()):
        """A Verdict on this exercise. What it says of the student's doing is text, whatever is in it."""
        details = tuple((what, readable(text, keep="\n\t")) for what, text in details)
        return Verdict(CheckResult(passed, readable(message), mistake), details, tuple(drawings))


@dataclass(frozen=True, kw_only=True)
class Code(Exercise):
    """A function to write.

    Attributes:
        solution: the function, as a student would write it. Its signature and docstring are the stub.
        specification: says slowly and obviously, or with torch, what is right.
        cases: () -> a list of argument tuples, from the smallest to the largest.
        differentiable: positions of the arguments by which the answer has a slope.
        draw: (arguments, expected, got or None) -> Figure, or None where the answer is no picture.
        example: () -> arguments for the picture of what is expected, larger and nicer than the cases.
    """

    solution: Callable
    specification: Callable
    cases: Callable
    differentiable: tuple = ()
    draw: Callable | None = None
    example: Callable | None = None

    @property
    def stub(self):
        """The stub's source: the solution's signature and docstring."""
        return f"{_head(self.solution)}    raise NotImplementedError\n"

    @property
    def solution_source(self):
        """The solution's source."""
        return textwrap.dedent(inspect.getsource(self.solution))

    @property
    def check_source(self):
        """The check cell's source."""
        return f'check("{self.name}", {self.solution.__name__})'

    @property
    def signature(self):
        """How the function is called, such as ``my_grid(theta, size)``."""
        return f"{self.solution.__name__}({', '.join(self.parameters)})"

    @property
    def parameters(self):
        """The names of the arguments."""
        return list(inspect.signature(self.solution).parameters)

    def judge(self, observe):
        """Judge an attempt. ``observe(calls)`` tells what it does on them."""
        cases = self.cases()
        seen = observe([{"args": list(arguments)} for arguments in [*cases, *self._examples()]])
        seen, on_example = seen[: len(cases)], seen[len(cases) :]
        if seen[0]["error"] and seen[0]["error"]["kind"] == "not done":
            return self.not_done()
        expected = [plain(self.specification(*copied(case))) for case in cases]
        for case, want, got in zip(cases, expected, seen, strict=False):
            if problem := self._problem(want, got):
                named = None if got["error"] or got["changed"] else self._recognise(cases, seen)
                name, message = (named.name, named.message) if named else problem
                drawings = [*self._drawings(case, want, got), *self._drawings_of_example(on_example)]
                return self._failed(message, name, case, want, got, drawings)
        if self.differentiable:
            return self._judge_gradient(cases, observe)
        return self._passed(cases)

    def not_done(self):
        """The verdict on an untouched stub, with a picture of what is expected where there is one."""
        message = (
            f"Not done yet. Put your code in place of `raise NotImplementedError` in `{self.solution.__name__}`, run "
            "that cell, then this one."
        )
        drawings = [
            lambda arguments=arguments: self.draw(arguments, self.specification(*copied(arguments)), None)
            for arguments in self._examples()
        ]
        return self.verdict(None, message + " This is what will come out:" * bool(drawings), drawings=drawings)

    def _examples(self):
        return [self.example()] if self.draw and self.example else []

    def _drawings(self, case, want, got):
        """What is expected and what came, where both are pictures of one size."""
        value = got["value"]
        fits = value is not None and want["kind"] == value["kind"] == "tensor"
        if self.draw is None or not fits or want["tensor"].shape != value["tensor"].shape:
            return []
        if value["tensor"].is_complex():
            return []
        return [lambda: self.draw(case, want["tensor"], value["tensor"])]

    def _drawings_of_example(self, seen):
        for arguments, got in zip(self._examples(), seen, strict=False):
            want = plain(self.specification(*copied(arguments)))
            if got["value"] is not None and difference(want, got["value"]):
                return self._drawings(arguments, want, got)
        return []

    def _passed(self, cases):
        slopes = ", its gradient too" if self.differentiable else ""
        return self.verdict(True, f"Right, on {len(cases)} inputs of different sizes{slopes}.")

    def _problem(self, want, got):
        """What is wrong with one answer, as (mistake or None, sentence), or None."""
        if got["error"]:
            if got["error"]["kind"] == "in place":
                return IN_PLACE
            return None, got["error"]["message"]
        if got["changed"]:
            return IN_PLACE
        return difference(want, got["value"])

    def _recognise(self, cases, seen):
        """The mistake that answers as the attempt does, on every input."""
        if len(seen) < len(cases) or any(one["error"] for one in seen):
            return None
        for mistake in self.mistakes:
            if all(
                difference(plain(mistake.wrong(*copied(case))), one["value"]) is None
                for case, one in zip(cases, seen, strict=True)
            ):
                return mistake
        return None

    def _judge_gradient(self, cases, observe):
        cases = [case for case in cases if all(case[i].dtype == torch.float64 for i in self.differentiable)]
        generator = torch.Generator().manual_seed(0)
        calls, wanted = [], []
        for case in cases:
            arguments = copied(list(case))
            inputs = [arguments[i].requires_grad_() for i in self.differentiable]
            value = self.specification(*arguments)
            weights = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            wanted.append(torch.autograd.grad((value * weights).sum(), inputs))
            calls.append({"args": list(case), "differentiate": list(self.differentiable), "weights": weights})
        for case, slopes, got in zip(cases, wanted, observe(calls), strict=False):
            name, message = self._gradient_problem(slopes, got)
            if message:
                return self._failed(message, name, case, None, got)
        return self._passed(self.cases())

    def _gradient_problem(self, wanted, got):
        if got["error"]:
            kind = got["error"]["kind"]
            if kind in ("detached", "in place"):
                return DETACHED if kind == "detached" else IN_PLACE
            return None, "The values are right, but with requires_grad on: " + got["error"]["message"]
        if got["gradients"] is None:
            return DETACHED
        for position, want, have in zip(self.differentiable, wanted, got["gradients"], strict=True):
            if difference(plain(want), plain(have)):
                name = self.parameters[position]
                if want.any() and not have.any():
                    return DETACHED[0], f"{DETACHED[1]} Here no slope arrives at `{name}`."
                return None, f"The values are right, but the gradient by `{name}` is not."
        return None, None

    def _failed(self, message, mistake, case, want, got, drawings=()):
        details = [("input", describe_arguments(self.parameters, case))]
        if want is not None:
            details.append(("expected", describe_value(want)))
            if got["value"] is not None:
                details.append(("got", describe_value(got["value"])))
        if got["printed"].strip():
            details.append(("printed", textwrap.shorten(got["printed"], 300)))
        return self.verdict(False, message, mistake, details, drawings)


IN_PLACE = (
    "input changed in place",
    "It writes into its own input: whoever calls it finds their data changed. Make a new tensor (`x = x + 1`, not "
    "`x += 1`), or work on `x.clone()`.",
)
DETACHED = (
    "detached gradient",
    "The values are right, but the gradient is cut off on the way: through `.detach()`, `.data`, `.item()`, NumPy, "
    "`torch.no_grad()` or `torch.tensor(…)`. Nothing in front of it could learn.",
)


@dataclass(frozen=True, kw_only=True)
class Question(Exercise):
    """A question: a number, or one of some words.

    Attributes:
        variable: the name of the answer in the notebook.
        answer: () -> the right answer, computed.
        options: the words to choose from, or () for a number.
        tolerance: how far a number may be off.
        solution_source: markdown: why.
        preview: () -> Figure with the question, or None.
    """

    variable: str
    answer: Callable
    explanation: str
    options: tuple = ()
    tolerance: float = 0.01
    draw_question: Callable | None = None

    @property
    def stub(self):
        """The stub's source: the answer is ``...``."""
        comment = f"  # one of: {', '.join(self.options)}, in quotes" if self.options else "  # a number"
        return f"{self.variable} = ...{comment}\n"

    @property
    def solution_source(self):
        """The right answer as a line of Python."""
        answer = self.answer()
        text = f'"{answer}"' if self.options else f"{answer:.4g}"
        return f"{self.variable} = {text}\n"

    @property
    def check_source(self):
        """The check cell's source."""
        return f'check("{self.name}", {self.variable})'

    def not_done(self):
        """The verdict on an unanswered question."""
        message = (
            f"Not done yet. Put your answer in place of the three dots in `{self.variable} = ...`, run that cell, "
        )
        return self.verdict(
            None, message + "then this one.", drawings=[self.draw_question] if self.draw_question else ()
        )

    def judge(self, observe):
        """Judge an answer. ``observe(None)`` tells what was given."""
        got = observe(None)[0]
        if got["error"]:
            return self.verdict(False, got["error"]["message"])
        value = got["value"]
        if value["kind"] == "none":
            return self.not_done()
        if not self.options:
            value = as_number(value)
        wanted_kind = "text" if self.options else "number"
        if value["kind"] != wanted_kind:
            wanted = f"one of {', '.join(map(repr, self.options))}" if self.options else "a number"
            hint = " Leave the quotes away." if value["kind"] == "text" else ""
            return self.verdict(False, f"The answer has to be {wanted}; this is {kind_of(value)}.{hint}")
        return self._judge_text(value["value"]) if self.options else self._judge_number(value["value"])

    def _judge_text(self, text):
        text = text.strip().lower()
        if text not in self.options:
            return self.verdict(False, f"{text!r} is not one of {', '.join(map(repr, self.options))}.")
        if text == self.answer():
            return self.verdict(True, f"Right. {self.explanation}")
        for mistake in self.mistakes:
            if text == mistake.wrong:
                return self.verdict(False, mistake.message, mistake.name)
        return self.verdict(False, "That is not it. Open a hint.")

    def _judge_number(self, number):
        if not math.isfinite(number):
            return self.verdict(False, f"{number} is no answer: a finite number is asked for.")
        if abs(number - self.answer()) <= self.tolerance:
            return self.verdict(True, f"Right. {self.explanation}")
        for mistake in self.mistakes:
            wrong = mistake.wrong() if callable(mistake.wrong) else mistake.wrong
            if abs(number - wrong) <= self.tolerance:
                return self.verdict(False, mistake.message, mistake.name)
        return self.verdict(False, f"{number:g} is not it. Open a hint.")


@dataclass(frozen=True, kw_only=True)
class Puzzle(Exercise):
    """Find the θ that makes one picture of another. Judged by the pixels, not by the numbers.

    Attributes:
        variable: the name of the answer in the notebook.
        target: () -> the ``(2, 3)`` θ that made the target.
        picture: () -> the ``(1, 1, H, W)`` input, in [0, 1].
        warp: (picture, θ) -> picture.
        draw: (input, target, got or None) -> Figure.
        tolerance: mean absolute difference of the pixels that still passes.
        solution_line: one line of Python that gives such a θ.
    """

    variable: str
    target: Callable
    picture: Callable
    warp: Callable
    draw: Callable
    solution_line: str
    explanation: str
    tolerance: float = 0.02

    @property
    def stub(self):
        """The stub's source: the answer is ``...``."""
        return f"{self.variable} = ...  # [[θ11, θ12, tx], [θ21, θ22, ty]], or affine_theta(...)\n"

    @property
    def solution_source(self):
        """A right answer as a line of Python."""
        return f"{self.variable} = {self.solution_line}\n"

    @property
    def check_source(self):
        """The check cell's source."""
        return f'check("{self.name}", {self.variable})'

    def not_done(self):
        """The verdict on an unanswered puzzle, with the input and the target."""
        place = f"in place of the three dots in `{self.variable} = ...`"
        message = f"Not done yet. Put your θ {place}, run that cell, then this one."

        def draw():
            return self.draw(self.picture(), self._seen_by(self.target()), None)

        return self.verdict(None, message + " This is what has to come out:", drawings=[draw])

    def judge(self, observe):
        """Judge a θ. ``observe(None)`` tells what was given."""
        got = observe(None)[0]
        if got["error"]:
            return self.verdict(False, got["error"]["message"])
        if got["value"]["kind"] == "none":
            return self.not_done()
        theta, problem = _as_theta(got["value"])
        if problem:
            return self.verdict(False, problem)
        target, seen = self._seen_by(self.target()), self._seen_by(theta)
        drawings = [lambda: self.draw(self.picture(), target, seen)]
        off = (seen - target).abs().mean().item()
        if off <= self.tolerance:
            return self.verdict(True, f"Right. {self.explanation}", drawings=drawings)
        for mistake in self.mistakes:
            if (self._seen_by(mistake.wrong()) - seen).abs().mean() <= self.tolerance / 2:
                return self.verdict(False, mistake.message, mistake.name, drawings=drawings)
        scale = (target - self.picture()).abs().mean().item()
        closer = (
            "closer to the target than the input is" if off < scale else "no closer to the target than the input is"
        )
        return self.verdict(False, f"Not yet: what comes out is {closer}.", drawings=drawings)

    def _seen_by(self, theta):
        return self.warp(self.picture(), theta)


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


def _head(function):
    """A function's source up to the end of its docstring."""
    source = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(source).body[0].body
    return "".join(source.splitlines(keepends=True)[: body[0].end_lineno])
