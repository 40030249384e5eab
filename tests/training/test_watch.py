"""``fit(…, watch=images)``: what is sent to the page, when, and that the training does not notice."""

import os
import subprocess
import sys
import weakref
from itertools import pairwise
from types import SimpleNamespace

import nbformat
import pytest
import torch
from run_python import run_python
from short_trainings import ONE_STEP, TEST, TRAIN, make, quick_fit, same_weights
from torch import nn
from torch.testing import assert_close

from stncourse import (
    FAST_RECIPE,
    TUTORIAL_RECIPE,
    DigitCNN,
    Digits,
    SpatialTransformer,
    STNClassifier,
    animate_training,
    diagnose,
    fit,
    from_dataset,
    normalize,
)
from stncourse.training import panel, theta_record, watch
from stncourse.transformer.spatial_transformer import FAMILIES

TEN = TEST.subset(slice(10))
RECIPE = FAST_RECIPE.but(epochs=2)
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def panels(monkeypatch):
    """As in a notebook, but for the page: the panels that were shown, with all ``news`` that they got."""
    shown = []

    def display(self):
        self.news = []
        self.observe(lambda change: self.news.append(change["new"]), names="now")
        shown.append(self)

    monkeypatch.setattr(watch, "can_be_shown", lambda run: True)
    monkeypatch.setattr(watch, "_PAUSE", 0.0)
    monkeypatch.setattr(watch, "_SHARE", 0.0)  # a picture after every step
    monkeypatch.setattr(panel.Panel, "display", display)
    return shown


class Reader(nn.Module):
    """A transformer of any kind before a classifier."""

    def __init__(self, channels=1, **options):
        super().__init__()
        self.stn = SpatialTransformer.for_images(28, channels, output_size=20, **options)
        # It moves, and not by the same for all.
        nn.init.normal_(self.stn.localization.fc_loc[-1].weight, std=0.02)
        self.linear = nn.Linear(channels * 20 * 20, 10)

    def forward(self, images):
        return self.linear(self.stn(images).flatten(1)).log_softmax(1)


# What is sent


def test_the_last_picture_is_of_the_model_as_it_is_left(panels):
    model = make()
    quick_fit(model, RECIPE, watch=TEN)
    (one,) = panels
    images = normalize(TEN.images)
    with torch.no_grad():
        seen, answers = model.stn.transform(images), model(images).exp().max(1)
    news, scene = one.news[-1], one.scene
    outputs = torch.frombuffer(bytearray(news["outputs"]), dtype=torch.uint8).reshape(10, 28, 28)
    assert_close(outputs / 255.0, (seen.images[:, 0] * 0.3081 + 0.1307).clamp(0, 1), atol=0.51 / 255, rtol=0)
    assert outputs.float().std() > 30
    corners = torch.frombuffer(bytearray(news["outlines"]), dtype=torch.float32).reshape(10, 4, 2)
    ends = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    assert_close(corners, torch.einsum("kj,pij->pki", ends, seen.theta))
    assert news["answers"] == answers.indices.tolist()
    assert_close(torch.tensor(news["sure"]), answers.values, atol=1e-4, rtol=0)
    assert scene["inputs"] == TEN.images.numpy().tobytes()
    assert scene["labels"] == TEN.labels.tolist()
    assert (scene["count"], scene["size"], news["output_size"], news["top"]) == (10, [28, 28], [28, 28], 2)


