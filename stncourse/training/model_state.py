"""A model's tensors by their plain names, without those that wrappers add, and back into a model."""

import torch
from torch import nn

from stncourse import _check


def _inner(module):
    """Under which name a wrapper has its model; None for a module that is no wrapper."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return "module"
    return "_orig_mod" if "_orig_mod" in module._modules else None  # torch.compile's


def unwrapped(model):
    """The model inside torch.compile's wrapper, DataParallel, or several of them."""
    while name := _inner(model):
        model = model._modules[name]
    return model


def tensors_of(model):
    """What a model's ``state_dict`` holds, by names that do not depend on wrappers around the model or inside it.

    Raises:
        TypeError: there is something else than tensors in it.
    """
    return {_plain(model, name): value for name, value in _state(model).items()}


def put_into(model, tensors):
    """Copy tensors as from :func:`tensors_of` into a model; the names have to be all of its own."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and is_expanded(buffer):  # nothing can be copied into such memory
                module._buffers[name] = buffer.clone(memory_format=torch.contiguous_format)
    model.load_state_dict({name: tensors[_plain(model, name)] for name in model.state_dict()})


def tied(model):
    """Names of one and the same tensor, as from :func:`tensors_of`: a list of lists of two or more."""
    names = {}
    for name, value in model.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(_plain(model, name))
    return [same for same in names.values() if len(same) > 1]


def remember_buffers(model):
    """Returns a function that puts the model's buffers back as they are now: a BatchNorm's statistics, for example."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]

    def put_back():
        with torch.no_grad():
            for module, name, buffer, content in before:
                module._buffers[name] = buffer
                if not is_expanded(buffer):
                    buffer.copy_(content)

    return put_back


def is_expanded(tensor):
    """Whether several of its elements are one place in memory."""
    if tensor.layout is not torch.strided:
        return False
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _state(model):
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):  # a module's get_extra_state may give anything
            raise TypeError(f"model: expected only tensors in its state_dict, got {name!r}: {_check.describe(value)}")
    return state


def _plain(model, name):
    """``_orig_mod.stn._orig_mod.weight`` -> ``stn.weight``."""
    plain, module = [], model
    for part in name.split("."):
        if module is None or part != _inner(module):
            plain.append(part)
        module = module._modules[part] if module is not None and part in module._modules else None
    return ".".join(plain)
