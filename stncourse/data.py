"""Digits: MNIST by torchvision, or the real MNIST digits that ship with the package."""

import contextlib
import hashlib
import http.client
import os
import queue
import re
import shutil
import socket
import tempfile
import threading
import time
import urllib.request
import zlib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from stncourse import _check
from stncourse.device import resolve_device

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
#: A black pixel after normalisation: what lies around a digit, and what padding has to be.
BACKGROUND = (0.0 - MNIST_MEAN) / MNIST_STD

SPLITS = ("train", "test")
SOURCES = ("auto", "mnist", "offline")
_PATIENCE = 5  # seconds to wait for an answer before a host counts as unreachable

# MD5 of the four extracted files. torchvision checks the downloaded archives; these catch what happens afterwards.
_FILES = {
    "train": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    },
    "test": {
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}


class MNISTUnavailable(OSError):
    """MNIST is neither in the cache nor to be had from any mirror. The message says what was tried."""


@dataclass(frozen=True)
class Digits:
    """Raw digits and their labels.

    Attributes:
        images: ``(N, C, H, W)`` uint8, 0 = background, 255 = ink.
        labels: ``(N,)`` int64.
        source: ``"mnist"`` or ``"offline"``.

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
        _check.tensor("images", self.images, "N C H W", floating=False)
        if self.images.dtype != torch.uint8:
            raise TypeError(f"images: expected raw uint8 images, got {_check.describe(self.images)}")
        _check.tensor("labels", self.labels, "N", floating=False)
        if self.labels.dtype != torch.int64:
            raise TypeError(f"labels: expected int64 labels, got {_check.describe(self.labels)}")
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
            ValueError: ``held_out`` is not between 1 and ``len(self) - 1``.
        """
        _check.positive_int("held_out", held_out)
        if held_out >= len(self):
            raise ValueError(f"held_out: expected fewer than the {len(self)} digits there are, got {held_out}")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.subset(order[held_out:]), self.subset(order[:held_out])


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
    scale = 255 * MNIST_STD if images.dtype == torch.uint8 else MNIST_STD
    return images / scale - MNIST_MEAN / MNIST_STD


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


class Batches:
    """Mini-batches of normalised digits out of one tensor in memory: no files, no workers, no per-image Python.

    Iterate over it for one epoch; every further pass is the next epoch, in another order. The same seed gives the same
    epochs in the same order.

    Args:
        digits: :class:`Digits`.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        shuffle: a new order every epoch.
        seed: for the order and for ``transform``.
        device: where the batches are; ``"auto"`` as in :func:`stncourse.device.resolve_device`.
        transform: ``(images, generator) -> images`` on float images in [0, 1] *before* normalisation, so that 0 is
            background; for augmentation or distortion.

    Yields:
        ``(images, labels)``: float32 ``(B, C, H, W)`` normalised, int64 ``(B,)``.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> batches = Batches(load_digits("test", source="offline"), batch_size=64)
    >>> images, labels = next(iter(batches))
    >>> len(batches), images.shape, images.dtype
    (16, torch.Size([64, 1, 28, 28]), torch.float32)
    """

    def __init__(self, digits, batch_size=64, shuffle=False, seed=0, device="cpu", transform=None):
        if not isinstance(digits, Digits):
            raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
        if not isinstance(shuffle, bool):
            raise TypeError(f"shuffle: expected True or False, got {_check.describe(shuffle)}")
        if transform is not None and not callable(transform):
            raise TypeError(f"transform: expected a function or None, got {_check.describe(transform)}")
        self.batch_size = _check.positive_int("batch_size", batch_size)
        self.shuffle, self.transform = shuffle, transform
        self.seed = _check.seed("seed", seed)
        self.epoch = 0  #: which epoch comes next
        self.generator = None  #: the epoch's own: of the order, then of ``transform``
        self._skip = (0, None)
        self.normalize = digits.normalize
        device = resolve_device(device)
        self.images, self.labels = digits.images.to(device), digits.labels.to(device)

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __iter__(self):
        # One generator per epoch, so that an epoch can be repeated without having run those before it.
        self.generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**64)
        self.epoch += 1
        n = len(self.images)
        order = torch.randperm(n, generator=self.generator) if self.shuffle else torch.arange(n)
        order = order.to(self.images.device)
        (first, state), self._skip = self._skip, (0, None)
        if state is not None:
            self.generator.set_state(state)
        for start in range(first * self.batch_size, n, self.batch_size):
            index = order[start : start + self.batch_size]
            images = self.images[index]
            if self.transform is not None:
                images = self.transform(images / 255, self.generator)
            yield self.normalize(images), self.labels[index]

    def skip_to(self, epoch, batch, state):
        """Make the next pass the rest of an epoch, as if its first batches had been drawn.

        Args:
            epoch: which epoch, from 0.
            batch: how many of its batches to leave out.
            state: ``self.generator.get_state()`` after these batches.
        """
        self.epoch, self._skip = epoch, (batch, state)


