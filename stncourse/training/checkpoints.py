"""Files of tensors and facts: safetensors with JSON in its header; and from there into a model. Reading runs no code.

A file is replaced at once or not at all: whoever is killed while writing leaves the old one as it was. A digest tells
when a single byte of it is another one.
"""

import hashlib
import json

import torch

from stncourse import _check
from stncourse._files import replacing
from stncourse.training.model_state import put_into, tensors_of, tied


class CheckpointError(ValueError):
    """A file that is not what it should be. Nothing was taken from it."""


def save_tensors(path, tensors, info):
    """Write named tensors and ``info`` to ``path``, atomically.

    Args:
        path: the file to write; its folder has to be there.
        tensors: dict, name -> tensor. Several may share memory; each is written as if it had its own.
        info: dict that JSON can hold.

    Raises:
        TypeError, ValueError: a file cannot hold that. OSError: the file cannot be written; what was there before is
            still there.
    """
    data = as_bytes(tensors, info)
    with replacing(_check.path("path", path)) as file:
        file.write(data)


def as_bytes(tensors, info):
    """What :func:`save_tensors` writes; the same bytes for the same content."""
    from safetensors import SafetensorError
    from safetensors.torch import save

    if not isinstance(info, dict):
        raise TypeError(f"info: expected a dict that JSON can hold, got {_check.describe(info)}")
    try:
        text = json.dumps(info)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"info: expected a dict that JSON can hold ({error})") from error
    own = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"tensors: expected only tensors, got {name!r}: {_check.describe(tensor)}")
        own[name] = tensor.detach().cpu()
    try:
        # safetensors refuses tensors that share memory, as tied weights do.
        data = save({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in own.items()})
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"tensors: expected dense tensors of a dtype that safetensors knows ({error})") from error
    header, content = _cut(data)
    told = {"__metadata__": {"info": text, _DIGEST: _NONE}} | json.loads(header[8:])
    header = json.dumps(told, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    header = len(header).to_bytes(8, "little") + header
    return b"".join([header.replace(_field(_NONE), _field(_digest(header, content))), content])


_DIGEST, _NONE = "sha256", 64 * "0"


def _field(digest):
    return f'"{_DIGEST}":"{digest}"'.encode("utf-8", "surrogatepass")


def _cut(data):
    """The length and the header of a safetensors file, and the content."""
    end = 8 + int.from_bytes(data[:8], "little")
    return data[:end], memoryview(data)[end:]


def _digest(header, content):
    """Of a whole file in which the digest itself counts as zeros."""
    digest = hashlib.sha256(header)
    digest.update(content)
    return digest.hexdigest()


def _check_digest(header, content, metadata):
    if _DIGEST in metadata:
        digest = metadata[_DIGEST]
        if digest != _digest(header.replace(_field(digest), _field(_NONE)), content):
            raise CheckpointError("its content is not what was written")
    elif metadata.keys() - {"info", "format"}:  # earlier files have no digest; in this one its name is damaged
        raise CheckpointError("its header is not what was written")


def read_tensors(path):
    """Read what :func:`save_tensors` wrote.

    Args:
        path: the file.

    Returns:
        ``(tensors, info)``, two dicts.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is truncated, damaged or of another kind; a pickle, for example. It is not executed.

    >>> save_tensors("weights.safetensors", {"a": torch.ones(2)}, {"epoch": 3})
    >>> read_tensors("weights.safetensors")
    ({'a': tensor([1., 1.])}, {'epoch': 3})
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = _check.path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a safetensors file, there is none at {path}")
    try:
        data = path.read_bytes()
        tensors = load(data)
        header, content = _cut(data)
        metadata = json.loads(header[8:]).get("__metadata__") or {}
        _check_digest(header, content, metadata)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"path: expected a safetensors file, {path} is not one, or not a whole one ({error})"
        ) from error
    try:
        info = json.loads(metadata["info"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"path: expected a file that stncourse wrote, {path} lacks its description") from error
    if not isinstance(info, dict):
        raise CheckpointError(f"path: expected a file that stncourse wrote, {path} has another description")
    return tensors, info


def load_into(model, path, tensors):
    """Put tensors into a model, by the names that it has without wrappers. All are checked first.

    Args:
        path: for messages.

    Raises:
        CheckpointError: they are not exactly this model's; it is as it was before.
    """
    expected = tensors_of(model)
    tensors = _named_like(expected, tensors)
    check_tensors(path, tensors, expected)
    _check_tied(path, tensors, model)
    put_into(model, tensors)


def _named_like(expected, tensors):
    """Files of earlier versions have the names that torch.compile and DataParallel add; an AveragedModel's too."""
    tensors = {".".join(part for part in name.split(".") if part != "_orig_mod"): t for name, t in tensors.items()}
    if "n_averaged" not in expected and all(name.startswith("module.") for name in tensors.keys() - {"n_averaged"}):
        tensors.pop("n_averaged", None)  # how many models it is the average of, beside the weights
    if not tensors.keys() & expected.keys() and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


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


def _check_tied(path, tensors, model):
    """Check that what is one tensor in the model is the same under all its names in the file."""
    for first, *others in tied(model):
        for other in others:
            if not _same_bytes(tensors[first], tensors[other]):
                raise CheckpointError(
                    f"path: expected {first!r} and {other!r} in {path} to be equal, in this model they are one tensor"
                )


def _same_bytes(one, other):
    return torch.equal(*(tensor.flatten().view(torch.uint8) for tensor in (one, other)))  # also where they are NaN
