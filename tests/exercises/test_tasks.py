"""The exercises: solutions pass, stubs are not done, every classic mistake is called by its own name."""

import contextlib
import hashlib
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from run_python import run_python

import stncourse
from stncourse import CheckResult, check, progress
from stncourse._language import as_html
from stncourse.exercises import NOTEBOOKS, exercises_of, find
from stncourse.exercises.engine import progress as _progress
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.observe import TIME_LIMIT, observe_answer
from stncourse.exercises.engine.plain import plain
from stncourse.exercises.engine.puzzles import Puzzle
from stncourse.exercises.engine.questions import Question

PROJECT = Path(__file__).parents[2]
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
    """The verdict, without showing it, and without a copy of this process for each of many hundred attempts."""
    with mock.patch("stncourse.exercises.engine.observe.calls_that_end", lambda work, count, seconds: count):
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
        assert 2 <= len(exercises_of(key)) <= 5
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
    shown = as_html("the *frame* is **not** `a * b * c` < 3")
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
    assert "raised `ValueError" in message or "raised `RuntimeError" in message
    assert "`return F.affine_grid" in message  # `grid` is the student's own too
    message = check("affine_grid", lambda theta, size: stncourse.affine_grid(theta[0], size)).message
    assert message.startswith("Your function raised `ValueError: theta: expected")
    assert "lambda theta, size: stncourse.affine_grid(theta[0], size)" in message
    for error in (SystemExit, KeyboardInterrupt, GeneratorExit):

        def ends(theta, size, error=error):
            raise error

        assert f"raised `{error.__name__}" in check("affine_grid", ends).message


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_an_attempt_does_when_it_is_asked_what_it_is_stays_in_it(error):
    class Attempt:
        def __call__(self, *_):
            return self

        @property
        def __signature__(self):
            raise error

        def __float__(self):
            raise error

    assert check("affine_grid", Attempt()).message.startswith("It returns an Attempt")
    assert check("slope_by_place", Attempt()).passed is False

    class Number(float):
        def __float__(self):
            raise error

    assert check("slope_by_place", Number(6)).passed is not None


def loop(*_):
    while True:
        pass


def loop_that_catches(*_):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


@pytest.mark.parametrize("attempt", [loop, loop_that_catches])
def test_a_loop_without_end_is_stopped(attempt, monkeypatch):
    monkeypatch.setattr("stncourse.exercises.engine.observe.TIME_LIMIT", 0.2)
    before = threading.active_count()
    result = check("affine_grid", attempt)
    assert result.passed is False
    assert "within 0.2 s" in result.message
    assert threading.active_count() == before  # and it is gone


def test_what_cannot_be_stopped_is_left_behind_and_said(monkeypatch):
    monkeypatch.setattr("stncourse.exercises.engine.observe.TIME_LIMIT", 0.1)
    over = threading.Event()
    try:
        message = check("affine_grid", lambda *_: over.wait()).message  # waits in C, and hears nothing
    finally:
        over.set()
    assert "still running: restart the kernel" in message


def test_the_limit_holds_in_another_thread_too(monkeypatch):
    """As JupyterLab's subshells have it: there is no signal there."""
    monkeypatch.setattr("stncourse.exercises.engine.observe.TIME_LIMIT", 0.2)
    results = []
    thread = threading.Thread(target=lambda: results.append(check("affine_grid", loop)))
    thread.start()
    thread.join(300)
    assert "within 0.2 s" in results[0].message


def test_the_limit_is_ten_seconds():
    assert TIME_LIMIT == 10


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
    assert "Pass its name, without brackets" in check("affine_grid", grid(torch.eye(2, 3)[None], (2, 2))).message
    assert "has to be callable as grid_from_memory(theta, size)" in check("affine_grid", lambda theta: theta).message


