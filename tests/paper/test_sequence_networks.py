"""Networks that read rows of digits: what comes out, where they look, and that at first no transformer does a thing."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from stncourse import BACKGROUND, SpatialTransformer
from stncourse.data.sequences import NONE
from stncourse.paper.sequence_networks import SEQUENCE_MODELS, RecurrentReader, SequenceNetwork
from stncourse.training.optimizer import localization_parameters
from stncourse.transformer.spatial_transformer import transformers_in

models = pytest.mark.parametrize("name", SEQUENCE_MODELS)
with_transformers = pytest.mark.parametrize("name", ["ST-CNN Single", "ST-CNN Multi"])


def made(name, size=64, **options):
    torch.manual_seed(0)
    network = RecurrentReader(size, **options) if name == "Recurrent" else SequenceNetwork(name, size, **options)
    return network.eval()


def some_images(height=64, width=64, count=3, channels=1, dtype=torch.float32):
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1), dtype=dtype)


@models
@pytest.mark.parametrize("size", [(64, 64), (33, 50)])
@pytest.mark.parametrize("channels", [1, 3])
def test_gives_log_probabilities_of_eleven_classes_at_five_places(name, size, channels):
    output = made(name, size, channels=channels)(some_images(*size, channels=channels))
    assert output.shape == (3, 5, NONE + 1)
    assert output.dtype == torch.float32
    assert_close(output.exp().sum(2), torch.ones(3, 5))


@models
def test_takes_the_papers_larger_images(name):
    assert made(name, 128)(some_images(128, 128, 2)).shape == (2, 5, 11)


@models
def test_an_image_is_read_alike_alone_and_among_others(name):
    network, images = made(name), some_images(count=4)
    shaken(network)
    with torch.no_grad():
        assert_close(network(images)[2:3], network(images[2:3]), atol=1e-4, rtol=1e-4)


def shaken(network):
    """Move the last layer of every localization network, so that each image gets a θ of its own."""
    for stn in transformers_in(network):
        last = [layer for layer in stn.localization.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.normal_(last.weight, std=0.05)


# One in front, four inside


@pytest.mark.parametrize(("name", "where"), [("CNN", []), ("ST-CNN Single", [0]), ("ST-CNN Multi", [0, 1, 2, 3])])
def test_transformers_stand_before_these_convolutions(name, where):
    network = made(name)
    found = [k for k, module in enumerate(network.transformers) if isinstance(module, SpatialTransformer)]
    assert found == where
    assert len(transformers_in(network)) == len(where)
    assert bool(localization_parameters(network)) == bool(where)
    assert (network.stn is None) == (not where)


def test_outside_the_image_lies_background_and_outside_features_nothing():
    assert [stn.sampler.padding_value for stn in made("ST-CNN Multi").transformers] == [BACKGROUND, 0.0, 0.0, 0.0]
    assert made("ST-CNN Single").transformers[0].sampler.padding_value == BACKGROUND
    assert made("ST-CNN Single", padding_value=0.5).transformers[0].sampler.padding_value == 0.5
    assert made("Recurrent", padding_value=0.5).stn.sampler.padding_value == 0.5


def test_localization_networks_are_the_papers():
    single = [type(layer) for layer in made("ST-CNN Single").transformers[0].localization.modules()]
    assert sum(issubclass(kind, nn.Conv2d) for kind in single) == 2
    assert sum(issubclass(kind, nn.Linear) for kind in single) == 2
    for stn in made("ST-CNN Multi").transformers:
        linear = [layer for layer in stn.localization.modules() if isinstance(layer, nn.Linear)]
        assert [layer.out_features for layer in linear] == [32, 32, 6]
        assert not [layer for layer in stn.localization.modules() if isinstance(layer, nn.Conv2d)]


@with_transformers
@pytest.mark.parametrize("size", [(64, 64), (41, 58)])
def test_transformers_at_the_identity_change_nothing_in_the_cnns_features(name, size):
    network, cnn = made(name, size).double(), made("CNN", size).double()
    cnn.stages.load_state_dict(network.stages.state_dict())
    cnn.head.load_state_dict(network.head.state_dict())
    images = some_images(*size, dtype=torch.float64)
    with torch.no_grad():
        assert_close(network.features(images), cnn.features(images), atol=1e-6, rtol=1e-6)
        assert_close(network(images), cnn(images), atol=1e-6, rtol=1e-6)


@with_transformers
def test_a_transformer_warps_what_the_convolution_before_it_made(name):
    """By hand, layer by layer, with θ that are not the identity."""
    network, images = made(name), some_images()
    shaken(network)
    looks = []
    with torch.no_grad():
        x = images
        for transformer, stage in zip(network.transformers, network.stages, strict=True):
            if isinstance(transformer, SpatialTransformer):
                seen = transformer.transform(x)
                assert (seen.theta - torch.tensor([[1.0, 0, 0], [0, 1, 0]])).abs().max() > 0.01
                x = seen.images
                looks.append(seen.theta)
            x = stage(x)
        assert_close(network.features(images), x)
        assert_close([look.theta for look in network.look(images)], looks)
        assert_close(network(images), network.head(x).unflatten(1, (5, 11)).log_softmax(2))


@models
def test_every_parameter_learns(name):
    network = made(name).train()
    shaken(network)
    (network(some_images()) * torch.randn(3, 5, 11)).sum().backward()
    still = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.count_nonzero()]
    assert still == []


@models
def test_bfloat16_is_near_and_where_it_looks_the_same(name):
    network, half, images = made(name), made(name, precision="bfloat16"), some_images()
    with torch.no_grad():
        expected, output = network(images), half(images)
    assert output.dtype == torch.float32
    assert not torch.equal(output, expected)
    assert_close(output, expected, atol=0.1, rtol=0)
    for a, b in zip(transformers_in(network)[:1], transformers_in(half)[:1], strict=True):
        x = images.repeat_interleave(5, 0) if name == "Recurrent" else images
        assert torch.equal(a.transform(x).theta, b.transform(x).theta)


# Look by look


def test_the_recurrent_one_looks_five_times_at_each_image():
    network, images = made("Recurrent"), some_images()
    shaken(network)
    looks = network.look(images)
    assert looks.images.shape == (3, 5, 1, 24, 24)
    assert looks.theta.shape == (3, 5, 2, 3)
    assert looks.grid.shape == (3, 5, 24, 24, 2)
    assert len(looks.theta.flatten(0, 1).flatten(1).unique(dim=0)) == 15
    again = network.look(images[1:2])
    assert_close(again.theta[0], looks.theta[1], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        one = network.classifier(looks.images[2, 3][None]).log_softmax(1)
        assert_close(network(images)[2, 3], one[0], atol=1e-5, rtol=1e-5)


def test_at_first_it_looks_from_left_to_right():
    theta = made("Recurrent").look(some_images()).theta
    expected = torch.tensor([[[0.5, 0, x], [0, 0.5, 0]] for x in (-0.6, -0.3, 0.0, 0.3, 0.6)])
    assert_close(theta, expected.expand(3, -1, -1, -1))


@models
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 31}, ValueError, r"^image_size: expected an int >= 32"),
        ({"channels": 0}, ValueError, r"^channels: expected an int >= 1, got 0"),
        ({"precision": "float16"}, ValueError, r"^precision: expected one of 'float32', 'bfloat16'"),
    ],
)
def test_bad_arguments_are_named(name, options, error, message):
    with pytest.raises(error, match=message):
        made(name, **options)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"^name: expected one of 'CNN', .*got str 'Recurrent'"):
        SequenceNetwork("Recurrent")


@models
def test_images_of_another_size_are_refused(name):
    with pytest.raises(ValueError, match=r"^images: expected a floating-point tensor of shape \(N, 1, 64, 64\)"):
        made(name)(torch.zeros(2, 1, 64, 60))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_weights_of_another_precision(name, dtype):
    network = (RecurrentReader() if name == "Recurrent" else SequenceNetwork(name)).to(dtype).eval()
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = network.float()(images)
    near = 0.2 if dtype == torch.bfloat16 else 1e-4
    assert_close(network.to(dtype)(images.to(dtype)).float(), expected, atol=near, rtol=near)
