"""``fit`` and ``evaluate`` with a loss and metrics of one's own, for labels of any shape; ``after_epoch``."""

import math
import random
import signal
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from short_trainings import TEST, TRAIN, StepWatcher, make, quick_fit, same_weights
from torch import nn

from stncourse import (
    FAST_RECIPE,
    Digits,
    Recipe,
    SpatialTransformer,
    STNClassifier,
    diagnose,
    evaluate,
    fit,
    normalize,
    predict,
)

RECIPE = FAST_RECIPE.but(epochs=2, batch_size=100)


def pairs(digits):
    """Two digits below one another, and both classes ``(N, 2)``."""
    other = digits.subset(torch.arange(len(digits)).flip(0))
    return Digits(torch.cat([digits.images, other.images], 2), torch.stack([digits.labels, other.labels], 1), "offline")


TRAIN_PAIRS, TEST_PAIRS = pairs(TRAIN), pairs(TEST)


class Pair(NamedTuple):
    upper: torch.Tensor
    lower: torch.Tensor


class ReadsTwo(nn.Module):
    """Scores of two digits, as a tuple."""

    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images((56, 28), output_size=20)
        self.drop = nn.Dropout(0.2)
        self.linear = nn.Linear(400, 20)

    def forward(self, images):
        scores = self.linear(self.drop(self.stn(images).flatten(1)))
        return Pair(*scores.split(10, dim=1))


def both_losses(output, labels):
    return sum(F.cross_entropy(scores, labels[:, number]) for number, scores in enumerate(output))


def both_right(output, labels):
    return (output.upper.argmax(1) == labels[:, 0]) & (output.lower.argmax(1) == labels[:, 1])


def how_sure(output, labels):
    return output.upper.softmax(1).max(1).values


def train_two(model=None, recipe=RECIPE, **options):
    options = {"test": TEST_PAIRS, "loss": both_losses, "metrics": {"both": both_right, "sure": how_sure}} | options
    model = make(ReadsTwo) if model is None else model
    return quick_fit(model, recipe, TRAIN_PAIRS, **options), model


# What is minimised and measured


def test_the_default_loss_written_out_trains_the_same():
    """Bit for bit, with the accuracy as a metric."""
    by_default, by_hand = make(), make()
    first = quick_fit(by_default, RECIPE, test=TEST)
    second = quick_fit(
        by_hand,
        RECIPE,
        test=TEST,
        loss=F.nll_loss,
        metrics={"accuracy": lambda output, labels: output.argmax(1) == labels},
    )
    assert same_weights(by_default, by_hand)
    for name in ("train_loss", "test_accuracy"):
        assert first.column(name) == second.column(name)
    assert first.column("test_loss") == pytest.approx(second.column("test_loss"), rel=1e-6)


def test_two_digits_per_image_are_learned():
    history, model = train_two(recipe=RECIPE.but(epochs=12, batch_size=16, dropout=None))
    assert history.epochs[-1]["train_loss"] < 0.5 * history.epochs[0]["train_loss"]
    assert list(history.epochs[0]) == [
        "epoch", "train_loss", "seconds", "cpu_seconds", "test_loss", "test_both", "test_sure",
    ]  # fmt: skip
    assert history.info["loss"] == "both_losses"
    assert not model.training
    # By hand, one image at a time.
    with torch.no_grad():
        outputs = [model(normalize(image[None])) for image in TEST_PAIRS.images]
    losses = [both_losses(one, label[None]).item() for one, label in zip(outputs, TEST_PAIRS.labels, strict=True)]
    right = [both_right(one, label[None]).item() for one, label in zip(outputs, TEST_PAIRS.labels, strict=True)]
    row = history.epochs[-1]
    assert row["test_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert row["test_both"] == sum(right) / len(right)
    assert row["test_sure"] == pytest.approx(
        sum(how_sure(one, None).item() for one in outputs) / len(outputs), rel=1e-5
    )
    assert 0 < row["test_both"] < 1


@pytest.mark.parametrize("batch_size", [7, 64, 1000])
def test_the_mean_of_a_metric_is_exact_where_batches_differ_in_size(batch_size):
    """The label itself is measured: what comes out is known."""
    numbers = torch.arange(100, dtype=torch.float64) ** 2
    digits = Digits(TEST.images, numbers, "mine")
    measured = evaluate(
        nn.Flatten(),
        digits,
        "cpu",
        batch_size,
        loss=lambda output, labels: labels.mean() + 1,
        metrics={"value": lambda output, labels: labels, "small": lambda output, labels: labels < 50**2},
    )
    assert list(measured) == ["loss", "value", "small"]
    assert measured["value"] == numbers.sum().item() / 100
    assert measured["small"] == 0.5
    assert measured["loss"] == pytest.approx(numbers.mean().item() + 1, rel=1e-12)


def test_the_default_loss_measures_the_accuracy_beside_other_metrics():
    model, sure = make(), {"sure": lambda output, labels: output.exp().max(1).values}
    history = quick_fit(model, test=TEST, metrics=sure)
    measured = evaluate(model, TEST, "cpu", metrics=sure)
    assert measured == {name: history.epochs[-1][f"test_{name}"] for name in ("loss", "accuracy", "sure")}
    assert tuple(evaluate(model, TEST, "cpu")) == (measured["loss"], measured["accuracy"])


def test_without_metrics_only_the_loss_is_measured_and_without_test_digits_nothing(capsys):
    history, _ = train_two(metrics=None)
    assert [name for name in history.epochs[0] if name.startswith("test_")] == ["test_loss"]
    history = fit(
        make(ReadsTwo), TRAIN_PAIRS, recipe=RECIPE, device="cpu", loss=both_losses, metrics={"both": both_right}
    )
    assert history.column("test_loss") == history.column("test_both") == [None, None]
    assert "test" not in capsys.readouterr().out
    both = {"loss": both_losses, "metrics": {"both": both_right}}
    fit(make(ReadsTwo), TRAIN_PAIRS, TEST_PAIRS, RECIPE, "cpu", **both)
    (*_, last) = capsys.readouterr().out.splitlines()
    assert "   test loss " in last
    assert "   test both 0." in last


def test_regression_of_one_number():
    """How much ink there is: 0.3081 times the mean normalised pixel, plus 0.1307."""
    numbers = TRAIN.images.float().mean((1, 2, 3)) / 255
    train = Digits(TRAIN.images, numbers, "mine")
    model = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(1, 1), nn.Flatten(0))
    quick_fit(model, Recipe("regression", epochs=50, batch_size=16, learning_rate=0.5), train, loss=F.mse_loss)
    assert [p.item() for p in model.parameters()] == pytest.approx([0.3081, 0.1307], abs=0.01)


