"""A folder of pictures, one folder per class."""

import os
import stat

import torch

from stncourse import _check
from stncourse.data.images import check_like, make_image_set
from stncourse.data.pictures import Depths, checked_color, eight_bits, read_picture, to_tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_NO_PICTURES = (  # suffixes of what often lies beside pictures; nobody misses them
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".log"),
    *(".html", ".pdf", ".py", ".ipynb", ".sh", ".npy", ".npz", ".mat", ".h5", ".pkl", ".pt", ".db", ".lock"),
    *(".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".tmp", ".bak", ".mp4", ".avi", ".mov", ".wav", ".mp3"),
)
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")  # hidden folders whose names do not begin with a dot


# Folders


def class_folders(folder):
    """The names of the folders in a folder, sorted."""
    return [path.name for path in _inside(folder, (os.path.realpath(folder),))[0]]


def in_class(folder, name):
    """All pictures of a class folder and of those below it, in torchvision's order.

    What is hidden is passed over at every depth. Links to folders are followed, but not back to where one came from.

    Raises:
        ValueError: something that looks like a picture or a folder cannot be read; it is named.
    """
    pictures = _below(folder / name, (os.path.realpath(folder), os.path.realpath(folder / name)))
    return sorted(pictures, key=lambda path: (str(path.parent), path.name))


def _below(folder, above):
    folders, pictures = _inside(folder, above)
    for sub in folders:
        more = _below(sub, (*above, os.path.realpath(sub)))
        if not more and sub.suffix.lower() in SUFFIXES:
            raise ValueError(f"folder: expected a picture, {sub} is a folder without any")
        pictures += more
    return pictures


def _inside(folder, above):
    """(folders, pictures) directly in a folder; ``above``: the real paths from the first folder down to this one."""
    folders, pictures = [], []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ValueError(f"folder: expected a folder that can be read, {folder} cannot ({error.strerror})") from error
    for path in (folder / name for name in names if not name.startswith(".") and name not in _OF_SYSTEMS):
        is_picture = path.suffix.lower() in SUFFIXES
        try:
            mode = path.stat().st_mode
        except OSError as error:  # a link to nothing, most often
            if is_picture or path.suffix.lower() not in _NO_PICTURES:  # "bird.v2" may be a folder
                raise ValueError(f"folder: expected a picture, {path} cannot be read ({error.strerror})") from error
            continue
        if stat.S_ISDIR(mode):
            real = os.path.realpath(path)
            if not any(os.path.commonpath([old, real]) == real for old in above if _same_drive(old, real)):
                folders.append(path)
        elif is_picture and not stat.S_ISREG(mode):
            raise ValueError(f"folder: expected a picture, {path} is no file")
        elif is_picture:
            pictures.append(path)
    return folders, pictures


def _same_drive(one, other):
    return os.path.splitdrive(one)[0] == os.path.splitdrive(other)[0]


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
        check_like(like)
        size, channels = tuple(like.images.shape[-2:]) if size is None else size, like.images.shape[1]
    size = None if size is None else _check.image_size("size", size)
    if _check.as_integer(channels) not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3, got {_check.describe(channels)}")
    background = None if background is None else checked_color("background", background, 3)
    files, classes = _files_by_class(folder, like)
    images, depths = [], Depths()
    for path, _ in files:
        images.append(_read_picture(path, size, int(channels), background, depths))
        if images[-1].shape != images[0].shape:
            (h, w), (h0, w0) = images[-1].shape[-2:], images[0].shape[-2:]
            raise ValueError(
                f"size: expected pictures of one size, {files[0][0]} has {h0}×{w0} pixels and {path} has {h}×{w}; "
                "give size=(height, width) to have all scaled"
            )
    depths.check("folder")
    return make_image_set(torch.stack(images), [label for _, label in files], "folder", classes, like)


# Folders of pictures


def _files_by_class(folder, like):
    """[(path, label), …] and the class names."""
    if not folder.exists():
        raise FileNotFoundError(f"folder: expected a folder of pictures, there is none at {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"folder: expected a folder of pictures, {folder} is a file")
    names = class_folders(folder)
    if not names:
        raise ValueError(
            f"folder: expected one folder per class in {folder}, with the pictures of that class in it, got none"
        )
    classes = tuple(names) if like is None else like.classes
    files = []
    for name in names:
        if name not in classes:
            raise ValueError(f"folder: expected the classes of like, {', '.join(classes)}, got {name!r} in {folder}")
        pictures = in_class(folder, name)
        if not pictures:
            suffixes = ", ".join(SUFFIXES)
            raise ValueError(f"folder: expected pictures in {folder / name} ({suffixes}), got none")
        files += [(path, classes.index(name)) for path in pictures]
    return files, classes


def _read_picture(path, size, channels, background, depths):
    from PIL import Image, ImageOps

    picture, bits = read_picture(path)
    try:
        picture = eight_bits(picture, bits, channels, background, depths, path)
    except ValueError as error:
        raise ValueError(f"{error}, {path}") from None
    if size is not None:
        picture = ImageOps.fit(picture, size[::-1], Image.Resampling.BILINEAR)
    return to_tensor(picture)