def test_the_numbers_beside_the_pictures(panels):
    history = quick_fit(make(), RECIPE, test=TEST, watch=TEN)
    news = panels[0].news
    steps = 2 * -(-len(TRAIN) // RECIPE.batch_size)
    assert [one["step"] for one in news] == [*range(1, steps + 1), steps]
    assert [one["epoch"] for one in news] == [1] * (steps // 2) + [2] * (steps // 2) + [2]
    assert [one["ended"] for one in news] == [""] * steps + ["finished"]
    assert panels[0].scene["steps"] == steps
    assert panels[0].scene["first_step"] == 0
    curve = curve_of(panels[0])
    assert curve[:, 0].tolist() == list(range(1, steps + 1))
    sizes = [RECIPE.batch_size] * (steps // 2 - 1) + [len(TRAIN) % RECIPE.batch_size or RECIPE.batch_size]
    first_epoch = curve[: steps // 2, 1] @ torch.tensor(sizes).float() / len(TRAIN)
    assert first_epoch.item() == pytest.approx(history.epochs[0]["train_loss"], rel=1e-4)
    rights = [sum(a == b for a, b in zip(one["answers"], TEN.labels.tolist(), strict=True)) for one in news[:-1]]
    assert curve[:, 2].tolist() == rights
    assert news[0]["tests"] == []
    accuracies = history.column("test_accuracy")
    assert news[-1]["tests"] == [(steps // 2, accuracies[0]), (steps, accuracies[1])]


def test_with_a_loss_of_ones_own_there_are_pictures_and_the_loss_but_no_answers(panels):
    class Two(Reader):
        def forward(self, images):
            scores = super().forward(images)
            return scores, scores

    torch.manual_seed(0)
    model, plain = Two(), Two()
    plain.load_state_dict(model.state_dict())
    options = {"loss": lambda output, labels: nn.functional.nll_loss(output[1], labels), "test": TEST}
    history = quick_fit(model, RECIPE, watch=TEN, **options)
    quick_fit(plain, RECIPE, **options)
    assert same_weights(model, plain)
    news, scene = panels[0].news[-1], panels[0].scene
    assert (news["answers"], news["sure"], news["problem"], news["tests"]) == (None, None, "", [])
    assert scene["labels"] is None
    assert len(news["outputs"]) == 10 * 20 * 20
    losses = curve_of(panels[0])[:, 1]
    assert losses.isfinite().all()
    assert losses[-1] < losses[0]
    assert len(history.theta[-1]["theta"]) == 10


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_outline(panels, family):
    torch.manual_seed(0)
    model = Reader(family=family)
    quick_fit(model, RECIPE, watch=TEN.images)
    news, scene = panels[0].news[-1], panels[0].scene
    assert scene["labels"] is None
    outline = torch.frombuffer(bytearray(news["outlines"]), dtype=torch.float32).reshape(10, news["points"], 2)
    with torch.no_grad():
        grid = model.stn.transform(normalize(TEN.images)).grid
    # Once round the grid, clockwise from the top left; a matrix's frame lies half an output pixel further out.
    rim = torch.cat([grid[:, 0], grid[:, 1:, -1], grid[:, -1, :-1].flip(1), grid[:, 1:-1, 0].flip(1)], 1)
    if family == "tps":
        assert_close(outline, rim)
        assert news["top"] == 20
    else:
        at_corners = grid[:, [0, 0, -1, -1], [0, -1, -1, 0]]
        assert (outline - at_corners).norm(dim=-1).max() < 0.2
        assert (outline - at_corners).norm(dim=-1).min() > 1e-3
        middle = rim.mean(1, keepdim=True)
        assert ((outline - middle).norm(dim=-1) > (at_corners - middle).norm(dim=-1)).all()
        assert news["points"] == 4
    assert outline.std(0).max() > 1e-3  # each image has its own


def test_a_corner_behind_the_horizon_is_no_number():
    theta = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [1.5, 0, 1]]])
    outline, top = watch._outlines(SimpleNamespace(theta=theta, grid=None))
    assert outline[0, 0].isnan().all()
    assert_close(outline[0, 1], torch.tensor([0.4, -0.4]))
    assert top == 2


def test_colours_and_names_of_classes(panels):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (40, 3, 28, 28), dtype=torch.uint8, generator=generator)
    train = from_dataset([(image, i % 2) for i, image in enumerate(pictures)], classes=("cat", "dog"))
    quick_fit(Reader(3, family="attention"), FAST_RECIPE.but(batch_size=20), train=train, watch=train.subset(slice(2)))
    scene, news = panels[0].scene, panels[0].news[-1]
    assert (scene["channels"], scene["names"]) == (3, ["cat", "dog"])
    assert scene["inputs"] == pictures[:2].permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    assert len(news["outputs"]) == 2 * 20 * 20 * 3


def test_an_array_is_watched_too(panels):
    quick_fit(make(), watch=TEN.images.numpy())
    assert panels[0].scene["inputs"] == TEN.images.numpy().tobytes()


def curve_of(panel):
    """The points of the last picture, ``(N, 3)``."""
    return torch.frombuffer(bytearray(panel.news[-1]["curve"]), dtype=torch.float32).reshape(-1, 3)


def test_a_long_curve_is_thinned_out(panels, monkeypatch):
    quick_fit(make(), FAST_RECIPE.but(epochs=9), watch=TEN)
    monkeypatch.setattr(watch, "_LONGEST", 20)
    quick_fit(make(), FAST_RECIPE.but(epochs=9), watch=TEN)
    assert max(len(news["curve"]) // 12 for news in panels[1].news) == 20
    whole, thin = map(curve_of, panels)
    assert len(whole) > 40
    assert thin[-1, 0] == len(whole)
    # Each of the first points is the mean of as many steps as it has passed.
    for before, after in pairwise([0, *thin[:2, 0].int().tolist()]):
        assert after - before >= 4
        assert_close(thin[thin[:, 0] == after][0, 1:], whole[before:after, 1:].mean(0))


# The training does not notice


class Noise(nn.Module):
    """Draws random numbers, also in eval mode."""

    def forward(self, images):
        return images + 0.1 * torch.randn_like(images)


class Restless(nn.Module):
    """Is noisy before θ is chosen, and after; and has a BatchNorm."""

    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images(28)
        self.stn.localization = nn.Sequential(Noise(), self.stn.localization)
        self.norm, self.noise, self.classifier = nn.BatchNorm2d(1), Noise(), DigitCNN()

    def forward(self, images):
        return self.classifier(self.noise(self.norm(self.stn(images))))


@pytest.mark.parametrize("model_class", [STNClassifier, Restless])
def test_it_trains_the_same_to_the_last_bit(panels, model_class):
    models = [make(model_class) for _ in range(2)]
    recipe = TUTORIAL_RECIPE.but(epochs=2)
    before, after = (quick_fit(one, recipe, test=TEST, watch=w) for one, w in zip(models, (None, TEN), strict=True))
    assert len(panels[0].news) > 4
    assert same_weights(*models)
    for name, value in models[0].state_dict().items():
        assert torch.equal(value, models[1].state_dict()[name])
    for name in ("train_loss", "test_loss", "test_accuracy"):
        assert before.column(name) == after.column(name)
    assert not any(module.training for module in models[1].modules())


def test_what_was_frozen_stays_in_eval_mode_and_the_rest_in_train_mode(panels):
    model, modes = make(Restless), {True: [], False: []}
    model.norm.eval()

    def note(module, inputs, output):
        modes[len(inputs[0]) == len(TEN)].append((model.norm.training, module.training))

    model.classifier.register_forward_hook(note)
    quick_fit(model, ONE_STEP.but(epochs=3), watch=TEN)
    assert modes[False] == [(False, True)] * 3  # steps
    assert modes[True] == [(False, False)] * 4  # pictures


class Small(nn.Module):
    """The smallest network with a transformer: for many steps."""

    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images(28)
        self.linear = nn.Linear(28 * 28, 10)

    def forward(self, images):
        return self.linear(self.stn(images).flatten(1)).log_softmax(1)


class Clock:
    """Time that passes when it is told: a step takes 10 ms, a picture as long as it is said to."""

    def __init__(self, monkeypatch, cost):
        self.time, self.cost, self.at = 100.0, cost, []
        fake = SimpleNamespace(perf_counter=lambda: self.time, process_time=lambda: self.time)
        monkeypatch.setattr(watch, "time", fake)
        picture_of = watch.picture_of

        def slow(*arguments):
            self.at.append(self.time)
            self.time += self.cost
            return picture_of(*arguments)

        monkeypatch.setattr(watch, "picture_of", slow)

    def step(self, images, generator):
        self.time += 0.010
        return images


@pytest.mark.parametrize(("cost", "rate"), [(0.001, 8.5), (0.004, 7), (0.02, 1.5), (0.2, 0.1)])
def test_at_most_ten_pictures_a_second_and_a_30th_of_the_time(monkeypatch, cost, rate):
    monkeypatch.setattr(watch, "can_be_shown", lambda run: True)
    monkeypatch.setattr(panel.Panel, "display", lambda self: None)
    clock = Clock(monkeypatch, cost)
    recipe, few = FAST_RECIPE.but(epochs=100, batch_size=1), TRAIN.subset(slice(10))
    quick_fit(make(Small), recipe, train=few, watch=TEN.subset(slice(1)), transform=clock.step)
    regular = clock.at[:-1]  # the last one comes whenever the training ends
    seconds = clock.time - 100
    assert len(regular) / seconds <= 10
    assert len(regular) / seconds >= rate
    assert cost * (len(regular) - 1) <= seconds / 30
    assert all(b - a >= 0.1 for a, b in pairwise(regular))


def test_nothing_is_kept_of_a_training_that_is_over(panels):
    model = make()
    trace = weakref.ref(model)
    quick_fit(model, watch=TEN)
    del model
    assert trace() is None
    assert panels[0].now["ended"] == "finished"  # the panel is still there


# However it ends


def interrupting(count):
    """A transform that is interrupted at its ``count``-th batch."""
    left = [count]

    def transform(images, generator):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return images

    return transform


def test_interrupted_it_shows_what_there_is(panels):
    model = make()
    with pytest.raises(KeyboardInterrupt):
        quick_fit(model, RECIPE, watch=TEN, transform=interrupting(3))
    last = panels[0].news[-1]
    assert (last["step"], last["ended"]) == (3, "stopped")
    with torch.no_grad():
        assert last["answers"] == model(normalize(TEN.images)).argmax(1).tolist()


def test_a_loss_that_is_not_finite_is_what_is_told(panels, monkeypatch):
    recipe = RECIPE.but(learning_rate=1e30, optimizer="sgd", schedule="constant", batch_size=16)
    with pytest.raises(FloatingPointError):
        quick_fit(make(), recipe, watch=TEN)
    assert panels[0].news[-1]["ended"] == "stopped"


def test_numbers_that_are_none_are_no_answer():
    model = Small()
    with torch.no_grad():
        model.linear.bias.fill_(torch.nan)
    picture = watch.picture_of(model, normalize(TEN.images), TEN.scale)
    assert (picture.answers, picture.sure) == ([None] * 10, [0.0] * 10)


class Moody(Reader):
    """Does in eval mode as its owner would have it fail: ``broken`` says at which pictures, from 1."""

    def __init__(self, broken):
        super().__init__()
        self.broken, self.asked = broken, 0

    def forward(self, images):
        if not self.training:
            self.asked += 1
            if self.asked in self.broken:
                raise RuntimeError("no paint\nleft")
        return super().forward(images)


@pytest.mark.parametrize("broken", [{3}, {1}, range(3, 99), range(1, 99)])
def test_a_picture_that_cannot_be_made_is_told_and_changes_nothing(panels, monkeypatch, broken):
    monkeypatch.setattr(theta_record, "_check_looks_at_the_input", lambda *_: None)  # it asks the model as well
    torch.manual_seed(0)
    model = Moody(broken)
    history = quick_fit(model, RECIPE, watch=TEN)
    torch.manual_seed(0)
    other = Moody(())
    assert history.column("train_loss") == quick_fit(other, RECIPE).column("train_loss")
    assert same_weights(model, other)
    news = panels[0].news
    assert [bool(one["problem"]) for one in news] == [n + 1 in broken for n in range(len(news))]
    assert {one["problem"] for one in news} <= {"", "RuntimeError: no paint"}
    assert [one["ended"] for one in news] == [""] * (len(news) - 1) + ["finished"]
    assert ("outputs" in news[0]) == (1 not in broken)
    rights = curve_of(panels[0])[:, 2]
    assert rights.isnan().tolist() == [n + 1 in broken for n in range(len(rights))]


def test_theta_that_cannot_be_recorded_ends_no_training_that_is_only_watched(panels):
    class Tired(nn.Module):
        calls = 0

        def forward(self, images):
            self.calls += not self.training
            if self.calls > 9 and not self.training:
                raise RuntimeError("tired")
            return images

    model = make()
    model.stn.localization = nn.Sequential(Tired(), model.stn.localization)
    history = quick_fit(model, RECIPE, watch=TEN, probe_every=1)
    assert len(history.epochs) == 2
    assert panels[0].news[-1]["problem"] == "RuntimeError: tired"
    assert 0 < len(history.theta) < panels[0].scene["steps"]


def test_an_error_of_the_last_picture_does_not_hide_what_ended_the_training(panels, monkeypatch):
    picture_of = watch.picture_of

    def fails_at_the_end(model, *rest):
        if len(panels) and len(panels[0].news) >= 3:
            raise RuntimeError("out of paint")
        return picture_of(model, *rest)

    monkeypatch.setattr(watch, "picture_of", fails_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        quick_fit(make(), RECIPE, watch=TEN, transform=interrupting(3))
    assert (panels[0].news[-1]["ended"], panels[0].news[-1]["problem"]) == ("stopped", "RuntimeError: out of paint")


def test_a_model_that_is_refused_shows_nothing(panels):
    class Scores(Reader):
        def forward(self, images):
            return self.linear(self.stn(images).flatten(1))

    with pytest.raises(ValueError, match=r"^model: expected log-probabilities"):
        quick_fit(Scores(), watch=TEN)
    assert panels == []


# The record of θ, for nothing


def test_the_film_afterwards_and_the_diagnosis_need_no_probe():
    model = make()
    history = quick_fit(model, RECIPE, watch=TEN, probe_every=2)
    assert history.theta == quick_fit(make(), RECIPE, probe=TEN, probe_every=2).theta
    film = animate_training(history, TEN, model, probe=(0, 3))
    assert len(film.frames) == len(history.theta) > 3
    assert diagnose(history)


def test_probe_says_whose_theta_is_recorded():
    history = quick_fit(make(), RECIPE, watch=TEN, probe=TEST.images[20:23])
    assert history.theta == quick_fit(make(), RECIPE, probe=TEST.images[20:23]).theta


def test_a_checkpoint_goes_on_with_other_images_to_watch_where_probe_is_the_same(tmp_path, panels):
    path, whole, parts = tmp_path / "run.safetensors", make(), make()
    quick_fit(whole, RECIPE, probe=TEN, transform=interrupting(1000))
    options = {"probe": TEN, "checkpoint": path, "resume": True}
    with pytest.raises(KeyboardInterrupt):
        quick_fit(parts, RECIPE, watch=TEN.subset(slice(3)), transform=interrupting(8), **options)
    quick_fit(parts, RECIPE, watch=TEN, transform=interrupting(1000), **options)
    assert same_weights(whole, parts)
    assert panels[1].scene["first_step"] == len(range(0, len(TRAIN), RECIPE.batch_size))


OTHERS = TEST.subset(slice(20, 30))


@pytest.mark.parametrize("first", [None, TEN, OTHERS])
@pytest.mark.parametrize("then", [None, TEN])
@pytest.mark.parametrize("probe", [None, TEST.images[:2]])
def test_a_run_that_goes_on_may_be_watched_or_not(panels, tmp_path, capsys, first, then, probe):
    """The record of θ is always of the same images: those of the probe, or those that were watched last."""
    path, model = tmp_path / "run.safetensors", make()
    options = {"checkpoint": path, "probe": probe, "probe_every": 2}
    with pytest.raises(KeyboardInterrupt):
        quick_fit(make(), RECIPE, watch=first, transform=interrupting(5), **options)
    history = fit(model, TRAIN, None, RECIPE, "cpu", watch=then, transform=interrupting(99), resume=True, **options)
    whole = make()
    kept = probe if probe is not None else first if then is None else then
    expected = quick_fit(whole, RECIPE, probe=kept, probe_every=2, transform=interrupting(99)).theta
    assert same_weights(model, whole)
    anew = probe is None and then is not None and first is not then
    if anew:
        assert history.theta[0]["step"] == 5
        assert history.theta[1:] == [one for one in expected if one["step"] > 5]
    elif probe is None and then is None:
        assert history.theta == [one for one in expected if one["step"] <= 5]
    else:
        assert history.theta == expected
    assert ("the record of their θ begins here" in capsys.readouterr().out) == (anew and first is not None)


# Errors


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("digits", TypeError, "a tensor of shape"),
        (TEST.images[0], ValueError, "a tensor of shape"),
        (TEST.images[:0], ValueError, "at least one image"),
        (TEST.images[:11], ValueError, r"up to 10 images of 1 or 3 channels, got .*\(11, 1, 28, 28\)"),
        (TEST.images[:2].expand(-1, 2, -1, -1), ValueError, r"up to 10 images of 1 or 3 channels"),
        (TEST.images[:2].expand(-1, 3, -1, -1), ValueError, r"raw images that the model takes, got .*\(2, 3, 28, 28\)"),
        (TEST.images[:2, :, :20, :20], ValueError, r"raw images that the model takes, got .*20, 20"),
        (TEST.images[:2].long(), TypeError, "raw uint8 images, got a int64"),
        (TEST.images[:2] / 255.0, TypeError, "raw uint8 images, got a float32"),
        (TEST.images[:2].numpy() - 300.0, TypeError, "raw uint8 images, got a float64"),
        (torch.full((2, 1, 28, 28), torch.nan), TypeError, "raw uint8 images, got a float32"),
        (TEST.images[:2].to("meta"), ValueError, "images with pixels, got .* on the meta device"),
    ],
)
@pytest.mark.parametrize("probe", [None, TEN])
def test_images_that_cannot_be_watched_are_named_before_the_first_step(panels, value, error, words, probe):
    model, untouched = make(), make()
    with pytest.raises(error, match=f"^watch: expected {words}"):
        quick_fit(model, watch=value, probe=probe)
    assert same_weights(model, untouched)
    assert panels == []


def test_a_model_without_a_transformer_cannot_be_watched():
    with pytest.raises(ValueError, match=r"^watch: expected a model with a SpatialTransformer"):
        quick_fit(make(DigitCNN), watch=TEN)


def test_images_that_only_the_classifier_cannot_take_are_named_before_the_first_step(panels):
    class OfAnySize(nn.Module):
        def __init__(self):
            super().__init__()
            self.stn = SpatialTransformer.for_images(28)
            self.stn.localization = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 6))
            self.linear = nn.Linear(28 * 28, 10)

        def forward(self, images):
            return self.linear(self.stn(images).flatten(1)).log_softmax(1)

    model = make(OfAnySize)
    before = [p.clone() for p in model.parameters()]
    few = Digits(torch.zeros(2, 1, 40, 40, dtype=torch.uint8), [0, 1], "offline")
    with pytest.raises(ValueError, match=r"^watch: expected raw images that the model takes, got .*40, 40"):
        quick_fit(model, watch=few)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("name", ["watch", "probe"])
