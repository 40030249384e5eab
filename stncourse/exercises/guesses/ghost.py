"""A guess that is dragged: where in the output a digit will come out."""

import math

import torch

from stncourse import _check
from stncourse.figures.shown import as_tensor

MOVES = ("shift", "turn", "zoom")
_NEAR = {"shift": 0.2, "turn": 15.0, "zoom": 1.25}  # a tenth of the image, degrees, a factor
_LARGEST = 1e6  # number in θ: the page can undo it
_LIMITS = {"x": (-1, 1), "y": (-1, 1), "turn": (-180, 180), "zoom": (0.25, 4)}


class Ghost:
    """A digit, to be moved over an empty output."""

    kind = "digit"

    def __init__(self, digit, moves):
        named = _check.as_row(moves)
        if named is None or not named:
            raise TypeError(f"moves: expected a tuple of names out of {MOVES}, got {_check.describe(moves)}")
        for move in named:
            _check.choice("moves", move, MOVES)
        pixels = _pixels(digit)
        height, width = pixels.shape
        self.scene = {"height": height, "width": width, "pixels": pixels.flatten().tolist(), "moves": list(named)}

    def truth(self, value):
        """θ, as six floats, row by row."""
        expected = "theta: expected six numbers or a (2, 3) tensor"
        tensor = as_tensor("theta", value)
        if isinstance(tensor, torch.Tensor):
            if tuple(tensor.shape) not in ((6,), (2, 3), (1, 2, 3)):
                raise ValueError(f"{expected}, got {_check.describe(value)}")
            if tensor.is_complex() or tensor.dtype == torch.bool:
                raise TypeError(f"{expected}, got {_check.describe(value)}")
            row = _in_memory("theta", tensor).double().flatten().tolist()
        else:
            row = _check.as_row(value)
            row = None if row is None else [_check.as_real(number) for number in row]
            if row is None or None in row:
                raise TypeError(f"{expected}, got {_check.describe(value)}")
            if len(row) != 6:
                raise ValueError(f"{expected}, got {_check.describe(value)}")
        if not all(abs(number) <= _LARGEST for number in row) or _is_singular(row):
            raise ValueError(f"theta: expected finite numbers, up to ±1e6, and an inverse, got {_check.describe(row)}")
        return tuple(map(float, row))

    def guess(self, value):
        """Where the reader put the ghost: a dict of x, y, turn (degrees, clockwise) and zoom."""
        if not isinstance(value, dict) or set(value) != set(_LIMITS):
            raise ValueError(f"committed: expected a dict of {', '.join(_LIMITS)}, got {_check.describe(value)}")
        for key, (low, high) in _LIMITS.items():
            number = _check.as_real(value[key])
            if number is None or not low <= number <= high:
                got = _check.describe(value[key])
                raise ValueError(f"committed: expected {key} from {low:g} to {high:g}, got {got}")
        return {key: float(value[key]) for key in _LIMITS}

    def told(self, truth):
        """θ as a JSON value."""
        return list(truth)

    def right(self, guess, truth):
        """Whether the ghost is near to where the digit's middle comes out, in each of the moves that were asked for."""
        true = _pose(truth)
        turned = abs((guess["turn"] - true["turn"] + 180) % 360 - 180)
        near = {
            "shift": math.hypot(guess["x"] - true["x"], guess["y"] - true["y"]) <= _NEAR["shift"],
            "turn": turned <= _NEAR["turn"],
            "zoom": abs(math.log(guess["zoom"] / true["zoom"])) <= math.log(_NEAR["zoom"]),
        }
        return all(near[move] for move in self.scene["moves"])


def _pixels(digit):
    """A digit as ``(H, W)`` raw uint8."""
    image = as_tensor("digit", digit)
    if not isinstance(image, torch.Tensor) or image.dtype != torch.uint8:
        raise TypeError(f"digit: expected an image of raw uint8, got {_check.describe(digit)}")
    image = _in_memory("digit", image)
    while image.ndim > 2 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(f"digit: expected one grey image, (H, W) or (1, H, W), got {_check.describe(digit)}")
    return image


def _in_memory(name, tensor):
    """A tensor's numbers on the CPU, if it has any."""
    if tensor.is_meta or tensor.layout != torch.strided:
        what = f"{_check.describe(tensor)}, {tensor.layout}, on {tensor.device}"
        raise ValueError(f"{name}: expected numbers in memory, got {what}")
    return tensor.detach().cpu()


def _is_singular(theta):
    """As ``invert`` of ``pose.js``, number for number: what this lets pass, the page has to show."""
    a, b, _, c, d, _ = theta
    return abs(a * d - b * c) < 1e-9 + 2e-7 * (abs(a * d) + abs(b * c))


def _pose(theta):
    """What θ (output → input) does to the digit: the inverse, as x, y, turn and zoom."""
    a, b, tx, c, d, ty = theta
    determinant = a * d - b * c
    x, y = (b * ty - d * tx) / determinant, (c * tx - a * ty) / determinant
    turn = math.degrees(math.atan2(-c / determinant, d / determinant))
    return {"x": x, "y": y, "turn": turn, "zoom": abs(determinant) ** -0.5}
