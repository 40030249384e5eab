"""SVHN: digits cut out of photographed house numbers, 32×32 in colour."""

import os

import torch

from stncourse import _check, _files
from stncourse.data.cache import MNISTUnavailable, cache_folder, is_intact
from stncourse.data.download import download_file
from stncourse.data.images import make_image_set
from stncourse.data.matlab import read_arrays
from stncourse.data.mnist import SPLITS

_LARGEST = 200_000_000  # bytes; the training set's file has 182 million


def load_svhn(split="train", root=None, *, like=None):
    """Street View House Numbers (Netzer et al. 2011), the cropped digits: 73,257 + 26,032 colour images of 32×32.

    Each is one digit of a house number, in the middle of its image; what stands beside it may show. These are *not* the
    whole numbers of the paper's section 4.2, which come as photographs and an HDF5 file of boxes.

    Downloaded once (182 + 64 MB) from where torchvision knows them to be, and checked (MD5), each time.

    Args:
        split: ``"train"`` or ``"test"``.
        root: the cache folder, as for :func:`stncourse.load_digits`.
        like: the training set, for ``"test"``.

    Environment:
        ``STNCOURSE_SVHN_MIRROR``: an ``https://``, ``http://`` or ``file://`` folder holding ``train_32x32.mat`` and
        ``test_32x32.mat``, tried first. ``STNCOURSE_OFFLINE=1``: never try to download.

    Returns:
        :class:`ImageSet` with the classes ``"0"`` to ``"9"`` (the file's 10 is the digit 0), its mean and standard
        deviation per channel.

    Raises:
        ValueError: unknown split.
        MNISTUnavailable (an OSError): it cannot be had; the message says what was tried.
    """
    from torchvision.datasets import SVHN

    _check.choice("split", split, SPLITS)
    url, name, md5 = SVHN.split_list[split]
    root = cache_folder(root)
    path = root / "SVHN" / name
    _files.remove_old_scratch(path.parent)
    if not is_intact(path.parent, {name: md5}):
        _download(path, url, md5)
    arrays = read_arrays(path.read_bytes())
    images = torch.from_numpy(arrays["X"].transpose(3, 2, 0, 1).copy())  # (32, 32, 3, N) in the file
    labels = torch.from_numpy(arrays["y"].astype("int64")).flatten() % 10
    return make_image_set(images, labels, "svhn", 10, like)


def _download(path, url, md5):
    if os.environ.get("STNCOURSE_OFFLINE", "0") not in ("", "0"):
        raise MNISTUnavailable("STNCOURSE_OFFLINE is set, and SVHN is not in the cache")
    mirror = os.environ.get("STNCOURSE_SVHN_MIRROR")
    addresses = [f"{mirror.rstrip('/')}/{path.name}"] if mirror else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        failures = download_file([*addresses, url], path, md5, _LARGEST)
    except OSError as error:  # the cache cannot be written
        failures = [f"{path.parent}: {error}"]
    if failures:
        raise MNISTUnavailable(
            f"SVHN could not be downloaded ({'; '.join(failures)}). Set STNCOURSE_SVHN_MIRROR to a folder or site with "
            f"{path.name}"
        )
