"""A guess is made before the truth is known, and kept. What a page does with it: tests/browser/test_guessing.py."""

import json

import numpy as np
import pytest
import torch
import traitlets
from run_python import run_python

from stncourse import affine_theta, check, guess, progress
from stncourse.exercises.engine import progress as _progress

DIGIT = torch.arange(28 * 28).remainder(256).to(torch.uint8).view(1, 28, 28)
XS = [0, 1, 2, 4]
SCRIPT = """if True:
    from stncourse import guess
    bet = guess("How many?", name="03.many", truth=lambda: 30, unit="%")
    assert repr(bet) == "guess('03.many')"
    bet.set_state({"committed": 40, "asked": True})
    assert bet.answer == {"truth": 30.0, "because": "", "note": ""}, bet.answer
    assert "bilinear" in bet._esm and "import {" not in bet._esm
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where progress is kept: another for each test."""
    monkeypatch.setenv("STNCOURSE_PROGRESS_DIR", str(tmp_path / "progress"))
    return tmp_path / "progress"


def a_choice(truth="left", **more):
    return guess("Which way?", name="03.way", choices=("left", "right"), truth=truth, **more)


def a_number(truth=33.9, **more):
    return guess("How many?", name="00.many", truth=truth, unit="%", **more)


def a_ghost(theta=(1, 0, 0.4, 0, 1, 0), **more):
    return guess("Where?", name="03.where", digit=DIGIT, theta=theta, **more)


def a_curve(ys=(0, 2, 4, 8), **more):
    return guess("How?", name="05.how", curve=(XS, ys), low=-1, high=10, **more)


def ghost_at(x=0.0, y=0.0, turn=0.0, zoom=1.0):
    return {"x": x, "y": y, "turn": turn, "zoom": zoom}


def state_of(bet):
    """What the page has been sent, as text; without the script, which is the same for all."""
    return json.dumps({name: value for name, value in bet.get_state().items() if name != "_esm"}, default=repr)


# Before and after

ASKED = {
    "choice": (a_choice, "left", "right", "left"),
    "number": (a_number, 33.9, 90.0, 33.9),
    "digit": (a_ghost, affine_theta(translation=(0.4, 0)), ghost_at(x=0.4), pytest.approx([1, 0, 0.4, 0, 1, 0])),
    "curve": (a_curve, (0, 2, 4, 8.25), [1.0, 2.0, 3.0, 4.0], [[0, 1, 2, 4], [0, 2, 4, 8.25]]),
}
each_kind = pytest.mark.parametrize("kind", ASKED)


@each_kind
def test_the_truth_is_asked_for_once_and_only_when_a_guess_is_made(kind):
    ask, truth, made, told = ASKED[kind]
    calls = []
    bet = ask(lambda: calls.append(1) or truth)
    assert bet.kind == kind
    assert (bet.committed, bet.answer, calls) == (None, None, [])
    bet.committed = made
    assert bet.committed == made
    assert bet.answer["truth"] == told
    json.dumps(bet.answer)  # it can be sent
    bet.committed = None
    assert bet.answer is None
    bet.committed = made
    assert bet.answer["truth"] == told
    assert calls == [1]


@each_kind
def test_nothing_that_the_page_is_sent_gives_the_truth_away(kind):
    """Whatever the truth is, the page is sent the same."""
    ask, truth, made, _ = ASKED[kind]
    another = {"choice": "right", "number": 55, "digit": (0, 1, -0.2, 1, 0, 0.1), "curve": [5, 1, 3, 4]}[kind]
    bets = [ask(truth, because="It is so."), ask(another, because="It is otherwise."), ask(lambda: another)]
    states = [state_of(bet).replace(bet.layout.model_id, "") for bet in bets]
    assert states[0] == states[1] == states[2]
    bets[1].committed = made
    assert state_of(bets[1]) != states[0]
    assert bets[1].answer["because"] == "It is otherwise."


def test_the_truth_can_be_had_without_a_guess():
    calls = []
    bet = a_number(lambda: calls.append(1) or torch.tensor(12.5))
    assert (bet.truth, bet.truth, calls) == (12.5, 12.5, [1])
    assert bet.answer is None