class DigitsDataset(torch.utils.data.Dataset):
    """Digits one by one as ``(image, label)``, for torch's ``DataLoader``: what ``torchvision.datasets.MNIST`` gives.

    Args:
        digits: :class:`Digits` of one channel.
        transform: PIL image -> anything, for example torchvision's ``ToTensor``; None leaves the PIL image.

    >>> image, label = DigitsDataset(load_digits("test", source="offline"))[0]
    >>> image.size, type(label)
    ((28, 28), <class 'int'>)
    """

    def __init__(self, digits, transform=None):
        if not isinstance(digits, Digits):
            raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
        self.digits, self.transform = digits, transform

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        from PIL import Image

        image = Image.fromarray(self.digits.images[index, 0].numpy())
        label = int(self.digits.labels[index])
        return (image if self.transform is None else self.transform(image)), label


def load_digits(split="train", source="auto", root=None):
    """Load handwritten digits.

    Args:
        split: ``"train"`` or ``"test"``.
        source: ``"mnist"``: all of MNIST (60,000 + 10,000) by torchvision, downloaded once (12 MB) and checked (MD5).
            ``"offline"``: real MNIST digits that ship with this package (5,000 + 1,000, as many of each class).
            ``"auto"``: MNIST from the cache, else downloaded, else the offline digits, and it says so.
        root: the cache folder, laid out as torchvision does. Default: ``STNCOURSE_DATA_DIR``, else this user's cache.

    Environment:
        ``STNCOURSE_MNIST_MIRROR``: an ``https://``, ``http://`` or ``file://`` folder holding the four original files,
        tried before torchvision's own mirrors. ``STNCOURSE_OFFLINE=1``: never try to download.

    Returns:
        :class:`Digits`, ``images`` raw uint8 ``(N, 1, 28, 28)``.

    Raises:
        ValueError: unknown split or source.
        MNISTUnavailable: ``source="mnist"`` and it cannot be had; the message says what was tried.

    >>> load_digits("train", source="offline")
    Digits(5,000 images of 1×28×28, source='offline')
    """
    _check.choice("split", split, SPLITS)
    _check.choice("source", source, SOURCES)
    if source == "offline":
        return _load_offline(split)
    try:
        return _load_mnist(split, cache_folder(root))
    except MNISTUnavailable as error:
        if source == "mnist":
            raise
        _say_once(
            "Using the offline digits (5,000 train, 1,000 test) in place of the whole of MNIST, so accuracies and "
            f"figures will differ from the printed ones. Reason: {error}"
        )
        return _load_offline(split)


def cache_folder(root=None):
    """Where MNIST is kept: ``root``, else ``STNCOURSE_DATA_DIR``, else this user's cache folder."""
    import platformdirs

    root = root or os.environ.get("STNCOURSE_DATA_DIR") or platformdirs.user_cache_path("stncourse")
    return Path(root).expanduser()


def cached(split, root=None):
    """Whether this split of MNIST is in the cache, byte for byte. Downloads nothing."""
    _check.choice("split", split, SPLITS)
    return _is_intact(cache_folder(root) / "MNIST" / "raw", _FILES[split])


_said = set()


def _say_once(sentence):
    """Both splits fail for the same reason; one sentence is enough."""
    if sentence not in _said:
        _said.add(sentence)
        print(sentence)


