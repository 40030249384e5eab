"""What is measured on the record of a training run: numbers from the losses, and from how θ went."""

import math

import torch

from stncourse.transformer.grids import affine_grid, projective_grid


def measure(history, classes):
    """All the numbers there are to look at, by name; left out are those that need more records, or images, of θ."""
    losses = [row["train_loss"] for row in history.epochs]
    measures = {"losses": losses, "guessing": math.log(classes), "guessing_accuracy": 1 / classes}
    known = losses + [row["test_loss"] for row in history.epochs if row.get("test_loss") is not None]
    measures["lowest_loss"] = min(filter(math.isfinite, known), default=0.0)
    if losses:
        measures["part_of_guessing"] = losses[-1] / measures["guessing"]
    if not history.theta or history.theta[0]["theta"] is None:  # a thin-plate spline has no θ
        return measures
    # (moments, images, 2 or 3, 3); as it is to be computed with, whatever torch's defaults
    theta = torch.tensor([snapshot["theta"] for snapshot in history.theta], dtype=torch.float32, device="cpu")
    measures["finite"] = bool(theta.isfinite().all())
    if not measures["finite"]:
        return measures
    first, last = theta[0], theta[-1]
    narrow, wide = _sides(last)
    measures |= {
        "largest": last.abs().flatten(1).amax(1).median().item(),
        "size": (narrow * wide).sqrt().median().item(),
        "narrow": narrow.median().item(),
        "on_image": _on_image(last).mean().item(),
        "tx": last[:, 0, 2].median().item(),
        "ty": last[:, 1, 2].median().item(),
    }
    if history.theta[0]["step"] == 0:
        narrow, wide = _sides(first)
        measures["size_at_start"] = (narrow * wide).sqrt().median().item()
    if len(last) > 1:
        measures["spread"] = _spread(last)
        if history.theta[0]["step"] == 0:
            measures["spread_at_start"] = _spread(first)
    if len(theta) > 1:
        measures["moved"] = (theta - first).abs().max().item()
    if len(theta) >= 8:
        # How far each moment lies from the middle of its neighbours: 0 for a θ that goes straight on.
        off = (theta[1:-1] - (theta[:-2] + theta[2:]) / 2).abs().flatten(2).amax(2)
        measures["jitter"] = off.mean(1).median().item()
    return measures


def _sides(theta):
    """How large each frame is, as a part of the image: its narrow and its wide half axis."""
    matrix = theta[:, :2, :2] / (theta[:, 2:, 2:] if theta.shape[1] == 3 else 1.0)
    wide, narrow = torch.linalg.svdvals(matrix).T
    return narrow, wide


def _on_image(theta):
    """The part of each frame that lies on the image."""
    grid = (affine_grid if theta.shape[1] == 2 else projective_grid)(theta, (16, 16))
    return (grid.abs() <= 1).all(-1).float().mean((1, 2))


def _spread(theta):
    """How much θ differs from image to image: the standard deviation of the entry that differs most."""
    return theta.flatten(1).std(0).max().item()
