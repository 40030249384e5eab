"""Where downloaded data sets are kept, and whether their files are still whole."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from stncourse import _check


class MNISTUnavailable(OSError):
    """MNIST is neither in the cache nor to be had from any mirror. The message says what was tried."""


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


RECORD = "md5.json"  # beside files whose MD5 is not known beforehand: what they had when they came out of the archives


def recorded(folder, names):
    """``{name: MD5}`` of these files when they were extracted; None for one of which that is not known."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {name: record.get(name) for name in names}
    except (OSError, ValueError, AttributeError):
        return dict.fromkeys(names)
