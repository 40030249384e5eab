"""θ alone, pulled downhill: gradient descent on six numbers, with the network frozen. No widget in here.

The browser does the same for the tutorial's network: ``descent.js``.
"""

import math
from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.device import one_thread
from stncourse.playground.opponent import own_copy, size_for_classifier
from stncourse.playground.parameters import six_numbers
from stncourse.transformer.grids import affine_grid

STEP_SIZE = 0.002  #: as in notebook 05
SURE = 0.99  #: the probability at which a descent has arrived
GOOD = 0.9  #: the least at which one that gets no further counts as a success
PATIENCE = 60  #: steps after which a descent that gets no further is stuck
_FURTHER = 0.99  #: of the best loss before: what a descent that gets further is below
_NOTHING = 1e-9  #: black less black, as it is rounded


class Slopes(NamedTuple):
    """The loss, minus the logarithm of the target's probability, and its slopes: float64 tensors."""

    loss: torch.Tensor  #: ()
    by_theta: torch.Tensor  #: (2, 3)
    by_place: torch.Tensor  #: (H_out, W_out, 2): by the place (x, y) on the input's ruler where each pixel looks


class Pulled(NamedTuple):
    """A descent: float64 tensors. The first entry is the start, and then there is one for each step."""

    theta: torch.Tensor  #: (steps + 1, 2, 3)
    loss: torch.Tensor  #: (steps + 1,)
    probability: torch.Tensor  #: (steps + 1,), of the target


def slopes(model, digits, image, theta, target):
    """The slopes of a classifier's loss: by θ's six numbers, and by each place where an output pixel looks.

    Every place hangs on the one frame. So the slopes by the places add up to those by θ:
    ∂loss/∂θ = Σ ∂loss/∂place · (x, y, 1), with (x, y) where the output pixel lies on the output. At a kink, where a
    place lies on a pixel's centre, there is no one slope: it is that of one side, and rounding may decide which.

    Args:
        model: a trained :class:`stncourse.STNClassifier`, or ``"pretrained"``. Only sampler and classifier work.
        digits: :class:`stncourse.Digits` whose numbers normalise the image.
        image: ``(1, 1, H, W)`` raw uint8.
        theta: six numbers, row by row; or a ``(2, 3)`` or ``(1, 2, 3)`` tensor. It maps output → input.
        target: the class that the loss asks for. It need not be the true one.

    Returns:
        :class:`Slopes`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> from stncourse import load_digits
    >>> black = torch.zeros(1, 1, 42, 42, dtype=torch.uint8)
    >>> slopes("pretrained", load_digits("test", source="offline"), black, (1, 0, 0, 0, 1, 0), target=7).by_theta
    tensor([[0., 0., 0.],
            [0., 0., 0.]], dtype=torch.float64)
    """
    return Descent(model, digits, image, theta, target).slopes


def pull(model, digits, image, theta, target, step_size=STEP_SIZE, steps=400):
    """Gradient descent on θ alone, the network frozen: θ ← θ − step_size · ∂loss/∂θ.

    Args:
        model, digits, image, theta, target: as for :func:`slopes`.
        step_size: how much of the slope makes a step.
        steps: how many of them.

    Returns:
        :class:`Pulled`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> from stncourse import distort, load_digits
    >>> digits = load_digits("test", source="offline")
    >>> seven = distort(digits.images, "RTS", torch.Generator().manual_seed(3)).images[8:9]  # of notebook 05
    >>> record = pull("pretrained", digits, seven, (2 / 3, 0, 0, 0, 2 / 3, 0), target=7, steps=100)
    >>> bool(record.probability[0] < 0.1), bool(record.probability[-1] > 0.9)
    (True, True)
    """
    descent = Descent(model, digits, image, theta, target)
    step_size = _check.number("step_size", step_size, "a number > 0", lambda number: 0 < number < math.inf)
    for _ in range(_check.positive_int("steps", steps)):
        descent.step(step_size)
    losses = torch.tensor(descent.losses, dtype=torch.float64, device="cpu")
    return Pulled(torch.stack(descent.path), losses, (-losses).exp())


class Descent:
    """A descent under way. Arguments as for :func:`slopes`.

    Attributes:
        slopes: where it is now.
        path: list of θ, ``(2, 3)`` float64: where it was, and where it is. losses: list of numbers, likewise.
    """

    def __init__(self, model, digits, image, theta, target):
        if not isinstance(digits, Digits):
            raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
        _check.tensor("image", image, "1 1 H W", floating=False)
        if image.dtype != torch.uint8:
            raise TypeError(f"image: expected raw uint8, got {_check.describe(image)}")
        if model is None:
            raise TypeError("model: expected an STNClassifier or 'pretrained', got None")
        # float64, as the browser counts: at a kink a hair's breadth decides which way a descent goes.
        self._model = own_copy(model).double().requires_grad_(False)
        self._size = size_for_classifier(self._model, digits)
        self._target = _check.positive_int("target", target, minimum=0)
        theta = torch.tensor(six_numbers(theta), dtype=torch.float64, device="cpu").reshape(2, 3)
        with torch.device("cpu"):
            self._image = digits.normalize(image.cpu().double() / 255)
        self.path, self.losses = [], []
        self._arrive(theta)

    @property
    def probability(self):
        """Of the target, 0 to 1."""
        return math.exp(-self.losses[-1])

    def step(self, step_size=STEP_SIZE):
        """Go one step down the slope."""
        self._arrive(self.path[-1] - step_size * self.slopes.by_theta)

    def end(self):
        """Why it makes no sense to go on: see :func:`end_of`."""
        return end_of(self.losses, self.slopes.by_theta.abs().max().item(), self._contrast)

    def _arrive(self, theta):
        matrix = theta[None].clone().requires_grad_(True)
        sampler = self._model.stn.sampler
        with torch.device("cpu"), torch.enable_grad(), one_thread():
            grid = affine_grid(matrix, self._size, sampler.align_corners)
            seen = sampler(self._image, grid)
            answers = self._model.classifier(seen)[0]
            if self._target >= len(answers):
                raise ValueError(
                    f"target: expected a class of the model's, 0 to {len(answers) - 1}, got {self._target}"
                )
            loss = -answers[self._target]
            by_theta, by_place = torch.autograd.grad(loss, (matrix, grid), materialize_grads=True)
        self.slopes = Slopes(loss.detach(), by_theta[0], by_place[0])
        self._contrast = (seen.max() - seen.min()).item()
        self.path.append(theta)
        self.losses.append(loss.item())


def end_of(losses, steepest, contrast):
    """Why it makes no sense to go on with a descent.

    Args:
        losses: list of numbers, from the start on.
        steepest: the largest of the six slopes, without its sign.
        contrast: of what the frame sees, from its darkest to its brightest.

    Returns:
        ``"arrived"``, ``"black"`` (the frame sees nothing else), ``"flat"``, ``"bottom"``, ``"stuck"``; or None.

    >>> end_of([0.7, 0.3, 0.005], 0.1, 1.0), end_of([2.9], 0.0, 0.0), end_of([2.9], 0.3, 1.0)
    ('arrived', 'black', None)
    """
    if losses[-1] <= -math.log(SURE):
        return "arrived"
    if steepest < _NOTHING:
        return "black" if contrast < _NOTHING else "flat"
    before, recent = losses[:-PATIENCE], losses[-PATIENCE:]
    if not before or min(recent) < _FURTHER * min(before):
        return None
    return "bottom" if losses[-1] <= -math.log(GOOD) else "stuck"
