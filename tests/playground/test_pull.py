"""θ pulled down a slope in the kernel: as autograd and notebook 05 have it, and the controls that do it."""

import functools
import html

import pytest
import torch
from torch import nn

from stncourse import (
    BACKGROUND,
    Sampler,
    STNClassifier,
    affine_grid,
    affine_theta,
    distort,
    load_digits,
    load_pretrained,
    normalize,
    theta_playground,
)
from stncourse.playground.opponent import default_digits
from stncourse.playground.parameters import IDENTITY
from stncourse.playground.pull import PATIENCE, end_of, pull, slopes

FAR = (0.5, 0, 3, 0, 0.5, 3)


@functools.cache
def model():
    return load_pretrained()


@functools.cache
def digits():
    return default_digits(model())


def let_go(images, target, theta, steps, step_size=0.002):
    """Notebook 05's, in float64."""
    reader, sampler = load_pretrained().double().classifier.requires_grad_(False), Sampler(padding_value=BACKGROUND)
    theta = torch.tensor(theta, dtype=torch.float64).reshape(1, 2, 3).requires_grad_(True)
    path, losses = [], []
    for _ in range(steps + 1):
        loss = -reader(sampler(normalize(images.double() / 255), affine_grid(theta, (28, 28))))[:, target].sum()
        path.append(theta.detach().clone())
        losses.append(loss.item())
        (slope,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= step_size * slope
    return torch.cat(path), torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize(("number", "target"), [(1, 0), (5, 9), (5, 4)])
def test_a_pull_is_that_of_notebook_05(number, target):
    image = digits().images[number : number + 1]
    record = pull(model(), digits(), image, (0.9, 0.1, 0.05, 0, 1, 0), target, steps=40)
    path, losses = let_go(image, target, (0.9, 0.1, 0.05, 0, 1, 0), 40)
    torch.testing.assert_close(record.theta, path, rtol=0, atol=1e-6)
    torch.testing.assert_close(record.loss, losses, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(record.probability, (-record.loss).exp())
    assert record.probability[-1] > record.probability[0]


def test_the_seven_of_notebook_05_is_found_from_one_place_and_not_from_another():
    seven = distort(load_digits("test", source="offline").images, "RTS", torch.Generator().manual_seed(3)).images[8:9]

    def end_from(*place):
        theta = affine_theta(scale=2 / 3, translation=place)
        return pull("pretrained", digits(), seven, theta, 7, steps=300).probability[-1]

    assert end_from(0, 0) > 0.9
    assert end_from(0.3, -0.3) < 0.7
    assert end_from(0.8, -0.8) < 0.1


def test_the_slopes_by_the_places_add_up():
    for theta in (IDENTITY, (0.7, 0.2, 0.1, -0.2, 0.8, -0.1)):
        got = slopes(model(), digits(), digits().images[2:3], theta, 4)
        grid = affine_grid(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]], dtype=torch.float64), (28, 28))[0]
        ends = torch.cat([grid, torch.ones(28, 28, 1)], -1).double()
        torch.testing.assert_close(torch.einsum("ijk,ijl->kl", got.by_place, ends), got.by_theta, rtol=0, atol=1e-9)
        assert got.by_theta.abs().max() > 0.1


def test_a_step_size_and_another_model():
    """Any classifier, any sampler: here a linear one on the image's own size, and a border."""
    other = STNClassifier(28)
    other.stn.sampler = Sampler(padding_mode="border")
    other.classifier = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.LogSoftmax(1))
    plain = load_digits("test", source="offline")
    before = {name: value.clone() for name, value in other.state_dict().items()}
    record = pull(other, plain, plain.images[:1], (0.9, 0, 0.03, 0, 0.9, 0.01), 3, step_size=1e-4, steps=5)
    assert (record.loss[1:] < record.loss[:-1]).all()
    double = pull(other, plain, plain.images[:1], (0.9, 0, 0.03, 0, 0.9, 0.01), 3, step_size=2e-4, steps=1)
    torch.testing.assert_close(double.theta[1] - double.theta[0], 2 * (record.theta[1] - record.theta[0]))
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in other.parameters())


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("model", None, "model: expected an STNClassifier"),
        ("digits", 3, "digits: expected Digits, got int 3"),
        ("image", torch.zeros(1, 1, 9, 9), "image: expected raw uint8, got a float32"),
        ("image", torch.zeros(9, 9, dtype=torch.uint8), "image: expected a tensor of shape"),
        ("theta", (1, 2), "theta: expected six numbers"),
        ("target", 10, "target: expected a class of the model's, 0 to 9, got 10"),
        ("target", "7", "target: expected an int"),
        ("step_size", 0, "step_size: expected a number > 0, got int 0"),
        ("step_size", float("nan"), "step_size: expected a number > 0"),
        ("steps", 0, "steps: expected an int >= 1"),
    ],
)
def test_what_is_not_understood_is_named(argument, value, message):
    arguments = {"model": model(), "digits": digits(), "image": digits().images[:1], "theta": IDENTITY, "target": 7}
    with pytest.raises((TypeError, ValueError), match=message):
        pull(**arguments | {argument: value})


