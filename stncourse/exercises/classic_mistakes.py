"""The classic mistakes of geometry: each takes a right function and returns one that makes the mistake.

Said once for all exercises: a θ, ``(N, 2, 3)`` or ``(N, 3, 3)``, is the first argument, a size (height, width) the
last one, and the last axis of an answer is (x, y). What the student is told stays with the exercise, which knows how
things are called there.
"""

import torch


def xy_swapped(right):
    """The answer has y first."""
    return lambda *arguments: right(*arguments).flip(-1)


def hw_transposed(right):
    """The size is read as (width, height)."""
    return lambda *arguments: right(*arguments[:-1], arguments[-1][::-1])


def other_align_corners(right):
    """±1 are taken for the centres of the outer pixels."""
    return lambda *arguments: right(*arguments, align_corners=True)


def theta_inverted(right):
    """θ is read as input → output."""
    return lambda theta, *others: right(_inverse(theta), *others)


def theta_transposed(right):
    """θ is multiplied from the wrong side: the block of an affine θ, all of a projective one."""

    def wrong(theta, *others):
        side = theta.shape[1]
        return right(torch.cat([theta[:, :, :side].transpose(1, 2), theta[:, :, side:]], dim=2), *others)

    return wrong


def shift_negated(right):
    """The shift of an affine θ is subtracted."""
    return lambda theta, *others: right(torch.cat([theta[:, :, :2], -theta[:, :, 2:]], dim=2), *others)


def _inverse(theta):
    if theta.shape[1] == 3:
        return torch.linalg.inv(theta)
    last_row = torch.tensor([0.0, 0.0, 1.0], dtype=theta.dtype).expand(len(theta), 1, 3)
    return torch.linalg.inv(torch.cat([theta, last_row], dim=1))[:, :2]
