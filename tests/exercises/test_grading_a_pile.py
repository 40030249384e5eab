"""`python -m stncourse grade FOLDER`: many notebooks, one table; a broken one stops nobody; interrupted, it goes on."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from stncourse.__main__ import main
from stncourse.exercises.engine.grade import CannotGrade
from stncourse.exercises.engine.pile import Grades, find_notebooks


def notebook(path, *sources):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


RIGHT = ("from stncourse import check", "check('always_nine', 10)")
WRONG = ("from stncourse import check", "check('always_nine', 50)", "check('which_way', 'right')", "1 / 0")


def command(folder, *options):
    return [sys.executable, "-m", "stncourse", "grade", str(folder), "--out", str(folder.parent / "out"), *options]


def table(out):
    text = (out / "grades.csv").read_bytes().decode("utf-8-sig")
    return {row["notebook"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(the folder, what the command said, its reports' folder): one run for many questions."""
    folder = tmp_path_factory.mktemp("pile") / "class"
    notebook(folder / "anna" / "13.ipynb", *RIGHT)
    notebook(folder / "ben" / "13.ipynb", *WRONG)
    notebook(folder / "=1+1.ipynb", "1")  # no exercise in it
    notebook(folder / ".ipynb_checkpoints" / "old.ipynb", *RIGHT)
    notebook(folder / "killer.ipynb", *RIGHT, "import os, signal\nos.kill(os.getppid(), signal.SIGINT)")
    (folder / "broken.ipynb").write_text("{")
    run = subprocess.run(command(folder, "--jobs", "2"), capture_output=True, text=True, timeout=600)
    return folder, run, folder.parent / "out"


def test_each_notebook_has_its_row(graded):
    _, run, out = graded
    assert run.returncode == 2, run.stderr
    rows = table(out)
    assert list(rows) == ["'=1+1.ipynb", "anna/13.ipynb", "ben/13.ipynb", "broken.ipynb", "killer.ipynb"]
    assert [rows[name]["status"] for name in rows][1:4] == ["graded", "graded", "not graded"]
    anna, ben = rows["anna/13.ipynb"], rows["ben/13.ipynb"]
    assert (anna["always_nine"], ben["always_nine"], ben["which_way"]) == ("passed", "failed", "failed")
    assert (ben["passed"], "ZeroDivisionError" in ben["message"]) == ("0", True)
    assert "not a notebook" in rows["broken.ipynb"]["message"]
    assert "no exercises" in rows["'=1+1.ipynb"]["message"]


def test_each_has_its_own_report(graded):
    _, _, out = graded
    for name, passed in (("anna", 1), ("ben", 0)):
        report = json.loads((out / name / "13.report.json").read_text(encoding="utf-8"))
        assert report["totals"]["passed"] == passed
        assert (out / name / "13.report.txt").is_file()


def test_it_says_what_a_teacher_asks_first(graded):
    _, run, _ = graded
    assert "5 of 5 notebooks" in run.stdout
    assert "which_way: 0 of 1 passed" in run.stdout
    assert "5/5" in run.stderr  # the progress bar


def test_again_it_grades_only_what_has_changed(graded):
    folder, _, out = graded
    before = (out / "anna" / "13.report.json").stat().st_mtime_ns
    notebook(folder / "ben" / "13.ipynb", *RIGHT)
    run = subprocess.run(command(folder), capture_output=True, text=True, timeout=600)
    assert run.returncode == 2
    assert (out / "anna" / "13.report.json").stat().st_mtime_ns == before
    assert table(out)["ben/13.ipynb"]["always_nine"] == "passed"
    (folder / "ben" / "13.ipynb").write_text("{")
    assert subprocess.run(command(folder), capture_output=True, timeout=600).returncode == 2
    assert table(out)["ben/13.ipynb"]["status"] == "not graded"
    assert not (out / "ben" / "13.report.json").exists()  # it was about what the notebook is no more


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupted_it_keeps_what_it_has_and_goes_on(tmp_path):
    folder = tmp_path / "class"
    notebook(folder / "a.ipynb", *RIGHT)
    notebook(folder / "b.ipynb", "import time\ntime.sleep(600)", *RIGHT)
    process = subprocess.Popen(
        command(folder, "--jobs", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests by nohup, or behind a &, has Ctrl-C ignored: in what is started here as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    out = folder.parent / "out"
    deadline = time.monotonic() + 300
    while not (out / "grades.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)  # the second is under way
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "interrupted: 1 notebooks are graded; the same command goes on" in said
    assert list(table(out)) == ["a.ipynb"]
    before = (out / "a.report.json").stat().st_mtime_ns
    notebook(folder / "b.ipynb", *RIGHT)
    assert subprocess.run(command(folder), capture_output=True, timeout=600).returncode == 1  # not all is done
    assert list(table(out)) == ["a.ipynb", "b.ipynb"]
    assert (out / "a.report.json").stat().st_mtime_ns == before


def test_the_names_of_files_from_several_folders(tmp_path):
    for name in ("x/1.ipynb", "y/1.ipynb", "y/.hidden/2.ipynb", "out/3.ipynb"):
        notebook(tmp_path / name, "1")
    paths = [tmp_path / "x", tmp_path / "y" / "1.ipynb"]
    assert list(find_notebooks(paths, tmp_path / "out").values()) == ["x/1.ipynb", "y/1.ipynb"]
    assert list(find_notebooks([tmp_path], tmp_path / "out").values()) == ["x/1.ipynb", "y/1.ipynb"]


def test_nothing_to_grade(tmp_path):
    with pytest.raises(CannotGrade, match="there is no notebook"):
        find_notebooks([tmp_path], tmp_path / "out")
    with pytest.raises(CannotGrade, match="No such file"):
        find_notebooks([tmp_path / "none"], tmp_path / "out")
    assert main(["grade", str(tmp_path), "--out", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["a.ipynb", "--jobs", "2"], "argument --jobs: expected a folder or several notebooks, got one"),
        (["a.ipynb", "b.ipynb", "--report", "x"], "argument --report: expected one notebook, got a pile"),
        (["."], None),
    ],
)
def test_options_that_do_not_go_together(tmp_path, monkeypatch, capsys, options, told):
    monkeypatch.chdir(tmp_path)
    if told is None:
        assert main(["grade", *options]) == 2  # a folder without notebooks
        assert not Path("grades").exists()
        return
    with pytest.raises(SystemExit):
        main(["grade", *options])
    assert told in capsys.readouterr().err


def test_a_table_that_was_destroyed_is_made_again(tmp_path):
    for text in ("", "{", "[1]", '{"a": 1}', '[{"notebook": "a"}]'):
        (tmp_path / "grades.json").write_text(text)
        grades = Grades(tmp_path, ["a"])
        grades.read()
        assert grades.rows == {}


def test_a_folder_with_a_notebooks_name_is_none(tmp_path):
    own = notebook(tmp_path / "dir.ipynb" / "own.ipynb", *RIGHT)
    assert find_notebooks([tmp_path], tmp_path / "out") == {own: "dir.ipynb/own.ipynb"}


def test_where_the_reports_would_lie_among_the_notebooks_it_says_so(tmp_path):
    notebook(tmp_path / "a.ipynb", *RIGHT)
    with pytest.raises(CannotGrade, match=r"^--out .*: expected a folder beside the notebooks"):
        find_notebooks([tmp_path], tmp_path)