def test_a_transformer_behind_other_layers_cannot_be_watched(panels, channels, name):
    class Behind(Reader):
        def __init__(self):
            super().__init__(channels)
            self.conv = nn.Conv2d(1, channels, 3, padding=1)

        def forward(self, images):
            return super().forward(self.conv(images))

    model = Behind()
    with pytest.raises(
        ValueError, match=f"^{name}: expected a model whose first SpatialTransformer looks at the input"
    ):
        quick_fit(model, **{name: TEN})
    assert quick_fit(model).epochs  # nothing else is wrong with it


def test_training_images_of_the_wrong_size_are_blamed_first(panels):
    torch.manual_seed(0)
    model = nn.Sequential(SpatialTransformer.for_images(42), nn.Flatten(), nn.Linear(42 * 42, 10), nn.LogSoftmax(1))
    errors = []
    for options in ({}, {"watch": TEN}, {"probe": TEN}):
        with pytest.raises(ValueError, match=r"^(?!watch|probe)") as caught:
            quick_fit(model, **options)
        errors.append(str(caught.value).partition(", got ")[0])
    assert errors == errors[:1] * 3


def test_labels_mean_what_they_mean_in_the_training_set(panels):
    pairs = [(image, i % 2) for i, image in enumerate(TRAIN.images[:40])]
    train, other = (from_dataset(pairs, classes=names) for names in (("cat", "dog"), ("dog", "cat")))
    with pytest.raises(
        ValueError, match=r"^watch: expected images of train's classes \('cat', 'dog'\), .* \('dog', 'cat'\)"
    ):
        quick_fit(make(), train=train, watch=other.subset(slice(2)))
    few = Digits(TEN.images, [*range(9), 10], "offline")
    with pytest.raises(ValueError, match=r"expected at least 11 classes, as the labels of watch go up to 10, got 10"):
        quick_fit(make(), watch=few)
    assert panels == []


