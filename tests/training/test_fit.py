"""Recipes, fit, evaluate and the record of a run, on a few hundred digits."""

import errno
import json
import math
import os
from dataclasses import asdict
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.testing import assert_close

from stncourse import (
    BACKGROUND,
    BEST_RECIPE,
    FAST_RECIPE,
    TUTORIAL_RECIPE,
    DigitCNN,
    Digits,
    History,
    Recipe,
    SpatialTransformer,
    STNClassifier,
    augment,
    evaluate,
    fit,
    load_digits,
    load_recorded,
    normalize,
)
from stncourse.training.model_state import unwrapped
from stncourse.transformer.spatial_transformer import transformers_in

TRAIN = load_digits("train", source="offline").subset(slice(None, None, 16))
TEST = load_digits("test", source="offline").subset(slice(None, None, 10))
ONE_STEP = Recipe("one step", epochs=1, batch_size=len(TRAIN), learning_rate=0.1)


def make(model_class=STNClassifier, seed=0):
    torch.manual_seed(seed)
    return model_class()


def quick_fit(model, recipe=FAST_RECIPE, train=TRAIN, **options):
    return fit(model, train, recipe=recipe, device="cpu", verbose=False, **options)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


class StepWatcher(list):
    """Collects (optimizer, learning rates) at every optimizer step made inside ``with``."""

    def __enter__(self):
        self.handle = register_optimizer_step_pre_hook(self.hook)
        return self

    def __exit__(self, *_):
        self.handle.remove()

    def hook(self, optimizer, *_):
        self.append((optimizer, [group["lr"] for group in optimizer.param_groups]))

    def rates(self, group):
        return [rates[group] for _, rates in self]


# Recipe


