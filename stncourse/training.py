"""Training: recipes, fit, evaluate, and the record of a run."""

import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse.data import Batches, Digits, normalize
from stncourse.device import resolve_device

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "onecycle")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained.

    Attributes:
        name: for tables and plots.
        epochs, batch_size: as usual.
        optimizer: ``"sgd"`` or ``"adamw"`` (betas 0.9, 0.99).
        learning_rate: the peak for ``schedule="onecycle"``.
        localization_factor: the localization network learns at this fraction of ``learning_rate``.
        weight_decay: as usual.
        schedule: ``"constant"``, or ``"onecycle"``: up for the first quarter, then down to a thousandth.
        dropout: set in every dropout layer; None leaves the model's own.

    Raises:
        TypeError, ValueError: a value is not of the kind above.

    >>> TUTORIAL_RECIPE.but(epochs=1).epochs
    1
    """

    name: str
    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    localization_factor: float = 1.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    dropout: float | None = None

    def __post_init__(self):
        _check.positive_int("epochs", self.epochs)
        _check.positive_int("batch_size", self.batch_size)
        _check.choice("optimizer", self.optimizer, OPTIMIZERS)
        _check.choice("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "localization_factor", "weight_decay"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected a number >= 0, got {_check.describe(value)}")
        if self.dropout is not None and not (isinstance(self.dropout, (int, float)) and 0 <= self.dropout <= 1):
            raise ValueError(f"dropout: expected a probability or None, got {_check.describe(self.dropout)}")

    def but(self, **changes):
        """The same recipe with some values changed."""
        return replace(self, **changes)


#: The classic tutorial's: plain SGD, 20 epochs, near 98.7 % at the end.
TUTORIAL_RECIPE = Recipe("tutorial")
#: One epoch, about the tutorial's accuracy: a one-cycle AdamW without dropout, and a calmer localization network.
FAST_RECIPE = Recipe(
    "fast",
    epochs=1,
    batch_size=128,
    optimizer="adamw",
    learning_rate=0.01,
    localization_factor=0.1,
    weight_decay=0.01,
    schedule="onecycle",
    dropout=0.0,
)


class Metrics(NamedTuple):
    """How a model does on a set of digits."""

    loss: float  #: mean negative log-likelihood
    accuracy: float  #: fraction right, 0 to 1


@dataclass
class History:
    """The record of a training run.

    Attributes:
        recipe: the :class:`Recipe` as a dict.
        epochs: one dict per epoch: ``epoch`` (from 1), ``train_loss``, ``test_loss``, ``test_accuracy`` (None without
            test digits), ``cpu_seconds`` and ``seconds`` of training alone.
        theta: snapshots of θ for the probe images: dicts ``{"step", "theta"}``, theta as nested lists ``(P, 2, 3)``.
        info: seed, hardware, versions, date and number of training digits.
    """

    recipe: dict
    epochs: list = field(default_factory=list)
    theta: list = field(default_factory=list)
    info: dict = field(default_factory=dict)

    def save(self, path):
        """Write as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def column(self, name):
        """One quantity over all epochs, as a list."""
        return [epoch[name] for epoch in self.epochs]


