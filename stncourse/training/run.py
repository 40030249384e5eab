"""The training loop."""

import functools
import hashlib
import math
import time
import warnings
from dataclasses import asdict

import torch
from torch import nn

from stncourse import _check
from stncourse._files import check_writable
from stncourse._modes import in_eval
from stncourse._precision import at_least_float32
from stncourse.data.augmentation import augment
from stncourse.data.batches import Batches
from stncourse.data.digits import Digits
from stncourse.device import keep_freed_memory, resolve_device
from stncourse.training import contract as _contract
from stncourse.training import distributed
from stncourse.training.checkpoints import CheckpointError, as_bytes, pack, read_tensors, save_tensors, unpack
from stncourse.training.evaluation import evaluate
from stncourse.training.history import History, Metrics, facts_of_run, line_of
from stncourse.training.interruption import Interruption
from stncourse.training.model_state import remember_buffers, unwrapped
from stncourse.training.optimizer import localization_parameters, make_optimizer, make_scheduler, notes_on
from stncourse.training.recipes import TUTORIAL_RECIPE, Recipe
from stncourse.transformer.spatial_transformer import transformers_in


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
        self.localization = [p for p in localization_parameters(model) if p.requires_grad]
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
        self.notes = notes_on(model, recipe) + _notes_on_frozen(model)
        self.history = History(asdict(recipe), info=facts_of_run(seed, device, train))
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
        self.scheduler = make_scheduler(self.optimizer, self.recipe, len(self.batches), self.step)
        record = _theta_recorder(self.model, self.probe, self.train, self.device, self.dtype, self.history)
        if self.step == 0:
            record(0)
        try:
            with Interruption() as interruption:
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
            print(line_of(row, self.recipe.epochs))

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


def _augmented(transform, strength):
    """``transform``, or None, after an augmentation."""
    if not strength:
        return transform

    def both(images, generator):
        images = augment(images, generator, strength)
        return images if transform is None else transform(images, generator)

    return both


def _notes_on_frozen(model):
    """Which layers of a model in train mode are in eval mode, as a sentence: it may be a mistake."""
    kinds, model = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd), unwrapped(model)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds) and not module.training]
    if not names or not model.training:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"in eval mode, as before the training: {', '.join(names[:3])}{more}"]


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
