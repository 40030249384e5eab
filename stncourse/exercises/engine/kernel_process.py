"""The process of the student's kernel: started under a memory limit, and ended with all that was started in it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from stncourse._own_path import without_working_folder

_PROGRAM = Path(__file__).with_name("kernel.py")


class KernelEnded(Exception):
    """The kernel is not there, or not any more; the message says why."""


class KernelProcess:
    """A kernel's process, and those that its notebook starts.

    Args:
        home: a folder that is the kernel's alone, for its connection file and for its student's progress. Its processes
            are known by it.
        folder: where it runs.
        memory_limit: its bytes.
    """

    def __init__(self, home, folder, memory_limit):
        self._home, self._folder, self._memory_limit = Path(home), folder, memory_limit
        self._process = None
        self._mark = str(self._home / "progress")

    def start(self):
        """Start it."""
        home = {"STNCOURSE_PROGRESS_DIR": self._mark}
        if sys.platform != "win32":
            home["JPY_PARENT_PID"] = str(os.getpid())  # it looks whether we are still there
        if folders := os.environ.get("PYTHONPATH"):  # what is relative in it is so to the grader's folder
            folders = without_working_folder(folders.split(os.pathsep))
            home["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JPY_")}
        options = ["-f", str(self._home / "kernel.json"), "--HistoryManager.hist_file=:memory:"]
        try:
            with open(self._home / "stderr", "wb") as stderr:
                self._process = subprocess.Popen(
                    [sys.executable, str(_PROGRAM), str(self._memory_limit), *options],
                    cwd=self._folder,
                    env=inherited | home,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,  # Ctrl-C is for us
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:  # its folder may be closed to us
            raise KernelEnded(f"the kernel did not start: {error}") from error

    def connection(self):
        """Where it listens, as a dict, or None as long as it does not say so."""
        try:
            return json.loads((self._home / "kernel.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or half written
            return None

    def last_line(self):
        """The last line that it wrote to its standard error, or None."""
        lines = (self._home / "stderr").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), None)

    def has_ended(self):
        """Whether it has."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            # Left as it is: its number stays taken, and with it that of its group of processes.
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has taken note of its end
            return True

    def end(self):
        """End it and all that was started in it."""
        until = time.monotonic() + 10
        while (left := self._all()) and time.monotonic() < until:
            if self._process and self._process.returncode is None and hasattr(os, "killpg"):
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # most of them at once
            for process in left:
                with contextlib.suppress(Exception):  # gone already, or somebody else's by now
                    process.kill()
            time.sleep(0.02)
        if self._process:
            self._process.wait()

    def _all(self):
        """What the notebook started, and what that started: by their environment, and by their parents."""
        import psutil

        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("STNCOURSE_PROGRESS_DIR") == self._mark:
                    found += [process, *process.children(recursive=True)]
        return found
