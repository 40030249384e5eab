"""The student's kernel, from the grader's side: it is told what to run, and says how that went."""

import time

from stncourse.exercises.engine.kernel_process import KernelEnded, KernelProcess

_START = 300.0  # seconds: the first import of torch from a slow disk takes its time
_LAST_WORDS = 4.0  # seconds between the two messages that end a cell
_SLICE = 100  # milliseconds


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
        self._process = KernelProcess(home, folder, memory_limit)
        self._context = None

    def __enter__(self):
        try:
            self._process.start()
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
            if not message and self._process.has_ended():
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

    def _connect(self):
        """Wait for the kernel to say where it listens, and until it can be heard."""
        import zmq
        from jupyter_client.session import Session

        until = time.monotonic() + _START
        while not (where := self._process.connection()):
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

    def _wait_for_start(self, until):
        if self._process.has_ended() or time.monotonic() > until:
            last = self._process.last_line() or "is the memory limit too low?"
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

    def _end(self):
        self._process.end()
        if self._context:
            self._context.destroy(linger=0)
