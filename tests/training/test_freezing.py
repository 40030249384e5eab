"""Which layers learn, and when: localization networks wherever they lie, and what was frozen before."""

import math
from itertools import pairwise

import pytest
import torch
from short_trainings import TEST, TRAIN, StepWatcher, make, quick_fit
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.testing import assert_close

from stncourse import BEST_RECIPE, FAST_RECIPE, TUTORIAL_RECIPE, DigitCNN, Digits, SpatialTransformer, evaluate, fit
from stncourse.training.model_state import unwrapped
from stncourse.transformer.spatial_transformer import transformers_in

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


def fails(error):
    def transform(images, generator):
        raise error

    return transform


@pytest.mark.parametrize("first", [None, FloatingPointError(), KeyboardInterrupt(), ArithmeticError()], ids=repr)
def test_what_was_frozen_is_so_in_the_next_fit_too_until_the_model_is_put_into_train_mode(first):
    model = freeze(Normed())
    if first is None:
        quick_fit(model)
    else:
        with pytest.raises(type(first)):
            quick_fit(model, transform=fails(first))
    assert not any(module.training for module in model.modules())
    before = model.out[1].num_batches_tracked.item()
    for _ in range(2):
        history = quick_fit(model)
        assert history.info["notes"] == ["in eval mode, as before the training: features.1"]
    assert model.features[1].num_batches_tracked == 0
    assert model.out[1].num_batches_tracked == before + 10
    quick_fit(model.train())
    assert model.features[1].num_batches_tracked == 5
    quick_fit(model)
    assert model.features[1].num_batches_tracked == 10


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
