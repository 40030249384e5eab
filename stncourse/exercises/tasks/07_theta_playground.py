"""Exercises of notebook 07, the playground: find the θ."""

import math

import torch

from stncourse.exercises.classic_mistakes import shift_negated
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.puzzles import Puzzle
from stncourse.exercises.inputs import FLOATS, a_digit, around
from stncourse.exercises.pictures import pictures
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.sampling import bilinear_sample
from stncourse.transformer.theta import affine_theta


def _picture():
    """A digit without symmetry, on a canvas with room to move."""
    return torch.nn.functional.pad(a_digit(4), (6, 6, 6, 6))


def _warp(picture, theta):
    return bilinear_sample(picture, affine_grid(theta[None], tuple(picture.shape[-2:])))


def _draw(picture, target, got):
    panels = {"input": picture[0, 0], "target": target[0, 0]}
    if got is not None:
        panels |= {"yours": got[0, 0], "difference": (got - target)[0, 0].abs()}
    words = "a digit, the target" + (", what your θ makes of it, the difference" if got is not None else "")
    return pictures(panels, words)


_THE_DIGIT = {"picture": _picture, "warp": _warp, "draw": _draw, "tolerance": 0.008}


def _theta(**options):
    return affine_theta(**options)[0]


MOVE = Puzzle(
    name="puzzle_move",
    title="Puzzle: move it",
    task="""
Run the check as it is: it shows a digit, and where it has to be. It only moved: a *quarter* of the picture's width
to the right, and an *eighth* of its height up. Which θ does that? You may write six numbers, or `affine_theta(…)`.
The pixels decide.
""",
    hints=(
        "Which way does the *frame* have to go?",
        "On the ruler the whole picture is 2 wide: how much is a quarter of it?",
    ),
    variable="moved",
    target=lambda: _theta(translation=(-0.5, 0.25)),
    solution_line="[[1, 0, -0.5], [0, 1, 0.25]]",
    explanation=(
        "The frame goes left and down, so what is seen through it comes out further right and up. "
        "The whole picture is 2 wide."
    ),
    **_THE_DIGIT,
    mistakes={
        "translation sign": (
            lambda: _theta(translation=(0.5, -0.25)),
            "It went exactly the other way: θ moves the *frame*, and the digit goes against it.",
        ),
        "y points up": (
            lambda: _theta(translation=(-0.5, -0.25)),
            "Left and right are right. But y points *down*: to lift the digit, the frame has to go down, ty > 0.",
        ),
        "x and y swapped": (
            lambda: _theta(translation=(0.25, -0.5)),
            "x and y are swapped: tx, in the first row, is the sideways one.",
        ),
        "half the way": (
            lambda: _theta(translation=(-0.25, 0.125)),
            "The direction is right, but half as far: the ruler from −1 to 1 is 2 long, "
            "so a quarter of the picture is 0.5.",
        ),
    },
)

TURN_AND_ZOOM = Puzzle(
    name="puzzle_turn",
    title="Puzzle: turn it and enlarge it",
    task="""
The digit has to come out 1.5 times as large, and turned by 30° *counter-clockwise*. Say first what the frame has to
do, then write its θ.
""",
    hints=(
        "To show it larger, the frame gets smaller: by which factor?",
        "Frame clockwise, content counter-clockwise. `affine_theta(rotation=…, scale=…)` describes the frame.",
    ),
    variable="turned",
    target=lambda: _theta(rotation=30, scale=1 / 1.5),
    solution_line="affine_theta(rotation=30, scale=1 / 1.5)",
    explanation="A frame of 1/1.5 the size, turned clockwise.",
    **_THE_DIGIT,
    mistakes={
        "inverse θ": (
            lambda: _theta(rotation=-30, scale=1.5),
            "That is exactly the inverse: smaller, and turned the other way. "
            "θ says what the *frame* does, not the digit.",
        ),
        "inverse scale": (
            lambda: _theta(rotation=30, scale=1.5),
            "The turn is right. But a frame 1.5 times as large takes in more, and shows it *smaller*.",
        ),
        "inverse rotation": (
            lambda: _theta(rotation=-30, scale=1 / 1.5),
            "The size is right. But the digit came out turned clockwise: it goes against the frame.",
        ),
        "degrees for radians": (
            lambda: _theta(rotation=math.pi / 6, scale=1 / 1.5),
            "Hardly turned at all: you gave π/6, but `affine_theta` takes degrees.",
        ),
    },
)


def undo(theta):
    """theta (N, 2, 3) -> the θ (N, 2, 3) that undoes each: both in a row are the identity."""
    block = torch.linalg.inv(theta[:, :, :2])
    return torch.cat([block, -block @ theta[:, :, 2:]], dim=2)


def _undo_by_hand(theta):
    """Cramer's rule for [a b; c d], and the shift sent through it."""
    (a, b, x), (c, d, y) = theta.permute(1, 2, 0)
    determinant = a * d - b * c
    first = torch.stack([d, -b, b * y - d * x], dim=1)
    second = torch.stack([-c, a, c * x - a * y], dim=1)
    return torch.stack([first, second], dim=1) / determinant[:, None, None]


def _undo_cases():
    generator = torch.Generator().manual_seed(1)
    right = torch.tensor([[[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    turned = torch.tensor([[[0.8, -0.6, 0.3], [0.6, 0.8, -0.2]]], dtype=torch.float64)
    some = [
        around(torch.eye(2, 3), count, 0.3, generator=generator, dtype=dtype) for count in (2, 4) for dtype in FLOATS
    ]
    return [(theta,) for theta in (right, turned, *some)]


def _undo_with(block_and_shift):
    """(block, shift) of θ -> (block, shift) of the answer."""
    return lambda theta: torch.cat(block_and_shift(theta[:, :, :2], theta[:, :, 2:]), dim=2)


UNDO = Code(
    name="undo",
    title="Undo (stretch)",
    task="""
Somebody warped a digit with θ. Write the θ that warps it back, for a whole batch. (Colours beyond the edge are
lost, and the mixing blurs; the places come back exactly.) The switch *θ maps input → output* of the playground does
just this.
""",
    hints=(
        "$q = A p + t$. Solve it for $p$.",
        "$p = A^{-1} q - A^{-1} t$: the new block is the inverse, and the new shift is *not* simply −t.",
        "`torch.linalg.inv` takes a batch of square matrices.",
    ),
    solution=undo,
    specification=_undo_by_hand,
    cases=_undo_cases,
    differentiable=(0,),
    mistakes={
        "shift not turned": (
            _undo_with(lambda block, shift: (block.inverse(), -shift)),
            "The block is right, but the shift is not simply −t: "
            "on the way back it passes through the inverse block, −A⁻¹ t.",
        ),
        "transposed for inverse": (
            _undo_with(lambda block, shift: (block.mT, -block.mT @ shift)),
            "You transpose the block. That undoes a turn, but not a scale or a shear.",
        ),
        "translation sign": (shift_negated(undo), "The shift has the wrong sign: going back subtracts it."),
        "translation forgotten": (
            _undo_with(lambda block, shift: (block.inverse(), 0 * shift)),
            "The block is right, but the digit stays shifted: the last column has to undo t.",
        ),
        "minus for inverse": (
            lambda theta: -theta,
            "Undoing is not the negative: −1 in the block mirrors the picture at its centre.",
        ),
    },
)

EXERCISES = (MOVE, TURN_AND_ZOOM, UNDO)
