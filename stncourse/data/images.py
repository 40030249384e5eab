"""Images of one's own in memory: a set that carries its own normalisation, and any torch Dataset as one."""

import math
import weakref
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import torch

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.data.pictures import checked_color, numbers_in

_MOST_CLASSES = 1_000_000  # far above any data set's; what is larger is no number of classes


@dataclass(frozen=True, repr=False)
class ImageSet(Digits):
    """Raw images of any kind, their labels, and the numbers that normalise them. Goes wherever Digits go.

    Made by :func:`load_images`, :func:`from_dataset` and :func:`load_fashion_mnist`.

    Attributes:
        images: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64, positions in ``classes``; or several of them per image, ``(N, …)``.
        source: where they are from.
        classes: the names of the classes, a tuple.
        mean, std: per channel, of the *training* set's pixels in [0, 1]; a test set has its training set's. A channel
            that is the same everywhere has std 1.

    >>> images = torch.randint(0, 256, (6, 3, 20, 24), dtype=torch.uint8)
    >>> train = from_dataset([(image, number % 2) for number, image in enumerate(images)], classes=("cat", "dog"))
    >>> train
    ImageSet(6 images of 3×20×24, 2 classes, source='dataset')
    >>> model = STNClassifier((20, 24), 3, num_classes=2, padding_value=train.background((255, 255, 255)))
    >>> len(fit(model, train, recipe=FAST_RECIPE, device="cpu", verbose=False).epochs)
    1
    """

    classes: tuple = ()
    mean: tuple = (0.0,)
    std: tuple = (1.0,)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "classes", class_names(self.classes))
        if self.labels.is_floating_point():
            raise ValueError(f"labels: expected positions in classes, int64, got {_check.describe(self.labels)}")
        if len(self) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels: expected 0 to {len(self.classes) - 1}, the positions in classes, "
                f"got {int(self.labels.min())} to {int(self.labels.max())}"
            )
        for name, fits in (("mean", lambda value: abs(value) < math.inf), ("std", lambda value: 0 < value < math.inf)):
            given = getattr(self, name)
            numbers = numbers_in(given)
            if len(numbers) != self.images.shape[1] or not all(n is not None and fits(n) for n in numbers):
                raise ValueError(f"{name}: expected one number per channel, got {_check.describe(given)}")
            object.__setattr__(self, name, numbers)
        _remember(self)

    def __setstate__(self, state):
        self.__dict__.update(state)
        _remember(self)  # a copy, or one out of a file, has images of its own

    def __repr__(self):
        n, c, h, w = self.images.shape
        return f"ImageSet({n:,} images of {c}×{h}×{w}, {len(self.classes)} classes, source={self.source!r})"

    @property
    def scale(self):
        """By what :meth:`normalize` scales; test images need their training images' numbers."""
        return self.mean, self.std

    def normalize(self, images):
        """uint8 (0…255) or floating-point [0, 1] images -> mean 0 and standard deviation 1 over the training set.

        Raises:
            TypeError, ValueError: not such a tensor, or not ``(…, C, H, W)`` with this set's channels.
        """
        if not isinstance(images, torch.Tensor) or not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise TypeError(f"images: expected a uint8 or floating-point tensor, got {_check.describe(images)}")
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        return (images - self._column(self.mean, images)) / self._column(self.std, images)

    def denormalize(self, images):
        """Undo :meth:`normalize`: back to [0, 1].

        Raises:
            TypeError, ValueError: not a floating-point tensor, or not ``(…, C, H, W)`` with this set's channels.
        """
        if not isinstance(images, torch.Tensor) or not images.is_floating_point():
            raise TypeError(f"images: expected a normalised floating-point tensor, got {_check.describe(images)}")
        return images * self._column(self.std, images) + self._column(self.mean, images)

    def background(self, color=0):
        """What a pixel of this colour becomes by :meth:`normalize`: the ``padding_value`` that continues a background.

        Args:
            color: 0 to 255: one number, or one per channel.

        Returns:
            tuple, one float per channel.

        Raises:
            ValueError: another number of channels, or outside 0 to 255.
        """
        colors = checked_color("color", color, len(self.mean))
        return tuple((c / 255 - mean) / std for c, mean, std in zip(colors, self.mean, self.std, strict=True))

    @staticmethod
    def _column(numbers, images):
        """One number per channel, in the shape that meets ``(…, C, H, W)``."""
        if len(numbers) == 1:
            return numbers[0]
        if images.ndim < 3 or images.shape[-3] != len(numbers):
            raise ValueError(f"images: expected {len(numbers)} channels (…, C, H, W), got {_check.describe(images)}")
        return images.new_tensor(numbers)[:, None, None]


