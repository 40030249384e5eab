"""What an exercise is, and what a verdict on it.

An exercise is data: a task, hints, a solution, and the classic mistakes. There are three kinds: ``functions`` to write,
``questions`` to answer, and ``puzzles``: a θ to find.
"""

from dataclasses import dataclass

from stncourse.exercises.engine.mistakes import as_mistake
from stncourse.exercises.engine.safe_text import readable


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


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all exercises have.

    Attributes:
        name: what :func:`stncourse.check` calls it.
        title, task: markdown. hints: markdown, from a nudge to nearly all.
        mistakes: name -> (wrong, message), as ``mistakes`` has it; kept as a tuple of Mistakes.
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
            mistakes = tuple(as_mistake(name, *said, self.right) for name, said in self.mistakes.items())
            object.__setattr__(self, "mistakes", mistakes)

    @property
    def right(self):
        """The right function, or None."""
        return None

    def rounds(self):
        """What ``judge`` asks ``observe``, one after the other: None is for the answer as it is."""
        return [None]

    def verdict(self, passed, message, mistake=None, details=(), drawings=()):
        """A Verdict on this exercise. What it says of the student's doing is text, whatever is in it."""
        details = tuple((what, readable(text, keep="\n\t")) for what, text in details)
        return Verdict(CheckResult(passed, readable(message), mistake), details, tuple(drawings))
