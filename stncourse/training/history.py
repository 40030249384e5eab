"""The record of a run."""

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stncourse import _check
from stncourse._files import replacing


class Metrics(NamedTuple):
    """How a model does on a set of digits."""

    loss: float  #: mean negative log-likelihood
    accuracy: float  #: fraction right, 0 to 1


@dataclass
class History:
    """The record of a training run.

    Attributes:
        recipe: the :class:`Recipe` as a dict.
        epochs: one dict per epoch: ``epoch`` (from 1), ``train_loss`` (what was minimised: with dropout, augmentation
            and smoothed labels, if any), ``test_loss``, ``test_accuracy`` (with the default loss) and ``test_<name>``
            of each metric that ``fit`` was given (None without test digits), ``cpu_seconds`` and ``seconds`` of
            training alone.
        theta: snapshots of θ for the probe images: dicts ``{"step", "theta"}``, theta as nested lists ``(P, 2, 3)``;
            None for a transform that has no matrix.
        info: seed, hardware, versions, date and number of training digits; ``loss``, the name of the function, where it
            was not the default; ``notes``, a list of sentences, where the recipe asked for something that this model
            does not have, or layers stayed frozen.
    """

    recipe: dict
    epochs: list = field(default_factory=list)
    theta: list = field(default_factory=list)
    info: dict = field(default_factory=dict)

    def save(self, path):
        """Write as JSON, at once or not at all; NumPy's and torch's numbers as plain ones.

        Raises:
            TypeError: something in it is nothing that JSON can hold. OSError: it cannot be written; what was there
                before is still there.
        """
        text = json.dumps(asdict(self), indent=1, default=_plain) + "\n"
        with replacing(_check.path("path", path), text=True) as file:
            file.write(text)

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: no such file. ValueError: it is of another kind, or not whole.
        """
        path = _check.path("path", path)
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"path: expected a history's JSON, there is none at {path}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"path: expected a history's JSON, {path} is none, or not a whole one ({error})"
            ) from error

    @classmethod
    def of(cls, value):
        """The history that a dict is, as :meth:`save` writes it. TypeError, when it is none."""
        if not isinstance(value, dict):
            raise TypeError(f"expected a dict, got {_check.describe(value)}")
        history = cls(**value)
        for name, kind in {"recipe": dict, "epochs": list, "theta": list, "info": dict}.items():
            if not isinstance(getattr(history, name), kind):
                raise TypeError(f"{name}: expected a {kind.__name__}, got {_check.describe(getattr(history, name))}")
        for row in history.epochs + history.theta:
            if not isinstance(row, dict):
                raise TypeError(f"expected dicts in epochs and theta, got {_check.describe(row)}")
        return history

    def column(self, name):
        """One quantity over all epochs, as a list."""
        return [epoch[name] for epoch in self.epochs]


def _plain(value):
    """What JSON has no name for as plain numbers."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"history: expected what JSON can hold, got {_check.describe(value)} in it")


def load_recorded():
    """The recorded run of ``TUTORIAL_RECIPE`` on all of MNIST, made by ``make record-tutorial``.

    Returns:
        History

    >>> len(load_recorded().epochs)
    20
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "tutorial_20_epochs.json") as path:
        return History.load(path)


def line_of(row, epochs):
    """An epoch's row of the record as a line to print."""
    text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}   train loss {row['train_loss']:.4f}"
    for name in measured(row):
        shown = f"{row[name]:.2%}" if name == "test_accuracy" else f"{row[name]:.4f}"
        text += f"   {name.replace('test_', 'test ', 1)} {shown}"
    return text + f"   {row['seconds']:.1f} s"


def measured(row):
    """What of an epoch's row was measured on test digits: the names, ``test_loss`` first."""
    return [name for name, value in row.items() if name.startswith("test_") and value is not None]


def facts_of_run(seed, device, train):
    """What else is worth keeping of a run: the record's ``info``."""
    return {
        "seed": seed,
        "hardware": describe_hardware(device),
        "train_digits": len(train),
        "source": train.source,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": date.today().isoformat(),
    }


def describe_hardware(device="cpu"):
    """What computes there, in words: a processor and its number of threads, or the name of a GPU."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}"


def _processor():
    """The processor's name; Linux tells it only in /proc."""
    with_names = Path("/proc/cpuinfo")
    if with_names.exists():
        for line in with_names.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
