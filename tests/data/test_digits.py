"""Digits, and where they come from: the cache, mirrors good and bad, the digits that ship with the package.

Most tests download a made-up MNIST of 90 digits from this machine, so they run anywhere and fast; those marked
``mnist`` do it with the original files. None of them sees this user's cache or the internet.
"""

import contextlib
import gc
import gzip
import hashlib
import http.server
import importlib.util
import json
import os
import queue
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from torchvision.datasets import MNIST

from stncourse.data.batches import Batches, DigitsDataset
from stncourse.data.digits import BACKGROUND, Digits, denormalize, normalize
from stncourse.data.download import _LARGEST, _LONGEST, _PATIENCE, _SLOWEST, MNISTUnavailable, _Deadline
from stncourse.data.mnist import _FILES, SPLITS, cached, load_digits

REPOSITORY = Path(__file__).parents[2]
NOBODY = "http://127.0.0.1:1/"  # a port where nobody listens
FIRST_LABELS = {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}
PREFIX = {"train": "train", "test": "t10k"}
LONGEST_HANG = 300  # seconds after which a mirror that hangs lets go, so that a test fails rather than hangs


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Archives:
    """A folder that a mirror can serve, and what is known of the files in it."""

    folder: Path
    count: dict  # digits per split
    files: dict  # as _FILES
    resources: list  # as MNIST.resources

    @property
    def mirror(self):
        return self.folder.as_uri() + "/"

    def known(self):
        return self.files["train"] | self.files["test"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No test sees this user's cache, settings or proxy, nor the internet, nor what an earlier test has printed."""
    monkeypatch.delenv("STNCOURSE_MNIST_MIRROR", raising=False)
    monkeypatch.delenv("STNCOURSE_OFFLINE", raising=False)
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "default cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(MNIST, "mirrors", [NOBODY])
    monkeypatch.setattr("stncourse.data.mnist._said", set())


@pytest.fixture
def root(tmp_path):
    """A cache folder that does not exist yet; removed afterwards, since MNIST takes 55 MB."""
    root = tmp_path / "cache"
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def made_up_archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made-up MNIST")
    random = np.random.default_rng(0)
    count, files, resources = {"train": 60, "test": 30}, {}, []
    for split, n in count.items():
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images[:, :, :14] = 0  # so that they compress, as digits do
        labels = np.array([*FIRST_LABELS[split], *(i % 10 for i in range(n - 5))], dtype=np.uint8)
        files[split] = {}
        for kind, array in {"images": images, "labels": labels}.items():
            name = f"{PREFIX[split]}-{kind}-idx{array.ndim}-ubyte"
            content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()
            archive = gzip.compress(content, mtime=0)
            (folder / f"{name}.gz").write_bytes(archive)
            files[split][name] = md5(content)
            resources.append((f"{name}.gz", md5(archive)))
    return Archives(folder, count, files, resources)


@pytest.fixture
def made_up(made_up_archives, monkeypatch):
    """The made-up MNIST, which the package and torchvision take for the real one."""
    monkeypatch.setattr("stncourse.data.mnist._FILES", made_up_archives.files)
    monkeypatch.setattr(MNIST, "resources", made_up_archives.resources)
    return made_up_archives


@pytest.fixture
def original(mnist_folder):
    return Archives(mnist_folder, {"train": 60_000, "test": 10_000}, _FILES, MNIST.resources)


@pytest.fixture(params=["made_up", pytest.param("original", marks=pytest.mark.mnist)])
def archives(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def mnist(mnist_folder, tmp_path_factory):
    """The original MNIST, loaded once for all tests that only look at it: ``{split: Digits}``."""
    root = tmp_path_factory.mktemp("mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STNCOURSE_MNIST_MIRROR", mnist_folder.as_uri())
        patch.setattr(MNIST, "mirrors", [NOBODY])
        digits = {split: load_digits(split, "mnist", root) for split in SPLITS}
    shutil.rmtree(root)
    return digits


# Mirrors --------------------------------------------------------------------------------------------------------------


class Mirror(socketserver.ThreadingTCPServer):
    """A web server on this machine. ``answer(request, name, content)`` does the serving, well or badly."""

    daemon_threads = False  # server_close waits for them, so that no socket outlives its test

    def __init__(self, folder, answer):
        self.folder, self.answer = folder, answer
        self.asked = []  # names of the files, in the order of the requests
        self.over, self.let_go = threading.Event(), False
        super().__init__(("127.0.0.1", 0), Request)
        self.address = f"http://127.0.0.1:{self.server_address[1]}/mnist/"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self):
        self.over.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Request(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/mnist/")
        self.server.asked.append(name)
        # Whether a mirror answers is found out by one byte.
        with contextlib.suppress(ConnectionError):
            self.server.answer(self, name, (self.server.folder / name).read_bytes())

    def finish(self):
        with contextlib.suppress(ConnectionError):
            super().finish()

    def log_message(self, *_):
        pass

    def begin(self, length, kind="application/octet-stream"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def good(request, name, content):
    request.begin(len(content))
    request.wfile.write(content)


def html(request, name, content):
    page = b"<html><body>Please log in to this network.</body></html>"
    request.begin(len(page), "text/html")
    request.wfile.write(page)


def error_404(request, name, content):
    request.send_error(404)


def flipped_byte(request, name, content):
    good(request, name, flip_a_byte(content))


def cut_short(request, name, content):
    request.begin(len(content))
    request.wfile.write(content[: len(content) // 2])


def hang_up(request, name, content):
    pass


def not_http(request, name, content):
    request.wfile.write(b"220 ftp.example.org ready\r\n\r\n")


def silence(request, name, content):
    request.server.let_go = not request.server.over.wait(LONGEST_HANG)


def stall(request, name, content):
    cut_short(request, name, content)
    silence(request, name, content)


BAD = [html, error_404, flipped_byte, cut_short, hang_up, not_http, silence, stall]


def only_for_images(answer):
    """A mirror that makes a good first impression: the file by which mirrors are tried is a small one, of labels."""

    def answer_images(request, name, content):
        (answer if "images" in name else good)(request, name, content)

    return answer_images


@pytest.fixture
def serve():
    """``serve(archives, answer)`` starts a mirror."""
    mirrors = []

    def start(archives, answer=good):
        mirrors.append(Mirror(archives.folder, answer))
        return mirrors[-1]

    yield start
    for mirror in mirrors:
        mirror.stop()


# Helpers --------------------------------------------------------------------------------------------------------------


def flip_a_byte(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def assert_loads(archives, root, split="train"):
    digits = load_digits(split, "mnist", root)
    assert digits.source == "mnist"
    assert digits.images.shape == (archives.count[split], 1, 28, 28)
    assert digits.images.dtype == torch.uint8
    assert digits.labels.shape == (archives.count[split],)
    assert digits.labels.dtype == torch.int64
    assert digits.labels[:5].tolist() == FIRST_LABELS[split]
    return digits


def assert_clean(archives, root, files=None):
    """In the cache folder there is no scratch left, and no file but whole ones: ``files`` of them."""
    assert [path.name for path in root.iterdir() if path.name != "MNIST"] == []
    found = {path.name: md5(path.read_bytes()) for path in (root / "MNIST" / "raw").iterdir()}
    assert found.items() <= archives.known().items()
    assert files in (None, len(found))


def refused(root, split="train"):
    """The message of the error that loading has to end in."""
    with pytest.raises(MNISTUnavailable) as caught:
        load_digits(split, "mnist", root)
    message = str(caught.value)
    assert str(root) in message
    assert "source='offline'" in message  # what can be done about it
    assert "\n" not in message
    return message


# MNIST, downloaded and cached -----------------------------------------------------------------------------------------


@pytest.mark.mnist
def test_mnist_has_its_known_shape_and_first_labels(mnist):
    for split, count in {"train": 60_000, "test": 10_000}.items():
        digits = mnist[split]
        assert digits.images.shape == (count, 1, 28, 28)
        assert digits.images.dtype == torch.uint8
        assert (int(digits.images.min()), int(digits.images.max())) == (0, 255)
        assert digits.labels.dtype == torch.int64
        assert digits.labels[:5].tolist() == FIRST_LABELS[split]
        assert sorted(digits.labels.unique().tolist()) == list(range(10))
        assert digits.source == "mnist"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_file_mirror_fills_the_cache_and_is_not_needed_again(made_up, root, monkeypatch, tmp_path, slash):
    folder = shutil.copytree(made_up.folder, tmp_path / "a mirror")
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", folder.as_uri() + slash)
    first = assert_loads(made_up, root, "train")
    assert_clean(made_up, root, files=4)
    shutil.rmtree(folder)
    again = assert_loads(made_up, root, "train")
    assert torch.equal(first.images, again.images)
    assert_loads(made_up, root, "test")


def test_an_http_mirror_fills_the_cache_and_is_not_needed_again(archives, root, serve, monkeypatch):
    mirror = serve(archives)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", mirror.address)
    assert_loads(archives, root, "test")
    assert set(mirror.asked) == {name for name, _ in archives.resources}
    assert_clean(archives, root, files=4)
    mirror.asked.clear()
    assert_loads(archives, root, "train")
    assert_loads(archives, root, "test")
    assert mirror.asked == []
    monkeypatch.delenv("STNCOURSE_MNIST_MIRROR")
    assert_loads(archives, root, "train")


def test_torchvisions_mirrors_are_used_without_one_of_our_own(made_up, root, serve, monkeypatch):
    monkeypatch.setattr(MNIST, "mirrors", [NOBODY, serve(made_up, html).address, serve(made_up).address])
    assert_loads(made_up, root)


def test_our_own_mirror_comes_before_torchvisions(made_up, root, serve, monkeypatch):
    theirs = serve(made_up)
    monkeypatch.setattr(MNIST, "mirrors", [theirs.address])
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert_loads(made_up, root)
    assert theirs.asked == []


def test_the_cache_is_where_root_or_the_environment_or_the_system_says(made_up, tmp_path, monkeypatch):
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "environment"))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "system" / name)
    assert_loads(made_up, tmp_path / "root")
    assert_loads(made_up, str(tmp_path / "text"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "text"]
    assert_loads(made_up, None)
    assert_clean(made_up, tmp_path / "environment", files=4)
    assert not (tmp_path / "system").exists()
    monkeypatch.delenv("STNCOURSE_DATA_DIR")
    assert_loads(made_up, None)
    assert_clean(made_up, tmp_path / "system" / "stncourse", files=4)


def test_a_tilde_in_the_cache_folder_is_the_home_folder(made_up, tmp_path, monkeypatch):
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    assert_loads(made_up, "~/digits")
    assert_clean(made_up, tmp_path / "home" / "digits", files=4)


def test_the_global_socket_timeout_is_left_alone(made_up, root, serve, monkeypatch):
    seen = []

    def answer(request, name, content):
        seen.append(socket.getdefaulttimeout())
        good(request, name, content)

    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", serve(made_up, answer).address)
    assert_loads(made_up, root)
    assert set(seen) == {None}
    assert socket.getdefaulttimeout() is None


# A damaged cache ------------------------------------------------------------------------------------------------------

DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "one byte flipped": lambda path: path.write_bytes(flip_a_byte(path.read_bytes())),
    "missing": lambda path: path.unlink(),
}


@pytest.fixture(params=DAMAGE)
def damage(request):
    return DAMAGE[request.param]


@pytest.fixture
def cache(made_up, root, monkeypatch):
    """A cache folder with the made-up MNIST in it."""
    with monkeypatch.context() as patch:
        patch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
        load_digits("train", "mnist", root)
    return root


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("split", SPLITS)
def test_a_damaged_file_in_the_cache_is_repaired(made_up, cache, damage, split, kind, monkeypatch):
    damage(cache / "MNIST" / "raw" / f"{PREFIX[split]}-{kind}-ubyte")
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert_loads(made_up, cache, split)
    assert_clean(made_up, cache, files=4)


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_a_damaged_file_in_the_cache_is_never_taken_for_good(made_up, cache, damage, kind, capsys):
    damage(cache / "MNIST" / "raw" / f"train-{kind}-ubyte")
    assert NOBODY in refused(cache)
    assert load_digits("train", "auto", cache).source == "offline"
    assert "offline digits" in capsys.readouterr().out
    assert_loads(made_up, cache, "test")  # the other split is whole


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is open")
def test_a_repaired_file_takes_the_place_of_the_damaged_one_at_once(made_up, cache, monkeypatch):
    """A kernel that is just reading the old file must not see the new one grow in it."""
    path = cache / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(b"damaged")
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    with path.open("rb") as old:
        assert_loads(made_up, cache)
        assert old.read() == b"damaged"


def test_files_that_torchvision_would_take_are_checked_once_more(made_up, root, monkeypatch):
    digest = md5(b"something else")
    monkeypatch.setattr(
        "stncourse.data.mnist._FILES", {split: dict.fromkeys(files, digest) for split, files in made_up.files.items()}
    )
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert "the files do not have the known MD5" in refused(root)
    assert_clean(made_up, root, files=0)


def test_files_of_an_old_torchvision_are_not_loaded_unchecked(made_up, cache):
    """Torchvision prefers MNIST/processed, which releases before 0.10 wrote and nobody checks, to the checked files."""
    (cache / "MNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3).long()), cache / "MNIST/processed" / name)
    assert_loads(made_up, cache, "train")


# Bad mirrors ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["from the start", "after a good first impression"])
def whole_or_half_bad(request):
    return (lambda answer: answer) if request.param == "from the start" else only_for_images


@pytest.fixture(params=BAD)
def bad(request, whole_or_half_bad, made_up, serve, monkeypatch):
    if request.param in (silence, stall):
        monkeypatch.setattr("stncourse.data.download._PATIENCE", 0.7)
    mirror = serve(made_up, whole_or_half_bad(request.param))
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", mirror.address)
    yield mirror
    gc.collect()  # an answer that was not closed is told here


def test_a_bad_mirror_ends_in_a_clear_error(made_up, root, bad):
    message = refused(root)
    assert not bad.let_go
    assert f"{bad.address}: " in message
    assert f"{NOBODY}: " in message
    if root.exists():
        assert_clean(made_up, root, files=0)


def test_a_bad_mirror_is_followed_by_the_next(made_up, root, bad, serve, monkeypatch):
    monkeypatch.setattr(MNIST, "mirrors", [serve(made_up).address])
    assert_loads(made_up, root)
    assert_clean(made_up, root, files=4)


@pytest.mark.parametrize("answer", [html, cut_short])
def test_a_bad_mirror_leaves_what_is_good_in_the_cache(made_up, cache, answer, serve, monkeypatch):
    (cache / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", serve(made_up, only_for_images(answer)).address)
    refused(cache)
    assert_clean(made_up, cache, files=3)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_archive_in_a_file_mirror_is_refused_and_the_next_mirror_asked(
    made_up, root, damage, name, serve, monkeypatch, tmp_path
):
    folder = shutil.copytree(made_up.folder, tmp_path / "mirror")
    damage(folder / name)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", folder.as_uri())
    assert folder.as_uri() in refused(root)
    if root.exists():
        assert_clean(made_up, root, files=0)
    monkeypatch.setattr(MNIST, "mirrors", [serve(made_up).address])
    assert_loads(made_up, root)
    assert_clean(made_up, root, files=4)


@pytest.mark.parametrize(
    "mirror",
    ["/a/folder", "http://127.0.0.1:port/", "http://127.0.0.1:1/a folder/", "ftp://127.0.0.1:1/", "file:///no/"],
)
def test_a_mirror_address_that_makes_no_sense_ends_in_a_clear_error(made_up, root, mirror, monkeypatch):
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", mirror)
    assert mirror in refused(root)


def test_patience_is_five_seconds():
    assert _PATIENCE == 5


def test_a_silent_mirror_is_given_up_when_patience_ends(made_up, root, serve, monkeypatch):
    monkeypatch.setattr("stncourse.data.download._PATIENCE", 0.5)
    mirrors = [serve(made_up, silence), serve(made_up, silence)]
    monkeypatch.setattr(MNIST, "mirrors", [mirror.address for mirror in mirrors])
    start = time.monotonic()
    message = refused(root)
    assert time.monotonic() - start > 0.4
    assert not any(mirror.let_go for mirror in mirrors)
    assert "no answer within 0.5 s" in message or "timed out" in message


@pytest.fixture
def hanging_name(monkeypatch):
    """The address of a mirror whose name nobody finds until an event is set; and that event."""
    over, look_up = threading.Event(), socket.getaddrinfo

    def hang(host, *arguments, **keywords):
        if host == "mirror.invalid":
            over.wait(LONGEST_HANG)
            raise socket.gaierror("no such name")
        return look_up(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield "http://mirror.invalid/", over
    over.set()


def test_a_name_lookup_that_hangs_takes_no_longer_than_patience(root, hanging_name, monkeypatch):
    address, _ = hanging_name
    monkeypatch.setattr("stncourse.data.download._PATIENCE", 0.5)
    monkeypatch.setattr(MNIST, "mirrors", [address])
    assert f"{address}: no answer within 0.5 s" in refused(root)


def test_all_mirrors_are_asked_at_once(made_up, root, hanging_name, serve, monkeypatch):
    """The name of the first is found to be wrong only when the second has been asked."""
    address, over = hanging_name

    def answer(request, name, content):
        over.set()
        error_404(request, name, content)

    monkeypatch.setattr("stncourse.data.download._PATIENCE", 100)
    monkeypatch.setattr(MNIST, "mirrors", [address, serve(made_up, answer).address])
    message = refused(root)
    assert "no such name" in message
    assert "404" in message


def drip(request, name, content):
    """One byte after the other, so that no single wait is long."""
    request.begin(len(content))
    for position in range(len(content)):
        request.wfile.write(content[position : position + 1])
        request.wfile.flush()
        if request.server.over.wait(0.02):
            return


def drip_at_the_end(request, name, content):
    """A fast server, until it has sent enough to be waited for by the minute, were that counted."""
    request.begin(10**7)
    request.wfile.write(bytes(900_000))
    while not request.server.over.wait(0.02):
        request.wfile.write(b"X")
        request.wfile.flush()


def drip_a_header(request, name, content):
    request.send_response(200)
    request.flush_headers()
    while not request.server.over.wait(0.02):
        request.wfile.write(b"X")
        request.wfile.flush()


def never_end(request, name, content):
    request.send_response(200)
    request.end_headers()
    while not request.server.over.is_set():
        request.wfile.write(bytes(2**16))


def promise_too_much(request, name, content):
    request.begin(10**12)
    while not request.server.over.is_set():
        request.wfile.write(bytes(2**16))


@pytest.mark.parametrize("answer", [drip, drip_at_the_end, drip_a_header, never_end, promise_too_much])
def test_a_mirror_that_drips_or_never_ends_is_given_up(made_up, root, serve, monkeypatch, answer):
    monkeypatch.setattr("stncourse.data.download._PATIENCE", 0.3)
    monkeypatch.setattr("stncourse.data.download._LARGEST", 1_000_000)
    bad = serve(made_up, only_for_images(answer))
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", bad.address)
    reason = "too slow: " if "drip" in answer.__name__ else "train-images-idx3-ubyte.gz has more than 1,000,000 bytes"
    start = time.monotonic()
    assert f"{bad.address}: " in (message := refused(root))
    assert time.monotonic() - start < 20  # what came first would buy the one at the end 45 more
    assert reason in message
    assert_clean(made_up, root, files=0)
    monkeypatch.setattr("stncourse.data.download._PATIENCE", 5)
    monkeypatch.setattr(MNIST, "mirrors", [serve(made_up).address])
    monkeypatch.delenv("STNCOURSE_MNIST_MIRROR")
    assert_loads(made_up, root)


def test_what_comes_puts_the_deadline_off(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = _Deadline()
    assert deadline.seconds_left() == 2 * _PATIENCE
    now += 8
    deadline.came(6 * _SLOWEST)
    assert deadline.seconds_left() == 2 * _PATIENCE - 2


def test_what_came_fast_is_no_credit_for_dripping(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = _Deadline()
    deadline.came(26_000_000)
    for _ in range(12):  # 12 seconds of 100 bytes each
        assert (left := deadline.seconds_left()) <= 2 * _PATIENCE
        now += 1
        deadline.came(100)
    assert left < 0


def test_no_download_takes_longer_than_the_longest(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = _Deadline()
    while deadline.seconds_left() > 0:  # as slow as may be
        now += 1
        deadline.came(_SLOWEST)
    assert now == 100 + _LONGEST


def test_the_limits_leave_room_for_every_archive():
    assert _LARGEST > 26_421_880  # Fashion-MNIST's training images, the largest
    assert _SLOWEST == 20_000
    assert _LONGEST * _SLOWEST > 31_000_000  # all of Fashion-MNIST


# Disks ----------------------------------------------------------------------------------------------------------------

PRELUDE = """
import json, os, resource, signal, sys
from torchvision.datasets import MNIST
from stncourse import MNISTUnavailable, load_digits
from stncourse.data import download, mnist
from stncourse.data.mnist import SPLITS

setup = json.loads(sys.argv[1])
mnist._FILES, download._PATIENCE = setup["files"], 60
MNIST.resources, MNIST.mirrors = setup["resources"], []
"""

FULL_DISK = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else a file that grows too big kills the process
for mirror in setup["mirrors"]:
    os.environ["STNCOURSE_MNIST_MIRROR"] = mirror
    for limit in setup["limits"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            print("loaded", load_digits("train", "mnist", setup["root"]))
        except MNISTUnavailable as error:
            print("refused", error)
"""

LOAD = """
os.environ["STNCOURSE_MNIST_MIRROR"] = setup["mirror"]
for split in SPLITS:
    digits = load_digits(split, "mnist", setup["root"])
    print(digits.source, len(digits), digits.labels[:5].tolist())
"""


@pytest.fixture
def start_python():
    """``start_python(code, archives, **setup)`` runs the code in a process of its own."""
    processes = []

    def start(code, archives, **setup):
        setup |= {"files": archives.files, "resources": archives.resources}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PRELUDE + code, json.dumps(setup)],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        with process:  # closes its pipes and waits for it
            process.kill()


def lines_printed(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files, as POSIX has")
def test_a_full_disk_ends_in_a_clear_error_and_leaves_nothing_behind(made_up, root, serve, start_python, monkeypatch):
    archive = (made_up.folder / "train-images-idx3-ubyte.gz").stat().st_size
    extracted = made_up.count["train"] * 28 * 28
    mirrors = [made_up.mirror, serve(made_up).address]
    limits = [archive // 2, (archive + extracted) // 2]  # the archive does not fit; it does, what is in it does not
    lines = lines_printed(start_python(FULL_DISK, made_up, root=str(root), mirrors=mirrors, limits=limits))
    assert len(lines) == 4
    for line, mirror in zip(lines, [mirrors[0], mirrors[0], mirrors[1], mirrors[1]], strict=True):
        assert line.startswith("refused")
        assert f"{mirror}: OSError: [Errno 27] File too large" in line
    assert_clean(made_up, root, files=0)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert_loads(made_up, root)
    assert_clean(made_up, root, files=4)


def below_a_file(tmp_path):
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file" / "cache"


def in_proc(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("/proc is Linux's")
    return Path("/proc/stncourse")


def without_permission(tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    with contextlib.suppress(PermissionError):
        (folder / "cache").mkdir()
        pytest.skip("this user may write anywhere, as root may")
    return folder / "cache"


def without_permission_any_more(tmp_path):
    root = without_permission(tmp_path).parent
    root.chmod(0o755)
    (root / "MNIST" / "raw").mkdir(parents=True)
    root.chmod(0o555)
    return root


@pytest.mark.parametrize("place", [below_a_file, in_proc, without_permission, without_permission_any_more])
def test_a_folder_that_cannot_be_written_ends_in_a_clear_error(made_up, place, tmp_path, monkeypatch, capsys):
    root = place(tmp_path)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    message = refused(root)
    assert any(name in message for name in ("NotADirectoryError", "FileNotFoundError", "PermissionError"))
    for split in SPLITS:
        assert load_digits(split, "auto", root).source == "offline"
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_cache_that_cannot_be_written_can_be_read(made_up, cache, monkeypatch):
    def refuse(path, *arguments, **keywords):
        raise OSError(30, "Read-only file system", str(path))

    for name in ("mkdir", "replace", "remove", "rmdir"):
        monkeypatch.setattr(os, name, refuse)
    assert_loads(made_up, cache, "train")
    assert_loads(made_up, cache, "test")


def test_one_reason_is_told_once_though_each_scratch_folder_has_another_name(made_up, root, monkeypatch, capsys):
    make = os.mkdir

    def full(path, *arguments, **keywords):
        if ".download-" in str(path):
            raise OSError(28, "No space left on device", str(path))
        make(path, *arguments, **keywords)

    monkeypatch.setattr(os, "mkdir", full)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    for split in SPLITS:
        assert load_digits(split, "auto", root).source == "offline"
    (line,) = capsys.readouterr().out.splitlines()
    assert "No space left on device" in line


@pytest.mark.skipif(sys.platform == "win32", reason="the subprocess uses POSIX modules")
def test_two_processes_downloading_at_once_both_succeed(archives, root, serve, start_python, monkeypatch):
    both = threading.Barrier(2)

    def together(request, name, content):
        """Hold back the first file until both have asked for it."""
        if name.startswith("train-images"):
            both.wait(100)
        good(request, name, content)

    mirror = serve(archives, together)
    other = start_python(LOAD, archives, root=str(root), mirror=mirror.address)
    monkeypatch.setattr("stncourse.data.download._PATIENCE", 60)  # until the other has started
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", mirror.address)
    for split in SPLITS:
        assert_loads(archives, root, split)
    assert lines_printed(other) == [f"mnist {archives.count[s]} {FIRST_LABELS[s]}" for s in SPLITS]
    assert mirror.asked.count("train-labels-idx1-ubyte.gz") == 2  # both did download
    assert_clean(archives, root, files=4)


KILLED = """
os.environ["STNCOURSE_MNIST_MIRROR"] = setup["mirror"]
load_digits("train", "mnist", setup["root"])
"""


def scratch_folders(root):
    return [path for path in root.glob(".download*") if path.is_dir()]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_what_a_killed_download_leaves_is_removed_and_a_living_one_is_not(
    made_up, root, serve, start_python, monkeypatch
):
    arrived = queue.SimpleQueue()

    def hold(request, name, content):
        """Half of the file, and then nothing until the test is over."""
        if "images" in name:
            request.begin(len(content))
            request.wfile.write(content[: len(content) // 2])
            arrived.put(name)
            request.server.over.wait(100)
        else:
            good(request, name, content)

    mirror = serve(made_up, hold)
    first, second = (start_python(KILLED, made_up, root=str(root), mirror=mirror.address) for _ in range(2))
    for _ in range(2):
        arrived.get(timeout=100)
    assert len(scratch_folders(root)) == 2
    first.kill()
    first.wait()
    (root / ".download-ofanolderrelease").mkdir()
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert_loads(made_up, root)
    (living,) = scratch_folders(root)
    assert (living / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").exists()
    second.kill()
    second.wait()
    assert_loads(made_up, root)  # from the cache, and it cleans all the same
    assert_clean(made_up, root, files=4)


def test_cached_tells_whether_a_split_is_whole_and_downloads_nothing(made_up, cache, serve, monkeypatch, tmp_path):
    mirror = serve(made_up)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", mirror.address)
    (cache / "MNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(b"")
    assert [cached(split, cache) for split in SPLITS] == [False, True]
    assert [cached(split, tmp_path / "nowhere") for split in SPLITS] == [False, False]
    assert not cached("test")
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(cache))
    assert cached("test")
    assert mirror.asked == []
    with pytest.raises(ValueError, match=r"^split: expected one of"):
        cached("Train")


# A user without a home ------------------------------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch):
    """A container's user: no home in the environment, none in the list of users."""
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "STNCOURSE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: Path("~/.cache") / name)


def test_without_a_home_there_are_the_offline_digits(homeless, capsys):
    assert load_digits("test").source == load_digits("train").source == "offline"
    (line,) = capsys.readouterr().out.splitlines()
    assert "no home folder" in line
    with pytest.raises(MNISTUnavailable, match=r"no home folder .* set STNCOURSE_DATA_DIR"):
        load_digits("test", "mnist")
    assert not cached("test")


def test_without_a_home_another_cache_does(homeless, made_up, tmp_path, monkeypatch):
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert_loads(made_up, tmp_path / "root")
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "environment"))
    assert load_digits("test").source == "mnist"
    assert cached("test")
    monkeypatch.setenv("STNCOURSE_DATA_DIR", "~/digits")
    assert load_digits("test").source == "offline"
    with pytest.raises(ValueError, match=r"^root: expected a path, got ~/digits, and this user has no home folder"):
        load_digits("test", root="~/digits")


@pytest.mark.parametrize("root", [3, b"cache", ["cache"]])
def test_a_cache_that_is_no_path_is_named(root):
    with pytest.raises(TypeError, match=r"^root: expected a path, got "):
        load_digits("test", root=root)


# source="auto" and STNCOURSE_OFFLINE ----------------------------------------------------------------------------------


def test_auto_takes_mnist_when_it_can_and_says_nothing(made_up, root, monkeypatch, capsys):
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    for split in SPLITS:
        assert load_digits(split, root=root).source == "mnist"
    assert capsys.readouterr().out == ""


def test_auto_falls_back_and_says_so_in_one_sentence_for_both_splits(root, capsys):
    for split, count in {"train": 5_000, "test": 1_000}.items():
        digits = load_digits(split, root=root)
        assert (digits.source, len(digits)) == ("offline", count)
    (line,) = capsys.readouterr().out.splitlines()
    assert "offline digits" in line
    assert "figures will differ" in line
    assert f"Reason: MNIST could not be downloaded to {root}" in line
    assert f"{NOBODY}: " in line


def test_auto_says_another_reason_too(root, monkeypatch, capsys):
    load_digits("train", root=root)
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    load_digits("train", root=root)
    first, second = capsys.readouterr().out.splitlines()
    assert "STNCOURSE_OFFLINE" not in first
    assert "STNCOURSE_OFFLINE" in second


def test_stncourse_offline_contacts_no_mirror(made_up, root, serve, monkeypatch, capsys):
    ours, theirs = serve(made_up), serve(made_up)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", ours.address)
    monkeypatch.setattr(MNIST, "mirrors", [theirs.address])
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    with pytest.raises(MNISTUnavailable, match="STNCOURSE_OFFLINE"):
        load_digits("train", "mnist", root)
    for split in SPLITS:
        assert load_digits(split, "auto", root).source == "offline"
    assert ours.asked == theirs.asked == []
    (line,) = capsys.readouterr().out.splitlines()
    assert "STNCOURSE_OFFLINE" in line
    assert not root.exists()


def test_stncourse_offline_uses_a_good_cache(made_up, cache, monkeypatch, capsys):
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    assert_loads(made_up, cache, "test")
    assert load_digits("train", "auto", cache).source == "mnist"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", ["", "0"])
def test_stncourse_offline_can_be_switched_off(made_up, root, value, monkeypatch):
    monkeypatch.setenv("STNCOURSE_OFFLINE", value)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    assert_loads(made_up, root)


@pytest.mark.parametrize("split", ["Train", "validation", "", None, 0, ["train"]])
def test_an_unknown_split_is_named(split):
    with pytest.raises(ValueError, match=r"^split: expected one of 'train', 'test', got "):
        load_digits(split, "offline")


@pytest.mark.parametrize("source", ["MNIST", "online", "", None, 1])
def test_an_unknown_source_is_named(source):
    with pytest.raises(ValueError, match=r"^source: expected one of 'auto', 'mnist', 'offline', got "):
        load_digits("train", source)


# The digits that ship with the package --------------------------------------------------------------------------------

ASSET = REPOSITORY / "stncourse" / "assets" / "digits.npz"


@pytest.mark.parametrize(("split", "count"), [("train", 5_000), ("test", 1_000)])
def test_the_offline_digits_are_balanced(split, count):
    digits = load_digits(split, "offline")
    assert digits.images.shape == (count, 1, 28, 28)
    assert digits.images.dtype == torch.uint8
    assert digits.labels.dtype == torch.int64
    assert digits.labels.bincount().tolist() == [count // 10] * 10
    assert digits.source == "offline"


def test_the_offline_digits_need_no_mirror_and_no_cache(made_up, root, serve, monkeypatch, capsys):
    mirror = serve(made_up)
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", mirror.address)
    load_digits("train", "offline", root)
    assert mirror.asked == []
    assert not root.exists()
    assert capsys.readouterr().out == ""


def test_the_offline_digits_are_small_enough_to_ship():
    assert ASSET.stat().st_size <= 1_600_000


def test_no_offline_digit_occurs_twice():
    train, test = (
        {image.numpy().tobytes() for image in load_digits(split, "offline").images} for split in ("train", "test")
    )
    assert len(train) == 5_000
    assert len(test) == 1_000
    assert not train & test


@pytest.mark.mnist
@pytest.mark.parametrize("split", SPLITS)
def test_the_offline_digits_are_those_of_mnist_at_the_stored_positions(mnist, split):
    offline = load_digits(split, "offline")
    with np.load(ASSET) as arrays:
        index = torch.from_numpy(arrays[f"{split}_index"].astype(np.int64))
    assert len(index.unique()) == len(index) == len(offline)
    assert torch.equal(offline.images, mnist[split].images[index])
    assert torch.equal(offline.labels, mnist[split].labels[index])


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_offline_digits", REPOSITORY / "tools/make_offline_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.mnist
@pytest.mark.parametrize("split", SPLITS)
def test_the_tool_chooses_the_stored_positions_again(mnist, maker, split):
    chosen = maker.choose(mnist[split].labels.numpy(), maker.PER_CLASS[split], np.random.default_rng(0))
    with np.load(ASSET) as arrays:
        assert np.array_equal(chosen, arrays[f"{split}_index"])


def test_the_tool_writes_what_load_digits_reads(maker, monkeypatch, tmp_path):
    digits = load_digits("test", "offline")
    monkeypatch.setattr(maker, "load_digits", lambda split, source: digits)
    monkeypatch.setattr(maker, "PER_CLASS", {"train": 3, "test": 2})
    monkeypatch.setattr(maker, "TARGET", tmp_path / "digits.npz")
    maker.main()
    with np.load(ASSET) as shipped, np.load(tmp_path / "digits.npz") as made:
        assert sorted(made) == sorted(shipped)
        assert {name: made[name].dtype for name in made} == {name: shipped[name].dtype for name in shipped}
        assert np.bincount(made["train_labels"]).tolist() == [3] * 10
        assert np.array_equal(made["test_images"], digits.images[made["test_index"].astype(int), 0])


# normalize, denormalize -----------------------------------------------------------------------------------------------


def test_denormalize_undoes_normalize_for_all_256_values():
    raw = torch.arange(256, dtype=torch.uint8)
    back = denormalize(normalize(raw))
    assert torch.equal((255 * back).round().to(torch.uint8), raw)
    torch.testing.assert_close(back, raw / 255, rtol=0, atol=3e-7)


def test_normalize_is_the_documented_formula():
    pixels = torch.linspace(0, 1, 256, dtype=torch.float64)
    torch.testing.assert_close(normalize(pixels), (pixels - 0.1307) / 0.3081, rtol=0, atol=1e-14)
    torch.testing.assert_close(denormalize(normalize(pixels)), pixels, rtol=0, atol=1e-14)


def test_normalize_agrees_on_uint8_and_float():
    raw = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(normalize(raw), normalize(raw / 255), rtol=0, atol=5e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_normalize_keeps_dtype_and_shape_and_its_argument(dtype):
    pixels = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = pixels.clone()
    for function in (normalize, denormalize):
        assert function(pixels).dtype == dtype
        assert function(pixels).shape == pixels.shape
    assert torch.equal(pixels, before)
    assert normalize(torch.zeros(4, 5, dtype=torch.uint8)).dtype == torch.float32


def test_background_is_a_black_pixel():
    assert round(BACKGROUND, 4) == -0.4242
    assert normalize(torch.zeros(1, dtype=torch.uint8)).item() == torch.tensor(BACKGROUND).item()
    assert normalize(torch.zeros(1)).item() == torch.tensor(BACKGROUND).item()
    assert normalize(torch.zeros(1, dtype=torch.float64)).item() == pytest.approx(BACKGROUND, abs=1e-15)


def test_denormalize_clips_nothing():
    back = denormalize(torch.tensor([-2.0, 5.0]))
    assert back[0] < 0
    assert back[1] > 1


@pytest.mark.mnist
def test_mnists_training_set_is_normalized_to_mean_0_and_standard_deviation_1(mnist):
    images = normalize(mnist["train"].images).double()
    assert images.mean().item() == pytest.approx(0, abs=1e-3)
    assert images.std().item() == pytest.approx(1, abs=1e-3)


NOT_FLOATING = [torch.zeros(2, dtype=torch.int64), torch.zeros(2) > 0, np.zeros(2), [0.5], 1.0, None]


@pytest.mark.parametrize("images", NOT_FLOATING)
@pytest.mark.parametrize("function", [normalize, denormalize])
def test_normalize_and_denormalize_name_a_bad_argument(function, images):
    with pytest.raises(TypeError, match=r"^images: expected a .*floating-point tensor, got "):
        function(images)


def test_denormalize_refuses_raw_images():
    with pytest.raises(TypeError, match=r"^images: expected a normalised .* got a uint8 tensor"):
        denormalize(torch.zeros(2, dtype=torch.uint8))


# Digits ---------------------------------------------------------------------------------------------------------------


def numbered(n, size=2):
    """``n`` digits that tell which they are: every pixel, and the label, is the digit's number."""
    labels = torch.arange(n)
    return Digits(labels.to(torch.uint8)[:, None, None, None].expand(n, 1, size, size).clone(), labels, "offline")


IMAGES, LABELS = torch.zeros(3, 1, 4, 5, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("images", "labels", "error", "name"),
    [
        (None, LABELS, TypeError, "images"),
        (IMAGES.numpy().astype(np.int16), LABELS, TypeError, "images"),
        (IMAGES.numpy() / 255, LABELS, TypeError, "images"),
        (IMAGES.numpy()[0], LABELS, ValueError, "images"),
        (IMAGES.float(), LABELS, TypeError, "images"),
        (IMAGES.long(), LABELS, TypeError, "images"),
        (IMAGES[:, 0], LABELS, ValueError, "images"),
        (IMAGES, None, TypeError, "labels"),
        (IMAGES, [0, 0.5, 0], TypeError, "labels"),
        (IMAGES, [0, True, 0], TypeError, "labels"),
        (IMAGES, "012", TypeError, "labels"),
        (IMAGES, [0, -1, 0], ValueError, "labels"),
        (IMAGES, [0, 2**63, 0], ValueError, "labels"),
        (IMAGES, LABELS[0], ValueError, "labels"),
        (IMAGES, LABELS.numpy().astype(complex), TypeError, "labels"),
        (IMAGES, LABELS.bool(), TypeError, "labels"),
        (IMAGES, LABELS[:, None].bool(), TypeError, "labels"),
        (IMAGES, np.array(["0", "1", "2"]), TypeError, "labels"),
        (IMAGES, LABELS - 100, ValueError, "labels"),
        (IMAGES, LABELS.int() - 1, ValueError, "labels"),
        (IMAGES, LABELS.numpy() - 1, ValueError, "labels"),
        (IMAGES, LABELS.numpy().astype(np.uint64) + 2**63, ValueError, "labels"),
        (IMAGES, LABELS[None], ValueError, "labels"),
        (IMAGES, LABELS[:2, None].float(), ValueError, "labels"),
        (IMAGES, LABELS[:2], ValueError, "labels"),
    ],
)
def test_digits_name_a_bad_argument(images, labels, error, name):
    with pytest.raises(error, match=f"^{name}: expected .*, got "):
        Digits(images, labels, "mnist")


@pytest.mark.parametrize(
    "convert",
    [
        torch.Tensor.tolist,
        lambda labels: tuple(labels.tolist()),
        lambda labels: list(labels.numpy()),
        lambda labels: list(labels),
        torch.Tensor.int,
        torch.Tensor.byte,
        torch.Tensor.numpy,
        lambda labels: labels.numpy().astype(np.int32),
        lambda labels: labels.numpy().astype(np.uint8),
        lambda labels: labels.numpy().astype(">i4"),
        lambda labels: labels.flip(0).numpy()[::-1],
    ],
)
def test_labels_of_every_whole_type_are_taken(convert):
    labels = torch.tensor([2, 0, 1])
    digits = Digits(IMAGES, convert(labels), "mnist")
    assert digits.labels.dtype == torch.int64
    assert torch.equal(digits.labels, labels)
    assert [len(labels) for _, labels in Batches(digits, 2)] == [2, 1]


def test_images_may_be_an_array_of_any_memory_layout():
    raw = torch.arange(120, dtype=torch.uint8).reshape(2, 3, 4, 5)
    frozen = raw.numpy().copy()
    frozen.setflags(write=False)
    strided = np.ascontiguousarray(raw.permute(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for array in (frozen, raw.flip(0).numpy()[::-1], strided):
        assert torch.equal(Digits(array, [0, 1], "mine").images, raw)


def test_digits_without_any_digit():
    assert len(Digits(IMAGES[:0], [], "mnist")) == len(Digits(IMAGES[:0], LABELS[:0], "mnist")) == 0


def test_digits_say_what_they_are():
    assert repr(Digits(IMAGES, LABELS, "mnist")) == "Digits(3 images of 1×4×5, source='mnist')"
    assert len(Digits(IMAGES, LABELS, "mnist")) == 3


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(2, 8, 2), [2, 4, 6]),
        (torch.tensor([3, 3, 0]), [3, 3, 0]),
        (torch.arange(10) > 7, [8, 9]),
        (slice(0), []),
    ],
)
def test_subset_takes_images_with_their_labels(index, expected):
    subset = numbered(10).subset(index)
    assert subset.labels.tolist() == expected
    assert subset.images[:, 0, 0, 0].tolist() == expected
    assert subset.source == "offline"


def test_subset_of_one_position_is_refused():
    with pytest.raises(ValueError, match="images: "):
        numbered(10).subset(3)


def test_split_shares_no_digit_and_loses_none():
    kept, held_out = numbered(100).split(20)
    assert (len(kept), len(held_out)) == (80, 20)
    assert sorted(kept.labels.tolist() + held_out.labels.tolist()) == list(range(100))
    for part in (kept, held_out):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels)
        assert part.source == "offline"
    assert held_out.labels.tolist() != list(range(20))  # at random


def test_split_depends_on_its_seed_and_on_nothing_else():
    torch.manual_seed(1)
    first = numbered(100).split(20)[1].labels
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, numbered(100).split(20)[1].labels)
    assert torch.equal(first, numbered(100).split(20, seed=0)[1].labels)
    assert not torch.equal(first, numbered(100).split(20, seed=1)[1].labels)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("held_out", [1, 9])
def test_split_takes_all_but_one_or_one(held_out):
    assert [len(part) for part in numbered(10).split(held_out)] == [10 - held_out, held_out]


@pytest.mark.parametrize(
    ("held_out", "error"),
    [(0, ValueError), (-1, ValueError), (10, ValueError), (11, ValueError), (0.2, TypeError), (True, TypeError)],
)
def test_split_names_a_bad_argument(held_out, error):
    with pytest.raises(error, match=r"^held_out: expected .*, got "):
        numbered(10).split(held_out)


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor, np.array])
def test_numbers_may_come_from_numpy_or_torch(number):
    plain, other = numbered(10).split(4, seed=3), numbered(10).split(number(4), seed=number(3))
    assert torch.equal(plain[1].labels, other[1].labels)
    plain = Batches(numbered(10), 4, shuffle=True, seed=3)
    other = Batches(numbered(10), number(4), shuffle=np.bool_(True), seed=number(3))
    assert len(other) == 3
    assert epoch(plain) == epoch(other)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), ("0", TypeError), (None, TypeError), (0.5, TypeError)])
def test_split_names_a_bad_seed(seed, error):
    with pytest.raises(error, match=r"^seed: expected an int >= 0, got "):
        numbered(10).split(2, seed)


def test_any_seed_will_do():
    seed = 2**64 - 1  # the largest that torch takes
    assert sorted(epoch(Batches(numbered(10), shuffle=True, seed=seed))) == list(range(10))
    assert len(numbered(10).split(2, seed)[1]) == 2


# DigitsDataset --------------------------------------------------------------------------------------------------------


def test_a_dataset_gives_one_digit_at_a_time():
    dataset = DigitsDataset(numbered(5), transform=np.asarray)
    assert len(dataset) == 5
    for number, (image, label) in enumerate(dataset):
        assert np.array_equal(image, np.full((2, 2), number, dtype=np.uint8))
        assert label == number
    assert number == 4
    image, label = DigitsDataset(numbered(5))[3]
    assert (image.mode, image.size, image.getpixel((0, 0)), type(label)) == ("L", (2, 2), 3, int)


def test_a_dataset_gives_colour_pictures_too():
    colours = torch.arange(60, dtype=torch.uint8).reshape(1, 3, 4, 5)
    image, _ = DigitsDataset(Digits(colours, [0], "mine"))[0]
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert np.array_equal(np.asarray(image), colours[0].permute(1, 2, 0).numpy())
    with pytest.raises(ValueError, match=r"^digits: expected 1 or 3 channels, got Digits\(1 images of 2×"):
        DigitsDataset(Digits(colours[:, :2], [0], "mine"))


@pytest.mark.parametrize("digits", [None, IMAGES, (IMAGES, LABELS)])
def test_a_dataset_names_a_bad_argument(digits):
    with pytest.raises(TypeError, match=r"^digits: expected Digits, got "):
        DigitsDataset(digits)


# Batches --------------------------------------------------------------------------------------------------------------


def epoch(batches):
    """The labels of one epoch, in order."""
    return torch.cat([labels for _, labels in batches]).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_epoch_covers_every_digit_once(shuffle):
    batches = Batches(numbered(10), batch_size=4, shuffle=shuffle)
    assert len(batches) == 3
    for _ in range(3):
        parts = list(batches)
        assert [len(labels) for _, labels in parts] == [4, 4, 2]
        assert sorted(torch.cat([labels for _, labels in parts]).tolist()) == list(range(10))
        for images, labels in parts:
            assert images.dtype == torch.float32
            assert labels.dtype == torch.int64
            expected = normalize(labels.to(torch.uint8))[:, None, None, None].expand(-1, 1, 2, 2)
            assert torch.equal(images, expected)


@pytest.mark.parametrize(("n", "size", "length"), [(8, 4, 2), (9, 4, 3), (3, 4, 1), (4, 1, 4), (0, 4, 0)])
def test_the_number_of_batches_is_known_beforehand(n, size, length):
    batches = Batches(numbered(n), batch_size=size)
    assert len(batches) == len(list(batches)) == length


def test_without_shuffle_the_order_is_that_of_the_digits():
    batches = Batches(numbered(50), batch_size=8)
    assert epoch(batches) == epoch(batches) == list(range(50))


def test_shuffling_gives_every_epoch_another_order():
    batches = Batches(numbered(50), batch_size=8, shuffle=True)
    orders = [epoch(batches) for _ in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(50)) not in orders


def test_the_same_seed_gives_the_same_epochs():
    torch.manual_seed(1)
    first = Batches(numbered(50), shuffle=True, seed=3)
    orders = [epoch(first) for _ in range(3)]
    torch.manual_seed(2)
    again = Batches(numbered(50), shuffle=True, seed=3)
    assert [epoch(again) for _ in range(3)] == orders
    other = Batches(numbered(50), shuffle=True, seed=4)
    assert not any(order in orders for order in (epoch(other) for _ in range(3)))


def test_an_epoch_can_be_repeated_without_those_before_it():
    batches = Batches(numbered(50), shuffle=True)
    orders = [epoch(batches) for _ in range(3)]
    assert batches.epoch == 3
    batches.epoch = 1
    assert epoch(batches) == orders[1]


def test_an_epoch_left_early_does_not_disturb_the_next():
    whole, broken = Batches(numbered(50), 8, shuffle=True), Batches(numbered(50), 8, shuffle=True)
    next(iter(broken))
    epoch(whole)
    assert epoch(broken) == epoch(whole)


def test_batches_leave_the_global_random_state_alone():
    state = torch.get_rng_state()
    epoch(Batches(numbered(50), shuffle=True, transform=lambda images, generator: images))
    assert torch.equal(torch.get_rng_state(), state)


def test_transform_sees_pixels_before_normalisation_and_its_result_is_normalised():
    digits = load_digits("test", "offline").subset(slice(100))
    seen = []

    def invert(images, generator):
        assert isinstance(generator, torch.Generator)
        seen.append(images.clone())
        return 1 - images

    out = torch.cat([images for images, _ in Batches(digits, 32, transform=invert)])
    assert [len(images) for images in seen] == [32, 32, 32, 4]
    pixels = torch.cat(seen)
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, digits.images / 255)
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert torch.equal(out, normalize(1 - digits.images / 255))


def test_transform_draws_from_the_seed():
    def noise(images, generator):
        return torch.rand(images.shape, generator=generator)

    def drawn(seed):
        batches = Batches(numbered(8), 4, seed=seed, transform=noise)
        return [torch.cat([images for images, _ in batches]) for _ in range(2)]

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])  # another epoch
    assert not torch.equal(first[0][:4], first[0][4:])  # another batch
    assert not torch.equal(first[0], other[0])