def test_a_truth_that_fails_is_told_and_the_guess_not_kept(folder):
    answers = iter([RuntimeError("no \x1b[31mdata"), 1000.0, 12.5])

    def truth():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    bet = a_number(truth)
    bet.committed = 40
    assert bet.answer == {"error": "RuntimeError: no \\x1b[31mdata"}
    bet.committed = 41
    assert bet.answer == {"error": "ValueError: truth: expected a number from 0 to 100, got float 1000.0"}
    assert not folder.exists()
    bet.committed = 42
    assert bet.answer["truth"] == 12.5
    assert progress().guesses == {"00.many": False}


def test_a_long_error_is_shortened():
    def truth():
        raise RuntimeError("x" * 3000)

    bet = a_number(truth)
    bet.committed = 40
    assert bet.answer == {"error": "RuntimeError: " + "x" * 285 + "…"}


def test_a_computed_curve_lies_between_low_and_high():
    bet = a_curve(lambda: (0, 2, 4, 11))
    bet.committed = [0, 1, 2, 3]
    assert bet.answer == {"error": "ValueError: curve's ys: expected numbers from low, -1, to high, 10, got 11"}


def test_repr_is_the_same_before_and_after():
    bet = a_choice()
    assert repr(bet) == "guess('03.way')"
    bet.committed = "left"
    assert repr(bet) == "guess('03.way')"


# When it counts as right


@pytest.mark.parametrize(
    ("ask", "made", "right"),
    [
        (a_choice, "left", True),
        (a_choice, "right", False),
        (a_number, 38.8, True),
        (a_number, 39.0, False),
        (a_ghost, ghost_at(x=-0.4), True),
        (a_ghost, ghost_at(x=-0.58, turn=90), True),  # only the shift was asked for
        (a_ghost, ghost_at(x=-0.62), False),
        (a_ghost, ghost_at(x=0.4), False),  # it moves against the frame
        (a_curve, [0, 2, 4, 8], True),
        (a_curve, [1, 3, 5, 9], True),
        (a_curve, [2, 4, 6, 10], False),
    ],
)
def test_what_counts_as_right(ask, made, right):
    bet = ask()
    bet.committed = made
    assert progress().guesses == {bet.name: right}


@pytest.mark.parametrize(
    ("made", "right"),
    [
        (ghost_at(turn=-60, zoom=2), True),  # the frame turns clockwise and halves, the digit does the contrary
        (ghost_at(turn=60, zoom=2), False),
        (ghost_at(turn=-60, zoom=1), False),
        (ghost_at(turn=-70, zoom=2.2), True),
        (ghost_at(x=0.3, turn=-60, zoom=2), False),
    ],
)
def test_turn_and_zoom_count_where_they_are_asked_for(made, right):
    bet = a_ghost(affine_theta(rotation=60, scale=0.5), moves=("shift", "turn", "zoom"))
    bet.committed = made
    assert progress().guesses == {"03.where": right}


def test_a_turn_on_the_other_side_of_half_a_turn_is_near():
    bet = a_ghost(affine_theta(rotation=178), moves=("turn",))
    bet.committed = ghost_at(turn=175)
    assert progress().guesses == {"03.where": True}


# Kept


def test_the_first_guess_is_kept_and_there_again(folder):
    calls = []
    bet = a_number(lambda: calls.append(1) or 33.9)
    bet.committed = 90
    bet.committed = None
    bet.committed = 34
    again = a_number(lambda: calls.append(2) or 33.9)
    assert (again.committed, again.answer, calls) == (90.0, None, [1])
    again.set_state({"asked": True})  # a page shows it
    assert again.answer["truth"] == 33.9
    assert calls == [1, 2]
    kept = json.loads((folder / "progress.json").read_text(encoding="utf-8"))["guesses"]["00.many"]
    assert (kept["guess"], kept["right"]) == (90.0, False)


