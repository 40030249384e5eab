"""MNIST by torchvision, or the real MNIST digits that ship with the package."""

from importlib import resources

import numpy as np
import torch

from stncourse import _check, _files
from stncourse.data.cache import MNISTUnavailable, cache_folder, is_intact, read_files
from stncourse.data.digits import Digits
from stncourse.data.download import download

SPLITS = ("train", "test")
SOURCES = ("auto", "mnist", "offline")
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
