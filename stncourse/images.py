"""Your own images: a folder of pictures, or any torch Dataset, as a set that ``fit`` and ``evaluate`` take."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stncourse import _check, data
from stncourse.data import Digits, MNISTUnavailable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
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
        if len(self) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels: expected 0 to {len(self.classes) - 1}, the positions in classes, "
                f"got {int(self.labels.min())} to {int(self.labels.max())}"
            )
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.images.shape[1]:
                raise ValueError(f"{name}: expected one number per channel, got {_check.describe(getattr(self, name))}")

    def __repr__(self):
        n, c, h, w = self.images.shape
        return f"ImageSet({n:,} images of {c}×{h}×{w}, {len(self.classes)} classes, source={self.source!r})"

    @property
    def scale(self):
        """By what :meth:`normalize` scales; test images need their training images' numbers."""
        return self.mean, self.std

    def normalize(self, images):
        """uint8 (0…255) or floating-point [0, 1] images -> mean 0 and standard deviation 1 over the training set."""
        if not isinstance(images, torch.Tensor) or not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise TypeError(f"images: expected a uint8 or floating-point tensor, got {_check.describe(images)}")
        images = images / 255 if images.dtype == torch.uint8 else images
        return (images - self._column(self.mean, images)) / self._column(self.std, images)

    def denormalize(self, images):
        """Undo :meth:`normalize`: back to [0, 1]."""
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
        colors = tuple(color) if isinstance(color, (tuple, list)) else (color,) * len(self.mean)
        if len(colors) != len(self.mean) or not all(isinstance(c, (int, float)) and 0 <= c <= 255 for c in colors):
            raise ValueError(f"color: expected 0 to 255, one number or {len(self.mean)}, got {_check.describe(color)}")
        return tuple((c / 255 - mean) / std for c, mean, std in zip(colors, self.mean, self.std, strict=True))

    @staticmethod
    def _column(numbers, images):
        return images.new_tensor(numbers)[:, None, None]


def load_images(folder, size=None, *, channels=3, like=None, background=None):
    """Load a folder of pictures into memory: one folder per class in it, the folder's name is the class.

    Args:
        folder: ``folder/cat/1.png``, ``folder/cat/2.jpg``, ``folder/dog/1.png``, … as torchvision's ``ImageFolder``.
            Files that are no pictures by their name, and hidden ones, are passed over.
        size: ``(H, W)``, or one int. Each picture is scaled until it covers this, and cut to it around its middle.
            Default: all have one size already.
        channels: 3, grey pictures become colour ones; or 1, colour ones become grey (their luminance).
        like: the training set, when this is a test set: same classes, size, channels, and normalised by its numbers.
        background: colour (0 to 255, one number or three) to lay pictures with transparent parts on.

    Returns:
        :class:`ImageSet`. 16-bit grey pictures are rounded to 8 bits; photographs are turned as their camera says.

    Raises:
        FileNotFoundError, NotADirectoryError: no such folder.
        ValueError: no class folders, or one without pictures; a broken picture (named); pictures of several sizes
            without ``size``; transparent parts without ``background``; a class that ``like`` does not know.
        TypeError: ``like`` is not an ImageSet.
    """
    if like is not None:
        _check_like(like)
        size, channels = size or tuple(like.images.shape[-2:]), like.images.shape[1]
    size = None if size is None else _check.image_size("size", size)
    if channels not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3, got {_check.describe(channels)}")
    files, classes = _files_by_class(Path(folder).expanduser(), like)
    images, first = [], None
    for path, _ in files:
        image = _read_picture(path, size, channels, background)
        first = first or (path, image.shape)
        if image.shape != first[1]:
            (h, w), (h0, w0) = image.shape[-2:], first[1][-2:]
            raise ValueError(
                f"size: expected pictures of one size, {first[0]} has {h0}×{w0} pixels and {path} has {h}×{w}; "
                "give size=(height, width) to have all scaled"
            )
        images.append(image)
    return _image_set(torch.stack(images), torch.tensor([label for _, label in files]), "folder", classes, like)