def test_guesses_and_exercises_are_kept_side_by_side(folder):
    assert "guess" not in repr(progress())
    a_choice().committed = "left"
    assert "1 guess made, 1 of them right" in repr(progress())
    assert check("which_way", "up").passed
    a_number().committed = 90
    assert progress().done == ("which_way",)
    assert progress().guesses == {"03.way": True, "00.many": False}
    assert "2 guesses made, 1 of them right" in repr(progress())
    assert "2 guesses made, 1 of them right" in progress()._repr_html_()
    assert [path.name for path in folder.iterdir()] == ["progress.json"]
    assert progress(reset=True).guesses == {}


def test_a_file_from_before_there_were_guesses_is_read_and_added_to(folder):
    folder.mkdir()
    (folder / "progress.json").write_text('{"version": 1, "passed": {"which_way": "2026-01-01T00:00:00+00:00"}}')
    assert progress().done == ("which_way",)
    a_choice().committed = "left"
    assert progress().done == ("which_way",)
    assert progress().guesses == {"03.way": True}


GOOD = {"guess": 1, "right": False, "when": "t"}


@pytest.mark.parametrize(
    ("guesses", "left"),
    [
        (3, {}),
        ([], {}),
        (None, {}),
        ({"a": 3}, {}),
        ({"a": {"right": True}}, {}),
        ({"a": GOOD | {"right": "no"}}, {}),
        ({"a": GOOD | {"asked": 3}}, {}),
        ({"a": {"guess": 3}, "b": GOOD}, {"b": False}),
    ],
)
def test_broken_guesses_are_told_and_set_aside_alone(folder, guesses, left):
    folder.mkdir()
    old = json.dumps({"version": 1, "passed": {"01.a": "t"}, "guesses": guesses})
    (folder / "progress.json").write_text(old)
    assert "could not be read" in repr(progress())
    assert (progress().done, progress().guesses) == (("01.a",), left)
    bet = a_choice()
    bet.committed = "left"
    assert "could not be read" in bet.answer["note"]
    assert (progress().done, progress().guesses, progress().note) == (("01.a",), left | {"03.way": True}, "")
    assert (folder / "progress.broken.json").read_text() == old


def test_what_a_later_version_wrote_stays(folder):
    folder.mkdir()
    later = {"version": 2, "passed": {"01.a": "t"}, "guesses": {"b": GOOD | {"sure": 0.8}}, "badges": [1]}
    (folder / "progress.json").write_text(json.dumps(later))
    a_choice().committed = "left"
    written = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    assert written["guesses"].pop("03.way")["guess"] == "left"
    assert written == later


@pytest.mark.parametrize("kept", ["up", 3, None, [1], {"x": 1}])
def test_what_was_kept_of_another_question_is_no_guess(kept):
    _progress.record_guess("03.way", "choice: Which way?", kept, True)
    assert a_choice().committed is None


@pytest.mark.parametrize("another", [{"question": "How few?"}, {"choices": ("30", "90"), "truth": "90"}])
def test_another_question_of_the_same_name_is_asked_and_kept(folder, another):
    first = {"question": "How many?", "name": "dup", "truth": 30}
    guess(**first).committed = 51
    second = first | {"truth": 90} | another
    bet = guess(**second)
    assert bet.committed is None
    bet.set_state({"asked": True})
    assert bet.answer is None
    made = "90" if "choices" in another else 90 - 60.0
    bet.committed = made
    bet.committed = "30" if "choices" in another else 88.0  # only the first is kept
    assert guess(**second).committed == made
    assert guess(**first).committed is None
    assert [path.name for path in folder.iterdir()] == ["progress.json"]


def test_an_older_file_does_not_tell_the_question(folder):
    folder.mkdir()
    old = {"guess": 40, "right": False, "when": "2026-01-01T00:00:00+00:00"}
    (folder / "progress.json").write_text(json.dumps({"version": 1, "passed": {}, "guesses": {"00.many": old}}))
    assert a_number().committed == 40
    bet = a_number()
    bet.committed = 50
    assert a_number().committed == 40


