"""The localization network: identity at the start, any size, and it learns."""

import pytest
import torch

from stncourse import LocalizationNetwork

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
SIZES = [(1, 1), (5, 40), (17, 18), (28, 28), (42, 31)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_starts_at_the_identity_whatever_the_image(size, channels):
    network = LocalizationNetwork(size, channels)
    assert network(torch.randn(2, channels, *size)).tolist() == [IDENTITY] * 2


def test_one_number_means_a_square():
    assert LocalizationNetwork(20).image_size == (20, 20)


def test_has_as_many_parameters_as_the_tutorials():
    assert sum(p.numel() for p in LocalizationNetwork(28).parameters()) == 5520


def test_hidden_sets_the_width_of_the_first_linear_layer():
    assert LocalizationNetwork(28, hidden=7).fc_loc[0].out_features == 7


def test_start_at_sets_what_every_image_gets():
    network = LocalizationNetwork(28)
    torch.nn.init.normal_(network.fc_loc[-1].weight)
    start = torch.tensor([2.0, 0.1, -0.3, 0.0, 1.5, 0.7])
    network.start_at(start)
    assert torch.equal(network(torch.randn(3, 1, 28, 28)), start.expand(3, 6))


def test_can_predict_another_number_of_parameters():
    identity = torch.tensor([0.0, 1.0, 0.5])
    network = LocalizationNetwork(28, num_parameters=3, identity=identity)
    assert torch.equal(network(torch.randn(2, 1, 28, 28)), identity.expand(2, 3))


@pytest.mark.parametrize("size", [(5, 40), (28, 28)])
def test_the_gradient_reaches_the_convolutions_after_one_step(size):
    """Not before: the last layer's weights are 0, so the first step moves that layer alone."""
    torch.manual_seed(0)
    network, images = LocalizationNetwork(size), torch.randn(4, 1, *size)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        network(images).square().sum().backward()
        for layer in (network.localization[0], network.localization[3], network.fc_loc[0]):
            assert (layer.weight.grad.abs().sum() > 0) == (step == 1)
        assert network.fc_loc[-1].weight.grad.abs().sum() > 0
        optimizer.step()


@pytest.mark.parametrize(
    "images",
    [torch.zeros(2, 1, 28, 27), torch.zeros(2, 3, 28, 28), torch.zeros(28, 28)],
    ids=["size", "channels", "no batch"],
)
def test_images_of_another_shape_are_refused(images):
    with pytest.raises(ValueError, match=r"^images: expected .* \(N, 1, 28, 28\), got .* of shape"):
        LocalizationNetwork(28)(images)


def test_raw_images_are_refused():
    with pytest.raises(TypeError, match=r"^images: expected a floating-point tensor"):
        LocalizationNetwork(28)(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"image_size": 0}, ValueError, "image_size"),
        ({"image_size": (28, 28, 1)}, ValueError, "image_size"),
        ({"image_size": 28.0}, ValueError, "image_size"),
        ({"in_channels": 0}, ValueError, "in_channels"),
        ({"in_channels": "1"}, TypeError, "in_channels"),
        ({"num_parameters": 0}, ValueError, "num_parameters"),
        ({"num_parameters": 3}, ValueError, "identity"),
        ({"hidden": -1}, ValueError, "hidden"),
        ({"identity": torch.zeros(5)}, ValueError, "identity"),
        ({"identity": [1, 0, 0, 0, 1, 0]}, TypeError, "identity"),
    ],
)
def test_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        LocalizationNetwork(**{"image_size": 28} | arguments)


def test_start_at_refuses_another_number_of_parameters():
    with pytest.raises(ValueError, match=r"^parameters: expected"):
        LocalizationNetwork(28).start_at(torch.zeros(5))