@pytest.mark.parametrize(
    ("changes", "error", "name"),
    [
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": 1.0}, TypeError, "epochs"),
        ({"batch_size": -1}, ValueError, "batch_size"),
        ({"batch_size": True}, TypeError, "batch_size"),
        ({"optimizer": "adam"}, ValueError, "optimizer"),
        ({"schedule": "cosine"}, ValueError, "schedule"),
        ({"learning_rate": -0.1}, ValueError, "learning_rate"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate"),
        ({"learning_rate": "0.1"}, ValueError, "learning_rate"),
        ({"localization_factor": math.inf}, ValueError, "localization_factor"),
        ({"weight_decay": None}, ValueError, "weight_decay"),
        ({"dropout": 1.5}, ValueError, "dropout"),
        ({"dropout": "0.5"}, ValueError, "dropout"),
        ({"warm_up": 1}, ValueError, "warm_up"),
        ({"warm_up": -0.1}, ValueError, "warm_up"),
        ({"warm_up": None}, ValueError, "warm_up"),
        ({"label_smoothing": 1}, ValueError, "label_smoothing"),
        ({"label_smoothing": -0.1}, ValueError, "label_smoothing"),
        ({"label_smoothing": "some"}, ValueError, "label_smoothing"),
        ({"augment": -1.0}, ValueError, "augment"),
        ({"augment": 10}, ValueError, "augment"),
        ({"augment": "yes"}, ValueError, "augment"),
        ({"localization_until": -0.1}, ValueError, "localization_until"),
        ({"localization_until": 1.1}, ValueError, "localization_until"),
        ({"localization_until": math.nan}, ValueError, "localization_until"),
        ({"localization_until": "half"}, ValueError, "localization_until"),
    ],
)
def test_a_recipe_refuses_wrong_values_and_names_them(changes, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        Recipe("wrong", **changes)
    with pytest.raises(error, match=f"^{name}: expected"):
        FAST_RECIPE.but(**changes)


@pytest.mark.parametrize("whole", [np.int64, np.uint8, torch.tensor, np.array])
@pytest.mark.parametrize("real", [np.float32, np.float64, torch.tensor, np.array])
def test_a_recipe_takes_any_kind_of_number_and_keeps_pythons(whole, real):
    numbers = {name: real(0.25) for name in ("learning_rate", "localization_factor", "weight_decay", "dropout")}
    numbers |= {name: real(0.5) for name in ("warm_up", "label_smoothing", "localization_until", "augment")}
    recipe = Recipe("any", whole(2), whole(3), **numbers)
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
    kinds = {name: type(value) for name, value in asdict(recipe).items()}
    assert kinds["epochs"] is kinds["batch_size"] is int
    assert all(kinds[name] is float for name in numbers)


def test_but_changes_a_copy():
    changed = FAST_RECIPE.but(epochs=3, dropout=None)
    assert (changed.epochs, changed.dropout, changed.optimizer) == (3, None, FAST_RECIPE.optimizer)
    assert FAST_RECIPE.epochs == 1
    with pytest.raises(AttributeError):
        FAST_RECIPE.epochs = 2


def test_the_tutorial_recipe_is_the_tutorials():
    recipe = TUTORIAL_RECIPE
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.learning_rate) == (20, 64, "sgd", 0.01)
    assert (recipe.localization_factor, recipe.weight_decay, recipe.dropout) == (1, 0, None)
    assert recipe.schedule == "constant"


# fit


@pytest.mark.parametrize("model_class", [STNClassifier, DigitCNN])
def test_fit_learns(model_class):
    model = make(model_class)
    untrained = evaluate(model, TEST, device="cpu")
    history = quick_fit(model, FAST_RECIPE.but(epochs=4, batch_size=32), test=TEST)
    losses, accuracies = history.column("train_loss"), history.column("test_accuracy")
    assert losses[-1] < 0.6 * losses[0]
    assert accuracies[-1] > untrained.accuracy + 0.3
    assert history.epochs[-1]["test_loss"] == pytest.approx(evaluate(model, TEST, device="cpu").loss)


def test_sgd_learns():
    history = quick_fit(make(), Recipe("sgd", epochs=3, batch_size=16, learning_rate=0.05, dropout=0.0))
    assert history.column("train_loss")[-1] < 0.9 * history.column("train_loss")[0]


def test_history_has_a_row_per_epoch():
    history = quick_fit(make(), FAST_RECIPE.but(epochs=2), test=TEST)
    assert history.column("epoch") == [1, 2]
    for row in history.epochs:
        assert row.keys() == {"epoch", "train_loss", "test_loss", "test_accuracy", "cpu_seconds", "seconds"}
        assert all(math.isfinite(value) for value in row.values())
        assert 0 <= row["test_accuracy"] <= 1
        assert row["seconds"] > 0
    assert history.recipe["name"] == "fast"
    assert history.recipe["epochs"] == 2


def test_history_says_how_the_run_was_made():
    info = quick_fit(make(), seed=5).info
    assert info["seed"] == 5
    assert info["train_digits"] == len(TRAIN)
    assert info["source"] == "offline"
    assert info["versions"]["torch"] == torch.__version__
    assert {"hardware", "date"} <= info.keys()


def test_train_loss_is_the_mean_over_digits():
    """With a learning rate of 0 and no dropout it is what evaluate says, also with a small last batch."""
    model = make(DigitCNN)
    history = quick_fit(model, Recipe("still", epochs=1, batch_size=50, learning_rate=0.0, dropout=0.0))
    assert len(TRAIN) % 50 != 0
    assert history.epochs[0]["train_loss"] == pytest.approx(evaluate(model, TRAIN, device="cpu").loss, rel=1e-4)


def test_without_test_digits_test_columns_are_empty():
    history = quick_fit(make())
    assert history.column("test_loss") == history.column("test_accuracy") == [None]


@pytest.mark.parametrize("test", [None, TEST])
def test_fit_leaves_the_model_in_eval_mode(test):
    model = make()
    quick_fit(model, test=test)
    assert not any(module.training for module in model.modules())


def test_fit_trains_every_epoch_in_train_mode():
    modes = []
    model = make(DigitCNN)
    model.conv2_drop.register_forward_hook(lambda module, *_: modes.append(module.training))
    quick_fit(model, FAST_RECIPE.but(epochs=2, batch_size=len(TRAIN)), test=TEST)
    assert modes == [True, False, True, False]


def test_the_same_seed_gives_identical_weights():
    """Shuffling, dropout and the transform's generator included."""

    def noise(images, generator):
        return images + 0.1 * torch.rand(images.shape, generator=generator)

    models = [make() for _ in range(2)]
    recipe = TUTORIAL_RECIPE.but(epochs=2)
    records = [quick_fit(model, recipe, seed=3, transform=noise).column("train_loss") for model in models]
    assert same_weights(*models)
    assert records[0] == records[1]


def test_another_seed_gives_other_weights():
    models = [make() for _ in range(2)]
    for seed, model in enumerate(models):
        quick_fit(model, FAST_RECIPE, seed=seed)
    assert not same_weights(*models)


def test_the_seed_decides_the_dropout():
    """One batch of all digits: their order does not matter, so what differs is dropout."""
    runs = []
    for seed in (0, 0, 1):
        model = make(DigitCNN)
        quick_fit(model, ONE_STEP, seed=seed)
        runs.append(model)
    assert same_weights(runs[0], runs[1])
    assert (runs[0].fc2.weight - runs[2].fc2.weight).abs().max() > 1e-4


def test_every_epoch_has_another_order():
    seen = []

    def watch(images, generator):
        seen.append(images)
        return images

    quick_fit(make(DigitCNN), FAST_RECIPE.but(epochs=2), transform=watch)
    assert len(seen) == 2 * math.ceil(len(TRAIN) / FAST_RECIPE.batch_size)
    assert not torch.equal(seen[0], seen[len(seen) // 2])


def test_the_transform_is_applied_to_training_digits_before_normalisation():
    given, received = [], []
    model = make(DigitCNN)
    model.register_forward_pre_hook(lambda module, inputs: received.append((module.training, inputs[0])))

    def blank(images, generator):
        assert isinstance(generator, torch.Generator)
        given.append(images)
        return torch.zeros_like(images)

    quick_fit(model, test=TEST, transform=blank)
    assert all(images.min() == 0 and images.max() == 1 for images in given)
    for training, images in received:
        is_blank = (images - BACKGROUND).abs().max() < 1e-6
        assert is_blank == training  # test digits stay as they are


def test_the_recipe_augments_the_training_digits_before_the_transform_and_by_its_generator():
    """One batch of all digits: what the transform gets is what augment makes of them, from the state it was given."""
    given = []

    def watch(images, generator):
        given.append(images)
        return images

    recipe = ONE_STEP.but(epochs=2, augment=0.7)
    model = make(DigitCNN)
    quick_fit(model, recipe, seed=3, transform=watch, test=TEST)
    for epoch, images in enumerate(given):
        generator = torch.Generator().manual_seed(3 * 1_000_003 + epoch)
        order = torch.randperm(len(TRAIN), generator=generator)
        assert torch.equal(images, augment(TRAIN.images[order] / 255, generator, 0.7))
    assert len(given) == 2
    without = make(DigitCNN)
    quick_fit(without, recipe, seed=3)
    assert same_weights(model, without)
    quick_fit(plain := make(DigitCNN), recipe.but(augment=0.0), seed=3)
    assert not same_weights(plain, without)


def test_the_best_recipe_is_the_fast_one_for_longer_and_augmented():
    given = {name: getattr(BEST_RECIPE, name) for name in ("name", "epochs", "batch_size", "augment")}
    assert FAST_RECIPE.but(**given, localization_until=1.0) == BEST_RECIPE
    assert BEST_RECIPE.augment > 0
    assert BEST_RECIPE.epochs > FAST_RECIPE.epochs


def test_probe_records_theta():
    probe, model = TEST.images[:5], make()
    history = quick_fit(model, FAST_RECIPE.but(epochs=2), probe=probe, probe_every=2)
    steps = 2 * math.ceil(len(TRAIN) / FAST_RECIPE.batch_size)
    assert [snapshot["step"] for snapshot in history.theta] == list(range(0, steps + 1, 2))
    theta = torch.tensor([snapshot["theta"] for snapshot in history.theta])
    assert theta.shape == (steps // 2 + 1, 5, 2, 3)
    assert torch.equal(theta[0], torch.eye(2, 3).expand(5, 2, 3))
    assert not torch.equal(theta[1], theta[0])
    with torch.no_grad():
        final = model.stn.transform(normalize(probe)).theta
    torch.testing.assert_close(theta[-1], final, atol=1e-5, rtol=0)


def test_a_probe_of_a_spline_records_that_there_is_no_theta():
    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stn = SpatialTransformer.for_images(28, family="tps")
            self.classifier = DigitCNN()

        def forward(self, images):
            return self.classifier(self.stn(images))

    history = quick_fit(Reader(), probe=TEST.images[:2], probe_every=1000)
    assert [snapshot["theta"] for snapshot in history.theta] == [None, None]


def test_probe_always_records_the_last_step():
    history = quick_fit(make(), FAST_RECIPE, probe=TEST.images[:1], probe_every=1000)
    assert [snapshot["step"] for snapshot in history.theta] == [0, math.ceil(len(TRAIN) / FAST_RECIPE.batch_size)]


def test_a_probe_changes_nothing_in_the_training():
    models = [make() for _ in range(2)]
    quick_fit(models[0], TUTORIAL_RECIPE.but(epochs=1))
    quick_fit(models[1], TUTORIAL_RECIPE.but(epochs=1), probe=TEST.images[:3], probe_every=1)
    assert same_weights(*models)


def test_localization_factor_scales_the_steps_of_the_localization_network_alone():
    start = make()
    steps = {}
    for factor in (1.0, 0.25, 0.0):
        model = make()
        quick_fit(model, ONE_STEP.but(localization_factor=factor))
        steps[factor] = {
            name: after.detach() - before.detach()
            for (name, after), before in zip(model.named_parameters(), start.parameters(), strict=True)
        }
    last = "stn.localization.fc_loc.2.bias"
    assert steps[1.0][last].abs().max() > 1e-4
    torch.testing.assert_close(steps[0.25][last], steps[1.0][last] / 4, rtol=1e-3, atol=1e-7)
    for name in start.state_dict():
        if name.startswith("stn."):
            assert steps[0.0][name].count_nonzero() == 0
        else:
            assert torch.equal(steps[0.25][name], steps[1.0][name])


def localization_weights(model):
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith("stn.localization.")}


@pytest.mark.parametrize(("until", "learning"), [(0.0, 0), (0.5, 6), (0.55, 7), (1.0, 12)])
def test_the_localization_network_learns_in_the_first_part_of_the_training_only(until, learning):
    model = make()
    recipe = TUTORIAL_RECIPE.but(epochs=3, batch_size=math.ceil(len(TRAIN) / 4), localization_until=until)
    weights = [localization_weights(model)]
    had_gradient = []

    def after_step(*_):
        weights.append(localization_weights(model))
        had_gradient.append([p.grad is not None for p in model.stn.localization.parameters()])

    with register_optimizer_step_post_hook(after_step):
        quick_fit(model, recipe)
    changed = [any(not torch.equal(a[name], b[name]) for name in a) for a, b in pairwise(weights)]
    assert changed == [True] * learning + [False] * (12 - learning)
    assert [all(row) for row in had_gradient] == changed  # that none is computed is what makes a step cheaper
    assert [any(row) for row in had_gradient] == changed
    assert all(p.requires_grad for p in model.parameters())


# A transformer wherever it lies


def compiled(module):
    return torch.compile(module, backend="eager")


class Elsewhere(nn.Module):
    """Two transformers, under names of their own; ``wrap`` is put around the first."""

    def __init__(self, wrap=lambda module: module, shared=False):
        super().__init__()
        looks = [SpatialTransformer.for_images(28) for _ in range(2)]
        if shared:
            looks[1].localization = looks[0].localization
        self.parts = nn.ModuleDict({"look": nn.Sequential(wrap(looks[0])), "look_again": looks[1]})
        self.reads = DigitCNN()

    def forward(self, images):
        return self.reads(self.parts["look_again"](self.parts["look"](images)))


ELSEWHERE = {
    "compiled": lambda: compiled(make()),
    "in DataParallel": lambda: nn.DataParallel(make()),
    "in a Sequential": lambda: nn.Sequential(SpatialTransformer.for_images(28), DigitCNN()),
    "two, nested": Elsewhere,
    "one compiled": lambda: Elsewhere(compiled),
    "one network for two": lambda: Elsewhere(shared=True),
    "all at once": lambda: compiled(Elsewhere(compiled, shared=True)),
}


def localizations(model):
    networks = [stn.localization for stn in transformers_in(model)]
    return list(nn.ModuleList(networks).parameters())  # each once


@pytest.mark.parametrize("build", ELSEWHERE.values(), ids=ELSEWHERE)
def test_localization_networks_are_found_wherever_they_lie(build):
    torch.manual_seed(0)
    model = build()
    moving = []

    def after_step(*_):
        moving.append([p.grad is not None for p in localizations(model)])

    recipe = FAST_RECIPE.but(epochs=1, batch_size=80, localization_factor=0.25, localization_until=0.5)
    with StepWatcher() as watcher, register_optimizer_step_post_hook(after_step):
        history = quick_fit(model, recipe, probe=TEST.images[:2], probe_every=1)
    optimizer = watcher[0][0]
    classifier, localization = (group["params"] for group in optimizer.param_groups)
    assert {id(p) for p in localization} == {id(p) for p in localizations(model)}
    assert len(localization) == len(localizations(model))
    assert {id(p) for p in classifier + localization} == {id(p) for p in model.parameters()}
    assert watcher.rates(1) == pytest.approx([rate / 4 for rate in watcher.rates(0)])
    assert [(all(row), any(row)) for row in moving] == [(True, True)] * 2 + [(False, False)] * 2
    assert all(p.requires_grad for p in model.parameters())
    assert "notes" not in history.info
    assert len(history.theta[0]["theta"]) == 2
    assert history.theta[0] != history.theta[-1]


def test_a_compiled_model_learns_what_the_plain_one_does():
    plain, other = make(), make()
    recipe = FAST_RECIPE.but(localization_factor=0.3)
    expected, history = quick_fit(plain, recipe), quick_fit(compiled(other), recipe)
    assert history.column("train_loss") == pytest.approx(expected.column("train_loss"), rel=1e-4)
    assert_close(other.state_dict(), plain.state_dict(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("recipe", "asked"),
    [
        (FAST_RECIPE, "localization_factor and localization_until"),
        (BEST_RECIPE.but(epochs=1), "localization_factor"),
        (TUTORIAL_RECIPE.but(epochs=1, localization_until=0.5), "localization_until"),
        (TUTORIAL_RECIPE.but(epochs=1), None),
    ],
)
def test_a_recipe_that_asks_for_a_transformer_in_vain_says_so(recipe, asked, capsys):
    for model in (make(DigitCNN), nn.Sequential(DigitCNN())):
        history = fit(model, TRAIN, recipe=recipe, device="cpu")
        notes = [f"without effect, as the model has no SpatialTransformer: the recipe's {asked}"] if asked else None
        assert history.info.get("notes") == notes
        assert capsys.readouterr().out.splitlines()[:-1] == (notes or [])
    history = fit(make(), TRAIN, recipe=recipe, device="cpu")
    assert "notes" not in history.info
    assert len(capsys.readouterr().out.splitlines()) == 1


# What is frozen


class Normed(nn.Module):
    """A transformer, and a classifier with BatchNorms and a dropout."""

    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images(28)
        self.features = nn.Sequential(nn.Conv2d(1, 4, 9), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(4))
        self.out = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(100), nn.Dropout(0.3), nn.Linear(100, 10))

    def forward(self, images):
        return nn.functional.log_softmax(self.out(self.features(self.stn(images))), 1)


class FreezesItself(Normed):
    """The usual way to keep a BatchNorm frozen."""

    def train(self, mode=True):
        super().train(mode)
        self.features[1].eval()
        return self


def freeze(model):
    model.features[1].eval()
    return model


@pytest.mark.parametrize(
    "model",
    [freeze(Normed()), FreezesItself(), compiled(freeze(Normed())), nn.DataParallel(freeze(Normed()))],
    ids=["by hand", "by itself", "compiled", "in DataParallel"],
)
def test_a_frozen_batchnorm_keeps_its_statistics(model):
    modes = []
    inner = unwrapped(model)
    inner.features[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    inner.out[2].register_forward_hook(lambda module, *_: modes.append(not module.training))
    quick_fit(model, FAST_RECIPE.but(epochs=2), test=TEST.subset(slice(0, 1)), probe=TEST.images[:2], probe_every=2)
    assert inner.features[1].num_batches_tracked == 0
    assert inner.out[1].num_batches_tracked == 10
    assert modes.count(True) == 2  # the dropout, for the test digits after each epoch
    assert not any(module.training for module in model.modules())


def test_a_model_in_eval_mode_is_trained_as_a_whole():
    model = Normed().eval()
    quick_fit(model)
    assert model.features[1].num_batches_tracked == model.out[1].num_batches_tracked == 5


def test_evaluate_and_a_probe_put_each_modules_own_mode_back():
    model = freeze(Normed())
    model.out.eval()
    model.out[2].train()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    evaluate(model, TEST, "cpu")
    assert [module.training for module in model.modules()] == before
    with pytest.raises(ValueError, match="classes"):
        evaluate(model, Digits(TEST.images, TEST.labels + 1, "x"), "cpu")
    assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize(
    "names", [["stn.localization"], ["classifier.conv1"], ["stn.localization.fc_loc", "classifier"]]
)
def test_parameters_that_were_frozen_stay_so_when_the_localization_thaws(names):
    model = make()
    for name in names:
        model.get_submodule(name).requires_grad_(False)
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    before = {name: p.clone() for name, p in model.named_parameters()}
    recipe = FAST_RECIPE.but(localization_until=1.0 if "classifier" in names else 0.5)
    quick_fit(model, recipe)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == wanted
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters() if not wanted[name])
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_frozen_localization_network_leaves_the_classifiers_steps_as_they_are():
    # Not to learn, and to learn at a rate of 0, is the same for the classifier.
    models = [make() for _ in range(2)]
    recipe = FAST_RECIPE.but(epochs=2, localization_until=1.0)
    quick_fit(models[0], recipe.but(localization_factor=0.0))
    quick_fit(models[1], recipe.but(localization_until=0.0))
    assert_close(models[0].state_dict(), models[1].state_dict())


def test_what_was_frozen_before_stays_frozen():
    model = make()
    model.stn.localization.requires_grad_(False)
    before = localization_weights(model)
    quick_fit(model, FAST_RECIPE.but(weight_decay=0.0))
    assert_close(localization_weights(model), before, rtol=0, atol=0)
    assert not any(p.requires_grad for p in model.stn.localization.parameters())


def test_a_stopped_training_leaves_nothing_frozen():
    model = make()

    def stop(images, generator):
        stop.seen += 1
        return images * math.nan if stop.seen == 4 else images

    stop.seen = 0
    with pytest.raises(FloatingPointError):
        quick_fit(model, FAST_RECIPE.but(epochs=4, batch_size=len(TRAIN)), transform=stop)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_smoothed_label_is_shared_out_among_all_classes(smoothing):
    models = [make() for _ in range(2)]
    recipe = TUTORIAL_RECIPE.but(epochs=1, batch_size=len(TRAIN), dropout=0.0, label_smoothing=smoothing)
    history = quick_fit(models[0], recipe)
    targets = (1 - smoothing) * nn.functional.one_hot(TRAIN.labels, 10) + smoothing / 10
    loss = -(targets * models[1].eval()(TRAIN.normalize(TRAIN.images))).sum(1).mean()  # without dropout
    loss.backward()
    torch.optim.SGD(models[1].parameters(), lr=recipe.learning_rate).step()
    assert_close(history.column("train_loss"), [loss.item()], rtol=1e-5, atol=0)
    assert_close(models[0].state_dict(), models[1].state_dict())


@pytest.mark.parametrize(("factor", "warm_up"), [(1.0, 0.25), (0.1, 0.25), (0.1, 0.5)])
def test_onecycle_climbs_for_its_warm_up_and_then_falls_to_a_thousandth(factor, warm_up):
    recipe = FAST_RECIPE.but(epochs=4, batch_size=25, localization_factor=factor, learning_rate=0.02, warm_up=warm_up)
    with StepWatcher() as watcher:
        quick_fit(make(), recipe)
    rates, localization = watcher.rates(0), watcher.rates(1)
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.1 * 0.02)
    assert rates[top] == pytest.approx(0.02)
    assert top == pytest.approx(len(rates) * warm_up, abs=1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0.001 * 0.02 <= rates[-1] < 0.005 * 0.02
    assert localization == pytest.approx([factor * rate for rate in rates])


def test_constant_is_constant():
    with StepWatcher() as watcher:
        quick_fit(make(), TUTORIAL_RECIPE.but(epochs=2, localization_factor=0.5))
    assert set(watcher.rates(0)) == {0.01}
    assert set(watcher.rates(1)) == {0.005}


@pytest.mark.parametrize(("name", "optimizer_class"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_recipe_chooses_the_optimizer(name, optimizer_class):
    model = make()
    with StepWatcher() as watcher:
        quick_fit(model, ONE_STEP.but(optimizer=name, weight_decay=0.03))
    optimizer, _ = watcher[0]
    assert type(optimizer) is optimizer_class
    assert all(group["weight_decay"] == 0.03 for group in optimizer.param_groups)
    assert name == "sgd" or optimizer.param_groups[0]["betas"] == (0.9, 0.99)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize(("dropout", "expected"), [(0.2, 0.2), (None, 0.5)])
def test_the_recipe_sets_the_dropout(dropout, expected):
    model = make()
    quick_fit(model, ONE_STEP.but(dropout=dropout))
    assert [m.p for m in model.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))] == [expected] * 2


def test_the_recipe_sets_every_kind_of_dropout():
    kinds = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]
    model = make(DigitCNN)
    model.unused = nn.ModuleList(kind(0.5) for kind in kinds)
    quick_fit(model, ONE_STEP.but(dropout=0.2))
    assert [layer.p for layer in model.unused] == [0.2] * len(kinds)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_loss_that_is_not_finite_stops_the_training_and_says_where(epochs):
    recipe = Recipe("wild", epochs=epochs, batch_size=16, learning_rate=1e6)
    message = (
        r"^the loss became (nan|inf) in epoch 1, batch \d+ of 20, at a learning rate of 1e\+06: .* below 1000000\.0"
    )
    with pytest.raises(FloatingPointError, match=message):
        quick_fit(make(DigitCNN), recipe)


class Breaking(nn.Module):
    """Gives NaN from the n-th batch on."""

    def __init__(self, good_batches):
        super().__init__()
        self.left, self.weight = good_batches, nn.Parameter(torch.zeros(10))

    def forward(self, images):
        self.left -= 1
        return self.weight.log_softmax(0).expand(len(images), 10) * (math.nan if self.left < 0 else 1)


def test_the_message_about_nan_has_the_right_epoch_and_batch():
    recipe = TUTORIAL_RECIPE.but(batch_size=math.ceil(len(TRAIN) / 4))  # four steps an epoch
    with pytest.raises(
        FloatingPointError, match=r"^the loss became nan in epoch 2, batch 2 of 4, at .* 0\.01: .* below 0\.01"
    ):
        quick_fit(Breaking(good_batches=5), recipe)


@pytest.mark.parametrize("verbose", [True, False])
def test_verbose_prints_a_line_per_epoch(verbose, capsys):
    fit(make(), TRAIN, TEST, FAST_RECIPE.but(epochs=2), "cpu", verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (2 if verbose else 0)
    for line, epoch in zip(lines, (1, 2), strict=False):
        assert line.startswith(f"epoch {epoch}/2   train loss ")
        assert "test accuracy" in line


EMPTY = TRAIN.subset(slice(0))


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"model": "stn"}, TypeError, "model"),
        ({"model": STNClassifier}, TypeError, "model"),
        ({"train": TRAIN.images}, TypeError, "train"),
        ({"train": EMPTY}, TypeError, "train"),
        ({"test": (TEST.images, TEST.labels)}, TypeError, "test"),
        ({"test": EMPTY}, TypeError, "test"),
        ({"recipe": "fast"}, TypeError, "recipe"),
        ({"device": "nowhere"}, ValueError, "device"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"probe": "digits"}, TypeError, "probe"),
        ({"probe": TEST.images[0]}, ValueError, "probe"),
        ({"probe_every": 0}, ValueError, "probe_every"),
        ({"probe": TEST.images, "model": DigitCNN()}, ValueError, "probe"),
    ],
)
def test_fit_errors_name_the_argument(arguments, error, name):
    arguments = {"model": make(), "train": TRAIN, "device": "cpu", "verbose": False} | arguments
    with pytest.raises(error, match=f"^{name}: expected"):
        fit(**arguments)