@pytest.mark.parametrize(
    ("attempt", "mistake", "words"),
    [
        (lambda t, s: grid(t, s)[0], "missing batch dimension", "batch dimension is missing"),
        (lambda t, s: grid(t[:1], s), "missing batch dimension", "only one of"),
        (lambda t, s: grid(t, s).transpose(1, 2), "H and W transposed", "Height comes before width"),
        (lambda t, s: grid(t, s).to(torch.float16), None, "float16 where float64"),
        (lambda t, s: grid(t, s) * float("nan"), None, "NaN"),
        (lambda t, s: grid(t, s).to("meta"), None, "device meta"),
        (lambda t, s: grid(t, s).numpy(), None, "NumPy array of shape"),
        (lambda t, s: grid(t, s).tolist(), None, "a list; a tensor is asked for"),
        (lambda t, s: torch.from_numpy(grid(t, s).numpy()), "detached gradient", "gradient is cut off"),
        (lambda t, s: grid(t.data, s), "detached gradient", "gradient is cut off"),
        (lambda t, s: grid(t.mul_(1), s), "input changed in place", "clone"),
        (lambda t, s: grid(t, s) + (t - t.detach()).sum(), None, "gradient with respect to `theta` is not"),
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


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu"),
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["normalize", "affine_grid", "pixel_centers", "stn_by_hand", "puzzle_turn", "nll"])
def test_an_attempt_hears_nothing_of_the_notebooks_defaults(name, mode):
    answer = answer_of(find(name))
    with MODES[mode]():
        assert check(name, answer).passed


# What holds the interpreter


HOGS = {
    "sum": "sum(range(10**13))",
    "regular expression": "re.match('(a+)+$', 'a' * 60 + 'b')",
    "itertools": "collections.deque(itertools.count(), maxlen=0)",
    "search": "-1 in itertools.count()",
}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a copy of this process")
@pytest.mark.parametrize("hog", HOGS)
def test_code_that_never_lets_go_of_the_interpreter_is_stopped(hog):
    """In a process of its own, which a failure would hold for ever."""
    program = f"""if True:
    import collections, itertools, re, stncourse, psutil
    from stncourse.exercises.engine import observe
    observe.TIME_LIMIT = 0.5
    def attempt(theta, size):
        if size == (2, 3):
            {HOGS[hog]}
        return stncourse.affine_grid(theta, size)
    result = stncourse.check("affine_grid", attempt)
    assert result.passed is False and "within 0.5 s and was stopped" in result.message, result
    assert stncourse.check("affine_grid", stncourse.affine_grid)
    assert psutil.Process().children() == []"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "size = (2, 3)" in run.stdout  # the input on which it hung


HERE = os.getpid()


def dies_in_a_copy(theta, size):
    if os.getpid() != HERE:
        os._exit(3)
    return grid(theta, size)


def waits_in_a_copy(theta, size):
    if os.getpid() != HERE:
        threading.Event().wait()
    return grid(theta, size)


def fails_in_a_copy(theta, size):
    assert os.getpid() == HERE
    return grid(theta, size)


def cannot_be_stopped_in_a_copy(theta, size):
    """Busy, in C, but not in the way of other threads: as a library is that misses its own threads there."""
    if os.getpid() != HERE:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    return grid(theta, size)


@pytest.mark.parametrize(
    "attempt", [dies_in_a_copy, waits_in_a_copy, fails_in_a_copy, cannot_be_stopped_in_a_copy], ids=lambda f: f.__name__
)
def test_what_goes_wrong_only_in_a_copy_fails_nobody(attempt, monkeypatch):
    limit = 1.0 if attempt is cannot_be_stopped_in_a_copy else 10.0
    monkeypatch.setattr("stncourse.exercises.engine.observe.TIME_LIMIT", limit)
    assert check("affine_grid", attempt).passed


def test_an_attempt_leaves_its_traces_here_once_and_none_from_the_copy(capfd):
    seen = []

    def attempt(theta, size):
        seen.append(os.getpid())
        os.write(1, b"written\n")
        return grid(theta, size)

    check("affine_grid", attempt)
    assert set(seen) == {HERE}
    assert capfd.readouterr().out.count("written\n") == len(seen)


def test_without_room_for_a_copy_there_is_a_verdict_all_the_same(monkeypatch):
    def fork():
        raise OSError("no room")

    monkeypatch.setattr(os, "fork", fork, raising=False)
    assert check("affine_grid", grid).passed


# Answers of all kinds


class Raises:
    """Whatever one asks it."""

    __hash__ = None

    def _raise(self, *_, **__):
        raise ValueError

    __eq__ = __bool__ = __len__ = __iter__ = __array__ = __float__ = __index__ = __repr__ = __str__ = _raise


class RaisesClass:
    @property
    def __class__(self):
        raise RuntimeError


class RaisesAttributes:
    def __getattribute__(self, name):
        raise RuntimeError


class SaysTensor:
    __class__ = torch.Tensor


class EndlessList(list):
    def __iter__(self):
        return itertools.count()

    def __len__(self):
        raise ValueError


class RaisesTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *_, **__):
        raise RuntimeError


def recursive():
    answer = [1.0]
    answer.append((answer, [answer]))
    return answer


def recursive_often():
    answer = []
    answer += [answer] * 30
    return answer


def recursive_dict():
    answer = {}
    answer[1] = answer
    return answer


def nested_deep():
    answer = 1.0
    for _ in range(100_000):
        answer = [answer]
    return answer


def fake():
    with torch._subclasses.FakeTensorMode():
        return torch.rand(2, 3)


ODD = {
    "nested": lambda: torch.nested.nested_tensor([torch.rand(2), torch.rand(3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.rand(2), torch.rand(3)], layout=torch.jagged),
    "complex": lambda: torch.rand(2, 3, dtype=torch.complex64),
    "complex, one": lambda: torch.tensor([1j]),
    "complex number": lambda: 1j,
    "sparse": lambda: torch.rand(2, 3).to_sparse(),
    "sparse rows": lambda: torch.rand(2, 3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.rand(2, 3), 0.1, 0, torch.qint8),
    "meta": lambda: torch.rand(2, 3, device="meta"),
    "meta, one": lambda: torch.rand((), device="meta"),
    "float8": lambda: torch.rand(2, 3).to(torch.float8_e4m3fn),
    "float8, one": lambda: torch.ones(1).to(torch.float8_e5m2),
    "bits": lambda: torch.empty(2, 3, dtype=torch.bits8),
    "bits, one": lambda: torch.empty(1, dtype=torch.bits8),
    "uint16": lambda: torch.zeros(2, 3, dtype=torch.uint16),
    "bool": lambda: torch.ones(2, 3, dtype=torch.bool),
    "fake": fake,
    "raising tensor": lambda: torch.rand(2, 3).as_subclass(RaisesTensor),
    "empty": lambda: torch.zeros(0, 3),
    "recursive": recursive,
    "recursive, often": recursive_often,
    "recursive dict": recursive_dict,
    "nested deep": nested_deep,
    "many": lambda: [0] * 2000,
    "raises": Raises,
    "raises class": RaisesClass,
    "raises attributes": RaisesAttributes,
    "a list of what raises": lambda: [Raises(), RaisesClass()],
    "says it is a tensor": SaysTensor,
    "endless list": EndlessList,
    "too large": lambda: 10**400,
    "half a character": lambda: "\ud800\x1b[31m",
    "objects": lambda: np.array([1, "a", None], dtype=object),
    "a generator": lambda: (i for i in range(3)),
    "a module": lambda: torch,
    "float8 in a list": lambda: [torch.zeros(3).to(torch.float8_e4m3fn), recursive()],
}
OF_EACH_KIND = [
    "normalize",
    "mean_and_std",
    "affine_grid",
    "color_between",
    "bilinear_sample",
    "count_parameters",
    "nll",
]


@pytest.mark.parametrize("odd", ODD)
def test_no_answer_whatever_it_is_breaks_check(odd, capsys):
    with warnings.catch_warnings(action="ignore"):  # some kinds of tensors are new, some are old
        answer = ODD[odd]()
    with mock.patch("stncourse.exercises.engine.observe.calls_that_end", lambda work, count, seconds: count):
        for exercise in QUESTIONS + PUZZLES:
            assert check(exercise.name, answer).passed is False
        for name in OF_EACH_KIND:
            assert check(name, lambda *_: answer).passed is False
            assert check(name, answer).passed is False
    assert capsys.readouterr().out.encode().decode().isprintable() is False  # new lines, and it can be encoded


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.int64(1), np.array(0.5), Fraction(1, 2), torch.tensor(0.5), True]
)
def test_a_real_number_is_one_in_any_form(value):
    kind = "bool" if value is True else "tensor" if isinstance(value, torch.Tensor) else "number"
    assert plain(value)["kind"] == kind
    slope = find("slope_by_place")
    assert judged(slope, slope.answer() * np.float32(1)).result.passed


class Silent(Exception):
    def __str__(self):
        raise ValueError


class SilentEnd(BaseException):
    def __str__(self):
        raise SystemExit


@pytest.mark.parametrize(
    "error", [Silent, SilentEnd, lambda: ValueError(Raises()), lambda: ValueError("\ud800 \x1b[2J")]
)
def test_no_error_whatever_it_says_breaks_check(error, capsys):
    def attempt(theta, size):
        raise error()

    message = check("affine_grid", attempt).message
    assert message.startswith(f"Your function raised `{type(error()).__name__}")
    assert message.isprintable()
    assert message in capsys.readouterr().out


def changed(change):
    """``change`` of all floating-point tensors in an answer."""

    def of(answer):
        if isinstance(answer, torch.Tensor):
            return change(answer) if answer.is_floating_point() else answer
        return type(answer)(map(of, answer)) if isinstance(answer, (list, tuple)) else answer

    return of


class SparseSlope(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        return value.clone()

    @staticmethod
    def backward(context, slope):
        return slope.to_sparse()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * float("nan"),
        lambda x: x * 0 + float("inf"),
        lambda x: x * 0 + torch.finfo(x.dtype).max,
        lambda x: x * 0 - 1e30,
        lambda x: x.to(torch.complex128),
        lambda x: x.to(torch.float8_e4m3fn),
        lambda x: x.bool(),
        lambda x: x.to(torch.uint8),
        lambda x: x.to_sparse(),
        SparseSlope.apply,
    ],
    ids=["nan", "inf", "largest", "far", "complex", "float8", "bool", "uint8", "sparse", "sparse-slope"],
)
def test_no_numbers_break_a_verdict_or_its_figures(change):
    for exercise in CODE:
        verdict = judged(exercise, lambda *arguments, e=exercise: changed(change)(e.solution(*arguments)))
        for draw in verdict.drawings:
            assert draw()._repr_mimebundle_()[0]["image/png"]


def test_an_argument_in_strange_hands_has_changed():
    def attempt(images, mean, std):
        mean[0] = mean
        images.data = torch.zeros(3)
        return torch.zeros(1)

    assert check("normalize", attempt).mistake == "input changed in place"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp932"])
def test_a_narrow_terminal_shows_verdict_and_progress(encoding):
    program = "from stncourse import *; check('which_way', 'θ'); check('which_way', 'up'); print(progress())"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert b"which_way: right" in run.stdout
    assert b"1 of 4" in run.stdout


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


def test_nothing_is_lost_when_many_record_at_once(folder):
    program = """if True:
    import sys
    from stncourse.exercises.engine import progress as _progress
    for number in range(15):
        assert _progress.record(f"{sys.argv[1]}-{number}", True) == ""
    """
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(4)]
    assert [process.communicate()[1] for process in running] == [b""] * 4
    assert len(progress().done) == 60
    assert [path.name for path in folder.iterdir()] == ["progress.json"]


def test_the_lock_of_a_killed_process_holds_nobody_up(folder):
    program = """if True:
    import os
    from stncourse.exercises.engine import progress as _progress
    with _progress._alone(_progress.file()):
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", program], check=True)
    assert _progress.record("which_way", True) == ""
    assert [path.name for path in folder.iterdir()] == ["progress.json"]


def test_a_lock_that_is_held_is_waited_for_and_told(folder, monkeypatch):
    with _progress._alone(_progress.file()):
        monkeypatch.setattr(_progress, "_PATIENCE", 0.05)
        assert "another process holds" in _progress.record("which_way", True)
        assert "another process holds" in progress(reset=True).note
    assert _progress.record("which_way", True) == ""


def test_every_broken_file_is_kept(folder):
    for content in ("{", "[", "3"):
        folder.mkdir(exist_ok=True)
        (folder / "progress.json").write_text(content)
        _progress.record("which_way", True)
    assert sorted(path.read_text() for path in folder.glob("*broken*")) == ["3", "[", "{"]


def test_a_user_without_a_home_is_told(monkeypatch, capsys):
    pwd = pytest.importorskip("pwd")

    def nobody(uid):
        raise KeyError(uid)

    for name in ("STNCOURSE_PROGRESS_DIR", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for reset in (False, True):
        assert "this user has no home folder; set STNCOURSE_PROGRESS_DIR" in repr(progress(reset))
    assert "no home folder" in progress()._repr_html_()
    assert check("which_way", "up").passed
    assert "could not be saved: this user has no home folder" in capsys.readouterr().out


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