def from_dataset(dataset, *, classes=None, like=None):
    """Take a torch ``Dataset`` of ``(image, label)`` into memory.

    Args:
        dataset: anything with ``len()`` and positions, or to iterate over: torchvision's datasets, ``Subset``, a list.
            Images of one size: PIL pictures, uint8 tensors, or floating-point tensors in [0, 1] (rounded to 8 bits),
            ``(C, H, W)`` or ``(H, W)``. Labels: whole numbers from 0.
        classes: names of the classes. Default: the dataset's ``classes``, else their numbers.
        like: the training set, when this is a test set.

    Returns:
        :class:`ImageSet`.

    Raises:
        TypeError, ValueError: not a dataset, an empty one, or an item is not as above; the message says which.

    >>> from_dataset([(torch.rand(1, 8, 8), 0), (torch.rand(1, 8, 8), 1)]).classes
    ('0', '1')
    """
    if like is not None:
        _check_like(like)
    images, labels = [], []
    for number, (image, label) in enumerate(_pairs(dataset)):
        images.append(_as_raw(image, number))
        labels.append(_as_label(label, number))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"dataset: expected images of one shape, item 0 has {tuple(images[0].shape)} "
                f"and item {number} has {tuple(images[-1].shape)}"
            )
    if not images:
        raise ValueError("dataset: expected at least one item, got none")
    if classes is None:
        classes = like.classes if like else getattr(dataset, "classes", None) or map(str, range(max(labels) + 1))
    classes = tuple(map(str, classes))
    if like is not None and classes != like.classes:
        raise ValueError(f"classes: expected those of like, {like.classes}, got {classes}")
    return _image_set(torch.stack(images), torch.tensor(labels), "dataset", classes, like)