def test_digits_made_by_hand_can_be_learned():
    """Digits of another size and number of channels."""
    digits = Digits(torch.randint(0, 256, (20, 3, 10, 33), dtype=torch.uint8), torch.arange(20) % 10, "offline")
    model = STNClassifier((10, 33), in_channels=3)
    assert math.isfinite(quick_fit(model, FAST_RECIPE, train=digits, test=digits).epochs[0]["test_loss"])


# evaluate


@pytest.fixture(scope="module")
def trained():
    model = make()
    quick_fit(model, FAST_RECIPE.but(epochs=4, batch_size=32))
    return model


@pytest.mark.parametrize("batch_size", [1000, 7])
def test_evaluate_equals_a_computation_by_hand(trained, batch_size):
    pixels = (TEST.images.double() / 255 - 0.1307) / 0.3081
    with torch.no_grad():
        output = trained(pixels.float())
    loss = sum(-output[i, label].item() for i, label in enumerate(TEST.labels)) / len(TEST)
    right = sum(int(output[i].argmax()) == label for i, label in enumerate(TEST.labels.tolist()))
    metrics = evaluate(trained, TEST, device="cpu", batch_size=batch_size)
    assert metrics.loss == pytest.approx(loss, rel=1e-4)
    assert metrics.accuracy == right / len(TEST)
    assert 0.3 < metrics.accuracy < 1  # the comparison means something


