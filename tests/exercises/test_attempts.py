"""Attempts as students write them: wrong ones hear what is wrong, right ones pass, however they are written.

None of these is taken from the exercises' own sources. ``WRONG``: exercise -> attempts, each with the name of the
mistake that has to be recognised (None: none) and words of the message. ``RIGHT``: exercise -> attempts.
"""

import cmath
import math
import re
import statistics
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import stncourse
from stncourse import BACKGROUND, affine_theta
from stncourse.exercises import NOTEBOOKS, exercises_of, find
from stncourse.exercises.engine.observe import observe_answer

WRONG, RIGHT = {}, {}


def wrong(exercise, mistake, words=""):
    """Notes the attempt below as wrong."""

    def note(attempt):
        WRONG.setdefault(exercise, []).append((attempt, mistake, words))
        return attempt

    return note


def right(exercise):
    """Notes the attempt below as right."""

    def note(attempt):
        RIGHT.setdefault(exercise, []).append(attempt)
        return attempt

    return note


def answers(exercise, wrong_ones, right_ones):
    """Notes answers to a question or a puzzle."""
    WRONG.setdefault(exercise, []).extend((answer, mistake, words) for answer, mistake, words in wrong_ones)
    RIGHT.setdefault(exercise, []).extend(right_ones)


def judged(name, attempt):
    exercise = find(name)
    with mock.patch("stncourse.exercises.engine.observe.calls_that_end", lambda work, count, seconds: count):
        return exercise.judge(lambda calls: observe_answer(attempt, calls, getattr(exercise, "signature", None))).result


# 01


answers(
    "background",
    [
        (0, "zero padding", "before"),
        (0.81, "sign", "negative"),
        (-0.42, "MNIST's background", "another black"),
        (-0.8, "rounded", "more decimals"),
        (2.0227, "white", "p = 0"),
        ("-0.810", None, "without quotes"),
        ((-0.81,), None, "comma"),
    ],
    [np.float32(-0.810), np.array([-0.8102]), torch.tensor(-0.81), (0 - 0.2860) / 0.3530],
)


@wrong("normalize", "not scaled to [0, 1]", "divide by 255")
def _(images, mean, std):
    mean, std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    return (images.float() - mean) / std


@wrong("normalize", "wrong axis", "channels")
def _(images, mean, std):
    return (images.float() / 255 - torch.tensor(mean)) / torch.tensor(std)


@wrong("normalize", "brackets missing", "bracket")
def _(images, mean, std):
    mean, std = torch.tensor(mean).view(1, -1, 1, 1), torch.tensor(std).view(1, -1, 1, 1)
    return images / 255 - mean / std


@wrong("normalize", None, "A list cannot be calculated with")
def _(images, mean, std):
    return (images / 255 - mean) / std


@wrong("normalize", "not scaled to [0, 1] + mean and std exchanged", "Two things at once")
def _(images, mean, std):
    mean, std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    return (images.float() - std) / mean


@wrong("normalize", "channels last", "channels come|Channels come second")
def _(images, mean, std):
    return ((images / 255).permute(0, 2, 3, 1) - torch.tensor(mean)) / torch.tensor(std)


@right("normalize")
def _(images, mean, std):
    channels = images.float().div(255).unbind(1)
    return torch.stack([(c - m) / s for c, m, s in zip(channels, mean, std, strict=True)], dim=1)


@right("normalize")
def _(images, mean, std):
    pixels = images.numpy() / 255.0
    return (pixels - np.reshape(mean, (1, -1, 1, 1))) / np.reshape(std, (1, -1, 1, 1))


@right("normalize")
def _(images, mean, std):
    mean, std = torch.tensor(mean).double(), torch.tensor(std).double()
    return (images.permute(0, 2, 3, 1).double().div(255).sub(mean).div(std)).permute(0, 3, 1, 2)


@wrong("mean_and_std", "mean of the batches' means", "last batch is smaller")
def _(batches):
    means = [(b / 255).mean() for b in batches]
    return torch.stack(means).mean(), torch.cat([b.flatten() for b in batches]).double().div(255).std()


@wrong("mean_and_std", "variance for std", "root")
def _(batches):
    pixels = torch.cat([b.flatten() for b in batches]) / 255
    return pixels.mean().item(), pixels.var().item()


@wrong("mean_and_std", "uint8 overflow", "255")
def _(batches):
    n = sum(b.numel() for b in batches)
    mean = sum(b.sum() for b in batches) / n / 255
    squares = sum((b**2).sum() for b in batches) / n / 255**2
    return mean, (squares - mean**2).clamp(min=0).sqrt()


@wrong("mean_and_std", "not scaled to [0, 1]", "0 to 255")
def _(batches):
    pixels = torch.cat([b.flatten() for b in batches]).float()
    return pixels.mean().item(), pixels.std(unbiased=False).item()


@wrong("mean_and_std", "mean of the batches' means + variance for std", "Two things at once")
def _(batches):
    pixels = torch.cat([b.flatten() for b in batches]) / 255
    return sum((b / 255).mean() for b in batches) / len(batches), pixels.var(unbiased=False)


@right("mean_and_std")
def _(batches):
    pixels = torch.cat([images.flatten() for images in batches]).double() / 255
    return pixels.mean(), pixels.std()  # n − 1, as the page has it


@right("mean_and_std")
def _(batches):
    count, mean, m2 = 0, 0.0, 0.0
    for images in batches:
        for pixel in images.flatten().tolist():  # Welford
            count += 1
            delta = pixel / 255 - mean
            mean += delta / count
            m2 += delta * (pixel / 255 - mean)
    return np.float64(mean), np.sqrt(m2 / count)


@right("mean_and_std")
def _(batches):
    histogram = sum(torch.bincount(images.flatten().long(), minlength=256) for images in batches).double()
    values, share = torch.arange(256).double() / 255, histogram / histogram.sum()
    mean = share @ values
    return torch.stack([mean, (share @ (values - mean).square()).sqrt()])


@right("mean_and_std")
def _(batches):
    pixels = np.concatenate([images.numpy().ravel() for images in batches]) / 255
    return round(float(pixels.mean()), 4), round(float(pixels.std()), 4)


# 02


answers(
    "conv_output",
    [
        (96, "channels forgotten", "10 of them"),
        (1440, "square image", "not square"),
        (90, "the small image", "28×28"),
        (10 * 13 * 9, "pooling rounded up", "drops"),
    ],
    [torch.tensor(960), np.int64(960), 960.0],
)


