"""``fit``: the checks of its arguments, and the training loop. One step of it is in ``run.py``."""

import contextlib

import torch

from stncourse import _check
from stncourse._files import check_writable
from stncourse._modes import in_eval
from stncourse.data.digits import Digits
from stncourse.device import resolve_device
from stncourse.training import contract, distributed
from stncourse.training.history import line_of
from stncourse.training.interruption import Interruption
from stncourse.training.objective import objective_for
from stncourse.training.recipes import TUTORIAL_RECIPE, Recipe
from stncourse.training.run import Run
from stncourse.training.saved_run import check_can_be_saved, restore, save
from stncourse.training.theta_record import probe_images, theta_recorder
from stncourse.training.watch import watched_images, watching


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
    watch=None,
    checkpoint=None,
    resume=False,
    verbose=True,
    loss=None,
    metrics=None,
    after_epoch=None,
):
    """Train ``model`` on ``train`` by ``recipe``, with a progress bar and a line per epoch.

    What was frozen stays frozen: parameters with ``requires_grad=False``, and, in a model that is in train mode, the
    modules that are in eval mode (a BatchNorm whose statistics are to stay). A model in eval mode is put into train
    mode as a whole, but for what an earlier ``fit`` of it kept frozen: ``model.train()`` lets that learn again. The
    recipe's dropout stays set in the model. One that is refused keeps its own dropout, and its modes.

    On the CPU the process keeps freed memory from then on, up to 1 GB (:func:`stncourse.device.keep_freed_memory`).

    Interrupted (Ctrl-C, the notebook's ■), it finishes the step it is in: the model is left with the weights of that
    step, in eval mode, and the KeyboardInterrupt goes on, with ``.history``, the record so far. Twice in a row stops
    at once.

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``; with a ``loss`` of your own, a tensor or a tuple
            of tensors. It gets the images in the dtype of its weights. Trained in place, and left in eval mode.
        train: :class:`stncourse.Digits` to learn from. Their labels are classes; with a ``loss`` of your own, whatever
            it takes.
        test: Digits to measure on after every epoch, or None.
        recipe: a :class:`Recipe`.
        device: as in :func:`stncourse.device.resolve_device`.
        seed: for the order of the batches, ``transform`` and dropout. The model's weights are drawn when *you* make it:
            ``torch.manual_seed`` before that.
        transform: as for :class:`stncourse.Batches`, on images in [0, 1]; after the recipe's augmentation.
        probe: raw uint8 images ``(P, C, H, W)``, a tensor, an array or Digits, whose θ is recorded: what the
            model's first :class:`stncourse.SpatialTransformer` says of them, in the order of ``model.modules()``. It
            has to look at the images themselves. That of further ones is not recorded.
        probe_every: steps between two records of θ.
        watch: up to ten raw uint8 images, as for ``probe``, with 1 or 3 channels. In a notebook a panel shows live what
            the network does with them: the frame that the transformer looks at, what comes out, the classifier's answer
            (with a tick or a cross, for Digits), and the loss; with a ``loss`` of your own no answer. The pictures take
            about 3 % of the training's CPU time, and change nothing in it: should one fail, the panel says why. Their θ
            is recorded, unless ``probe`` says whose. Nothing is shown outside of notebooks, in a training of several
            processes, or with ``STNCOURSE_WATCH=off`` in the environment.
        checkpoint: file to save the whole run to (safetensors, some times the model's size), after every epoch and when
            interrupted; each time replaced at once. A run that is there already is not overwritten.
        resume: go on with the run in ``checkpoint``, from where it was saved; from the start when there is none yet. On
            the CPU it ends with exactly the weights of a run that was never stopped. Call it with the same arguments;
            ``device`` and ``watch`` may be others. Where θ of the watched images is recorded and they are others now,
            its record begins anew; when none are watched any more, it stays as it is.
        verbose: progress bar and lines.
        loss: a function ``(output, labels) -> scalar tensor``, the mean over the batch, for labels that are not one
            class per image, or a model that does not say log-probabilities. ``output`` is what the model returns
            (float32 at least), ``labels`` are those of the same images, on the same device. In several processes each
            gives it its share of the batch: right for a mean over images, while a loss that compares images with one
            another sees those of the share only. Default: the mean negative log-likelihood, with the recipe's
            ``label_smoothing``, which no other loss goes with.
        metrics: dict, name -> a function ``(output, labels) -> (N,) tensor``, one number for each image, or True where
            it is right. Its mean over all test digits is written into the history as ``test_<name>``. The default loss
            measures the accuracy as well.
        after_epoch: a function ``(row, model)``, called after every epoch with a copy of the epoch's row of the
            history, when the checkpoint is written; of several processes only in the first, while the others wait (up
            to five minutes). The model is in eval mode meanwhile; its modes, buffers and the random numbers are put
            back, so that the training ends as it would without. If it raises, the training stops; the checkpoint holds
            the epoch.

    Returns:
        :class:`History`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, ``checkpoint`` holds another run, or holds one and
            ``resume`` is False; a label is negative or beyond the model's classes; nothing can learn; what the model
            returns is no log-probabilities, or it cannot take a batch of one that ``batch_size`` leaves; ``loss``
            returns no scalar, or one that no parameter has a part in; a metric does not return one number per image.
            All that is said before the first step; what only eval mode does wrong, when the test digits are first
            measured.
            CheckpointError (a ValueError): it is not a checkpoint, or a broken one.
        OSError: ``checkpoint`` cannot be written; said before the training starts.
        FloatingPointError: the loss became NaN or infinite; the message says when, and what to try; ``.history`` is
            the record so far. The checkpoint keeps the last good epoch.

    >>> digits = load_digits("train", source="offline").subset(slice(256))
    >>> history = fit(STNClassifier(), digits, recipe=FAST_RECIPE, device="cpu", verbose=False)
    >>> history.column("epoch")
    [1]
    """
    contract.check_model(model)
    _check_digits(train, test)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe: expected a Recipe, got {_check.describe(recipe)}")
    if after_epoch is not None and not callable(after_epoch):
        raise TypeError(f"after_epoch: expected a function (row, model) or None, got {_check.describe(after_epoch)}")
    seed, resume = _check.seed("seed", seed), _check.flag("resume", resume)
    probe_every = _check.positive_int("probe_every", probe_every)
    watched = None if watch is None else watched_images(watch, model, train, own_loss=loss is not None)
    labels = {"train": train.labels} | ({"test": test.labels} if test is not None else {})
    if watched is not None and watched.labels:
        labels["watch"] = torch.tensor(watched.labels, device="cpu")
    objective = objective_for(loss, metrics, labels, recipe.label_smoothing)
    probe = None if probe is None else probe_images("probe", probe, model)
    exists = distributed.current().first(lambda: _check_checkpoint(checkpoint, resume))
    device = resolve_device(device)
    run = Run(model, train, test, recipe, device, seed, transform, probe, probe_every, watched, objective)
    if checkpoint is not None:
        checkpoint = _check.path("checkpoint", checkpoint)
        check_can_be_saved(run)
    if exists:
        restore(run, checkpoint)
    verbose = verbose and run.group.rank == 0
    if verbose:
        for line in ([f"going on after {run.position()}"] if exists else []) + run.notes:
            print(line)
    _train(run, checkpoint, verbose, after_epoch)
    return run.history