def test_evaluate_measures_without_dropout(trained):
    trained.train()
    assert evaluate(trained, TEST, device="cpu") == evaluate(trained.eval(), TEST, device="cpu")


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_puts_the_mode_back(training):
    model = make().train(training)
    evaluate(model, TEST, device="cpu")
    assert all(module.training == training for module in model.modules())


def test_evaluate_puts_the_mode_back_after_an_error():
    model = STNClassifier(42)
    with pytest.raises(ValueError, match=r"^images: expected"):
        evaluate(model, TEST, device="cpu")
    assert model.training


def test_evaluate_changes_no_weights_and_leaves_no_gradients():
    model = make()
    evaluate(model, TEST, device="cpu")
    assert same_weights(model, make())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"model": None}, TypeError, "model"),
        ({"digits": TEST.images}, TypeError, "digits"),
        ({"digits": EMPTY}, ValueError, "digits"),
        ({"device": "nowhere"}, ValueError, "device"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_evaluate_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        evaluate(**{"model": make(), "digits": TEST, "device": "cpu"} | arguments)


# History


def test_a_history_survives_saving_and_loading(tmp_path):
    history = quick_fit(make(), FAST_RECIPE.but(epochs=2), test=TEST, probe=TEST.images[:2], probe_every=3)
    history.info["note"] = "θ → input"
    history.save(tmp_path / "history.json")
    assert History.load(tmp_path / "history.json") == history
    assert Recipe(**history.recipe) == FAST_RECIPE.but(epochs=2)


def test_a_history_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "history.json"
    old = History({"name": "old"})
    old.save(str(path))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        History({"name": "new"}).save(path)
    monkeypatch.undo()
    with pytest.raises(TypeError):
        History({"name": {1}}).save(path)
    assert History.load(path) == old
    assert os.listdir(tmp_path) == ["history.json"]


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    History({}).save("~/history.json")
    assert (tmp_path / "history.json").exists()
    assert History.load("~/history.json") == History({})


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", "null", '"text"', "{}", '{"recipe": {}, "code": 1}', '{"recipe": []}',
        '{"recipe": {}, "epochs": {}}', '{"recipe": {}, "epochs": [1]}', '{"recipe": {}, "theta": "abc"}',
        '{"recipe": {}, "info": null}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_history_is_refused_by_name(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^path: expected a history's JSON, .*history\.json is none, or not a"):
        History.load(path)
    path.write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(ValueError, match=r"^path: expected a history's JSON"):
        History.load(path)
    with pytest.raises(FileNotFoundError, match=r"^path: expected a history's JSON, there is none"):
        History.load(tmp_path / "none.json")


def test_the_recorded_run_is_the_tutorial_on_all_of_mnist():
    history = load_recorded()
    assert history.column("epoch") == list(range(1, 21))
    assert Recipe(**history.recipe) == TUTORIAL_RECIPE
    assert 0.985 <= history.column("test_accuracy")[-1] <= 1
    assert history.column("train_loss")[-1] < 0.5 * history.column("train_loss")[0]
    assert history.info["train_digits"] == 60_000
    assert history.info["source"] == "mnist"
    assert {"seed", "hardware", "date", "versions"} <= history.info.keys()


def recorded(name):
    return json.loads((resources.files("stncourse") / "assets" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("recipe", "least"), [(FAST_RECIPE, 0.9877), (BEST_RECIPE, 0.99)])
def test_the_recorded_results_are_of_the_recipes_as_they_are(recipe, least):
    runs = [run for run in recorded("recipes.json")["runs"] if run["recipe"]["name"] == recipe.name]
    # A setting that recipes did not have then had its default.
    assert [Recipe(**run["recipe"]) for run in runs] == [recipe] * 3
    assert sorted(run["seed"] for run in runs) == [0, 1, 2]
    assert all(least <= run["test_accuracy"] <= 1 for run in runs)
    assert all(run["train_digits"] == 60_000 and run["source"] == "mnist" for run in runs)
    assert all({"hardware", "versions", "date", "cpu_seconds"} <= run.keys() for run in runs)


def test_the_recorded_comparison_is_matched_in_parameters_and_seeds():
    record = recorded("with_and_without_stn.json")
    for distortion in ("none", "R", "RTS"):
        runs = [run for run in record["runs"] if run["distortion"] == distortion]
        assert sorted((run["network"], run["seed"]) for run in runs) == [
            (network, seed) for network in ("CNN", "CNN + STN") for seed in (0, 1, 2)
        ]
        alone, with_stn = ({run["parameters"] for run in runs if run["network"] == n} for n in ("CNN", "CNN + STN"))
        assert len(alone) == len(with_stn) == 1
        assert alone.pop() == pytest.approx(with_stn.pop(), rel=0.02)
        # The localization network's rate was chosen on validation digits, and is the one that the runs have.
        choices = [run for run in record["validation"] if run["distortion"] == distortion]
        best = min(choices, key=lambda run: run["error"], default={"localization_factor": 0.1})
        factors = {run["localization_factor"] for run in runs if run["network"] == "CNN + STN"}
        assert factors == {best["localization_factor"]}


# On a GPU


@pytest.mark.gpu
def test_fit_and_evaluate_on_cuda():
    model = make()
    history = fit(model, TRAIN, TEST, FAST_RECIPE.but(epochs=3), "cuda", probe=TEST.images[:2], verbose=False)
    assert next(model.parameters()).is_cuda
    assert history.column("train_loss")[-1] < history.column("train_loss")[0]
    assert history.info["hardware"] == torch.cuda.get_device_name()
    on_cuda, on_cpu = (evaluate(model, TEST, device) for device in ("cuda", "cpu"))
    assert on_cuda.loss == pytest.approx(on_cpu.loss, rel=1e-2)