def test_what_ends_a_descent():
    to_and_fro = [3.0, *[1.0, 1.1] * PATIENCE]
    assert end_of(to_and_fro, 5.0, 1.0) == "stuck"
    assert end_of(to_and_fro[:PATIENCE], 5.0, 1.0) is None  # it has not been there for long
    assert end_of([0.05 * loss for loss in to_and_fro], 5.0, 1.0) == "bottom"
    assert end_of([3.0 * 0.999**i for i in range(200)], 5.0, 1.0) is None  # slow, but further
    assert end_of([3.0, 0.01], 5.0, 1.0) == "arrived"
    assert (end_of([3.0], 0.0, 1.0), end_of([3.0], 0.0, 0.0)) == ("flat", "black")


# The controls


def message(playground):
    return html.unescape(playground.message.value)


def game(device="cpu", **arguments):
    return theta_playground(**{"model": "pretrained", "device": device, "index": 1} | arguments)


def test_one_step_moves_theta_as_pull_does():
    playground = game()
    assert playground.pull.target.index == 0  # a page shows it: a value of None it would not
    playground.pull.one.click()
    expected = pull(model(), digits(), digits().images[1:2], IDENTITY, 0, steps=1)
    assert playground.settings.theta == pytest.approx(expected.theta[1].flatten().tolist())
    assert f"One step: {100 * expected.probability[1]:.0f} % sure of “0”." in message(playground)
    assert 1 in playground._game.score.helped  # what comes now is no attempt of the reader's
    playground.let_stn.click()
    assert playground.attempts == {}


def test_let_go_moves_the_picture_on_the_way_and_says_how_it_ends():
    playground, seen = game(), []
    playground.picture.observe(seen.append, names="value")
    playground.pull.go.click()
    assert "Arrived: the classifier is 99 % sure of “0”." in message(playground)
    assert playground.probabilities()[0] >= 0.99
    assert len(seen) > 5
    playground.number.value = 1
    for theta, words in ((FAR, "only background: no slope"), ((1, 0, -0.4, 0, 1, 0), "Stuck: ")):
        playground.pose.put(theta)
        playground.pull.go.click()
        assert words in message(playground)
    assert "only 6 % sure of “0”" in message(playground)


def test_it_becomes_what_is_asked_for():
    playground = game(index=5)
    playground.pull.target.value = 0
    playground.pull.go.click()
    assert "Arrived: the classifier is 99 % sure of “0”." in message(playground)
    assert playground.probabilities()[0] >= 0.99


def test_it_says_what_it_needs_and_does_nothing():
    playground = game(theta=(1, 0, 0.1, 0, 1, 0))
    playground.mode.value, playground.output_size.value, playground.grid_align.value = "nearest", 14, True
    playground.padding.value, playground.direction.value = "border", "input → output"
    playground.pull.go.click()
    needs = "θ maps output → input; outside background; sampling bilinear; output px 28; align_corners off."
    assert message(playground).split("Please set: ")[1].startswith(needs)
    assert playground.settings.theta == (1, 0, 0.1, 0, 1, 0)
    playground.pull.one.click()
    assert playground.settings.theta == (1, 0, 0.1, 0, 1, 0)


def test_a_drawing_becomes_what_is_asked_for():
    playground = game("browser")
    playground.drawn.drawing = playground.image.numpy().tobytes()
    playground.drawn.hand = {"theta": None, "number": 1, "sketch": 1}
    playground.on_device.value = "cpu"
    playground.pull.one.click()
    assert "choose what it shall become" in message(playground)
    playground.pull.target.value = 0
    playground.pull.one.click()
    assert "sure of “0”" in message(playground)


def shown(playground):
    """Whether the controls of the kernel's pull are there to be seen."""
    todo = [playground]
    while todo:
        widget = todo.pop()
        if widget is playground.pull.one:
            return playground.pull.rows()[0].layout.display != "none"
        todo += getattr(widget, "children", ())
    return False


def test_the_controls_are_there_where_the_browser_has_no_such_tool():
    assert shown(game("cpu"))
    awake = game("browser")
    assert not shown(awake)
    awake.on_device.value = "cpu"
    assert shown(awake)
    assert not shown(theta_playground(device="cpu"))  # no model
    assert not shown(game("cpu", controls=("sliders", "model")))
    asleep = STNClassifier(28)
    asleep.classifier = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.LogSoftmax(1))
    sleeping = theta_playground(model=asleep, device="browser")
    assert shown(sleeping)
    before = sleeping.settings.theta
    sleeping.pull.one.click()
    assert sleeping.settings.theta != before
