"""Labels that are not one class per image: who takes them, and who refuses them by name."""

import numpy as np
import pytest
import torch

from stncourse import (
    MNIST_MEAN,
    MNIST_STD,
    Batches,
    DigitCNN,
    Digits,
    DigitsDataset,
    ImageSet,
    STNClassifier,
    evaluate,
    fit,
    show_before_after,
    show_confusion,
    show_digits,
    theta_playground,
)
from stncourse.data.lines import digit_lines
from stncourse.data.sequences import digit_sequences
from stncourse.paper.hidden import hidden_digits
from stncourse.paper.paired import wrong_digits
from stncourse.paper.pairs import pairs_of, two_in_one
from stncourse.playground.page import page

IMAGES = torch.zeros(3, 1, 4, 5, dtype=torch.uint8)


def numbered(n, size=2):
    """``n`` digits that tell which they are: every pixel, and the label, is the digit's number."""
    labels = torch.arange(n)
    return Digits(labels.to(torch.uint8)[:, None, None, None].expand(n, 1, size, size).clone(), labels, "offline")


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([[7, 2], [0, -1], [3, 3]]),
        torch.tensor([0.5, -2.0, torch.inf]),
        torch.rand(3, 2, 2, dtype=torch.float64),
        torch.rand(3, 4).bfloat16(),
    ],
)
def test_labels_of_any_shape_go_with_their_images(labels):
    digits = Digits(numbered(3).images, labels, "mine")
    assert digits.labels.dtype == labels.dtype
    assert torch.equal(digits.labels, labels)
    assert torch.equal(digits.subset(torch.tensor([2, 0])).labels, labels[[2, 0]])
    for images, own in Batches(digits, 2, shuffle=True, seed=3):
        raw = (images[:, 0, 0, 0] * MNIST_STD + MNIST_MEAN).mul(255).round().long()
        assert torch.equal(own, labels[raw])
    assert torch.equal(torch.as_tensor(DigitsDataset(digits)[1][1]), labels[1])


@pytest.mark.parametrize("dtype", ["int16", ">i4", "float32", ">f8"])
def test_labels_of_any_shape_may_be_an_array(dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)[:, ::-1]
    labels = Digits(IMAGES, array, "mine").labels
    assert labels.tolist() == array.tolist()
    assert labels.is_floating_point() == (array.dtype.kind == "f")


def test_who_needs_classes_refuses_other_labels_by_name():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 1, 28, 28), generator=generator).byte()
    pairs, numbers = (Digits(images, labels, "mine") for labels in (torch.ones(4, 2).long(), torch.ones(4)))
    for digits in (pairs, numbers):
        for name, use in {
            "digits": lambda digits=digits: evaluate(DigitCNN(), digits, device="cpu"),
            "train": lambda digits=digits: fit(DigitCNN(), digits, device="cpu", verbose=False),
            "test": lambda digits=digits: fit(DigitCNN(), numbered(4, 28), digits, device="cpu", verbose=False),
            "watch": lambda digits=digits: fit(STNClassifier(), numbered(4, 28), watch=digits, device="cpu"),
            "images": lambda digits=digits: page(digits),
        }.items():
            with pytest.raises(ValueError, match=rf"^{name}: expected one class per image as labels"):
                use()
        for use in (theta_playground, lambda digits: show_confusion(DigitCNN(), digits, device="cpu")):
            with pytest.raises(ValueError, match=r"^digits: expected one class per image as labels"):
                use(digits)
        with pytest.raises(ValueError, match=r"^digits: expected one class per image as labels"):
            wrong_digits(DigitCNN(), digits)


def test_an_image_set_may_have_several_classes_per_image_but_nothing_else():
    def make(labels):
        return ImageSet(IMAGES, labels, "mine", ("cat", "dog"))

    assert make(torch.tensor([[0, 1], [1, 1], [0, 0]])).labels.shape == (3, 2)
    for labels in (torch.ones(3), torch.tensor([[0, 1], [1, 2], [0, 0]]), torch.tensor([[0, 1], [1, -1], [0, 0]])):
        with pytest.raises(ValueError, match=r"^labels: expected "):
            make(labels)


def test_pictures_of_digits_with_other_labels_can_be_shown():
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    pairs, numbers = (Digits(images, labels, "mine") for labels in (torch.tensor([[7, 2], [0, 1]]), torch.ones(2)))
    assert [ax.get_title() for ax in show_digits(pairs).axes[:2]] == ["7, 2", "0, 1"]
    assert [ax.get_title() for ax in show_digits(numbers).axes[:2]] == ["", ""]
    for digits in (pairs, numbers):  # a classifier, of whose answers nobody can say whether they are right
        assert {ax.get_title() for ax in show_before_after(STNClassifier(), digits).axes} == {""}


@pytest.mark.parametrize(
    "make",
    [
        lambda digits: digit_lines(digits, 2),
        lambda digits: digit_sequences(digits, 2),
        lambda digits: pairs_of(digits, 2),
        lambda digits: two_in_one(digits, 2),
        lambda digits: hidden_digits(digits, 1, clutter=False),
    ],
)
@pytest.mark.parametrize("labels", [torch.rand(6), torch.zeros(6, 2, dtype=torch.int64)])
def test_what_is_made_of_digits_wants_one_class_each(make, labels):
    digits = Digits(torch.zeros(6, 1, 28, 28, dtype=torch.uint8), labels, "offline")
    with pytest.raises(ValueError, match=r"^digits: expected one class per image as labels"):
        make(digits)
