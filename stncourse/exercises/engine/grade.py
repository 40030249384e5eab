"""Grades a student's notebook: runs it in a fresh kernel, and judges what its functions do from outside.

The notebook's own ``check`` is not believed. After each cell the grader has the kernel run what was checked in it on
the exercise's inputs and write down plainly what came (tensors and texts, read with ``weights_only``); the verdict is
made in the grader's process. So a notebook that redefines ``check``, crashes or never ends cannot make or break a
verdict. What it can do is what any student can: hand in somebody else's solution. It also runs as *you*: grade
notebooks of people you do not trust in a container.

Nothing that lies beside the notebook is imported here. One thing cannot be helped: in a folder with a stncourse.py of
its own, ``python -m stncourse`` is that file; the command ``stncourse grade`` is not.
"""

import contextlib
import importlib.util
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from stncourse import _check
from stncourse._files import check_writable, replacing
from stncourse.exercises import NOTEBOOKS, exercises_of, find
from stncourse.exercises.engine.notebook import NotANotebook, checks_in, read_cells
from stncourse.exercises.engine.observe import TIME_LIMIT, as_torch_starts, nothing
from stncourse.exercises.engine.student import Kernel, KernelEnded, TimeOver
from stncourse.exercises.engine.text import readable, say

STATES = ("passed", "failed", "not done", "not reached")
#: The kernel's half of this, as an expression that holds whatever the notebook has named.
_INSIDE = "__import__('stncourse.exercises.engine.noted', fromlist=['x'])"
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
        run = _Run(cells, path, time_limit, memory_limit)
        start = time.monotonic()
        seen = run.to_the_end()
        exercises = _wanted(path, {"cells": cells}, seen)
        if not exercises:
            raise CannotGrade(f"{path}: there are no exercises in this notebook")
        results = [_result(exercise, seen.get(exercise.name)) for exercise in exercises]
    return _as_text_only(
        {
            "notebook": path.name,
            "exercises": results,
            "totals": {state: sum(result["state"] == state for result in results) for state in STATES},
            "errors": run.errors,
            "notes": run.notes,
            "seconds": round(time.monotonic() - start, 1),
        }
    )


@contextlib.contextmanager
def _nothing_from_this_folder():
    """What is imported here does not come from the working folder, which may be the student's."""
    with_it = "" in sys.path
    place = sys.path.index("") if with_it else None
    sys.path[:] = [folder for folder in sys.path if folder]
    try:
        yield
    finally:
        if with_it:
            sys.path.insert(place, "")


