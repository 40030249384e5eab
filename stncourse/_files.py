"""Files that are there whole or not at all, however many processes write them at once."""

import contextlib
import errno
import glob
import hashlib
import os
import secrets
import shutil
import stat
import time
from pathlib import Path

from stncourse import _check

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody has open cannot be removed anyway
    fcntl = None

_LONGEST = 200  # bytes of a name; file systems take 255, and a private file's name is longer than that
_PATIENCE = 2.0  # seconds; on Windows a file that another process has open cannot be replaced


@contextlib.contextmanager
def replacing(path, *, text=False):
    """A new file to write to, which takes the place of ``path`` at the end of the block; after an error it does not.

    It is private to this block and lies in the same folder, so that the replacement is one step of the file system. A
    path that is a link stays one: what it points to is replaced. Who may read and write the file stays as it is; one
    that is read-only is not replaced, though its folder would allow it. What a killed process left behind is removed.

    Args:
        path: the file; its folder has to be there. A device or a pipe is written to as it is.
        text: whether it is UTF-8 text instead of bytes.

    Yields:
        The open file.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    path = Path(path).expanduser()
    how = {"mode": "w", "encoding": "utf-8"} if text else {"mode": "wb"}
    if _is_device(path):
        with open(path, **how) as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    if kept := _kept(path):
        raise PermissionError(errno.EACCES, kept, str(path))
    _remove_left_behind(path)
    handle, temporary = _private(path)
    try:
        with os.fdopen(handle, **how) as file:
            _take_over_permissions(path, handle)  # before there is anything to read in it
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl:
                os.replace(temporary, path)  # still locked: nobody takes it for left behind
        if not fcntl:
            _replace_patiently(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _is_device(path):
    return path.exists() and not path.is_file() and not path.is_dir()


def _kept(path):
    """Why a file is not to be replaced, in words; None where nothing speaks against it."""
    if not path.exists():
        return None
    if not os.access(path, os.W_OK):
        return "is read-only"
    if hasattr(os, "geteuid") and (me := os.geteuid()):  # root may
        folder = path.parent.stat()
        if folder.st_mode & stat.S_ISVTX and me not in (folder.st_uid, path.stat().st_uid):
            return "belongs to somebody else, in a folder where only its owner can replace it"
    return None


def _take_over_permissions(path, handle):
    """Give a new file the permissions of the one whose place it takes, if there is one."""
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):  # no such file; a file system without permissions
            os.fchmod(handle, stat.S_IMODE(path.stat().st_mode) & 0o777)


def _stem(path):
    """What private files beside ``path`` are called by: its name, or a short word for one near the system's limit."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()[:32]


def _private(path):
    """(handle, path) of a new file beside ``path``, locked for as long as the handle is open."""
    while True:
        temporary = path.with_name(f".{_stem(path)}.{secrets.token_hex(8)}.new")
        # O_EXCL: never through a link that lies there. 0o666: with the permissions that any new file gets.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if not fcntl:
            return handle, temporary
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, temporary
        os.close(handle)  # another process took it for left behind before it was locked


def _replace_patiently(source, target):
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return os.replace(source, target)
        except PermissionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _remove_left_behind(path):
    """Remove the private files of processes that were killed: nobody holds their lock any more."""
    for old in path.parent.glob(f".{glob.escape(_stem(path))}.{'[0-9a-f]' * 16}.new"):
        with contextlib.suppress(OSError):
            if not fcntl:
                old.unlink()
                continue
            handle = os.open(old, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                old.unlink()
            finally:
                os.close(handle)


def check_writable(name, value):
    """Check at the start of a long run that a file can be written at its end.

    Returns:
        The path, a Path.

    Raises:
        TypeError, ValueError, OSError: it cannot; ``name`` is the argument's.
    """
    path = _check.path(name, value)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # a name too long, for example
        raise OSError(f"{name}: cannot write {path} ({error.strerror or error})") from error
    if path.is_dir():
        raise IsADirectoryError(f"{name}: expected a file, {path} is a folder")
    if _is_device(path):
        return path
    real = Path(os.path.realpath(path))
    if not real.parent.is_dir():
        raise FileNotFoundError(f"{name}: expected a file in a folder that exists, {real.parent} does not")
    if kept := _kept(real):
        raise PermissionError(f"{name}: expected a file that can be replaced, {path} {kept}")
    try:
        handle, temporary = _private(real)
        os.close(handle)
        temporary.unlink()
    except OSError as error:
        raise OSError(f"{name}: cannot write into the folder {real.parent} ({error.strerror or error})") from error
    return path


@contextlib.contextmanager
def scratch_folder(parent):
    """A new folder ``.download-…`` in ``parent`` for the length of the block.

    What killed processes left of theirs is removed; the folder of one that lives is not touched: it holds a lock.
    """
    remove_old_scratch(parent)
    handle, lock = _private(Path(parent) / "download")
    folder = _locked_by(lock)
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)  # first, since Windows removes no file that is open
        with contextlib.suppress(OSError):
            lock.unlink()


def remove_old_scratch(parent):
    """Remove the scratch folders in ``parent`` of processes that were killed."""
    parent = Path(parent)
    _remove_left_behind(parent / "download")
    # Listed before the locks are: a lock is there before its folder and for longer.
    folders = list(parent.glob(".download-*"))
    locked = {_locked_by(lock) for lock in parent.glob(".download.*.new")}
    for folder in folders:
        if folder not in locked:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_by(lock):
    return lock.with_name(f".download-{lock.name.split('.')[2]}")