@wrong("identity_start", "random weight", "weight \\*and\\* bias")
def _(features):
    layer = nn.Linear(features, 6)
    layer.bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])
    return layer.weight, layer.bias


@wrong("identity_start", "random weight", "not 0")
def _(features):
    return 0.01 * torch.randn(6, features), torch.eye(2, 3).flatten()


@wrong("identity_start", "random weight + column by column", "row by row")
def _(features):
    return torch.rand(6, features), torch.eye(2, 3).T.flatten()


@wrong("identity_start", "random bias", "bias has to be the identity")
def _(features):
    layer = nn.Linear(features, 6)
    nn.init.zeros_(layer.weight)
    return layer.weight, layer.bias


@wrong("identity_start", "bias of two rows", "one row of six")
def _(features):
    return torch.zeros(6, features), torch.eye(2, 3)


@wrong("identity_start", "weight transposed", "one \\*row\\*")
def _(features):
    return torch.zeros(features, 6), torch.tensor([1.0, 0, 0, 0, 1, 0])


@right("identity_start")
def _(features):
    layer = nn.Linear(features, 6)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.eye(2, 3).view(-1))
    return [layer.weight, layer.bias]


@right("identity_start")
def _(features):
    return np.zeros((6, features)), np.eye(2, 3).ravel()


@wrong("turn_back", "degrees for radians", "radians")
def _(degrees):
    c, s, z = degrees.cos(), degrees.sin(), torch.zeros_like(degrees)
    return torch.stack([c, s, z, -s, c, z], dim=1).reshape(-1, 2, 3)


@wrong("turn_back", "inverse θ", "twice as far")
def _(degrees):
    a = degrees * math.pi / 180
    theta = torch.zeros(len(degrees), 2, 3, dtype=degrees.dtype)
    theta[:, 0, 0], theta[:, 0, 1] = a.cos(), -a.sin()
    theta[:, 1, 0], theta[:, 1, 1] = a.sin(), a.cos()
    return theta


@wrong("turn_back", "inverse θ + degrees for radians", "Two things at once")
def _(degrees):
    c, s, z = degrees.cos(), degrees.sin(), torch.zeros_like(degrees)
    return torch.stack([c, -s, z, s, c, z], dim=1).reshape(-1, 2, 3)


@wrong("turn_back", "θ transposed", "two rows of three")
def _(degrees):
    a = torch.deg2rad(degrees)
    c, s, z = a.cos(), a.sin(), torch.zeros_like(a)
    return torch.stack([torch.stack([c, s, z], 1), torch.stack([-s, c, z], 1)], dim=2)


@wrong("turn_back", None, "left block alone")
def _(degrees):
    a = torch.deg2rad(degrees)
    return torch.stack([a.cos(), a.sin(), -a.sin(), a.cos()], 1).view(-1, 2, 2)


@wrong("turn_back", "missing batch dimension", "for every image")
def _(degrees):
    c, s = math.cos(degrees), math.sin(degrees)
    return torch.tensor([[c, s, 0], [-s, c, 0]])


@right("turn_back")
def _(degrees):
    turns = [cmath.rect(1, -math.radians(d)) for d in degrees.tolist()]
    return torch.tensor([[[z.real, -z.imag, 0], [z.imag, z.real, 0]] for z in turns])  # float32 for a float64


@right("turn_back")
def _(degrees):
    return affine_theta(rotation=-degrees)


@right("turn_back")
def _(degrees):
    angle = np.deg2rad(degrees.numpy())
    c, s, z = np.cos(angle), np.sin(angle), 0 * angle
    return np.array([[c, s, z], [-s, c, z]]).transpose(2, 0, 1)


# 03


answers(
    "which_way",
    [
        ("down", "translation sign", "frame"),
        ("left", "x and y swapped", "ty moves along y"),
        ("Right", "x and y swapped, translation sign", "up or down"),
        ("north", None, "is not one of"),
    ],
    ["UP", " up "],
)


@wrong("pixel_centers", "align_corners not honoured", "both rulers")
def _(count, align_corners):
    return torch.linspace(-1, 1, count)


@wrong("pixel_centers", "wrong align_corners", "exchanged")
def _(count, align_corners):
    if align_corners:
        return (2 * torch.arange(count) + 1) / count - 1
    return torch.linspace(-1, 1, count)


@wrong("pixel_centers", "off by half a pixel", "half a pixel")
def _(count, align_corners):
    return torch.linspace(-1, 1, count) if align_corners else torch.arange(count) * 2 / count - 1


@wrong("pixel_centers", "the lone pixel", "one pixel alone")
def _(count, align_corners):
    return torch.linspace(-1, 1, count) if align_corners else torch.linspace(-1 + 1 / count, 1 - 1 / count, count)


@wrong("pixel_centers", "the lone pixel", "one pixel alone")
def _(count, align_corners):
    i = torch.arange(count)
    return 2 * i / (count - 1) - 1 if align_corners else (2 * i + 1) / count - 1


@wrong("pixel_centers", None, r"`\.to\(torch\.float32\)`")
def _(count, align_corners):
    return torch.arange(count) * 2 - 1


@right("pixel_centers")
def _(count, align_corners):
    if align_corners and count == 1:
        return np.zeros(1)
    edge = 1 if align_corners else 1 - 1 / count
    return np.linspace(-edge, edge, count)


@right("pixel_centers")
def _(count, align_corners):
    i = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
    return i * 2 / max(count - align_corners, 1)


@right("pixel_centers")
def _(count, align_corners):
    return F.affine_grid(torch.eye(2, 3)[None], (1, 1, 2, count), align_corners=align_corners)[0, 0, :, 0]


def base_from(x, y, theta):
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([xx, yy, torch.ones_like(xx)], dim=-1).reshape(1, -1, 3)


@wrong("affine_grid", "wrong align_corners", "linspace")
def _(theta, size):
    h, w = size
    base = base_from(torch.linspace(-1, 1, w), torch.linspace(-1, 1, h), theta).to(theta)
    return (base @ theta.mT).view(-1, h, w, 2)


@wrong("affine_grid", "wrong align_corners", "edges")
def _(theta, size):
    h, w = size  # float32 alone: the float64 inputs say nothing
    base = base_from(torch.linspace(-1, 1, w), torch.linspace(-1, 1, h), theta)
    return (base @ theta.mT).view(-1, h, w, 2)


@wrong("affine_grid", "y points up", "down")
def _(theta, size):
    h, w = size
    x = (2 * torch.arange(w, dtype=theta.dtype) + 1) / w - 1
    y = 1 - (2 * torch.arange(h, dtype=theta.dtype) + 1) / h
    return (base_from(x, y, theta) @ theta.mT).view(-1, h, w, 2)


