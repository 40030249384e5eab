"""Grades a pile of notebooks: several at a time, each in a process of its own, one table of all.

What is graded is kept after each notebook, so that a run that was stopped goes on where it was.
"""

import concurrent.futures
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

import stncourse
from stncourse._files import replacing
from stncourse.exercises.engine.grade import CannotGrade, _ended_in_order
from stncourse.exercises.engine.safe_text import readable, say

_COLUMNS = ("notebook", "status", "passed", "exercises", "seconds", "message")
GRADED, NOT_GRADED = "graded", "not graded"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute
_PATIENCE = 900  # seconds beyond the limit of a notebook: its kernel may take 300 to start


def find_notebooks(paths, out):
    """The notebooks among files and folders.

    Args:
        paths: files, and folders to look through; hidden folders are left out, and ``out``.
        out: where the reports go.

    Returns:
        dict, path -> its name in the table: seen from the one folder, or from what all have in common.

    Raises:
        CannotGrade: a path is not there, or there is no notebook.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise CannotGrade(f"{path}: No such file or directory")
        found += sorted(filter(Path.is_file, path.rglob("*.ipynb"))) if path.is_dir() else [path]
    root = paths[0] if len(paths) == 1 and paths[0].is_dir() else _common(found)
    names = {}
    for path in found:
        name = Path(os.path.relpath(path, root))
        hidden = any(part.startswith(".") and part != ".." for part in name.parts)
        if not hidden and not path.resolve().is_relative_to(out.resolve()):
            names[path] = name.as_posix()
    if found and not names:
        raise CannotGrade(f"--out {out}: expected a folder beside the notebooks; what lies in it is not graded")
    if not names:
        raise CannotGrade(f"{', '.join(map(str, paths))}: there is no notebook in it")
    return names


def _common(files):
    return Path(os.path.commonpath([os.path.abspath(file.parent) for file in files])) if files else Path()


@dataclass
class Grades:
    """The table of a pile: one row a notebook, in ``grades.json`` and, to be read, in ``grades.csv``.

    Attributes:
        folder: where both lie.
        names: all the notebooks of the pile.
        rows: name of a notebook -> its row, a dict that JSON can hold.
    """

    folder: Path
    names: list
    rows: dict = field(default_factory=dict)

    def read(self):
        """Take over what an earlier run has kept. What cannot be read is graded again."""
        try:
            kept = json.loads((self.folder / "grades.json").read_text(encoding="utf-8"))
            self.rows = {row["notebook"]: row for row in kept if {"states", "of", *_COLUMNS} <= set(row)}
        except (OSError, ValueError, TypeError, KeyError):
            self.rows = {}

    def write(self):
        """Write both, each whole or not at all."""
        rows = [self.rows[name] for name in self.names if name in self.rows]
        with replacing(self.folder / "grades.json", text=True) as file:
            json.dump(list(self.rows.values()), file, indent=1, ensure_ascii=False)
        exercises = self.exercises()
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow([*_COLUMNS, *exercises])
        for row in rows:
            states = [row["states"].get(name, "") for name in exercises]
            writer.writerow([_as_cell(value) for value in (*(row[column] for column in _COLUMNS), *states)])
        with replacing(self.folder / "grades.csv") as file:
            file.write(table.getvalue().encode("utf-8-sig"))  # by which a spreadsheet knows the letters

    def exercises(self):
        """The exercises of all notebooks, in the order in which they come."""
        return list(dict.fromkeys(name for key in self.names if key in self.rows for name in self.rows[key]["states"]))

    def summary(self):
        """What a teacher wants to know first, as lines."""
        rows = [self.rows[name] for name in self.names if name in self.rows]
        graded = [row for row in rows if row["status"] == GRADED]
        whole = sum(row["passed"] == row["exercises"] for row in graded)
        lines = [f"{len(rows)} of {len(self.names)} notebooks: {len(graded)} graded, in {whole} of them all is passed"]
        lines += [f"  {row['notebook']}: {row['message']}" for row in rows if row["status"] != GRADED]
        for name in self.exercises():
            states = [row["states"][name] for row in graded if name in row["states"]]
            lines.append(f"  {name}: {states.count('passed')} of {len(states)} passed")
        return [readable(line) for line in lines]


def _as_cell(value):
    """A value as a spreadsheet may have it: a file that is called =1+1 is no formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@dataclass