def test_batches_leave_the_digits_alone():
    digits = numbered(8)
    for images, labels in Batches(digits, 4, transform=lambda images, generator: images.zero_()):
        images.fill_(7)
        labels.fill_(7)
    assert digits.labels.tolist() == digits.images[:, 0, 0, 0].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"digits": IMAGES}, TypeError, "digits"),
        ({"digits": None}, TypeError, "digits"),
        ({"digits": (IMAGES, LABELS)}, TypeError, "digits"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": -1}, ValueError, "batch_size"),
        ({"batch_size": 2.0}, TypeError, "batch_size"),
        ({"batch_size": None}, TypeError, "batch_size"),
        ({"shuffle": None}, TypeError, "shuffle"),
        ({"shuffle": lambda images, generator: images}, TypeError, "shuffle"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"seed": None}, TypeError, "seed"),
        ({"device": None}, TypeError, "device"),
        ({"device": "abacus"}, ValueError, "device"),
        ({"transform": "rotate"}, TypeError, "transform"),
        ({"transform": 30}, TypeError, "transform"),
    ],
)
def test_batches_name_a_bad_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected "):
        Batches(**({"digits": numbered(3)} | arguments))


def work(root):
    mnist = load_digits("train", "mnist", root)
    kept, held_out = load_digits("test", "offline").subset(slice(50)).split(20)
    batches = Batches(kept, 8, shuffle=True, seed=1, transform=lambda images, generator: 1 - images)
    back = denormalize(normalize(held_out.images))
    labels = Digits(IMAGES, [0, 1, 2], "x").labels
    return [mnist.images, mnist.labels, kept.images, labels, back, *(part for batch in batches for part in batch)]


