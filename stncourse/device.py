"""Where to compute: cuda, mps or cpu."""

import contextlib
import ctypes
import functools
import threading

import torch

_HOLDERS = {"lock": threading.Lock(), "count": 0, "threads": 1}


def resolve_device(device="auto"):
    """Turn ``"auto"`` or a device name into a ``torch.device`` that works on this machine.

    Args:
        device: ``"auto"`` (cuda if there is one, else mps, else cpu), or anything ``torch.device`` takes.

    Returns:
        torch.device

    Raises:
        TypeError: ``device`` is neither a string nor a ``torch.device``.
        ValueError: no such device name, or that device is not available here.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if isinstance(device, torch.device):
        resolved = device
    elif not isinstance(device, str):
        raise TypeError(f"device: expected 'auto', a device name or a torch.device, got {type(device).__name__}")
    elif device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    else:
        try:
            resolved = torch.device(device)
        except RuntimeError as error:
            raise ValueError(f"device: expected 'auto' or a torch device name such as 'cpu', got {device!r}") from error
    if resolved.type == "meta":
        raise ValueError("device: expected one that computes, got 'meta'; try 'auto' or 'cpu'")
    counts = {"cuda": torch.cuda.device_count, "mps": lambda: int(torch.backends.mps.is_available())}
    if resolved.type in counts and (resolved.index or 0) >= counts[resolved.type]():
        raise ValueError(f"device: {str(resolved)!r} was asked for, but this machine has none; try 'auto' or 'cpu'")
    return resolved


@functools.cache
def keep_freed_memory():
    """Let this process keep up to 1 GB of freed memory for its next tensors. On Linux with glibc; elsewhere, nothing.

    glibc gives every large block back to the system when it is freed. A training step asks for the same blocks as the
    step before, and the system clears each of them first: a good part of a step's CPU time (``benchmarks/RESULTS.md``).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another system, or another C library
        return
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h. Older releases take at most 32 MB for the first.
    _ = mallopt(-3, 2**30) or mallopt(-3, 2**25)
    mallopt(-1, 2**30)


@contextlib.contextmanager
def one_thread():
    """While it lasts, torch computes in one thread: for a single small image through a small network, again and again.

    There is no work in that for a second thread, and each call waits for the slower one. Where other programs want the
    cores, that is long: a hundred steps of descent on θ took 1 s in one thread, and 22 s in two, beside three busy
    programs on two cores. Whoever leaves last or first, and from whichever thread, all find the number of before.
    """
    with _HOLDERS["lock"]:
        if not _HOLDERS["count"]:
            _HOLDERS["threads"] = torch.get_num_threads()
        _HOLDERS["count"] += 1
        torch.set_num_threads(1)  # OpenMP keeps one number for each thread that calls it
    try:
        yield
    finally:
        with _HOLDERS["lock"]:
            _HOLDERS["count"] -= 1
            torch.set_num_threads(_HOLDERS["threads"])
