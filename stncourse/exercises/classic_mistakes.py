"""The classic mistakes of geometry: each takes a right function and returns one that makes the mistake.

Said once for all exercises: a θ, ``(N, 2, 3)`` or ``(N, 3, 3)``, is the first argument, a size (height, width) the
last one, and the last axis of an answer is (x, y). Keywords go through, so that one mistake can be made on top of
another. What the student is told stays with the exercise, which knows how things are called there.
"""

import torch


def on_answer(change):
    """The answer is changed."""
    return lambda right: lambda *arguments, **options: change(right(*arguments, **options))


def on_argument(position, change):
    """One argument is changed before."""

    def twisted(right):
        def wrong(*arguments, **options):
            changed = [change(a) if place == position else a for place, a in enumerate(arguments)]
            return right(*changed, **options)

        return wrong

    return twisted


def with_options(**given):
    """A right function that has options is called with other ones."""
    return lambda right: lambda *arguments, **options: right(*arguments, **{**options, **given})


def xy_swapped(right):
    """The answer has y first."""
    return lambda *arguments, **options: right(*arguments, **options).flip(-1)


def hw_transposed(right):
    """The size is read as (width, height)."""
    return lambda *arguments, **options: right(*arguments[:-1], arguments[-1][::-1], **options)


def other_align_corners(right):
    """±1 are taken for the centres of the outer pixels."""
    return lambda *arguments, **options: right(*arguments, **{**options, "align_corners": True})


def theta_inverted(right):
    """θ is read as input → output."""
    return lambda theta, *others, **options: right(_inverse(theta), *others, **options)


def theta_transposed(right):
    """θ is multiplied from the wrong side: the block of an affine θ, all of a projective one."""

    def wrong(theta, *others, **options):
        side = theta.shape[1]
        return right(torch.cat([theta[:, :, :side].transpose(1, 2), theta[:, :, side:]], dim=2), *others, **options)

    return wrong


def theta_viewed(right):
    """θ's numbers are read as three rows of two, where it should be transposed."""

    def wrong(theta, *others, **options):
        return right(theta.reshape(-1, 3, theta.shape[1]).transpose(1, 2).contiguous(), *others, **options)

    return wrong


def shift_negated(right):
    """The shift of an affine θ is subtracted."""

    def wrong(theta, *others, **options):
        return right(torch.cat([theta[:, :, :2], -theta[:, :, 2:]], dim=2), *others, **options)

    return wrong


def y_up_before(right):
    """y grows upwards in the base grid, which θ is multiplied with."""

    def wrong(theta, *others, **options):
        up = torch.ones_like(theta)
        up[:, :, 1] = -1
        return right(theta * up, *others, **options)

    return wrong


def y_up_after(right):
    """y grows upwards in the answer."""
    return on_answer(lambda places: torch.stack([places[..., 0], -places[..., 1]], dim=-1))(right)


def listed_by_columns(right):
    """The places of a grid are listed column by column, and taken for rows."""
    return on_answer(lambda grid: grid.transpose(1, 2).reshape(grid.shape))(right)


def viewed_for_transposed(right):
    """(N, 2, H·W) is *viewed* as (N, H, W, 2), where it should be transposed."""
    return on_answer(lambda grid: grid.flatten(1, 2).transpose(1, 2).reshape(grid.shape))(right)


# Rulers: where ``count`` pixels lie


def from_end_to_end(count, dtype):
    """The first at −1, the last at 1; a lone one at −1, as ``linspace`` has it."""
    return torch.linspace(-1, 1, count, dtype=dtype)


def at_left_edges(count, dtype):
    """At the left edge of each pixel, in place of its centre."""
    return 2 * torch.arange(count, dtype=dtype) / count - 1


def at_right_edges(count, dtype):
    """At the right edge of each pixel."""
    return at_left_edges(count, dtype) + 2 / count


def by_number(count, dtype):
    """At 0, 1, 2, …: pixels, no ruler."""
    return torch.arange(count, dtype=dtype)


def from_0_to_1(count, dtype):
    """On a ruler from 0 to 1."""
    return (torch.arange(count, dtype=dtype) + 0.5) / count


def grid_on(ruler, theta, size):
    """The places of θ's grid, ``(N, H, W, 2)``, where the output's pixels lie on this ruler."""
    rows, columns = (ruler(count, theta.dtype) for count in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.einsum("nij,hwj->nhwi", theta, torch.stack([x, y, torch.ones_like(x)], dim=-1))
    return places if theta.shape[1] == 2 else places[..., :2] / places[..., 2:]


def _inverse(theta):
    if theta.shape[1] == 3:
        return torch.linalg.inv(theta)
    last_row = torch.tensor([0.0, 0.0, 1.0], dtype=theta.dtype).expand(len(theta), 1, 3)
    return torch.linalg.inv(torch.cat([theta, last_row], dim=1))[:, :2]
