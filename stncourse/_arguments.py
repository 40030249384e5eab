"""What the arguments of a command may be: each is checked before anything starts."""

import argparse


def positive(text):
    """A whole number from 1."""
    return whole_number(text, 1)


def seed(text):
    """A whole number that torch takes as a seed."""
    seed = whole_number(text, 0)
    if seed >= 2**64:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2**64, got {text!r}")
    return seed


def whole_number(text, minimum):
    """A whole number from ``minimum``, in digits."""
    # More digits than that are no number that anybody means, and Python refuses to read thousands of them.
    if not text.isdecimal() or len(text) > 100 or int(text) < minimum:
        shown = text if len(text) <= 100 else f"{text[:100]}..."
        raise argparse.ArgumentTypeError(f"expected a whole number, at least {minimum}, got {shown!r}")
    return int(text)


def cells(experiment, text):
    """The cells that a pattern names, of an experiment."""
    from stncourse.paper import named

    try:
        return named(experiment).paper.choose([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("cells: ")) from error


def device(text):
    """A device that works here: better to know before the digits are loaded."""
    from stncourse.device import resolve_device

    try:
        return resolve_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("device: ")) from error


def writable(text):
    """A file that can be written: better to know before an hour of training than after."""
    from stncourse._check import path as as_path
    from stncourse._files import check_writable

    try:
        path = as_path("path", text)
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{path} is a folder, not a file")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"the folder {path.parent} does not exist")
        return check_writable("path", path)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("path: ")) from error


def folder(text):
    """A folder that can be written into, or be made: its nearest folder that is there can."""
    from stncourse._check import path as as_path

    try:
        folder = as_path("path", text)
        there = next(
            parent for parent in (folder, *folder.absolute().parents) if parent.exists() or parent.is_symlink()
        )
        if not there.is_dir():
            raise argparse.ArgumentTypeError(f"{there} is a file, not a folder")
        writable(there / "any")
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("path: ")) from error
    return folder


def distortion(text):
    """A kind of distortion, or none."""
    from stncourse.data.distortions import KINDS

    if text not in ("none", *KINDS):
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from none, {', '.join(KINDS)})")
    return text
