"""A run as a file: the model, the optimizer's memory, the random generators, the position, the record.

Everything in the file is checked before anything of it is taken over.
"""

import math
import warnings
from dataclasses import asdict

import torch

from stncourse.training.checkpoints import (
    CheckpointError,
    as_bytes,
    check_tensors,
    load_into,
    read_tensors,
    save_tensors,
)
from stncourse.training.history import History
from stncourse.training.model_state import tensors_of


def check_can_be_saved(run):
    """What a file cannot hold is said now, and not after an epoch. TypeError, ValueError."""
    as_bytes(*_content(run))


def save(run, path, last_chance):
    """Write the run as it is now. Where that fails, a warning says so; OSError when it is the ``last_chance``."""
    try:
        save_tensors(path, *_content(run))
    except OSError as error:
        if last_chance:
            raise
        # A full disk is no reason to throw away what runs well; the next epoch tries again.
        # It is told of the line that called fit: fit calls the loop, and that calls this.
        warnings.warn(f"checkpoint: could not write {path} ({error}); the training goes on", stacklevel=4)


def restore(run, path):
    """Take over the run in a file. If it is not this one, an error says so, and nothing is changed."""
    tensors, info = run.group.first(lambda: read_tensors(path))
    now, history = _checked_run(path, info, run.recipe, len(run.batches))
    _check_same(path, info["run"], run.description)
    generators = _generators(run)
    # The device may be another one than before.
    if "random.cuda" not in tensors:
        generators.pop("cuda", None)
    elif "cuda" not in generators:
        tensors.pop("random.cuda")
    states = _unpack(path, tensors, run.model, run.optimizer, generators)
    torch.set_rng_state(states["torch"])
    if run.group.rank > 0:  # dropout masks of its own, and others than before
        torch.manual_seed((run.seed + 1000 * now["epoch"] + run.group.rank) % 2**64)
    elif "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], run.device)
    run.take_over(now, history, info.get("theta_of", info["run"].get("probe")))
    run.batches.skip_to(now["epoch"], now["batch"], states["batches"] if now["batch"] else None)


def _content(run):
    """The file's tensors and facts."""
    info = {"run": run.description, "now": run.now, "history": asdict(run.history), "theta_of": run.theta_of}
    return _pack(run.model, run.optimizer, _generators(run)), info


def _generators(run):
    """The states of the random generators, by name."""
    # Before the first epoch there is no generator of batches; any state will do.
    batches = run.batches.generator or torch.Generator()
    states = {"torch": torch.get_rng_state(), "batches": batches.get_state()}
    if run.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(run.device)
    return states


# What a file says of its run


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


# The tensors


def _pack(model, optimizer, generators):
    """The tensors of a training run.

    Args:
        generators: dict, name -> state (a ByteTensor).

    Returns:
        dict, name -> tensor: ``model.*``, ``optimizer.<parameter's number>.*``, ``random.*``.
    """
    tensors = {f"model.{name}": value for name, value in tensors_of(model).items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": v for name, v in state.items() if isinstance(v, torch.Tensor)}
    return tensors | {f"random.{name}": state for name, state in generators.items()}


def _unpack(path, tensors, model, optimizer, generators):
    """Put the tensors of :func:`_pack` back. All are checked first; when one is wrong, nothing is changed.

    Args:
        path: for messages.
        generators: dict, name -> a state of the kind to expect.

    Returns:
        dict, name -> generator state: to be set by the caller.

    Raises:
        CheckpointError: a tensor is missing, unknown, or of another shape or dtype; a generator's state is none.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    # Of a parameter that is frozen, or that no step has reached yet, the optimizer remembers nothing.
    remembered = {name.split(".")[1] for name in tensors if name.startswith("optimizer.")}
    memory = {n: like for n, like in _memory_like(optimizer, parameters).items() if n.split(".")[1] in remembered}
    weights = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
    rest = {name: value for name, value in tensors.items() if not name.startswith("model.")}
    check_tensors(path, rest, memory | {f"random.{name}": state for name, state in generators.items()})
    states = {name: tensors[f"random.{name}"] for name in generators}
    try:
        torch.Generator().set_state(states["torch"])
        torch.Generator().set_state(states["batches"])
    except RuntimeError as error:
        raise CheckpointError(f"path: expected states of random generators in {path}, got something else") from error

    state = {}
    for name in memory:
        number, entry = name.split(".")[1:]
        state.setdefault(int(number), {})[entry] = tensors[name]
    load_into(model, path, weights)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return states


def _memory_like(optimizer, parameters):
    """What AdamW remembers of each parameter: names, and tensors of the right shape. Plain SGD remembers nothing."""
    if not isinstance(optimizer, torch.optim.AdamW):
        return {}
    return {
        f"optimizer.{number}.{name}": like
        for number, parameter in enumerate(parameters)
        for name, like in {"step": torch.tensor(0.0), "exp_avg": parameter, "exp_avg_sq": parameter}.items()
    }
