"""Guesses that are said: one of a few answers, or a number."""

import math

from stncourse import _check

LARGEST = 1e300  #: a scale's end: from the one to the other must still be a number
_NEAR = 0.05  # of the whole scale: a number this near counts as right


class Choice:
    """One of a few answers."""

    kind = "choice"

    def __init__(self, choices):
        row = _check.as_row(choices)
        if row is None or not all(isinstance(choice, str) and choice.strip() for choice in row):
            raise TypeError(f"choices: expected a tuple of texts, got {_check.describe(choices)}")
        if len(row) < 2 or len(set(row)) < len(row):
            raise ValueError(f"choices: expected two or more, all different, got {_check.describe(choices)}")
        self.scene = {"choices": list(row)}

    def truth(self, value):
        """The value, which has to be one of the choices."""
        return _check.choice("truth", value, self.scene["choices"])

    def guess(self, value):
        """What the reader chose."""
        return _check.choice("committed", value, self.scene["choices"])

    def told(self, truth):
        """The truth as a JSON value."""
        return truth

    def right(self, guess, truth):
        """Whether it is the same."""
        return guess == truth


class Number:
    """A number on a scale from ``low`` to ``high``, given in ``unit``."""

    kind = "number"

    def __init__(self, low, high, unit):
        low, high = bounds(0 if low is None else low, 100 if high is None else high)
        self.scene = {"low": low, "high": high, "step": round_number((high - low) / 100), "unit": unit}

    def truth(self, value):
        """The value as a float within the scale."""
        return float(self._within("truth", value))

    def guess(self, value):
        """What the reader set."""
        return float(self._within("committed", value))

    def told(self, truth):
        """The truth as a JSON value."""
        return truth

    def right(self, guess, truth):
        """Whether it is near."""
        return abs(guess - truth) <= _NEAR * (self.scene["high"] - self.scene["low"])

    def _within(self, name, value):
        low, high = self.scene["low"], self.scene["high"]
        return _check.number(name, value, f"a number from {low:g} to {high:g}", lambda number: low <= number <= high)


def is_finite(value):
    """Whether a number can be drawn: not above 1e300."""
    return abs(value) <= LARGEST


def apart(low, high):
    """Whether ``high`` is so far above ``low`` that a hundred steps between them are different floats."""
    return high - low > max(1e-12 * max(abs(low), abs(high)), 1 / LARGEST)


def bounds(low, high):
    """``(low, high)`` as two floats, the second of them clearly larger."""
    low = float(_check.number("low", low, "a finite number, up to ±1e300", is_finite))
    expected = f"a finite number, up to ±1e300 and clearly above low, {low:g}"
    return low, float(_check.number("high", high, expected, lambda x: is_finite(x) and apart(low, x)))


def round_number(size):
    """1, 2 or 5 times a power of ten: the largest that is not above ``size`` (> 0)."""
    power = 10.0 ** math.floor(math.log10(size) + 1e-9)
    return max(factor for factor in (1, 2, 5) if factor * power <= size * (1 + 1e-9)) * power
