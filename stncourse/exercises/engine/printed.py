"""What an attempt prints, and nothing else that is printed meanwhile."""

import sys
import threading

PRINTED_AT_MOST = 2000


class Printed:
    """Takes what *one* thread prints; what others print goes where it always goes."""

    def __init__(self):
        self.thread = None
        self._pieces, self._room = [], 0

    def __enter__(self):
        self._before = sys.stdout, sys.stderr
        self._ours = _Fork(self, sys.stdout), _Fork(self, sys.stderr)
        sys.stdout, sys.stderr = self._ours
        return self

    def __exit__(self, *_):
        for name, ours, before in zip(("stdout", "stderr"), self._ours, self._before, strict=True):
            if getattr(sys, name) is ours:
                setattr(sys, name, before)

    def start(self):
        self._pieces, self._room = [], PRINTED_AT_MOST

    def take(self, text):
        self._pieces.append(text[: self._room])
        self._room -= len(self._pieces[-1])

    def text(self):
        return "".join(self._pieces)


class _Fork:
    def __init__(self, printed, real):
        self._printed, self._real = printed, real

    def write(self, text):
        if threading.get_ident() == self._printed.thread:
            self._printed.take(str(text))
            return len(text)
        return self._real.write(text)

    def __getattr__(self, name):
        return getattr(self._real, name)
