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

from stncourse import _check, _contract, distributed
from stncourse._files import check_writable, replacing
from stncourse._modes import in_eval
from stncourse._precision import at_least_float32
from stncourse._state import remember_buffers, unwrapped
from stncourse.augmentation import MAXIMUM_STRENGTH, augment
from stncourse.checkpoints import CheckpointError, as_bytes, pack, read_tensors, save_tensors, unpack
from stncourse.data import Batches, Digits
from stncourse.device import keep_freed_memory, resolve_device
from stncourse.transformer import transformers_in

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "onecycle")


#: A recipe's numbers: what is expected, and which fit.
_NUMBERS = {
    **dict.fromkeys(
        ("learning_rate", "localization_factor", "weight_decay"), ("a number >= 0", lambda v: 0 <= v < math.inf)
    ),
    **dict.fromkeys(("warm_up", "label_smoothing"), ("a fraction, from 0 to below 1", lambda v: 0 <= v < 1)),
    "localization_until": ("a fraction, from 0 to 1", lambda v: 0 <= v <= 1),
    "dropout": ("a probability or None", lambda v: 0 <= v <= 1),
    "augment": (f"a strength from 0 to {MAXIMUM_STRENGTH}", lambda v: 0 <= v <= MAXIMUM_STRENGTH),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained.

    Attributes:
        name: for tables and plots.
        epochs, batch_size: as usual.
        optimizer: ``"sgd"`` or ``"adamw"`` (betas 0.9, 0.99).
        learning_rate: the peak for ``schedule="onecycle"``.
        localization_factor: the localization network of every :class:`stncourse.SpatialTransformer` in the model,
            wherever it lies, learns at this fraction of ``learning_rate``. A model without any is trained as if this
            and the next were 1, and the history's ``info["notes"]`` says so.
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
        for name in ("epochs", "batch_size"):
            self._set(name, _check.positive_int(name, getattr(self, name)))
        _check.choice("optimizer", self.optimizer, OPTIMIZERS)
        _check.choice("schedule", self.schedule, SCHEDULES)
        for name, (expected, fits) in _NUMBERS.items():
            if name != "dropout" or self.dropout is not None:
                self._set(name, _check.number(name, getattr(self, name), expected, fits))

    def _set(self, name, value):
        object.__setattr__(self, name, value)  # it is frozen for everybody else

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
        info: seed, hardware, versions, date and number of training digits; ``notes``, a list of sentences, where the
            recipe asked for something that this model does not have, or layers stayed frozen.
    """

    recipe: dict
    epochs: list = field(default_factory=list)
    theta: list = field(default_factory=list)
    info: dict = field(default_factory=dict)

    def save(self, path):
        """Write as JSON, at once or not at all.

        Raises:
            TypeError: something in it is nothing that JSON can hold. OSError: it cannot be written; what was there
                before is still there.
        """
        text = json.dumps(asdict(self), indent=1) + "\n"
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
    """Loss and accuracy of ``model`` on ``digits``, in eval mode; each of its modules is put back into its own mode.

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``. It gets the images in the dtype of its weights.
        digits: :class:`stncourse.Digits`.
        device: the model is moved there, as by ``model.to``.
        batch_size: how many at a time.

    Returns:
        :class:`Metrics` ``(loss, accuracy)``.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, there are no digits, a label is negative or beyond
            the model's classes, or what the model returns are no log-probabilities.

    >>> metrics = evaluate(DigitCNN(), load_digits("test", source="offline"), device="cpu")
    >>> 0 <= metrics.accuracy <= 1
    True
    """
    _contract.check_model(model)
    device = resolve_device(device)
    batches = Batches(digits, batch_size, device=device)
    if not len(digits):
        raise ValueError("digits: expected at least one digit to evaluate on, got none")
    _contract.check_labels("digits", digits)
    model.to(device)
    dtype, largest = _contract.dtype_for(model), {"digits": int(digits.labels.max())}
    loss = correct = 0.0
    with in_eval(model), torch.no_grad():
        for images, labels in batches:
            log_probabilities = _contract.answer(model, images, dtype, largest)
            loss += F.nll_loss(log_probabilities, labels, reduction="sum").item()
            correct += (log_probabilities.argmax(1) == labels).sum().item()
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

    What was frozen stays frozen: parameters with ``requires_grad=False``, and, in a model that is in train mode, the
    modules that are in eval mode (a BatchNorm whose statistics are to stay). A model in eval mode, as ``fit`` leaves
    it, is put into train mode as a whole. A model that is refused keeps its modes.

    On the CPU the process keeps freed memory from then on, up to 1 GB (:func:`stncourse.device.keep_freed_memory`).

    Interrupted (Ctrl-C, the notebook's ■), it finishes the step it is in: the model is left with the weights of that
    step, in eval mode, and the KeyboardInterrupt goes on, with ``.history``, the record so far. Twice in a row stops
    at once.

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``. It gets the images in the dtype of its weights.
            Trained in place, and left in eval mode.
        train: :class:`stncourse.Digits` to learn from.
        test: Digits to measure on after every epoch, or None.
        recipe: a :class:`Recipe`.
        device: as in :func:`stncourse.device.resolve_device`.
        seed: for the order of the batches, ``transform`` and dropout. The model's weights are drawn when *you* make it:
            ``torch.manual_seed`` before that.
        transform: as for :class:`stncourse.Batches`, on images in [0, 1]; after the recipe's augmentation.
        probe: raw uint8 images ``(P, C, H, W)`` whose θ is recorded: what the model's first
            :class:`stncourse.SpatialTransformer` says of them.
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
            ``resume`` is False; a label is negative or beyond the model's classes; nothing can learn; what the model
            returns is no log-probabilities, or it cannot take a batch of one that ``batch_size`` leaves. All that is
            said before the first step. CheckpointError (a ValueError): it is not a checkpoint, or a broken one.
        OSError: ``checkpoint`` cannot be written; said before the training starts.
        FloatingPointError: the loss became NaN or infinite; the message says when, and what to try; ``.history`` is
            the record so far. The checkpoint keeps the last good epoch.

    >>> digits = load_digits("train", source="offline").subset(slice(256))
    >>> history = fit(STNClassifier(), digits, recipe=FAST_RECIPE, device="cpu", verbose=False)
    >>> history.column("epoch")
    [1]
    """
    _contract.check_model(model)
    for name, value in ({"train": train} | ({"test": test} if test is not None else {})).items():
        if not isinstance(value, Digits) or not len(value):
            raise TypeError(f"{name}: expected Digits, at least one, got {_check.describe(value)}")
        _contract.check_labels(name, value)
    if test is not None and test.scale != train.scale:
        raise ValueError(
            f"test: expected images normalised like those of train, got {test!r}; load it with like= the training set"
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe: expected a Recipe, got {_check.describe(recipe)}")
    seed = _check.seed("seed", seed)
    probe_every = _check.positive_int("probe_every", probe_every)
    if probe is not None:
        _check.tensor("probe", probe, "P C H W", floating=False)
        if not transformers_in(model):
            raise ValueError(
                "probe: expected a model with a SpatialTransformer, whose θ can be recorded, got one without"
            )
    exists = distributed.current().first(lambda: _check_checkpoint(checkpoint, resume))
    run = _Run(model, train, test, recipe, resolve_device(device), seed, transform, probe, probe_every)
    if checkpoint is not None:
        checkpoint = _check.path("checkpoint", checkpoint)
        run.as_bytes()  # what a file cannot hold is said now, and not after an epoch
    if exists:
        run.restore(checkpoint)
    if verbose and run.group.rank == 0:
        for line in ([f"going on after {run.position()}"] if exists else []) + run.notes:
            print(line)
    return run.to_the_end(checkpoint, verbose)


def _check_checkpoint(checkpoint, resume):
    """Whether there is a file to go on from."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume: expected a checkpoint to go on from, got checkpoint=None")
        return False
    exists = check_writable("checkpoint", checkpoint).exists()
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
        changes = _augmented(transform, recipe.augment)
        self.batches = Batches(train, recipe.batch_size, shuffle=True, seed=seed, device=device, transform=changes)
        self.localization = [p for p in _localization(model) if p.requires_grad]
        _contract.check_can_learn(model, self.localization, recipe.localization_until if self._freezes() else None)
        model.to(device)
        if device.type == "cpu":
            keep_freed_memory()
        if recipe.dropout is not None:
            for module in model.modules():
                if isinstance(module, nn.modules.dropout._DropoutNd):  # all of torch's
                    module.p = recipe.dropout
        self.modes = [(module, module.training) for module in model.modules()]
        self.frozen = [module for module, mode in self.modes if not mode] if unwrapped(model).training else []
        self.optimizer = make_optimizer(model, recipe)
        self.dtype = _contract.dtype_for(model)
        self.largest = {"train": int(train.labels.max())} | ({"test": int(test.labels.max())} if test else {})
        self.checked = self.refused = False  # whether the model's answer to a first batch was looked at, and no good
        self.notes = _notes(model, recipe) + _notes_on_frozen(model)
        self.history = History(asdict(recipe), info=_info(seed, device, train))
        if self.notes:
            self.history.info["notes"] = self.notes
        self.seed, self.transform, self.probe, self.probe_every = seed, transform, probe, probe_every
        #: Where it is: epochs done, and of the one under way: batches done, sum of the losses, seconds.
        self.now = {"epoch": 0, "batch": 0, "loss": 0.0, "seconds": 0.0, "cpu_seconds": 0.0}
        torch.manual_seed((seed + self.group.rank) % 2**64)  # dropout
        if self.group.size > 1:
            self.group.start_alike(model, self.description)

    @property
    def step(self):
        return self.now["epoch"] * len(self.batches) + self.now["batch"]

    def position(self):
        return f"{self.now['epoch']} of {self.recipe.epochs} epochs, {self.now['batch']} of {len(self.batches)} batches"

    def to_the_end(self, checkpoint, verbose):
        self.scheduler = _scheduler(self.optimizer, self.recipe, len(self.batches), self.step)
        record = _theta_recorder(self.model, self.probe, self.train, self.device, self.dtype, self.history)
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
            for module, mode in self.modes if self.refused else ():
                module.training = mode
        return self.history

    def _epoch(self, record, interruption, verbose):
        """One epoch, or what is left of it, or until interrupted: then True."""
        now, steps = self.now, self.recipe.epochs * len(self.batches)
        before, clock, cpu_clock = dict(now), time.perf_counter(), time.process_time()
        self._set_modes()
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

    def _set_modes(self):
        self.model.train()
        for module in self.frozen:
            module.training = False

    def _freezes(self):
        """Whether there is a step in which the localization network learns no more."""
        steps = self.recipe.epochs * len(self.batches)
        return bool(self.localization) and steps - 1 >= self.recipe.localization_until * steps

    def _freeze_localization(self, frozen):
        # Without a gradient to go to them, autograd leaves out all that lies on the way: sampler, grid, and the
        # gradient of the classifier's first convolution with respect to its image.
        for parameter in self.localization:
            parameter.requires_grad_(not frozen)

    def _step(self, images, labels):
        self.optimizer.zero_grad()
        loss = self._loss(images, labels) if self.checked else self._first_loss(images, labels)
        (value,) = self.group.sum(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(self._exploded(value))
        self.group.backward(loss, self.model)
        self.optimizer.step()
        self.scheduler.step()
        self.now["loss"] += value * len(labels)

    def _loss(self, images, labels):
        return self.group.loss(self._answer, images, labels, self.recipe.label_smoothing)

    def _answer(self, images):
        if not self.checked:
            return _contract.answer(self.model, images, self.dtype, self.largest)
        return at_least_float32(self.model(images.to(self.dtype)))

    def _first_loss(self, images, labels):
        """The same; a model that breaks the contract is left as it was, by all processes together."""
        put_back, loss, problem = remember_buffers(self.model), None, None
        try:
            self._try_other_batches(images)
            loss = self._loss(images, labels)
            mine = self.group.share(len(images))
            if mine.start < mine.stop:
                _contract.check_depends(loss)
        except Exception as error:
            put_back()
            problem = error
        self.refused = self.group.any(problem is not None)
        if self.refused:
            raise problem or ValueError("model: another process of this training refuses it, and says why")
        self.checked = True
        return loss

    def _try_other_batches(self, images):
        """What may come only at the end of an epoch: a batch, or a process's share of it, of one; other test images."""
        if self._leaves_one(self.recipe.batch_size):
            with _contract.rehearsal(self.model, self.device):
                self._try_one(images[:1])
        if self.test is not None and self.test.images.shape[1:] != images.shape[1:]:
            with in_eval(self.model), torch.no_grad():
                few = self.test.normalize(self.test.images[:2]).to(self.device)
                _contract.answer(self.model, few, self.dtype, self.largest)

    def _try_one(self, image):
        try:
            self._answer(image)
        except Exception as error:
            self._answer(image.repeat(2, 1, 1, 1))  # or is it something else that is wrong?
            size, count = self.recipe.batch_size, len(self.train)
            other = next((n for n in range(size + 1, count + 1) if not self._leaves_one(n)), None)
            shared = f" in {self.group.size} processes" if self.group.size > 1 else ""
            raise ValueError(
                f"batch_size: expected one that leaves no image alone, which this model cannot learn from ({error}), "
                f"got {size} for {count} images{shared}" + (f"; {other} would do" if other else "")
            ) from error

    def _leaves_one(self, batch_size):
        """Whether some process gets a single image of some batch."""
        count = len(self.train)
        sizes = {min(batch_size, count), count % batch_size}
        shares = [self.group.share(size, rank) for size in sizes for rank in range(self.group.size)]
        return any(share.stop - share.start == 1 for share in shares)

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
            "model": type(unwrapped(self.model)).__qualname__,
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

    def _packed(self):
        info = {"run": self.description, "now": self.now, "history": asdict(self.history)}
        return pack(self.model, self.optimizer, self._generators()), info

    def as_bytes(self):
        """The checkpoint as it would be written now."""
        return as_bytes(*self._packed())

    def _save(self, path, last_chance):
        try:
            save_tensors(path, *self._packed())
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
            torch.manual_seed((self.seed + 1000 * now["epoch"] + self.group.rank) % 2**64)
        elif "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)
        self.now, self.history = now, history
        self.batches.skip_to(now["epoch"], now["batch"], states["batches"] if now["batch"] else None)


def _checked_run(path, info, recipe, batches):
    """The position and the history out of a checkpoint's description, if they are such."""
    try:
        now, history = info["now"], History.of(info["history"])
        whole = [now[name] for name in ("epoch", "batch")]
        real = [now[name] for name in ("loss", "seconds", "cpu_seconds")]
        sound = (
            isinstance(info["run"], dict)
            and all(isinstance(value, int) and value >= 0 for value in whole)
            and all(isinstance(value, float) and math.isfinite(value) for value in real)
            and whole[0] <= recipe.epochs
            and whole[1] <= batches
            and len(history.epochs) == whole[0]
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


def _augmented(transform, strength):
    """``transform``, or None, after an augmentation."""
    if not strength:
        return transform

    def both(images, generator):
        images = augment(images, generator, strength)
        return images if transform is None else transform(images, generator)

    return both


def _localization(model):
    """The parameters of all localization networks, each once, in the order that they have in the model."""
    chosen = {id(p) for stn in transformers_in(model) for p in stn.localization.parameters()}
    return [p for p in model.parameters() if id(p) in chosen]


def _notes(model, recipe):
    """What the recipe asks for and this model does not have, as sentences."""
    asked = [name for name in ("localization_factor", "localization_until") if getattr(recipe, name) != 1]
    if not asked or _localization(model):
        return []
    return [f"without effect, as the model has no SpatialTransformer: the recipe's {' and '.join(asked)}"]


def _notes_on_frozen(model):
    """Which layers of a model in train mode are in eval mode, as a sentence: it may be a mistake."""
    kinds, model = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd), unwrapped(model)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds) and not module.training]
    if not names or not model.training:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"in eval mode, as before the training: {', '.join(names[:3])}{more}"]


def make_optimizer(model, recipe):
    """The recipe's optimizer, with a learning rate of its own for the localization networks."""
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


def _theta_recorder(model, probe, train, device, dtype, history):
    if probe is None:
        return lambda step: None
    images, stn = train.normalize(probe).to(device, dtype), transformers_in(model)[0]

    def record(step):
        with in_eval(model), torch.no_grad():
            theta = stn.transform(images).theta
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
