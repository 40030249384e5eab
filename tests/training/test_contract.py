"""What ``fit`` and ``evaluate`` ask of a model and of digits is said by name, and before anything is changed."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stncourse import FAST_RECIPE, TUTORIAL_RECIPE, DigitCNN, Digits, STNClassifier, evaluate, fit, load_digits

TRAIN = load_digits("train", source="offline").subset(slice(130))
TEST = load_digits("test", source="offline").subset(slice(None, None, 20))


def log_softmax(x):
    return F.log_softmax(x, dim=1)


class Net(nn.Module):
    """A small network, whose last operation may be any."""

    def __init__(self, last=log_softmax, classes=10, middle=None):
        super().__init__()
        middle = middle or nn.BatchNorm1d(16, momentum=0.5)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), middle, nn.ReLU(), nn.Linear(16, classes))
        self.last = last

    def forward(self, images):
        return self.last(self.layers(images))


def quick_fit(model, train=TRAIN, test=None, recipe=FAST_RECIPE, **options):
    return fit(model, train, test, recipe, "cpu", verbose=False, **options)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def refused(model, error, message, **options):
    """``fit`` refuses it, and the model is as it was, its BatchNorms' statistics too."""
    model.layers_of_another_mode = nn.Dropout(0.3).eval()
    before, modes = state(model), [module.training for module in model.modules()]
    with pytest.raises(error, match=message):
        quick_fit(model, **options)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert model.layers_of_another_mode.p == 0.3
    assert all(parameter.requires_grad for parameter in model.parameters())


# What comes out