def _train(run, checkpoint, verbose, after_epoch):
    """The training loop: from where the run is to its end, or until Ctrl-C."""
    run.start()
    record_theta = theta_recorder(run)
    if not run.history.theta:  # at the start, or where a run that was not watched so far goes on
        record_theta()
    with _left_in_order(run, checkpoint), Interruption() as interruption, watching(run) as look:
        while run.now["epoch"] < run.recipe.epochs:
            run.start_epoch()
            row = None
            for images, labels in _progress(run, verbose):
                run.step(images, labels)
                if run.steps_done % run.probe_every == 0 or run.steps_done == run.steps:
                    record_theta()
                look()
                stop = run.group.any(interruption.asked)
                if stop:
                    break
            else:  # the epoch is whole
                row = run.finish_epoch()
                if verbose:
                    print(line_of(row, run.recipe.epochs))
                stop = run.group.any(interruption.asked)
            if checkpoint is not None and run.group.rank == 0:
                save(run, checkpoint, last_chance=stop)
            if row is not None:
                _call(after_epoch, run, row)
                stop = stop or run.group.any(interruption.asked)
            if stop:
                raise KeyboardInterrupt(_interrupted(run, checkpoint))


def _call(after_epoch, run, row):
    """``after_epoch`` in the first process, where it can change nothing in the training; all end when it fails."""
    problem = None
    if after_epoch is not None and run.group.rank == 0:
        try:
            with contract.rehearsal(run.model, run.device), in_eval(run.model), torch.enable_grad():
                after_epoch(dict(row), run.model)
        except Exception as error:
            problem = error
        run.model.to(run.device)  # it may have been moved, as by evaluate
    if run.group.any(problem is not None):
        raise problem or RuntimeError("after_epoch: it failed in the first process, which says why")


@contextlib.contextmanager
def _left_in_order(run, checkpoint):
    """However the training ends: the model is left as promised, and the error has the record so far or what to do."""
    try:
        yield
    except distributed.ProcessLost as error:
        raise distributed.ProcessLost(_lost(error, run, checkpoint)) from error
    except (KeyboardInterrupt, FloatingPointError) as error:
        error.history = run.history
        raise
    finally:
        run.leave_model()


def _lost(error, run, checkpoint):
    """The error's message, with what to do now."""
    where = f"{error}, after {run.position()}"
    if checkpoint is None:
        return where + "; with a checkpoint it could go on from the last epoch"
    return (
        f"{where}; {checkpoint}, if there is one, holds the last whole epoch: go on with resume=True (--resume), "
        "in as many processes as you like"
    )


def _interrupted(run, checkpoint):
    where = f"interrupted after {run.position()}; the model has the weights of that moment"
    return where + (f"; fit(..., checkpoint={str(checkpoint)!r}, resume=True) goes on" if checkpoint else "")


def _progress(run, verbose):
    """The batches of the epoch under way, with a bar."""
    if not verbose:
        return run.batches
    from tqdm.auto import tqdm

    name = f"epoch {run.now['epoch'] + 1}/{run.recipe.epochs}"
    return tqdm(run.batches, desc=name, initial=run.now["batch"], leave=False)


# What is asked of the arguments; of the model: contract.py


def _check_digits(train, test):
    for name, value in ({"train": train} | ({"test": test} if test is not None else {})).items():
        if not isinstance(value, Digits) or not len(value):
            raise TypeError(f"{name}: expected Digits, at least one, got {_check.describe(value)}")
    if test is not None and test.scale != train.scale:
        raise ValueError(
            f"test: expected images normalised like those of train, got {test!r}; load it with like= the training set"
        )


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