@pytest.mark.parametrize("default", ["meta", torch.float64])
def test_torchs_defaults_change_nothing(made_up, root, monkeypatch, default):
    """Its default device is another one ("meta" plays the GPU), or its default dtype float64."""
    monkeypatch.setenv("STNCOURSE_MNIST_MIRROR", made_up.mirror)
    expected = work(root)
    shutil.rmtree(root)
    of_dtype = isinstance(default, torch.dtype)
    set_default, before = (torch.set_default_dtype, torch.float32) if of_dtype else (torch.set_default_device, None)
    set_default(default)
    try:
        found = work(root)
    finally:
        set_default(before)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.device.type, ours.dtype) == ("cpu", theirs.dtype)
        assert torch.equal(ours, theirs)


@pytest.mark.gpu
def test_batches_can_be_on_the_gpu():
    on_cpu = list(Batches(numbered(50), 8, shuffle=True))
    on_gpu = list(Batches(numbered(50), 8, shuffle=True, device="cuda"))
    for (images, labels), (gpu_images, gpu_labels) in zip(on_cpu, on_gpu, strict=True):
        assert gpu_images.is_cuda
        assert torch.equal(labels, gpu_labels.cpu())
        torch.testing.assert_close(images, gpu_images.cpu())


@pytest.mark.parametrize(
    ("transform", "error", "got"),
    [
        (lambda images, generator: images[:3], ValueError, "4 images, .* got a float32 tensor of shape"),
        (lambda images, generator: None, TypeError, "a function that returns images, got NoneType None"),
    ],
)
def test_a_transform_that_loses_images_is_named(transform, error, got):
    digits = load_digits("test", source="offline").subset(slice(4))
    with pytest.raises(error, match=f"^transform: expected {got}"):
        next(iter(Batches(digits, 4, transform=transform)))