def _load_offline(split):
    """The 5,000 or 1,000 digits chosen by tools/make_offline_digits.py."""
    with (resources.files("stncourse") / "assets" / "digits.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    return Digits(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long(), "offline")


def _load_mnist(split, root):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    folder = root / "MNIST" / "raw"
    if not _is_intact(folder, _FILES[split]):
        _download(root, folder)
    # Not by torchvision's class: it refuses when a file of the other split is missing, and prefers what an old release
    # of it may have left in MNIST/processed to the files that were just checked.
    images, labels = (str(folder / name) for name in _FILES[split])
    return Digits(read_image_file(images)[:, None], read_label_file(labels), "mnist")


def _is_intact(folder, files):
    """Whether all these files are there, byte for byte."""
    try:
        return all(
            hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest() == md5
            for name, md5 in files.items()
        )
    except OSError:
        return False


#: What torchvision's download and unpacking fail with.
DOWNLOAD_ERRORS = (OSError, http.client.HTTPException, RuntimeError, EOFError, ValueError, zlib.error)


def torchvision_download(dataset, mirror, root):
    """Download by one of torchvision's classes like MNIST, from one mirror, into ``root``. Returns the raw folder."""
    # torchvision names the folder after the class.
    one_mirror = type(dataset.__name__, (dataset,), {"mirrors": [mirror]})
    with _socket_timeout(2 * _PATIENCE):
        if mirror.startswith("file:"):
            _copy_archives(dataset, mirror, root)
        return Path(one_mirror(root, download=True).raw_folder)


def _download(root, folder):
    """Download by torchvision into a folder of our own, check, and only then move the files into place.

    So a cut connection, a full disk or a second kernel at work can never leave half a file where a whole one belongs.
    """
    from torchvision.datasets import MNIST

    if os.environ.get("STNCOURSE_OFFLINE", "0") not in ("", "0"):
        raise MNISTUnavailable("STNCOURSE_OFFLINE is set, and MNIST is not in the cache")
    all_files = _FILES["train"] | _FILES["test"]
    failures = []
    for mirror in _answering_mirrors(failures):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as scratch:
                raw = torchvision_download(MNIST, mirror, scratch)
                if not _is_intact(raw, all_files):
                    raise OSError("the files do not have the known MD5")
                for name in all_files:
                    os.replace(raw / name, folder / name)
            return
        except DOWNLOAD_ERRORS as error:
            failures.append(f"{mirror}: {_one_line(error)}")
    raise MNISTUnavailable(
        f"MNIST could not be downloaded to {root} ({'; '.join(failures)}). "
        "Set STNCOURSE_MNIST_MIRROR to a folder or site with the four files, or use source='offline'"
    )


def _copy_archives(dataset, mirror, root):
    """Put a ``file://`` mirror's archives where torchvision looks before it downloads; it checks and unpacks them.

    torchvision's own downloader fails on ``file://``: it asks the answer for a length that only http answers have.
    """
    from torchvision.datasets.utils import check_integrity

    folder = Path(root) / dataset.__name__ / "raw"
    folder.mkdir(parents=True)
    for name, md5 in dataset.resources:
        with urllib.request.urlopen(mirror + name) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target)
        if not check_integrity(folder / name, md5):
            raise OSError(f"{name} does not have the known MD5")


def _one_line(error):
    # The scratch folder has another name each time: without it, the same reason reads the same.
    text = " ".join(re.sub(r"\.download-\w+", ".download", str(error)).split())
    return f"{type(error).__name__}: {text[:200]}"


def _answering_mirrors(failures):
    """Yield the mirrors that answer, STNCOURSE_MNIST_MIRROR first. Those that do not are added to ``failures``."""
    if mirror := os.environ.get("STNCOURSE_MNIST_MIRROR"):
        yield from answering([mirror.rstrip("/") + "/"], failures)
    from torchvision.datasets import MNIST

    yield from answering(MNIST.mirrors, failures)


def answering(mirrors, failures):
    """Those of the mirrors that answer, all asked at once; 5 s in all.

    In threads, since a name look-up that hangs knows no timeout.
    """
    answers = queue.SimpleQueue()

    def ask(mirror):
        try:
            request = urllib.request.Request(mirror + "t10k-labels-idx1-ubyte.gz", headers={"User-Agent": "stncourse"})
            with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
                response.read(1)
            answers.put((mirror, None))
        except (OSError, http.client.HTTPException, ValueError) as error:
            answers.put((mirror, _one_line(error)))

    results = dict.fromkeys(mirrors, f"no answer within {_PATIENCE} s")
    for mirror in mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    deadline = time.monotonic() + _PATIENCE
    with contextlib.suppress(queue.Empty):
        for _ in mirrors:
            mirror, error = answers.get(timeout=max(0, deadline - time.monotonic()))
            results[mirror] = error
    failures += [f"{mirror}: {error}" for mirror, error in results.items() if error]
    yield from [mirror for mirror, error in results.items() if not error]


@contextlib.contextmanager
def _socket_timeout(seconds):
    """torchvision sets no timeout of its own: without this a connection that falls silent hangs for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
