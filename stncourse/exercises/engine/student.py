"""The student's kernel, from the grader's side: a process that is started, told what to run, and ended for good."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PROGRAM = Path(__file__).with_name("kernel.py")
_START = 300.0  # seconds: the first import of torch from a slow disk takes its time
_LAST_WORDS = 4.0  # seconds between the two messages that end a cell
_SLICE = 100  # milliseconds


class KernelEnded(Exception):
    """The kernel is not there, or not any more; the message says why."""


class TimeOver(Exception):
    """The kernel is still at it."""


class Kernel:
    """A kernel for the length of a ``with`` block. However that ends, nothing that was started in it runs afterwards.

    Args:
        home: a folder that is the kernel's alone, for its connection file and for its student's progress. Its processes
            are known by it.
        folder: where it runs.
        memory_limit: its bytes.

    Raises:
        KernelEnded: at the start of the block, if it does not start.
    """

    def __init__(self, home, folder, memory_limit):
        self._home, self._folder, self._memory_limit = Path(home), folder, memory_limit
        self._process = self._context = None
        self._mark = str(self._home / "progress")

    def __enter__(self):
        try:
            self._start()
            self._connect()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def run(self, code, seconds, quiet=False):
        """Run a cell.

        Args:
            code: what IPython takes.
            seconds: how long it may take.
            quiet: leave no trace in the notebook's history.

        Returns:
            A list of (name, message), one for each error that came to be seen, and whether the cell was ended by one.

        Raises:
            KernelEnded, TimeOver.
        """
        request = self._ask(
            "execute_request",
            code=code,
            silent=quiet,
            store_history=not quiet,
            user_expressions={},
            allow_stdin=False,
            stop_on_error=False,
        )
        errors, failed, said = [], False, set()
        until = time.monotonic() + seconds
        while said != {"reply", "idle"}:
            message = self._next()
            if message and message["parent_header"].get("msg_id") == request:
                kind, content = message["msg_type"], message["content"]
                if kind == "error":
                    errors.append((str(content.get("ename")), str(content.get("evalue"))))
                elif kind == "execute_reply" or content.get("execution_state") == "idle":
                    failed = failed or content.get("status") == "error"
                    said.add("reply" if kind == "execute_reply" else "idle")
                    until = min(until, time.monotonic() + _LAST_WORDS)
            if not message and self._has_ended():
                if "reply" in said:
                    break
                raise KernelEnded("the cell ended the kernel, or asked for more memory than there is")
            if time.monotonic() > until:
                if said:
                    break  # the other message could not be sent, or was one too many for the queue
                raise TimeOver
        return errors, failed or "reply" not in said

    def end(self):
        """End the kernel and every process that was started in it."""
        try:
            self._end()
        except KeyboardInterrupt:  # an impatient one more
            self._end()
            raise

    def _start(self):
        home = {"STNCOURSE_PROGRESS_DIR": self._mark}
        if sys.platform != "win32":
            home["JPY_PARENT_PID"] = str(os.getpid())  # it looks whether we are still there
        if folders := os.environ.get("PYTHONPATH"):  # what is relative in it is so to the grader's folder
            home["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders.split(os.pathsep)))
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

    def _connect(self):
        """Wait for the kernel to say where it listens, and until it can be heard."""
        import zmq
        from jupyter_client.session import Session

        until = time.monotonic() + _START
        while not (where := self._connection()):
            self._wait_for_start(until)
            time.sleep(_SLICE / 1000)
        self._session = Session(key=where["key"].encode(), signature_scheme=where["signature_scheme"])
        self._context = zmq.Context()
        self._shell, self._output = self._context.socket(zmq.DEALER), self._context.socket(zmq.SUB)
        self._output.subscribe(b"")
        self._poller = zmq.Poller()
        for socket, port in ((self._shell, "shell_port"), (self._output, "iopub_port")):
            socket.connect(f"{where['transport']}://{where['ip']}:{where[port]}")
            self._poller.register(socket, zmq.POLLIN)
        while True:  # what it puts out before the connection stands is lost
            self._ask("kernel_info_request")
            message = self._next()
            if message is not None and message["msg_type"] == "status":
                return
            self._wait_for_start(until)

    def _connection(self):
        try:
            return json.loads((self._home / "kernel.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or half written
            return None

    def _wait_for_start(self, until):
        if self._has_ended() or time.monotonic() > until:
            lines = (self._home / "stderr").read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "is the memory limit too low?")
            raise KernelEnded(f"the kernel did not start: {last}")

    def _ask(self, kind, **content):
        return self._session.send(self._shell, kind, content)["header"]["msg_id"]

    def _next(self):
        """The next message, or None when there is none for a while, or it makes no sense."""
        import zmq

        for socket, _ in self._poller.poll(_SLICE):
            try:
                _, message = self._session.recv(socket, zmq.NOBLOCK)
            except Exception:  # whatever a notebook's own threads sent
                return None
            return message
        return None

    def _has_ended(self):
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            # Left as it is: its number stays taken, and with it that of its group of processes.
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has taken note of its end
            return True

    def _end(self):
        until = time.monotonic() + 10
        while (left := self._processes()) and time.monotonic() < until:
            if self._process and self._process.returncode is None and hasattr(os, "killpg"):
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # most of them at once
            for process in left:
                with contextlib.suppress(Exception):  # gone already, or somebody else's by now
                    process.kill()
            time.sleep(0.02)
        if self._process:
            self._process.wait()
        if self._context:
            self._context.destroy(linger=0)

    def _processes(self):
        """What the notebook started, and what that started: by their environment, and by their parents."""
        import psutil

        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("STNCOURSE_PROGRESS_DIR") == self._mark:
                    found += [process, *process.children(recursive=True)]
        return found
