"""What may be remembered from one call to the next: tensors that are made of plain numbers, such as pixel centres."""

import functools

import torch
from torch import nn


def is_plain(tensor):
    """Whether ``tensor`` is just its numbers: not traced or compiled, nor a stand-in without any (meta, fake).

    Only then may what goes with it be remembered.
    """
    return type(tensor) in (torch.Tensor, nn.Parameter) and not (
        torch.compiler.is_compiling() or torch.jit.is_tracing() or tensor.is_meta
    )


def remembered(maxsize):
    """``functools.lru_cache(maxsize)`` for a function that makes a tuple of tensors from plain arguments.

    What a transform of ``torch.func`` or another mode made of them is passed on and forgotten: later calls would break.
    """

    def decorate(make):
        @functools.lru_cache(maxsize)
        def kept(*arguments):
            with torch.inference_mode(False):  # or a training after it could not use them
                tensors = make(*arguments)
            if not all(map(_has_numbers, tensors)):
                raise _NotKeptError(tensors)
            return tensors

        @functools.wraps(make)
        def remember(*arguments):
            try:
                return kept(*arguments)
            except _NotKeptError as passing:
                return passing.args[0]

        return remember

    return decorate


class _NotKeptError(Exception):
    """Carries past the cache what is not to be in it."""


def _has_numbers(tensor):
    try:
        return type(tensor) is torch.Tensor and tensor.data_ptr() != 0
    except RuntimeError:  # a wrapper
        return False
