"""Your own images: a folder of pictures, or any torch Dataset, as a set that ``fit`` and ``evaluate`` take."""

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

import numpy as np
import torch

from stncourse import _check, _files, _pictures, data
from stncourse.data import Digits

_MOST_CLASSES = 1_000_000  # far above any data set's; what is larger is no number of classes
_MAY_HAVE_GAPS = 1_000  # below this, labels without names need not all occur
_NOISE = 1e-3  # how far beyond 0 or 1 a pixel may be by rounding: a quarter of a grey level
_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True, repr=False)
class ImageSet(Digits):
    """Raw images of any kind, their labels, and the numbers that normalise them. Goes wherever Digits go.

    Made by :func:`load_images`, :func:`from_dataset` and :func:`load_fashion_mnist`.

    Attributes:
        images: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64, positions in ``classes``.
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
        object.__setattr__(self, "classes", _class_names(self.classes))
        if len(self) and int(self.labels.max()) >= len(self.classes):
            raise ValueError(
                f"labels: expected 0 to {len(self.classes) - 1}, the positions in classes, "
                f"got {int(self.labels.min())} to {int(self.labels.max())}"
            )
        for name, fits in (("mean", lambda value: abs(value) < math.inf), ("std", lambda value: 0 < value < math.inf)):
            given = getattr(self, name)
            numbers = _pictures.numbers_in(given)
            if len(numbers) != self.images.shape[1] or not all(n is not None and fits(n) for n in numbers):
                raise ValueError(f"{name}: expected one number per channel, got {_check.describe(given)}")
            object.__setattr__(self, name, numbers)

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
        colors = _pictures.color("color", color, len(self.mean))
        return tuple((c / 255 - mean) / std for c, mean, std in zip(colors, self.mean, self.std, strict=True))

    @staticmethod
    def _column(numbers, images):
        """One number per channel, in the shape that meets ``(…, C, H, W)``."""
        if len(numbers) == 1:
            return numbers[0]
        if images.ndim < 3 or images.shape[-3] != len(numbers):
            raise ValueError(f"images: expected {len(numbers)} channels (…, C, H, W), got {_check.describe(images)}")
        return images.new_tensor(numbers)[:, None, None]


def load_images(folder, size=None, *, channels=3, like=None, background=None):
    """Load a folder of pictures into memory: one folder per class in it, the folder's name is the class.

    Args:
        folder: ``folder/cat/1.png``, ``folder/cat/2.jpg``, ``folder/dog/1.png``, … as torchvision's ``ImageFolder``.
            Files that are no pictures by their name are passed over, and what is hidden, at every depth. Links are
            followed, to folders too.
        size: ``(H, W)``, or one int. Each picture is scaled until it covers this, and cut to it around its middle.
            Default: all have one size already.
        channels: 3, grey pictures become colour ones; or 1, colour ones become grey (their luminance).
        like: the training set, when this is a test set: same classes, size, channels, and normalised by its numbers.
        background: colour (0 to 255, one number or three) to lay pictures with transparent parts on.

    Returns:
        :class:`ImageSet`. Photographs are turned as their camera says. Pictures of more than 8 bits are rounded to 8:
        white is the largest value of as many bits as the file declares.

    Raises:
        FileNotFoundError, NotADirectoryError: no such folder.
        ValueError: no class folders, or one without pictures; a picture or folder that cannot be read (named), such as
            a link to nothing; pictures of several sizes without ``size``; transparent parts without ``background``; a
            class that ``like`` does not know; 16-bit pictures none of which reaches half of white: they may hold
            fewer bits.
        TypeError: ``folder`` is not a path, ``like`` not an ImageSet.
    """
    folder = _check.path("folder", folder)
    if like is not None:
        _check_like(like)
        size, channels = tuple(like.images.shape[-2:]) if size is None else size, like.images.shape[1]
    size = None if size is None else _check.image_size("size", size)
    if _check.as_integer(channels) not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3, got {_check.describe(channels)}")
    background = None if background is None else _pictures.color("background", background, 3)
    files, classes = _files_by_class(folder, like)
    images, depths = [], _pictures.Depths()
    for path, _ in files:
        images.append(_read_picture(path, size, int(channels), background, depths))
        if images[-1].shape != images[0].shape:
            (h, w), (h0, w0) = images[-1].shape[-2:], images[0].shape[-2:]
            raise ValueError(
                f"size: expected pictures of one size, {files[0][0]} has {h0}×{w0} pixels and {path} has {h}×{w}; "
                "give size=(height, width) to have all scaled"
            )
    depths.check("folder")
    return _image_set(torch.stack(images), [label for _, label in files], "folder", classes, like)


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
        _check_like(like)
    classes = _classes_given(classes, dataset, like)
    images, labels, depths = [], [], _pictures.Depths()
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
    return _image_set(torch.stack(images), labels, "dataset", classes or _numbered(labels), like)


def load_fashion_mnist(split="train", root=None, *, like=None):
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017) by torchvision: clothes as 28×28 grey images, 60,000 + 10,000.

    Downloaded once (31 MB) and checked (MD5); what changes in the cache later is noticed, and downloaded again.

    Args:
        split: ``"train"`` or ``"test"``.
        root: the cache folder, as for :func:`stncourse.load_digits`.
        like: the training set, for ``"test"``.

    Environment:
        ``STNCOURSE_FASHION_MIRROR``: an ``https://``, ``http://`` or ``file://`` folder holding the four original
        files, tried before torchvision's own. ``STNCOURSE_OFFLINE=1``: never try to download.

    Returns:
        :class:`ImageSet`.

    Raises:
        ValueError: unknown split.
        MNISTUnavailable (an OSError): it cannot be had; the message says what was tried.
    """
    from torchvision.datasets import FashionMNIST

    _check.choice("split", split, data.SPLITS)
    root = data.cache_folder(root)
    folder = root / "FashionMNIST" / "raw"
    prefix = {"train": "train", "test": "t10k"}[split]
    names = [f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    _files.remove_old_scratch(root)
    if not data.is_intact(folder, data.recorded(folder, names)):
        failed = "Fashion-MNIST could not be downloaded"
        data.download(FashionMNIST, "Fashion-MNIST", root, "STNCOURSE_FASHION_MIRROR", failed=failed)
    return _image_set(*data.read_files(folder, names), "fashion-mnist", _FASHION, like)


def _image_set(images, labels, source, classes, like):
    if like is None:
        mean, std = _mean_and_std(images)
    else:
        _check_like(like)
        if images.shape[1:] != like.images.shape[1:]:
            raise ValueError(
                f"like: expected images of {tuple(like.images.shape[1:])}, as there, got {tuple(images.shape[1:])}"
            )
        mean, std = like.mean, like.std
    return ImageSet(images, labels, source, classes, mean, std)


def _check_like(like):
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


# Classes


def _class_names(classes):
    """Names of classes, or how many there are -> a tuple of names."""
    if (count := _check.as_integer(classes)) is not None:
        if not 1 <= count <= _MOST_CLASSES:
            raise ValueError(f"classes: expected 1 to {_MOST_CLASSES:,} classes, got {count}")
        return tuple(map(str, range(count)))
    # Neither a text, which would be taken apart, nor what has no order of its own.
    if isinstance(classes, (str, bytes, Set, Mapping)) or not isinstance(classes, Iterable):
        raise TypeError(
            f"classes: expected the names in the order of their labels, or their number, got {_check.describe(classes)}"
        )
    return tuple(map(str, classes))


def _classes_given(classes, dataset, like):
    """The names of the classes, before the dataset has been read; None where they are not known."""
    of_dataset = getattr(dataset, "classes", None)
    of_dataset = None if of_dataset is None else _class_names(of_dataset) or None
    names = of_dataset if classes is None else _class_names(classes)
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
    return _class_names(top + 1)


# Folders of pictures


def _files_by_class(folder, like):
    """[(path, label), …] and the class names."""
    if not folder.exists():
        raise FileNotFoundError(f"folder: expected a folder of pictures, there is none at {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"folder: expected a folder of pictures, {folder} is a file")
    names = _pictures.class_folders(folder)
    if not names:
        raise ValueError(
            f"folder: expected one folder per class in {folder}, with the pictures of that class in it, got none"
        )
    classes = tuple(names) if like is None else like.classes
    files = []
    for name in names:
        if name not in classes:
            raise ValueError(f"folder: expected the classes of like, {', '.join(classes)}, got {name!r} in {folder}")
        pictures = _pictures.in_class(folder, name)
        if not pictures:
            suffixes = ", ".join(_pictures.SUFFIXES)
            raise ValueError(f"folder: expected pictures in {folder / name} ({suffixes}), got none")
        files += [(path, classes.index(name)) for path in pictures]
    return files, classes


def _read_picture(path, size, channels, background, depths):
    from PIL import Image, ImageOps

    picture, bits = _pictures.read(path)
    try:
        picture = _pictures.eight_bits(picture, bits, channels, background, depths, path)
    except ValueError as error:
        raise ValueError(f"{error}, {path}") from None
    if size is not None:
        picture = ImageOps.fit(picture, size[::-1], Image.Resampling.BILINEAR)
    return _pictures.to_tensor(picture)


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
    bits = _pictures.declared_bits(picture)
    channels = 1 if picture.mode in ("1", "L") or picture.mode.startswith("I") else 3
    try:
        picture = _pictures.turned(picture)
        return _pictures.to_tensor(_pictures.eight_bits(picture, bits, channels, None, depths, f"item {number}"))
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