def _as_text_only(value):
    if isinstance(value, dict):
        return {name: _as_text_only(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_text_only(item) for item in value]
    return readable(value) if isinstance(value, str) else value


def as_text(report):
    """The report for people."""
    marks = dict(zip(STATES, "✓✗○–", strict=True))
    lines = [report["notebook"], ""]
    for result in report["exercises"]:
        mistake = f" (the mistake: {result['mistake']})" if result["mistake"] else ""
        lines.append(f"{marks[result['state']]} {result['name']}: {result['state']}{mistake}")
        if result["state"] != "passed" and result["message"]:
            lines.append(f"    {result['message']}")
    for error in report["errors"]:
        place = f"cell {error['cell']}: " if error["cell"] else ""
        lines.append(f"! {place}{error['error']}: {error['message']}")
    lines += [f"  {note}" for note in report["notes"]]
    totals = ", ".join(f"{count} {state}" for state, count in report["totals"].items())
    return "\n".join([*lines, "", f"{totals}; {report['seconds']:.0f} s", ""])


def _read(path):
    if not all(map(importlib.util.find_spec, _NEEDED)):
        raise CannotGrade("grading needs ipykernel, which comes with JupyterLab: pip install 'stncourse[course]'")
    try:
        return read_cells(path)
    except OSError as error:
        raise CannotGrade(f"{path}: {error.strerror or error}") from error
    except NotANotebook as error:
        raise CannotGrade(f"{path}: this is not a notebook ({error})") from error


def _wanted(path, notebook, seen=()):
    """The notebook's exercises, whether or not the student left their cells in: by its name, metadata and checks.

    ``seen``: the names that were checked when it ran.
    """
    keys = {Path(path).name[:2]} & set(NOTEBOOKS)
    names = set(seen)
    for cell in notebook["cells"]:
        about = cell["metadata"].get("stncourse")
        names |= {about.get("exercise") if isinstance(about, dict) else None}
        names |= {name for name, _ in checks_in(cell)}
    keys |= {exercise.notebook for exercise in map(_known, names) if exercise}
    return [exercise for key in sorted(keys) for exercise in exercises_of(key)]


def _known(name):
    try:
        return find(name) if isinstance(name, str) else None
    except ValueError:
        return None


def _result(exercise, seen):
    """One line of the report. ``seen``: a CheckResult, a sentence on why there is none, or None: no cell was run."""
    line = {"name": exercise.name, "title": exercise.title, "state": "not reached", "message": "", "mistake": None}
    if seen is None or isinstance(seen, str):
        return line | {"message": seen or "No cell that checks it was run."}
    state = {True: "passed", False: "failed", None: "not done"}[seen.passed]
    return line | {"state": state, "message": seen.message, "mistake": seen.mistake}


class _NoAnswer(Exception):
    """The kernel did not say what its function does."""


class _Run:
    """One run of one notebook, cell by cell."""

    def __init__(self, cells, path, time_limit, memory_limit):
        self.cells, self.path = cells, path
        self.time_limit, self.memory_limit = time_limit, memory_limit
        self.errors, self.notes = [], []
        self.results = {}
        if importlib.util.find_spec("resource") is None:
            self.notes.append("no memory limit: this system has none")
        elif sys.platform == "darwin":
            self.notes.append("the memory limit is set, but macOS does not enforce it")

    def to_the_end(self):
        """Run all cells; returns name -> CheckResult, or a sentence on why there is none."""
        self.number = None  # of the cell that runs
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self.folder = Path(folder)
            try:
                with Kernel(folder, self.path.resolve().parent, int(self.memory_limit * 2**20)) as self.kernel:
                    self.deadline = time.monotonic() + self.time_limit
                    for number, cell in enumerate(self.cells, 1):
                        self.number = number
                        self._one_cell(cell)
            except KernelEnded as error:
                self._note("kernel died" if self.number else "kernel", str(error))
            except TimeOver:
                self._note("time limit", f"the notebook did not end within {self.time_limit:g} s")
        return self.results

    def _one_cell(self, cell):
        """Run a cell and observe what it checks."""
        if cell["problem"]:
            self._note("broken cell", cell["problem"])
        if cell["cell_type"] != "code" or not cell["source"].strip():
            return
        written = {name: f"({answer})" for name, answer in checks_in(cell) if _known(name)}
        attempts = {}
        try:
            failed = self._execute(cell["source"])
            attempts = {name: f"{_INSIDE}.attempt({name!r})" for name in self._noted()}
            # An error before the check, or in it, says nothing of the attempt: it may be right all the same.
            attempts = (written if failed else {}) | attempts
            for name, answer in attempts.items():
                try:
                    self.results[name] = self._judge(find(name), answer)
                except _NoAnswer as error:
                    self.results.setdefault(name, str(error))
        except (KernelEnded, TimeOver) as end:
            why = "the time was over" if isinstance(end, TimeOver) else "the kernel did not survive it"
            for name in attempts or written:
                self.results.setdefault(name, f"It could not be graded: {why}.")
            raise

    def _execute(self, code, quiet=False):
        """Execute code; note its errors. Returns whether it was ended by one."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeOver
        errors, failed = self.kernel.run(code, left, quiet)
        for name, message in errors if not quiet else ():
            self._note(name[:80], " ".join(message.split())[:300])
        return failed

    def _note(self, error, message):
        self.errors.append({"cell": self.number, "error": error, "message": message})

    def _noted(self):
        """The exercises that the cell has checked, in that order."""
        target = self.folder / "names.json"
        target.unlink(missing_ok=True)
        self._execute(f"{_INSIDE}.write_names({str(target)!r})", quiet=True)
        try:
            names = json.loads(target.read_bytes())
        except (OSError, ValueError, RecursionError):  # or anything that a notebook put in its place
            return []
        return list(filter(_known, names)) if isinstance(names, list) else []

    def _judge(self, exercise, answer):
        """The verdict, made here; the kernel only tells what the answer does."""

        def observe(calls):
            return self._ask(calls, getattr(exercise, "signature", None), answer)

        try:
            return exercise.judge(observe).result
        except (_NoAnswer, KernelEnded, TimeOver):
            raise
        except Exception as error:  # a notebook that forges what the kernel writes must not break the report
            raise _NoAnswer("It could not be graded: the kernel's answers make no sense.") from error

    def _ask(self, calls, signature, answer):
        source, target = self.folder / "task.pt", self.folder / "seen.pt"
        target.unlink(missing_ok=True)
        torch.save({"calls": calls, "signature": signature, "seconds": TIME_LIMIT}, source)
        code = f"{_INSIDE}.write_answers({str(source)!r}, {str(target)!r}, lambda: {answer})"
        self._execute(code, quiet=True)
        try:
            if not target.is_file():  # a pipe would have us wait for ever
                raise FileNotFoundError(target)
            return _checked(torch.load(target, weights_only=True), calls)
        except Exception as error:  # no file, half a file, or anything that a notebook put in its place
            raise _NoAnswer("It could not be graded: its answers could not be read.") from error


def _checked(seen, calls):
    """What a kernel wrote, if it has the form that the judge expects."""
    keys = set(nothing(None))
    if not (isinstance(seen, list) and 1 <= len(seen) <= len(calls or [None])):
        raise ValueError("not a list of observations")
    for one in seen:
        if set(one) != keys or not isinstance(one["printed"], str) or not isinstance(one["changed"], bool):
            raise ValueError("not an observation")
        if one["error"] is None and one["value"] is None:
            raise ValueError("an observation of nothing")
        if one["error"] is not None:
            one["error"] = {"kind": str(one["error"]["kind"]), "message": str(one["error"]["message"])[:500]}
        if one["value"] is not None:
            _checked_value(one["value"])
        if one["gradients"] is not None and not all(isinstance(slope, torch.Tensor) for slope in one["gradients"]):
            raise ValueError("not gradients")
    ended_early = seen[-1]["error"] is not None
    if len(seen) < len(calls or [None]) and not ended_early:
        raise ValueError("too few observations")
    return seen


def _checked_value(value):
    fields = {
        "tensor": {"tensor": torch.Tensor, "device": str, "attached": bool},
        "none": {},
        "bool": {"value": bool},
        "number": {"value": float},
        "text": {"value": str},
        "list": {"items": list, "type": str},
        "numpy": {"text": str, "type": str},
        "other": {"text": str, "type": str},
    }[value["kind"]]
    if set(value) != {"kind", *fields} or not all(isinstance(value[name], kind) for name, kind in fields.items()):
        raise ValueError("not a value")
    for item in value.get("items", ()):
        _checked_value(item)


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
