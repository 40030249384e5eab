"""Grades a student's notebook: runs it in a fresh kernel, and judges what its functions do from outside.

The notebook's own ``check`` is not believed. After each cell with a ``check("name", answer)``, the grader has the
kernel run ``answer`` on the exercise's inputs and write down plainly what came (tensors and texts, read with
``weights_only``); the verdict is made in the grader's process. So a notebook that redefines ``check``, crashes or
never ends cannot make or break a verdict. What it can do is what any student can: hand in somebody else's solution.
It also runs as *you*: grade notebooks of people you do not trust in a container.
"""

import ast
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from stncourse.exercises import NOTEBOOKS, _observe, exercises_of, find

STATES = ("passed", "failed", "not done", "not reached")
_KERNEL = Path(__file__).with_name("_kernel.py")


class CannotGrade(Exception):
    """The notebook cannot be graded; the message says why."""


def grade(path, time_limit=600.0, memory_limit=4096):
    """Run a notebook and judge its exercises.

    Args:
        path: the notebook.
        time_limit: seconds for all of it.
        memory_limit: megabytes for its kernel.

    Returns:
        The report, a dict that JSON can hold: ``notebook``, ``exercises`` (each with ``name``, ``title``, ``state``,
        ``message``, ``mistake``), ``errors`` (each with ``cell``, ``error``, ``message``), ``totals``, ``notes``,
        ``seconds``.

    Raises:
        CannotGrade: no such file, not a notebook, no exercises in it, or nbclient is missing.
    """
    notebook = _read(path)
    exercises = _wanted(path, notebook)
    if not exercises:
        raise CannotGrade(f"{path}: there are no exercises in this notebook")
    run = _Run(notebook, path, time_limit, memory_limit)
    start = time.monotonic()
    seen = run.to_the_end()
    results = [_result(exercise, seen.get(exercise.name)) for exercise in exercises]
    return {
        "notebook": Path(path).name,
        "exercises": results,
        "totals": {state: sum(result["state"] == state for result in results) for state in STATES},
        "errors": run.errors,
        "notes": run.notes,
        "seconds": round(time.monotonic() - start, 1),
    }


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
        lines.append(f"! cell {error['cell']}: {error['error']}: {error['message']}")
    lines += [f"  {note}" for note in report["notes"]]
    totals = ", ".join(f"{count} {state}" for state, count in report["totals"].items())
    return "\n".join([*lines, "", f"{totals}; {report['seconds']:.0f} s", ""])


