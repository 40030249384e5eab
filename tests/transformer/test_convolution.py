"""FirstConv2d is nn.Conv2d: in value, in every gradient, in its state dict; only quicker."""

import copy

import pytest
import torch
from torch import nn
from training_step import with_ordinary_convolutions

from stncourse import DigitCNN, STNClassifier
from stncourse.transformer.convolution import FirstConv2d


def pair(*arguments, dtype=torch.float64, **options):
    """A FirstConv2d and the ordinary convolution with the same weights."""
    torch.manual_seed(0)
    first, ordinary = (kind(*arguments, **options, dtype=dtype) for kind in (FirstConv2d, nn.Conv2d))
    ordinary.load_state_dict(first.state_dict())
    return first, ordinary


def value_and_gradients(convolution, images):
    images = images.clone().requires_grad_()
    output = convolution(images)
    weighted = output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    return output, *torch.autograd.grad(weighted.sum(), (images, *convolution.parameters()))


@pytest.mark.parametrize("kernel", [1, 5, 7, (3, 5), (5, 3)])
@pytest.mark.parametrize("size", [(28, 28), (7, 12), (13, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_ordinary_convolution(kernel, size, bias):
    first, ordinary = pair(1, 4, kernel_size=kernel, bias=bias)
    images = torch.randn(3, 1, *size, dtype=torch.float64)
    for mine, reference in zip(*(value_and_gradients(c, images) for c in (first, ordinary)), strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("images", [torch.randn(2, 1, 9, 20).transpose(2, 3), torch.randn(2, 3, 9, 8)[:, 1:2]])
def test_images_may_lie_in_memory_as_they_like(images):
    first, ordinary = pair(1, 4, kernel_size=5, dtype=torch.float32)
    torch.testing.assert_close(first(images), ordinary(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("channels", "options"),
    [(3, {}), (1, {"stride": 2}), (1, {"padding": 2}), (1, {"padding": "same"}), (1, {"dilation": 2})],
    ids=str,
)
def test_all_other_convolutions_are_the_ordinary_one(channels, options):
    first, ordinary = pair(channels, 4, kernel_size=3, **options)
    images = torch.randn(2, channels, 11, 12, dtype=torch.float64)
    for mine, reference in zip(*(value_and_gradients(c, images) for c in (first, ordinary)), strict=True):
        assert torch.equal(mine, reference)


def test_one_image_without_a_batch():
    first, ordinary = pair(1, 4, kernel_size=3)
    image = torch.randn(1, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(first(image), ordinary(image))


def test_the_second_derivative_is_there():
    first, _ = pair(1, 2, kernel_size=3)
    images = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: first(x) ** 2, images)


@pytest.mark.parametrize("make", [DigitCNN, STNClassifier])
def test_a_network_has_the_gradients_that_it_has_with_ordinary_convolutions(make):
    torch.manual_seed(0)
    model = make(28, dropout=0.0).double()
    ordinary = with_ordinary_convolutions(copy.deepcopy(model))
    assert any(type(module) is nn.Conv2d for module in ordinary.modules())
    images, labels = torch.randn(4, 1, 28, 28, dtype=torch.float64), torch.tensor([1, 2, 3, 4])
    for network in (model, ordinary):
        nn.functional.nll_loss(network(images), labels).backward()
    for mine, reference in zip(model.parameters(), ordinary.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)
    assert model.state_dict().keys() == ordinary.state_dict().keys()


@pytest.mark.gpu
def test_on_cuda_it_is_the_ordinary_one():
    first, ordinary = (c.cuda() for c in pair(1, 4, kernel_size=5, dtype=torch.float32))
    images = torch.randn(2, 1, 28, 28, device="cuda")
    assert torch.equal(first(images), ordinary(images))