def make_image_set(images, labels, source, classes, like):
    """An :class:`ImageSet` normalised by its own numbers, or by those of ``like``, whose images it has to match."""
    if like is None:
        mean, std = _mean_and_std(images)
    else:
        check_like(like)
        if images.shape[1:] != like.images.shape[1:]:
            raise ValueError(
                f"like: expected images of {tuple(like.images.shape[1:])}, as there, got {tuple(images.shape[1:])}"
            )
        mean, std = like.mean, like.std
    return ImageSet(images, labels, source, classes, mean, std)


def check_like(like):
    """Check that ``like`` is the training set that it is said to be."""
    if not isinstance(like, ImageSet):
        raise TypeError(f"like: expected an ImageSet, the training set, got {_check.describe(like)}")


def _mean_and_std(images):
    """Per channel, of pixels in [0, 1]. By counting the 256 values: exact, and without a copy as floats."""
    values = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * values).sum()
        variance = (share * (values - mean).square()).sum().item()
        means.append(mean.item())
        stds.append(variance**0.5 if variance > 1e-12 else 1.0)
    return tuple(means), tuple(stds)


# Which set a tensor is cut out of

#: Of each memory that holds a set's images, for as long as it lives: the sets, without their images. A part of the
#: images, such as ``train.images[:10]``, lies in the same memory, also when the set itself is gone.
_SETS = weakref.WeakKeyDictionary()


def _remember(images):
    memory = _memory(images.images)
    if memory is not None and all(images.images.shape):
        without = replace(images, images=images.images.new_empty(0, len(images.mean), 1, 1), labels=[])
        same = [known for known in _SETS.get(memory, ()) if _says(known) == _says(without)]
        _SETS.setdefault(memory, []).extend([] if same else [without])


def _says(images):
    return images.scale, images.classes


def sets_with(part):
    """The different ImageSets, without their images, of whose images this tensor or array is a part and no copy."""
    while isinstance(part, np.ndarray):
        part = part.base  # at last the tensor whose memory it is
    memory = _memory(part) if isinstance(part, torch.Tensor) and part.dtype == torch.uint8 else None
    known = () if memory is None or part.ndim != 4 else _SETS.get(memory, ())
    return [images for images in known if images.images.shape[1] == part.shape[1]]


def _memory(tensor):
    if type(tensor) is not torch.Tensor or tensor.layout != torch.strided or tensor.is_meta:
        return None  # nothing in it, or torch would have to ask somebody else
    return tensor.untyped_storage()


# Classes


def class_names(classes):
    """Names of classes, or how many there are -> a tuple of names."""
    if (count := _check.as_integer(classes)) is not None:
        if not 1 <= count <= _MOST_CLASSES:
            raise ValueError(f"classes: expected 1 to {_MOST_CLASSES:,} classes, got {count}")
        return tuple(map(str, range(count)))
    if isinstance(classes, (torch.Tensor, np.ndarray)):
        if classes.ndim != 1:
            raise ValueError(f"classes: expected the names in one row, got {_check.describe(classes)}")
        classes = classes.tolist()  # what is in it, and not "tensor(0)"
    # Neither a text, which would be taken apart, nor what has no order of its own.
    if isinstance(classes, (str, bytes, Set, Mapping)) or not isinstance(classes, Iterable):
        raise TypeError(
            f"classes: expected the names in the order of their labels, or their number, got {_check.describe(classes)}"
        )
    whole = [(name, _check.as_integer(name)) for name in classes]
    return tuple(str(name if number is None else number) for name, number in whole)