@wrong("affine_grid", "grid scrambled", "scrambled")
def _(theta, size):
    h, w = size
    x = (2 * torch.arange(w, dtype=theta.dtype) + 1) / w - 1
    y = (2 * torch.arange(h, dtype=theta.dtype) + 1) / h - 1
    xx, yy = torch.meshgrid(x, y, indexing="ij")
    base = torch.stack([xx, yy, torch.ones_like(xx)], dim=-1).reshape(-1, 3)
    return (base @ theta.mT).view(-1, h, w, 2)


@wrong("affine_grid", "grid scrambled", "view")
def _(theta, size):
    h, w = size
    x = (2 * torch.arange(w, dtype=theta.dtype) + 1) / w - 1
    y = (2 * torch.arange(h, dtype=theta.dtype) + 1) / h - 1
    return (theta @ base_from(x, y, theta).mT).reshape(-1, h, w, 2)


@wrong("affine_grid", "θ viewed, not transposed", "not a transpose")
def _(theta, size):
    h, w = size
    x = (2 * torch.arange(w, dtype=theta.dtype) + 1) / w - 1
    y = (2 * torch.arange(h, dtype=theta.dtype) + 1) / h - 1
    return (base_from(x, y, theta) @ theta.reshape(-1, 3, 2)).view(-1, h, w, 2)


@wrong("affine_grid", "x and y swapped + wrong align_corners", "Two things at once")
def _(theta, size):
    h, w = size
    base = base_from(torch.linspace(-1, 1, w), torch.linspace(-1, 1, h), theta).to(theta)
    return (base @ theta.mT).view(-1, h, w, 2).flip(-1)


@wrong("affine_grid", "translation sign + y points up", "Two things at once")
def _(theta, size):
    h, w = size
    x = (2 * torch.arange(w, dtype=theta.dtype) + 1) / w - 1
    y = 1 - (2 * torch.arange(h, dtype=theta.dtype) + 1) / h
    base = base_from(x, y, theta)[..., :2]
    return (base @ theta[:, :, :2].mT - theta[:, None, :, 2]).view(-1, h, w, 2)


@wrong("affine_grid", "detached gradient", "cut off")
def _(theta, size):
    return torch.stack([torch.from_numpy(stncourse.affine_grid(t[None], size)[0].detach().numpy()) for t in theta])


@right("affine_grid")
def _(theta, size):
    h, w = size
    j = torch.arange(w).to(theta) - (w - 1) / 2
    i = torch.arange(h).to(theta) - (h - 1) / 2
    a, b, c = (theta[:, :, k, None, None] for k in range(3))
    return (a * (2 * j / w) + b * (2 * i / h)[:, None] + c).permute(0, 2, 3, 1)


@right("affine_grid")
def _(theta, size):
    h, w = size  # as float32 alone
    y, x = torch.meshgrid(*(torch.linspace(1 / n - 1, 1 - 1 / n, n) for n in (h, w)), indexing="ij")
    return torch.einsum("nij,jhw->nhwi", theta, torch.stack([x, y, torch.ones(h, w)]))


@right("affine_grid")
def _(theta, size):
    grids = []
    for t in theta:
        z = torch.complex(t[0], t[1])
        rows = [
            [z[0] * ((2 * j + 1) / size[1] - 1) + z[1] * ((2 * i + 1) / size[0] - 1) + z[2] for j in range(size[1])]
            for i in range(size[0])
        ]
        grids.append(torch.view_as_real(torch.stack([torch.stack(row) for row in rows])))
    return torch.stack(grids)


@right("affine_grid")
def _(theta, size):
    return F.affine_grid(theta.double(), [len(theta), 3, *size], align_corners=False)


@wrong("turn_in_pixels", "turned on the ruler", "naive")
def _(degrees, size):
    return affine_theta(rotation=degrees)[0]


@wrong("turn_in_pixels", "H and W transposed", "H/W")
def _(degrees, size):
    h, w = size
    a = math.radians(degrees)
    return torch.tensor([[math.cos(a), -math.sin(a) * w / h, 0], [math.sin(a) * h / w, math.cos(a), 0]])


@wrong("turn_in_pixels", "degrees for radians + inverse θ", "Two things at once")
def _(degrees, size):
    h, w = size
    c, s = np.cos(degrees), np.sin(degrees)
    return torch.tensor([[c, s * h / w, 0], [-s * w / h, c, 0]])


@wrong("turn_in_pixels", None, "One axis too many in front")
def _(degrees, size):
    return affine_theta(rotation=degrees, size=size)


@right("turn_in_pixels")
def _(degrees, size):
    return affine_theta(rotation=degrees, size=size)[0].double()


@right("turn_in_pixels")
def _(degrees, size):
    d = np.diag([size[1], size[0]])
    z = cmath.exp(1j * math.radians(degrees))
    turned = np.linalg.inv(d) @ np.array([[z.real, -z.imag], [z.imag, z.real]]) @ d
    return np.hstack([turned, np.zeros((2, 1))])


# 04


def four(image, x, y, floor, colour):
    x0, y0 = floor(x), floor(y)
    a, b = x - x0, y - y0
    return (
        (1 - a) * (1 - b) * colour(image, y0, x0)
        + a * (1 - b) * colour(image, y0, x0 + 1)
        + (1 - a) * b * colour(image, y0 + 1, x0)
        + a * b * colour(image, y0 + 1, x0 + 1)
    )


def or_0(image, row, column):
    height, width = image.shape
    return float(image[row, column]) if 0 <= row < height and 0 <= column < width else 0.0


@wrong("color_between", "index −1", "last")
def _(image, x, y):
    return four(image, x, y, math.floor, lambda image, row, column: image[row, column])


@wrong("color_between", "index −1", "last")
def _(image, x, y):
    def colour(image, row, column):
        try:
            return image[row, column].item()
        except IndexError:
            return 0.0

    return four(image, x, y, math.floor, colour)


@wrong("color_between", "truncated, not floored", "math.floor")
def _(image, x, y):
    return four(image, x, y, int, or_0)


@wrong("color_between", "x and y swapped", "row, column")
def _(image, x, y):
    height, width = image.shape

    def colour(image, row, column):
        return float(image[column, row]) if 0 <= column < height and 0 <= row < width else 0.0

    return four(image, x, y, math.floor, colour)


@wrong("color_between", "zero padding not honoured", "repeat its edge")
def _(image, x, y):
    height, width = image.shape

    def colour(image, row, column):
        return image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)].item()

    return four(image, x, y, math.floor, colour)


