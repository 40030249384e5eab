"""A guess that is drawn: a curve."""

import math
from itertools import pairwise

import numpy as np

from stncourse import _check
from stncourse.exercises.guesses.asked import bounds, round_number

_MOST_POINTS = 13  #: that the reader draws
_NEAR = 0.1  # of the whole height, on average: a curve this near counts as right


class Curve:
    """A curve over ``xs``, to be drawn between ``low`` and ``high``."""

    kind = "curve"

    def __init__(self, xs, ys, low, high, labels):
        self._xs = _numbers("curve's xs", xs)
        if len(self._xs) < 2 or any(after <= before for before, after in pairwise(self._xs)):
            raise ValueError(f"curve: expected two or more xs, each above the one before, got {_check.describe(xs)}")
        names = _check.as_pair(labels)
        if names is None or not all(isinstance(name, str) and name.strip() for name in names):
            raise TypeError(f"labels: expected two texts, of x and of y, got {_check.describe(labels)}")
        low, high = bounds(*_round_bounds(ys, low, high))
        count = min(len(self._xs), _MOST_POINTS)
        points = np.interp(np.linspace(0, len(self._xs) - 1, count), range(len(self._xs)), self._xs).tolist()
        self.scene = {"xs": points, "low": low, "high": high, "labels": list(names)}

    def truth(self, value):
        """The ys, as floats, one for each x."""
        ys = _numbers("curve's ys", value)
        if len(ys) != len(self._xs):
            raise ValueError(f"curve's ys: expected {len(self._xs)}, one for each x, got {len(ys)}")
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
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name}: expected finite numbers, got {_check.describe(values)}")
    return [float(number) for number in numbers]


def _round_bounds(ys, low, high):
    """``(low, high)`` as they are given, else round numbers around the curve, with room above and below."""
    if low is not None and high is not None:
        return low, high
    if callable(ys):
        missing = "low" if low is None else "high"
        raise ValueError(f"{missing}: expected a number, since the curve is not computed before the guess, got None")
    ys = _numbers("curve's ys", ys)
    room = (max(ys) - min(ys)) or abs(ys[0]) or 1.0
    step = round_number(room / 2)
    around = (math.floor(min(ys) / step - 0.5) * step, math.ceil(max(ys) / step + 0.5) * step)
    return around[0] if low is None else low, around[1] if high is None else high
