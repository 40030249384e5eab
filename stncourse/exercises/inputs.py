"""What attempts are tried on: random numbers that are the same each time, some θ, a digit; from small to large."""

import torch

from stncourse.data.mnist import load_digits

#: The types that an answer has to keep: in float64 gradients are compared too.
FLOATS = (torch.float64, torch.float32)


def seeded(seed, dtype=torch.float32):
    """Keywords for ``torch.rand`` and the like: one seed gives the same numbers each time."""
    return {"generator": torch.Generator().manual_seed(seed), "dtype": dtype}


def in_both_types(inputs):
    """(input, keywords for ``torch.rand``) for each of ``inputs``, in both FLOATS; its place among them is the seed."""
    return [(given, seeded(seed, dtype)) for seed, given in enumerate(inputs) for dtype in FLOATS]


def around(center, count, spread, *, generator, dtype):
    """``count`` tensors around ``center``, (count, …): each number has its own noise, normal with this spread."""
    center = torch.as_tensor(center, dtype=dtype)
    return center + spread * torch.randn(count, *center.shape, generator=generator, dtype=dtype)


def thetas(count, dtype, seed):
    """θ (count, 2, 3) of every kind, none of them special."""
    return around(torch.eye(2, 3), count, 0.4, **seeded(seed, dtype))


def a_digit(label=3):
    """A shipped digit, ``(1, 1, 28, 28)`` float32 in [0, 1], for pictures."""
    digits = load_digits("test", source="offline")
    return digits.images[digits.labels == label][2:3] / 255


def cases_by_size(cases):
    """Sort argument tuples by how many numbers are in them, so that the smallest failing input is found first."""
    return sorted(cases, key=lambda case: sum(map(_size, case)))


def _size(value):
    if isinstance(value, torch.Tensor):
        return value.numel()
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    return abs(value) if isinstance(value, int) else 1