NOT_LOG_PROBABILITIES = {
    "scores": lambda x: x,
    "small scores": lambda x: 0.001 * x,
    "probabilities": lambda x: x.softmax(1),
    "one by one": torch.sigmoid,
    "logarithms one by one": F.logsigmoid,
    "over the batch": lambda x: F.log_softmax(x, dim=0),
    "half of them": lambda x: torch.cat([log_softmax(x[: len(x) // 2]), x[len(x) // 2 :]]),
    "bfloat16 scores": lambda x: x.bfloat16(),
}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("last", NOT_LOG_PROBABILITIES.values(), ids=NOT_LOG_PROBABILITIES)
def test_what_is_no_log_probability_is_said_at_the_first_batch(last, smoothing):
    recipe = FAST_RECIPE.but(label_smoothing=smoothing)
    refused(Net(last), ValueError, r"^model: expected log-probabilities.*log_softmax", recipe=recipe)
    with pytest.raises(ValueError, match=r"^model: expected log-probabilities.*log_softmax"):
        evaluate(Net(last), TEST, "cpu")


def test_probabilities_are_called_so():
    refused(Net(lambda x: x.softmax(1)), ValueError, "got probabilities: .* instead of softmax")


@pytest.mark.parametrize("classes", [10, 1000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("back", [False, True])
def test_rounded_log_probabilities_are_such(classes, dtype, back):
    def rounded(x):
        x = log_softmax(x).to(dtype)
        return x.float() if back else x

    for last in (rounded, lambda x: rounded(0 * x)):  # all classes alike: all are rounded to the same side
        model = Net(last, classes)
        assert math.isfinite(quick_fit(model, test=TEST).epochs[0]["test_loss"])


WRONG_SHAPES = {
    "one number per image": lambda x: log_softmax(x)[:, 0],
    "(N, C, 1)": lambda x: log_softmax(x)[..., None],
    "one row": lambda x: log_softmax(x)[:1],
    "turned": lambda x: log_softmax(x).T,
    "a tuple": lambda x: (log_softmax(x), x),
    "a dict": lambda x: {"out": log_softmax(x)},
    "nothing": lambda x: None,
    "the class": lambda x: x.argmax(1),
    "whole numbers": lambda x: x.long(),
}


@pytest.mark.parametrize("last", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_another_shape_or_kind_of_output_is_named(last):
    message = r"^model: expected log-probabilities, a tensor of shape \(\d+, classes\), got "
    refused(Net(last), (TypeError, ValueError), message)
    with pytest.raises((TypeError, ValueError), match=message):
        evaluate(Net(last), TEST, "cpu")


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_what_is_not_finite_is_said_as_such(factor):
    with pytest.raises(FloatingPointError, match=r"^the loss became (nan|inf) in epoch 1, batch 1"):
        quick_fit(Net(lambda x: factor * log_softmax(x)))
    assert math.isnan(evaluate(Net(lambda x: math.nan * log_softmax(x)), TEST, "cpu").loss)


def test_a_checkpoint_that_is_no_good_leaves_the_dropout_as_it_was(tmp_path):
    model = STNClassifier()
    before = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    (tmp_path / "run").write_text("something else")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        quick_fit(model, checkpoint=tmp_path / "run", resume=True)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == before


def test_the_recipes_dropout_stays_in_a_model_that_was_trained():
    model = Net(middle=nn.Dropout(0.3))
    quick_fit(model)
    assert model.layers[2].p == FAST_RECIPE.dropout


def test_an_output_that_nothing_can_be_learned_from_is_named():
    refused(Net(lambda x: log_softmax(x).detach()), ValueError, r"^model: .* detached")


# Labels


@pytest.mark.parametrize("classes", [1, 3, 9])
def test_fewer_classes_than_labels_are_named(classes):
    message = f"^model: expected at least 10 classes, as the labels of train go up to 9, got {classes}"
    refused(Net(classes=classes), ValueError, message)
    with pytest.raises(ValueError, match=message.replace("train", "digits")):
        evaluate(Net(classes=classes), TEST, "cpu")


def test_test_labels_beyond_the_classes_are_named_before_the_training():
    few = TRAIN.subset(TRAIN.labels < 3)
    refused(Net(classes=3), ValueError, "the labels of test go up to 9, got 3", train=few, test=TEST)


@pytest.mark.parametrize("label", [-100, -1])
def test_negative_labels_are_named(label):
    spoilt = dataclasses.replace(TRAIN)
    object.__setattr__(spoilt, "labels", torch.where(torch.arange(130) == 7, label, TRAIN.labels))
    message = f": expected labels from 0 on, got {label}"
    refused(Net(), ValueError, "^train" + message, train=spoilt)
    refused(Net(), ValueError, "^test" + message, test=spoilt)
    with pytest.raises(ValueError, match="^digits" + message):
        evaluate(Net(), spoilt, "cpu")


# A single image


@pytest.mark.parametrize(("count", "batch_size"), [(65, 64), (1, 64), (31, 10), (5, 1)])
def test_a_batch_of_one_that_the_model_cannot_learn_from_is_said_before_the_first_step(count, batch_size):
    recipe = TUTORIAL_RECIPE.but(batch_size=batch_size, epochs=1)
    message = rf"^batch_size: .*Expected more than 1 value per channel.*got {batch_size} for {count} images"
    refused(Net(), ValueError, message, train=TRAIN.subset(slice(count)), recipe=recipe)


def test_the_advice_about_a_batch_of_one_works():
    seven, recipe = TRAIN.subset(slice(7)), TUTORIAL_RECIPE.but(epochs=1)
    with pytest.raises(ValueError, match=r"; 4 would do$"):  # 3 leaves one too
        quick_fit(Net(), seven, recipe=recipe.but(batch_size=2))
    quick_fit(Net(), seven, recipe=recipe.but(batch_size=4))


def test_a_forward_that_squeezes_meets_its_batch_of_one_before_the_first_step():
    model = Net(lambda x: log_softmax(x).squeeze(), middle=nn.Identity())
    refused(model, ValueError, r"^batch_size: .* got 64 for 65 images", train=TRAIN.subset(slice(65)))


class Pixelwise(nn.Module):
    """BatchNorm over many pixels can do with one image."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, images):
        return log_softmax(self.out(self.norm(self.conv(images)).mean((2, 3))))


def test_who_can_do_with_one_image_is_trained_and_the_trial_leaves_no_trace():
    models = [Pixelwise(), Net(middle=nn.BatchNorm1d(16).eval()), Net(middle=nn.Dropout(0.5))]
    notes = [quick_fit(model, TRAIN.subset(slice(65))).info["notes"][1:] for model in models]
    assert notes == [[], ["in eval mode, as before the training: layers.2"], []]
    assert models[0].norm.num_batches_tracked == 2
    assert models[1].layers[2].num_batches_tracked == 0


def test_the_trial_with_one_image_draws_no_random_numbers():
    """65 images in batches of 64, then of 65 without a trial: the first batch's dropout masks are the same."""
    masks = {}
    for size, images in ((64, 65), (64, 64)):
        model = Net(middle=nn.Dropout(0.5))
        seen = masks.setdefault(images, [])
        model.layers[2].register_forward_hook(lambda module, x, y, seen=seen: seen.append((len(y), module.training, y)))
        torch.manual_seed(1)
        nn.init.constant_(model.layers[1].weight, 0.0)
        nn.init.constant_(model.layers[1].bias, 1.0)
        quick_fit(model, TRAIN.subset(slice(images)), recipe=TUTORIAL_RECIPE.but(epochs=1, batch_size=size))
    (with_trial,) = [y for count, training, y in masks[65] if count == 64 and training]
    (without,) = [y for count, training, y in masks[64] if count == 64 and training]
    assert torch.equal(with_trial, without)


# What comes only later in an epoch


class OnlyInEval(Net):
    """Its last operation is ``last`` in eval mode only."""

    def forward(self, images):
        return (log_softmax if self.training else self.last)(self.layers(images))


@pytest.mark.parametrize(("last", "error"), [(lambda x: x, ValueError), (lambda x: None, TypeError)])
def test_an_eval_mode_that_breaks_the_contract_is_said_when_it_is_measured(last, error):
    with pytest.raises(error, match=r"^model: expected log-probabilities"):
        quick_fit(OnlyInEval(last), TRAIN, TEST)


class Of64(nn.Module):
    """A batch size in its code."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)

    def forward(self, images):
        return log_softmax(self.out(images.view(64, 784)))


def test_a_batch_size_in_the_models_code_is_said_of_the_smaller_batch():
    message = r"^model: expected one that takes a float32 tensor of shape \(36, 1, 28, 28\), got an error: shape '\[64"
    with pytest.raises(ValueError, match=message):
        quick_fit(Of64(), TRAIN.subset(slice(100)))
    quick_fit(Of64(), TRAIN.subset(slice(128)))  # all batches are of that size


# Weights that cannot learn, or are not there


def only_the_localization_learns():
    model = STNClassifier()
    model.requires_grad_(False)
    model.stn.localization.requires_grad_(True)
    return model


@pytest.mark.parametrize("until", [0.0, 0.5, 0.9])
def test_nothing_left_to_learn_once_the_localization_is_frozen_is_said_at_the_start(until):
    recipe = FAST_RECIPE.but(localization_until=until, batch_size=10)
    model = only_the_localization_learns()
    before = state(model)
    with pytest.raises(ValueError, match=f"^localization_until: expected 1.0 .* got {until}"):
        quick_fit(model, recipe=recipe)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [
        p.requires_grad for p in only_the_localization_learns().parameters()
    ]


@pytest.mark.parametrize("until", [0.99, 1.0])
def test_a_localization_that_is_never_frozen_may_learn_alone(until):
    model = only_the_localization_learns()
    before = state(model)
    quick_fit(model, recipe=FAST_RECIPE.but(localization_until=until, batch_size=50))
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"stn"}


@pytest.mark.parametrize("model", [DigitCNN().requires_grad_(False), nn.Sequential(nn.Flatten(), nn.LogSoftmax(1))])
def test_a_model_that_cannot_learn_is_named(model):
    with pytest.raises(ValueError, match=r"^model: expected parameters that can learn"):
        quick_fit(model)


def test_weights_that_are_not_there_are_named():
    half_way = DigitCNN()
    half_way.fc2.to("meta")
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(10), nn.LogSoftmax(1))
    for model, message in [(DigitCNN().to("meta"), "meta"), (half_way, "fc2.*meta"), (lazy, "'1.weight' is not made")]:
        for ask in (quick_fit, lambda model: evaluate(model, TEST, "cpu")):
            with pytest.raises(ValueError, match=f"^model: .*{message}"):
                ask(model)


def test_an_expanded_parameter_is_refused_before_torch_writes_beyond_its_memory():
    model = Net()
    model.extra = nn.Parameter(torch.zeros(1).expand(10))
    refused(model, ValueError, r"^model: .*'extra' is expanded")


# Images that the model does not take


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_gets_images_in_the_dtype_of_its_weights(dtype):
    for make in (STNClassifier, DigitCNN):
        model = make().to(dtype)
        options = {"probe": TEST.images[:2]} if make is STNClassifier else {}
        history = quick_fit(model, test=TEST, **options)
        assert math.isfinite(history.epochs[0]["test_loss"])
        assert {p.dtype for p in model.parameters()} == {dtype}


def test_a_float64_model_learns_what_a_float32_one_does():
    losses = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        losses.append(quick_fit(DigitCNN().to(dtype), test=TEST).epochs[0]["test_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_float16_weights_are_measured_and_not_trained():
    assert math.isfinite(evaluate(DigitCNN().half(), TEST, "cpu").loss)
    refused(DigitCNN().half(), ValueError, r"^model: expected weights of float32.*got float16")


def test_weights_of_several_dtypes_are_named_by_what_torch_says_of_them():
    model = STNClassifier()
    model.classifier.double()
    refused(model, ValueError, r"^model: expected one that takes a float32 tensor of shape \(64, 1, 28, 28\), got")


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(700, 10), nn.LogSoftmax(1)),
        nn.Sequential(nn.Conv2d(3, 1, 28), nn.Flatten(), nn.Linear(1, 10), nn.LogSoftmax(1)),
    ],
)
def test_images_that_a_model_cannot_take_are_named(model):
    refused(model, ValueError, r"^model: expected one that takes a float32 tensor of shape \(64, 1, 28, 28\)")
    with pytest.raises(ValueError, match=r"^model: expected one that takes a float32 tensor"):
        evaluate(model, TEST, "cpu")


class Refuses(nn.Module):
    """Ends in an error that ``fails`` raises of its images."""

    def __init__(self, fails):
        super().__init__()
        self.weight, self.fails = nn.Parameter(torch.zeros(1)), fails

    def forward(self, images):
        return self.fails(images)


TORCHS_OWN = {
    "Dimension out of range": lambda x: x.flatten(5),
    "index 5 is out of bounds for dimension 1": lambda x: x[:, 5],
    "Expected more than 1 value per channel": lambda x: F.batch_norm(x[:1, :, 0, 0], None, None, training=True),
}


@pytest.mark.parametrize(("text", "fails"), TORCHS_OWN.items(), ids=TORCHS_OWN)
def test_any_error_of_torchs_is_put_into_words(text, fails):
    refused(Refuses(fails), ValueError, rf"^model: expected one that takes a float32 tensor .*got an error: {text}")


def of_its_own(images):
    raise ValueError("I want photographs")


@pytest.mark.parametrize(("error", "fails"), [(ValueError, of_its_own), (IndexError, lambda x: [][3])])
def test_a_models_own_error_stays_as_it_is(error, fails):
    refused(Refuses(fails), error, r"^(I want photographs|list index out of range)$")


def test_test_images_of_another_size_are_tried_before_the_training():
    larger = Digits(F.pad(TEST.images, (2, 2, 2, 2)), TEST.labels, TEST.source)
    refused(Net(), ValueError, r"^model: expected one that takes .*32, 32", test=larger)
    refused(STNClassifier(), ValueError, r"^images: expected", test=larger)
    assert math.isfinite(quick_fit(Pixelwise(), test=larger).epochs[0]["test_loss"])  # it takes any size


# Numbers in any form


@pytest.mark.parametrize("seed", [np.int64(3), torch.tensor(3), np.array(3), 2**64 - 1, 2**63])
def test_any_whole_number_is_a_seed(seed):
    assert quick_fit(DigitCNN(), seed=seed).info["seed"] == int(seed)
    assert type(quick_fit(DigitCNN(), seed=seed).info["seed"]) is int


@pytest.mark.parametrize("seed", [2**64, 99999999999999999999])
def test_a_seed_too_large_is_named(seed):
    refused(DigitCNN(), ValueError, r"^seed: expected an int from 0 to 2\*\*64 - 1", seed=seed)
