"""The classifiers, and the classic tutorial's network as the oracle for the weights it left behind."""

import copy
import math

import pytest
import torch
from torch import nn
from tutorial import Net as TutorialNet

from stncourse import (
    BACKGROUND,
    DigitCNN,
    Digits,
    STNClassifier,
    distort,
    evaluate,
    load_digits,
    load_pretrained,
    normalize,
)

SIZES = [(1, 1), (5, 40), (28, 28), (42, 31)]


@pytest.fixture(scope="module")
def test_digits():
    return load_digits("test", source="offline")


@pytest.fixture(scope="module")
def images(test_digits):
    return normalize(test_digits.images[::10])


@pytest.fixture
def tutorial_net():
    """Random weights, and a θ that looks well outside the image: only then does the padding matter."""
    torch.manual_seed(3)
    net = TutorialNet()
    nn.init.normal_(net.fc_loc[2].weight, std=0.05)
    net.fc_loc[2].bias.data.copy_(torch.tensor([1.6, 0.2, 0.3, -0.1, 1.6, -0.2]))
    nn.init.normal_(net.fc2.weight, std=0.5)
    return net.eval()


def count(model):
    return sum(p.numel() for p in model.parameters())


# The networks


def test_parameter_counts_are_the_tutorials():
    assert count(DigitCNN()) == 21_840
    assert count(STNClassifier()) == count(TutorialNet()) == 27_360


def test_the_width_scales_channels_and_hidden_units():
    model = DigitCNN(28, width=1.13)
    sizes = model.conv1.out_channels, model.conv2.out_channels, model.fc1.out_features, model.fc2.out_features
    assert sizes == (11, 23, 56, 10)
    assert count(model) == (25 * 11 + 11) + (25 * 11 * 23 + 23) + (16 * 23 * 56 + 56) + (56 * 10 + 10)
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    assert DigitCNN(width=0.01)(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("width", [0, -1.0, math.inf, math.nan, "2", None])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(ValueError, match=r"^width: expected a number > 0, got"):
        DigitCNN(width=width)


@pytest.mark.parametrize("model_class", [DigitCNN, STNClassifier])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_models_give_log_probabilities_for_any_size_and_channels(model_class, size, channels):
    output = model_class(size, channels, num_classes=7)(torch.randn(4, channels, *size))
    assert output.shape == (4, 7)
    torch.testing.assert_close(output.exp().sum(1), torch.ones(4))


@pytest.mark.parametrize("output_size", [16, (20, 9)])
def test_stn_classifier_hands_the_output_size_to_its_classifier(output_size):
    model = STNClassifier((40, 60), output_size=output_size)
    images = torch.randn(2, 1, 40, 60)
    size = (output_size, output_size) if isinstance(output_size, int) else output_size
    assert model.stn(images).shape[-2:] == size
    assert model.classifier.image_size == size
    assert model(images).shape == (2, 10)


def test_stn_classifier_is_the_transformer_and_then_the_classifier(images):
    model = STNClassifier().eval()
    assert torch.equal(model(images), model.classifier(model.stn(images)))
    torch.testing.assert_close(model.stn(images), images, atol=1e-5, rtol=0)


def test_stn_classifier_pads_with_background():
    assert STNClassifier().stn.sampler.padding_value == pytest.approx(BACKGROUND)
    assert STNClassifier(padding_value=1.5).stn.sampler.padding_value == 1.5


@pytest.mark.parametrize("model_class", [DigitCNN, STNClassifier])
def test_dropout_is_set_in_both_dropouts_and_acts_only_in_training(model_class, images):
    model = model_class(dropout=0.3)
    assert [m.p for m in model.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))] == [0.3, 0.3]
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("model_class", [DigitCNN, STNClassifier])
def test_images_of_another_shape_are_refused(model_class):
    for images in (torch.zeros(2, 1, 28, 27), torch.zeros(2, 3, 28, 28), torch.zeros(1, 28, 28)):
        with pytest.raises(ValueError, match=r"^images: expected"):
            model_class()(images)


