"""The localization network: identity at the start, any size, and it learns."""

import contextlib
import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.nn.utils import parametrizations

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
        ({"identity": list("abcdef")}, TypeError, "identity"),
        ({"identity": 1.0}, TypeError, "identity"),
        ({"identity": [1, 0, 0]}, ValueError, "identity"),
    ],
)
def test_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        LocalizationNetwork(**{"image_size": 28} | arguments)


@pytest.mark.parametrize(
    "size", [np.array([20, 31]), torch.tensor([20, 31]), (5, 2, 20, 31), [np.int64(20), 31]], ids=repr
)
def test_sizes_and_counts_are_numbers_of_any_kind(size):
    network = LocalizationNetwork(size, np.int64(2), torch.tensor(3), np.uint8(7), identity=torch.ones(3))
    assert network.image_size == (20, 31)
    assert network(torch.zeros(4, 2, 20, 31)).shape == (4, 3)
    assert network.fc_loc[0].out_features == 7


# The last layer is called, whatever it is, and in float32 at least


class LowRank(nn.Module):
    """A layer with a low-rank correction beside it, as adapters have it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.down, self.up = nn.Linear(base.in_features, 2, bias=False), nn.Linear(2, base.out_features, bias=False)

    def forward(self, features):
        return self.base(features) + self.up(self.down(features))


def another(layer):
    """An ordinary layer with the same weights."""
    new = nn.Linear(layer.in_features, layer.out_features)
    new.load_state_dict(layer.state_dict())
    return new


WRAPPERS = {
    "nothing": lambda layer: layer,
    "another layer": another,
    "sequential": lambda layer: nn.Sequential(nn.Dropout(0.0), layer, nn.Identity()),
    "low rank": LowRank,
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
}
wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


def wrapped_network(wrap):
    torch.manual_seed(0)
    network = LocalizationNetwork(60)
    nn.init.normal_(network.fc_loc[-1].weight, std=0.15)
    network.fc_loc[-1] = wrap(network.fc_loc[-1])
    return network.eval()


@wrappers
@pytest.mark.parametrize("precision", ["float32", "float64", "float16", "bfloat16", "autocast"])
def test_the_last_layer_is_called_and_not_rounded(wrap, precision):
    """Measured in pixels of these images, against the layer in float64; a θ in bfloat16 would be off by up to 0.1."""
    network = wrapped_network(wrap).to(torch.float32 if precision == "autocast" else getattr(torch, precision))
    last, seen = network.fc_loc[-1], []
    exact = copy.deepcopy(last).double()
    network.fc_loc[-2].register_forward_hook(lambda module, inputs, output: seen.append(output))
    for module in (last, network.fc_loc):
        module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    images = torch.rand(4, 1, 60, 60, generator=torch.Generator().manual_seed(0)).to(next(network.parameters()).dtype)
    with torch.autocast("cpu", torch.bfloat16) if precision == "autocast" else contextlib.nullcontext():
        parameters = network(images)
    hidden, by_last, by_all = seen
    assert parameters.dtype == (torch.float64 if precision == "float64" else torch.float32)
    assert by_last is by_all is parameters
    assert ((parameters.double() - exact(hidden.double())) * 30).abs().max() < 1e-4
    dtypes = {name: p.dtype for name, p in network.named_parameters()}
    parameters.sum().backward()
    for name, p in network.named_parameters():
        assert isinstance(p, nn.Parameter)
        assert p.grad.dtype == dtypes[name]
        assert p.grad.isfinite().all()


class Quantized(nn.Module):
    """A layer of whole numbers and a scale, which takes float32 alone, as torch's quantized ones do."""

    def __init__(self, layer):
        super().__init__()
        scale = layer.weight.detach().abs().max() / 127
        self.weight, self.scale = (layer.weight.detach() / scale).round().to(torch.int8), scale
        self.offset = layer.bias.detach()

    def forward(self, features):
        assert features.dtype == torch.float32
        return nn.functional.linear(features, self.weight.float() * self.scale, self.offset)


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16, "autocast"])
def test_a_quantized_last_layer_gets_float32(precision):
    network = wrapped_network(Quantized)
    images = torch.rand(2, 1, 60, 60)
    exact = network(images)
    if precision == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            parameters = network(images)
    else:
        parameters = network.to(precision)(images.to(precision))
    assert parameters.dtype == torch.float32
    torch.testing.assert_close(parameters, exact, atol=0.02, rtol=0)


def test_running_statistics_of_a_last_layer_in_half_precision_are_kept():
    network = wrapped_network(lambda layer: nn.Sequential(layer, nn.BatchNorm1d(layer.out_features)))
    halved = copy.deepcopy(network).to(torch.bfloat16).train()
    images = torch.rand(8, 1, 60, 60)
    network.train()(images)
    halved(images.to(torch.bfloat16))
    statistics = halved.fc_loc[-1][1].running_mean
    assert statistics.dtype == torch.bfloat16
    torch.testing.assert_close(statistics.float(), network.fc_loc[-1][1].running_mean, atol=5e-3, rtol=0)


APPENDED = {
    "linear": lambda: nn.Linear(6, 6),
    "layer norm": lambda: nn.LayerNorm(6),
    "batch norm": lambda: nn.BatchNorm1d(6),
    "tanh": nn.Tanh,
    "two": lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh()),
}


