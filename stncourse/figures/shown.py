"""Images with the set they come from: by what they are normalised, and what their labels are called."""

import math
from typing import NamedTuple

import numpy as np
import torch

from stncourse import _check
from stncourse.data.digits import Digits, are_classes
from stncourse.data.images import sets_with

#: Whose numbers grey images have that come without a set: MNIST's.
_MNIST = Digits(
    torch.empty(0, 1, 1, 1, dtype=torch.uint8, device="cpu"), torch.empty(0, dtype=torch.int64, device="cpu"), "mnist"
)


class Shown(NamedTuple):
    """What :func:`shown` made of images and labels."""

    images: torch.Tensor  #: (N, C, H, W) on the CPU, else as they came
    labels: list | None  #: N whole numbers
    like: Digits | None  #: the set whose numbers count; None: they have none


def shown(images, labels=None, like=None, *, channels=None, name="images"):
    """Images to be shown, with all that their set knows of them.

    Args:
        images: ``(N, C, H, W)``, a tensor or a NumPy array; or :class:`stncourse.Digits` (an ImageSet is one), whose
            numbers are taken, and whose labels, where they are classes.
        labels: N whole numbers, instead of the set's own; or None.
        like: the set whose numbers count. Default: ``images`` itself, else the set of whose images they are a part,
            else MNIST for one channel.
        channels: how many there have to be; default: any number.
        name: of the argument ``images``, for the messages.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.
    """
    if isinstance(images, Digits):
        like = images if like is None else like
        labels = images.labels if labels is None and are_classes(images.labels) else labels
        images = images.images
    sets = sets_with(images) if like is None else []
    images = as_tensor(name, images)
    _check.tensor(name, images, f"N {channels or 'C'} H W", floating=False)
    if images.is_meta or images.layout != torch.strided or 0 in images.shape[1:]:
        what = f"{_check.describe(images)}, {images.layout}, on {images.device}"
        raise ValueError(f"{name}: expected pixels in memory, got {what}")
    if len(sets) == 1:
        like = sets[0]
    elif like is None and not sets and images.shape[1] == 1:  # several sets, of one memory, say different things
        like = _MNIST
    if like is not None:
        _check_numbers(like, images)
    return Shown(images.detach().cpu(), None if labels is None else as_labels("labels", labels, len(images)), like)


def _check_numbers(like, images):
    if not isinstance(like, Digits):
        raise TypeError(f"like: expected the set that the images come from, got {_check.describe(like)}")
    if like is not _MNIST and like.images.shape[1] != images.shape[1]:
        raise ValueError(f"like: expected a set of images with {images.shape[1]} channels, as these have, got {like!r}")


def known(like, images):
    """``like``, or an error for images without it: nobody says by what they are normalised, or several sets do."""
    if like is None:
        raise ValueError(
            f"like: expected the set that the images come from, since {_check.describe(images)} does not say by what "
            "it is normalised; give the set itself in place of images, or like=the set"
        )
    return like


def denormalize(like, images):
    """Undo ``like.normalize``: back to [0, 1], in the images' own dtype."""
    mean, std = (images.new_tensor(numbers)[:, None, None] for numbers in like.scale)
    return images * std + mean


def black(like):
    """What 0 becomes by ``like.normalize``: a float per channel."""
    return tuple(-mean / std for mean, std in zip(*like.scale, strict=True))


def label_name(like, label):
    """What a label is called: by the set's class names, where it has them, else its number."""
    classes = getattr(like, "classes", ())
    return classes[label] if 0 <= label < len(classes) else str(label)


def label_names(images):
    """What the labels of a set are called, those of one image in one text; None for labels that are no classes."""
    if images.labels.is_floating_point():
        return None
    rows = images.labels.reshape(len(images), math.prod(images.labels.shape[1:])).tolist()
    return [", ".join(label_name(images, label) for label in row) for row in rows]


def as_tensor(name, value):
    """A NumPy array as a tensor; everything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    try:
        return torch.from_numpy(np.array(value, order="C"))  # a copy: it may be read-only, or run backwards
    except TypeError as error:
        raise TypeError(f"{name}: expected an array of numbers, got {_check.describe(value)}") from error


def as_labels(name, value, count):
    """``count`` whole numbers, out of a tensor, an array or a list, as a list of ints."""
    expected = f"{count} whole numbers, one per image"
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim != 1:
        raise ValueError(f"{name}: expected {expected}, got {_check.describe(value)}")
    try:
        values = value.tolist() if isinstance(value, (torch.Tensor, np.ndarray)) else list(value)
    except (TypeError, NotImplementedError) as error:  # nothing to iterate over; no numbers, on the meta device
        raise TypeError(f"{name}: expected {expected}, got {_check.describe(value)}") from error
    labels = [_check.as_integer(label) for label in values]
    if None in labels:
        wrong = values[labels.index(None)]
        raise TypeError(f"{name}: expected {expected}, got {_check.describe(wrong)} among them")
    if len(labels) != count:
        raise ValueError(f"{name}: expected {expected}, got {len(labels)}")
    return labels
