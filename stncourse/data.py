"""Digits: MNIST by torchvision, or the real MNIST digits that ship with the package."""

import contextlib
import hashlib
import http.client
import json
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from stncourse import _check, _files
from stncourse.device import resolve_device

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
#: A black pixel after normalisation: what lies around a digit, and what padding has to be.
BACKGROUND = (0.0 - MNIST_MEAN) / MNIST_STD

SPLITS = ("train", "test")
SOURCES = ("auto", "mnist", "offline")
_PATIENCE = 5  # seconds to wait for an answer before a host counts as unreachable; in the middle of a file, twice that
_SLOWEST = 20_000  # bytes a second: what a mirror has to deliver, on average and after twice the patience
_LARGEST = 40_000_000  # bytes: no archive is larger; Fashion-MNIST's largest has 26 million

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
        images: ``(N, C, H, W)`` uint8, 0 = background, 255 = ink. A NumPy array becomes a tensor.
        labels: ``(N,)`` int64, from 0. Whole numbers of any other type become int64, and a list a tensor.
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
        generator = _generator(_check.positive_int("seed", seed, minimum=0))
        order = torch.randperm(len(self), generator=generator, device="cpu")
        return self.subset(order[held_out:]), self.subset(order[:held_out])


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
    _check.tensor("labels", labels, "N", floating=False)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels: expected whole numbers, such as int64, got {_check.describe(labels)}")
    labels = labels.to(torch.int64)
    if labels.numel() and labels.min() < 0:
        raise ValueError(f"labels: expected 0 or more, got {labels.min()} to {labels.max()}")
    return labels


def _generator(seed):
    """A generator of its own, on the CPU whatever torch's default device, for any whole number from 0."""
    return torch.Generator(device="cpu").manual_seed(seed % 2**64)


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
        if not isinstance(shuffle, (bool, np.bool_)):
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
        self.generator = _generator(self.seed * 1_000_003 + self.epoch)
        self.epoch += 1
        n = len(self.images)
        on_cpu = {"device": "cpu"}  # where the generator is, whatever torch's default device
        order = torch.randperm(n, generator=self.generator, **on_cpu) if self.shuffle else torch.arange(n, **on_cpu)
        order = order.to(self.images.device)
        (first, state), self._skip = self._skip, (0, None)
        if state is not None:
            self.generator.set_state(state)
        for start in range(first * self.batch_size, n, self.batch_size):
            index = order[start : start + self.batch_size]
            images = self.images[index]
            if self.transform is not None:
                images = self.transform(images.float() / 255, self.generator)
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
        digits: :class:`Digits` of one channel (grey pictures) or three (colour).
        transform: PIL image -> anything, for example torchvision's ``ToTensor``; None leaves the PIL image.

    >>> image, label = DigitsDataset(load_digits("test", source="offline"))[0]
    >>> image.size, type(label)
    ((28, 28), <class 'int'>)
    """

    def __init__(self, digits, transform=None):
        if not isinstance(digits, Digits):
            raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
        if digits.images.shape[1] not in (1, 3):
            raise ValueError(f"digits: expected 1 or 3 channels, got {digits!r}")
        self.digits, self.transform = digits, transform

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        from PIL import Image

        pixels = self.digits.images[index].cpu().numpy()
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
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
    """Where MNIST is kept: ``root``, else ``STNCOURSE_DATA_DIR``, else this user's cache folder.

    Raises:
        TypeError, ValueError: ``root`` is no path, or begins with ``~`` and this user has no home.
        MNISTUnavailable: the environment names no such folder, and this user has no home.
    """
    import platformdirs

    if root is not None and root != "":
        return _check.path("root", root)
    try:
        folder = os.environ.get("STNCOURSE_DATA_DIR") or platformdirs.user_cache_path("stncourse")
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise MNISTUnavailable(
            "this user has no home folder to keep MNIST in; set STNCOURSE_DATA_DIR to a folder"
        ) from error


def cached(split, root=None):
    """Whether this split of MNIST is in the cache, byte for byte. Downloads nothing."""
    _check.choice("split", split, SPLITS)
    try:
        return is_intact(cache_folder(root) / "MNIST" / "raw", _FILES[split])
    except MNISTUnavailable:
        return False


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
    from torchvision.datasets import MNIST

    folder = root / "MNIST" / "raw"
    _files.remove_old_scratch(root)
    if not is_intact(folder, _FILES[split]):
        failed, advice = f"MNIST could not be downloaded to {root}", ", or use source='offline'"
        known = _FILES["train"] | _FILES["test"]
        download(MNIST, "MNIST", root, "STNCOURSE_MNIST_MIRROR", failed=failed, advice=advice, known=known)
    return Digits(*read_files(folder, _FILES[split]), "mnist")


def read_files(folder, names):
    """(images, labels) out of the two files of a split, of which the first holds the images."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    # Not by torchvision's class: it refuses when a file of the other split is missing, and prefers what an old release
    # of it may have left in MNIST/processed to the files that were just checked.
    images, labels = (str(folder / name) for name in names)
    return read_image_file(images)[:, None], read_label_file(labels)


def is_intact(folder, files):
    """Whether all these files are there, byte for byte. ``files``: ``{name: MD5}``."""
    return all(files.values()) and md5s(folder, files) == files


def md5s(folder, names):
    """``{name: MD5}`` of files; None for one that cannot be read."""
    found = dict.fromkeys(names)
    for name in names:
        with contextlib.suppress(OSError):
            found[name] = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
    return found


