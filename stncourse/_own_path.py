"""Where a program of the course imports from: not from the working folder, whose argparse.py may be a student's."""

import os

_COURSE = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))


def without_working_folder(folders):
    """The entries of a path that are not the working folder, however it is written there; the course's own stays."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was removed
        here = None
    return [folder for folder in folders if folder and (_place(folder) != here or here == _COURSE)]


def _place(folder):
    try:
        return os.path.realpath(folder)
    except OSError:  # relative to a folder that was removed
        return folder