class Pile:
    """Grades notebooks in processes of their own, several at a time.

    Attributes:
        names: path of a notebook -> its name in the table.
        out: where the reports go.
        time_limit, memory_limit: of one notebook, as for :func:`stncourse.exercises.engine.grade.grade`.
        jobs: how many at a time.
    """

    names: dict
    out: Path
    time_limit: float
    memory_limit: int
    jobs: int
    _running: set = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def grade(self, grades, again=False):
        """Grade what is not graded yet, and keep each row as soon as it is there."""
        waiting = []
        for path, name in self.names.items():
            mark = self._mark(path)
            row = grades.rows.get(name, {})
            is_graded = row.get("of") == mark and row.get("status") == GRADED
            if again or not is_graded:  # what could not be graded may be better now
                waiting.append((path, name, mark))
        done = len(self.names) - len(waiting)
        with (
            concurrent.futures.ThreadPoolExecutor(self.jobs) as pool,
            tqdm(total=len(self.names), initial=done, unit="notebook", file=sys.stderr) as bar,
        ):
            futures = [pool.submit(self._row, *each) for each in waiting]
            try:
                for future in concurrent.futures.as_completed(futures):
                    row = future.result()
                    grades.rows[row["notebook"]] = row
                    grades.write()
                    bar.update()
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise
        grades.write()

    def _mark(self, path):
        """What a verdict depends on: graded again only when it has changed."""
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        digest = hashlib.sha256(content).hexdigest()
        return f"{digest} {stncourse.__version__} {self.time_limit:g} s {self.memory_limit} MB"

    def _row(self, path, name, mark):
        stem = self.out / Path(*(part for part in Path(name).with_suffix("").parts if part != ".."))
        stem.parent.mkdir(parents=True, exist_ok=True)
        for ending in ("json", "txt"):  # what is said of an earlier state of the notebook does not stay
            Path(f"{stem}.report.{ending}").unlink(missing_ok=True)
        said = self._run(path, stem)
        row = {"notebook": name, "of": mark, "passed": 0, "exercises": 0, "seconds": 0, "states": {}}
        if said is not None:
            return row | {"status": NOT_GRADED, "message": said}
        report = json.loads(Path(f"{stem}.report.json").read_text(encoding="utf-8"))
        return row | {
            "status": GRADED,
            "passed": report["totals"]["passed"],
            "exercises": len(report["exercises"]),
            "seconds": report["seconds"],
            "message": "; ".join(f"{error['error']}: {error['message']}" for error in report["errors"]),
            "states": {result["name"]: result["state"] for result in report["exercises"]},
        }

    def _run(self, path, stem):
        """Grade one notebook. None, or why it could not be done."""
        # -P: what lies in the working folder is not imported in place of the course.
        command = [sys.executable, "-P", "-m", "stncourse", "grade", str(path), "--report", str(stem)]
        command += ["--time-limit", f"{self.time_limit:g}", "--memory-limit", str(self.memory_limit)]
        threads = {"OMP_NUM_THREADS": "1"} if self.jobs > 1 else {}
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        if self._stopped.is_set():
            return "interrupted"
        process = subprocess.Popen(command, env=os.environ | threads, text=True, errors="replace", **pipes)
        self._running.add(process)
        try:
            _, complaint = process.communicate(timeout=self.time_limit + _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "the grading did not end in time"
        finally:
            self._running.discard(process)
        if process.returncode in (0, 1):
            return None
        if process.returncode == 130:  # by Ctrl-C, which comes to all of us: nothing is kept then; or by the notebook
            time.sleep(1)
        last = complaint.strip().splitlines()[-1:] or [f"the grading ended with status {process.returncode}"]
        return readable(last[0])

    def _stop(self):
        """End what is running: asked kindly, a grading ends its kernel."""
        self._stopped.set()
        for process in list(self._running):
            process.terminate()


def main(options):
    """Grade ``options.notebooks``; write a report for each, and ``grades.csv``, into ``options.out``.

    Exit status: 0 every exercise of every notebook passed, 1 not all, 2 one could not be graded, 130 interrupted.
    """
    grades = None
    try:
        with _ended_in_order():
            names = find_notebooks(options.notebooks, options.out)
            options.out.mkdir(parents=True, exist_ok=True)
            grades = Grades(options.out, list(names.values()))
            if not options.again:
                grades.read()
            pile = Pile(names, options.out, options.time_limit, options.memory_limit, options.jobs)
            pile.grade(grades, options.again)
    except (CannotGrade, OSError) as error:
        say(readable(str(error)), sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = len(set(grades.rows) & set(grades.names)) if grades else 0
        how = "the same command without --again" if options.again else "the same command"
        say(f"interrupted: {kept} notebooks are graded; {how} goes on with the others", sys.stderr)
        return 130
    for line in [*grades.summary(), f"The table is {options.out / 'grades.csv'}, the reports are beside it."]:
        say(line)
    rows = [grades.rows[name] for name in grades.names]
    if any(row["status"] != GRADED for row in rows):
        return 2
    return 0 if all(row["passed"] == row["exercises"] for row in rows) else 1
