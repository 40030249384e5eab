"""Exercises of notebook 07, the playground: find the θ."""

import math

import torch

from stncourse.exercises.classic_mistakes import on_answer, shift_negated, theta_transposed
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
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
    more = ", what your θ makes of it, the difference" if got is not None else ""
    return pictures(panels, f"a digit, the target{more}")


_THE_DIGIT = {"picture": _picture, "warp": _warp, "draw": _draw, "tolerance": 0.008}


def _theta(**options):
    return affine_theta(**options)[0]


def _shift(change):
    """Another shift of θ, in place of (tx, ty)."""

    def changed(theta):
        return torch.cat([theta[:, :2], torch.stack(change(*theta[:, 2]))[:, None]], dim=1)

    return on_answer(changed)


def _block(change):
    """Another left block of θ."""
    return on_answer(lambda theta: torch.cat([change(theta[:, :2]), theta[:, 2:]], dim=1))


def _size_of(block):
    return torch.linalg.det(block).abs().sqrt()


MOVE = Puzzle(
    name="puzzle_move",
    title="Puzzle: move it",
    task="""
Run the check as it is: it shows a digit, and where the digit has to go. It only moves: a *quarter* of the picture's
width to the right, and an *eighth* of its height up. Which θ does that? You may write six numbers, or
`affine_theta(…)`. The pixels decide.
""",
    hints=(
        "Which way does the *frame* have to go?",
        "On the ruler, the whole picture is 2 wide: how much is a quarter of it?",
    ),
    variable="moved",
    target=lambda: _theta(translation=(-0.5, 0.25)),
    solution_line="[[1, 0, -0.5], [0, 1, 0.25]]",
    explanation=(
        "The frame goes left and down, so what you see through it comes out further right and further up. "
        "The whole picture is 2 wide."
    ),
    **_THE_DIGIT,
    mistakes={
        "translation sign": (
            twist(_shift(lambda x, y: (-x, -y))),
            "It went exactly the other way: θ moves the *frame*, and the digit goes against it.",
        ),
        "y points up": (
            twist(_shift(lambda x, y: (x, -y))),
            "Left and right are right. But y points *down*: to lift the digit, the frame has to go down, ty > 0.",
        ),
        "x points left": (
            twist(_shift(lambda x, y: (-x, y))),
            "Up and down are right. But sideways it went the other way: to move the digit to the right, the frame has "
            "to go left, tx < 0.",
        ),
        "x and y swapped": (
            twist(_shift(lambda x, y: (y, x))),
            "x and y are swapped: tx, in the first row, is the sideways one.",
        ),
        "half the way": (
            twist(_shift(lambda x, y: (x / 2, y / 2))),
            "The direction is right, but only half as far: the ruler from −1 to 1 is 2 long, "
            "so a quarter of the picture is 0.5.",
        ),
        "twice the way": (
            twist(_shift(lambda x, y: (2 * x, 2 * y))),
            "The direction is right, but twice as far: the ruler from −1 to 1 is 2 long, "
            "so a quarter of the picture is 0.5.",
        ),
        "pixels for the ruler": (
            twist(_shift(lambda x, y: (20 * x, 20 * y))),
            "You moved the frame by pixels, far off the picture. tx and ty are on the ruler, where the whole picture "
            "is 2 wide.",
        ),
    },
)

