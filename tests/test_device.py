"""Where to compute. What a machine has is played by a monkeypatch."""

import contextlib
import ctypes
import platform
import threading

import pytest
import torch
from run_python import run_python

from stncourse import distort, load_digits, load_pretrained
from stncourse.device import keep_freed_memory, one_thread, resolve_device
from stncourse.playground import opponent
from stncourse.playground.pull import pull


@pytest.fixture
def machine(monkeypatch):
    """``machine(cuda=1, mps=True)``: a machine with one CUDA device and mps."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(1, True, "cuda"), (1, False, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_fastest_there_is(machine, cuda, mps, expected):
    machine(cuda, mps)
    assert resolve_device() == resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_asked_for_is_taken(machine, device):
    machine(cuda=1)
    assert resolve_device(device) == torch.device("cpu")


def test_a_numbered_device_that_exists_is_taken(machine):
    machine(cuda=2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", torch.device("cuda")])
def test_a_device_that_is_not_there_is_refused(machine, device):
    machine()
    with pytest.raises(ValueError, match=r"^device: '(cuda|cuda:0|mps)' was asked for, but this machine has none"):
        resolve_device(device)


def test_a_number_too_high_is_refused(machine):
    machine(cuda=2)
    with pytest.raises(ValueError, match=r"^device: 'cuda:2' was asked for"):
        resolve_device("cuda:2")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"^device: expected 'auto' or a torch device name such as 'cpu', got 'gpu'"):
        resolve_device("gpu")


@pytest.mark.parametrize("device", [None, 0, ["cpu"]])
def test_another_type_is_refused(device):
    with pytest.raises(TypeError, match=r"^device: expected"):
        resolve_device(device)


KEPT = """
import resource
import sys
import torch
from stncourse.device import keep_freed_memory

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1_000_000

if sys.argv[1] == "kept":
    keep_freed_memory()
torch.ones(10_000)  # what it loads at the first call is not counted
before = megabytes()
blocks = [torch.ones(1_000_000) for _ in range(30)]  # 120 MB, and all freed at once
del blocks
print(megabytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("mode", "least", "most"), [("default", -20, 40), ("kept", 100, 140)])
def test_freed_memory_is_kept_so_that_the_system_need_not_clear_it_again(mode, least, most):
    assert least < int(run_python("-c", KEPT, mode)) < most


@pytest.mark.parametrize("library", [object(), OSError(), TypeError()])
def test_where_there_is_no_glibc_memory_is_left_alone(monkeypatch, library):
    def load(name):
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    keep_freed_memory.__wrapped__()


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_thread_while_it_lasts(three_threads):
    with contextlib.suppress(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 3


def test_one_thread_asked_for_by_two_at_once(three_threads):
    """The kernel has several: whoever leaves first, both and the next find the number of before."""
    inside, leave, found = threading.Event(), threading.Event(), []

    def other():
        with one_thread():
            inside.set()
            leave.wait(60)
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert inside.wait(60)
    assert torch.get_num_threads() == 3
    leave.set()
    thread.join()
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [3, 3]


def test_what_the_playground_asks_of_a_model_is_asked_in_one_thread(three_threads):
    """Beside other programs a second thread costs more than it brings."""
    counts = []
    model, digits = load_pretrained(), load_digits("test", source="offline")
    model.classifier.register_forward_hook(lambda *_: counts.append(torch.get_num_threads()))
    model.stn.localization.register_forward_hook(lambda *_: counts.append(torch.get_num_threads()))
    image = distort(digits.images[:2], "RTS", torch.Generator().manual_seed(0)).images[:1]
    opponent.probabilities_of(model, digits.normalize(digits.images[:1]))  # its transformer gives 28×28
    opponent.theta_of(model, digits, image)
    pull(model, digits, image, (1, 0, 0, 0, 1, 0), target=7, steps=1)
    assert counts == [1] * 4  # two steps of the classifier in a pull
    assert torch.get_num_threads() == 3


def test_a_device_without_numbers_computes_nothing():
    with pytest.raises(ValueError, match=r"^device: expected one that computes, got 'meta'"):
        resolve_device("meta")
