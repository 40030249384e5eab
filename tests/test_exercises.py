"""The exercises: solutions pass, stubs are not done, every classic mistake is called by its own name."""

import contextlib
import importlib.util
import json
import re
import threading
import time
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from run_python import run_python

import stncourse
from stncourse import CheckResult, check, progress
from stncourse.exercises import NOTEBOOKS, _observe, _progress, _show, exercises_of, find
from stncourse.exercises._model import Code, Puzzle, Question
from stncourse.exercises._observe import observe_answer

PROJECT = Path(__file__).parents[1]
ALL = [exercise for key in NOTEBOOKS for exercise in exercises_of(key)]
CODE = [exercise for exercise in ALL if isinstance(exercise, Code)]
QUESTIONS = [exercise for exercise in ALL if isinstance(exercise, Question)]
PUZZLES = [exercise for exercise in ALL if isinstance(exercise, Puzzle)]
MISTAKES = [(exercise, mistake) for exercise in ALL for mistake in exercise.mistakes]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test with a student of its own."""
    monkeypatch.setenv("STNCOURSE_PROGRESS_DIR", str(tmp_path / "progress"))
    return tmp_path / "progress"


def named(exercise):
    return exercise.name


def judged(exercise, attempt):
    """The verdict, without showing it."""
    return exercise.judge(lambda calls: observe_answer(attempt, calls, getattr(exercise, "signature", None)))


def answer_of(exercise):
    """The right answer, as the notebook's solution gives it."""
    if isinstance(exercise, Code):
        return exercise.solution
    namespace = {"affine_theta": stncourse.affine_theta, "torch": torch}
    exec(exercise.solution_source, namespace)
    return namespace[exercise.variable]


def stub_of(exercise):
    namespace = {}
    exec(exercise.stub, namespace)
    return namespace[exercise.solution.__name__ if isinstance(exercise, Code) else exercise.variable]


def wrong_answer(exercise, mistake):
    if isinstance(exercise, Question | Puzzle) and callable(mistake.wrong):
        return mistake.wrong()
    return mistake.wrong


# Every exercise


@pytest.mark.parametrize("exercise", ALL, ids=named)
def test_the_solution_passes(exercise):
    result = judged(exercise, answer_of(exercise)).result
    assert result.passed is True, result.message
    assert result.mistake is None


@pytest.mark.parametrize("exercise", ALL, ids=named)
def test_the_stub_is_not_done_yet_and_says_what_to_do(exercise):
    verdict = judged(exercise, stub_of(exercise))
    assert verdict.result.passed is None
    assert "Not done yet" in verdict.result.message
    assert all(draw().alt for draw in verdict.drawings)
    assert judged(exercise, None).result.passed is None


@pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=lambda value: value.name if hasattr(value, "name") else None
)
def test_a_classic_mistake_fails_with_its_own_message(exercise, mistake):
    result = judged(exercise, wrong_answer(exercise, mistake)).result
    assert result.passed is False
    assert (result.mistake, result.message) == (mistake.name, mistake.message)


@pytest.mark.parametrize("exercise", ALL, ids=named)
def test_at_least_three_mistakes_each_of_its_own_name_and_words(exercise):
    assert len(exercise.mistakes) >= 3
    for attribute in ("name", "message"):
        values = [getattr(mistake, attribute) for mistake in exercise.mistakes]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("exercise", CODE, ids=named)
def test_the_inputs_tell_the_mistakes_apart(exercise):
    """Else two mistakes would be one, and the first of the list would get the name."""
    for one, other in combinations(exercise.mistakes, 2):
        assert judged(exercise, other.wrong).result.mistake == other.name, (one.name, other.name)


@pytest.mark.parametrize("exercise", CODE, ids=named)
@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda *_: None, "returns None"),
        (lambda *_: np.zeros((2, 3)), "NumPy"),
        (lambda *_: "left", "text"),
        (lambda *_: torch.zeros(3, 1, 4, 1, 5), "shape|tensor of shape|float32"),
        (lambda *_: 1 / 0, "raised ZeroDivisionError: division by zero.*1 / 0"),
    ],
    ids=["None", "NumPy", "text", "shape", "raises"],
)
def test_what_is_no_answer_gets_a_sentence(exercise, attempt, words):
    result = judged(exercise, attempt).result
    assert result.passed is False
    assert re.search(words, result.message), result.message