@wrong("color_between", "all pixels", "NaN")
def _(image, x, y):
    total = 0.0
    for n in range(image.shape[0]):
        for m in range(image.shape[1]):
            total += image[n, m] * max(0, 1 - abs(x - m)) * max(0, 1 - abs(y - n))
    return total


@wrong("color_between", "x and y swapped + zero padding not honoured", "Two things at once")
def _(image, x, y):
    height, width = image.shape

    def colour(image, row, column):
        return image[min(max(column, 0), height - 1), min(max(row, 0), width - 1)].item()

    return four(image, x, y, math.floor, colour)


@right("color_between")
def _(image, x, y):
    padded = F.pad(image.double(), (9, 9, 9, 9))
    left, top = math.floor(x) + 9, math.floor(y) + 9
    patch = padded[top : top + 2, left : left + 2]
    a, b = x - math.floor(x), y - math.floor(y)
    return torch.tensor([1 - b, b]).double() @ patch @ torch.tensor([1 - a, a]).double()


@right("color_between")
def _(image, x, y):
    h, w = image.shape
    place = torch.tensor([[[[(2 * x + 1) / w - 1, (2 * y + 1) / h - 1]]]])
    return F.grid_sample(image[None, None], place, align_corners=False).item()


@right("color_between")
def _(image, x, y):
    pixels = image.numpy()
    corners = np.array([(math.floor(y) + i, math.floor(x) + j) for i in (0, 1) for j in (0, 1)])
    corners = corners[((corners >= 0) & (corners < pixels.shape)).all(1)]
    return sum(np.float32(pixels[n, m]) * (1 - abs(y - n)) * (1 - abs(x - m)) for n, m in corners)


answers(
    "slope_by_place",
    [
        (0.6, "per pixel", "per \\*pixel\\*"),
        (-6, "sign", "sign"),
        (0.38, "colour for slope", "colour at this place"),
        (5.7, "19 steps", "align_corners"),
        (12, "whole width for half", "2 long"),
    ],
    [6, np.float32(6.0), torch.tensor([6.0])],
)


def neighbours(images, grid, ruler, floor, read):
    h, w = images.shape[2:]
    x, y = ruler(grid[..., 0], w), ruler(grid[..., 1], h)
    x0, y0 = floor(x), floor(y)
    out = 0
    for i in (0, 1):
        for j in (0, 1):
            weight = (1 - (x - x0 - j).abs()) * (1 - (y - y0 - i).abs())
            out = out + read(images, y0.long() + i, x0.long() + j) * weight[:, None]
    return out


def edge_ruler(place, n):
    return (place + 1) * n / 2 - 0.5


def read_or_0(images, row, column):
    n, c, h, w = images.shape
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    flat = row.clamp(0, h - 1) * w + column.clamp(0, w - 1)
    picked = images.flatten(2).gather(2, flat.flatten(1)[:, None].expand(-1, c, -1)).view(n, c, *row.shape[1:])
    return picked * inside[:, None]


def read_clamped(images, row, column):
    h, w = images.shape[2:]
    return read_or_0(images, row.clamp(0, h - 1), column.clamp(0, w - 1))


@wrong("bilinear_sample", "truncated, not floored", "floor")
def _(images, grid):
    h, w = images.shape[2:]
    x, y = edge_ruler(grid[..., 0], w), edge_ruler(grid[..., 1], h)
    x0, y0 = x.int(), y.int()
    a, b = (x - x0)[:, None], (y - y0)[:, None]
    return (
        read_or_0(images, y0.long(), x0.long()) * (1 - a) * (1 - b)
        + read_or_0(images, y0.long(), x0.long() + 1) * a * (1 - b)
        + read_or_0(images, y0.long() + 1, x0.long()) * (1 - a) * b
        + read_or_0(images, y0.long() + 1, x0.long() + 1) * a * b
    )


@wrong("bilinear_sample", "index −1", "last")
def _(images, grid):
    n = torch.arange(len(images)).view(-1, 1, 1)
    return neighbours(
        images,
        grid,
        edge_ruler,
        torch.floor,
        lambda images, row, column: images[n, :, row, column].permute(0, 3, 1, 2),
    )


@wrong("bilinear_sample", "channels last", "permute")
def _(images, grid):
    return neighbours(images, grid, edge_ruler, torch.floor, read_or_0).permute(0, 2, 3, 1)


@wrong("bilinear_sample", "zero padding not honoured", "clamp")
def _(images, grid):
    return neighbours(images, grid, edge_ruler, torch.floor, read_clamped)


@wrong("bilinear_sample", "off by half a pixel", "half a pixel")
def _(images, grid):
    return neighbours(images, grid, lambda place, n: (place + 1) * n / 2, torch.floor, read_or_0)


@wrong("bilinear_sample", "wrong align_corners + zero padding not honoured", "Two things at once")
def _(images, grid):
    return neighbours(images, grid, lambda place, n: (place + 1) * (n - 1) / 2, torch.floor, read_clamped)


@wrong("bilinear_sample", "y points up", "bottom")
def _(images, grid):
    return neighbours(images.flip(2), grid, edge_ruler, torch.floor, read_or_0)


@right("bilinear_sample")
def _(images, grid):
    return neighbours(images, grid, edge_ruler, torch.floor, read_or_0)


@right("bilinear_sample")
def _(images, grid):
    h, w = images.shape[2:]
    x, y = edge_ruler(grid[..., 0], w), edge_ruler(grid[..., 1], h)
    columns = F.relu(1 - (x[..., None] - torch.arange(w)).abs())
    rows = F.relu(1 - (y[..., None] - torch.arange(h)).abs())
    return torch.einsum("nchw,nijh,nijw->ncij", images, rows, columns)


@right("bilinear_sample")
def _(images, grid):
    padded = F.pad(images, (3, 3, 3, 3))
    return stncourse.bilinear_sample(padded, grid * images.new_tensor([w / (w + 6) for w in images.shape[:1:-1]]))


def torch_sample(images, grid, **options):
    return F.grid_sample(images, grid, **{"align_corners": False} | options)


@wrong("sample_on_background", "border padding", "edge")
def _(images, grid, background):
    return torch_sample(images, grid, padding_mode="border")


@wrong("sample_on_background", "background added twice", "before")
def _(images, grid, background):
    return torch_sample(images, grid) + background


@wrong("sample_on_background", "painted over", "mixed with black")
def _(images, grid, background):
    out = torch_sample(images, grid).clone()
    out[out == 0] = background
    return out