def test_half_precision_comes_to_the_loss_as_float32():
    model, seen = make(ReadsTwo).bfloat16(), []

    def loss(output, labels):
        seen.append((type(output), output.upper.dtype))
        return both_losses(output, labels)

    train_two(model, loss=loss, metrics=None)
    assert set(seen) == {(Pair, torch.float32)}


# What is refused


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"loss": 3}, TypeError, "loss: expected a function"),
        ({"recipe": RECIPE.but(label_smoothing=0.1)}, ValueError, "loss: expected None with a recipe whose"),
        ({"loss": lambda output, labels: 1.0}, TypeError, "loss: expected a scalar tensor"),
        ({"loss": lambda output, labels: labels.sum()}, TypeError, "loss: expected a scalar tensor"),
        ({"loss": lambda output, labels: output.upper[:, 0]}, ValueError, "loss: .*is a .mean"),
        ({"loss": lambda output, labels: output.upper.detach().mean()}, ValueError, "loss: expected one that depends"),
        ({"metrics": [both_right]}, TypeError, "metrics: expected a dict"),
        ({"metrics": {"both": 1}}, TypeError, "metrics: expected a dict"),
        ({"metrics": {1: both_right}}, TypeError, "metrics: expected a dict"),
        ({"metrics": {"loss": both_right}}, ValueError, "metrics: expected names other than 'loss'"),
        ({"metrics": {"m": lambda output, labels: 0.5}}, TypeError, "metrics: expected 'm' to return one"),
        ({"metrics": {"m": lambda output, labels: labels.sum()}}, ValueError, "metrics: expected 'm' to return one"),
        ({"metrics": {"m": lambda output, labels: output.upper}}, ValueError, "metrics: expected 'm' to return one"),
        ({"after_epoch": 1}, TypeError, "after_epoch: expected a function"),
    ],
)  # fmt: skip
def test_errors_name_the_argument_and_leave_the_model_as_it_was(options, error, words):
    model = make(ReadsTwo)
    with pytest.raises(error, match=rf"^{words}"):
        train_two(model, **options)
    assert same_weights(model, make(ReadsTwo))
    assert model.training


def test_a_model_that_returns_no_tensor_is_named():
    class Says(ReadsTwo):
        def forward(self, images):
            return {"both": super().forward(images)}

    with pytest.raises(TypeError, match=r"^model: expected a tensor or a tuple of tensors, got a dict"):
        train_two(make(Says))


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(FloatingPointError, match=r"the loss became nan in epoch 1, batch 1"):
        train_two(loss=lambda output, labels: both_losses(output, labels) * math.nan, metrics=None)


def test_an_error_of_the_loss_itself_goes_through():
    def loss(output, labels):
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        train_two(loss=loss)