# Where nobody watches

SCRIPT = """
import sys
from stncourse import FAST_RECIPE, STNClassifier, fit, load_digits
digits = load_digits("test", source="offline")
history = fit(STNClassifier(), digits, None, FAST_RECIPE, "cpu", watch=digits.subset(slice(10)), verbose=False)
assert history.theta
print(sorted({"anywidget", "ipywidgets", "IPython", "stncourse.training.panel"} & set(sys.modules)))
"""


def test_a_script_shows_nothing_and_loads_no_widgets():
    assert run_python("-c", SCRIPT) == "[]\n"


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("setting", ["", "off"])
def test_only_a_kernel_that_trains_alone_shows_it(monkeypatch, kernel, size, setting):
    """``off`` is what spares ``make test`` the pictures."""
    monkeypatch.setenv("STNCOURSE_WATCH", setting)
    shell = SimpleNamespace(kernel=object()) if kernel else SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    run = SimpleNamespace(group=SimpleNamespace(size=size))
    assert watch.can_be_shown(run) == (kernel and size == 1 and not setting)


@pytest.fixture
def notebook():
    """One cell, which has been run and has no outputs; its output is compared."""
    cell = nbformat.v4.new_code_cell(SCRIPT.rpartition("print(")[0], execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def test_run_unseen_it_leaves_nothing_that_nbval_compares(tmp_path, notebook):
    nbformat.write(notebook, path := tmp_path / "strict.ipynb")
    environment = os.environ | {"STNCOURSE_WATCH": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, "--nbval", path]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


RUN = """
import os, sys, nbformat
from nbclient import NotebookClient
os.environ["STNCOURSE_WATCH"] = ""
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_in_a_kernel_the_panel_is_shown_and_its_state_is_whole(tmp_path, notebook, run_with_ipywidgets):
    """With Colab's ipywidgets too."""
    nbformat.write(notebook, path := tmp_path / "watched.ipynb")
    run_with_ipywidgets(RUN, path)
    run = nbformat.read(path, as_version=4)
    outputs = run.cells[0].outputs
    assert [list(output.data) for output in outputs] == [[VIEW]]
    states = run.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    panel = states[outputs[0].data[VIEW]["model_id"]]
    assert panel["state"]["now"]["ended"] == "finished"
    assert panel["state"]["scene"]["count"] == 10
    sent = {tuple(buffer["path"]) for buffer in panel["buffers"]}
    assert sent == {("scene", "inputs"), ("now", "outputs"), ("now", "outlines"), ("now", "curve")}
