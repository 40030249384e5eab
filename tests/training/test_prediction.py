"""``predict``: what the model says, of all images in order, by the numbers of their set."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from short_trainings import EMPTY, TEST, make
from torch import nn

from stncourse import DigitCNN, STNClassifier, from_dataset, normalize, predict

IMAGES = TEST.images[:10]
BACKWARDS = IMAGES.numpy()[::-1]


class Both(NamedTuple):
    theta: torch.Tensor
    answer: torch.Tensor


class SaysTwo(STNClassifier):
    def forward(self, images):
        return Both(self.stn.transform(images).theta, super().forward(images))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 1000])
@pytest.mark.parametrize("way", ["set", "tensor", "array", "backwards"])
def test_predict_is_what_the_model_says_of_each_normalised_image(batch_size, way):
    given = {"set": TEST.subset(slice(10)), "tensor": IMAGES, "array": IMAGES.numpy(), "backwards": BACKWARDS}
    model, images, raw = make(DigitCNN), given[way], IMAGES.flip(0) if way == "backwards" else IMAGES
    model.eval()
    with torch.no_grad():
        expected = torch.cat([model((image[None].float() / 255 - 0.1307) / 0.3081) for image in raw])
    model.train()
    output = predict(model, images, "cpu", batch_size)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)
    assert not output.requires_grad
    assert model.training  # as it was


def test_a_tuple_stays_one():
    model = make(SaysTwo)
    output = predict(model, IMAGES, "cpu", 4)
    assert type(output) is Both
    assert (output.theta.shape, output.answer.shape) == ((10, 2, 3), (10, 10))
    torch.testing.assert_close(output.answer, predict(model, IMAGES, "cpu", 10).answer, atol=1e-5, rtol=0)
    plain = predict(Plain(), IMAGES, "cpu", 4)
    assert type(plain) is tuple
    assert [part.dtype for part in plain] == [torch.float32, torch.int64]


class Plain(nn.Module):
    def forward(self, images):
        return images.mean((1, 2, 3)).bfloat16(), images.flatten(1).argmax(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_normalised_by_the_numbers_of_their_set(channels):
    images = torch.randint(100, 256, (6, channels, 5, 4), generator=torch.Generator().manual_seed(0)).byte()
    images = from_dataset([(image, number % 2) for number, image in enumerate(images)], classes=("cat", "dog"))
    expected = images.normalize(images.images)
    for given, like in ((images, None), (images.images[:6], None), (images.images.clone(), images)):
        assert torch.equal(predict(nn.Identity(), given, "cpu", 4, like=like), expected)
    other = replace(images, mean=(0.5,) * channels)  # of the same pixels
    assert torch.equal(predict(nn.Identity(), other, "cpu"), other.normalize(images.images))
    alone = images.images.clone()
    if channels == 1:
        assert torch.equal(predict(nn.Identity(), alone, "cpu"), normalize(alone))
    else:
        with pytest.raises(ValueError, match=r"^like: expected the set that the images come from"):
            predict(nn.Identity(), alone, "cpu")


class Sums(nn.Module):
    def forward(self, images):
        return images.sum(0)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"model": None}, TypeError, "model"),
        ({"model": Sums()}, ValueError, "model"),
        ({"model": nn.Linear(3, 4)}, ValueError, "model"),
        ({"images": None}, TypeError, "images"),
        ({"images": IMAGES / 255}, TypeError, "images"),
        ({"images": IMAGES[:, 0]}, ValueError, "images"),
        ({"images": IMAGES.numpy() / 255}, TypeError, "images"),
        ({"images": IMAGES.to("meta")}, TypeError, "images"),
        ({"images": EMPTY}, ValueError, "images"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"device": "abacus"}, ValueError, "device"),
        ({"like": IMAGES}, TypeError, "like"),
    ],
)
def test_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=rf"^{name}: expected .*, got "):
        predict(**{"model": make(DigitCNN), "images": IMAGES, "device": "cpu"} | arguments)


def test_an_array_of_floats_is_told_what_is_wanted():
    with pytest.raises(TypeError, match=r"^images: expected raw uint8 images, got a float32 array"):
        predict(DigitCNN(), TEST.images[:2].float().numpy())