def test_a_loss_that_needs_two_images_is_refused_where_a_batch_of_one_is_left():
    def loss(output, labels):
        if len(labels) < 2:
            raise ValueError("nothing to compare it with")
        return both_losses(output, labels)

    assert len(TRAIN) % 24 == 1
    with pytest.raises(ValueError, match=r"^batch_size: .*nothing to compare it with.*; 25 would do"):
        train_two(recipe=RECIPE.but(batch_size=24), loss=loss)


def test_diagnose_knows_the_default_loss_only():
    history, _ = train_two()
    with pytest.raises(ValueError, match=r"^history: expected one of the default loss.* both_losses"):
        diagnose(history)


# Checkpoints, θ


@pytest.mark.parametrize("stop_after", [2, 5])
def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, stop_after):
    path, calls = tmp_path / "run.safetensors", 0

    def stops(images, generator):
        nonlocal calls
        calls += 1
        if calls == stop_after:
            signal.raise_signal(signal.SIGINT)
        return images

    def goes_on(images, generator):
        return images

    goes_on.__qualname__ = stops.__qualname__
    whole, expected = train_two(transform=goes_on)
    with pytest.raises(KeyboardInterrupt):
        train_two(checkpoint=path, transform=stops)
    history, model = train_two(make(ReadsTwo, seed=9), checkpoint=path, resume=True, transform=goes_on)
    assert same_weights(model, expected)
    for name in ("train_loss", "test_loss", "test_both", "test_sure"):
        assert history.column(name) == whole.column(name)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"loss": lambda output, labels: both_losses(output, labels)}, "loss"),
        ({"metrics": {"both": both_right}}, "metrics"),
        ({"metrics": None}, "metrics"),
    ],
)
def test_a_run_of_another_loss_or_other_metrics_is_not_gone_on_with(tmp_path, other, name):
    path = tmp_path / "run.safetensors"
    train_two(checkpoint=path)
    with pytest.raises(ValueError, match=rf"^{name}: the run in .* has another one"):
        train_two(checkpoint=path, resume=True, **other)
    train_two(checkpoint=path, resume=True)


def test_theta_is_recorded():
    history, _ = train_two(probe=TEST_PAIRS.images[:3], probe_every=1)
    assert [len(snapshot["theta"]) for snapshot in history.theta] == [3] * (1 + 2 * -(-len(TRAIN) // 100))


class Deep(nn.Module):
    """Two transformers: one in a Sequential, at the input, and one between convolutions."""

    def __init__(self):
        super().__init__()
        front = SpatialTransformer.for_images(28, output_size=24)
        self.features = nn.Sequential(front, nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2))
        self.inner = SpatialTransformer.for_images(10, 4, family="attention")
        self.rest = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10), nn.LogSoftmax(1))

    def forward(self, images):
        return self.rest(self.inner(self.features(images)))


@pytest.mark.parametrize("factor", [0.0, 0.1])
def test_all_transformers_of_a_model_learn_at_the_rate_of_the_recipe(factor):
    """And θ is recorded of the first, which looks at the images."""
    model, before = make(Deep), make(Deep)
    recipe = Recipe("two", epochs=1, batch_size=50, learning_rate=0.05, localization_factor=factor)
    with StepWatcher() as steps:
        history = quick_fit(model, recipe, test=TEST, probe=TEST.images[:2], probe_every=1)
    localizations = [stn.localization for stn in (model.features[0], model.inner)]
    optimizer, rates = steps[0]
    assert rates == [0.05, 0.05 * factor]
    expected = [id(parameter) for localization in localizations for parameter in localization.parameters()]
    assert sorted(id(p) for p in optimizer.param_groups[1]["params"]) == sorted(expected)
    for one, other in ((model.features[0], before.features[0]), (model.inner, before.inner)):
        assert same_weights(one, other) == (factor == 0)
    assert not same_weights(model.rest, before.rest)
    with torch.no_grad():
        theta = model.features[0].transform(normalize(TEST.images[:2])).theta
    torch.testing.assert_close(torch.tensor(history.theta[-1]["theta"]), theta, atol=1e-5, rtol=0)


def test_all_transformers_are_frozen_after_the_recipes_part():
    model, grads = make(Deep), []
    recipe = Recipe("two", epochs=2, batch_size=len(TRAIN), learning_rate=0.05, localization_until=0.5)
    localizations = [stn.localization for stn in (model.features[0], model.inner)]
    hook = model.rest.register_forward_pre_hook(
        lambda *_: grads.append([p.requires_grad for one in localizations for p in one.parameters()])
    )
    quick_fit(model, recipe)
    hook.remove()
    assert [all(one) for one in grads] == [True, False]
    assert [any(one) for one in grads] == [True, False]


# After every epoch


