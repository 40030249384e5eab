"""``evaluate`` is compared with a computation by hand, and leaves the model as it was."""

import pytest
import torch
from short_trainings import EMPTY, TEST, make, quick_fit, same_weights

from stncourse import FAST_RECIPE, STNClassifier, evaluate


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
