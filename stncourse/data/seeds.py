"""Randomness from a seed, the same on every machine."""

import torch


def cpu_generator(seed):
    """A generator of its own, on the CPU whatever torch's default device, for any whole number from 0."""
    return torch.Generator(device="cpu").manual_seed(seed % 2**64)