def test_what_another_process_writes_meanwhile_stays(monkeypatch):
    """The file is read once more under the lock."""
    read = _progress._read
    writing = iter([True])

    def read_and_let_another_write():
        kept = read()
        if next(writing, False):
            _progress.record("affine_grid", True)
            _progress.record_guess("03.way", "Which?", "right", False)
        return kept

    monkeypatch.setattr(_progress, "_read", read_and_let_another_write)
    assert _progress.record_guess("03.way", "Which?", "left", True) == ""
    assert progress().done == ("affine_grid",)
    assert progress().guesses == {"03.way": False}
    assert _progress.kept_guess("03.way", "Which?") == "right"


def test_a_folder_that_cannot_be_written_spoils_no_guess(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STNCOURSE_PROGRESS_DIR", str(tmp_path / "file" / "folder"))
    bet = a_choice()
    bet.committed = "right"
    assert bet.answer["truth"] == "left"
    assert "could not be saved" in bet.answer["note"]


# What can be given


def test_forms_of_images_thetas_and_rows():
    forms = (DIGIT, DIGIT[0], DIGIT[None], DIGIT.numpy())
    scenes = [guess("Where?", name="w", digit=digit, theta=(1, 0, 0, 0, 1, 0)).scene for digit in forms]
    assert all(scene == scenes[0] for scene in scenes)
    assert (scenes[0]["height"], scenes[0]["width"], scenes[0]["pixels"][300]) == (28, 28, 44)
    theta = affine_theta(rotation=20)
    six = theta.flatten().tolist()
    thetas = (theta, theta[0], six, theta.numpy(), theta.clone().requires_grad_())
    assert all(a_ghost(each).truth == pytest.approx(six) for each in thetas)
    rows = ((0, 2, 4, 8), [0, 2, 4, 8], np.array([0, 2, 4, 8]), torch.tensor([0, 2, 4, 8]))
    assert all(a_curve(ys).truth == (0, 2, 4, 8) for ys in rows)
    assert a_number(np.float32(12)).truth == 12


def test_a_curve_of_many_points_is_drawn_with_few():
    xs = torch.linspace(0, 30, 301)
    bet = guess("How?", name="c", curve=(xs, xs**2), labels=("degrees", "square"))
    assert bet.scene["xs"] == pytest.approx([2.5 * i for i in range(13)])
    assert bet.scene["low"] < 0
    assert bet.scene["high"] > 900
    bet.committed = [x**2 for x in bet.scene["xs"]]
    assert progress().guesses == {"c": True}


@pytest.mark.parametrize("ys", [(0, 0), (3, 3), (-2e6, -2e6), (1e-5, 2e-5), (1e9, 1e9 + 1e-6), (5e-324, 1e-323)])
def test_a_curve_has_room_around_it(ys):
    scene = guess("How?", name="c", curve=([0, 1], ys)).scene
    assert scene["low"] < min(ys)
    assert max(ys) < scene["high"]


CHOICE = {"choices": ("left", "right"), "truth": "left"}
IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
BAD = [
    ({"question": 3}, TypeError, "question: expected a text, got int 3"),
    ({"question": " "}, ValueError, "question: expected a text, got an empty one"),
    ({"name": ""}, ValueError, "name: expected a text, got an empty one"),
    ({"because": None}, TypeError, "because: expected a text, got NoneType None"),
    ({"unit": 3}, TypeError, "unit: expected a text, got int 3"),
    ({}, TypeError, "truth: expected the answer to the question, or a function that returns it, got None"),
    ({"truth": "left"}, ValueError, "truth: expected a number from 0 to 100, got str 'left'"),
    ({"truth": 101}, ValueError, "truth: expected a number from 0 to 100, got int 101"),
    ({"truth": 1, "low": 5, "high": 5}, ValueError, "high: expected a finite number, up to ±1e300 and clearly above"),
    ({"truth": 1, "low": float("nan")}, ValueError, "low: expected a finite number, up to ±1e300, got float nan"),
    ({"choices": "left", "truth": "left"}, TypeError, "choices: expected a tuple of texts, got str 'left'"),
    ({"choices": ("left", 3), "truth": 3}, TypeError, "choices: expected a tuple of texts, got tuple"),
    ({"choices": ("left",), "truth": "left"}, ValueError, "choices: expected two or more, all different"),
    ({"choices": ("left", "left"), "truth": "left"}, ValueError, "choices: expected two or more, all different"),
    ({"choices": ("left", "right"), "truth": "up"}, ValueError, "truth: expected one of 'left', 'right', got str 'up'"),
    ({"choices": ("a", "b"), "digit": DIGIT}, ValueError, "digit: expected only one of choices, digit, curve, got"),
    ({"digit": DIGIT}, TypeError, "theta: expected the answer"),
    ({"digit": DIGIT / 255, "theta": (1, 0, 0, 0, 1, 0)}, TypeError, "digit: expected an image of raw uint8, got a fl"),
    ({"digit": DIGIT.expand(3, 28, 28), "theta": (1, 0, 0, 0, 1, 0)}, ValueError, "digit: expected one grey image"),
    ({"digit": DIGIT, "theta": "identity"}, TypeError, "theta: expected six numbers or a (2, 3) tensor, got str"),
    ({"digit": DIGIT, "theta": (1, 0, 0)}, ValueError, "theta: expected six numbers or a (2, 3) tensor, got tuple"),
    (
        {"digit": DIGIT, "theta": (0, 0, 0, 0, 1, 0)},
        ValueError,
        "theta: expected finite numbers, up to ±1e6, and an inv",
    ),
    ({"digit": DIGIT, "theta": (1, 0, float("inf"), 0, 1, 0)}, ValueError, "theta: expected finite numbers"),
    ({"digit": DIGIT, "theta": (1, 0, 0, 0, 1, 0), "moves": "shift"}, TypeError, "moves: expected a tuple of names"),
    ({"digit": DIGIT, "theta": (1, 0, 0, 0, 1, 0), "moves": ("flip",)}, ValueError, "moves: expected one of 'shift'"),
    ({"curve": 3}, TypeError, "curve: expected a pair (xs, ys), got int 3"),
    ({"curve": ([0, 1], None)}, TypeError, "curve's ys: expected a row of numbers, got NoneType None"),
    ({"curve": ([0, 1], [0, float("nan")])}, ValueError, "curve's ys: expected finite numbers"),
    ({"curve": ([0, 0], [0, 1])}, ValueError, "curve: expected two or more xs, each above the one before"),
    ({"curve": ([0], [0])}, ValueError, "curve: expected two or more xs, each above the one before"),
    ({"curve": ([0, 1], [0, 1, 2])}, ValueError, "curve's ys: expected 2, one for each x, got 3"),
    ({"curve": ([0, 1], lambda: [0, 1])}, ValueError, "low: expected a number, since the curve is not computed before"),
    # Numbers that nobody can draw
    ({"curve": ([0, 1], [-1e308, 1e308])}, ValueError, "curve's ys: expected finite numbers, up to ±1e300, got list"),
    ({"curve": ([0, 1], [0, 10**400])}, ValueError, "curve's ys: expected finite numbers, up to ±1e300, got list"),
    ({"curve": ([0, 5e-324], [0, 1])}, ValueError, "curve: expected two or more xs, each above the one before"),
    ({"truth": 0, "low": 10**400}, ValueError, "low: expected a finite number, up to ±1e300, got int"),
    ({"truth": 0, "high": 5e-324}, ValueError, "high: expected a finite number, up to ±1e300 and clearly above low, 0"),
    ({"truth": 1, "low": 1, "high": 1 + 3e-16}, ValueError, "high: expected a finite number, up to ±1e300 and clearly"),
    (
        {"curve": ([0, 1], [0, 2]), "low": 50},
        ValueError,
        "low: expected a number not above the curve, whose least y is",
    ),
    ({"curve": ([0, 1], [0, 2]), "high": -1}, ValueError, "high: expected a number not below the curve, whose largest"),
    (
        {"curve": ([0, 1], [0, 2]), "low": 0, "high": 1},
        ValueError,
        "high: expected a number not below the curve, whose",
    ),
    ({"curve": ([0, 1], [0, 2]), "low": "a"}, ValueError, "low: expected a number not above the curve"),
    ({"digit": DIGIT, "theta": IDENTITY.to("meta")}, ValueError, "theta: expected numbers in memory, got a float32 te"),
    ({"digit": DIGIT.to("meta"), "theta": IDENTITY}, ValueError, "digit: expected numbers in memory, got a uint8 tens"),
    ({"digit": DIGIT, "theta": IDENTITY * 1j}, TypeError, "theta: expected six numbers or a (2, 3) tensor, got a com"),
    ({"digit": DIGIT, "theta": IDENTITY.numpy() * 1j}, TypeError, "theta: expected six numbers or a (2, 3) tensor, go"),
    ({"digit": DIGIT, "theta": (1000, 999.9, 0, 1000, 999.9002, 0)}, ValueError, "theta: expected finite numbers, up"),
    ({"digit": DIGIT, "theta": (1e7, 0, 0, 0, 1, 0)}, ValueError, "theta: expected finite numbers, up to ±1e6, and an"),
    ({"digit": DIGIT, "theta": (10**400, 0, 0, 0, 1, 0)}, ValueError, "theta: expected finite numbers, up to ±1e6, a"),
    # What belongs to another kind of question
    (CHOICE | {"theta": IDENTITY}, TypeError, "theta: expected none beside choices, got a float32 tensor of shape"),
    (CHOICE | {"low": 0}, TypeError, "low: expected none beside choices, got int 0"),
    (CHOICE | {"unit": "%"}, TypeError, "unit: expected none beside choices, got str '%'"),
    (CHOICE | {"moves": ("turn",)}, TypeError, "moves: expected none beside choices, got tuple ('turn',)"),
    ({"digit": DIGIT, "theta": IDENTITY, "truth": 3}, TypeError, "truth: expected none beside digit, got int 3"),
    ({"curve": ([0, 1], [0, 1]), "truth": 3}, TypeError, "truth: expected none beside curve, got int 3"),
    ({"curve": ([0, 1], [0, 1]), "unit": "%"}, TypeError, "unit: expected none beside curve, got str '%'"),
    ({"theta": IDENTITY}, TypeError, "digit: expected it beside theta, got None"),
    ({"truth": 3, "labels": ("a", "b")}, TypeError, "curve: expected it beside labels, got None"),
    ({"curve": ([0, 1], [0, 1]), "labels": ("x",)}, TypeError, "labels: expected two texts, of x and of y, got tuple"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error) as told:
        guess(**({"question": "What?", "name": "x"} | arguments))
    assert str(told.value).startswith(message)


@pytest.mark.parametrize(
    ("ask", "made"),
    [
        (a_choice, "up"),
        (a_number, "many"),
        (a_number, 101),
        (a_ghost, {"x": 0}),
        (a_ghost, ghost_at(x=2)),
        (a_ghost, ghost_at(zoom=0)),
        (a_curve, [1, 2]),
        (a_curve, [0, 1, 2, 1e9]),
    ],
)
def test_what_is_no_guess_cannot_be_committed(ask, made, folder):
    bet = ask()
    with pytest.raises(traitlets.TraitError, match="committed"):
        bet.committed = made
    assert (bet.committed, bet.answer) == (None, None)
    assert not folder.exists()


# Where it runs


def test_a_default_device_changes_nothing():
    run_python(
        "-c",
        f"""if True:
        import torch
        torch.set_default_device("meta")
        from stncourse import guess
        digit = torch.zeros(4, 4, dtype=torch.uint8, device="cpu")
        bet = guess("Where?", name="w", digit=digit, theta=(1, 0, 0.4, 0, 1, 0))
        bet.committed = {ghost_at(x=-0.4)}
        assert bet.answer["truth"] == [1, 0, 0.4, 0, 1, 0], bet.answer
        bet = guess("How?", name="c", curve=((0, 1), (0, 1)))
        bet.committed = [0, 1]
        assert bet.answer["truth"] == [[0, 1], [0, 1]], bet.answer
        """,
    )


def test_it_works_with_ipywidgets(run_with_ipywidgets):
    run_with_ipywidgets(SCRIPT)


def test_progress_and_check_load_no_widgets():
    code = "from stncourse import check, progress; import sys; print({'ipywidgets', 'anywidget'} & set(sys.modules))"
    assert run_python("-c", code).strip() == "set()"