#: What a download and torchvision's unpacking fail with.
_DOWNLOAD_ERRORS = (OSError, http.client.HTTPException, RuntimeError, EOFError, ValueError, zlib.error)


def download(dataset, name, root, variable, *, failed, advice="", known=None):
    """Download into a folder of our own, check, and only then move the files into place.

    So a cut connection, a full disk or a second kernel at work can never leave half a file where a whole one belongs.

    Args:
        dataset: one of torchvision's classes like ``MNIST``, which knows the MD5 of its archives.
        name: how people call it.
        root: the cache folder.
        variable: the environment's, with a mirror to try before torchvision's own.
        failed, advice: how the message of an error begins and ends.
        known: ``{name: MD5}`` of the extracted files, where it is known.

    Raises:
        MNISTUnavailable: it cannot be had; the message says what was tried.
    """
    folder = root / dataset.__name__ / "raw"
    failures = []
    for mirror in _mirrors(dataset, name, folder, variable, failures):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _files.scratch_folder(root) as scratch:
                _download_from(mirror, dataset, scratch, folder, known)
            return
        except _DOWNLOAD_ERRORS as error:
            failures.append(f"{mirror}: {_one_line(error)}")
    raise MNISTUnavailable(
        f"{failed} ({'; '.join(failures)}). Set {variable} to a folder or site with the four files{advice}"
    )


def _download_from(mirror, dataset, scratch, folder, known):
    raw = scratch / dataset.__name__ / "raw"
    raw.mkdir(parents=True)
    _fetch_archives(dataset, mirror, raw)
    # torchvision unpacks what is there. It does so once per mirror, and names the folder after the class.
    type(dataset.__name__, (dataset,), {"mirrors": [mirror]})(str(scratch), download=True)
    found = md5s(raw, [Path(archive).stem for archive, _ in dataset.resources])
    if known and found != known:
        raise OSError("the files do not have the known MD5")
    for name in found:
        os.replace(raw / name, folder / name)
    if not known:
        with _files.replacing(folder / _RECORD, text=True) as file:
            json.dump(found, file, indent=1)


_RECORD = "md5.json"  # beside files whose MD5 is not known beforehand: what they had when they came out of the archives


def recorded(folder, names):
    """``{name: MD5}`` of these files when they were extracted; None for one of which that is not known."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return {name: record.get(name) for name in names}
    except (OSError, ValueError, AttributeError):
        return dict.fromkeys(names)


def _fetch_archives(dataset, mirror, folder):
    """Put a mirror's archives where torchvision looks before it downloads.

    torchvision's own downloader waits for ever for a server that drips, writes to disk whatever one sends that never
    ends, and fails on ``file://``.
    """
    from torchvision.datasets.utils import check_integrity

    deadline = _Deadline()
    for name, md5 in dataset.resources:
        _fetch(mirror + name, folder / name, deadline)
        if not check_integrity(folder / name, md5):
            raise OSError(f"{name} does not have the known MD5")


def _fetch(url, path, deadline):
    from tqdm.auto import tqdm

    with (
        path.open("wb") as file,
        contextlib.closing(_pieces(url, deadline)) as pieces,
        tqdm(desc=path.name, unit="B", unit_scale=True, leave=False) as bar,
    ):
        for piece in pieces:
            bar.update(file.write(piece))
            if file.tell() > _LARGEST:
                raise OSError(f"{path.name} has more than {_LARGEST:,} bytes")


class _Deadline:
    """Until when the next bytes of a download have to be here; every byte that came puts it off."""

    def __init__(self):
        self.start, self.received = time.monotonic(), 0

    def seconds_left(self):
        return self.start + 2 * _PATIENCE + self.received / _SLOWEST - time.monotonic()


def _pieces(url, deadline):
    """The bytes at an address, as they come.

    In a thread, since a name look-up that hangs, or an answer that drips before its first byte, knows no timeout.
    """
    came, over = queue.SimpleQueue(), threading.Event()

    def read():
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "stncourse"})
            with urllib.request.urlopen(request, timeout=2 * _PATIENCE) as response:
                while not over.is_set() and (piece := response.read1(2**16)):
                    came.put(piece)
            came.put(None)
        except Exception as error:  # whatever it is, it belongs to the thread that waits
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            came.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        while (piece := _next_piece(came, deadline)) is not None:
            yield piece
    finally:
        over.set()


def _next_piece(came, deadline):
    if (left := deadline.seconds_left()) > 0:
        with contextlib.suppress(queue.Empty):
            piece = came.get(timeout=left)
            if isinstance(piece, Exception):
                raise piece
            deadline.received += len(piece or b"")
            return piece
    raise TimeoutError(f"too slow: {deadline.received:,} bytes in {time.monotonic() - deadline.start:.1f} s")


def _one_line(error):
    # The scratch folder has another name each time: without it, the same reason reads the same.
    text = " ".join(re.sub(r"\.download[-.]\w+", ".download", str(error)).split())
    return f"{type(error).__name__}: {text[:200]}"


def _mirrors(dataset, name, folder, variable, failures):
    """Yield the mirrors that answer, the user's own first. Those that do not are added to ``failures``."""
    if all((folder / archive).is_file() for archive, _ in dataset.resources):  # torchvision keeps them
        yield folder.absolute().as_uri() + "/"
    if os.environ.get("STNCOURSE_OFFLINE", "0") not in ("", "0"):
        raise MNISTUnavailable(f"STNCOURSE_OFFLINE is set, and {name} is not in the cache")
    if mirror := os.environ.get(variable):
        yield from answering([mirror.rstrip("/") + "/"], failures)
    yield from answering(dataset.mirrors, failures)


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