@pytest.mark.parametrize("model_class", [DigitCNN, STNClassifier])
@pytest.mark.parametrize("argument", ["image_size", "in_channels", "num_classes"])
def test_errors_name_the_argument(model_class, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        model_class(**{argument: 0})


# load_tutorial_state_dict


def test_tutorial_weights_give_the_tutorials_outputs(tutorial_net, images):
    model = STNClassifier().eval()
    model.load_tutorial_state_dict(tutorial_net.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model(images), tutorial_net(images), atol=1e-5, rtol=0)
        assert (tutorial_net(images).std(0) > 0.1).any()  # the comparison means something


def test_tutorial_weights_with_background_as_padding_give_other_outputs(tutorial_net, images):
    model = STNClassifier().eval()
    model.load_tutorial_state_dict(tutorial_net.state_dict())
    assert model.stn.sampler.padding_value == 0.0
    model.stn.sampler.padding_value = BACKGROUND
    with torch.no_grad():
        assert (model(images) - tutorial_net(images)).abs().max() > 0.1


def without(key):
    return lambda state: {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (without("fc_loc.2.bias"), ValueError, r"^state_dict: .*'fc_loc\.2\.bias' is missing"),
        (lambda state: {}, ValueError, r"^state_dict: .* is missing"),
        (lambda state: state | {"fc3.bias": torch.zeros(1)}, ValueError, r"^state_dict: .* unknown key 'fc3\.bias'"),
        (
            lambda state: state | {"conv1.weight": torch.zeros(10, 1, 3, 3)},
            ValueError,
            r"^state_dict\['conv1\.weight'\]: expected .* \(10, 1, 5, 5\)",
        ),
        (lambda state: state | {"fc2.bias": torch.zeros(11)}, ValueError, r"^state_dict\['fc2\.bias'\]: expected"),
        (lambda state: state | {"fc2.bias": [0.0] * 10}, TypeError, r"^state_dict\['fc2\.bias'\]: expected"),
        (lambda state: list(state.values()), TypeError, r"^state_dict: expected"),
        (lambda state: TutorialNet(), TypeError, r"^state_dict: expected"),
        (lambda state: None, TypeError, r"^state_dict: expected"),
        (lambda state: STNClassifier().state_dict(), ValueError, r"^state_dict: .* is missing"),
    ],
)
def test_a_bad_state_dict_is_refused_and_nothing_is_changed(tutorial_net, spoil, error, message):
    model = STNClassifier()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        model.load_tutorial_state_dict(spoil(dict(tutorial_net.state_dict())))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.stn.sampler.padding_value == pytest.approx(BACKGROUND)


def test_tutorial_weights_are_refused_by_a_model_of_another_size(tutorial_net):
    with pytest.raises(ValueError, match=r"^state_dict\['fc.*: expected"):
        STNClassifier(42).load_tutorial_state_dict(tutorial_net.state_dict())


# load_pretrained


@pytest.fixture(scope="module")
def pretrained():
    return load_pretrained()


@pytest.fixture(scope="module")
def distorted(test_digits):
    return distort(test_digits.images, "RTS", torch.Generator().manual_seed(7))


def test_pretrained_model_recognises_distorted_digits(pretrained, distorted, test_digits):
    digits = Digits(distorted.images, test_digits.labels, "offline")
    assert evaluate(pretrained, digits, device="cpu").accuracy >= 0.93


def test_pretrained_model_says_how_it_was_made(pretrained):
    assert not pretrained.training
    assert (pretrained.info["distortion"], pretrained.info["customer"]) == ("RTS", "linear")
    assert 0.93 <= pretrained.info["test_accuracy"] <= 1
    assert {"seed", "hardware", "versions", "date", "epochs"} <= pretrained.info.keys()
    assert pretrained.stn.localization.image_size == (pretrained.info["image_size"],) * 2 == (42, 42)
    assert pretrained.stn.output_size == (pretrained.info["output_size"],) * 2 == (28, 28)


def angle(matrix):
    """The rotation that comes closest to each 2×2 matrix, in degrees."""
    return torch.rad2deg(torch.atan2(matrix[:, 1, 0] - matrix[:, 0, 1], matrix[:, 0, 0] + matrix[:, 1, 1]))


def test_pretrained_model_undoes_much_of_the_distortion(pretrained, distorted):
    """It brings digits to one place and one angle: they spread less after it than before."""
    with torch.no_grad():
        found = pretrained.stn.transform(normalize(distorted.images)).theta
    center_before = -torch.linalg.solve(distorted.theta[:, :, :2], distorted.theta[:, :, 2])  # of the digit
    center_after = torch.linalg.solve(found[:, :, :2], center_before - found[:, :, 2])
    assert (center_after.std(0) < 0.5 * center_before.std(0)).all()
    assert angle(distorted.theta[:, :, :2] @ found[:, :, :2]).std() < 0.75 * angle(distorted.theta).std()


@pytest.mark.parametrize(("customer", "least", "most"), [("linear", 0.4, 1.1), ("CNN", -0.15, 0.15)])
def test_a_transformer_turns_digits_only_for_a_customer_who_needs_it(customer, least, most, distorted):
    """Degrees that its frame turns, per degree that the digit was turned."""
    with torch.no_grad():
        chosen = angle(load_pretrained(customer=customer).stn.transform(normalize(distorted.images)).theta)
    turned = angle(distorted.theta)
    slope = -((turned - turned.mean()) * (chosen - chosen.mean())).sum() / (turned - turned.mean()).square().sum()
    assert least < slope < most


def test_pretrained_on_turned_digits_takes_images_of_their_own_size(test_digits):
    model = load_pretrained("R", "CNN")
    turned = distort(test_digits.images, "R", torch.Generator().manual_seed(7)).images
    assert evaluate(model, Digits(turned, test_digits.labels, "offline"), device="cpu").accuracy >= 0.96


@pytest.mark.parametrize(
    ("arguments", "named"), [(("E", "CNN"), "distortion"), (("RTS", "cnn"), "customer"), (("R", "linear"), "customer")]
)
def test_no_other_networks_ship(arguments, named):
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        load_pretrained(*arguments)