def load_recorded():
    """The recorded run of ``TUTORIAL_RECIPE`` on all of MNIST, made by ``make record-tutorial``.

    Returns:
        History

    >>> len(load_recorded().epochs)
    20
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "tutorial_20_epochs.json") as path:
        return History.load(path)


def evaluate(model, digits, device="auto", batch_size=1000):
    """Loss and accuracy of ``model`` on ``digits``, in eval mode (the mode is put back afterwards).

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``.
        digits: :class:`stncourse.Digits`.
        device: the model is moved there, as by ``model.to``.
        batch_size: how many at a time.

    Returns:
        :class:`Metrics` ``(loss, accuracy)``.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or there are no digits.

    >>> metrics = evaluate(DigitCNN(), load_digits("test", source="offline"), device="cpu")
    >>> 0 <= metrics.accuracy <= 1
    True
    """
    _check_model(model)
    device = resolve_device(device)
    batches = Batches(digits, batch_size, device=device)
    if not len(digits):
        raise ValueError("digits: expected at least one digit to evaluate on, got none")
    was_training = model.training
    model.to(device).eval()
    loss = correct = 0.0
    try:
        with torch.no_grad():
            for images, labels in batches:
                log_probabilities = model(images)
                loss += F.nll_loss(log_probabilities, labels, reduction="sum").item()
                correct += (log_probabilities.argmax(1) == labels).sum().item()
    finally:
        model.train(was_training)
    return Metrics(loss / len(digits), correct / len(digits))


def fit(
    model,
    train,
    test=None,
    recipe=TUTORIAL_RECIPE,
    device="auto",
    *,
    seed=0,
    transform=None,
    probe=None,
    probe_every=50,
    verbose=True,
):
    """Train ``model`` on ``train`` by ``recipe``, with a progress bar and a line per epoch.

    Args:
        model: normalised images -> log-probabilities. Trained in place, and left in eval mode.
        train: :class:`stncourse.Digits` to learn from.
        test: Digits to measure on after every epoch, or None.
        recipe: a :class:`Recipe`.
        device: as in :func:`stncourse.device.resolve_device`.
        seed: for the order of the batches, ``transform`` and dropout. The model's weights are drawn when *you* make it:
            ``torch.manual_seed`` before that.
        transform: as for :class:`stncourse.Batches`: augmentation, on images in [0, 1].
        probe: raw uint8 images ``(P, C, H, W)`` whose θ is recorded; the model needs an ``stn``.
        probe_every: steps between two records of θ.
        verbose: progress bar and lines.

    Returns:
        :class:`History`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.
        FloatingPointError: the loss became NaN or infinite; the message says when, and what to try.

    >>> digits = load_digits("train", source="offline").subset(slice(256))
    >>> history = fit(STNClassifier(), digits, recipe=FAST_RECIPE, device="cpu", verbose=False)
    >>> history.column("epoch")
    [1]
    """
    _check_model(model)
    for name, value in ({"train": train} | ({"test": test} if test is not None else {})).items():
        if not isinstance(value, Digits) or not len(value):
            raise TypeError(f"{name}: expected Digits, at least one, got {_check.describe(value)}")
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe: expected a Recipe, got {_check.describe(recipe)}")
    _check.positive_int("probe_every", probe_every)
    if probe is not None:
        _check.tensor("probe", probe, "P C H W", floating=False)
        if not hasattr(model, "stn"):
            raise ValueError("probe: expected a model with an `stn`, whose θ can be recorded, got a model without")
    device = resolve_device(device)
    model.to(device)
    if recipe.dropout is not None:
        for module in model.modules():
            if isinstance(module, (nn.Dropout, nn.Dropout2d)):
                module.p = recipe.dropout
    batches = Batches(train, recipe.batch_size, shuffle=True, seed=seed, device=device, transform=transform)
    optimizer = _optimizer(model, recipe)
    scheduler = _scheduler(optimizer, recipe, len(batches))
    history = History(asdict(recipe), info=_info(seed, device, train))
    record = _theta_recorder(model, probe, device, history)
    torch.manual_seed(seed)  # dropout
    record(0)
    for epoch in range(1, recipe.epochs + 1):
        clock, cpu_clock = time.perf_counter(), time.process_time()
        model.train()
        total, step = 0.0, (epoch - 1) * len(batches)
        for images, labels in _progress(batches, f"epoch {epoch}/{recipe.epochs}", verbose):
            optimizer.zero_grad()
            loss = F.nll_loss(model(images), labels)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss became {value} in epoch {epoch}, step {step + 1}: try a learning rate below "
                    f"{recipe.learning_rate}, or a localization_factor below {recipe.localization_factor}"
                )
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += value * len(labels)
            step += 1
            if step % probe_every == 0 or step == recipe.epochs * len(batches):
                record(step)
        row = {"epoch": epoch, "train_loss": total / len(train)}
        row |= {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu_clock}
        metrics = Metrics(None, None) if test is None else evaluate(model, test, device)
        row |= {"test_loss": metrics.loss, "test_accuracy": metrics.accuracy}
        history.epochs.append(row)
        if verbose:
            print(_line(row, recipe.epochs))
    model.eval()
    return history


def _check_model(model):
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {_check.describe(model)}")


def _optimizer(model, recipe):
    localization = [p for name, p in model.named_parameters() if name.startswith("stn.localization.")]
    chosen = {id(p) for p in localization}
    groups = [{"params": [p for p in model.parameters() if id(p) not in chosen], "lr": recipe.learning_rate}]
    if localization:
        groups.append({"params": localization, "lr": recipe.learning_rate * recipe.localization_factor})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
    )


def _scheduler(optimizer, recipe, steps_per_epoch):
    """A factor on every group's learning rate for each step."""
    total = recipe.epochs * steps_per_epoch

    def onecycle(step):
        """Cosine from 1/10 up to 1 in the first quarter, then cosine down to 1/1000."""
        warm_up = max(1, 0.25 * total)
        if step < warm_up:
            return _cosine(0.1, 1.0, step / warm_up)
        return _cosine(1.0, 0.001, min(1.0, (step - warm_up) / max(1, total - warm_up)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, onecycle if recipe.schedule == "onecycle" else lambda step: 1.0)


def _cosine(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _theta_recorder(model, probe, device, history):
    if probe is None:
        return lambda step: None
    images = normalize(probe).to(device)

    def record(step):
        was_training = model.training
        model.eval()
        with torch.no_grad():
            theta = model.stn.transform(images).theta
        model.train(was_training)
        history.theta.append({"step": step, "theta": [[[round(v, 5) for v in r] for r in t] for t in theta.tolist()]})

    return record


def _progress(batches, description, verbose):
    if not verbose:
        return batches
    from tqdm.auto import tqdm

    return tqdm(batches, desc=description, leave=False)


def _line(row, epochs):
    text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}   train loss {row['train_loss']:.4f}"
    if row["test_accuracy"] is not None:
        text += f"   test loss {row['test_loss']:.4f}   test accuracy {row['test_accuracy']:.2%}"
    return text + f"   {row['seconds']:.1f} s"


def _info(seed, device, train):
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    threads = torch.get_num_threads()
    return {
        "seed": seed,
        "hardware": f"{hardware}, {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else hardware,
        "train_digits": len(train),
        "source": train.source,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": date.today().isoformat(),
    }


def _processor():
    """The processor's name; Linux tells it only in /proc."""
    with_names = Path("/proc/cpuinfo")
    if with_names.exists():
        for line in with_names.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
