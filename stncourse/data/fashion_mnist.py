"""Fashion-MNIST: clothes as 28×28 grey images."""

from stncourse import _check, _files
from stncourse.data.cache import cache_folder, is_intact, read_files, recorded
from stncourse.data.download import download
from stncourse.data.images import make_image_set
from stncourse.data.mnist import SPLITS

_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


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

    _check.choice("split", split, SPLITS)
    root = cache_folder(root)
    folder = root / "FashionMNIST" / "raw"
    prefix = {"train": "train", "test": "t10k"}[split]
    names = [f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    _files.remove_old_scratch(root)
    if not is_intact(folder, recorded(folder, names)):
        failed = "Fashion-MNIST could not be downloaded"
        download(FashionMNIST, "Fashion-MNIST", root, "STNCOURSE_FASHION_MIRROR", failed=failed)
    return make_image_set(*read_files(folder, names), "fashion-mnist", _FASHION, like)
