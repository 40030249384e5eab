"""Functions to write: one kind of exercise.

It is data, too: a solution (a real function, from which the stub is made), an independent specification, inputs from
small to large, and the classic mistakes as real functions.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from stncourse.exercises.engine.exercise import Exercise
from stncourse.exercises.engine.judge import judge_function, rounds_of_calls
from stncourse.exercises.engine.plain import copied


@dataclass(frozen=True, kw_only=True)
class Code(Exercise):
    """A function to write.

    Attributes:
        solution: the function, as a student would write it. Its signature and docstring are the stub.
        specification: says slowly and obviously, or with torch, what is right.
        cases: () -> a list of argument tuples, from the smallest to the largest.
        differentiable: positions of the arguments by which the answer must have a slope, where the task asks for it.
        also_right: other functions whose answers are right, too, where the task leaves something open.
        axes: what the axes of the answer are called, such as ``"N C H W"``.
        without: what the task forbids: names of torch's functions, and a sentence for who used one; or ().
        draw: (arguments, expected, got or None) -> Figure, or None where the answer is no picture.
        example: () -> arguments for the picture of what is expected, larger and nicer than the cases.
    """

    solution: Callable
    specification: Callable
    cases: Callable
    differentiable: tuple = ()
    also_right: tuple = ()
    axes: str = ""
    without: tuple = ()
    draw: Callable | None = None
    example: Callable | None = None

    @property
    def right(self):
        """What a mistake may be a twist of."""
        return self.specification

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
        return judge_function(self, observe)

    def rounds(self):
        """The lists of calls that ``judge`` asks for: the second only where the first is answered right."""
        return rounds_of_calls(self)

    def not_done(self):
        """The verdict on an untouched stub, with a picture of what is expected where there is one."""
        message = (
            f"Not done yet. Put your code in place of `raise NotImplementedError` in `{self.solution.__name__}`, run "
            "that cell, then this one."
        )
        drawings = [
            lambda arguments=arguments: self.draw(arguments, self.specification(*copied(arguments)), None)
            for arguments in self.examples()
        ]
        return self.verdict(None, message + " This is what will come out:" * bool(drawings), drawings=drawings)

    def examples(self):
        """The arguments of the example in a list, which is empty where there is no picture to show."""
        return [self.example()] if self.draw and self.example else []


def _head(function):
    """A function's source up to the end of its docstring."""
    source = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(source).body[0].body
    return "".join(source.splitlines(keepends=True)[: body[0].end_lineno])
