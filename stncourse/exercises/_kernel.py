"""The kernel in which a student's notebook is graded: ipykernel under a memory limit.

Started as ``python _kernel.py BYTES -f CONNECTION_FILE``, by its path, so that a file called stncourse.py beside the
student's notebook is not taken for the package.
"""

import contextlib
import sys


def limit_memory(size):
    """Limit this process to ``size`` bytes of data where the system can: not on Windows, and macOS ignores it."""
    try:
        import resource
    except ImportError:
        return
    # RLIMIT_DATA counts what is really asked for. Address space would count what torch merely reserves, too.
    limit = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(limit, (size, size))


if __name__ == "__main__":
    limit_memory(int(sys.argv.pop(1)))
    sys.path.pop(0)  # the folder of this file: its modules are no programs of their own
    import stncourse.exercises._observe  # noqa: F401  (before a notebook can put another stncourse in its place)

    sys.path.insert(0, "")  # as a kernel has it: modules beside the notebook
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