def test_after_epoch_gets_the_rows_and_a_model_in_eval_mode(tmp_path):
    path, seen = tmp_path / "run.safetensors", []

    def look(row, model):
        assert path.exists()
        seen.append((dict(row), {module.training for module in model.modules()}))
        row.clear()

    history, _ = train_two(checkpoint=path, after_epoch=look)
    assert [row for row, _ in seen] == history.epochs
    assert [modes for _, modes in seen] == [{False}] * 2


class Counting(ReadsTwo):
    """With buffers that train mode changes."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(400)

    def forward(self, images):
        scores = self.linear(self.drop(self.norm(self.stn(images).flatten(1))))
        return Pair(*scores.split(10, dim=1))


def test_after_epoch_changes_nothing_in_the_training():
    def meddle(row, model):
        torch.rand(3)
        random.random()
        predict(model, TEST_PAIRS, "cpu")
        model.train()
        loss = both_losses(model(normalize(TEST_PAIRS.images)), TEST_PAIRS.labels)
        loss.backward()  # gradients may be asked for
        torch.manual_seed(0)

    recipe = RECIPE.but(epochs=3, dropout=None)
    plain, expected = train_two(make(Counting), recipe)
    history, model = train_two(make(Counting), recipe, after_epoch=meddle)
    assert same_weights(model, expected)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), expected.buffers(), strict=True))
    assert history.column("test_loss") == plain.column("test_loss")
    assert not model.training


def test_where_after_epoch_fails_the_checkpoint_holds_the_epoch(tmp_path):
    path = tmp_path / "run.safetensors"

    def fails(row, model):
        raise LookupError(f"after {row['epoch']}")

    _, expected = train_two()
    with pytest.raises(LookupError, match=r"after 1"):
        train_two(checkpoint=path, after_epoch=fails)
    epochs = []
    _, model = train_two(checkpoint=path, resume=True, after_epoch=lambda row, model: epochs.append(row["epoch"]))
    assert epochs == [2]
    assert same_weights(model, expected)


@pytest.mark.parametrize("epoch", [1, 2])
def test_ctrl_c_in_after_epoch_stops_behind_it(tmp_path, epoch):
    ended = []

    def long_look(row, model):
        if row["epoch"] == epoch:
            signal.raise_signal(signal.SIGINT)
        ended.append(row["epoch"])

    with pytest.raises(KeyboardInterrupt) as caught:
        train_two(after_epoch=long_look)
    assert ended == list(range(1, epoch + 1))
    assert len(caught.value.history.epochs) == epoch


def test_labels_are_part_of_what_a_run_is(tmp_path):
    path = tmp_path / "run.safetensors"
    train_two(checkpoint=path)
    other = replace(TRAIN_PAIRS, labels=TRAIN_PAIRS.labels.flip(1))
    with pytest.raises(ValueError, match=r"^train: the run in"):
        quick_fit(
            make(ReadsTwo),
            RECIPE,
            other,
            test=TEST_PAIRS,
            loss=both_losses,
            metrics={"both": both_right, "sure": how_sure},
            checkpoint=path,
            resume=True,
        )


def test_the_default_wants_classes():
    with pytest.raises(ValueError, match=r"^train: expected one class per image as labels"):
        quick_fit(make(STNClassifier), train=TRAIN_PAIRS)


class Localizes(nn.Module):
    """A classifier of which the loss sees nothing, and a transformer of which it sees θ."""

    def __init__(self):
        super().__init__()
        self.stn, self.classifier = SpatialTransformer.for_images(28), nn.Linear(784, 10)

    def forward(self, images):
        seen = self.stn.transform(images)
        return self.classifier(seen.images.flatten(1)), seen.theta


def test_a_loss_of_what_will_be_frozen_is_refused_before_the_first_step():
    model, untouched, recipe = make(Localizes), make(Localizes), Recipe("half", epochs=4, localization_until=0.5)
    with pytest.raises(ValueError, match=r"^localization_until: expected 1.0 for a loss that .* got 0.5"):
        quick_fit(model, recipe, loss=lambda output, labels: output[1].square().mean())
    assert same_weights(model, untouched)
    both = lambda output, labels: output[1].square().mean() + F.cross_entropy(output[0], labels)  # noqa: E731
    quick_fit(model, recipe.but(epochs=2), loss=both)
    quick_fit(
        model, recipe.but(epochs=1, localization_until=1.0), loss=lambda output, labels: output[1].square().mean()
    )


def test_what_is_no_function_of_output_and_labels_is_refused():
    with pytest.raises(TypeError, match=r"^loss: expected a function \(output, labels\)"):
        quick_fit(make(), loss=nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match=r"^metrics: expected names other than 'accuracy'"):
        quick_fit(make(), metrics={"accuracy": lambda output, labels: labels})
    with pytest.raises(TypeError, match=r"^resume: expected True or False, got str 'no'"):
        quick_fit(make(), resume="no")
