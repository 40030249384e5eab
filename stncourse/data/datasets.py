"""Any torch Dataset as a set of images in memory."""

import numpy as np
import torch

from stncourse import _check
from stncourse.data.images import check_like, class_names, make_image_set
from stncourse.data.pictures import Depths, declared_bits, eight_bits, to_tensor, turned

_MAY_HAVE_GAPS = 1_000  # below this, labels without names need not all occur
_NOISE = 1e-3  # how far beyond 0 or 1 a pixel may be by rounding: a quarter of a grey level


def from_dataset(dataset, *, classes=None, like=None):
    """Take a torch ``Dataset`` of ``(image, label)`` into memory.

    Args:
        dataset: anything with ``len()`` and positions, or to iterate over: torchvision's datasets, ``Subset``, a list.
            Images of one size: PIL pictures, treated as :func:`load_images` treats them (turned as their camera says,
            16 bits rounded to 8); uint8 or floating-point tensors, ``(C, H, W)`` or ``(H, W)``; or such NumPy arrays,
            also ``(H, W, C)``, of up to 4 channels. Floating-point pixels are in [0, 1], and rounded to 8 bits.
            Labels: whole numbers from 0.
        classes: the names of the classes in the order of their labels, or how many there are. Default: the dataset's
            ``classes``, else the numbers that occur.
        like: the training set, when this is a test set.

    Returns:
        :class:`ImageSet`.

    Raises:
        TypeError, ValueError: not a dataset, an empty one, or an item is not as above; the message says which. Labels
            that are no positions in ``classes``, or, without, leave most of the numbers from 0 out. ``classes`` is a
            single text, or has a name twice.

    >>> from_dataset([(torch.rand(1, 8, 8), 0), (torch.rand(1, 8, 8), 1)]).classes
    ('0', '1')
    """
    if like is not None:
        check_like(like)
    classes = _classes_given(classes, dataset, like)
    images, labels, depths = [], [], Depths()
    for number, (image, label) in enumerate(_pairs(dataset)):
        images.append(_as_raw(image, number, depths))
        labels.append(_as_label(label, number))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"dataset: expected images of one shape, item 0 has {tuple(images[0].shape)} "
                f"and item {number} has {tuple(images[-1].shape)}"
            )
    if not images:
        raise ValueError("dataset: expected at least one item, got none")
    depths.check("dataset")
    return make_image_set(torch.stack(images), labels, "dataset", classes or _numbered(labels), like)


def _classes_given(classes, dataset, like):
    """The names of the classes, before the dataset has been read; None where they are not known."""
    of_dataset = getattr(dataset, "classes", None)
    of_dataset = None if of_dataset is None else class_names(of_dataset) or None
    names = of_dataset if classes is None else class_names(classes)
    if classes is not None:
        if not names or len(set(names)) < len(names):  # a dataset's own may: ImageNet has two cranes
            raise ValueError(f"classes: expected one name per class, all different, got {_check.describe(classes)}")
        if of_dataset and len(of_dataset) != len(names):
            raise ValueError(f"classes: expected {len(of_dataset)}, as many as dataset.classes, got {len(names)}")
    if like is None:
        return names
    # The dataset may call all of them otherwise; but some of the names, or in another order, are other labels.
    renamed = classes is None and names and len(names) == len(like.classes) and not set(names) & set(like.classes)
    if names and names != like.classes and not renamed:
        raise ValueError(f"classes: expected those of like, {like.classes}, got {names}")
    return like.classes


def _numbered(labels):
    """Classes without names: the labels themselves, if they are no other numbers, such as years."""
    top, different = max(labels), len(set(labels))
    if top >= max(_MAY_HAVE_GAPS, 2 * different):
        raise ValueError(
            f"dataset: expected labels from 0 on with hardly a gap, label {labels.index(top)} is {top}, and "
            f"{different} different ones came; renumber them, or give classes, the names or how many there are"
        )
    return class_names(top + 1)


# Datasets


def _pairs(dataset):
    if isinstance(dataset, torch.utils.data.DataLoader):
        raise TypeError("dataset: expected a Dataset of single images, got a DataLoader of batches; give its .dataset")
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        items = (dataset[number] for number in range(len(dataset)))
    elif hasattr(dataset, "__iter__"):
        items = iter(dataset)
    else:
        raise TypeError(f"dataset: expected a torch Dataset, got {_check.describe(dataset)}")
    for number, item in enumerate(items):
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError(f"dataset: expected pairs (image, label), item {number} is {_check.describe(item)}")
        yield item


def _as_raw(image, number, depths):
    """One image of a dataset -> uint8 ``(C, H, W)``."""
    from PIL import Image

    if isinstance(image, Image.Image):
        return _from_picture(image, number, depths)
    expected = "a PIL picture or a tensor (C, H, W) or (H, W), uint8 or floating-point in [0, 1]"
    what = f"dataset: expected {expected}, image {number} is {_check.describe(image)}"
    if isinstance(image, np.ndarray):
        image = _from_array(image, what)
    if not isinstance(image, torch.Tensor) or not (image.dtype == torch.uint8 or image.is_floating_point()):
        raise TypeError(what)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(what)
    image = image.detach().cpu()
    if image.is_floating_point():
        if not (image.min() >= -_NOISE and image.max() <= 1 + _NOISE):  # also when it is NaN
            raise ValueError(f"{what} with values from {image.min():.3g} to {image.max():.3g}; leave out its Normalize")
        image = (255 * image.float()).round().clamp(0, 255).to(torch.uint8)
    return image[None] if image.ndim == 2 else image


def _from_picture(picture, number, depths):
    bits = declared_bits(picture)
    channels = 1 if picture.mode in ("1", "L") or picture.mode.startswith("I") else 3
    try:
        picture = turned(picture)
        return to_tensor(eight_bits(picture, bits, channels, None, depths, f"item {number}"))
    except (ValueError, OSError) as error:
        raise ValueError(f"dataset: item {number}: {error}") from error


def _from_array(array, what):
    """A NumPy array as a tensor, its channels first: the axis of 1 or 3 is the channels', else that of 2 or 4."""
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise TypeError(what)
    if array.ndim == 3:
        for counts in ((1, 3), (2, 4)):
            first, last = array.shape[0] in counts, array.shape[2] in counts
            if first or last:
                break
        if first == last:
            raise ValueError(f"{what}, and which axis are its channels cannot be told; give a tensor (C, H, W)")
        array = array.transpose(2, 0, 1) if last else array
    native = np.uint8 if array.dtype == np.uint8 else np.float64
    return torch.from_numpy(np.array(array, dtype=native, order="C"))


def _as_label(label, number):
    whole = _check.as_integer(label)
    if whole is None:
        raise TypeError(f"dataset: expected whole numbers as labels, label {number} is {_check.describe(label)}")
    if whole < 0:
        raise ValueError(f"dataset: expected labels from 0, label {number} is {whole}")
    return whole
