"""Questions to answer with a number or a word: one kind of exercise."""

from collections.abc import Callable
from dataclasses import dataclass

from stncourse.exercises.engine.exercise import Exercise
from stncourse.exercises.engine.judge_answers import judge_answer


@dataclass(frozen=True, kw_only=True)
class Question(Exercise):
    """A question: a number, or one of some words.

    Attributes:
        variable: the name of the answer in the notebook.
        answer: () -> the right answer, computed.
        explanation: why it is right.
        options: the words to choose from, or () for a number.
        tolerance: how far a number may be off.
        draw_question: () -> Figure with the question, or None.
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
            "then this one."
        )
        return self.verdict(None, message, drawings=[self.draw_question] if self.draw_question else ())

    def judge(self, observe):
        """Judge an answer. ``observe(None)`` tells what was given."""
        return judge_answer(self, observe)
