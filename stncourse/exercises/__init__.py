"""Exercises that check themselves, and say what is wrong.

Each notebook from 01 on ends with some. ``_model`` says what an exercise is and judges, ``_observe`` runs an
attempt safely, ``_01`` to ``_12`` hold the exercises of each notebook: the one source of task, stub, hints and
solution (``tools/write_exercises.py`` puts them into the notebooks).
"""

import difflib
from dataclasses import replace
from functools import cache
from importlib import import_module

from stncourse import _check
from stncourse.exercises import _progress
from stncourse.exercises._model import CheckResult
from stncourse.exercises._observe import as_torch_starts, observe_answer
from stncourse.exercises._show import show

__all__ = ["CheckResult", "check", "exercises_of", "find", "progress"]

#: The notebooks that have exercises, by their first two digits.
NOTEBOOKS = {
    "01": "Data loading",
    "02": "Localization network",
    "03": "Grid generator",
    "04": "Sampler",
    "05": "Training",
    "06": "Visualization",
    "07": "Playground",
    "08": "Clinic",
    "09": "Beyond affine",
    "10": "The paper's results",
    "11": "When STNs fail",
    "12": "Your own experiments",
}


def check(name, attempt):
    """Check an attempt at an exercise, show the verdict, and keep it for :func:`progress`.

    An attempt has ten seconds. On Linux it is tried first in a copy of this process, which can be killed when they are
    over; elsewhere nothing ends code in C that keeps Python to itself, such as ``sum(range(10**13))``, but a restart of
    the kernel.

    Args:
        name: the exercise's name, as the notebook has it.
        attempt: the function you wrote (itself, not called), or your answer to a question.

    Returns:
        CheckResult ``(passed, message, mistake)``: ``passed`` is None while the stub is untouched, ``mistake`` the
        short name of a classic mistake that was recognised, or None.

    Raises:
        ValueError: there is no exercise of this name. Whatever the attempt does, only the verdict says so.

    >>> _ = check("which_way", "down")
    ✗ which_way: not yet (the mistake: translation sign)
      ty = +0.4 moves the *frame* down. What you see through it goes the other way.
    """
    exercise = find(name)

    def observe(calls):
        return observe_answer(attempt, calls, getattr(exercise, "signature", None))

    with as_torch_starts():
        verdict = exercise.judge(observe)
        note = _progress.record(exercise.name, verdict.result.passed)
        show(exercise, verdict, note)
    return verdict.result


def progress(reset=False):
    """What you have done in this course so far: a bar for each notebook.

    It is kept as JSON in your data folder (``STNCOURSE_PROGRESS_DIR`` names another), and nowhere else.

    Args:
        reset: forget all of it first.

    Returns:
        Progress, which shows itself; ``done`` holds the names of the exercises passed.

    Raises:
        TypeError: ``reset`` is not True or False.
    """
    if not isinstance(reset, bool):
        raise TypeError(f"reset: expected True or False, got {_check.describe(reset)}")
    return _progress.load({f"{key} {title}": names(key) for key, title in NOTEBOOKS.items()}, reset)


def find(name):
    """The exercise of this name.

    Raises:
        ValueError: there is none.
    """
    known = {exercise.name: exercise for key in NOTEBOOKS for exercise in exercises_of(key)}
    if not isinstance(name, str) or name not in known:
        close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(known)}"
        raise ValueError(f"name: expected the name of an exercise, got {_check.describe(name)}; {hint}")
    return known[name]


@cache
def exercises_of(notebook):
    """The exercises of the notebook with these two digits, in order; () where it has none."""
    if notebook not in NOTEBOOKS:
        return ()
    exercises = import_module(f"stncourse.exercises._{notebook}").EXERCISES
    return tuple(replace(exercise, notebook=notebook) for exercise in exercises)


def names(notebook):
    """The names of a notebook's exercises."""
    return [exercise.name for exercise in exercises_of(notebook)]
