"""Files of tensors and facts: safetensors with JSON in its header. Reading one never runs code.

A file is replaced at once or not at all: whoever is killed while writing leaves the old one as it was.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path

import torch

from stncourse import _check


class CheckpointError(ValueError):
    """A file that is not what it should be. Nothing was taken from it."""


def save_tensors(path, tensors, info):
    """Write named tensors and ``info`` to ``path``, atomically.

    Args:
        path: the file to write; its folder has to be there.
        tensors: dict, name -> tensor.
        info: dict that JSON can hold.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = save(tensors, metadata={"info": json.dumps(info)})
    path = Path(path)
    # In the same folder, so that the replacement is one step of the file system. Always of the same name: what a killed
    # process leaves behind, the next one takes.
    temporary = path.with_name(f".{path.name}.new")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_tensors(path):
    """Read what :func:`save_tensors` wrote.

    Args:
        path: the file.

    Returns:
        ``(tensors, info)``, two dicts.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is truncated or of another kind; a pickle, for example. It is not executed.

    >>> save_tensors("weights.safetensors", {"a": torch.ones(2)}, {"epoch": 3})
    >>> read_tensors("weights.safetensors")
    ({'a': tensor([1., 1.])}, {'epoch': 3})
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a safetensors file, there is none at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {})["info"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"path: expected a safetensors file, {path} is not one, or not a whole one ({error})"
        ) from error
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"path: expected a file that stncourse wrote, {path} lacks its description") from error
    if not isinstance(info, dict):
        raise CheckpointError(f"path: expected a file that stncourse wrote, {path} has another description")
    return tensors, info


def check_writable(name, path):
    """Check at the start of a long run that a file can be written at its end.

    Raises:
        TypeError, OSError: it cannot; ``name`` is the argument's.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a path, got {_check.describe(path)}")
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{name}: expected a file, {path} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: expected a file in a folder that exists, {path.parent} does not")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(f"{name}: cannot write into the folder {path.parent} ({error})") from error


def check_tensors(path, tensors, expected):
    """Check that a file holds exactly the tensors that are expected: names, shapes and dtypes.

    Args:
        expected: dict, name -> a tensor of the right shape and dtype.

    Raises:
        CheckpointError: it does not.
    """
    if missing := sorted(expected.keys() - tensors.keys()):
        raise CheckpointError(f"path: expected {missing[0]!r} in {path}, it is missing")
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise CheckpointError(f"path: expected only this model's tensors in {path}, got {unknown[0]!r} too")
    for name, like in expected.items():
        value = tensors[name]
        if value.shape != like.shape or value.dtype != like.dtype:
            raise CheckpointError(
                f"path: expected {name!r} in {path} to be {_check.describe(like)}, got {_check.describe(value)}"
            )


# A training run: the model, the optimizer's memory, and the random generators


def pack(model, optimizer, generators):
    """The tensors of a training run.

    Args:
        generators: dict, name -> state (a ByteTensor).

    Returns:
        dict, name -> tensor: ``model.*``, ``optimizer.<parameter's number>.*``, ``random.*``.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": v for name, v in state.items() if isinstance(v, torch.Tensor)}
    return tensors | {f"random.{name}": state for name, state in generators.items()}


def unpack(path, tensors, model, optimizer, generators):
    """Put the tensors of :func:`pack` back. All are checked first; when one is wrong, nothing is changed.

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
    expected = {f"model.{name}": value for name, value in model.state_dict().items()} | memory
    check_tensors(path, tensors, expected | {f"random.{name}": state for name, state in generators.items()})
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
    model.load_state_dict({name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")})
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