@pytest.mark.parametrize("exercise", CODE, ids=named)
def test_writing_into_the_input_is_seen(exercise):
    def attempt(*arguments):
        answer = exercise.solution(*arguments)
        for argument in [*arguments, *(item for a in arguments if isinstance(a, list) for item in a)]:
            if isinstance(argument, torch.Tensor):
                with torch.no_grad():
                    argument += 1
        return answer

    tensors = any(isinstance(a, torch.Tensor | list) for case in exercise.cases() for a in case)
    assert judged(exercise, attempt).result.mistake == ("input changed in place" if tensors else None)


@pytest.mark.parametrize("exercise", [e for e in CODE if e.differentiable], ids=named)
def test_a_detached_gradient_is_seen(exercise):
    result = judged(exercise, lambda *arguments: exercise.solution(*arguments).detach()).result
    assert (result.passed, result.mistake) == (False, "detached gradient")


@pytest.mark.parametrize("exercise", CODE, ids=named)
def test_tensors_of_the_wrong_type_are_seen(exercise):
    def attempt(*arguments):
        answer = exercise.solution(*arguments)
        return answer.to(torch.float16) if isinstance(answer, torch.Tensor) else answer

    result = judged(exercise, attempt).result
    assert result.passed or "float16" in result.message
    assert result.passed is not isinstance(exercise.solution(*exercise.cases()[0]), torch.Tensor)


@pytest.mark.parametrize("exercise", CODE, ids=named)
def test_solution_and_specification_are_two_things(exercise):
    assert exercise.solution is not exercise.specification
    parameters = list(re.findall(r"\w+", exercise.stub.split("(")[1].split(")")[0]))
    assert parameters == exercise.parameters


@pytest.mark.parametrize("exercise", CODE, ids=named)
def test_figures_of_a_failure_can_be_drawn(exercise):
    for draw in judged(exercise, exercise.mistakes[0].wrong).drawings:
        assert draw()._repr_mimebundle_()[0]["image/png"]


@pytest.mark.parametrize("exercise", QUESTIONS + PUZZLES, ids=named)
@pytest.mark.parametrize(
    "answer", ["a long way", b"", {}, float("nan"), 1e99, [1, "2"], True, object(), torch.ones(2, 2), np.float64(3)]
)
def test_no_answer_breaks_a_question(exercise, answer):
    result = judged(exercise, answer).result
    assert result.passed is False
    assert result.message.endswith((".", "?", "`"))
    assert result.mistake is None


@pytest.mark.parametrize("exercise", QUESTIONS, ids=named)
def test_a_question_does_not_give_its_answer_away(exercise):
    shown = exercise.stub + exercise.check_source + exercise.task
    if exercise.options:
        assert all(option in exercise.stub for option in exercise.options)
        assert exercise.answer() in exercise.options
        assert {m.wrong for m in exercise.mistakes} < set(exercise.options)
    else:
        assert f"{exercise.answer():.4g}" not in re.findall(r"[\d.]+\d|\d", shown)
    assert exercise.explanation not in shown


@pytest.mark.parametrize("exercise", ALL, ids=named)
def test_stub_and_solution_fit_on_a_notebooks_page(exercise):
    for source in (exercise.stub, exercise.solution_source):
        lines = source.splitlines()
        assert len(lines) <= 15
        assert all(len(line) <= 100 for line in lines)


def test_names_and_notebooks():
    names = [exercise.name for exercise in ALL]
    assert len(set(names)) == len(names)
    for key in NOTEBOOKS:
        assert 2 <= len(exercises_of(key)) <= 4
        assert all(exercise.notebook == key for exercise in exercises_of(key))
    assert exercises_of("99") == ()


def test_the_classic_mistakes_are_all_there():
    """Recognised by their names, somewhere in the course; the last four by the engine itself, in every exercise."""
    by_name = {mistake.name for _, mistake in MISTAKES}
    for name in (
        "x and y swapped",
        "inverse θ",
        "wrong align_corners",
        "translation sign",
        "degrees for radians",
        "H and W transposed",
        "zero padding not honoured",
        "off by half a pixel",
    ):
        assert name in by_name


