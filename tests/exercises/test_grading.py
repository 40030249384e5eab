"""`python -m stncourse grade`: a student's notebook, run in a kernel of its own, judged from outside."""

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import torch

import stncourse
from stncourse.__main__ import main
from stncourse.exercises import NOTEBOOKS, exercises_of, find
from stncourse.exercises.engine import grade as _grade
from stncourse.exercises.engine import notebook as _notebook
from stncourse.exercises.engine.kernel_answers import checked
from stncourse.exercises.engine.notebook_run import NotebookRun
from stncourse.exercises.engine.observe import observe
from stncourse.exercises.engine.plain import plain, same
from stncourse.exercises.engine.report import STATES

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
        "import stncourse.exercises.engine.observe as o\no.TIME_LIMIT = 0.1",
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
    assert "raised `NameError" in line(graded, "pixel_centers")["message"]
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
    found = _notebook.wanted_exercises("x.ipynb", [cell])
    assert [exercise.name for exercise in found] == [exercise.name for exercise in exercises_of("05")]
    for strange in (["?"], {"exercise": ["nll"]}, {"exercise": {"nll": 1}}, {"exercise": 3}, {"exercise": None}):
        other = nbformat.v4.new_markdown_cell("task", metadata={"stncourse": strange})
        assert _notebook.wanted_exercises("x.ipynb", [other]) == []
        assert _notebook.wanted_exercises("x.ipynb", [other, cell]) == found


def test_checks_are_found_in_the_source():
    source = "if True:\n    c.check('a', f(2)); check('b', lambda x: x)\ncheck(name, 3)\ncheck('only one')"
    assert sorted(_notebook.checks_in(nbformat.v4.new_code_cell(source))) == [("a", "f(2)"), ("b", "lambda x: x")]
    assert _notebook.checks_in(nbformat.v4.new_code_cell("check('a', ")) == []


CALLS = [{"args": [torch.eye(2, 3)[None], (1, 2)]}]


def test_what_a_kernel_writes_is_believed_only_in_its_form():
    honest = observe(lambda theta, size: theta, CALLS)
    assert checked(honest, CALLS) == honest
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
            checked(forged, CALLS)


def test_without_nbclient_it_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_grade.importlib.util, "find_spec", lambda name: None)
    assert main(["grade", str(tmp_path / "a.ipynb")]) == 2
    assert "pip install 'stncourse[course]'" in capsys.readouterr().err


# Whatever check is called by


WAYS = {
    "normalize": "%%time\ncheck('normalize', right('normalize'))",
    "mean_and_std": "%time c('mean_and_std', right('mean_and_std'))",
    "identity_start": "check(name='identity_start', attempt=right('identity_start'))",
    "turn_back": "%%capture told\nstncourse.check(attempt=right('turn_back'), name='turn_back')",
    "pixel_centers": "name = 'pixel_centers'\n!echo hello\nc(f'{name}', right(name))\nc?",
    "affine_grid": "with torch.no_grad():\n    for name in ['affine_grid']:\n        c(name, right(name))",
    "turn_in_pixels": "def grade_me(f):\n    check('turn_in_pixels', f)\ngrade_me(right('turn_in_pixels'))",
    "color_between": "list(map(functools.partial(c, 'color_between'), [right('color_between')]))",
    "bilinear_sample": "files = %ls\ncheck('bilinear_sample', right('bilinear_sample'))\n?check",
    "sample_on_background": "%%timeit -n 1 -r 1\ncheck('sample_on_background', right('sample_on_background'))",
    "stn_by_hand": "import beside\nbeside.check_it('stn_by_hand', right('stn_by_hand'))",
    "angle_of_frame": 'exec(\'c("angle_of_frame", right("angle_of_frame"))\')',
    "frame_corners": "1 / 0\ncheck('frame_corners', right('frame_corners'))",
    "two_in_a_row": "%%time\n1 / 0\ncheck('two_in_a_row', right('two_in_a_row'))",
    "undo": "check = lambda *given, **named: None\n%time check(attempt=right('undo'), name='un' + 'do')",
    "shrink": "class Mine:\n    check = print\nfor name in ('shrink',): Mine.check(name, right(name))",
    "nll": "torch.set_default_dtype(torch.float64)\nc('nll', right('nll'))",
}