@wrong("sample_on_background", "hard edge", "fade")
def _(images, grid, background):
    outside = (grid < -1) | (grid > 1)
    return torch.where(outside.any(-1).unsqueeze(1), background, torch_sample(images, grid))


@wrong("sample_on_background", "detached gradient", "cut off")
def _(images, grid, background):
    with torch.no_grad():
        return torch_sample(images - background, grid) + background


@right("sample_on_background")
def _(images, grid, background):
    inside = torch_sample(torch.ones_like(images), grid)
    return torch_sample(images, grid) + (1 - inside) * background


@right("sample_on_background")
def _(images, grid, background):
    return stncourse.bilinear_sample(images.double() - background, grid.double()).add(background).to(images.dtype)


# 05


@wrong("nll", "not allowed here", "without `F.nll_loss`")
def _(log_probabilities, labels):
    return F.nll_loss(log_probabilities, labels)


@wrong("nll", "not allowed here", "without `F.nll_loss`")
def _(log_probabilities, labels):
    return nn.NLLLoss()(log_probabilities, labels)


@wrong("nll", "not allowed here", "F.cross_entropy")
def _(log_probabilities, labels):
    return F.cross_entropy(log_probabilities, labels)


@wrong("nll", "sign", "fall")
def _(log_probabilities, labels):
    return log_probabilities.gather(1, labels[:, None]).mean()


@wrong("nll", "every row with every label", "Pair each row")
def _(log_probabilities, labels):
    return -log_probabilities[:, labels].mean()


@wrong("nll", "sign + sum for mean", "Two things at once")
def _(log_probabilities, labels):
    return sum(row[label] for row, label in zip(log_probabilities, labels, strict=True))


@wrong("nll", "probability for log-probability", "minus the \\*probability\\*")
def _(log_probabilities, labels):
    return -(log_probabilities.exp() * F.one_hot(labels, 10)).sum(1).mean()


@wrong("nll", "detached gradient", "cut off")
def _(log_probabilities, labels):
    return torch.tensor(-statistics.fmean(log_probabilities[i, k].item() for i, k in enumerate(labels.tolist())))


@right("nll")
def _(log_probabilities, labels):
    return -torch.take_along_dim(log_probabilities, labels.unsqueeze(1), dim=1).mean()


@right("nll")
def _(log_probabilities, labels):
    return -(F.one_hot(labels, 10) * log_probabilities.double()).sum() / len(labels)


@right("nll")
def _(log_probabilities, labels):
    return torch.stack([-row[label] for row, label in zip(log_probabilities, labels, strict=True)]).mean()


answers(
    "spread_of_seeds",
    [
        (np.std([2.1, 2.5, 1.7]), "divided by n", "n − 1"),
        (0.16, "variance for std", "variance"),
        (0.33, "divided by n", "n − 1"),
        (0.8, "range", "best to the worst"),
    ],
    [np.std([2.1, 2.5, 1.7], ddof=1), torch.tensor([2.1, 2.5, 1.7]).std(), 0.4],
)
answers(
    "which_claim",
    [
        ("first", "a seed's luck for a result", "0.8"),
        ("second", "spread for quality", "agree"),
        ("equal", "no evidence for evidence of none", "shown"),
    ],
    ["OPEN", "open "],
)


def by_hand(images, weight, bias, take_off=BACKGROUND, add=BACKGROUND, **options):
    theta = F.linear(images.flatten(1), weight, bias).reshape(-1, 2, 3)
    return torch_sample(images - take_off, F.affine_grid(theta, images.shape, align_corners=False), **options) + add


@wrong("stn_by_hand", "zero padding", "bright frame")
def _(images, weight, bias):
    return by_hand(images, weight, bias, 0, 0)


@wrong("stn_by_hand", "not moved back", "add it")
def _(images, weight, bias):
    return by_hand(images, weight, bias, BACKGROUND, 0)


@wrong("stn_by_hand", "border padding", "edge")
def _(images, weight, bias):
    return by_hand(images, weight, bias, 0, 0, padding_mode="border")


@wrong("stn_by_hand", "zero padding + bias forgotten", "Two things at once")
def _(images, weight, bias):
    return by_hand(images, weight, torch.zeros(6).to(bias), 0, 0)


@wrong("stn_by_hand", "θ read by columns", "two rows of three")
def _(images, weight, bias):
    theta = (images.flatten(1) @ weight.T + bias).view(-1, 3, 2).mT
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    return torch_sample(images - BACKGROUND, grid) + BACKGROUND


@right("stn_by_hand")
def _(images, weight, bias):
    theta = F.linear(images.reshape(len(images), -1), weight, bias).unflatten(1, (2, 3))
    return BACKGROUND + stncourse.bilinear_sample(images - BACKGROUND, stncourse.affine_grid(theta, images.shape[-2:]))


@right("stn_by_hand")
def _(images, weight, bias):
    warped = []
    for image in images:
        theta = (weight * image.reshape(-1)).sum(1) + bias
        grid = F.affine_grid(theta.view(1, 2, 3), (1, *image.shape), align_corners=False)
        inside = torch_sample(torch.ones_like(image[None]), grid)
        warped.append(torch_sample(image[None], grid) + (1 - inside) * BACKGROUND)
    return torch.cat(warped)


# 06


@wrong("angle_of_frame", "sign", "clockwise")
def _(theta):
    return torch.rad2deg(torch.atan2(theta[:, 0, 1], theta[:, 0, 0]))


@wrong("angle_of_frame", "radians for degrees", "rad2deg")
def _(theta):
    return torch.atan2(theta[:, 1, 0], theta[:, 1, 1])


@wrong("angle_of_frame", "half of the circle", "atan2")
def _(theta):
    return torch.atan(theta[:, 1, 0] / theta[:, 1, 1]) * 180 / math.pi


@wrong("angle_of_frame", "angle without a sign", "acos")
def _(theta):
    return torch.rad2deg(torch.acos(theta[:, 0, 0] / torch.linalg.det(theta[:, :, :2]).sqrt()))


@wrong("angle_of_frame", "sign + radians for degrees", "Two things at once")
def _(theta):
    return torch.atan2(theta[:, 0, 1], theta[:, 0, 0])


@wrong("angle_of_frame", None, "a tensor is asked for. Its shape is")
def _(theta):
    return math.degrees(math.atan2(theta[:, 1, 0], theta[:, 0, 0]))


@right("angle_of_frame")
def _(theta):  # the page's own
    sine, cosine = theta[:, 1, 0] - theta[:, 0, 1], theta[:, 0, 0] + theta[:, 1, 1]
    return torch.rad2deg(torch.atan2(sine, cosine))


