"""The θ playground's widgets: all controls in step, nothing typed breaks it, and what it shows is what torch makes."""

import html
import io
import math
import re
import time

import ipywidgets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load as load_safetensors

from stncourse import (
    BACKGROUND,
    Digits,
    SpatialTransformer,
    STNClassifier,
    affine_theta,
    from_dataset,
    load_digits,
    load_pretrained,
    normalize,
    theta_playground,
)
from stncourse.playground.browser_picture import BrowserPicture
from stncourse.playground.controls import CONTROLS
from stncourse.playground.game import Score
from stncourse.playground.opponent import theta_of
from stncourse.playground.parameters import IDENTITY, LIMITS, PRESETS, compose, decompose, invert
from stncourse.playground.picture import output_from_picture
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS, render, scene

ENTRIES = ("θ11", "θ12", "tx", "θ21", "θ22", "ty")


@pytest.fixture(params=["browser", "cpu"])
def playground(request):
    return theta_playground(device=request.param)


@pytest.fixture
def game():
    """The kernel draws it, and shows the bars."""
    return theta_playground(model="pretrained", index=5, device="cpu")


def tree(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def updates(playground):
    """A list that grows by one with each new picture."""
    seen = []
    playground.picture.observe(seen.append, names="value")
    playground.drawn.observe(seen.append, names="scene")
    return seen


def assert_in_step(playground):
    """Boxes, readout and picture say what the settings say."""
    theta = playground.settings.theta
    assert [float(box.value) for box in playground.boxes] == pytest.approx(theta, rel=1e-5, abs=1e-6)
    assert playground.shown.children[0] is (playground.drawn if playground.device == "browser" else playground.picture)
    if playground.device == "browser":  # what its script makes of this: tests/browser
        assert playground.drawn.images == playground.digit.chosen().numpy().tobytes()
        sliders = [slider.value for slider in playground.sliders.values()]
        told = {"theta": theta, "sliders": sliders, "parameters": list(playground.pose.parameters.values())}
        told |= {
            "label": int(playground.digits.labels[playground.number.value]),
            "heard": 0,
            "sketch": 0,
            "digit": playground.number.value,
        }
        assert playground.drawn.scene == scene(playground.digit.chosen(), playground.settings) | told
        assert playground.frame.png is None
        return
    cells = re.findall(r"<td[^>]*>(-?[\d.]+)</td>", playground.readout.value.split("<p>")[0])
    assert list(map(float, cells)) == pytest.approx(theta, abs=0.0051)
    assert "-0.00<" not in playground.readout.value
    assert playground.frame.words in playground.readout.value
    image = Image.open(io.BytesIO(playground.picture.value))
    for row, pixels in enumerate(playground.frame.pixels):
        assert torch.equal(output_from_picture(image, pixels.shape[-2:], row), pixels[0])


def sliders_make(playground):
    return compose({name: slider.value for name, slider in playground.sliders.items()})


# θ by sliders, boxes and presets


@pytest.mark.parametrize(("name", "value"), list(zip(LIMITS, (40, -1.5, 0.5, 0.3, 0.4, -0.7), strict=True)))
def test_a_slider_sets_theta_boxes_and_one_picture(playground, name, value):
    seen = updates(playground)
    playground.sliders[name].value = value
    assert len(seen) == 1
    neutral = dict(zip(LIMITS, (0, 1, 1, 0, 0, 0), strict=True))
    assert playground.settings.theta == compose(neutral | {name: value})
    assert_in_step(playground)


@pytest.mark.parametrize("entry", range(6), ids=ENTRIES)
def test_a_typed_entry_sets_theta_sliders_and_one_picture(playground, entry):
    seen = updates(playground)
    playground.boxes[entry].value = "0.3"
    assert len(seen) == 1
    assert playground.settings.theta == tuple(0.3 if i == entry else v for i, v in enumerate(IDENTITY))
    for name, value in decompose(playground.settings.theta).items():
        slider = playground.sliders[name]
        assert abs(slider.value - value) <= slider.step / 2 + 1e-9
        steps = (slider.value - slider.min) / slider.step
        assert steps == pytest.approx(round(steps)), "between two steps a browser would report a move of its own"
    assert playground.message.value == ""
    assert_in_step(playground)


def test_the_rounding_of_a_browser_is_no_move(playground):
    theta = (0.61234, 0, 0, 0, 0.61234, 0)
    playground.pose.put(theta)
    playground.sliders["scale_x"].value += 3e-16
    playground.sliders["scale_y"].value -= 1e-12
    assert playground.settings.theta == theta


def test_what_a_browser_reports_late_is_no_move(playground, monkeypatch):
    """It rounds each place that a slider is put to, and reports it: after a busy moment, when it is somewhere else."""
    slider = playground.sliders["scale_x"]
    for scale in (0.8, 0.7, 0.6):
        playground.pose.put((scale, 0, 0, 0, 1, 0))
    for late in (0.8000000000000003, 0.7000000000000002, 0.6000000000000001):
        slider.set_state({"value": late})
        assert playground.settings.theta == pytest.approx((0.6, 0, 0, 0, 1, 0), abs=1e-12)
        assert slider.value == pytest.approx(0.6, abs=1e-12)
    slider.value = 0.7  # a program's: no browser's
    assert playground.settings.theta == pytest.approx((0.7, 0, 0, 0, 1, 0))
    slider.set_state({"value": 0.55})  # a hand's
    assert playground.settings.theta == pytest.approx((0.55, 0, 0, 0, 1, 0))
    now = time.monotonic() + 2
    monkeypatch.setattr(time, "monotonic", lambda: now)
    slider.set_state({"value": 0.8000000000000003})  # a hand's, on a place where it was put some time ago
    assert playground.settings.theta == pytest.approx((0.8, 0, 0, 0, 1, 0))


def test_moving_one_slider_keeps_what_the_others_stand_for_exactly(playground):
    playground.pose.put((0.61234, 0, 0, 0, 0.61234, 0))
    playground.sliders["shift_x"].value = 0.25
    assert playground.settings.theta == pytest.approx((0.61234, 0, 0.25, 0, 0.61234, 0), abs=1e-6)


@pytest.mark.parametrize(
    "theta", [(5, 0, 0, 0, 1, 0), (1, 0, -7.25, 0, 1, 0), (1, 9, 0, 0, 1, 0), (0, 1, 0, 0, 1, 0), (0,) * 6]
)
def test_a_theta_that_sliders_cannot_reach_is_kept_exactly_and_said(theta):
    playground = theta_playground(theta=theta)
    assert playground.settings.theta == theta
    assert "it is kept as it is" in playground.message.value
    assert_in_step(playground)
    playground.sliders["shift_y"].value = 0.5
    assert playground.settings.theta == sliders_make(playground)
    assert playground.message.value == ""


def test_editing_one_box_keeps_all_decimals_of_the_others():
    theta = (1.0123456789, 0.1 / 3, -0.2 / 3, 1e-9, 1.23456789, 2 / 3)
    playground = theta_playground(theta=theta)
    playground.boxes[2].value = "0.25"
    assert playground.settings.theta == (*theta[:2], 0.25, *theta[3:])


@pytest.mark.parametrize(
    ("typed", "value"),
    [("0,4", 0.4), ("−0.4", -0.4), ("−0,4", -0.4), (" 2 ", 2.0), ("1e-1", 0.1), ("+.5", 0.5), ("-1e6", -1e6)],
)
def test_ways_to_write_a_number(playground, typed, value):
    playground.boxes[2].value = typed
    assert playground.settings.theta == (1, 0, value, 0, 1, 0)
    assert_in_step(playground)


@pytest.mark.parametrize(
    "typed", ["<b>two", "", "  ", "nan", "inf", "-inf", "1e40", "1e400", "1000001", "1;2", "0,4,1"]
)
def test_what_is_no_number_is_said_and_changes_nothing(playground, typed):
    seen = updates(playground)
    playground.boxes[3].value = typed
    assert (playground.settings.theta, seen) == (IDENTITY, [])
    assert "θ21: expected a number" in playground.message.value
    assert "<b>two" not in playground.message.value
    playground.boxes[3].value = "0.2"
    assert (playground.settings.theta[3], playground.message.value) == (0.2, "")
    assert_in_step(playground)


def test_a_singular_theta_can_be_typed(playground):
    for entry in (0, 4):
        playground.boxes[entry].value = "0"
    assert playground.settings.theta == (0,) * 6
    assert "singular" in playground.frame.words
    assert_in_step(playground)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_theta_and_can_be_chosen_again(playground, name):
    playground.sliders["shift_y"].value = 0.9
    playground.preset.value = name
    assert playground.settings.theta == PRESETS[name]
    assert sliders_make(playground) == pytest.approx(PRESETS[name], abs=1e-6)
    assert_in_step(playground)
    playground.boxes[5].value = "0.9"
    assert playground.preset.value not in PRESETS
    playground.preset.value = name
    assert playground.settings.theta == PRESETS[name]


def test_reset_makes_the_identity(playground):
    playground.sliders["rotation"].value = 77
    playground.reset.click()
    assert playground.settings.theta == IDENTITY
    assert [slider.value for slider in playground.sliders.values()] == [0, 1, 1, 0, 0, 0]
    assert_in_step(playground)


# Digits and sampling


def test_the_digit_by_number_and_several_at_once():
    playground = theta_playground(index=998, count=3)
    images = load_digits("test", source="offline").images
    for number, count, shown in [(998, 3, [998, 999, 0]), (4, 3, [4, 5, 6]), (4, 1, [4]), (4, 4, [4, 5, 6, 7])]:
        playground.number.value, playground.count.value = number, count
        assert torch.equal(playground.frame.pixels, images[shown])
        assert_in_step(playground)


def test_another_digit_is_another_one_and_of_the_class_asked_for(playground):
    labels = playground.digits.labels
    for wanted in (3, 7):
        playground.of_class.value = wanted
        for _ in range(5):
            assert labels[playground.number.value] == wanted
            assert torch.equal(playground.frame.pixels[0], playground.digits.images[playground.number.value])
            before = playground.number.value
            playground.another.click()
            assert playground.number.value != before


@pytest.mark.parametrize(("how_many", "shown"), [(1, [0, 0, 0, 0]), (2, [1, 0, 1, 0])])
def test_another_digit_where_there_are_few(how_many, shown):
    playground = theta_playground(load_digits("test", source="offline").subset(torch.arange(how_many)))
    for number in shown:
        playground.another.click()
        assert playground.number.value == number


def test_every_sampling_control_is_in_the_picture(playground):
    playground.boxes[2].value = "0.6"
    theta = torch.tensor(playground.settings.theta).reshape(1, 2, 3)
    controls = (playground.grid_align, playground.sampler_align)
    for padding, mode, grid, sampler, side in zip(
        PADDINGS, (*MODES, "bilinear"), (0, 1, 1, 0), (1, 0, 1, 0), (28, 7, 40, 28), strict=True
    ):
        playground.padding.value, playground.mode.value, playground.output_size.value = padding, mode, side
        for control, value in zip(controls, (grid, sampler), strict=True):
            control.value = bool(value)
        outside = BACKGROUND if padding == "background" else 0
        padding = padding if padding in ("border", "reflection") else "zeros"
        points = F.affine_grid(theta, (1, 1, side, side), bool(grid))
        image = normalize(playground.digits.images[:1]) - outside
        expected = F.grid_sample(image, points, mode, padding, bool(sampler)) + outside
        torch.testing.assert_close(playground.frame.output, expected, atol=1e-4, rtol=0)
        assert_in_step(playground)


def test_non_square_and_large_digits_keep_their_size_until_another_is_asked_for():
    for size in [(20, 28), (150, 150)]:
        playground = theta_playground(Digits(torch.zeros(2, 1, *size, dtype=torch.uint8), torch.arange(2), "offline"))
        playground.padding.value = "border"
        assert playground.frame.output.shape[-2:] == size
        playground.output_size.value = 30
        assert playground.frame.output.shape[-2:] == (30, 30)


def test_the_other_direction_and_a_singular_theta_there(playground):
    playground.boxes[2].value = "0.4"
    playground.direction.value = DIRECTIONS[1]
    assert playground.frame.words == "The digit comes out moved right by 0.40."
    seen, picture = updates(playground), playground.picture.value
    playground.boxes[0].value = "0"
    assert playground.picture.value == picture
    told = len(seen)  # the browser is told, and says that there is no inverse; the kernel draws nothing
    assert told == (playground.device == "browser")
    assert "inverted" in playground.message.value
    assert "The picture is still that of" in playground.message.value
    playground.boxes[0].value = "0.5"
    assert (len(seen), playground.message.value) == (told + 1, "")
    playground.sliders["scale_y"].value = 0
    assert "inverted" in playground.message.value
    playground.direction.value = DIRECTIONS[0]
    assert (len(seen), playground.message.value) == (2 * told + 2, "")
    assert_in_step(playground)


def test_what_warps_the_picture_can_be_changed(playground):
    for device in ("cpu", "browser", "cpu"):
        playground.on_device.value = device
        playground.sliders["rotation"].value += 10
        assert playground.device == device
        assert_in_step(playground)


@pytest.mark.gpu
def test_grid_sample_on_a_gpu_makes_the_same_picture():
    pixels = {}
    for device in ("cpu", "cuda"):
        playground = theta_playground(theta=(0.8, 0.3, 0.1, -0.3, 0.8, 0), device=device)
        assert_in_step(playground)
        pixels[device] = playground.frame.pixels.int()
    assert (pixels["cpu"] - pixels["cuda"]).abs().max() <= 1


# The model


def shown_probabilities(playground):
    cells = re.findall(r"(\d+\.\d) %</td>", playground.readout.value)
    return [float(cell) / 100 for cell in cells]


def names_beside_bars(playground):
    bars = re.findall(r"<tr><td[^>]*>(.*?)</td>", playground.readout.value.split("how sure")[1])
    return [bar.removeprefix("<b>") for bar in bars]


def test_the_readout_shows_the_classifiers_probabilities(game):
    model = load_pretrained()
    game.count.value = 2  # the readout is about the first one
    for name, value in [("rotation", 25), ("scale_x", 0.7), ("shift_x", -0.2)]:
        game.sliders[name].value = value
        points = F.affine_grid(torch.tensor(game.settings.theta).reshape(1, 2, 3), (1, 1, 28, 28), align_corners=False)
        image = normalize(game.digits.images[5:6]) - BACKGROUND
        output = F.grid_sample(image, points, align_corners=False) + BACKGROUND
        with torch.no_grad():
            expected = model.classifier(output)[0].exp()
        assert shown_probabilities(game) == pytest.approx(expected.tolist(), abs=0.00051)
        assert f"<b>{int(expected.argmax())}</td>" in game.readout.value


def test_let_the_stn_do_it_and_keep_the_score(game):
    images, labels = game.digits.images, game.digits.labels
    for turn in range(1, 4):
        game.number.value = turn
        game.boxes[2].value = "1.5"  # a bad guess
        yours = shown_probabilities(game)[labels[turn]]
        game.let_stn.click()
        with torch.no_grad():
            theta = load_pretrained().stn.transform(normalize(images[turn : turn + 1])).theta[0]
        assert game.settings.theta == tuple(theta.flatten().tolist())
        assert_in_step(game)
        its = shown_probabilities(game)[labels[turn]]
        assert its > yours
        assert f"Your θ: {yours:.1%} sure of it; the STN&#x27;s: {its:.1%}" in game.message.value
        assert game.score == {"you": 0, "STN": turn}
    assert "Score: you 0, STN 3" in game.message.value


def spoil(model):
    """Its STN looks beside every image."""
    with torch.no_grad():
        model.stn.localization.fc_loc[-1].bias.copy_(torch.tensor([1.0, 0, 3, 0, 1, 3]))
        model.stn.localization.fc_loc[-1].weight.zero_()


def test_you_can_win(game):
    image = normalize(game.digits.images[5:6])
    with torch.no_grad():
        good = game.model.stn.transform(image).theta[0].flatten().tolist()
    spoil(game.model)
    for box, value in zip(game.boxes, good, strict=True):
        box.value = f"{value}"
    game.let_stn.click()
    assert game.settings.theta == (1, 0, 3, 0, 1, 3)
    assert game.score == {"you": 1, "STN": 0}


def test_a_tie_is_half_a_point_each(game):
    spoil(game.model)
    for box, value in zip(game.boxes, (1, 0, -3, 0, 1, 3), strict=True):  # it is as black there
        box.value = f"{value}"
    game.let_stn.click()
    assert game.score == {"you": 0.5, "STN": 0.5}
    assert "Score: you 0.5, STN 0.5." in game.message.value


def test_the_stn_never_plays_against_itself(game):
    """Another digit forgets θ and verdict of the last one; where the frame is the STN's own, nobody has won."""
    spoil(game.model)
    game.let_stn.click()
    assert sum(game.score.values()) == 1
    game.number.value = 6
    assert game.settings.theta == IDENTITY
    assert game.message.value == ""
    for box, value in zip(game.boxes, (1, 0, 3, 0, 1, 3), strict=True):
        box.value = f"{value}"
    game.let_stn.click()
    assert "That is where the STN looks already" in game.message.value
    assert sum(game.score.values()) == 1
    game.count.value = 2  # not another digit
    assert game.settings.theta == (1, 0, 3, 0, 1, 3)


def test_only_the_first_attempt_at_a_digit_counts(game):
    """The STN's own frame is on show after it: to press the button again would be half a point for nothing."""
    game.boxes[2].value = "1.5"
    game.let_stn.click()
    attempts, score = game.attempts, game.score
    assert score == {"you": 0, "STN": 1}
    game.let_stn.click()
    assert "That is where the STN looks already" in game.message.value
    game.boxes[2].value = "1.2"
    game.let_stn.click()
    assert "Only the first attempt at a digit counts" in game.message.value
    assert (game.attempts, game.score) == (attempts, score)
    true = int(game.digits.labels[5])
    assert attempts == {5: (pytest.approx(attempts[5][0]), pytest.approx(shown_probabilities(game)[true], abs=0.0006))}


def test_what_reads_the_same_is_a_tie():
    score = Score()
    assert score.add(0, 0.99949, 0.99951)  # 99.9 % and 100.0 %
    assert score.points == {"you": 0, "STN": 1}
    assert score.add(1, 0.9986, 0.9994)
    assert score.points == {"you": 0.5, "STN": 1.5}
    assert not score.add(1, 1.0, 0.0)
    assert score.points == {"you": 0.5, "STN": 1.5}


def test_the_stn_chooses_in_its_own_direction(game):
    game.direction.value = DIRECTIONS[1]
    game.let_stn.click()
    assert game.direction.value == game.settings.direction == DIRECTIONS[0]


def test_an_output_size_that_the_classifier_does_not_take_is_said(game):
    game.output_size.value = 40
    assert "The classifier wants an output of 28×28 pixels." in game.readout.value
    game.let_stn.click()
    assert game.score == {"you": 0, "STN": 0}
    game.output_size.value = 28
    assert len(shown_probabilities(game)) == 10


def test_your_own_model_is_left_as_it_was():
    model = STNClassifier().train()
    playground = theta_playground(model=model)
    assert playground.digits.images.shape[-2:] == (28, 28)
    playground.let_stn.click()
    assert playground.settings.theta == IDENTITY  # untrained
    assert model.training


# The hand in the browser, which tells Python what it did


def played(**more):
    return theta_playground(model="pretrained", index=5, **more)


def tell(playground, **hand):
    """As the page tells it."""
    playground.drawn.hand = {"number": playground.drawn.hand.get("number", 0) + 1, "sketch": 0, "by": "hand"} | hand


def test_what_the_hand_did_is_in_sliders_boxes_and_frame():
    playground = played()
    theta = [0.8, -0.3, 0.1, 0.25, 0.7, -0.2]
    tell(playground, theta=theta)
    assert playground.settings.theta == tuple(theta)
    assert [float(box.value) for box in playground.boxes] == pytest.approx(theta)
    expected = decompose(theta)
    for name, slider in playground.sliders.items():
        assert slider.value == pytest.approx(expected[name], abs=slider.step / 2 + 1e-9)
    same = render(playground.image, playground.settings, like=playground.digits)
    assert torch.equal(playground.frame.pixels, same.pixels)
    assert playground.drawn.scene["heard"] == 1


def test_the_score_of_who_looks_in_the_browser():
    playground, labels = played(), played().digits.labels
    its = theta_of(playground.model, playground.digits, playground.image)
    tell(playground, theta=its, by="STN", look=True, before=[1, 0, 1.5, 0, 1, 0])
    assert playground.score == {"you": 0, "STN": 1}
    assert f"The digit is a {labels[5]}" in playground.message.value
    tell(playground, theta=its, by="STN", look=True, before=its)
    assert "That is where the STN looks already" in playground.message.value
    for helper in ("STN", "pull"):
        playground.number.value += 1
        assert playground.settings.theta == IDENTITY
        its = theta_of(playground.model, playground.digits, playground.image)
        tell(playground, theta=its, by=helper)  # it follows, or is pulled
        tell(playground, theta=its, by="STN", look=True, before=[1, 0, 1.5, 0, 1, 0])
        assert "without the network's help" in html.unescape(playground.message.value)
    assert playground.score == {"you": 0, "STN": 1}


def test_the_browser_gets_the_network_only_where_it_can_run_it():
    assert theta_playground().drawn.weights == b""
    assert load_safetensors(played().drawn.weights).keys() == load_pretrained().state_dict().keys()
    assert theta_playground(model=STNClassifier(28), controls=("sliders",)).drawn.weights == b""
    other = STNClassifier(28)
    other.stn.localization.localization.add_module("6", torch.nn.Identity())
    assert theta_playground(model=other).drawn.weights == b""


def test_what_the_hand_did_with_the_digit_before_is_not_this_ones():
    playground = played()
    playground.number.value = 6
    tell(playground, theta=[0.5, 0, 0, 0, 0.5, 0], by="STN", look=True, before=list(IDENTITY), digit=5)
    assert playground.attempts == {}
    assert playground.settings.theta == IDENTITY


def test_your_theta_is_judged_in_its_own_direction(game):
    theta = theta_of(game.model, game.digits, game.image)
    game.direction.value = DIRECTIONS[1]
    game.pose.put(invert(torch.tensor(theta).reshape(1, 2, 3)))
    game.let_stn.click()
    assert "That is where the STN looks already" in game.message.value
    game.reset.click()
    game.direction.value = DIRECTIONS[1]
    game.boxes[0].value = "0"
    game.let_stn.click()
    assert "Your θ has no inverse" in game.message.value
    assert game.attempts == {}


def test_an_answer_that_is_no_number_wins_nothing(game):
    with torch.no_grad():
        game.model.classifier.fc2.bias.fill_(math.nan)
    game.let_stn.click()
    assert "no number: nobody wins" in game.message.value
    assert game.score == {"you": 0, "STN": 0}


def test_a_pull_that_is_refused_is_no_help(game):
    game.mode.value = "nearest"
    game.pull.one.click()
    assert "Please set: sampling bilinear" in game.message.value
    game.mode.value = "bilinear"
    game.boxes[2].value = "1.5"
    game.let_stn.click()
    assert game.score == {"you": 0, "STN": 1}


def test_a_set_that_is_not_square_gets_its_own_size_back():
    images = own_set(size=(20, 30))
    playground = theta_playground(images)
    playground.output_size.value = 12
    assert playground.frame.output.shape[-2:] == (12, 12)
    playground.output_size.value = 30
    assert playground.frame.output.shape[-2:] == (20, 30)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"tool": "draw", "device": "cpu"}, "tool"),
        ({"follow": True, "model": "pretrained", "device": "cpu"}, "follow"),
        ({"tool": "pen"}, "tool"),
        ({"tool": "pull"}, "tool"),
        ({"tool": "draw", "controls": ("sliders",)}, "tool"),
        ({"follow": True}, "follow"),
        ({"follow": 1, "model": "pretrained"}, "follow"),
    ],
)
def test_tools_that_are_not_to_be_had_are_named(options, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: expected "):
        theta_playground(**options)


# A set and a model of your own


def own_set(classes=("cat", "dog"), size=(28, 28)):
    """Grey pictures whose numbers are far from MNIST's."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(90, 150, (6, 1, *size), generator=generator).byte()
    return from_dataset([(image, number % len(classes)) for number, image in enumerate(images)], classes=classes)


def own_model(images, padding=None, output_size=None, **sampler):
    torch.manual_seed(3)
    size = tuple(images.images.shape[-2:])
    padding = images.background() if padding is None else padding
    model = STNClassifier(size, 1, len(images.classes), output_size, padding_value=padding).eval()
    for name, value in sampler.items():
        setattr(model.stn.sampler, name, value)
    with torch.no_grad():
        model.stn.localization.fc_loc[-1].bias.copy_(affine_theta(rotation=30, scale=1.4).flatten())
    return model


MODELS = {
    "black": {},
    "another background": {"padding": 3.5},
    "zeros": {"padding": 0.0},
    "border": {"padding_mode": "border"},
    "reflection": {"padding_mode": "reflection"},
    "bicubic": {"mode": "bicubic"},
    "smaller": {"output_size": (20, 20)},
    "not square": {"output_size": (18, 24)},
}


@pytest.mark.parametrize("device", ["browser", "cpu"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_playground_says_what_the_model_says(kind, device):
    images = own_set()
    model = own_model(images, **MODELS[kind])
    game = theta_playground(images, model, index=2, device=device)
    game.let_stn.click()
    with torch.no_grad():
        inputs = images.normalize(images.images[2:3])
        theta, expected = model.stn.transform(inputs).theta, model(inputs)[0].exp()
    assert game.settings.theta == pytest.approx(theta.flatten().tolist(), abs=1e-6)
    assert game.probabilities() == pytest.approx(expected.tolist(), abs=1e-5)
    if game.drawn.start["scale"] is None or device == "cpu":  # else the browser says it: tests/browser
        assert shown_probabilities(game) == pytest.approx(expected.tolist(), abs=0.00051)
    if device == "browser":  # what its script pads with
        assert (game.drawn.start["scale"] is None) == (kind not in ("black", "smaller"))
        told = scene(images, game.settings, like=images, background=game.background)
        assert {name: game.drawn.scene[name] for name in told} == told | {"height": 28, "width": 28}
        if kind == "another background":
            outside = 255 * float(images.denormalize(torch.full((1, 1, 1), 3.5)))
            assert game.drawn.scene["padding_value"] == pytest.approx(outside)


@pytest.mark.parametrize("classes", [("cat", "dog"), ("<b>$x_1</b>", "_dog"), ("any", "one")])
def test_classes_are_called_by_their_names(classes):
    game = theta_playground(own_set(classes), own_model(own_set(classes)), device="cpu")
    assert theta_playground(own_set(classes), own_model(own_set(classes))).drawn.start["names"] == list(classes)
    assert game.of_class.options == (("any", "any"), (classes[0], 0), (classes[1], 1))
    for label in (0, 1):
        game.of_class.value = label
        assert game.digits.labels[game.number.value] == label
    assert names_beside_bars(game) == [html.escape(name) for name in classes]
    game.let_stn.click()
    assert f"It is “{html.escape(classes[1])}”" in game.message.value


def test_a_model_with_more_classes_than_the_set_has_names():
    images = own_set()
    game = theta_playground(images, own_model(own_set(("a", "b", "c"))), device="cpu")
    assert names_beside_bars(game) == ["cat", "dog", "2"]


@pytest.mark.parametrize("change", [torch.compile, lambda model: model.double(), lambda model: model.train()])
def test_models_of_any_kind_are_taken_and_left_as_they_were(change):
    images = own_set()
    expected = theta_playground(images, own_model(images)).probabilities()
    model = change(own_model(images))
    modes, dtype = [module.training for module in model.modules()], next(model.parameters()).dtype
    game = theta_playground(images, model)
    game.let_stn.click()
    assert theta_playground(images, model).probabilities() == pytest.approx(expected, abs=1e-5)
    assert [module.training for module in model.modules()] == modes
    assert next(model.parameters()).dtype == dtype


def with_transformer(**options):
    model = STNClassifier()
    model.stn = SpatialTransformer.for_images(28, **options)
    return model


@pytest.mark.parametrize(
    ("digits", "model", "name"),
    [
        (None, with_transformer(family="projective"), "model"),
        (None, with_transformer(family="tps"), "model"),
        (None, with_transformer(antialias=True), "model"),
        (None, STNClassifier().to("meta"), "model"),
        (None, torch.nn.Sequential(STNClassifier()), "model"),
        (own_set(), STNClassifier(28, 3, 2), "model"),
        (None, STNClassifier(28, 1, 2), "digits"),
        (own_set(size=(20, 28)), STNClassifier(28, 1, 2), "digits"),
    ],
)
def test_sets_and_models_that_do_not_go_together_are_named(digits, model, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        theta_playground(digits, model)


def test_colours_are_refused_by_name():
    images = from_dataset([(torch.rand(3, 28, 28), 0)])
    with pytest.raises(ValueError, match=r"^digits: expected grey images, of one channel, got images of 3 channels"):
        theta_playground(images)


def test_an_stn_that_chooses_nan_is_said():
    images = own_set()
    game = theta_playground(images, own_model(images))
    with torch.no_grad():
        game.model.stn.localization.fc_loc[-1].bias.fill_(torch.nan)
    game.let_stn.click()
    assert "What the STN chose cannot be shown" in game.message.value
    assert game.settings.theta == IDENTITY


def test_numbers_and_a_theta_of_any_kind_are_taken():
    theta = affine_theta(rotation=20)
    for kind in (theta, theta[0].numpy(), theta.flatten().tolist()):
        playground = theta_playground(theta=kind, index=np.int64(3), count=torch.tensor(2))
        assert playground.settings.theta == tuple(theta.flatten().tolist())
        assert (playground.number.value, playground.count.value) == (3, 2)


def test_the_widgets_do_not_depend_on_torchs_defaults(other_defaults):
    with torch.device("cpu"):
        images = own_set()
        model = own_model(images)
    for device in ("browser", "cpu"):
        game = theta_playground(images, model, device=device)
        game.sliders["rotation"].value = 25
        game.boxes[2].value = "0.25"
        game.another.click()
        game.let_stn.click()
        assert "Score" in game.message.value


# What is there to see


def test_only_the_controls_asked_for_are_shown():
    groups = {
        "sliders": {"rotation (°)", "scale x", "scale y", "shear", "shift x (tx)", "shift y (ty)"},
        "theta": set(ENTRIES),
        "presets": {"preset", "reset θ"},
        "digit": {"digit no.", "class", "another digit", "at once"},
        "sampling": {"θ maps", "outside", "sampling", "output px", "warped by"}
        | {f"align_corners of the {part}" for part in ("grid", "sampler")},
        "model": {"let the STN look"},
        "pull": {"become", "one step", "let go"},
    } | {key: set() for key in ("draw", "pixel")}  # in the picture
    assert tuple(sorted(groups)) == tuple(sorted(CONTROLS))
    for asked in [(), ("sliders",), ("theta", "presets"), ("digit", "sampling"), ("model",), CONTROLS]:
        for model in (None, "pretrained"):
            playground = theta_playground(model=model, controls=asked)
            shown = {w.description for w in tree(playground) if getattr(w, "description", "")}
            wanted = set().union(*(groups[name] for name in asked if name not in ("model", "pull") or model))
            assert shown == wanted
            assert {playground.drawn, playground.readout, playground.message} <= set(tree(playground))


def test_every_control_has_a_description_and_there_is_no_output_widget(game):
    plain = (ipywidgets.Box, BrowserPicture, ipywidgets.HTML, ipywidgets.Image)
    assert not [w for w in tree(game) if isinstance(w, ipywidgets.Output)]
    assert not [w for w in tree(game) if not isinstance(w, plain) and not w.description]


DIGITS = load_digits("test", source="offline")
WRONG = {
    "digits": ["test", DIGITS.images, DIGITS.subset(torch.arange(0)),
               Digits(torch.zeros(1, 3, 28, 28, dtype=torch.uint8), torch.zeros(1).long(), "offline")],
    "model": ["trained", torch.nn.Linear(1, 1), 3],
    "controls": [("slider",), "sliders", None, [7]],
    "theta": [(1, 0), None, "identity", (float("nan"),) * 6, (1e40, 0, 0, 0, 1, 0)],
    "index": [-1, 1000, 1.0, None],
    "count": [0, 5, "2"],
    "device": ["gpu", "cuda:77", None, 3],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_argument_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
        theta_playground(**{name: value})


def test_digits_that_do_not_fit_the_model_are_named():
    with pytest.raises(ValueError, match=r"^digits: expected images of the size that the model takes"):
        theta_playground(DIGITS, model="pretrained")


# Colab's ipywidgets, and ours

SCRIPT = """
import io, sys
import torch
from PIL import Image
from stncourse import theta_playground
from stncourse.playground.parameters import compose
from stncourse.playground.picture import output_from_picture

device = sys.argv[1]

def check(theta):
    assert max(abs(a - b) for a, b in zip(game.settings.theta, theta)) < 1e-6, game.settings.theta
    if device == "cpu":
        pixels = output_from_picture(Image.open(io.BytesIO(game.picture.value)), (28, 28))
        assert torch.equal(pixels, game.frame.pixels[0, 0])
        pictures.add(game.picture.value)
    else:
        assert game.drawn.scene["theta"] == game.settings.theta
        assert game.drawn.images == game.digits.images[game.number.value].numpy().tobytes()
        pictures.add(str(game.drawn.scene) + str(game.drawn.images))

game, pictures = theta_playground(model="pretrained", index=500, device=device), set()
assert game.number.value == 500
check((1, 0, 0, 0, 1, 0))
game.sliders["rotation"].value = 30
check(compose(dict(rotation=30, scale_x=1, scale_y=1, shear=0, shift_x=0, shift_y=0)))
game.reset.click()
game.boxes[2].value = "0,4"
check((1, 0, 0.4, 0, 1, 0))
assert abs(game.sliders["shift_x"].value - 0.4) < 1e-6
game.boxes[2].value = "four"
assert "expected a number" in game.message.value
game.preset.value = "mirror"
check((-1, 0, 0, 0, 1, 0))
game.let_stn.click()
assert "Score" in game.message.value
check(game.settings.theta)
game.another.click()
game.of_class.value = 3
assert game.digits.labels[game.number.value] == 3
check(game.settings.theta)
assert len(pictures) == 6
assert game.boxes[0].layout.width == "108px" and game.boxes[0].style.description_width == "28px"
assert "matplotlib" not in sys.modules
"""


@pytest.mark.parametrize("device", ["browser", "cpu"])
def test_the_playground_works_with_ipywidgets(run_with_ipywidgets, device):
    run_with_ipywidgets(SCRIPT, device)


IN_COLAB = """
import sys, types
from importlib.metadata import version

enabled = []
output = types.ModuleType("google.colab.output")
output.enable_custom_widget_manager = lambda: enabled.append(True)
output._widgets = types.SimpleNamespace(_installed_url="https://widgets.invalid/manager.js")
sys.modules |= {"google": types.ModuleType("google"), "google.colab": types.ModuleType("google.colab")}
sys.modules["google.colab.output"] = output

import ipywidgets
from IPython.core.interactiveshell import InteractiveShell
from stncourse import control_points_playground, theta_playground

shell, view = InteractiveShell.instance(), "application/vnd.jupyter.widget-view+json"
shown = []
shell.display_pub.publish = lambda data, metadata=None, **more: shown.append((data, metadata))
for widget in (theta_playground(), theta_playground(model="pretrained", device="cpu"), control_points_playground()):
    shown.clear()
    data, metadata = shell.display_formatter.format(widget)  # as the last value of a cell
    assert enabled, "the manager of custom widgets is not enabled"
    if ipywidgets.__version__ < "8":  # it displays itself, and Colab adds the metadata to what is displayed
        assert view in shown[0][0], shown
    else:
        assert data[view]["model_id"] == widget.model_id
        assert metadata[view]["colab"]["custom_widget_manager"]["url"] == output._widgets._installed_url, metadata
"""


def test_colab_is_told_of_the_picture(run_with_ipywidgets):
    run_with_ipywidgets(IN_COLAB)