# The engine


def test_check_shows_its_verdict_and_returns_it(capsys):
    result = check("which_way", "left")
    assert result == CheckResult(False, find("which_way").mistakes[1].message, "x and y swapped")
    printed = capsys.readouterr().out
    assert printed.startswith("✗ which_way: not yet (the mistake: x and y swapped)\n")
    assert result.message in printed
    assert not result
    assert check("which_way", " UP ")
    assert not check("which_way", ...)


def test_the_box_of_a_notebook_shows_the_little_markdown_of_messages():
    shown = _show._as_html("the *frame* is **not** `a * b * c` < 3")
    assert shown == "the <em>frame</em> is <b>not</b> <code>a * b * c</code> &lt; 3"


def test_an_unknown_name_offers_close_ones():
    with pytest.raises(
        ValueError, match=r"name: expected the name of an exercise, got str 'afine_grid'; did you mean 'affine_grid'"
    ):
        check("afine_grid", print)
    with pytest.raises(ValueError, match=r"there are \w+, |did you mean"):
        check("zzz", print)
    with pytest.raises(ValueError, match="got int 3"):
        check(3, print)


def grid(theta, size):
    return F.affine_grid(theta, (len(theta), 1, *size), align_corners=False)


def test_the_smallest_failing_input_is_shown(capsys):
    check("affine_grid", lambda theta, size: grid(theta, size) + (size[0] > 1))
    printed = capsys.readouterr().out
    assert "theta = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]" in printed
    assert "size = (2, 3)" in printed
    assert "expected" in printed
    assert "Figure: where the output's pixels look: expected, and what came" in printed


def test_an_error_names_the_exception_and_the_students_own_line():
    def attempt(theta, size):
        flat = theta.view(-1)
        return grid(flat, size)

    message = check("affine_grid", attempt).message
    assert "raised ValueError" in message or "raised RuntimeError" in message
    assert "`return F.affine_grid" in message  # `grid` is the student's own too
    message = check("affine_grid", lambda theta, size: stncourse.affine_grid(theta[0], size)).message
    assert message.startswith("Your function raised ValueError: theta: expected")
    assert "lambda theta, size: stncourse.affine_grid(theta[0], size)" in message
    for error in (SystemExit, KeyboardInterrupt, GeneratorExit):

        def ends(theta, size, error=error):
            raise error

        assert f"raised {error.__name__}" in check("affine_grid", ends).message


def loop(*_):
    while True:
        pass


def loop_that_catches(*_):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


@pytest.mark.parametrize("attempt", [loop, loop_that_catches])
def test_a_loop_without_end_is_stopped(attempt, monkeypatch):
    monkeypatch.setattr(_observe, "TIME_LIMIT", 0.2)
    before = threading.active_count()
    result = check("affine_grid", attempt)
    assert result.passed is False
    assert "within 0.2 s" in result.message
    assert threading.active_count() == before  # and it is gone


def test_what_cannot_be_stopped_is_left_behind_and_said(monkeypatch):
    monkeypatch.setattr(_observe, "TIME_LIMIT", 0.1)
    message = check("affine_grid", lambda *_: time.sleep(3)).message
    assert "still running: restart the kernel" in message


def test_the_limit_holds_in_another_thread_too(monkeypatch):
    """As JupyterLab's subshells have it: there is no signal there."""
    monkeypatch.setattr(_observe, "TIME_LIMIT", 0.2)
    results = []
    thread = threading.Thread(target=lambda: results.append(check("affine_grid", loop)))
    thread.start()
    thread.join(300)
    assert "within 0.2 s" in results[0].message


def test_the_limit_is_ten_seconds():
    assert _observe.TIME_LIMIT == 10


def test_what_an_attempt_prints_is_shown_once_and_in_its_place(capsys):
    def attempt(theta, size):
        print("hello", tuple(theta.shape))
        print("x" * 100_000)
        return theta

    check("affine_grid", attempt)
    printed = capsys.readouterr().out
    assert "printed: hello (1, 2, 3)" in printed
    assert len(printed) < 3000
    other = []
    check(
        "affine_grid", lambda theta, size: threading.Thread(target=lambda: other.append(print("from elsewhere"))).run()
    )
    assert "from elsewhere" in capsys.readouterr().out