@right("angle_of_frame")
def _(theta):
    return torch.tensor([math.degrees(cmath.phase(complex(t[0, 0], t[1, 0]))) for t in theta])


@right("angle_of_frame")
def _(theta):
    return np.degrees(np.arctan2(-theta[:, 0, 1].numpy(), theta[:, 1, 1].numpy()))


def corners_of(theta, size, one=1, order=((-1, -1), (1, -1), (1, 1), (-1, 1))):
    h, w = size
    base = torch.tensor([[x, y, 1.0] for x, y in order]).to(theta)
    places = torch.einsum("nij,kj->nki", theta, base)
    return torch.stack([(places[..., 0] + 1) * (w - 1 + one) / 2, (places[..., 1] + 1) * (h - 1 + one) / 2], -1)


@wrong("frame_corners", "off by half a pixel", "half a pixel|Half a pixel")
def _(theta, size):
    return corners_of(theta, size)


@wrong("frame_corners", "wrong align_corners", "edges")
def _(theta, size):
    return corners_of(theta, size, one=0)


@wrong("frame_corners", "corners in another order", "round")
def _(theta, size):
    return corners_of(theta, size, order=((-1, -1), (1, -1), (-1, 1), (1, 1))) - 0.5


@wrong("frame_corners", "not in pixels", "ruler")
def _(theta, size):
    return torch.einsum(
        "nij,kj->nki", theta, torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]).to(theta)
    )


@wrong("frame_corners", "x and y swapped + off by half a pixel", "Two things at once")
def _(theta, size):
    return corners_of(theta, size).flip(-1)


@right("frame_corners")
def _(theta, size):
    h, w = size
    center, right, down = theta[:, :, 2], theta[:, :, 0], theta[:, :, 1]
    places = torch.stack(
        [center - right - down, center + right - down, center + right + down, center - right + down], 1
    )
    return (places + 1) / 2 * places.new_tensor([w, h]) - 0.5


@right("frame_corners")
def _(theta, size):
    grid = F.affine_grid(theta, (len(theta), 1, 2, 2), align_corners=True)
    ring = grid.flatten(1, 2)[:, [0, 1, 3, 2]].numpy()
    return ((ring + 1) * np.array([size[1], size[0]]) - 1) / 2


@wrong("two_in_a_row", "wrong order", "second")
def _(first, second):
    block = second[:, :, :2] @ first[:, :, :2]
    return torch.cat([block, second[:, :, :2] @ first[:, :, 2:] + second[:, :, 2:]], dim=2)


@wrong("two_in_a_row", "multiplied number by number", "@")
def _(first, second):
    return first * second


@wrong("two_in_a_row", "translations added", "turned and scaled")
def _(first, second):
    return torch.cat([first[..., :2] @ second[..., :2], (first + second)[..., 2:]], dim=-1)


@wrong("two_in_a_row", None, r"leave the third one, 0 0 1, out")
def _(first, second):
    last = torch.tensor([[[0.0, 0, 1]]]).to(first).expand(len(first), 1, 3)
    return torch.cat([first, last], 1) @ torch.cat([second, last], 1)


@wrong("two_in_a_row", None, "raised")
def _(first, second):
    return first @ second


@right("two_in_a_row")
def _(first, second):
    last = torch.tensor([[[0.0, 0, 1]]]).to(first).expand(len(first), 1, 3)
    return torch.bmm(torch.cat([first, last], 1), torch.cat([second, last], 1))[:, :2]


@right("two_in_a_row")
def _(first, second):
    result = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        full = np.vstack([b, [0, 0, 1]])
        result.append(np.array(a) @ full)
    return np.stack(result).astype(np.float32)


@right("two_in_a_row")
def _(first, second):
    block = torch.einsum("nij,njk->nik", first[:, :, :2], second)
    return block + F.pad(first[:, :, 2:], (2, 0))


# 07


answers(
    "puzzle_move",
    [
        ([[1, 0, 0.5], [0, 1, -0.25]], "translation sign", "other way"),
        (affine_theta(translation=(-0.25, 0.125)), "half the way", "half as far"),
        ([[1, 0, -0.25], [0, 1, -0.125]], "y points up + half the way", "Two things at once"),
        ([[1, 0, -10], [0, 1, 5]], "pixels for the ruler", "2 wide"),
        ([[0, 0, -0.5], [0, 0, 0.25]], None, "line or a point"),
        ([[1, 0, 3.0], [0, 1, 0]], None, "nothing of the digit"),
        ([[1, 0], [0, 1], [-0.5, 0.25]], None, "three rows of two"),
        ([[1.3, 0, -0.5], [0, 1.3, 0.25]], None, "size not"),
    ],
    [
        np.array([[1, 0, -0.5], [0, 1, 0.25]]),
        torch.tensor([[[1.0, 0, -0.5], [0, 1, 0.25]]]),
        [[1, 0, -0.5], [0, 1, 0.25], [0, 0, 1]],
        [np.float32(1), 0, -1 / 2, 0, torch.tensor(1.0), 0.25],
    ],
)
answers(
    "puzzle_turn",
    [
        (affine_theta(scale=2 / 3), "not turned", "rotation is missing"),
        (affine_theta(rotation=30), "not enlarged", "scale is missing"),
        (affine_theta(rotation=-30, scale=2 / 3), "inverse rotation", "clockwise"),
        (affine_theta(rotation=30, scale=1.5), "inverse scale", "smaller"),
        (affine_theta(rotation=math.radians(30), scale=2 / 3), "degrees for radians", "degrees"),
        (affine_theta(rotation=-30, scale=1.5), "inverse θ", "inverse"),
        (affine_theta(rotation=30, scale=(2 / 3, -2 / 3)), None, "mirrored"),
        (affine_theta(scale=1.5), "inverse scale + not turned", "Two things at once"),
    ],
    [
        np.array([[math.cos(math.pi / 6), -0.5, 0], [0.5, math.cos(math.pi / 6), 0]]) / 1.5,
        affine_theta(rotation=-330, scale=0.667),
        torch.linalg.inv(torch.tensor([[1.299, 0.75, 0], [-0.75, 1.299, 0], [0, 0, 1]])),
    ],
)


@wrong("undo", "pseudo-inverse", "pinv")
def _(theta):
    return torch.linalg.pinv(theta)


@wrong("undo", "pseudo-inverse", "pinv")
def _(theta):
    return torch.linalg.pinv(theta).transpose(1, 2)