def _read(path):
    if importlib.util.find_spec("nbclient") is None:
        raise CannotGrade("grading needs nbclient, which comes with JupyterLab: pip install 'stncourse[course]'")
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise CannotGrade(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # JSON, Unicode and schema errors, by many names
        raise CannotGrade(f"{path}: this is not a notebook ({type(error).__name__})") from error
    return notebook


def _wanted(path, notebook):
    """The notebook's exercises, whether or not the student left their cells in: by its name, metadata and checks."""
    keys = {Path(path).name[:2]} & set(NOTEBOOKS)
    for cell in notebook.cells:
        about = cell.metadata.get("stncourse")
        name = about.get("exercise") if isinstance(about, dict) else None
        for known in [name, *(found for found, _ in checks_in(cell))]:
            if exercise := _known(known):
                keys.add(exercise.notebook)
    return [exercise for key in sorted(keys) for exercise in exercises_of(key)]


def _known(name):
    try:
        return find(name) if isinstance(name, str) else None
    except ValueError:
        return None


def checks_in(cell):
    """(name, source of the answer) for each ``check("name", answer)`` in a code cell."""
    if cell.cell_type != "code":
        return []
    try:
        tree = ast.parse(cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) == 2 and isinstance(node.args[0], ast.Constant):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
            if called == "check" and isinstance(node.args[0].value, str):
                found.append((node.args[0].value, ast.unparse(node.args[1])))
    return found


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

    def __init__(self, notebook, path, time_limit, memory_limit):
        self.notebook, self.path = notebook, Path(path)
        self.time_limit, self.memory_limit = time_limit, memory_limit
        self.errors, self.notes = [], []
        self.results = {}
        if importlib.util.find_spec("resource") is None:
            self.notes.append("no memory limit: this system has none")
        elif sys.platform == "darwin":
            self.notes.append("the memory limit is set, but macOS does not enforce it")

    def to_the_end(self):
        """Run all cells; returns name -> CheckResult, or a sentence on why there is none."""
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            self.client = self._client()
            environment = os.environ | {"STNCOURSE_PROGRESS_DIR": str(self.folder / "progress")}
            try:
                with self.client.setup_kernel(env=environment, cwd=str(self.path.resolve().parent)):
                    self.deadline = time.monotonic() + self.time_limit
                    for index, cell in enumerate(self.notebook.cells):
                        if not self._one_cell(index, cell):
                            break
            except (RuntimeError, OSError) as error:  # the kernel died before the first cell, or while it was shut down
                self.errors.append({"cell": None, "error": "kernel", "message": str(error)[:300]})
        return self.results

    def _client(self):
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        class Client(NotebookClient):
            """Keeps errors only: a notebook that prints without end must not fill the grader's memory."""

            def output(self, outs, msg, display_id, cell_index):
                return super().output(outs, msg, display_id, cell_index) if msg["msg_type"] == "error" else None

        size = int(self.memory_limit * 2**20)
        argv = [sys.executable, str(_KERNEL), str(size), "-f", "{connection_file}"]
        manager = AsyncKernelManager()
        manager._kernel_spec = KernelSpec(argv=argv, display_name="grader", language="python")
        return Client(self.notebook, km=manager, allow_errors=True, startup_timeout=300, shutdown_kernel="immediate")

    def _one_cell(self, index, cell):
        """Run a cell and observe what it checks. False: the run is over."""
        if cell.cell_type != "code" or not cell.source.strip():
            return True
        if not self._execute(cell, index):
            return False
        for name, answer in checks_in(cell):
            if exercise := _known(name):
                try:
                    self.results[name] = self._judge(exercise, answer, index)
                except _NoAnswer as error:
                    self.results.setdefault(name, str(error))
        return True

    def _execute(self, cell, index, ours=False):
        """Execute a cell; note its error. False: the kernel is gone, or the time is up."""
        from nbclient.exceptions import CellTimeoutError, DeadKernelError

        left = self.deadline - time.monotonic()
        self.client.timeout = max(1, int(left))
        try:
            if left <= 0:
                raise CellTimeoutError
            self.client.execute_cell(cell, index, store_history=not ours)
        except DeadKernelError:
            self._note(index, "kernel died", "the cell ended the kernel, or asked for more memory than there is")
            return False
        except (CellTimeoutError, TimeoutError):
            self._note(index, "time limit", f"the notebook did not end within {self.time_limit:g} s")
            return False
        except RuntimeError as error:
            self._note(index, "kernel", str(error)[:300])
            return False
        for output in cell.get("outputs", []):
            if output.output_type == "error" and not ours:
                self._note(index, str(output.ename)[:80], " ".join(str(output.evalue).split())[:300])
        return True

    def _note(self, index, error, message):
        self.errors.append({"cell": index + 1, "error": error, "message": message})

    def _judge(self, exercise, answer, index):
        """The verdict, made here; the kernel only tells what the answer does."""

        def observe(calls):
            return self._ask(calls, getattr(exercise, "signature", None), answer, index)

        try:
            return exercise.judge(observe).result
        except _NoAnswer:
            raise
        except Exception as error:  # a notebook that forges what the kernel writes must not break the report
            raise _NoAnswer("It could not be graded: the kernel's answers make no sense.") from error

    def _ask(self, calls, signature, answer, index):
        import nbformat

        source, target = self.folder / "task.pt", self.folder / "seen.pt"
        target.unlink(missing_ok=True)
        torch.save({"calls": calls, "signature": signature, "seconds": _observe.TIME_LIMIT}, source)
        code = (
            "__import__('stncourse.exercises._observe', fromlist=['x'])"
            f".write_answers({str(source)!r}, {str(target)!r}, lambda: ({answer}))"
        )
        alive = self._execute(nbformat.v4.new_code_cell(code), index, ours=True)
        try:
            return _checked(torch.load(target, weights_only=True), calls)
        except Exception as error:  # no file, half a file, or anything that a notebook put in its place
            why = "the kernel did not survive it" if not alive else "its answers could not be read"
            raise _NoAnswer(f"It could not be graded: {why}.") from error


def _checked(seen, calls):
    """What a kernel wrote, if it has the form that the judge expects."""
    keys = set(_observe.nothing(None))
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

    Exit status: 0 every exercise passed, 1 not all, 2 the notebook cannot be graded.
    """
    try:
        report = grade(options.notebook, options.time_limit, options.memory_limit)
    except CannotGrade as error:
        print(error, file=sys.stderr)
        return 2
    text = as_text(report)
    stem = options.report or options.notebook.with_suffix("")
    try:
        for ending, content in (("json", json.dumps(report, indent=1, ensure_ascii=False) + "\n"), ("txt", text)):
            Path(f"{stem}.report.{ending}").write_text(content, encoding="utf-8")
    except OSError as error:
        print(f"the report could not be written: {error}", file=sys.stderr)
        return 2
    print(text, end="")
    return 0 if report["totals"]["passed"] == len(report["exercises"]) else 1