TURN_AND_ZOOM = Puzzle(
    name="puzzle_turn",
    title="Puzzle: turn it and enlarge it",
    task="""
The digit has to come out 1.5 times as large, and turned by 30° *counter-clockwise*. First say what the frame has to
do; then write its θ.
""",
    hints=(
        "To show the digit larger, the frame gets smaller. By which factor?",
        "The frame turns clockwise, the content counter-clockwise. `affine_theta(rotation=…, scale=…)` describes the "
        "frame.",
    ),
    variable="turned",
    target=lambda: _theta(rotation=30, scale=1 / 1.5),
    solution_line="affine_theta(rotation=30, scale=1 / 1.5)",
    explanation="The frame shrinks to 1/1.5 of its size and turns clockwise.",
    **_THE_DIGIT,
    mistakes={
        "inverse θ": (
            lambda: _theta(rotation=-30, scale=1.5),
            "That is exactly the inverse: smaller, and turned the other way. "
            "θ says what the *frame* does, not the digit.",
        ),
        "inverse scale": (
            twist(_block(lambda block: block / _size_of(block) ** 2)),
            "The turn is right. But a frame 1.5 times as large takes in more, and shows it *smaller*.",
        ),
        "inverse rotation": (
            twist(_block(lambda block: block.T)),
            "The size is right. But the digit came out turned clockwise: it goes against the frame.",
        ),
        "not turned": (
            twist(_block(lambda block: _size_of(block) * torch.eye(2))),
            "The size is right, but nothing is turned: the rotation is missing.",
        ),
        "not enlarged": (
            twist(_block(lambda block: block / _size_of(block))),
            "The turn is right, but the size stayed the same: the scale is missing.",
        ),
        "degrees for radians": (
            lambda: _theta(rotation=math.pi / 6, scale=1 / 1.5),
            "Hardly turned at all: you gave π/6, but `affine_theta` takes degrees.",
        ),
        "radians for degrees": (
            lambda: _theta(rotation=math.degrees(30), scale=1 / 1.5),
            "`math.sin` and `math.cos` take radians: 30 is taken for 30 radians, nearly five turns.",
        ),
        "scale not in the sines": (
            lambda: torch.tensor([[2 / 3, -0.5, 0], [0.5, 2 / 3, 0]]),
            "The scale multiplies the whole block, cosines *and* sines.",
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
Somebody warped a digit with θ. Write the θ that warps it back, for a whole batch. (Colours beyond the edge are lost,
and mixing blurs; but the places come back exactly.) This is what the playground's switch *θ maps input → output* does.
""",
    hints=(
        "$q = A p + t$. Solve it for $p$.",
        "$p = A^{-1} q - A^{-1} t$: the new block is the inverse, and the new shift is *not* simply −t.",
        "`torch.linalg.inv` takes a batch of square matrices.",
    ),
    solution=undo,
    specification=_undo_by_hand,
    cases=_undo_cases,
    axes="N 2 3",
    mistakes={
        "shift not turned": (
            _undo_with(lambda block, shift: (block.inverse(), -shift)),
            "The block is right, but the shift is not simply −t: "
            "on the way back it passes through the inverse block, −A⁻¹ t.",
        ),
        "transposed for inverse": (
            ways(
                _undo_with(lambda block, shift: (block.mT, -block.mT @ shift)),
                _undo_with(lambda block, shift: (block.mT, -shift)),
                _undo_with(lambda block, shift: (block.mT, shift)),
                _undo_with(lambda block, shift: (block.mT, 0 * shift)),
            ),
            "You transpose the block. That undoes a turn, but not a scale or a shear.",
        ),
        "shift sent through the block": (
            ways(
                _undo_with(lambda block, shift: (block.inverse(), -block @ shift)),
                _undo_with(lambda block, shift: (block.inverse(), block @ shift)),
            ),
            "The block is right, but the shift goes through the wrong one: it passes through the *inverse* block, "
            "−A⁻¹ t.",
        ),
        "pseudo-inverse": (
            ways(
                torch.linalg.pinv,
                lambda theta: torch.linalg.pinv(theta).mT,
                lambda theta: torch.linalg.pinv(theta).reshape(-1, 2, 3),
            ),
            "`pinv` of a 2×3 matrix is a 3×2 matrix, and it does not undo the shift. Invert the left 2×2 block, "
            "and send the shift through it; or put 0 0 1 below θ and invert the 3×3 matrix.",
        ),
        "translation sign": (
            twist(on_answer(lambda theta: torch.cat([theta[:, :, :2], -theta[:, :, 2:]], dim=2)), shift_negated),
            "The shift has the wrong sign: going back subtracts it.",
        ),
        "θ transposed": (
            twist(theta_transposed),
            "The inverse block came out transposed: check which of its numbers change places.",
        ),
        "not divided by the determinant": (
            twist(lambda right: lambda theta: right(theta) * torch.linalg.det(theta[:, :, :2])[:, None, None]),
            "The numbers have the right places and signs, but are not divided by the determinant, ad − bc.",
        ),
        "one by one": (
            ways(
                lambda theta: 1 / theta,
                lambda theta: torch.cat([1 / theta[:, :, :2], -theta[:, :, 2:]], dim=2),
            ),
            "The inverse of a matrix is not 1 divided by each of its numbers: use `torch.linalg.inv`.",
        ),
        "nothing undone": (lambda theta: theta, "That is θ itself, once more."),
        "translation forgotten": (
            ways(
                _undo_with(lambda block, shift: (block.inverse(), 0 * shift)),
                _undo_with(lambda block, shift: (block.inverse(), shift)),
            ),
            "The block is right, but the digit stays shifted: the last column has to undo t.",
        ),
        "minus for inverse": (
            lambda theta: -theta,
            "Undoing is not the negative: −1 in the block turns the picture upside down.",
        ),
    },
)

EXERCISES = (MOVE, TURN_AND_ZOOM, UNDO)
