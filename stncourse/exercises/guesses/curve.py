"""A guess that is drawn: a curve."""

import math
from itertools import pairwise

import numpy as np

from stncourse import _check
from stncourse.exercises.guesses.asked import LARGEST, apart, bounds, is_finite, round_number

_MOST_POINTS = 13  #: that the reader draws
_NEAR = 0.1  # of the whole height, on average: a curve this near counts as right


class Curve:
    """A curve over ``xs``, to be drawn between ``low`` and ``high``."""

    kind = "curve"

    def __init__(self, xs, ys, low, high, labels):
        self._xs = _numbers("curve's xs", xs)
        rise = all(before < after for before, after in pairwise(self._xs))
        if len(self._xs) < 2 or not rise or not apart(self._xs[0], self._xs[-1]):
            raise ValueError(f"curve: expected two or more xs, each above the one before, got {_check.describe(xs)}")
        names = _check.as_pair(labels)
        if names is None or not all(isinstance(name, str) and name.strip() for name in names):
            raise TypeError(f"labels: expected two texts, of x and of y, got {_check.describe(labels)}")
        low, high = bounds(*_round_bounds(ys, low, high))
        count = min(len(self._xs), _MOST_POINTS)
        points = np.interp(np.linspace(0, len(self._xs) - 1, count), range(len(self._xs)), self._xs).tolist()
        self.scene = {"xs": points, "low": low, "high": high, "labels": list(names)}

    def truth(self, value):
        """The ys, as floats from ``low`` to ``high``, one for each x."""
        ys = _numbers("curve's ys", value)
        if len(ys) != len(self._xs):
            raise ValueError(f"curve's ys: expected {len(self._xs)}, one for each x, got {len(ys)}")
        low, high = self.scene["low"], self.scene["high"]
        beyond = [y for y in ys if not low <= y <= high]
        if beyond:
            raise ValueError(f"curve's ys: expected numbers from low, {low:g}, to high, {high:g}, got {beyond[0]:g}")
        return tuple(ys)

    def guess(self, value):
        """The ys that the reader drew, one for each of the scene's ``xs``."""
        ys = _numbers("committed", value)
        low, high = self.scene["low"], self.scene["high"]
        if len(ys) != len(self.scene["xs"]) or not all(low <= y <= high for y in ys):
            expected = f"{len(self.scene['xs'])} numbers from {low:g} to {high:g}"
            raise ValueError(f"committed: expected {expected}, got {_check.describe(value)}")
        return ys

    def told(self, truth):
        """The curve as a JSON value: ``[xs, ys]``."""
        return [self._xs, list(truth)]

    def right(self, guess, truth):
        """Whether it is near, on average."""
        true = np.interp(self.scene["xs"], self._xs, truth)
        return float(np.abs(true - guess).mean()) <= _NEAR * (self.scene["high"] - self.scene["low"])


def _numbers(name, values):
    row = _check.as_row(values)
    numbers = None if row is None else [_check.as_real(value) for value in row]
    if numbers is None or None in numbers:
        raise TypeError(f"{name}: expected a row of numbers, got {_check.describe(values)}")
    if not all(map(is_finite, numbers)):
        raise ValueError(f"{name}: expected finite numbers, up to ±1e300, got {_check.describe(values)}")
    return [float(number) for number in numbers]


def _round_bounds(ys, low, high):
    """``(low, high)`` as they are given, else round numbers around the curve, with room above and below."""
    if callable(ys):
        for name, end in (("low", low), ("high", high)):
            if end is None:
                expected = "a number, since the curve is not computed before the guess"
                raise ValueError(f"{name}: expected {expected}, got None")
        return low, high
    ys = _numbers("curve's ys", ys)
    least, most = min(ys), max(ys)
    if low is not None:
        _check.number("low", low, f"a number not above the curve, whose least y is {least:g}", lambda x: x <= least)
    if high is not None:
        _check.number("high", high, f"a number not below the curve, whose largest y is {most:g}", lambda x: x >= most)
    step = round_number(_room(least, most) / 2)
    if low is None:
        low = max(math.floor(least / step - 0.5) * step, -LARGEST)
    if high is None:
        high = min(math.ceil(most / step + 0.5) * step, LARGEST)
    return low, high


def _room(least, most):
    """The height of a curve; of a flat one, how far it is from 0, so that it has room above and below."""
    far = max(abs(least), abs(most))
    return next((size for size in (most - least, far) if size > max(1e-9 * far, 1e-290)), 1.0)
