"""A training run: where it is, and how it makes a step. The loop around it is in ``fit.py``."""

import functools
import hashlib
import math
import time
from dataclasses import asdict

import torch
from torch import nn

from stncourse.data.augmentation import augment
from stncourse.data.batches import Batches
from stncourse.device import keep_freed_memory
from stncourse.training import contract, distributed
from stncourse.training.evaluation import evaluate_together
from stncourse.training.first_batch import first_loss
from stncourse.training.freezing import Freezing, notes_on_frozen
from stncourse.training.history import History, facts_of_run
from stncourse.training.model_state import unwrapped
from stncourse.training.objective import float32_at_least, name_of
from stncourse.training.optimizer import make_optimizer, make_scheduler, notes_on


class Run:
    """A training run, at the end of some step: all that ``fit`` needs to go on from there; its arguments are fit's."""

    def __init__(self, model, train, test, recipe, device, seed, transform, probe, probe_every, watched, objective):
        self.model, self.train, self.test, self.recipe, self.device = model, train, test, recipe, device
        self.seed, self.transform, self.probe, self.probe_every = seed, transform, probe, probe_every
        self.watched = watched  # nothing of it is part of what the run is
        self.objective = objective  # what is minimised, and measured
        #: The images whose θ is recorded, or None; and the fingerprint of those that the record so far is of.
        self.recorded = watched.images if probe is None and watched is not None else probe
        self.theta_of = None if self.recorded is None else _fingerprint(self.recorded)
        self.group = distributed.current()  # the other processes of this training, if there are any
        changes = _augmented(transform, recipe.augment)
        self.batches = Batches(train, recipe.batch_size, shuffle=True, seed=seed, device=device, transform=changes)
        self.steps = recipe.epochs * len(self.batches)
        self.freezing = Freezing(model, recipe.localization_until * self.steps, self.steps)
        until = recipe.localization_until if self.freezing.will_freeze else None
        contract.check_can_learn(model, self.freezing.localization, until)
        model.to(device)
        if device.type == "cpu":
            keep_freed_memory()
        layers = model.modules() if recipe.dropout is not None else ()
        kind = nn.modules.dropout._DropoutNd  # all of torch's
        self.dropouts = [(module, module.p) for module in layers if isinstance(module, kind)]
        self.optimizer = make_optimizer(model, recipe)
        self.dtype = contract.dtype_for(model)
        self.checked = self.refused = False  # whether the model's answer to a first batch was looked at, and no good
        self.notes = notes_on(model, recipe) + notes_on_frozen(model)
        self.history = History(asdict(recipe), info=facts_of_run(seed, device, train))
        if self.notes:
            self.history.info["notes"] = self.notes
        if objective.loss_name:
            self.history.info["loss"] = objective.loss_name
        self.now = _beginning_of(epoch=0)
        torch.manual_seed((seed + self.group.rank) % 2**64)  # dropout
        if self.group.size > 1:
            self.group.start_alike(model, self.description)

    @functools.cached_property
    def description(self):
        """What makes a run this run and no other."""
        return {
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "model": type(unwrapped(self.model)).__qualname__,
            "train": _fingerprint(self.train.images, self.train.labels),
            "test": self.test and _fingerprint(self.test.images, self.test.labels),
            "transform": self.transform and name_of(self.transform),
            "probe": None if self.probe is None else _fingerprint(self.probe),
            "probe_every": self.probe_every,
            "loss": self.objective.loss_name,
            "metrics": None if self.objective.is_default else sorted(self.objective.metrics),
        }

    @property
    def steps_done(self):
        """How many steps were made, of ``steps`` in all."""
        return self.now["epoch"] * len(self.batches) + self.now["batch"]

    def position(self):
        """Where it is, in words."""
        return f"{self.now['epoch']} of {self.recipe.epochs} epochs, {self.now['batch']} of {len(self.batches)} batches"

    def take_over(self, now, history, theta_of):
        """Go on from there. A record of θ of other images than those recorded now makes room for theirs."""
        self.now, self.history = now, history
        if self.recorded is None:
            self.theta_of = theta_of
        elif history.theta and theta_of != self.theta_of:
            history.theta.clear()
            self.notes.append("other images are watched than before: the record of their θ begins here")

    def start(self):
        """Before the loop: the learning rates, from where the run is."""
        self.scheduler = make_scheduler(self.optimizer, self.recipe, len(self.batches), self.steps_done)

    def start_epoch(self):
        """Train mode, the recipe's dropout, and the clocks run; the epoch's first batches may be done already."""
        self.clocks = time.perf_counter() - self.now["seconds"], time.process_time() - self.now["cpu_seconds"]
        self.freezing.set_modes()
        for module, _ in self.dropouts:
            module.p = self.recipe.dropout

    def step(self, images, labels):
        """Learn from one batch. FloatingPointError, when the loss is not finite."""
        self.freezing.before_step(self.steps_done)
        self.optimizer.zero_grad()
        loss = self.loss(images, labels) if self.checked else first_loss(self, images, labels)
        (value,) = self.group.sum(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(self._exploded(value))
        self.group.backward(loss, self.model)
        self.optimizer.step()
        self.scheduler.step()
        self.loss_of_step = value
        self.now["loss"] += value * len(labels)
        self.now["batch"] += 1
        self.now["seconds"] = time.perf_counter() - self.clocks[0]
        self.now["cpu_seconds"] = time.process_time() - self.clocks[1]

    def loss(self, images, labels):
        """This process's part of the batch's loss."""
        return self.group.loss(self.answer, images, labels, self.objective)

    def answer(self, images):
        """What the model says of normalised images; at first, and of an epoch's smaller last batch, it is looked at."""
        usual = self.group.share(self.recipe.batch_size)
        if not self.checked or len(images) < usual.stop - usual.start:
            return float32_at_least(contract.answer(self.model, images, self.dtype, self.objective.check))
        return float32_at_least(self.model(images.to(self.dtype)))

    def finish_epoch(self):
        """Measure, write the epoch's row into the history, and go on to the next epoch. Returns the row."""
        now = self.now
        row = {"epoch": now["epoch"] + 1, "train_loss": now["loss"] / len(self.train)}
        row |= {"seconds": now["seconds"], "cpu_seconds": now["cpu_seconds"]}
        measured = dict.fromkeys(self.objective.names)
        if self.test is not None:
            measured = evaluate_together(self.model, self.test, self.device, self.group, self.objective)
        row |= {f"test_{name}": value for name, value in measured.items()}
        self.history.epochs.append(row)
        self.now = _beginning_of(row["epoch"])
        return row

    def leave_model(self):
        """After the loop: in eval mode; a model that was refused gets its own modes and dropout back."""
        self.freezing.leave(as_it_came=self.refused)
        for module, own in self.dropouts if self.refused else ():
            module.p = own

    def _exploded(self, loss):
        rate = self.optimizer.param_groups[0]["lr"]
        return (
            f"the loss became {loss} in epoch {self.now['epoch'] + 1}, batch {self.now['batch'] + 1} of "
            f"{len(self.batches)}, at a learning rate of {rate:.3g}: try a learning rate below "
            f"{self.recipe.learning_rate}, or a localization_factor below {self.recipe.localization_factor}; should it "
            "be this batch with any learning rate, look at its images"
        )


def _beginning_of(epoch):
    """Where a run is: epochs done, and of the one under way: batches done, sum of the losses, seconds."""
    return {"epoch": epoch, "batch": 0, "loss": 0.0, "seconds": 0.0, "cpu_seconds": 0.0}


def _augmented(transform, strength):
    """``transform``, or None, after an augmentation."""
    if not strength:
        return transform

    def both(images, generator):
        images = augment(images, generator, strength)
        return images if transform is None else transform(images, generator)

    return both


def _fingerprint(*tensors):
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        # As bytes, as NumPy does not know every dtype.
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
