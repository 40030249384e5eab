"""Grades a student's notebook: runs it in a fresh kernel, and judges what its functions do from outside.

The notebook's own ``check`` is not believed. When it is called, the kernel runs the attempt on inputs that the grader
has sent, and writes down plainly what came (tensors and texts, read with ``weights_only``); the verdict is made in the
grader's process. So a notebook that redefines ``check``, crashes or never ends cannot make or break a verdict. What it
can do is what any student can: hand in somebody else's solution. It also runs as *you*: grade notebooks of people you
do not trust in a container.

Nothing that lies beside the notebook is imported here. One thing cannot be helped: in a folder with a stncourse.py of
its own, ``python -m stncourse`` is that file; the command ``stncourse grade`` is not.
"""

import contextlib
import importlib.util
import json
import signal
import sys
import time

from stncourse import _check
from stncourse._files import check_writable, replacing
from stncourse._own_path import without_working_folder
from stncourse.exercises.engine.notebook import NotANotebook, read_cells, wanted_exercises
from stncourse.exercises.engine.notebook_run import NotebookRun
from stncourse.exercises.engine.report import as_text, report_on
from stncourse.exercises.engine.safe_text import readable, say
from stncourse.exercises.engine.torch_defaults import as_torch_starts

_NEEDED = ("ipykernel", "jupyter_client", "psutil", "zmq")


class CannotGrade(Exception):
    """The notebook cannot be graded; the message says why."""


def grade(path, time_limit=600.0, memory_limit=4096):
    """Run a notebook and judge its exercises.

    Nothing that it started runs on afterwards, however this ends. It may be called inside Jupyter, too.

    Args:
        path: the notebook.
        time_limit: seconds for all of it.
        memory_limit: megabytes for its kernel.

    Returns:
        The report, a dict that JSON can hold: ``notebook``, ``exercises`` (each with ``name``, ``title``, ``state``,
        ``message``, ``mistake``), ``errors`` (each with ``cell``, ``error``, ``message``), ``totals``, ``notes``,
        ``seconds``. What comes from the student is text in it: control characters are written out.

    Raises:
        CannotGrade: no such file, not a notebook, no exercises in it, or ipykernel is missing.
        TypeError: ``path`` is no path.
        ValueError: a limit is not a finite number above 0.
    """
    path = _check.path("path", path)
    time_limit, memory_limit = (
        _check.number(name, value, "a number > 0", lambda v: 0 < v < float("inf"))
        for name, value in (("time_limit", time_limit), ("memory_limit", memory_limit))
    )
    with _nothing_from_this_folder(), as_torch_starts():
        cells = _read(path)
        run = NotebookRun(cells, path, time_limit, memory_limit)
        start = time.monotonic()
        seen = run.to_the_end()
        exercises = wanted_exercises(path, cells, seen)
        if not exercises:
            raise CannotGrade(f"{path}: there are no exercises in this notebook")
    return report_on(path.name, exercises, run, time.monotonic() - start)


@contextlib.contextmanager
def _nothing_from_this_folder():
    """What is imported here does not come from the working folder, which may be the student's."""
    kept = without_working_folder(sys.path)
    left_out = [(place, folder) for place, folder in enumerate(sys.path) if folder not in kept]
    sys.path[:] = kept
    try:
        yield
    finally:
        for place, folder in left_out:
            sys.path.insert(place, folder)


def _read(path):
    if not all(map(importlib.util.find_spec, _NEEDED)):
        raise CannotGrade("grading needs ipykernel, which comes with JupyterLab: pip install 'stncourse[course]'")
    try:
        return read_cells(path)
    except OSError as error:
        raise CannotGrade(f"{path}: {error.strerror or error}") from error
    except NotANotebook as error:
        raise CannotGrade(f"{path}: this is not a notebook ({error})") from error


def main(options):
    """Grade ``options.notebook``; write ``<name>.report.json`` and ``.txt``; print the text.

    Exit status: 0 every exercise passed, 1 not all, 2 the notebook cannot be graded, 130 interrupted.
    """
    stem = options.report or options.notebook.with_suffix("")
    try:
        with _ended_in_order():
            _read(options.notebook)
            targets = [check_writable("--report", f"{stem}.report.{ending}") for ending in ("json", "txt")]
            report = grade(options.notebook, options.time_limit, options.memory_limit)
        text = as_text(report)
        for target, content in zip(
            targets, (json.dumps(report, indent=1, ensure_ascii=False) + "\n", text), strict=True
        ):
            with replacing(target, text=True) as file:
                file.write(content)
    except (CannotGrade, OSError) as error:
        say(readable(str(error)), sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("interrupted: no report was written", sys.stderr)
        return 130
    say(text.removesuffix("\n"))
    return 0 if report["totals"]["passed"] == len(report["exercises"]) else 1


@contextlib.contextmanager
def _ended_in_order():
    """Who ends this process politely (``timeout``, a closed terminal) interrupts it: the kernel is ended, too."""
    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread: then it is somebody else's business
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) == signal.SIG_DFL:  # not what nohup ignores
                before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