def load_fashion_mnist(split="train", root=None, *, like=None):
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017) by torchvision: clothes as 28×28 grey images, 60,000 + 10,000.

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
    from torchvision.datasets.mnist import read_image_file, read_label_file

    _check.choice("split", split, data.SPLITS)
    folder = data.cache_folder(root) / "FashionMNIST" / "raw"
    prefix = {"train": "train", "test": "t10k"}[split]
    paths = [folder / f"{prefix}-{name}" for name in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    if not all(path.exists() for path in paths):
        _download_fashion(folder)
    images, labels = read_image_file(str(paths[0]))[:, None], read_label_file(str(paths[1]))
    return _image_set(images, labels, "fashion-mnist", _FASHION, like)


def _download_fashion(folder):
    """torchvision downloads, checks and unpacks in a folder of our own; only whole files are moved into place."""
    from torchvision.datasets import FashionMNIST

    if os.environ.get("STNCOURSE_OFFLINE", "0") not in ("", "0"):
        raise MNISTUnavailable("STNCOURSE_OFFLINE is set, and Fashion-MNIST is not in the cache")
    mirror = os.environ.get("STNCOURSE_FASHION_MIRROR")
    failures = []
    for place in data.answering([mirror.rstrip("/") + "/"] if mirror else FashionMNIST.mirrors, failures):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as scratch:
                data.torchvision_download(FashionMNIST, place, scratch)
                for path in (Path(scratch) / "FashionMNIST" / "raw").glob("*ubyte"):
                    os.replace(path, folder / path.name)
            return
        except data.DOWNLOAD_ERRORS as error:
            failures.append(f"{place}: {' '.join(str(error).split())}")
    raise MNISTUnavailable(
        f"Fashion-MNIST could not be downloaded ({'; '.join(failures)}). "
        "Set STNCOURSE_FASHION_MIRROR to a folder or site with the four files"
    )


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
    return ImageSet(images, labels, source, tuple(classes), mean, std)


def _check_like(like):
    if not isinstance(like, ImageSet):
        raise TypeError(f"like: expected an ImageSet, the training set, got {_check.describe(like)}")


def _mean_and_std(images):
    """Per channel, of pixels in [0, 1]. By counting the 256 values: exact, and without a copy as floats."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * values).sum()
        variance = (share * (values - mean).square()).sum().item()
        means.append(mean.item())
        stds.append(variance**0.5 if variance > 1e-12 else 1.0)
    return tuple(means), tuple(stds)


# Folders of pictures


def _files_by_class(folder, like):
    """[(path, label), …] and the class names."""
    if not folder.exists():
        raise FileNotFoundError(f"folder: expected a folder of pictures, there is none at {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"folder: expected a folder of pictures, {folder} is a file")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise ValueError(
            f"folder: expected one folder per class in {folder}, with the pictures of that class in it, got none"
        )
    classes = tuple(names) if like is None else like.classes
    files = []
    for name in names:
        if name not in classes:
            raise ValueError(f"folder: expected the classes of like, {', '.join(classes)}, got {name!r} in {folder}")
        pictures = sorted(
            path
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not pictures:
            raise ValueError(f"folder: expected pictures in {folder / name} ({', '.join(SUFFIXES)}), got none")
        files += [(path, classes.index(name)) for path in pictures]
    return files, classes


def _read_picture(path, size, channels, background):
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
    # What Pillow's readers raise at broken files is not only OSError.
    except (OSError, SyntaxError, ValueError, IndexError, Image.DecompressionBombError) as error:
        raise ValueError(f"folder: expected a picture, {path} cannot be read ({error})") from error
    try:
        picture = _eight_bits(picture, channels, background)
    except ValueError as error:
        raise ValueError(f"{error}, {path}") from None
    if size is not None:
        picture = ImageOps.fit(picture, size[::-1], Image.Resampling.BILINEAR)
    return _pixels(picture)


def _eight_bits(picture, channels, background):
    """A PIL picture of any mode -> mode L or RGB. Where that would lose something unasked, a ValueError."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16-bit grey; convert("L") would cut it off at 255
        pixels = np.asarray(picture).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("images: expected 8 or 16 bits per pixel, got more")
        picture = Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("images: expected whole numbers for pixels, got a floating-point picture")
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getextrema()[3][0] < 255:
            if background is None:
                raise ValueError("background: expected a colour to lay a picture with transparent parts on, got None")
            color = tuple(background) if isinstance(background, (tuple, list)) else (background,) * 3
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (*color, 255)), picture)
    return picture.convert({1: "L", 3: "RGB"}[channels])


def _pixels(picture):
    """L or RGB picture -> uint8 ``(C, H, W)``."""
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


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


def _as_raw(image, number):
    """One image of a dataset -> uint8 ``(C, H, W)``."""
    from PIL import Image

    if isinstance(image, Image.Image):
        try:
            return _pixels(_eight_bits(image, 1 if image.mode in ("1", "L") or image.mode[0] == "I" else 3, None))
        except ValueError as error:
            raise ValueError(f"dataset: item {number}: {error}") from None
    expected = "a PIL picture or a tensor (C, H, W) or (H, W), uint8 or floating-point in [0, 1]"
    what = f"dataset: expected {expected}, image {number} is {_check.describe(image)}"
    if not isinstance(image, torch.Tensor) or not (image.dtype == torch.uint8 or image.is_floating_point()):
        raise TypeError(what)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(what)
    image = image.detach().cpu()
    if image.is_floating_point():
        if not (image.min() >= 0 and image.max() <= 1):  # also when it is NaN
            raise ValueError(f"{what} with values from {image.min():.3g} to {image.max():.3g}; leave out its Normalize")
        image = (255 * image.float()).round().to(torch.uint8)
    return image[None] if image.ndim == 2 else image


def _as_label(label, number):
    if isinstance(label, (torch.Tensor, np.ndarray)) and label.ndim == 0:
        label = label.item()
    if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
        raise TypeError(f"dataset: expected whole numbers as labels, label {number} is {_check.describe(label)}")
    if label < 0:
        raise ValueError(f"dataset: expected labels from 0, label {number} is {label}")
    return int(label)
