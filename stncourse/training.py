"""Training: recipes, fit, evaluate, and the record of a run."""

import functools
import hashlib
import json
import math
import platform
import signal
import threading
import time
import warnings
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check, distributed
from stncourse.augmentation import MAXIMUM_STRENGTH, augment
from stncourse.checkpoints import CheckpointError, check_writable, pack, read_tensors, save_tensors, unpack
from stncourse.data import Batches, Digits
from stncourse.device import keep_freed_memory, resolve_device

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
        localization_until: it learns in this first part of the training, 0 to 1; then it is frozen, and a step costs
            less, as no gradient goes back to θ.
        weight_decay: as usual.
        schedule: ``"constant"``, or ``"onecycle"``: from a tenth up to the peak, then down to a thousandth.
        warm_up: for ``"onecycle"``, the part of the training that goes up.
        augment: strength of :func:`stncourse.augment` on the training digits; 0 for none.
        dropout: set in every dropout layer; None leaves the model's own.
        label_smoothing: this part of each label is shared out among all classes, so that the network is not rewarded
            for being surer than it should be (``torch.nn.functional.cross_entropy``'s; Szegedy et al. 2016, section 7).

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
    warm_up: float = 0.25
    augment: float = 0.0
    localization_until: float = 1.0
    label_smoothing: float = 0.0

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
        for name in ("warm_up", "label_smoothing"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ValueError(f"{name}: expected a fraction, from 0 to below 1, got {_check.describe(value)}")
        if not isinstance(self.localization_until, (int, float)) or not 0 <= self.localization_until <= 1:
            raise ValueError(
                f"localization_until: expected a fraction, from 0 to 1, got {_check.describe(self.localization_until)}"
            )
        if not isinstance(self.augment, (int, float)) or not 0 <= self.augment <= MAXIMUM_STRENGTH:
            raise ValueError(
                f"augment: expected a strength from 0 to {MAXIMUM_STRENGTH}, got {_check.describe(self.augment)}"
            )

    def but(self, **changes):
        """The same recipe with some values changed."""
        return replace(self, **changes)


#: The classic tutorial's: plain SGD, 20 epochs, near 98.7 % at the end.
TUTORIAL_RECIPE = Recipe("tutorial")
#: One epoch, better than the tutorial's 20: a one-cycle AdamW without dropout, and a localization network that learns
#: more calmly, and only in the first half.
FAST_RECIPE = Recipe(
    "fast",
    epochs=1,
    batch_size=64,
    optimizer="adamw",
    learning_rate=0.01,
    localization_factor=0.1,
    weight_decay=0.01,
    schedule="onecycle",
    dropout=0.0,
    localization_until=0.5,
)
#: The same for ten epochs, in larger batches of digits that are augmented a little, and nothing is frozen.
BEST_RECIPE = FAST_RECIPE.but(name="best", epochs=10, batch_size=256, augment=1.0, localization_until=1.0)


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
            and smoothed labels, if any), ``test_loss``, ``test_accuracy`` (None without test digits), ``cpu_seconds``
            and ``seconds`` of training alone.
        theta: snapshots of θ for the probe images: dicts ``{"step", "theta"}``, theta as nested lists ``(P, 2, 3)``;
            None for a transform that has no matrix.
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
    checkpoint=None,
    resume=False,
    verbose=True,
):
    """Train ``model`` on ``train`` by ``recipe``, with a progress bar and a line per epoch.

    On the CPU the process keeps freed memory from then on, up to 1 GB (:func:`stncourse.device.keep_freed_memory`).

    Interrupted (Ctrl-C, the notebook's ■), it finishes the step it is in: the model is left with the weights of that
    step, in eval mode, and the KeyboardInterrupt goes on, with ``.history``, the record so far. Twice in a row stops
    at once.

    Args:
        model: normalised images -> log-probabilities. Trained in place, and left in eval mode.
        train: :class:`stncourse.Digits` to learn from.
        test: Digits to measure on after every epoch, or None.
        recipe: a :class:`Recipe`.
        device: as in :func:`stncourse.device.resolve_device`.
        seed: for the order of the batches, ``transform`` and dropout. The model's weights are drawn when *you* make it:
            ``torch.manual_seed`` before that.
        transform: as for :class:`stncourse.Batches`, on images in [0, 1]; after the recipe's augmentation.
        probe: raw uint8 images ``(P, C, H, W)`` whose θ is recorded; the model needs an ``stn``.
        probe_every: steps between two records of θ.
        checkpoint: file to save the whole run to (safetensors, some times the model's size), after every epoch and when
            interrupted; each time replaced at once. A run that is there already is not overwritten.
        resume: go on with the run in ``checkpoint``, from where it was saved; from the start when there is none yet. On
            the CPU it ends with exactly the weights of a run that was never stopped. Call it with the same arguments;
            ``device`` may be another one.
        verbose: progress bar and lines.

    Returns:
        :class:`History`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, ``checkpoint`` holds another run, or holds one and
            ``resume`` is False. CheckpointError (a ValueError): it is not a checkpoint, or a broken one.
        OSError: ``checkpoint`` cannot be written; said before the training starts.
        FloatingPointError: the loss became NaN or infinite; the message says when, and what to try; ``.history`` is
            the record so far. The checkpoint keeps the last good epoch.

    >>> digits = load_digits("train", source="offline").subset(slice(256))
    >>> history = fit(STNClassifier(), digits, recipe=FAST_RECIPE, device="cpu", verbose=False)
    >>> history.column("epoch")
    [1]
    """
    _check_model(model)
    for name, value in ({"train": train} | ({"test": test} if test is not None else {})).items():
        if not isinstance(value, Digits) or not len(value):
            raise TypeError(f"{name}: expected Digits, at least one, got {_check.describe(value)}")
    if test is not None and test.scale != train.scale:
        raise ValueError(
            f"test: expected images normalised like those of train, got {test!r}; load it with like= the training set"
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe: expected a Recipe, got {_check.describe(recipe)}")
    _check.positive_int("probe_every", probe_every)
    if probe is not None:
        _check.tensor("probe", probe, "P C H W", floating=False)
        if not hasattr(model, "stn"):
            raise ValueError("probe: expected a model with an `stn`, whose θ can be recorded, got a model without")
    exists = distributed.current().first(lambda: _check_checkpoint(checkpoint, resume))
    run = _Run(model, train, test, recipe, resolve_device(device), seed, transform, probe, probe_every)
    if exists:
        run.restore(checkpoint)
        if verbose and run.group.rank == 0:
            print(f"going on after {run.position()}")
    return run.to_the_end(checkpoint, verbose)


def _check_checkpoint(checkpoint, resume):
    """Whether there is a file to go on from."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume: expected a checkpoint to go on from, got checkpoint=None")
        return False
    check_writable("checkpoint", checkpoint)
    exists = Path(checkpoint).exists()
    if exists and not resume:
        raise ValueError(
            f"checkpoint: expected a new file, {checkpoint} is there already: resume=True goes on with the run in it; "
            "or give another file, or remove this one"
        )
    return exists


class _Run:
    """A training run, at the end of some step: all that :func:`fit` needs to go on from there."""

    def __init__(self, model, train, test, recipe, device, seed, transform, probe, probe_every):
        self.model, self.train, self.test, self.recipe, self.device = model, train, test, recipe, device
        self.group = distributed.current()  # the other processes of this training, if there are any
        model.to(device)
        if device.type == "cpu":
            keep_freed_memory()
        if recipe.dropout is not None:
            for module in model.modules():
                if isinstance(module, (nn.Dropout, nn.Dropout2d)):
                    module.p = recipe.dropout
        changes = _augmented(transform, recipe.augment)
        self.batches = Batches(train, recipe.batch_size, shuffle=True, seed=seed, device=device, transform=changes)
        self.optimizer = make_optimizer(model, recipe)
        self.localization = [p for p in _localization(model) if p.requires_grad]
        self.history = History(asdict(recipe), info=_info(seed, device, train))
        self.seed, self.transform, self.probe, self.probe_every = seed, transform, probe, probe_every
        #: Where it is: epochs done, and of the one under way: batches done, sum of the losses, seconds.
        self.now = {"epoch": 0, "batch": 0, "loss": 0.0, "seconds": 0.0, "cpu_seconds": 0.0}
        torch.manual_seed(seed + self.group.rank)  # dropout
        if self.group.size > 1:
            self.group.start_alike(model, self.description)

    @property
    def step(self):
        return self.now["epoch"] * len(self.batches) + self.now["batch"]

    def position(self):
        return f"{self.now['epoch']} of {self.recipe.epochs} epochs, {self.now['batch']} of {len(self.batches)} batches"

    def to_the_end(self, checkpoint, verbose):
        self.scheduler = _scheduler(self.optimizer, self.recipe, len(self.batches), self.step)
        record = _theta_recorder(self.model, self.probe, self.train, self.device, self.history)
        if self.step == 0:
            record(0)
        try:
            with _Interruption() as interruption:
                while self.now["epoch"] < self.recipe.epochs:
                    stop = self._epoch(record, interruption, verbose)
                    if not stop:
                        self._measure(verbose)
                        stop = self.group.any(interruption.asked)
                    if checkpoint is not None and self.group.rank == 0:
                        self._save(checkpoint, stop)
                    if stop:
                        raise KeyboardInterrupt(self._interrupted(checkpoint))
        except distributed.ProcessLost as error:
            raise self._lost(error, checkpoint) from error
        except (KeyboardInterrupt, FloatingPointError) as error:
            error.history = self.history
            raise
        finally:
            self._freeze_localization(False)
            self.model.eval()
        return self.history

    def _epoch(self, record, interruption, verbose):
        """One epoch, or what is left of it, or until interrupted: then True."""
        now, steps = self.now, self.recipe.epochs * len(self.batches)
        before, clock, cpu_clock = dict(now), time.perf_counter(), time.process_time()
        self.model.train()
        name = f"epoch {now['epoch'] + 1}/{self.recipe.epochs}"
        for images, labels in _progress(self.batches, name, now["batch"], verbose and self.group.rank == 0):
            self._freeze_localization(self.step >= self.recipe.localization_until * steps)
            self._step(images, labels)
            now["batch"] += 1
            now["seconds"] = before["seconds"] + time.perf_counter() - clock
            now["cpu_seconds"] = before["cpu_seconds"] + time.process_time() - cpu_clock
            if self.step % self.probe_every == 0 or self.step == steps:
                record(self.step)
            if self.group.any(interruption.asked):
                return True
        return False

    def _freeze_localization(self, frozen):
        # Without a gradient to go to them, autograd leaves out all that lies on the way: sampler, grid, and the
        # gradient of the classifier's first convolution with respect to its image.
        for parameter in self.localization:
            parameter.requires_grad_(not frozen)

    def _step(self, images, labels):
        self.optimizer.zero_grad()
        loss = self.group.loss(self.model, images, labels, self.recipe.label_smoothing)
        (value,) = self.group.sum(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(self._exploded(value))
        self.group.backward(loss, self.model)
        self.optimizer.step()
        self.scheduler.step()
        self.now["loss"] += value * len(labels)

    def _exploded(self, loss):
        rate = self.optimizer.param_groups[0]["lr"]
        return (
            f"the loss became {loss} in epoch {self.now['epoch'] + 1}, batch {self.now['batch'] + 1} of "
            f"{len(self.batches)}, at a learning rate of {rate:.3g}: try a learning rate below "
            f"{self.recipe.learning_rate}, or a localization_factor below {self.recipe.localization_factor}; should it "
            "be this batch with any learning rate, look at its images"
        )

    def _measure(self, verbose):
        """The epoch's row in the history, and on to the next epoch."""
        now = self.now
        row = {"epoch": now["epoch"] + 1, "train_loss": now["loss"] / len(self.train)}
        row |= {"seconds": now["seconds"], "cpu_seconds": now["cpu_seconds"]}
        metrics = Metrics(None, None) if self.test is None else self._metrics()
        row |= {"test_loss": metrics.loss, "test_accuracy": metrics.accuracy}
        self.history.epochs.append(row)
        self.now = {"epoch": row["epoch"], "batch": 0, "loss": 0.0, "seconds": 0.0, "cpu_seconds": 0.0}
        if verbose and self.group.rank == 0:
            print(_line(row, self.recipe.epochs))

    def _metrics(self):
        """On the test digits, a share in each process."""
        share = self.test.subset(self.group.share(len(self.test)))
        mine = evaluate(self.model, share, self.device) if len(share) else Metrics(0.0, 0.0)
        if self.group.size == 1:
            return mine
        sums = self.group.sum(mine.loss * len(share), mine.accuracy * len(share))
        return Metrics(*(value / len(self.test) for value in sums))

    def _lost(self, error, checkpoint):
        """The error with what to do now."""
        where = f"{error}, after {self.position()}"
        if checkpoint is None:
            return distributed.ProcessLost(where + "; with a checkpoint it could go on from the last epoch")
        return distributed.ProcessLost(
            f"{where}; {checkpoint}, if there is one, holds the last whole epoch: go on with resume=True (--resume), "
            "in as many processes as you like"
        )

    def _interrupted(self, checkpoint):
        where = f"interrupted after {self.position()}; the model has the weights of that moment"
        return where + (f"; fit(..., checkpoint={str(checkpoint)!r}, resume=True) goes on" if checkpoint else "")

    # The run as a file

    @functools.cached_property
    def description(self):
        """What makes a run this run and no other."""
        return {
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "model": type(self.model).__qualname__,
            "train": _fingerprint(self.train.images, self.train.labels),
            "test": self.test and _fingerprint(self.test.images, self.test.labels),
            "transform": self.transform and getattr(self.transform, "__qualname__", type(self.transform).__qualname__),
            "probe": None if self.probe is None else _fingerprint(self.probe),
            "probe_every": self.probe_every,
        }

    def _generators(self):
        # Before the first epoch there is no generator of batches; any state will do.
        batches = self.batches.generator or torch.Generator()
        states = {"torch": torch.get_rng_state(), "batches": batches.get_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _save(self, path, last_chance):
        tensors = pack(self.model, self.optimizer, self._generators())
        info = {"run": self.description, "now": self.now, "history": asdict(self.history)}
        try:
            save_tensors(path, tensors, info)
        except OSError as error:
            if last_chance:
                raise
            # A full disk is no reason to throw away what runs well; the next epoch tries again.
            warnings.warn(f"checkpoint: could not write {path} ({error}); the training goes on", stacklevel=4)

    def restore(self, path):
        """Take over the run in a file. If it is not this one, an error says so, and nothing is changed."""
        tensors, info = self.group.first(lambda: read_tensors(path))
        now, history = _checked_run(path, info, self.recipe, len(self.batches))
        _check_same(path, info["run"], self.description)
        generators = self._generators()
        # The device may be another one than before.
        if "random.cuda" not in tensors:
            generators.pop("cuda", None)
        elif "cuda" not in generators:
            tensors.pop("random.cuda")
        states = unpack(path, tensors, self.model, self.optimizer, generators)
        torch.set_rng_state(states["torch"])
        if self.group.rank > 0:  # dropout masks of its own, and others than before
            torch.manual_seed(self.seed + 1000 * now["epoch"] + self.group.rank)
        elif "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)
        self.now, self.history = now, history
        self.batches.skip_to(now["epoch"], now["batch"], states["batches"] if now["batch"] else None)


def _checked_run(path, info, recipe, batches):
    """The position and the history out of a checkpoint's description, if they are such."""
    try:
        now, history = info["now"], History(**info["history"])
        whole = [now[name] for name in ("epoch", "batch")]
        real = [now[name] for name in ("loss", "seconds", "cpu_seconds")]
        sound = (
            isinstance(info["run"], dict)
            and all(isinstance(value, int) and value >= 0 for value in whole)
            and all(isinstance(value, float) and math.isfinite(value) for value in real)
            and whole[0] <= recipe.epochs
            and whole[1] <= batches
            and len(history.epochs) == whole[0]
            and all(isinstance(row, dict) for row in history.epochs + history.theta)
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"path: expected a checkpoint of fit, {path} is not one") from error
    if not sound:
        raise CheckpointError(f"path: expected a checkpoint of fit, {path} contradicts itself, or is of another recipe")
    return now, history


def _check_same(path, saved, asked):
    for name, value in asked.items():
        had = saved.get(name)
        if isinstance(value, dict) and isinstance(had, dict):
            _check_same(path, had, value)
        elif had != value:
            raise ValueError(f"{name}: the run in {path} has another one: {had!r}, now {value!r}")


def _fingerprint(*tensors):
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class _Interruption:
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


def _check_model(model):
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {_check.describe(model)}")


def _augmented(transform, strength):
    """``transform``, or None, after an augmentation."""
    if not strength:
        return transform

    def both(images, generator):
        images = augment(images, generator, strength)
        return images if transform is None else transform(images, generator)

    return both


def _localization(model):
    return [p for name, p in model.named_parameters() if name.startswith("stn.localization.")]


def make_optimizer(model, recipe):
    """The recipe's optimizer, with a learning rate of its own for what is named ``stn.localization.…``."""
    localization = _localization(model)
    chosen = {id(p) for p in localization}
    groups = [{"params": [p for p in model.parameters() if id(p) not in chosen], "lr": recipe.learning_rate}]
    if localization:
        groups.append({"params": localization, "lr": recipe.learning_rate * recipe.localization_factor})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
    )


def _scheduler(optimizer, recipe, steps_per_epoch, done=0):
    """A factor on every group's learning rate for each step; ``done``: how many were made before."""
    total = recipe.epochs * steps_per_epoch

    def onecycle(step):
        """Cosine from 1/10 up to 1, then cosine down to 1/1000."""
        warm_up = max(1, recipe.warm_up * total)
        if step < warm_up:
            return _cosine(0.1, 1.0, step / warm_up)
        return _cosine(1.0, 0.001, min(1.0, (step - warm_up) / max(1, total - warm_up)))

    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    factor = onecycle if recipe.schedule == "onecycle" else lambda step: 1.0
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=done - 1)


def _cosine(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _theta_recorder(model, probe, train, device, history):
    if probe is None:
        return lambda step: None
    images = train.normalize(probe).to(device)

    def record(step):
        was_training = model.training
        model.eval()
        with torch.no_grad():
            theta = model.stn.transform(images).theta
        model.train(was_training)
        if theta is not None:  # a spline has no matrix
            theta = [[[round(v, 5) for v in row] for row in matrix] for matrix in theta.tolist()]
        history.theta.append({"step": step, "theta": theta})

    return record


def _progress(batches, description, done, verbose):
    if not verbose:
        return batches
    from tqdm.auto import tqdm

    return tqdm(batches, desc=description, initial=done, leave=False)


def _line(row, epochs):
    text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}   train loss {row['train_loss']:.4f}"
    if row["test_accuracy"] is not None:
        text += f"   test loss {row['test_loss']:.4f}   test accuracy {row['test_accuracy']:.2%}"
    return text + f"   {row['seconds']:.1f} s"


def _info(seed, device, train):
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
