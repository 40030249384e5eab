"""What a classic mistake is, and how one is written down.

In an exercise's table it is ``name: (wrong, message)``. ``wrong`` is a wrong answer to a question; or a function that
makes the mistake, and where one function is not enough:

- ``ways(f, g, …)``: functions that make the same mistake, each a little differently;
- ``twist(change, …)``: changes of the right function, ``change(right) -> wrong``, each of which is a way to make it.
  Two different twists can be made at once, one after the other, and the judge tries every pair;
- ``looks(example, fits)``: what no function can foretell, such as random numbers. ``fits(arguments, right, answer)``
  says whether an answer looks like it; ``example`` is a function that makes the mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """A classic mistake.

    Attributes:
        name: short.
        wrong: a function that makes it, or a wrong answer.
        message: what to tell the student.
        ways: all functions that make it.
        twists: the changes of the right function that make it.
        fits: whether an answer looks like it, or None.
    """

    name: str
    wrong: object
    message: str
    ways: tuple = ()
    twists: tuple = ()
    fits: Callable | None = None


@dataclass(frozen=True)
class _Ways:
    functions: tuple


@dataclass(frozen=True)
class _Twists:
    changes: tuple


@dataclass(frozen=True)
class _Looks:
    example: Callable
    fits: Callable


def ways(*functions):
    """Functions that make the same mistake."""
    return _Ways(functions)


def twist(*changes):
    """Changes of the right function, each of which makes the same mistake."""
    return _Twists(changes)


def looks(example, fits):
    """A mistake that is known by its looks. ``fits`` is given values as the student's function returns them."""
    return _Looks(example, fits)


def as_mistake(name, wrong, message, right):
    """The Mistake of one entry in a table. ``right``: the right function, which a twist changes."""
    if isinstance(wrong, _Ways):
        return Mistake(name, wrong.functions[0], message, ways=wrong.functions)
    if isinstance(wrong, _Twists):
        return Mistake(name, wrong.changes[0](right), message, twists=wrong.changes)
    if isinstance(wrong, _Looks):
        return Mistake(name, wrong.example, message, fits=wrong.fits)
    return Mistake(name, wrong, message, ways=(wrong,) if callable(wrong) else ())
