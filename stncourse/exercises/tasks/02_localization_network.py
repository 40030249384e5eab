"""Exercises of notebook 02, the localization network."""

import math

import torch
from torch import nn

from stncourse.exercises.classic_mistakes import on_answer, on_argument
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import looks, twist, ways
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
The same two convolutions (7×7, then 5×5, no padding), each followed by a pooling by 2, look at an image that is 64
high and 48 wide. The second convolution has 10 channels. How many numbers reach the first linear layer? Work it out on
paper. For 28×28 it was 10 · 3 · 3 = 90.
""",
    hints=(
        "Follow the height and the width separately.",
        "A k×k filter fits into n pixels at n − k + 1 places. Pooling halves, and drops an odd last row.",
        "Height: 64 → 58 → 29 → 25 → 12.",
    ),
    variable="arriving",
    answer=_numbers_that_reach_the_linear_layer,
    tolerance=0.5,
    explanation="64 → 58 → 29 → 25 → 12 and 48 → 42 → 21 → 17 → 8, so 10 · 12 · 8.",
    mistakes={
        "channels forgotten": (12 * 8, "That is the size of one channel. There are 10 of them."),
        "the first layer's channels": (
            8 * 12 * 8,
            "You counted 8 channels, those of the first convolution. The second one has 10.",
        ),
        "padded convolution": (
            10 * 16 * 12,
            "You only halved twice. A convolution without padding makes the image smaller, by k − 1.",
        ),
        "square image": (10 * 12 * 12, "The image is not square: follow its width as you followed its height."),
        "the small image": (90, "That is the answer for 28×28. This image is larger."),
        "pooling rounded up": (
            10 * 13 * 9,
            "Pooling by 2 drops an odd last row or column: 25 becomes 12, and 17 becomes 8.",
        ),
        "pooling forgotten": (10 * 25 * 17, "That is before the last pooling: it halves both sides once more."),
        "no pooling at all": (10 * 54 * 38, "You followed the convolutions, but not the poolings: each halves."),
        "n − k places": (
            10 * 11 * 7,
            "A 7×7 filter fits into 64 pixels at 64 − 7 **+ 1** places: count it on a small example.",
        ),
        "added": (10 + 12 + 8, "Multiply: 10 channels, each with rows and columns."),
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


_IDENTITY = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
_BY_COLUMNS = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])


def _random_weight(bias):
    """(an example, how to know it): some weight that is not 0, with this bias."""

    def fits(arguments, right, answer):
        return answer[0].shape == right[0].shape and answer[0].any() and torch.allclose(answer[1].float(), bias)

    return looks(lambda features: (torch.randn(6, features), bias.clone()), fits)


def _known(bias):
    """Whether a bias is one of those that have a name."""
    return any(torch.allclose(bias.float(), known) for known in (_IDENTITY, _BY_COLUMNS, torch.zeros(6), torch.ones(6)))


def _random_bias(arguments, right, answer):
    return answer[0].shape == right[0].shape and not answer[0].any() and not _known(answer[1])


def _both_random(arguments, right, answer):
    return answer[0].shape == right[0].shape and answer[0].any() and not _known(answer[1])


IDENTITY_START = Code(
    name="identity_start",
    title="Start by doing nothing",
    task="""
