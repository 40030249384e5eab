"""The diagnosis of trainings that were broken on purpose, and of healthy ones. All are real runs, of seconds."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from stncourse import (
    BACKGROUND,
    FAST_RECIPE,
    TUTORIAL_RECIPE,
    Batches,
    DigitCNN,
    History,
    SpatialTransformer,
    STNClassifier,
    affine_theta,
    diagnose,
    distort,
    fit,
    load_digits,
    load_recorded,
)
from stncourse.training.diagnosis import SYMPTOMS

# The lines that diagnose draws were measured with this batch size.
RECIPE = FAST_RECIPE.but(batch_size=128, localization_until=1.0)
TRAIN = load_digits("train", source="offline")
PROBE = load_digits("test", source="offline").images[:50]
CROOKED = distort(PROBE, "RTS", torch.Generator().manual_seed(7)).images


def rts(images, generator):
    return distort(images, "RTS", generator).images


class Reader(nn.Module):
    """A transformer of any family for 42×42, and the small CNN."""

    def __init__(self, family):
        super().__init__()
        self.stn = SpatialTransformer.for_images(42, family=family, output_size=28, padding_value=BACKGROUND)
        self.classifier = DigitCNN()

    def forward(self, images):
        return self.classifier(self.stn(images))


def upright(seed=0):
    torch.manual_seed(seed)
    return STNClassifier()


def canvas(seed=0, family="affine"):
    torch.manual_seed(seed)
    return Reader(family)


def train(model, recipe=RECIPE, digits=1000, seed=0, every=2, transform=None, probe=PROBE):
    digits = TRAIN.subset(slice(digits))
    options = {"device": "cpu", "seed": seed, "verbose": False, "transform": transform}
    return fit(model, digits, recipe=recipe, probe=probe, probe_every=every, **options)


# Healthy ones


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("factor", [0.1, 1.0])
def test_upright_trainings_are_healthy(seed, factor):
    found = diagnose(train(upright(seed), RECIPE.but(localization_factor=factor), seed=seed))
    assert found.name == "healthy", found
    assert found.measures["spread"] > 1e-4  # far from the line at which θ counts as the same for all


@pytest.mark.parametrize(("seed", "family"), [(0, "affine"), (1, "similarity"), (0, "projective")])
def test_trainings_on_crooked_digits_are_healthy(seed, family):
    history = train(canvas(seed, family), RECIPE.but(epochs=5), seed=seed, transform=rts, probe=CROOKED, digits=1200)
    found = diagnose(history)
    assert found.name == "healthy", found
    assert 0.4 < found.measures["size"] < 1.2
    assert found.measures["on_image"] > 0.7


def test_a_training_that_has_only_begun_stands_still():
    """Plain SGD learns nothing in its first steps: that is what is said, and that it may only be the beginning."""
    found = diagnose(train(upright(), TUTORIAL_RECIPE.but(epochs=1), digits=500))
    assert found.name == "standing loss"
    assert "only the beginning" in found.advice


def test_without_theta_the_losses_are_all_there_is():
    found = diagnose(load_recorded())
    assert found.name == "healthy"
    assert "98.85" in found.seen or "99 %" in found.seen
    assert "was not recorded" in found.seen


# Broken on purpose


def test_random_weights_in_the_last_layer():
    model = upright()
    nn.init.normal_(model.stn.localization.fc_loc[-1].weight)  # its bias is the identity
    found = diagnose(train(model))
    assert found.name == "random start", found
    assert "differed from image to image" in found.seen


def test_torchs_own_initialisation_makes_the_box_a_speck():
    model = upright()
    model.stn.localization.fc_loc[-1].reset_parameters()
    found = diagnose(train(model))
    assert found.name == "random start", found
    assert "speck" in found.seen


def test_a_trained_transformer_may_start_anywhere():
    """It differs from image to image before the first step, and should."""
    model = upright()
    train(model, RECIPE.but(epochs=3, localization_factor=1.0))
    again = train(model, RECIPE.but(learning_rate=0.001))
    assert diagnose(again).name == "healthy"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_localization_networks_learning_rate_a_hundred_times_too_high(seed):
    found = diagnose(train(upright(seed), RECIPE.but(localization_factor=10.0), seed=seed, digits=2500))
    # Which of the two it becomes is chance: another version of torch rounds otherwise.
    assert found.name in ("exploded", "same for all"), found
    assert found.name == "same for all" or found.measures["largest"] > 100
    assert "localization_factor is 10" in found.advice


def test_a_dead_localization_network_gives_every_image_the_same_theta():
    found = diagnose(train(upright(2), RECIPE.but(localization_factor=10.0), seed=2, digits=2500))
    assert found.name == "same for all", found
    assert found.measures["spread"] == 0


def test_sgd_with_a_high_learning_rate_jumps():
    """0.05 for the localization network too; with the reduced rate it does not jump."""
    recipe = TUTORIAL_RECIPE.but(learning_rate=0.05, epochs=2)
    found = diagnose(train(upright(), recipe, digits=4000, every=5))
    assert found.name == "jumping", found
    calm = diagnose(train(upright(), recipe.but(localization_factor=0.1), digits=4000, every=5))
    assert calm.name == "healthy", calm


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
def test_a_box_beside_the_image_stays_there(padding_mode):
    model = upright()
    model.stn.localization.start_at(affine_theta(translation=(3, 0)).flatten())
    model.stn.sampler.padding_mode = padding_mode
    found = diagnose(train(model))
    assert found.name == "left the image", found
    assert "did not move" in found.seen
    assert "tx = +3.0" in found.seen
    # MNIST's edges are black: that border has no gradient either.
    assert found.measures["moved"] < 0.05


def test_a_box_around_the_image():
    model = upright()
    model.stn.localization.start_at(affine_theta(scale=2.5).flatten())
    found = diagnose(train(model))
    assert found.name == "zoomed out", found
    assert "2.5 times as large" in found.seen


@pytest.mark.parametrize(("scale", "shape"), [((1, 0.01), "line"), ((0.01, 0.01), "point")])
def test_a_box_without_area(scale, shape):
    model = upright()
    history = train(model)
    for snapshot in history.theta[1:]:  # a speck from the start would be a random start
        snapshot["theta"] = affine_theta(scale=scale).expand(50, -1, -1).tolist()
    found = diagnose(history)
    assert found.name == "collapsed", found
    assert shape in found.seen


def test_nearest_lets_no_gradient_through():
    model = upright()
    model.stn.sampler.mode = "nearest"
    found = diagnose(train(model))
    assert found.name == "frozen", found
    assert "nearest" in found.advice


@pytest.mark.parametrize("name", ["localization_factor", "localization_until"])
def test_a_recipe_that_freezes_the_localization_network_is_named(name):
    found = diagnose(train(upright(), RECIPE.but(**{name: 0.0})))
    assert found.name == "frozen"
    assert f"{name} is 0" in found.advice
    assert found.advice.count("is 0:") == 1


def test_labels_that_mean_nothing():
    labels = TRAIN.labels[torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(0))]
    shuffled = dataclasses.replace(TRAIN, labels=labels).subset(slice(1500))
    history = fit(upright(), shuffled, recipe=RECIPE, device="cpu", probe=PROBE, probe_every=3, verbose=False)
    found = diagnose(history)
    assert found.name == "standing loss", found
    assert f"{math.log(10):.2f}" in found.seen


def test_images_that_are_not_numbers():
    def divided_by_its_maximum(images, generator):
        images = images * (torch.rand(len(images), 1, 1, 1, generator=generator) > 0.01)  # now and then a blank one
        return images / images.amax((1, 2, 3), keepdim=True)

    with pytest.raises(FloatingPointError) as error:
        train(upright(), transform=divided_by_its_maximum)
    found = diagnose(error.value)
    assert found.name == "not a number"
    assert "epoch 1, batch" in found.seen
    assert "isfinite" in found.advice


def test_a_model_that_returns_scores_or_probabilities_is_known_by_its_loss():
    """As a history from before fit refused such models, or from a loop of one's own."""
    for last, lowest in ((nn.Identity(), -1.0), (nn.Softmax(1), -0.1)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), last)
        optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
        for images, labels in Batches(TRAIN.subset(slice(1000)), 100):
            loss = nn.functional.nll_loss(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        history = note([affine_theta().tolist() * 2] * 2, losses)
        found = diagnose(history)
        assert found.name == "no log-probabilities", found
        assert found.measures["lowest_loss"] == min(losses) < lowest
        assert "log_softmax" in found.advice
        assert diagnose(note([], [*losses, math.nan])).name == "no log-probabilities"


@pytest.mark.parametrize("loss", [0.0, 1e-7, -1e-6])
def test_a_loss_of_nearly_0_is_none_of_that(loss):
    assert diagnose(note([], [0.5, loss])).name == "healthy"


def test_a_test_loss_below_0_is_seen_too():
    history = note([], [0.5])
    history.epochs[0] |= {"test_loss": -3.0}
    assert diagnose(history).name == "no log-probabilities"


def test_poor_answers_are_not_healthy():
    """Whatever θ looks like: 44 % of ten classes is nearer to guessing than to reading."""
    fine = [affine_theta().tolist() * 2, [affine_theta(rotation=r)[0].tolist() for r in (5, 9)]]
    for accuracy, name in ((0.1, "poor answers"), (0.44, "poor answers"), (0.52, "healthy"), (0.9, "healthy")):
        history = note(fine, losses=[1.9])
        history.epochs[0]["test_accuracy"] = accuracy
        assert diagnose(history).name == name
    history.epochs[0]["test_accuracy"] = 0.44
    found = diagnose(history)
    assert "Only 44 % of the test digits are right; guessing gets 10 %." in found.seen
    assert "gradient" in found.advice
    assert diagnose(history, classes=100).name == "poor answers"
    history.epochs[0] |= {"test_accuracy": 0.6, "train_loss": 0.5}
    assert diagnose(history, classes=2).name == "poor answers"  # guessing gets half of them
    history.theta.clear()
    assert "θ was not recorded" in diagnose(history, classes=2).seen


# What is not a run


def note(thetas, losses=(1.0,), step=50, **recipe):
    """A history made up: of θ for each moment, and losses."""
    return History(
        recipe,
        [{"epoch": i + 1, "train_loss": loss, "test_accuracy": None} for i, loss in enumerate(losses)],
        [{"step": step * i, "theta": theta} for i, theta in enumerate(thetas)],
    )


def test_theta_that_is_not_a_number_and_losses_that_are_not():
    nan = [[[math.nan] * 3] * 2] * 2
    assert "θ after step 50" in diagnose(note([affine_theta().tolist() * 2, nan])).seen
    assert diagnose(note([], losses=[math.inf])).name == "not a number"


def test_a_single_probe_image_and_a_single_moment_are_enough_for_an_answer():
    one = affine_theta().tolist()
    assert diagnose(note([one])).name == "healthy"
    assert diagnose(note([one, one])).name == "frozen"
    assert diagnose(note([one, affine_theta(rotation=5).tolist()])).name == "healthy"


def test_a_smooth_way_is_no_jump_however_long():
    there = [affine_theta(translation=(0.2 * i, 0)).tolist() * 2 for i in range(-4, 5)]
    there = [[*theta[:1], (torch.tensor(theta[1]) + 0.01).tolist()] for theta in there]  # not the same for both
    assert diagnose(note(there)).name == "healthy"
    to_and_fro = [there[i] for i in (4, 5, 4, 5, 4, 5, 4, 5, 4, 5)]
    assert diagnose(note(to_and_fro)).name == "jumping"


def test_a_spline_has_no_theta_to_look_at():
    assert "was not recorded" in diagnose(History({}, note([]).epochs, [{"step": 0, "theta": None}])).seen


def test_classes_say_what_guessing_costs():
    assert diagnose(note([], losses=[math.log(3)]), classes=3).name == "standing loss"
    assert diagnose(note([], losses=[math.log(3)]), classes=10).name == "healthy"
    with pytest.raises(ValueError, match="classes"):
        diagnose(note([]), classes=1)


def test_it_prints_as_a_note_and_holds_the_numbers():
    found = diagnose(note([affine_theta(translation=(3, 0)).tolist() * 2] * 2, localization_factor=0.5))
    lines = str(found).splitlines()
    assert lines[0] == "diagnosis  left the image"
    assert [line[:11].strip() for line in lines if line[0] != " "] == ["diagnosis", "seen", "try"]
    assert max(map(len, lines)) <= 100
    assert found.name in SYMPTOMS
    assert found.measures["tx"] == pytest.approx(3)
    assert "0.5" in found.advice


@pytest.mark.parametrize(
    ("wrong", "error"), [(None, TypeError), (0.3, TypeError), (History({}), ValueError), (ValueError(), TypeError)]
)
def test_what_is_no_history_is_refused(wrong, error):
    with pytest.raises(error, match="history"):
        diagnose(wrong)


@pytest.mark.parametrize("default", ["meta", torch.bfloat16], ids=str)
def test_torchs_defaults_do_not_matter(default):
    history = History({}, theta=[{"step": step, "theta": [[[1.0, 0, 3], [0, 1, 0]]] * 2} for step in (0, 50)])
    expected = diagnose(history).measures
    dtype = torch.get_default_dtype()
    try:
        if default == "meta":
            torch.set_default_device(default)
        else:
            torch.set_default_dtype(default)
        assert diagnose(history).measures == expected
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)


def test_what_a_history_lacks_is_named():
    with pytest.raises(ValueError, match=r"^history: expected 'train_loss' in each row of epochs, row 0 has none$"):
        diagnose(History({}, epochs=[{"epoch": 1}]))
    with pytest.raises(ValueError, match=r"^history: expected 'theta' in each row of theta, row 0 has none$"):
        diagnose(History({}, theta=[{"step": 1}]))
