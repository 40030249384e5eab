"""Puzzles: find the θ that makes one picture of another. One kind of exercise."""

from collections.abc import Callable
from dataclasses import dataclass

from stncourse.exercises.engine.exercise import Exercise
from stncourse.exercises.engine.judge_answers import judge_theta


@dataclass(frozen=True, kw_only=True)
class Puzzle(Exercise):
    """Find the θ that makes one picture of another. Judged by the pixels, not by the numbers.

    Attributes:
        variable: the name of the answer in the notebook.
        target: () -> the ``(2, 3)`` θ that made the target.
        picture: () -> the ``(1, 1, H, W)`` input, in [0, 1].
        warp: (picture, θ) -> picture.
        draw: (input, target, got or None) -> Figure.
        solution_line: one line of Python that gives such a θ.
        explanation: why it does.
        tolerance: mean absolute difference of the pixels that still passes.
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
    def right(self):
        """What a mistake may be a twist of."""
        return self.target

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
        message = (
            f"Not done yet. Put your θ in place of the three dots in `{self.variable} = ...`, run that cell, "
            "then this one."
        )

        def draw():
            return self.draw(self.picture(), self.seen_by(self.target()), None)

        return self.verdict(None, message + " This is what has to come out:", drawings=[draw])

    def judge(self, observe):
        """Judge a θ. ``observe(None)`` tells what was given."""
        return judge_theta(self, observe)

    def seen_by(self, theta):
        """The input as this θ sees it."""
        return self.warp(self.picture(), theta)
