"""Exercises of notebook 02, the localization network."""

import math

import torch
from torch import nn

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS


def _numbers_that_reach_the_linear_layer():
    layers = nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=7), nn.MaxPool2d(2), nn.Conv2d(8, 10, kernel_size=5), nn.MaxPool2d(2)
    )
    return layers(torch.zeros(1, 1, 64, 48)).numel()


CONV_OUTPUT = Question(
    name="conv_output",
    title="How many numbers arrive?",
    task="""
The same two convolutions (7×7, then 5×5, no padding) and poolings (2) look at an image that is 64 high and 48 wide.
The second convolution has 10 channels. How many numbers reach the first linear layer? On paper; for 28×28 it was 10
· 3 · 3 = 90.
""",
    hints=(
        "Height and width go their ways separately.",
        "A k×k window fits into n pixels at n − k + 1 places. Pooling halves, and drops a last odd row.",
        "Height: 64 → 58 → 29 → 25 → 12.",
    ),
    variable="arriving",
    answer=_numbers_that_reach_the_linear_layer,
    tolerance=0.5,
    explanation="64 → 58 → 29 → 25 → 12 and 48 → 42 → 21 → 17 → 8, so 10 · 12 · 8.",
    mistakes={
        "channels forgotten": (12 * 8, "That is the size of one channel. There are 10 of them."),
        "padded convolution": (
            10 * 16 * 12,
            "You only halved twice. A convolution without padding makes the image smaller, by k − 1.",
        ),
        "square image": (10 * 12 * 12, "The image is not square: its width ends elsewhere than its height."),
        "pooling rounded up": (
            10 * 13 * 9,
            "Pooling by 2 drops a last odd row or column: 25 becomes 12, and 17 becomes 8.",
        ),
        "n − k places": (
            10 * 11 * 7,
            "A 7×7 window fits into 64 pixels at 64 − 7 **+ 1** places: count it on a small example.",
        ),
    },
)


def identity_start(features):
    """How many numbers the last layer takes -> its (weight, bias): every θ the identity."""
    weight = torch.zeros(6, features)
    bias = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    return weight, bias


def _identity_layer(features):
    layer = nn.Linear(features, 6)
    nn.init.zeros_(layer.weight)
    identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]  # row by row
    layer.bias.data.copy_(torch.tensor(identity).flatten())
    return layer.weight.detach(), layer.bias.detach()


def _with_bias(values):
    return lambda features: (torch.zeros(6, features), torch.tensor(values))


IDENTITY_START = Code(
    name="identity_start",
    title="Start by doing nothing",
    task="""
Write the weight and the bias of the last layer, `nn.Linear(features, 6)`, so that *every* image gets the identity
θ, whatever the layers before it say.
""",
    hints=(
        "The layer computes W h + b. What must W be, so that h does not matter?",
        "θ is read row by row: θ11, θ12, tx, then θ21, θ22, ty.",
        "The weight of `nn.Linear(features, 6)` has the shape (6, features).",
    ),
    solution=identity_start,
    specification=_identity_layer,
    cases=lambda: [(1,), (2,), (32,)],
    mistakes={
        "column by column": (
            _with_bias([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
            "The six numbers are read *row by row*: 1 0 0, then 0 1 0. Yours is the order of columns.",
        ),
        "all zero": (
            _with_bias([0.0] * 6),
            "With θ = 0 every output pixel looks at the image's centre: the frame is a point, and the digit is gone.",
        ),
        "all ones": (
            _with_bias([1.0] * 6),
            "The identity is 1 on the diagonal only. With six ones all places fall onto one line.",
        ),
        "diagonal in the weight": (
            lambda features: (torch.eye(6, features), torch.tensor([1.0, 0, 0, 0, 1, 0])),
            "The bias is right, but with a weight that is not 0 each image gets a θ of its own, "
            "before anything was learned.",
        ),
        "weight transposed": (
            lambda features: (torch.zeros(features, 6), torch.tensor([1.0, 0, 0, 0, 1, 0])),
            "The weight of `nn.Linear(features, 6)` is (6, features): one *row* per number of θ.",
        ),
    },
)


def turn_back(degrees):
    """degrees (N,) that each frame was turned clockwise -> θ (N, 2, 3) that undo it."""
    angle = torch.deg2rad(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack([cosine, sine, zero], dim=1), torch.stack([-sine, cosine, zero], dim=1)]
    return torch.stack(rows, dim=1)


def _turned(radians):
    """The frame turned clockwise."""
    rows = [[[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]] for a in radians.tolist()]
    return torch.tensor(rows, dtype=radians.dtype)


def _undone(degrees):
    """As the inverse of a matrix, with slopes."""
    angle = degrees * (math.pi / 180)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return torch.cat([torch.linalg.inv(turn.permute(2, 0, 1)), torch.zeros(len(degrees), 2, 1, dtype=degrees.dtype)], 2)


def _sines_of_one_sign(degrees):
    cosine, sine, zero = degrees.deg2rad().cos(), degrees.deg2rad().sin(), 0 * degrees
    return torch.stack([cosine, sine, zero, sine, cosine, zero], dim=1).view(-1, 2, 3)


TURN_BACK = Code(
    name="turn_back",
    title="The right answers for a teacher (stretch)",
    task="""
To teach the network with supervision, every turned digit needs its right answer. Digits were seen through frames
turned clockwise by `degrees`, $\\theta = [\\cos\\; -\\sin\\; 0;\\ \\sin\\; \\cos\\; 0]$. Write the θ that turn each
of them *back*, for the whole batch at once.
""",
    hints=(
        "`torch.sin` wants radians.",
        "Turning back is turning by the negative angle: the cosine stays, the sine changes its sign.",
        "`torch.stack` twice: the three numbers of a row along `dim=1`, then the two rows along `dim=1`.",
    ),
    solution=turn_back,
    specification=_undone,
    cases=lambda: [
        (torch.tensor(angles, dtype=dtype),)
        for angles in ([0.0], [30.0], [90.0, -45.0], [10.0, 200.0, -75.0])
        for dtype in FLOATS
    ],
    differentiable=(0,),
    mistakes={
        "inverse θ": (
            lambda degrees: _turned(torch.deg2rad(degrees)),
            "That is the turn itself, once more: through this frame the digit would be turned twice as far.",
        ),
        "degrees for radians": (
            lambda degrees: _turned(-degrees),
            "`sin` and `cos` take radians, and get degrees here: `torch.deg2rad`.",
        ),
        "sines of one sign": (
            _sines_of_one_sign,
            "The two sines of a turn have opposite signs. With the same sign the frame is mirrored or sheared.",
        ),
        "x and y swapped": (
            lambda degrees: _turned(-torch.deg2rad(degrees)).flip(1),
            "The two rows are exchanged: the first one makes x, the second y.",
        ),
    },
)

EXERCISES = (CONV_OUTPUT, IDENTITY_START, TURN_BACK)
