"""Runs a student's notebook in a kernel of its own, and judges from outside what it checks."""

import importlib.util
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from stncourse.exercises import NOTEBOOKS, exercises_of, find
from stncourse.exercises.engine.kernel_answers import read_answers
from stncourse.exercises.engine.kernel_client import Kernel, TimeOver
from stncourse.exercises.engine.kernel_process import KernelEnded
from stncourse.exercises.engine.notebook import checks_in, known_exercise
from stncourse.exercises.engine.observe import TIME_LIMIT

#: The kernel's half of this, as an expression that holds whatever the notebook has named.
_INSIDE = "__import__('stncourse.exercises.engine.noted', fromlist=['x'])"


class _NoAnswer(Exception):
    """The kernel did not say what its function does."""


class NotebookRun:
    """One run of one notebook, cell by cell.

    Attributes:
        results: name -> CheckResult, or a sentence on why there is none.
        errors: dicts with ``cell``, ``error``, ``message``.
        notes: sentences on what could not be done on this system.
    """

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
                    self._say_what_is_asked()
                    for number, cell in enumerate(self.cells, 1):
                        self.number = number
                        self._one_cell(cell)
            except KernelEnded as error:
                self._note("kernel died" if self.number else "kernel", str(error))
            except TimeOver:
                self._note("time limit", f"the notebook did not end within {self.time_limit:g} s")
        return self.results

    def _say_what_is_asked(self):
        """Give the kernel the calls of all exercises, for it to make them at the moment of a check."""
        known = [exercise for key in NOTEBOOKS for exercise in exercises_of(key)]
        source = self.folder / "tasks.pt"
        torch.save({exercise.name: _task(exercise, rounds=exercise.rounds()) for exercise in known}, source)
        self._execute(f"{_INSIDE}.expect({str(source)!r})", quiet=True)

    def _one_cell(self, cell):
        """Run a cell and observe what it checks."""
        if cell["problem"]:
            self._note("broken cell", cell["problem"])
        if cell["cell_type"] != "code" or not cell["source"].strip():
            return
        written = {name: f"({answer})" for name, answer in checks_in(cell) if known_exercise(name)}
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
        return list(filter(known_exercise, names)) if isinstance(names, list) else []

    def _judge(self, exercise, answer):
        """The verdict, made here; the kernel only tells what the answer does."""

        number = itertools.count()

        def observe(calls):
            return self._ask(_task(exercise, calls=calls), answer, next(number))

        try:
            return exercise.judge(observe).result
        except (_NoAnswer, KernelEnded, TimeOver):
            raise
        except Exception as error:  # a notebook that forges what the kernel writes must not break the report
            raise _NoAnswer("It could not be graded: the kernel's answers make no sense.") from error

    def _ask(self, task, answer, number):
        source, target = self.folder / "task.pt", self.folder / "seen.pt"
        target.unlink(missing_ok=True)
        torch.save(task, source)
        code = f"{_INSIDE}.write_answers({str(source)!r}, {str(target)!r}, lambda: {answer}, {number})"
        self._execute(code, quiet=True)
        try:
            return read_answers(target, task["calls"])
        except Exception as error:  # whatever a notebook put in its place
            raise _NoAnswer("It could not be graded: its answers could not be read.") from error


def _task(exercise, **asked):
    return {"signature": getattr(exercise, "signature", None), "seconds": TIME_LIMIT, **asked}
