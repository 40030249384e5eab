"""Digits: images and labels, and their way into a network's numbers and back."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from stncourse import _check
from stncourse.data.seeds import cpu_generator

MNIST_MEAN = 0.1307  #: of all pixels of MNIST's training digits, from 0 (black) to 1
MNIST_STD = 0.3081  #: their standard deviation
#: A black pixel after normalisation: what lies around a digit, and what padding has to be.
BACKGROUND = (0.0 - MNIST_MEAN) / MNIST_STD


@dataclass(frozen=True)
class Digits:
    """Raw digits and their labels.

    Attributes:
        images: ``(N, C, H, W)`` uint8, 0 = background, 255 = ink. A NumPy array becomes a tensor.
        labels: ``(N,)`` int64, from 0: the class of each image. Whole numbers of any other type become int64, and a
            list a tensor. For a loss of your own (``fit(…, loss=…)``) also anything else that has one row per image:
            whole numbers ``(N, …)``, such as two classes, or floating-point ones ``(N,)`` or ``(N, …)``, a tensor or an
            array.
        source: ``"mnist"`` or ``"offline"``.

    Raises:
        TypeError, ValueError: images or labels are not as above, or there is not one label per image.

    >>> digits = load_digits("test", source="offline")
    >>> len(digits), digits.images.shape, digits.labels[:3].shape
    (1000, torch.Size([1000, 1, 28, 28]), torch.Size([3]))
    >>> len(digits.subset(digits.labels == 7))
    100
    """

    images: torch.Tensor
    labels: torch.Tensor
    source: str

    def __post_init__(self):
        # The class is frozen; this is how such a class sets its fields.
        object.__setattr__(self, "images", _images(self.images))
        object.__setattr__(self, "labels", _labels(self.labels))
        if len(self.labels) != len(self.images):
            raise ValueError(f"labels: expected one per image, {len(self.images)} in all, got {len(self.labels)}")

    def __len__(self):
        return len(self.images)

    def __repr__(self):
        n, c, h, w = self.images.shape
        return f"Digits({n:,} images of {c}×{h}×{w}, source={self.source!r})"

    def subset(self, index):
        """The digits that ``index`` selects: a slice, a boolean mask or a tensor of positions."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    @property
    def scale(self):
        """By what :meth:`normalize` scales; test images need their training images' numbers."""
        return (MNIST_MEAN,), (MNIST_STD,)

    def normalize(self, images):
        """Raw images like these -> what a model gets; here :func:`normalize`."""
        return normalize(images)

    def split(self, held_out, seed=0):
        """Cut at random into two: the larger part to learn from, ``held_out`` digits to check on.

        Returns:
            ``(kept, held_out)``, two Digits that share no image. The same seed gives the same cut.

        Raises:
            TypeError, ValueError: ``held_out`` is not between 1 and ``len(self) - 1``, or ``seed`` is below 0.
        """
        held_out = _check.positive_int("held_out", held_out)
        if held_out >= len(self):
            raise ValueError(f"held_out: expected fewer than the {len(self)} digits there are, got {held_out}")
        generator = cpu_generator(_check.positive_int("seed", seed, minimum=0))
        order = torch.randperm(len(self), generator=generator, device="cpu")
        return self.subset(order[held_out:]), self.subset(order[:held_out])


def are_classes(labels):
    """Whether labels are classes, one per image."""
    return labels.ndim == 1 and labels.dtype == torch.int64


def check_classes(name, labels, what):
    """Labels that are classes, one per image, as ``what`` needs them; ValueError for others."""
    if not are_classes(labels):
        raise ValueError(
            f"{name}: expected one class per image as labels, (N,) int64, which {what} needs, got "
            f"{_check.describe(labels)}"
        )


def check_ten_classes(digits, what, grey=True):
    """``digits`` are labelled 0 to 9, there are some, and grey, as ``what`` needs them; TypeError, ValueError."""
    if not isinstance(digits, Digits):
        raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
    check_classes("digits", digits.labels, what)
    if not len(digits) or not 0 <= digits.labels.min() <= digits.labels.max() <= 9:
        raise ValueError(f"digits: expected at least one digit, labels from 0 to 9, got {digits!r}")
    if grey and digits.images.shape[1] != 1:
        raise ValueError(f"digits: expected grey digits, got {digits!r}")


def _images(images):
    """Raw images, checked, as a tensor."""
    if isinstance(images, np.ndarray) and images.dtype == np.uint8:
        images = torch.from_numpy(np.array(images, order="C"))  # copied: of any strides, and writable
    _check.tensor("images", images, "N C H W", floating=False)
    if images.dtype != torch.uint8:
        raise TypeError(f"images: expected raw uint8 images, got {_check.describe(images)}")
    return images


def _labels(labels):
    """Labels, checked, as an int64 tensor."""
    if isinstance(labels, (list, tuple)):
        whole = [_check.as_integer(label) for label in labels]
        if None in whole:
            label = labels[whole.index(None)]
            raise TypeError(f"labels: expected whole numbers, got {_check.describe(label)}")
        if not all(0 <= label < 2**63 for label in whole):
            raise ValueError(f"labels: expected 0 or more, got {min(whole)} to {max(whole)}")
        return torch.tensor(whole, dtype=torch.int64, device="cpu")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        labels = torch.from_numpy(labels.astype(np.int64))
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "f":
        labels = torch.from_numpy(labels.astype(labels.dtype.newbyteorder("="), order="C"))
    if not isinstance(labels, torch.Tensor) or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels: expected a tensor of numbers, such as int64, got {_check.describe(labels)}")
    if not labels.ndim:
        raise ValueError(f"labels: expected one row per image, got {_check.describe(labels)}")
    if labels.is_floating_point():
        return labels
    labels = labels.to(torch.int64)
    if labels.ndim == 1 and labels.numel() and labels.min() < 0:  # of other labels only a loss of one's own knows
        raise ValueError(f"labels: expected 0 or more, got {labels.min()} to {labels.max()}")
    return labels


def normalize(images):
    """Shift and scale raw digits to mean 0 and standard deviation 1 over the MNIST training set.

    ``(pixel - 0.1307) / 0.3081`` with pixels in [0, 1].

    Args:
        images: uint8 (0…255), or floating-point in [0, 1]. Any shape.

    Returns:
        Tensor of the same shape, float32 for uint8, else the dtype that came.

    Raises:
        TypeError: not a uint8 or floating-point tensor.

    >>> normalize(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-0.4242,  2.8215])
    """
    if not isinstance(images, torch.Tensor) or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise TypeError(f"images: expected a uint8 or floating-point tensor, got {_check.describe(images)}")
    if images.dtype == torch.uint8:
        return images.float() / (255 * MNIST_STD) - MNIST_MEAN / MNIST_STD
    return images / MNIST_STD - MNIST_MEAN / MNIST_STD


def denormalize(images):
    """Undo :func:`normalize`: back to pixels in [0, 1], exactly enough that ``(255 * x).round()`` is the raw image.

    Args:
        images: normalised floating-point tensor, any shape.

    Returns:
        Tensor of the same shape and dtype. Nothing is clipped: what was outside [0, 1] stays visible as such.

    Raises:
        TypeError: not a floating-point tensor.

    >>> raw = torch.arange(256, dtype=torch.uint8)
    >>> bool(((255 * denormalize(normalize(raw))).round() == raw).all())
    True
    """
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        raise TypeError(f"images: expected a normalised floating-point tensor, got {_check.describe(images)}")
    return images * MNIST_STD + MNIST_MEAN
