"""Finds out which calls come to an end, in a copy of this process, which can be killed at any moment.

A thread cannot be stopped while code in C keeps the interpreter to itself, as ``sum(range(10**13))`` and a catastrophic
regular expression do; every other thread waits for it, too. Only the end of its process ends it.
"""

import contextlib
import os
import select
import signal
import sys
import time
import warnings

import torch

_ASLEEP = 0.3  # seconds of sleep that tell a copy that waits from one that works
_SILENT = 2.0  # seconds after the time limit in which a copy that can still run Python has said so


def calls_that_end(work, count, seconds):
    """How many of ``count`` calls come to their end within the time.

    The copy is believed when ``work`` was stopped in it, or when it does not answer: then something keeps the
    interpreter to itself. One that only waits can be stopped in a thread as well, and one that dies may do so because
    it is a copy (it has no CUDA, for example). Then the answer is ``count``, as it is on systems other than Linux,
    where a copy of a process with threads cannot be relied on.

    Args:
        work: a function that makes the calls within the time. It is given one to call after each, and returns "done",
            "stopped" or "running" (it could not be stopped). What it does in the copy stays there.
        count: how many calls there are.
        seconds: for all calls together.
    """
    if sys.platform != "linux":
        return count
    reader, writer = os.pipe()
    child = None
    try:
        with warnings.catch_warnings(action="ignore"):  # Python warns of copies of processes with threads
            child = os.fork()
        if child == 0:
            _in_the_copy(work, writer, seconds)
        os.close(writer)
        writer = None
        return _watched(child, reader, count, seconds)
    except OSError:  # no room for another process
        return count
    finally:
        if child == 0:  # interrupted before it began: one notebook is enough
            os._exit(1)
        with contextlib.suppress(OSError):
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        os.close(reader)
        if writer is not None:
            os.close(writer)


def _in_the_copy(work, writer, seconds):
    """Do the work; write a dot after each call, and a letter at the end. Does not return."""
    try:
        # Nobody may be there any more to kill it: it ends by itself after so much work.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, 2 * (seconds + _SILENT))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        torch.set_num_threads(1)  # the threads for more did not come along
        state = work(lambda: os.write(writer, b"."))
        os.write(writer, state[0].encode())
    finally:
        os._exit(0)


def _watched(child, reader, count, seconds):
    waiting = select.poll()
    waiting.register(reader, select.POLLIN)
    ended, awake = 0, time.monotonic()
    silent = awake + seconds + _SILENT
    while awake + _ASLEEP > time.monotonic():
        if waiting.poll(5):  # milliseconds
            words = os.read(reader, 4096)
            ended += words.count(b".")
            if words.endswith(b"s"):
                return ended
            if not words.endswith(b"."):  # it is done, cannot be stopped, or has died
                return count
        if _works(child):
            awake = time.monotonic()
            if awake > silent:
                return ended
    return count


def _works(process):
    """Whether a thread of this process does not sleep; the first does not count once it waits for others."""
    tasks = os.listdir(f"/proc/{process}/task")
    others = [task for task in tasks if int(task) != process]
    return any(_state(process, task) not in "SZ" for task in others or tasks)


def _state(process, task):
    """The letter that Linux has for it: R runs, D waits for a disk, S sleeps, Z is dead."""
    try:
        with open(f"/proc/{process}/task/{task}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:  # it has just come to its end
        return "Z"
