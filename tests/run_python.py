"""Python in a process of its own: for what an import changes, for signals, and for the commands as users type them."""

import subprocess
import sys


def run_python(*arguments, timeout=600, **options):
    """What it prints; it has to end well. ``options``: as for ``subprocess.run``."""
    command = [sys.executable, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
    assert run.returncode == 0, (run.stdout + run.stderr)[-5000:]
    return run.stdout