def test_the_function_itself_is_wanted():
    assert "Leave the brackets away" in check("affine_grid", grid(torch.eye(2, 3)[None], (2, 2))).message
    assert "has to be callable as grid_from_memory(theta, size)" in check("affine_grid", lambda theta: theta).message


@pytest.mark.parametrize(
    ("attempt", "mistake", "words"),
    [
        (lambda t, s: grid(t, s)[0], "missing batch dimension", "batch dimension is missing"),
        (lambda t, s: grid(t[:1], s), "missing batch dimension", "only one of"),
        (lambda t, s: grid(t, s).transpose(1, 2), "H and W transposed", "Height comes before width"),
        (lambda t, s: grid(t, s).to(torch.float32), None, "float32 where float64"),
        (lambda t, s: grid(t, s) * float("nan"), None, "NaN"),
        (lambda t, s: grid(t, s).to("meta"), None, "device meta"),
        (lambda t, s: grid(t, s).numpy(), None, "NumPy array of shape"),
        (lambda t, s: grid(t, s).tolist(), None, "a list; a tensor is asked for"),
        (lambda t, s: torch.from_numpy(grid(t, s).numpy()), "detached gradient", "gradient is cut off"),
        (lambda t, s: grid(t.data, s), "detached gradient", "gradient is cut off"),
        (lambda t, s: grid(t.mul_(1), s), "input changed in place", "clone"),
        (lambda t, s: grid(t, s) + (t - t.detach()).sum(), None, "gradient by `theta` is not"),
        (lambda t, s: grid(t, s) + 1e-3, None, "not all numbers are"),
    ],
)
def test_the_engine_knows_what_goes_wrong_anywhere(attempt, mistake, words):
    result = check("affine_grid", attempt)
    assert (result.passed, result.mistake) == (False, mistake), result
    assert words in result.message


def test_an_attempt_may_be_right_in_its_own_way():
    assert check("affine_grid", stncourse.affine_grid).passed

    class Grid:
        def __call__(self, theta, size):
            return stncourse.affine_grid(theta, size) + 1e-12

    assert check("affine_grid", Grid()).passed


def test_an_attempt_hears_nothing_of_the_notebooks_grad_mode():
    with torch.no_grad():
        assert check("affine_grid", grid).passed
    with torch.inference_mode():
        assert check("affine_grid", grid).passed


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check("bilinear_sample", find("bilinear_sample").solution)
    assert torch.equal(torch.rand(1), expected)


# Progress


def test_progress_is_kept_and_reset(folder):
    total = len(ALL)
    assert repr(progress()).endswith(f"0 of {total} exercises done")
    check("which_way", "down")
    assert not folder.exists()  # nothing is written before something is done
    check("which_way", "up")
    check("affine_grid", grid)
    assert set(progress().done) == {"which_way", "affine_grid"}
    assert re.search(r"03 Grid generator +██████░+  2 of 4", repr(progress()))
    assert "<progress value='2' max='4'" in progress()._repr_html_()
    assert [path.name for path in folder.iterdir()] == ["progress.json"]
    assert progress(reset=True).done == ()
    assert progress().done == ()
    with pytest.raises(TypeError, match="reset: expected True or False, got str 'yes'"):
        progress("yes")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"passed": 3}', '{"passed": ["a"]}', "\udcff", "[" * 100_000])
