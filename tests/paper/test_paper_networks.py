"""The networks of the paper's table: their size, their layers, and what a transformer does in them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stncourse import BACKGROUND, PAPER_MODELS, PaperNetwork, Recipe, distort, fit, load_digits, normalize
from stncourse.paper.addition_networks import AdditionNetwork
from stncourse.paper.sequence_networks import RecurrentReader, SequenceNetwork

models = pytest.mark.parametrize("name", PAPER_MODELS)
transformers = pytest.mark.parametrize("name", [name for name in PAPER_MODELS if name.startswith("ST-")])
SIZES = {"R": 28, "RTS": 42, "TC": 60}
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def made(name, size=28, **options):
    torch.manual_seed(0)
    return PaperNetwork(name, size, **options).eval()


def some_images(size, count=3):
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(1))


@models
@sizes
def test_every_network_has_about_400_000_parameters(name, size):
    count = sum(p.numel() for p in PaperNetwork(name, size).parameters())
    assert abs(count / 400_000 - 1) < 0.01


@models
@sizes
def test_gives_log_probabilities_of_ten_classes(name, size):
    output = made(name, size)(some_images(size))
    assert output.shape == (3, 10)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.exp().sum(1), torch.ones(3))


@models
def test_images_need_not_be_square(name):
    assert made(name, (29, 46))(torch.randn(2, 1, 29, 46)).shape == (2, 10)


def layers(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("name", ["CNN", "ST-CNN Aff", "ST-CNN Proj", "ST-CNN TPS"])
def test_the_convolutions_are_the_papers(name):
    model = PaperNetwork(name)
    shapes = [tuple(layer.weight.shape) for layer in layers(model.classifier, nn.Conv2d)]
    assert shapes == [(32, 1, 9, 9), (64, 32, 7, 7)]
    assert len(layers(model.classifier, nn.MaxPool2d)) == 2
    if model.stn is not None:
        localization = model.stn.localization
        assert isinstance(localization[0], nn.AvgPool2d)
        assert [tuple(c.weight.shape) for c in layers(localization, nn.Conv2d)] == [(20, 1, 5, 5), (20, 20, 5, 5)]
        assert next(layer.out_features for layer in layers(localization, nn.Linear)) == 20


@pytest.mark.parametrize("name", ["FCN", "ST-FCN Aff"])
def test_the_fully_connected_have_no_convolution_and_two_hidden_layers(name):
    model = PaperNetwork(name)
    assert not layers(model, nn.Conv2d)
    hidden = [layer.out_features for layer in layers(model.classifier, nn.Linear)]
    assert hidden[0] == hidden[1]
    assert hidden[2:] == [10]


@transformers
def test_the_families_are_those_of_the_names(name):
    generator = type(PaperNetwork(name).stn.grid_generator).__name__
    family = name.split()[1]
    assert generator == {"Aff": "AffineGrid", "Proj": "ProjectiveGrid", "TPS": "ThinPlateSplineGrid"}[family]


@transformers
def test_untrained_a_transformer_changes_nothing(name):
    model, images = made(name), some_images(28)
    expected = F.log_softmax(model.classifier(images), 1)
    torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=0)


@transformers
@pytest.mark.parametrize("size", [42, 60])
def test_on_a_canvas_the_output_is_averaged_from_56_to_28(name, size):
    model, images = made(name, size), some_images(size)
    seen = model.stn(images)
    assert seen.shape == (3, 1, 56, 56)
    means = seen.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    torch.testing.assert_close(model(images), F.log_softmax(model.classifier(means), 1), atol=1e-5, rtol=0)


@transformers
def test_outside_the_image_lies_background(name):
    model = PaperNetwork(name)
    with torch.no_grad():
        model.stn.localization[-1].bias.mul_(3)  # far outside, whatever the family
        if name.endswith("Proj"):
            model.stn.localization[-1].bias[6:] = 0
    seen = model.stn(torch.full((1, 1, 28, 28), 5.0))
    assert seen[0, 0, 0, 0].item() == pytest.approx(BACKGROUND)
    assert seen[0, 0, 14, 14].item() == pytest.approx(5.0)


@transformers
def test_the_localization_network_learns(name):
    model = PaperNetwork(name, 42).train()
    model(normalize(distort(load_digits("test", "offline").images[::100], "RTS").images)).sum().backward()
    gradient = model.stn.localization[-1].bias.grad
    assert gradient.isfinite().all()
    assert (gradient != 0).all()


@models
def test_bfloat16_is_nearly_float32_and_leaves_theta_exact(name):
    images = normalize(load_digits("test", "offline").images[::50])
    exact, coarse = made(name), made(name, precision="bfloat16")
    for a, b in zip(exact.parameters(), coarse.parameters(), strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert torch.equal(a, b)
    difference = (exact(images) - coarse(images)).abs().max()
    assert 0 < difference < 0.05
    assert coarse(images).dtype == torch.float32
    if exact.stn is not None:
        assert torch.equal(exact.stn.transform(images).grid, coarse.stn.transform(images).grid)


@models
def test_fit_sets_its_dropout_and_knows_its_localization_network(name):
    digits = load_digits("test", "offline").subset(slice(64))
    model = made(name)
    before = [p.clone() for p in model.parameters()]
    recipe = Recipe("still", epochs=1, batch_size=64, learning_rate=0.1, localization_factor=0.0, dropout=0.7)
    fit(model, digits, recipe=recipe, device="cpu", verbose=False)
    assert {layer.p for layer in layers(model, nn.Dropout)} == {0.7}
    for (key, after), old in zip(model.named_parameters(), before, strict=True):
        assert torch.equal(after, old) == key.startswith("stn."), key


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("RNN",), "name"),
        ((["CNN"],), "name"),
        (("CNN", 27), "image_size"),
        (("ST-CNN Aff", (28, 20)), "image_size"),
        (("FCN", 0), "image_size"),
        (("FCN", 28, 0.3, "float64"), "precision"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        PaperNetwork(*arguments)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"^images: expected .* \(N, 1, 28, 28\)"):
        PaperNetwork("CNN")(torch.zeros(1, 1, 42, 42))


@pytest.mark.parametrize("dropout", ["x", None, torch.nan, 1.5])
@pytest.mark.parametrize(
    "make",
    [
        lambda **options: PaperNetwork("CNN", **options),
        lambda **options: AdditionNetwork("FCN", 42, **options),
        lambda **options: SequenceNetwork("CNN", **options),
        RecurrentReader,
    ],
)
def test_dropout_is_a_probability(make, dropout):
    with pytest.raises(ValueError, match=r"^dropout: expected a probability, 0 to 1, got"):
        make(dropout=dropout)


@pytest.mark.parametrize("size", [500, 3000])
@pytest.mark.parametrize(("network", "name"), [(PaperNetwork, "CNN"), (AdditionNetwork, "CNN")])
def test_images_that_are_too_large_for_the_parameters_are_named(network, name, size):
    with pytest.raises(ValueError, match=rf"^image_size: expected images that 400,000 parameters .* got {size}×{size}"):
        network(name, size)


def test_the_fully_connected_ones_end_somewhere_too():
    assert PaperNetwork("FCN", 600)(torch.zeros(1, 1, 600, 600)).shape == (1, 10)
    for network in (PaperNetwork, AdditionNetwork):
        with pytest.raises(ValueError, match=r"^image_size: expected images that 400,000 parameters are enough for"):
            network("FCN", 900)