@wrong("undo", "shift not turned", "−A⁻¹ t")
def _(theta):
    return torch.cat([torch.linalg.inv(theta[:, :, :2]), -theta[:, :, 2:]], dim=2)


@wrong("undo", "minus for inverse", "negative")
def _(theta):
    return -theta


@wrong("undo", "translation sign", "subtracts")
def _(theta):
    block = theta[:, :, :2].inverse()
    return torch.cat([block, block @ theta[:, :, 2:]], dim=2)


@wrong("undo", None, "leave the third one")
def _(theta):
    last = torch.tensor([[[0.0, 0, 1]]]).to(theta).expand(len(theta), 1, 3)
    return torch.linalg.inv(torch.cat([theta, last], dim=1))


@right("undo")
def _(theta):
    last = torch.tensor([[[0.0, 0, 1]]]).to(theta).expand(len(theta), 1, 3)
    return torch.linalg.inv(torch.cat([theta, last], dim=1))[:, :2]


@right("undo")
def _(theta):
    return np.stack([np.linalg.inv(np.vstack([t, [0, 0, 1]]))[:2] for t in theta.numpy()])


@right("undo")
def _(theta):
    eye = torch.eye(2).to(theta).expand(len(theta), 2, 2)
    return torch.linalg.solve(theta[:, :, :2], torch.cat([eye, -theta[:, :, 2:]], dim=2))


# 08


answers(
    "diagnose",
    [
        ("nearest", "nearest", "bilinear"),
        ("bright", "bright frame", "frame"),
        ("rulers", "two rulers", "half a pixel"),
    ],
    ["Outside", " outside"],
)


@wrong("share_outside", "numbers for places", "counts half")
def _(grid):
    return (grid.abs() > 1).float().mean(dim=(1, 2, 3))


@wrong("share_outside", "one number for the batch", "own")
def _(grid):
    return (grid.abs() > 1).any(-1).float().mean()


@wrong("share_outside", "inside for outside", "inside")
def _(grid):
    return ((grid >= -1) & (grid <= 1)).all(-1).float().mean((1, 2))


@wrong("share_outside", "counted, not shared", "number")
def _(grid):
    return (grid.abs() > 1).any(-1).sum((1, 2)).float()


@wrong("share_outside", None, "100 times too large")
def _(grid):
    return 100 * (grid.abs() > 1).any(-1).flatten(1).float().mean(1)


@right("share_outside")
def _(grid):
    return (grid.abs().amax(-1) > 1).float().mean(dim=(1, 2))  # float32, also for a float64


@right("share_outside")
def _(grid):
    x, y = grid.numpy()[..., 0], grid.numpy()[..., 1]
    return ((x < -1) | (x > 1) | (y < -1) | (y > 1)).reshape(len(grid), -1).mean(1)


@right("share_outside")
def _(grid):
    inside = ((1 - grid) * (1 + grid) >= 0).prod(-1).to(grid.dtype)
    return 1 - torch.einsum("nhw->n", inside) / inside[0].numel()


@wrong("shrink", "pixels skipped", "aliasing")
def _(images, factor):
    return images[:, :, ::factor, ::factor]


@wrong("shrink", "four neighbours", "aliased")
def _(images, factor):
    size = images.shape[-2] // factor, images.shape[-1] // factor
    return F.interpolate(images, size=size, mode="bilinear")


@wrong("shrink", "not counted equally", "equally")
def _(images, factor):
    size = images.shape[-2] // factor, images.shape[-1] // factor
    return F.interpolate(images, size=size, mode="bilinear", antialias=True)


@wrong("shrink", "sum for mean", "brighter")
def _(images, factor):
    kernel = torch.ones(images.shape[1], 1, factor, factor, dtype=images.dtype)
    return F.conv2d(images, kernel, stride=factor, groups=images.shape[1])


@right("shrink")
def _(images, factor):
    kernel = torch.full((images.shape[1], 1, factor, factor), 1 / factor**2)  # float32 alone
    return F.conv2d(images, kernel, stride=factor, groups=images.shape[1])


@right("shrink")
def _(images, factor):
    return images.unfold(2, factor, factor).unfold(3, factor, factor).mean((-1, -2))


@right("shrink")
def _(images, factor):
    return F.interpolate(images, scale_factor=1 / factor, mode="area")


@right("shrink")
def _(images, factor):
    pixels = images.numpy()
    return sum(pixels[..., i::factor, j::factor] for i in range(factor) for j in range(factor)) / factor**2


# 09


answers(
    "what_survives",
    [
        ("similarity", "similarity for affine", "angles"),
        ("projective", "projective for affine", "parallels"),
        ("thin-plate", "thin plate for affine", "smaller family"),
    ],
    ["Affine", "AFFINE "],
)
answers(
    "count_parameters",
    [
        (25, "one number per point", "x \\*and\\*"),
        (6, "affine", "no bending"),
        (56, "affine part counted", "already"),
    ],
    [2 * 5 * 5, np.int32(50), torch.tensor(50)],
)


@wrong("attention_theta", "detached gradient", "torch.tensor")
def _(parameters):
    return torch.tensor([[[s, 0, tx], [0, s, ty]] for s, tx, ty in parameters])


@wrong("attention_theta", "shift scaled", "added last")
def _(parameters):
    s, tx, ty = parameters.T
    z = torch.zeros_like(s)
    return torch.stack([s, z, s * tx, z, s, s * ty], 1).view(-1, 2, 3)


@wrong("attention_theta", "scale on x only", "both rows")
def _(parameters):
    theta = torch.eye(2, 3).repeat(len(parameters), 1, 1).to(parameters)
    theta[:, 0, 0] = parameters[:, 0]
    theta[:, :, 2] = parameters[:, 1:]
    return theta


@wrong("attention_theta", "x and y swapped + inverse scale", "Two things at once")
def _(parameters):
    s, tx, ty = parameters.T
    z = torch.zeros_like(s)
    return torch.stack([1 / s, z, ty, z, 1 / s, tx], 1).view(-1, 2, 3)


@right("attention_theta")
def _(parameters):
    theta = torch.zeros(len(parameters), 2, 3)  # float32, also for a float64
    theta[:, 0, 0] = theta[:, 1, 1] = parameters[:, 0]
    theta[:, :, 2] = parameters[:, 1:]
    return theta


@right("attention_theta")
def _(parameters):
    block = torch.diag_embed(parameters[:, :1].expand(-1, 2))
    return torch.cat([block, parameters[:, 1:, None]], dim=2)


@right("attention_theta")
def _(parameters):
    return F.pad(parameters[:, :1, None] * torch.eye(2), (0, 1)) + F.pad(parameters[:, 1:, None], (2, 0))


