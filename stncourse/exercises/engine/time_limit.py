"""Runs something in a thread that is stopped when its time is over, as far as Python can stop it."""

import contextlib
import ctypes
import os
import threading
import time


class TooSlow(BaseException):
    """Thrown into an attempt that does not end. Not an Exception: a loop with ``except Exception`` must not eat it."""


def run_in_time(work, seconds, printed):
    """Run ``work`` in a thread of its own: a signal would need Unix and the main thread, this works everywhere.

    Returns:
        ``"done"``, ``"stopped"``, or ``"running"``: code deep inside a library, or that catches everything, hears
        nothing.
    """
    done = threading.Event()

    def run():
        printed.thread = threading.get_ident()
        try:
            with contextlib.suppress(TooSlow):
                work()
        finally:
            done.set()

    thread = threading.Thread(target=run, name="attempt", daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    try:
        # In slices: on Windows a waiting thread does not hear Ctrl-C.
        while not done.wait(0.1) and time.monotonic() < deadline:
            pass
    except BaseException:  # the student pressed "interrupt"
        _stop(thread, done)
        raise
    state = "done" if done.is_set() else "stopped" if _stop(thread, done) else "running"
    if state != "running":
        _wait_for_the_end(thread)
    return state


def _stop(thread, done):
    for _ in range(20):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))
        if done.wait(0.05):
            return True
    return False


def _wait_for_the_end(thread):
    """Wait until the system has no such thread any more: a copy made before would inherit the locks that it holds.

    Libraries in C clean up after the last line of Python; for MKL's matrix product that takes a lock.
    """
    thread.join()
    until = time.monotonic() + 1
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < until:
        time.sleep(0.001)
