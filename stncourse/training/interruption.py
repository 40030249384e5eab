"""Ctrl-C that waits for the end of a step."""

import signal
import threading


class Interruption:
    """While it lasts, Ctrl-C only sets ``asked``, so that a step is not cut in two; a second one interrupts at once."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        # Python delivers Ctrl-C to the main thread, and lets no other one handle it.
        self.in_charge = threading.current_thread() is threading.main_thread()
        if self.in_charge:
            self.before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_):
        if self.in_charge:
            signal.signal(signal.SIGINT, self.before)

    def _on_signal(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
