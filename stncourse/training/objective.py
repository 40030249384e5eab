"""What a training minimises, and what is measured: the classes' log-likelihood and accuracy, or functions of one's own.

An objective says what it asks of a model's output (``check``), the loss of a batch (``mean``, ``sum``), and sums over
test images (``measure``), whose names are ``names``.
"""

import torch
import torch.nn.functional as F

from stncourse import _check
from stncourse._precision import at_least_float32
from stncourse.training import contract


def objective_for(loss, metrics, labels, label_smoothing=0.0):
    """The objective that ``fit`` and ``evaluate`` are asked for.

    Args:
        loss, metrics: as for :func:`stncourse.fit`.
        labels: dict, the name of an argument -> the labels it brings. The default loss wants classes.
        label_smoothing: the recipe's.

    Raises:
        TypeError, ValueError: an argument is not of the kind that ``fit`` describes.
    """
    metrics = _checked_metrics(metrics)
    if loss is None:
        for name, given in labels.items():
            contract.check_labels(name, given)
        largest = {name: int(given.max()) for name, given in labels.items()}
        return LogLikelihood(metrics, largest, label_smoothing)
    if not callable(loss) or isinstance(loss, type):
        raise TypeError(f"loss: expected a function (output, labels) -> scalar tensor, got {_check.describe(loss)}")
    if label_smoothing:
        raise ValueError(
            f"loss: expected None with a recipe whose label_smoothing is {label_smoothing:g}, as that is part of the "
            "default loss; recipe.but(label_smoothing=0) goes with a loss of your own"
        )
    return OwnLoss(metrics, loss)


class Objective:
    """What all objectives have in common: the metrics, one number for each image."""

    def __init__(self, metrics):
        self.metrics = metrics
        self.is_default = False  # whether it is what fit minimises and measures when it is asked for nothing else
        self.loss_name = None  # of a loss of one's own

    @property
    def names(self):
        """What ``measure`` measures."""
        return ("loss", *self.metrics)

    def measure(self, output, labels):
        """Sums over these images, by name, as Python's numbers: of the loss without smoothing, and of each metric."""
        return {"loss": self.sum_without_smoothing(output, labels)} | {
            name: _sum_of(name, metric(output, labels), len(labels)) for name, metric in self.metrics.items()
        }


class LogLikelihood(Objective):
    """The default: log-probabilities of classes and their negative log-likelihood; accuracy is among the metrics."""

    def __init__(self, metrics, largest, label_smoothing):
        if "accuracy" in metrics:
            raise ValueError("metrics: expected names other than 'accuracy', which goes with the default loss")
        super().__init__({"accuracy": right} | metrics)
        self.is_default = not metrics
        self.largest = largest  # dict, the name of a set of digits -> the largest label in it
        self.label_smoothing = label_smoothing

    def check(self, output, count):
        contract.check_log_probabilities(output, count, self.largest)

    def mean(self, output, labels):
        return self._loss(output, labels, "mean")

    def sum(self, output, labels):
        return self._loss(output, labels, "sum")

    def sum_without_smoothing(self, output, labels):
        return F.nll_loss(output, labels, reduction="sum").item()

    def _loss(self, log_probabilities, labels, reduction):
        if not self.label_smoothing:
            return F.nll_loss(log_probabilities, labels, reduction=reduction)
        # It asks for scores; log-probabilities are such, and their own log-softmax.
        return F.cross_entropy(log_probabilities, labels, label_smoothing=self.label_smoothing, reduction=reduction)


class OwnLoss(Objective):
    """A loss that the user wrote: nothing is asked of output and labels but that it takes them."""

    def __init__(self, metrics, loss):
        super().__init__(metrics)
        self.function = loss
        self.loss_name = name_of(loss)

    def check(self, output, count):
        contract.check_tensors(output, count)

    def mean(self, output, labels):
        value = self.function(output, labels)
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            raise TypeError(
                f"loss: expected a scalar tensor from it, the mean over the batch, got {_check.describe(value)}"
            )
        if value.ndim:
            raise ValueError(
                f"loss: expected a scalar tensor from it, the mean over the batch, got {_check.describe(value)}: "
                "is a .mean() missing?"
            )
        return value

    def sum(self, output, labels):
        return self.mean(output, labels) * len(labels)

    def sum_without_smoothing(self, output, labels):
        return self.mean(output, labels).item() * len(labels)


def right(log_probabilities, labels):
    """Whether each image's likeliest class is its label: the default metric."""
    return log_probabilities.argmax(1) == labels


def float32_at_least(output):
    """A model's output, a tensor or a tuple of them, without half precision."""
    return on_parts(at_least_float32, output)


def on_parts(function, output):
    """``function`` of a model's output, or of each tensor in it where it is a tuple, which stays one, named or not."""
    if isinstance(output, torch.Tensor):
        return function(output)
    parts = [function(part) for part in output]
    return output._make(parts) if hasattr(output, "_make") else tuple(parts)


def name_of(function):
    """What a function is called: to be told in a history, and from another one in a checkpoint."""
    return getattr(function, "__qualname__", type(function).__qualname__)


def _checked_metrics(metrics):
    if metrics is None:
        return {}
    if not isinstance(metrics, dict):
        raise TypeError(f"metrics: expected a dict, name -> function, got {_check.describe(metrics)}")
    for name, function in metrics.items():
        if not isinstance(name, str) or not callable(function):
            got = f"{_check.describe(name)}: {_check.describe(function)}"
            raise TypeError(f"metrics: expected a dict, name -> function (output, labels) -> (N,) tensor, got {got}")
        if name in ("", "loss"):
            raise ValueError(f"metrics: expected names other than {name!r}")
    return dict(metrics)


def _sum_of(name, values, count):
    """The sum of a metric's numbers, in float64: whole numbers add up exactly."""
    expected = f"metrics: expected {name!r} to return one number per image, a tensor of shape ({count},)"
    if not isinstance(values, torch.Tensor):
        raise TypeError(f"{expected}, got {_check.describe(values)}")
    if values.shape != (count,) or values.is_complex():
        raise ValueError(f"{expected}, got {_check.describe(values)}")
    return values.detach().cpu().double().sum().item()