def test_a_broken_file_is_told_and_set_aside(folder, content):
    folder.mkdir()
    (folder / "progress.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert "could not be read" in repr(progress())
    assert check("which_way", "up").passed
    assert progress().done == ("which_way",)
    assert (folder / "progress.broken.json").exists()


def test_a_folder_that_cannot_be_written_spoils_no_answer(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STNCOURSE_PROGRESS_DIR", str(tmp_path / "file" / "folder"))
    assert check("which_way", "up").passed
    assert "could not be saved" in capsys.readouterr().out
    assert progress().done == ()


def test_progress_is_written_whole_or_not_at_all(folder, monkeypatch):
    check("which_way", "up")
    before = (folder / "progress.json").read_bytes()

    def half(content, target, **_):
        target.write('{"passed": {"which')
        raise OSError("no space left")

    monkeypatch.setattr(json, "dump", half)
    assert check("affine_grid", grid).passed
    assert (folder / "progress.json").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["progress.json"]


def test_progress_lies_in_the_users_data_folder(monkeypatch):
    import platformdirs

    monkeypatch.delenv("STNCOURSE_PROGRESS_DIR")
    assert _progress.file() == platformdirs.user_data_path("stncourse") / "progress.json"


# Notebooks and source


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("write_exercises", PROJECT / "tools" / "write_exercises.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notebooks_and_source_are_in_step(tool, capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().out


def a_notebook(*cells):
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("x = 1", id="first", execution_count=1),
            nbformat.v4.new_markdown_cell("Some words.\n\n## Recap\n\n- one", id="last"),
            *cells,
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def test_the_tool_adds_exercises_to_a_notebook_that_had_none_and_keeps_the_rest(tool, tmp_path, capsys, monkeypatch):
    path = tmp_path / "03_anything.ipynb"
    nbformat.write(a_notebook(nbformat.v4.new_code_cell("2 + 2", id="behind", execution_count=2)), path)
    assert tool.main(["--folder", str(tmp_path), "--check"]) == 1
    assert tool.write(tmp_path) == ["03_anything.ipynb"]
    assert "04: skipped, there is no such notebook yet" in capsys.readouterr().out
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    own = [cell.source for cell in notebook.cells if "stncourse" not in cell.metadata]
    assert own == ["x = 1", "Some words.", "## Recap\n\n- one", "2 + 2"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = "\n".join(str(output) for cell in code for output in cell.outputs)
    assert text.count("not done yet") >= len(exercises_of("03"))
    assert "Traceback" not in text
    before = path.read_bytes()
    monkeypatch.setattr(tool, "run", lambda notebook, key: None)
    assert tool.write(tmp_path) == []  # a second time changes nothing
    assert path.read_bytes() == before
    assert tool.main(["--folder", str(tmp_path), "--check"]) == 0


def test_drift_is_seen(tool, tmp_path):
    source = next((PROJECT / "notebooks").glob("03_*.ipynb"))
    for number, change in enumerate(
        [
            lambda n: n.cells.pop(cell_named(n, "task")),
            lambda n: n.cells[cell_named(n, "hints")].update(source="another hint"),
            lambda n: n.cells[cell_named(n, "stub")].update(source="digit_goes = 'up'"),
            lambda n: n.cells[cell_named(n, "check")].update(outputs=[]),
            lambda n: n.cells.append(n.cells.pop(cell_named(n, "task"))),
        ]
    ):
        notebook = nbformat.read(source, as_version=4)
        change(notebook)
        folder = tmp_path / str(number)
        folder.mkdir()
        nbformat.write(notebook, folder / source.name)
        assert list(tool.drift(folder)), number


def cell_named(notebook, part):
    return next(i for i, c in enumerate(notebook.cells) if c.metadata.get("stncourse", {}).get("part") == part)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([nbformat.v4.new_markdown_cell("no end", id="a")], "found none"),
        (
            [nbformat.v4.new_code_cell("check = 3", id="a"), nbformat.v4.new_markdown_cell("## Recap", id="b")],
            "defines check",
        ),
        (
            [
                nbformat.v4.new_code_cell("def grid_from_memory(): ...", id="a"),
                nbformat.v4.new_markdown_cell("## Recap", id="b"),
            ],
            "defines grid_from_memory",
        ),
    ],
)
def test_the_tool_refuses_a_notebook_that_it_would_break(tool, cells, words):
    with pytest.raises(ValueError, match=words):
        tool.written(nbformat.v4.new_notebook(cells=cells), "03")


def test_importing_check_loads_no_pictures():
    code = "from stncourse import check, progress; import sys; print({'matplotlib', 'IPython'} & set(sys.modules))"
    assert run_python("-c", code).strip() == "set()"