def perspective(theta, x, y):
    xx, yy = (a.T for a in torch.meshgrid(x, y, indexing="ij"))
    p = torch.einsum("nij,jhw->nihw", theta, torch.stack([xx, yy, torch.ones_like(xx)]))
    return p.permute(0, 2, 3, 1)


def centers(n, like):
    return (torch.arange(n).to(like) + 0.5) * 2 / n - 1


@wrong("grid_in_perspective", "not divided", "division by w")
def _(theta, size):
    h, w = size
    return perspective(theta, centers(w, theta), centers(h, theta))[..., :2]


@wrong("grid_in_perspective", "wrong align_corners", "linspace")
def _(theta, size):
    h, w = size
    p = perspective(theta, torch.linspace(-1, 1, w).to(theta), torch.linspace(-1, 1, h).to(theta))
    return p[..., :2] / p[..., 2:]


@wrong("grid_in_perspective", "three numbers for a place", "two numbers")
def _(theta, size):
    h, w = size
    p = perspective(theta, centers(w, theta), centers(h, theta))
    return p / p[..., 2:]


@wrong("grid_in_perspective", "divided wrongly", "both divided")
def _(theta, size):
    h, w = size
    p = perspective(theta, centers(w, theta), centers(h, theta))
    return torch.stack([p[..., 0] / p[..., 2], p[..., 1]], dim=-1)


@wrong("grid_in_perspective", None, "numbers are right.*another order")
def _(theta, size):
    h, w = size
    p = perspective(theta, centers(w, theta), centers(h, theta))
    return (p[..., :2] / p[..., 2:]).permute(0, 3, 1, 2)


@right("grid_in_perspective")
def _(theta, size):
    h, w = size
    p = perspective(theta, centers(w, theta), centers(h, theta))
    return torch.stack([p[..., 0] / p[..., 2], p[..., 1] / p[..., 2]], dim=-1)


@right("grid_in_perspective")
def _(theta, size):
    x, y, w = (F.affine_grid(theta[:, [i, i]], (len(theta), 1, *size), align_corners=False)[..., 0] for i in range(3))
    return torch.stack([x, y], dim=-1) * w.reciprocal().unsqueeze(-1)


@right("grid_in_perspective")
def _(theta, size):
    h, w = size
    y, x = torch.meshgrid(centers(h, torch.zeros(1)), centers(w, torch.zeros(1)), indexing="ij")
    p = torch.stack([x.flatten(), y.flatten(), torch.ones(h * w)])  # float32 alone
    q = (theta @ p).transpose(1, 2).reshape(-1, h, w, 3)
    return q[..., :2] / q[..., 2:3]


# 11


answers(
    "what_commutes",
    [
        ("turn", "turn for shift", "filter"),
        ("zoom", "zoom for shift", "size"),
        ("any", "any for shift", "cannot|It cannot"),
    ],
    ["SHIFT", "Shift "],
)


def conv(image, kernel, **options):
    return F.conv2d(image[None, None], kernel[None, None], **options)[0, 0]


@wrong("turn_gap", "filter turned too", "whole point")
def _(image, kernel):
    return (torch.rot90(conv(image, kernel)) - conv(torch.rot90(image), torch.rot90(kernel))).abs().max()


@wrong("turn_gap", "no absolute value", "abs")
def _(image, kernel):
    return (torch.rot90(conv(image, kernel)) - conv(torch.rot90(image), kernel)).max().item()


@wrong("turn_gap", "mean for largest", "mean")
def _(image, kernel):
    return F.l1_loss(torch.rot90(conv(image, kernel)), conv(torch.rot90(image), kernel))


@wrong("turn_gap", "squared", "squared")
def _(image, kernel):
    return ((torch.rot90(conv(image, kernel)) - conv(torch.rot90(image), kernel)) ** 2).max()


@wrong("turn_gap", "turned the other way", "opposite")
def _(image, kernel):
    return (torch.rot90(conv(image, kernel), -1) - conv(torch.rot90(image, 1), kernel)).abs().max()


@right("turn_gap")
def _(image, kernel):
    # Turn the filter instead: the same numbers, turned.
    return (conv(image, kernel) - conv(image, torch.rot90(kernel, -1))).abs().amax()


@right("turn_gap")
def _(image, kernel):
    k = np.array(kernel)

    def filtered(a):
        windows = np.lib.stride_tricks.sliding_window_view(a, k.shape)
        return np.einsum("ijkl,kl->ij", windows, k)

    a = image.numpy()
    return np.abs(np.rot90(filtered(a)) - filtered(np.rot90(a))).max()


@right("turn_gap")
def _(image, kernel):
    gap = torch.rot90(conv(image, kernel), -1) - conv(torch.rot90(image, -1), kernel)  # the other way: just as far
    return torch.linalg.vector_norm(gap, ord=float("inf")).item()


answers(
    "same_price",
    [
        (12, "same epochs", "cheaper"),
        (8, "divided for multiplied", "wrong way round"),
        (13.5, "added", "factor"),
    ],
    [18, 18.0, np.float32(18)],
)


# Every attempt


MINE = [exercise.name for key in NOTEBOOKS if key not in ("10", "12", "13") for exercise in exercises_of(key)]
WRONG_ONES = [(name, *rest) for name, attempts in WRONG.items() for rest in attempts]
RIGHT_ONES = [(name, attempt) for name, attempts in RIGHT.items() for attempt in attempts]


@pytest.mark.parametrize("name", MINE)
def test_there_are_three_wrong_attempts_and_two_right_ones(name):
    assert len(WRONG[name]) >= 3
    assert len(RIGHT[name]) >= 2


@pytest.mark.parametrize(
    ("name", "attempt", "mistake", "words"),
    WRONG_ONES,
    ids=[f"{one[0]}-{place}" for place, one in enumerate(WRONG_ONES)],
)
@pytest.mark.filterwarnings("ignore")  # a student's notebook goes on after a warning
def test_a_wrong_attempt_hears_what_is_wrong(name, attempt, mistake, words):
    result = judged(name, attempt)
    assert result.passed is False
    assert result.mistake == mistake, result
    assert re.search(words, result.message), result.message


@pytest.mark.parametrize(
    ("name", "attempt"), RIGHT_ONES, ids=[f"{one[0]}-{place}" for place, one in enumerate(RIGHT_ONES)]
)
@pytest.mark.filterwarnings("ignore")
def test_a_right_attempt_passes_however_it_is_written(name, attempt):
    result = judged(name, attempt)
    assert result.passed is True, result.message
