"""`python -m stncourse grade`: a student's notebook, run in a kernel of its own, judged from outside."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from stncourse.__main__ import main
from stncourse.exercises import _grade, exercises_of, find
from stncourse.exercises._observe import observe, plain

RIGHT = "return torch.nn.functional.affine_grid(theta, (len(theta), 1, *size), align_corners=False)"


def notebook(path, *sources, **metadata):
    """A notebook with these code cells."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One run for many questions: a kernel takes seconds to start."""
    folder = tmp_path_factory.mktemp("student")
    (folder / "stncourse.py").write_text("raise SystemExit('not the package')")
    (folder / "beside.py").write_text("ANSWER = 'up'")
    path = notebook(
        folder / "03_from_a_student.ipynb",
        "import torch\ncheck = lambda *_: print('all is well')",
        "from beside import ANSWER\ncheck('which_way', ANSWER)",
        "this is no Python",
        "raise ValueError('a cell that fails')",
        f"def centers(count, align_corners):\n    {RIGHT}",
        "check('pixel_centers', centers)",
        f"def mine(theta, size):\n    {RIGHT.replace('return ', 'return 1 * ')}.flip(-1)",
        "import sys\nsys.modules['stncourse.exercises'].check = lambda *_: 1\ncheck('affine_grid', mine)",
        "for _ in range(300):\n    print('x' * 1000)",
        "check('color_between', lambda image, x, y: 'text')",
        "def slow(images, grid):\n    while True: pass",
        "import stncourse.exercises._observe as o\no.TIME_LIMIT = 0.1",
        "memory = None\ntry:\n    memory = torch.ones(2**30, dtype=torch.float64)\nexcept RuntimeError:\n    pass",
        "steepness = 6.0 if memory is None else 0\ncheck('slope_by_place', steepness)",
        "def turn_in_pixels(degrees, size):\n    raise NotImplementedError",
        "check('turn_in_pixels', turn_in_pixels)",
        "class Trap:\n    def __call__(self, *_):\n        import os\n        os._exit(0)\n    __signature__ = None",
        "check('sample_on_background', Trap())",
        "check('bilinear_sample', slow)",
    )
    return run(path, "--memory-limit", "3000")


def run(path, *options):
    """(exit status, report, its text), as a teacher gets them: from a process of its own."""
    stem = path.parent / "out"
    command = [sys.executable, "-m", "stncourse", "grade", str(path), "--report", str(stem), *options]
    status = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert status.returncode in (0, 1), status.stderr
    report = json.loads(Path(f"{stem}.report.json").read_text(encoding="utf-8"))
    return status.returncode, report, Path(f"{stem}.report.txt").read_text(encoding="utf-8")


def line(graded, name):
    return next(result for result in graded[1]["exercises"] if result["name"] == name)


def test_all_exercises_of_the_notebooks_touched_are_listed(graded):
    names = [result["name"] for result in graded[1]["exercises"]]
    assert names == [exercise.name for key in ("03", "04") for exercise in exercises_of(key)]
    assert graded[0] == 1
    assert sum(graded[1]["totals"].values()) == len(names)


def test_right_and_wrong_answers_have_their_verdicts_whatever_check_the_notebook_has(graded):
    assert line(graded, "which_way")["state"] == "passed"
    wrong = line(graded, "affine_grid")
    assert (wrong["state"], wrong["mistake"]) == ("failed", "x and y swapped")
    assert wrong["message"] == next(m.message for m in find("affine_grid").mistakes if m.name == "x and y swapped")
    assert "raised NameError" in line(graded, "pixel_centers")["message"]
    assert line(graded, "color_between")["message"].startswith("It returns a text")


def test_a_stub_is_not_done(graded):
    assert line(graded, "turn_in_pixels")["state"] == "not done"


def test_memory_is_limited(graded):
    """8 GB under a limit of 3: the notebook's answer is right only where torch refused."""
    if sys.platform != "linux":
        pytest.skip("the memory limit is enforced on Linux")
    assert line(graded, "slope_by_place")["state"] == "passed"


