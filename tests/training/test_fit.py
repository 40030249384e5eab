"""``fit`` on a few hundred digits."""

import math

import pytest
import torch
from short_trainings import EMPTY, ONE_STEP, TEST, TRAIN, StepWatcher, make, quick_fit, same_weights
from torch import nn
from torch.testing import assert_close

from stncourse import (
    BACKGROUND,
    BEST_RECIPE,
    FAST_RECIPE,
    TUTORIAL_RECIPE,
    DigitCNN,
    Digits,
    Recipe,
    SpatialTransformer,
    STNClassifier,
    augment,
    evaluate,
    fit,
    normalize,
)


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


def test_a_probe_may_be_a_set_or_an_array():
    few = TEST.subset(slice(3))
    thetas = [quick_fit(make(), probe=probe).theta for probe in (few.images, few, few.images.numpy())]
    assert thetas[0] == thetas[1] == thetas[2]


@pytest.mark.parametrize(
    ("probe", "got"),
    [
        (TEST.images[:0], "at least one image"),
        (TEST.images[:2, :, :20, :20], r"raw images .*20, 20"),
        (TEST.images[:2].expand(-1, 3, -1, -1), r"raw images .*3, 28, 28"),
        (TEST.images[:2].long(), r"raw images .* int64"),
    ],
)
def test_a_probe_that_is_no_good_is_named(probe, got):
    with pytest.raises(ValueError, match=f"^probe: expected {got}"):
        quick_fit(make(), probe=probe)


@pytest.mark.parametrize(
    "value", [normalize(TEST.images[:2]), TEST.images[:2].float(), TEST.images[:2].double().numpy()]
)
def test_a_probe_that_is_normalised_already_is_not_normalised_again(value):
    with pytest.raises(TypeError, match=r"^probe: expected raw uint8 images, got a float"):
        quick_fit(make(), probe=value)