@pytest.fixture(scope="module")
def checked_in_all_ways(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways")
    (folder / "beside.py").write_text("from stncourse import check as c\ndef check_it(*given): return c(*given)\n")
    before = (
        "import functools, torch, stncourse\nfrom stncourse import check, check as c\n"
        "from stncourse.exercises import find\ndef right(name): return find(name).solution\n"
    )
    return _grade.grade(notebook(folder / "anything.ipynb", before, *WAYS.values()))


@pytest.mark.parametrize("name", WAYS)
def test_a_check_counts_however_it_is_called(checked_in_all_ways, name):
    found = next(result for result in checked_in_all_ways["exercises"] if result["name"] == name)
    assert found["state"] == "passed", found["message"]


def test_an_error_inside_a_magic_is_listed(checked_in_all_ways):
    cells = [error["cell"] for error in checked_in_all_ways["errors"]]
    assert cells == [2 + list(WAYS).index(name) for name in ("frame_corners", "two_in_a_row")]


def test_checks_are_found_in_magics_and_by_keyword():
    for source in (
        "%%time\ncheck('a', f)",
        "%time check('a', f)",
        "x = %time check(attempt=f, name='a')",
        "!ls\ncheck('a', f)",
    ):
        assert list(_notebook.checks_in({"cell_type": "code", "source": source})) == [("a", "f")]


# What a check sees is judged


def test_an_attempt_is_judged_by_what_it_does_when_it_is_checked(tmp_path):
    before = (
        "import torch\nfrom stncourse import check\nfrom stncourse.exercises import find\n"
        "def right(name): return find(name).solution\ndef wrong(*given): return 'text'"
    )
    report = _grade.grade(
        notebook(
            tmp_path / "03.ipynb",
            before,
            "for n in ['affine_grid', 'bilinear_sample', 'normalize']: check(n, lambda *a: right(n)(*a))",
            "helper = right('turn_in_pixels')\ndef f(*a): return helper(*a)\n"
            "check('turn_in_pixels', f)\nhelper = wrong",
            "helper = right('color_between')\ncheck('color_between', f)\ndel helper",
            # And the other way round: what was wrong then is not right because of what comes after.
            "helper = wrong\ncheck('pixel_centers', f)\nhelper = right('pixel_centers')",
        )
    )
    states = {result["name"]: (result["state"], result["message"]) for result in report["exercises"]}
    assert report["errors"] == []
    for name in ("affine_grid", "bilinear_sample", "normalize", "turn_in_pixels", "color_between"):
        assert states[name][0] == "passed", states[name]
    assert states["pixel_centers"][0] == "failed"


def test_what_could_not_be_observed_at_its_check_is_observed_after_the_cell(tmp_path):
    cells = (
        "import stncourse.exercises.engine.noted as n\nn._tasks.clear()",
        "from stncourse.exercises import check, find\ncheck('affine_grid', find('affine_grid').solution)",
    )
    report = _grade.grade(notebook(tmp_path / "a.ipynb", *cells))
    assert report["totals"]["passed"] == 1


@pytest.mark.parametrize("exercise", [e for key in NOTEBOOKS for e in exercises_of(key)], ids=lambda e: e.name)
def test_a_judge_asks_what_was_announced(exercise):
    """Bit for bit: what is observed at the call of check was asked before the notebook began."""
    announced, asked = exercise.rounds(), []

    def observed(calls):
        asked.append(calls)
        if calls is None:
            return [{"value": plain(None), "error": None}]
        return observe(exercise.solution, calls)

    exercise.judge(observed)
    assert len(asked) == len(announced)
    for mine, theirs in zip(announced, asked, strict=True):
        assert (mine is None) == (theirs is None)
        for one, other in zip(mine or (), theirs or (), strict=True):
            assert one.keys() == other.keys()
            assert all(same(one[key], other[key]) for key in one)


# Notebooks of all kinds


def code(source, **more):
    return {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": source} | more


NEW = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}


@pytest.mark.parametrize(
    "content",
    [
        NEW | {"cells": [code(["1 +\n", " 1"])]},
        {"cells": [code("1 +\n 1")]},
        {"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": [code("1 +\n 1")]},
        {"nbformat": 4, "nbformat_minor": 99, "cells": [code("1 +\n 1", id="not an id!", metadata=None)]},
        NEW | {"cells": [code("1 +\n 1", outputs=[{"output_type": "strange"}, 3]), {"cell_type": "new"}], "more": 1},
        NEW | {"cells": [code("1 +\n 1", outputs=[{"output_type": "stream", "text": float("nan")}])]},
        {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": ["1 +\n", " 1"], "outputs": []}]}]},
        {"nbformat": 2, "worksheets": [{"cells": []}, {"cells": [{"cell_type": "code", "input": "1 +\n 1"}]}]},
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_notebook_of_any_format_is_read(tmp_path, content, encoding):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content) + "\n\n ", encoding=encoding)
    first, *others = _notebook.read_cells(path)
    assert (first["cell_type"], first["source"], first["problem"]) == ("code", "1 +\n 1", "")
    assert not any(cell["problem"] for cell in others)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "no object at its top"),
        ("{}", "no list of cells"),
        ('{"worksheets": [{"cells": 3}]}', "no list of cells"),
        (json.dumps({"cells": [code("a"), code("b")]})[:-30], "in cell 2"),
        (
            json.dumps({"cells": [code("a"), code("b")]}, indent=1).replace('"b"', "<<<<<<< HEAD"),
            r"line \d+, .*in cell 2",
        ),
        ("[" * 100_000, "too deeply nested"),
        (b'{"cells": [{"cell_type": "code", "source": "\xe4"}]}', "not utf-8, in cell 1"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_place(tmp_path, content, words):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(_grade.CannotGrade, match=f"this is not a notebook .*{words}"):
        _grade.grade(path)


def test_a_broken_cell_is_named_and_the_others_are_graded(tmp_path):
    path = tmp_path / "a.ipynb"
    cells = [code("check('which_way', 'up')"), 3, code(7), code(["a", None]), code("'\ud800'"), {"cell_type": "code"}]
    path.write_text(json.dumps({"cells": [*cells, code("check('slope_by_place', 6.0)")]}))
    report = _grade.grade(path)
    states = {result["name"]: result["state"] for result in report["exercises"]}
    assert (states["which_way"], states["slope_by_place"]) == ("passed", "passed")
    assert [error["cell"] for error in report["errors"] if error["error"] == "broken cell"] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": 3}, "path: expected a path, got int 3"),
        ({"time_limit": 0}, "time_limit: expected a number > 0, got int 0"),
        ({"time_limit": "9"}, "time_limit: expected a number > 0, got str '9'"),
        ({"time_limit": float("nan")}, "time_limit: expected a number > 0"),
        ({"memory_limit": float("inf")}, "memory_limit: expected a number > 0"),
    ],
)
def test_grade_checks_what_it_is_given(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        _grade.grade(**{"path": "a.ipynb"} | arguments)


# Nothing is left


SPAWN = """
import os, subprocess, sys
def start(**how):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)", {mark!r}], **how)
start()
start(start_new_session=True)
if os.fork() == 0:
    os.setsid()
    start()
    os._exit(0)
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """(writes a notebook whose first cell starts processes of several kinds, tells what is there of them)"""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    mark = f"mark-{os.getpid()}-{tmp_path.name}"

    def left():
        """Processes, temporary files, threads."""
        lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        processes = [line for line in lines if mark in line or any(str(scratch) in word for word in line)]
        return processes, list(scratch.iterdir())

    def write(*cells):
        spawn = SPAWN.format(mark=mark) if hasattr(os, "fork") else "pass"
        return notebook(tmp_path / "03.ipynb", spawn, *cells)

    return write, left


def interrupt(*_):
    raise KeyboardInterrupt


def fail(*_):
    raise ZeroDivisionError


@pytest.mark.parametrize("end", ["return", "in an event loop", "time limit", "dead kernel", "interrupt", "error"])
def test_nothing_is_left_whatever_way_it_ends(room, monkeypatch, end):
    write, left = room
    threads = threading.active_count()
    assert left() == ([], [])
    if end == "in an event loop":

        async def grade():
            return _grade.grade(write("check('which_way', 'up')"))

        assert asyncio.run(grade())["totals"]["passed"] == 1
    elif end in ("interrupt", "error"):
        monkeypatch.setattr(NotebookRun, "_judge", {"interrupt": interrupt, "error": fail}[end])
        with pytest.raises({"interrupt": KeyboardInterrupt, "error": ZeroDivisionError}[end]):
            _grade.grade(write("check('which_way', 'up')"))
    else:
        cells = {"return": "1", "time limit": "sum(range(10**13))", "dead kernel": "import os; os._exit(1)"}
        limit = 8 if end == "time limit" else 600
        report = _grade.grade(write(cells[end], "check('which_way', 'up')"), time_limit=limit)
        expected = [] if end == "return" else [(2, end.replace("dead kernel", "kernel died"))]
        assert [
            (error["cell"], error["error"]) for error in report["errors"] if error["error"] != "NameError"
        ] == expected
    assert left() == ([], [])
    assert threading.active_count() <= threads


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans are not handed to whom we know")
def test_an_orphan_without_an_environment_is_not_left(room):
    write, left = room
    orphan = (
        "if os.fork() == 0:\n    os.setsid()\n    start(env={})\n    os._exit(0)\nos.wait()\ncheck('which_way', 'up')"
    )
    _grade.grade(write(orphan))
    assert left() == ([], [])


def hear_ctrl_c():
    """What a shell starts in its background does not, and neither do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no polite end")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_nothing_is_left_by_a_grader_that_is_asked_to_end(room, tmp_path, name):
    write, left = room
    path = write(f"open({str(tmp_path / 'there')!r}, 'w').close()\nsum(range(10**13))")
    command = [sys.executable, "-m", "stncourse", "grade", str(path)]
    environment = os.environ | {"TMPDIR": tempfile.gettempdir()}
    grader = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    while not (tmp_path / "there").exists():
        assert grader.poll() is None
        time.sleep(0.05)
    grader.send_signal(getattr(signal, name))
    assert "no report was written" in grader.communicate(timeout=300)[1]
    assert grader.returncode == 130
    assert left() == ([], [])
    assert list(tmp_path.glob("*report*")) == []


# The grader's own room


@pytest.mark.parametrize("way", ["module", "module, empty entry", "command", "command, own entry"])
def test_nothing_beside_the_notebook_runs_in_the_grader(tmp_path, way):
    """Modules that the grader, its libraries or Python itself would import, had they not been imported before."""
    ran = tmp_path / "ran"
    names = (
        "json torch argparse pathlib sitecustomize usercustomize nbformat jupyter_client zmq psutil ipykernel IPython"
    )
    for name in [*names.split(), "importlib", "typing", "tempfile", "traitlets", "tornado", "numpy", "platformdirs"]:
        (tmp_path / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write('{name} ')\nraise SystemExit(0)\n")
    (tmp_path / "beside.py").write_text("ANSWER = 'up'")
    path = notebook(tmp_path / "03.ipynb", "from beside import ANSWER", "check('which_way', ANSWER)")
    command = [sys.executable, "-m", "stncourse", "grade", path.name]
    if way.startswith("command"):  # as an installed script does it; its own folder is not the student's
        script = tmp_path / "bin" / "stncourse"
        script.parent.mkdir()
        script.write_text("import sys\nfrom stncourse.__main__ import main\nsys.exit(main())\n")
        command[1:3] = [str(script)]
    course = str(Path(stncourse.__file__).parents[1])
    entries = {"module": [course], "command, own entry": [str(tmp_path), course]}.get(way, ["", course])
    if way != "module":  # what Python itself looks for there, before any line of the course
        bare = [sys.executable, "-c", "import runpy, sys; print(*sys.modules)"]
        started = subprocess.run(bare, capture_output=True, text=True).stdout.split()
        for name in ("sitecustomize", "usercustomize", *started):
            (tmp_path / f"{name}.py").unlink(missing_ok=True)
        assert (tmp_path / "argparse.py").exists()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entries)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stderr
    assert "✓ which_way: passed" in done.stdout
    assert not ran.exists(), ran.read_text()


def test_a_working_folder_on_the_path_is_not_looked_into(tmp_path, monkeypatch):
    """As an interactive Python and Jupyter have it."""
    monkeypatch.syspath_prepend("")
    seen = []
    monkeypatch.setattr(_grade, "_read", lambda path: seen.append(list(sys.path)) or [])
    monkeypatch.setattr(NotebookRun, "to_the_end", lambda run: {"which_way": None})
    _grade.grade(tmp_path / "a.ipynb")
    assert "" not in seen[0]
    assert sys.path[0] == ""


EVIL = "\x1b]0;owned\x07\x1b[31m red \x9b2J \r over \u202e gnp.exe \u2066 \ud800 \x00 end"


def test_what_a_student_wrote_is_printed_as_text(tmp_path, capsys):
    folder = tmp_path / "a\x1b[31mfolder"
    folder.mkdir()
    path = notebook(
        folder / "03\x1b[2J\nb.ipynb",
        f"evil = {EVIL!r}",
        "raise ValueError(evil)",
        "raise type('✓ affine_grid: passed' + evil[:8], (Exception,), {})(evil)",
        "def f(*_): raise RuntimeError(evil)",
        "check('affine_grid', f)",
        "check('pixel_centers', type(evil[:7] + '\\n✓', (), {})())",
        "check('which_way', evil)",
        "import os; os.write(1, b'\\x1b[31m'); os.write(2, b'\\x1b[31m')",
    )
    assert main(["grade", str(path)]) == 1
    printed = capsys.readouterr()
    report = path.with_suffix(".report.json").read_text(encoding="utf-8")
    text = path.with_suffix(".report.txt").read_text(encoding="utf-8")
    for output in (printed.out, printed.err, report, text, *json.loads(report)["notebook"]):
        assert all(character == "\n" or character.isprintable() for character in output)
    for words in (r"\x1b[31m red \x9b2J", r"\u202e gnp.exe \u2066 \ud800", "RuntimeError: "):
        assert words in text
    assert not any(line.startswith("✓") for line in text.splitlines())
    assert main(["grade", str(folder / "\x1b[31m.ipynb")]) == 2
    assert r"\x1b[31m" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp932"])
def test_a_narrow_terminal_gets_the_report_too(tmp_path, monkeypatch, encoding):
    line = {"name": "which_way", "state": "passed", "message": "", "mistake": None}
    totals = dict.fromkeys(STATES, 0) | {"passed": 1}
    report = {
        "notebook": "θ.ipynb",
        "exercises": [line],
        "errors": [],
        "notes": ["é あ"],
        "totals": totals,
        "seconds": 1,
    }
    monkeypatch.setattr(_grade, "grade", lambda *_: report)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["grade", str(notebook(tmp_path / "03.ipynb", "1"))]) == 0
    assert b"which_way: passed" in written.getvalue()
    assert (tmp_path / "03.report.txt").read_text(encoding="utf-8").startswith("θ.ipynb\n\n✓ which_way: passed\n")


@pytest.mark.parametrize("place", ["missing/name", "file/name"])
def test_the_report_is_known_to_have_a_place_before_the_notebook_runs(tmp_path, monkeypatch, capsys, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(_grade, "grade", fail)
    path = notebook(tmp_path / "03.ipynb", "1")
    options = argparse.Namespace(notebook=path, report=tmp_path / place, time_limit=9, memory_limit=99)
    assert _grade.main(options) == 2
    message = capsys.readouterr().err
    assert message.startswith("--report: expected a file in a folder that exists")
    assert message.count("\n") == 1