Write the weight and the bias of the last layer, `nn.Linear(features, 6)`, so that *every* image gets the identity
θ, whatever the layers before it say. Return both.
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
            "The six numbers are read *row by row*: 1 0 0, then 0 1 0. Your bias lists them column by column.",
        ),
        "all zero": (
            _with_bias([0.0] * 6),
            "With θ = 0 every output pixel looks at the image's centre: the frame is a point, and the digit is gone.",
        ),
        "all ones": (
            _with_bias([1.0] * 6),
            "The identity is 1 on the diagonal only. With six ones, all places fall onto one line.",
        ),
        "diagonal in the weight": (
            ways(
                lambda features: (torch.eye(6, features), _IDENTITY.clone()),
                lambda features: (torch.eye(6, features), torch.zeros(6)),
            ),
            "The identity belongs in the bias. With a weight that is not 0 each image gets its own θ, before anything "
            "was learned.",
        ),
        "weight all ones": (
            lambda features: (torch.ones(6, features), _IDENTITY.clone()),
            "The bias is right, but a weight of ones adds up all that comes in: each image gets its own θ.",
        ),
        "random weight": (
            _random_weight(_IDENTITY),
            "The bias is right, but the weight is not 0. Then W h is added, and each image gets its own θ, before "
            "anything was learned. The identity needs both: weight *and* bias.",
        ),
        "random weight + column by column": (
            _random_weight(_BY_COLUMNS),
            "Two things at once. The weight is not 0, so each image gets its own θ. And: the bias is read *row by "
            "row*, 1 0 0, then 0 1 0.",
        ),
        "random weight + all zero": (
            _random_weight(torch.zeros(6)),
            "Two things at once. The weight is not 0, so each image gets its own θ. And: the bias is 0, where the "
            "identity has 1 0 0, 0 1 0.",
        ),
        "random weight + all ones": (
            _random_weight(torch.ones(6)),
            "Two things at once. The weight is not 0, so each image gets its own θ. And: the bias is 1 everywhere; the "
            "identity has 1 0 0, 0 1 0.",
        ),
        "random weight + random bias": (
            looks(lambda features: (torch.ones(6, features) / 9, torch.linspace(-0.3, 0.4, 6)), _both_random),
            "Two things at once. The weight is not 0, so each image gets its own θ. And: the bias is not the identity, "
            "1 0 0, then 0 1 0.",
        ),
        "random bias": (
            looks(lambda features: (torch.zeros(6, features), torch.linspace(-0.3, 0.4, 6)), _random_bias),
            "The weight is right, but the bias has to be the identity: 1 0 0, then 0 1 0.",
        ),
        "weight transposed": (
            twist(on_answer(lambda pair: (pair[0].T, pair[1]))),
            "The weight of `nn.Linear(features, 6)` is (6, features): one *row* for each number of θ.",
        ),
        "bias before weight": (
            twist(on_answer(lambda pair: pair[::-1])),
            "The two are exchanged: return the weight first, then the bias.",
        ),
        "bias of two rows": (
            twist(on_answer(lambda pair: (pair[0], pair[1].view(2, 3)))),
            "The bias of a linear layer is one row of six numbers: `.flatten()`. It becomes two rows of three later.",
        ),
    },
)


def turn_back(degrees):
    """degrees (N,) that each frame was turned clockwise -> θ (N, 2, 3) that undo it."""
    angle = torch.deg2rad(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack([cosine, sine, zero], dim=1), torch.stack([-sine, cosine, zero], dim=1)]
    return torch.stack(rows, dim=1)


def _undone(degrees):
    """As the inverse of a matrix."""
    angle = degrees * (math.pi / 180)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return torch.cat([torch.linalg.inv(turn.permute(2, 0, 1)), torch.zeros(len(degrees), 2, 1, dtype=degrees.dtype)], 2)


def _sines_of_one_sign(sign):
    """Both sines with this sign."""

    def change(theta):
        first = sign * theta[:, 0, 1]
        return torch.stack([theta[:, 0, 0], first, theta[:, 0, 2], first, theta[:, 1, 1], theta[:, 1, 2]], 1).view(
            -1, 2, 3
        )

    return on_answer(change)


TURN_BACK = Code(
    name="turn_back",
    title="The right answers for a teacher (stretch)",
    task="""
To teach the network with supervision, every turned digit needs its right answer. The digits were seen through frames
turned clockwise by `degrees`, $\\theta = [\\cos\\; -\\sin\\; 0;\\ \\sin\\; \\cos\\; 0]$. Write the θ that turns each
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
    axes="N 2 3",
    mistakes={
        "inverse θ": (
            twist(on_argument(0, torch.neg)),
            "That is the same turn once more: through this frame the digit would end up turned twice as far.",
        ),
        "degrees for radians": (
            twist(on_argument(0, torch.rad2deg)),
            "`sin` and `cos` take radians, and get degrees here: use `torch.deg2rad`.",
        ),
        "180 without π": (
            twist(on_argument(0, lambda degrees: degrees / math.pi), on_argument(0, lambda degrees: degrees * 2)),
            "The angle is converted wrongly: 180° is π, so radians = degrees · π / 180.",
        ),
        "sines of one sign": (
            twist(_sines_of_one_sign(1), _sines_of_one_sign(-1)),
            "The two sines of a turn have opposite signs. With the same sign the frame is mirrored or sheared.",
        ),
        "sine and cosine exchanged": (
            twist(on_argument(0, lambda degrees: 90 - degrees)),
            "Sine and cosine are exchanged: cosines stand on the diagonal, so that no turn is the identity.",
        ),
        "x and y swapped": (
            twist(on_answer(lambda theta: theta.flip(1))),
            "The two rows are exchanged: the first one makes x, the second y.",
        ),
    },
)

EXERCISES = (CONV_OUTPUT, IDENTITY_START, TURN_BACK)
