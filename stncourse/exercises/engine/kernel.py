"""The kernel in which a student's notebook is graded: ipykernel under a memory limit, which notes what is checked.

Started as ``python kernel.py BYTES -f CONNECTION_FILE …``, by its path, so that a file called stncourse.py beside the
student's notebook is not taken for the package.
"""

import contextlib
import ctypes
import json
import signal
import sys
from pathlib import Path


def limit_memory(size):
    """Limit this process to ``size`` bytes of data where the system can: not on Windows, and macOS ignores it."""
    try:
        import resource
    except ImportError:
        return
    # RLIMIT_DATA counts what is really asked for. Address space would count what torch merely reserves, too.
    limit = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with contextlib.suppress(ValueError, OSError, OverflowError):
        resource.setrlimit(limit, (size, size))


def end_with_the_grader():
    """Should the grader be killed, this process goes with it, whatever it is doing: Linux does that on request."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG


def keep_orphans():
    """What the notebook starts stays below this process when its parent ends: so it is found at the end, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # 36: PR_SET_CHILD_SUBREAPER


def in_ascii(pack):
    """A way to pack messages that half a character (a lone surrogate) in a student's text does not stop."""

    def packed(message):
        try:
            return json.dumps(message, default=json_default).encode("ascii")
        except (TypeError, ValueError):
            return pack(message)

    from jupyter_client.jsonutil import json_default

    return packed


def main(arguments):
    """Start the kernel. What it imports comes from where the grader's own modules come from."""
    from ipykernel.kernelapp import IPKernelApp

    from stncourse.exercises.engine import noted

    kernel = IPKernelApp.instance()
    kernel.initialize(arguments)  # puts the notebook's folder onto the path, as in Jupyter
    noted.listen(kernel.shell)
    kernel.session.pack = in_ascii(kernel.session.pack)
    kernel.start()


if __name__ == "__main__":
    end_with_the_grader()
    keep_orphans()
    limit_memory(int(sys.argv.pop(1)))
    if not sys.flags.safe_path:
        sys.path.pop(0)  # the folder of this file: its modules are no programs of their own
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from stncourse._own_path import without_working_folder  # the grader's own, before any other can be found

    sys.path[:] = without_working_folder(sys.path[1:])
    main(sys.argv[1:])