@pytest.mark.parametrize("make", APPENDED.values(), ids=APPENDED)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, "autocast", "only the new one"])
def test_what_is_appended_to_the_last_layer_is_not_rounded_either(make, precision):
    network = wrapped_network(lambda layer: layer)
    network.fc_loc.append(make().to(torch.bfloat16 if precision == "only the new one" else torch.float32))
    network = network.to(precision) if isinstance(precision, torch.dtype) else network
    network.eval()
    hidden = []
    network.fc_loc[1].register_forward_hook(lambda module, inputs, output: hidden.append(output))
    images = torch.rand(4, 1, 60, 60).to(network.localization[0].weight.dtype)
    with torch.autocast("cpu", torch.bfloat16) if precision == "autocast" else contextlib.nullcontext():
        parameters = network(images)
    assert parameters.dtype == torch.float32
    exact = copy.deepcopy(network.fc_loc[2:]).double()(hidden[0].double())
    torch.testing.assert_close(parameters.double(), exact, atol=1e-6, rtol=0)
    parameters.sum().backward()
    assert all(p.grad.dtype == p.dtype for p in network.parameters())


RECOMPUTED = {
    "the layer": checkpoint_wrapper,
    "reentrant": lambda layer: checkpoint_wrapper(layer, CheckpointImpl.REENTRANT),
    "in a sequence": lambda layer: nn.Sequential(checkpoint_wrapper(layer), nn.Linear(6, 6)),
    "twice": lambda layer: checkpoint_wrapper(nn.Sequential(checkpoint_wrapper(layer), nn.Linear(6, 6))),
}


@pytest.mark.filterwarnings("ignore:Please specify CheckpointImpl:FutureWarning")  # torch 2.8
@pytest.mark.parametrize("wrap", RECOMPUTED.values(), ids=RECOMPUTED)
@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16])
def test_a_last_layer_that_is_computed_anew_in_the_backward_pass(wrap, precision):
    network = wrapped_network(lambda layer: wrap(another(layer))).to(precision)
    names = list(network.state_dict())
    plain = copy.deepcopy(network)
    for module in plain.modules():
        module.__dict__.update(checkpoint_fn=lambda layer, *arguments: layer(*arguments))
    images = torch.rand(2, 1, 60, 60).to(precision)
    for one in (network, plain):
        one(images).square().sum().backward()
    torch.testing.assert_close(network(images), plain.float()(images.float()), atol=0.05, rtol=0.05)
    assert network(images).dtype == torch.float32
    assert all(p.grad.isfinite().all() and p.dtype == p.grad.dtype == precision for p in network.parameters())
    for new, old in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(new.grad.float(), old.grad.float(), atol=1e-2, rtol=1e-2)
    assert list(network.state_dict()) == names


class Meeting(nn.Linear):
    """A layer that waits a while whether another thread comes in too."""

    def __init__(self, layer):
        super().__init__(layer.in_features, layer.out_features)
        self.load_state_dict(layer.state_dict())
        self.inside, self.met = 0, threading.Event()

    def forward(self, features):
        self.inside += 1
        if self.inside > 1:
            self.met.set()
        self.met.wait(0.3)
        self.inside -= 1
        return super().forward(features)


def test_threads_may_share_a_network_in_half_precision():
    """Wide weights are put into a foreign layer for one thread at a time, or one takes them from under another."""
    network = wrapped_network(Meeting).to(torch.bfloat16)
    images, results = torch.rand(2, 1, 60, 60).to(torch.bfloat16), []
    threads = [threading.Thread(target=lambda: results.append(network(images))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not network.fc_loc[-1].met.is_set()
    expected = network(images)
    assert [torch.equal(result, expected) for result in results] == [True] * 3
    assert [p.dtype for p in network.parameters()] == [torch.bfloat16] * 8


@pytest.mark.parametrize("wrap", [w for name, w in WRAPPERS.items() if name not in ("nothing", "another layer")])
def test_start_at_refuses_a_last_layer_that_it_could_not_set(wrap):
    network = wrapped_network(wrap)
    before = copy.deepcopy(network.fc_loc[-1].state_dict())
    with pytest.raises(
        TypeError, match=r"^fc_loc\[-1\]: expected a linear layer .*; set the start before the layer is"
    ):
        network.start_at(torch.zeros(6))
    after = network.fc_loc[-1].state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_start_at_sets_any_linear_layer_with_a_bias():
    network = wrapped_network(another)
    network.start_at(torch.arange(6.0))
    assert network(torch.rand(2, 1, 60, 60)).tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    network.fc_loc[-1] = nn.Linear(32, 6, bias=False)
    with pytest.raises(TypeError, match=r"^fc_loc\[-1\]: expected a linear layer whose only parameters"):
        network.start_at(torch.zeros(6))


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda row: [np.float32(v) for v in row]])
def test_the_start_is_a_row_of_numbers_of_any_kind(kind):
    row = [0.5, -0.5, 1]
    for network in (
        LocalizationNetwork(20, num_parameters=3, identity=kind(row)),
        LocalizationNetwork(20, num_parameters=3, identity=torch.zeros(3)),
    ):
        network.start_at(kind(row))
        assert network(torch.rand(2, 1, 20, 20)).tolist() == [row] * 2


@pytest.mark.parametrize("wrong", [["a"] * 6, None, 1.0, [[1.0] * 6], [True] * 6, torch.zeros(6, dtype=torch.int64)])
def test_start_at_refuses_what_is_no_row_of_numbers(wrong):
    with pytest.raises(TypeError, match=r"^parameters: expected"):
        LocalizationNetwork(20).start_at(wrong)


def test_start_at_refuses_another_number_of_parameters():
    with pytest.raises(ValueError, match=r"^parameters: expected"):
        LocalizationNetwork(28).start_at(torch.zeros(5))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_it_starts_at_a_place_that_is_one(value):
    with pytest.raises(ValueError, match=r"^parameters: expected finite numbers, got"):
        LocalizationNetwork(28).start_at([1.0, 0.0, value, 0.0, 1.0, 0.0])