def test_a_kernel_that_dies_ends_the_run_not_the_report(graded):
    assert line(graded, "sample_on_background")["state"] == "not reached"
    assert line(graded, "bilinear_sample")["state"] == "not reached"
    assert graded[1]["errors"][-1]["error"] == "kernel died"


def test_errors_of_cells_are_listed(graded):
    errors = {(error["cell"], error["error"]) for error in graded[1]["errors"]}
    assert {(3, "SyntaxError"), (4, "ValueError")} <= errors


def test_the_text_says_the_same(graded):
    _, report, text = graded
    assert "✗ affine_grid: failed (the mistake: x and y swapped)" in text
    assert "✓ which_way: passed" in text
    assert "! cell 4: ValueError: a cell that fails" in text
    assert f"{report['totals']['passed']} passed" in text


def test_a_cell_without_end_meets_the_time_limit(tmp_path):
    path = notebook(tmp_path / "mine.ipynb", "check('which_way', 'up')", "while True: pass", "check('affine_grid', 1)")
    _, report, _ = run(path, "--time-limit", "15")
    states = {result["name"]: result["state"] for result in report["exercises"]}
    assert states["which_way"] == "passed"
    assert states["affine_grid"] == "not reached"
    assert [(error["cell"], error["error"]) for error in report["errors"]] == [(1, "NameError"), (2, "time limit")]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), ("{", "not a notebook"), ('{"cells": 3}', "not a notebook"), ("", "not a notebook")],
)
def test_what_is_no_notebook_is_refused(tmp_path, capsys, content, words):
    path = tmp_path / "03.ipynb"
    if content is not None:
        path.write_text(content)
    assert main(["grade", str(path)]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.glob("*report*")) == []


def test_a_notebook_without_exercises_is_refused(tmp_path, capsys):
    assert main(["grade", str(notebook(tmp_path / "other.ipynb", "1 + 1"))]) == 2
    assert "there are no exercises" in capsys.readouterr().err


def test_exercises_are_known_by_metadata_too(tmp_path):
    cell = nbformat.v4.new_markdown_cell("task", metadata={"stncourse": {"exercise": "nll", "part": "task"}})
    found = _grade._wanted("x.ipynb", nbformat.v4.new_notebook(cells=[cell]))
    assert [exercise.name for exercise in found] == [exercise.name for exercise in exercises_of("05")]
    strange = nbformat.v4.new_markdown_cell("task", metadata={"stncourse": ["?"]})
    assert _grade._wanted("x.ipynb", nbformat.v4.new_notebook(cells=[strange])) == []


def test_checks_are_found_in_the_source():
    source = "if True:\n    c.check('a', f(2)); check('b', lambda x: x)\ncheck(name, 3)\ncheck('only one')"
    assert sorted(_grade.checks_in(nbformat.v4.new_code_cell(source))) == [("a", "f(2)"), ("b", "lambda x: x")]
    assert _grade.checks_in(nbformat.v4.new_code_cell("check('a', ")) == []


CALLS = [{"args": [torch.eye(2, 3)[None], (1, 2)]}]


def test_what_a_kernel_writes_is_believed_only_in_its_form():
    honest = observe(lambda theta, size: theta, CALLS)
    assert _grade._checked(honest, CALLS) == honest
    for forged in (
        None,
        [],
        honest * 2,
        [{}],
        [honest[0] | {"more": 1}],
        [honest[0] | {"value": None}],
        [honest[0] | {"value": {"kind": "tensor", "tensor": 3, "device": "cpu", "attached": False}}],
        [honest[0] | {"value": {"kind": "passed"}}],
        [honest[0] | {"value": plain([1]) | {"items": [{"kind": "?"}]}}],
        [honest[0] | {"printed": None}],
        [honest[0] | {"gradients": ["a"]}],
        [honest[0] | {"error": 3}],
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            _grade._checked(forged, CALLS)


def test_without_nbclient_it_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_grade.importlib.util, "find_spec", lambda name: None)
    assert main(["grade", str(tmp_path / "a.ipynb")]) == 2
    assert "pip install 'stncourse[course]'" in capsys.readouterr().err
