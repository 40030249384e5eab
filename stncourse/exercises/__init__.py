"""Exercises that check themselves, and say what is wrong.

Each notebook from 01 on ends with some. ``tasks`` holds them, one file a notebook: the one source of task, stub, hints
and solution (``tools/write_exercises.py`` puts them into the notebooks). What several tasks share lies beside it:
``classic_mistakes`` and ``samplers_gone_wrong``, ``inputs``, ``pictures``. ``engine`` runs an attempt safely, compares,
judges and shows; its docstring is a map of its files.
"""

import difflib
from dataclasses import replace
from functools import cache
from importlib import import_module

from stncourse import _check
from stncourse.exercises.engine.exercise import CheckResult
from stncourse.exercises.engine.observe import observe_answer
from stncourse.exercises.engine.progress import load_progress, record
from stncourse.exercises.engine.show import show
from stncourse.exercises.engine.torch_defaults import as_torch_starts

__all__ = ["CheckResult", "check", "exercises_of", "find", "progress"]

#: The notebooks that have exercises: the name that each shares with its file in ``tasks``, and its title.
_NOTEBOOKS = {
    "01_data_loading": "Data loading",
    "02_localization_network": "Localization network",
    "03_grid_generator": "Grid generator",
    "04_sampler": "Sampler",
    "05_training": "Training",
    "06_visualization": "Visualization",
    "07_theta_playground": "Playground",
    "08_training_clinic": "Clinic",
    "09_beyond_affine": "Beyond affine",
    "10_paper_results": "The paper's results",
    "11_when_stns_fail": "When STNs fail",
    "12_your_own_experiments": "Your own experiments",
    "13_many_things": "Many things",
}
#: Their titles, by their first two digits.
NOTEBOOKS = {name[:2]: title for name, title in _NOTEBOOKS.items()}


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
        note = record(exercise.name, verdict.result.passed)
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
    reset = _check.flag("reset", reset)
    return load_progress({f"{key} {title}": names(key) for key, title in NOTEBOOKS.items()}, reset)


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
    (name,) = (name for name in _NOTEBOOKS if name.startswith(notebook))
    exercises = import_module(f"stncourse.exercises.tasks.{name}").EXERCISES
    return tuple(replace(exercise, notebook=notebook) for exercise in exercises)


def names(notebook):
    """The names of a notebook's exercises."""
    return [exercise.name for exercise in exercises_of(notebook)]
