"""Which digit has a transformer taken? Nobody tells it; but it can be measured afterwards."""

from typing import NamedTuple

import torch

from stncourse import _check


class Taken(NamedTuple):
    """What :func:`who_took_which` found, of T transformers and C digits."""

    spread: torch.Tensor  #: (T, C), how far its frame strays over each digit, in pixels of the digit
    digit: torch.Tensor  #: (T,), the digit that it holds stillest
    share: torch.Tensor  #: (T,), the part of the images in which it holds that one more still than any other


def who_took_which(grids, theta, size=(28, 28)):
    """Which of several digits, each distorted by itself, a transformer follows.

    A transformer that has taken a digit turns, scales and places its frame as the digit lies: seen from the digit, the
    frame is always in the same place. Over another digit it strays, from image to image. So every point of the frame is
    carried back into each digit's own undistorted picture; how far it lies there from its mean place over all images,
    as a root mean square, is the spread.

    Args:
        grids: ``(T, N, H, W, 2)`` or a list of T grids: where each transformer looked on the distorted images, as
            ``transform(images).grid`` says.
        theta: ``(N, C, 2, 3)``, the θ that distorted each digit, from :func:`stncourse.paper.pairs.distort_each`.
        size: ``(H, W)`` of the undistorted digit, for spreads in pixels.

    Returns:
        :class:`Taken` ``(spread, digit, share)``.

    Convention:
        (x, y) in [-1, 1], ``align_corners=False``. A grid holds places on the distorted image, and θ maps these →
        places on the original digit; so the frame's place on the digit is θ times the grid.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above, or there are fewer than two images.

    >>> from stncourse import affine_grid
    >>> from stncourse.paper.pairs import distort_each
    >>> made = distort_each(torch.zeros(50, 2, 28, 28), "RTS", torch.Generator().manual_seed(0))
    >>> whole = torch.cat([made.theta[:, 1], torch.tensor([[[0.0, 0.0, 1.0]]]).expand(50, 1, 3)], 1)
    >>> undone = torch.linalg.inv(whole)[:, :2]  # holds digit 1 quite still
    >>> who_took_which([affine_grid(undone, (28, 28))], made.theta).digit
    tensor([1])
    """
    grids = torch.stack(list(grids)) if isinstance(grids, (list, tuple)) else grids
    _check.tensor("grids", grids, "T N H W 2")
    count = grids.shape[1]
    _check.tensor("theta", theta, f"{count} C 2 3")
    theta = theta.to(grids)
    if count < 2:
        raise ValueError(f"theta: expected at least two images, got {count}")
    height, width = _check.image_size("size", size)
    points = grids.flatten(2, 3)  # (T, N, P, 2)
    on_digit = torch.einsum("ncij,tnpj->tncpi", theta[..., :2], points) + theta[..., None, :, 2]
    strayed = (on_digit - on_digit.mean(1, keepdim=True)) * torch.tensor([width / 2, height / 2]).to(points)
    squared = strayed.square().sum(-1).mean(-1)  # (T, N, C)
    spread = squared.mean(1).sqrt()
    digit = spread.argmin(1)
    stillest = squared.argmin(2) == digit[:, None]
    return Taken(spread, digit, stillest.double().mean(1))
