"""Downloads that give up: a host that does not answer, drips or never ends costs seconds, not the evening."""

import contextlib
import http.client
import json
import os
import queue
import re
import threading
import time
import urllib.request
import zlib
from pathlib import Path

from stncourse import _files
from stncourse.data.cache import RECORD, MNISTUnavailable, md5s

_PATIENCE = 5  # seconds to wait for an answer before a host counts as unreachable; in the middle of a file, twice that
_SLOWEST = 20_000  # bytes a second: what a mirror has to deliver, within any stretch of twice the patience
_LONGEST = 1800  # seconds for all archives of a mirror; the 31 million bytes of Fashion-MNIST take 1,550 at the slowest
_LARGEST = 40_000_000  # bytes: no archive is larger; Fashion-MNIST's largest has 26 million


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
        with _files.replacing(folder / RECORD, text=True) as file:
            json.dump(found, file, indent=1)


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


def download_file(addresses, path, md5, largest):
    """Download one file, not packed, from the first address that has it whole; only then move it into place.

    Args:
        addresses: where it may be, the best first.
        path: where it belongs; its folder has to be there.
        md5: what it has to have.
        largest: bytes; what sends more is given up.

    Returns:
        None; or, if no address has it, what was tried, as a list of texts.
    """
    failures = []
    for address in addresses:
        try:
            with _files.scratch_folder(path.parent) as scratch:
                _fetch(address, scratch / path.name, _Deadline(), largest)
                if md5s(scratch, [path.name]) != {path.name: md5}:
                    raise OSError(f"{path.name} does not have the known MD5")
                os.replace(scratch / path.name, path)
            return None
        except _DOWNLOAD_ERRORS as error:
            failures.append(f"{address}: {_one_line(error)}")
    return failures


def _fetch(url, path, deadline, largest=None):
    from tqdm.auto import tqdm

    largest = largest or _LARGEST

    with (
        path.open("wb") as file,
        contextlib.closing(_pieces(url, deadline)) as pieces,
        tqdm(desc=path.name, unit="B", unit_scale=True, leave=False) as bar,
    ):
        for piece in pieces:
            bar.update(file.write(piece))
            if file.tell() > largest:
                raise OSError(f"{path.name} has more than {largest:,} bytes")


class _Deadline:
    """Until when the next bytes of a download have to be here.

    What comes puts it off, but never to more than twice the patience from now: a server that was fast and then drips
    has no credit. Nor to beyond the longest that a download may take.
    """

    def __init__(self):
        self.start, self.received = time.monotonic(), 0
        self._until = self.start + 2 * _PATIENCE

    def came(self, count):
        self.received += count
        self._until = min(self._until + count / _SLOWEST, time.monotonic() + 2 * _PATIENCE)

    def seconds_left(self):
        return min(self._until, self.start + _LONGEST) - time.monotonic()


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
            deadline.came(len(piece or b""))
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
