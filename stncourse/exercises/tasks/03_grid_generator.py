"""Exercises of notebook 03, the grid generator."""

import math

import torch
import torch.nn.functional as F

from stncourse.exercises.classic_mistakes import (
    at_left_edges,
    at_right_edges,
    by_number,
    from_0_to_1,
    from_end_to_end,
    grid_on,
    hw_transposed,
    listed_by_columns,
    on_answer,
    on_argument,
    other_align_corners,
    shift_negated,
    theta_inverted,
    theta_transposed,
    theta_viewed,
    viewed_for_transposed,
    with_options,
    xy_swapped,
    y_up_after,
    y_up_before,
)
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS, cases_by_size, thetas
from stncourse.exercises.pictures import places
from stncourse.transformer.grids import affine_grid

WHICH_WAY = Question(
    name="which_way",
    title="Which way does it go?",
    task="""
θ is the identity, except that $t_y = +0.4$. Remember that y points **down**. Which way does the *digit* move? Answer
without running anything: `"up"`, `"down"`, `"left"` or `"right"`.
""",
    hints=(
        "θ moves the *frame*. Which way is +y?",
        "The frame goes down. What happens to a landscape when you lower your head?",
    ),
    variable="digit_goes",
    options=("up", "down", "left", "right"),
    answer=lambda: "up",
    explanation="The frame goes down, so what is seen through it comes out further up: θ maps output → input.",
    mistakes={
        "translation sign": ("down", "ty = +0.4 moves the *frame* down. What you see through it goes the other way."),
        "x and y swapped": (
            "left",
            "That would be tx: the first number of a place is x (to the right), the second y (down). ty moves along y.",
        ),
        "x and y swapped, translation sign": (
            "right",
            "ty moves along y, up or down; and the digit goes against the frame.",
        ),
    },
)


def my_pixel_centers(count, align_corners):
    """Where the centres of `count` pixels lie on the ruler from -1 to 1: float32, (count,)."""
    steps = torch.arange(count, dtype=torch.float32)
    if not align_corners:
        return (2 * steps + 1) / count - 1
    if count == 1:
        return torch.zeros(1)
    return 2 * steps / (count - 1) - 1


def _centers_one_by_one(count, align_corners):
    if align_corners:  # the ruler's ends are the centres of the first and last pixel
        length, first = (count - 1, 0.0)
    else:  # ... or the outer edges of the row
        length, first = (count, 0.5)
    places = [2 * (first + i) / length - 1 if length else 0.0 for i in range(count)]
    return torch.tensor(places, dtype=torch.float32)


def _places_of(count, align_corners, *rulers):
    """On the ruler of ``align_corners`` (False, True); None for the right one."""
    ruler = rulers[align_corners]
    return ruler(count, torch.float32) if ruler else _centers_one_by_one(count, align_corners)


def _by_rulers(*rulers):
    """Two rulers, for ``align_corners`` False and True."""
    return lambda count, align_corners: _places_of(count, align_corners, *rulers)


def _lone_pixel(place):
    """Only the one pixel that is alone lies somewhere else."""

    def wrong(count, align_corners):
        if count == 1 and align_corners:
            return torch.full((1,), place)
        return _centers_one_by_one(count, align_corners)

    return wrong


PIXEL_CENTERS = Code(
    name="pixel_centers",
    title="Two rulers",
    task="""
Write both rulers: where the centres of `count` pixels lie between −1 and 1. With `align_corners=False`, ±1 are the
outer *edges* of the row; with `True`, they are the *centres* of the first and the last pixel. A single pixel lies at
0 either way.
""",
    hints=(
        "Draw four pixels side by side. How wide is one when the row is 2 wide? Where is the middle of the first?",
        "`False`: a pixel is `2 / count` wide, and the first centre is half of that from −1. `True`: from the first to "
        "the last centre there are `count - 1` steps.",
        "`True` with one pixel would divide by 0: answer that case first.",
    ),
    solution=my_pixel_centers,
    specification=_centers_one_by_one,
    cases=lambda: [(count, align) for count in (1, 2, 3, 4, 7, 28) for align in (False, True)],
    mistakes={
        "wrong align_corners": (
            ways(
                lambda count, align_corners: _centers_one_by_one(count, not align_corners),
                lambda count, align_corners: (
                    _centers_one_by_one(count, False) if align_corners else torch.linspace(-1, 1, count)
                ),
            ),
            "The two rulers are exchanged: with `align_corners=True` the *centres* of the outer pixels lie at ±1.",
        ),
        "align_corners not honoured": (
            ways(
                lambda count, align_corners: _centers_one_by_one(count, False),
                lambda count, align_corners: _centers_one_by_one(count, True),
                _by_rulers(from_end_to_end, from_end_to_end),
            ),
            "You answer the same for both rulers. With `True` the first centre lies at −1 itself, with `False` half a "
            "pixel further in.",
        ),
        "off by half a pixel": (
            ways(
                _by_rulers(at_left_edges, None),
                _by_rulers(at_right_edges, None),
                _by_rulers(at_left_edges, from_end_to_end),
            ),
            "Those are *edges* of the pixels: with `align_corners=False` a centre lies half a pixel further in.",
        ),
        "count steps for count − 1": (
            ways(_by_rulers(None, at_left_edges), _by_rulers(None, at_right_edges)),
            "Right for `False`. With `True` it takes `count - 1` steps from the first centre to the last, not `count`.",
        ),
        "from 0 to 1": (
            ways(
                _by_rulers(from_0_to_1, lambda count, dtype: (_centers_one_by_one(count, True) + 1) / 2),
                _by_rulers(from_0_to_1, lambda count, dtype: torch.linspace(0, 1, count)),
                _by_rulers(*[lambda count, dtype: torch.linspace(0, 1, count)] * 2),
                _by_rulers(from_0_to_1, from_0_to_1),
            ),
            "Your ruler runs from 0 to 1. This one runs from −1 to 1: times 2, minus 1.",
        ),
        "the ruler is 2 long": (
            ways(
                *(
                    _by_rulers(lambda count, dtype: from_0_to_1(count, dtype) - 1, end_to_end)
                    for end_to_end in (None, from_end_to_end, lambda n, dtype: torch.linspace(0, 1, n) - 1)
                )
            ),
            "Your steps are half as long as they should be: from −1 to 1 the ruler is 2 long, so a pixel is "
            "2 / count wide.",
        ),
        "pixels for the ruler": (
            ways(
                _by_rulers(by_number, by_number),
                lambda count, align_corners: torch.arange(count) + (0.0 if align_corners else 0.5),
            ),
            "Those are the pixels' numbers, 0, 1, 2, …: they still have to be brought onto the ruler from −1 to 1.",
        ),
        "the lone pixel": (
            ways(
                *map(_lone_pixel, (-1.0, 1.0, float("nan"), float("inf"), -float("inf"))),
                lambda count, align_corners: (
                    torch.tensor([2 * i / (count - 1) - 1 for i in range(count)])
                    if align_corners
                    else _centers_one_by_one(count, False)
                ),
            ),
            "Right, except for one pixel alone with `align_corners=True`: there are 0 steps to divide by. "
            "It has to lie at 0.",
        ),
    },
)


def grid_from_memory(theta, size):
    """theta (N, 2, 3), size (height, width) -> grid (N, height, width, 2), last axis (x, y)."""
    height, width = size
    x = (2 * torch.arange(width, dtype=theta.dtype) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=theta.dtype) + 1) / height - 1
    y, x = torch.meshgrid(y, x, indexing="ij")
    base_grid = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3)
    return (base_grid @ theta.transpose(1, 2)).view(-1, height, width, 2)


def _grid(theta, size, align_corners=False, ruler=None):
    if ruler:
        return grid_on(ruler, theta, size)
    if align_corners:
        return affine_grid(theta, size, align_corners=True)
    return F.affine_grid(theta, (len(theta), 1, *size), align_corners=False)


def _grid_cases():
    identity = torch.eye(2, 3, dtype=torch.float64)[None]
    right = torch.tensor([[[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    turned = torch.tensor([[[0.8, -0.6, 0.0], [0.6, 0.8, 0.0]]], dtype=torch.float64)
    simple = [(theta, size) for size in ((1, 1), (1, 2), (2, 3)) for theta in (identity, right, turned)]
    random = [
        (thetas(count, dtype, seed=count), size)
        for count, size in ((1, (1, 4)), (2, (3, 2)), (3, (4, 5)), (5, (6, 6)))
        for dtype in FLOATS
    ]
    return cases_by_size(simple + random)


AFFINE_GRID = Code(
    name="affine_grid",
    title="The grid, from memory",
    task="""
Scroll until `my_affine_grid` above is out of sight, and write it again: θ times the base grid, for a batch of θ and
any size, with `align_corners=False`. It has to equal torch's grid, and its gradient with respect to θ has to be right,
too.
""",
    hints=(
        "Three steps: the centres along x and along y; the base grid of all $(x, y, 1)$; the product with θ.",
        "`torch.meshgrid(y, x, indexing='ij')` gives y and x for all pixels, row by row. "
        "Stack them as (x, y, 1), x first.",
        "One place is a *row* (x, y, 1), so the product is `base @ theta.transpose(1, 2)`, "
        "and a view restores height and width.",
    ),
    solution=grid_from_memory,
    specification=_grid,
    cases=_grid_cases,
    axes="N H W 2",
    differentiable=(0,),
    draw=places,
    example=lambda: (torch.tensor([[[0.8, -0.3, 0.1], [0.3, 0.8, 0.0]]]), (4, 6)),
    mistakes={
        "x and y swapped": (
            twist(xy_swapped),
            "x and y are swapped in the answer: a place is (x, y), the column first, "
            "though an image is indexed [row, column].",
        ),
        "x and y swapped in the base grid": (
            twist(on_argument(0, lambda theta: theta[:, :, [1, 0, 2]])),
            "x and y are swapped *before* θ: stack the base grid as (x, y, 1). "
            "Along a row of the image it is x that grows.",
        ),
        "inverse θ": (
            twist(theta_inverted),
            "You use the inverse of θ. θ maps output → input already: the output's place goes in, "
            "the input's comes out.",
        ),
        "wrong align_corners": (
            twist(other_align_corners, with_options(ruler=from_end_to_end)),
            "That is `align_corners=True`: your first and last centre lie at ±1, as `linspace(-1, 1, …)` has them. "
            "Here ±1 are the outer *edges* of the image.",
        ),
        "translation sign": (
            twist(shift_negated),
            "The shift has the wrong sign: tx and ty are simply added to the place.",
        ),
        "no translation": (
            twist(on_argument(0, lambda theta: theta * torch.tensor([1.0, 1, 0], dtype=theta.dtype))),
            "θ's last column has no effect: the base grid needs a 1 after x and y.",
        ),
        "off by half a pixel": (
            twist(with_options(ruler=at_left_edges), with_options(ruler=at_right_edges)),
            "Everything is off by half a pixel: you take the pixels' *edges*. A centre lies at (2i + 1)/n − 1.",
        ),
        "from 0 to 1": (
            twist(
                with_options(ruler=from_0_to_1), with_options(ruler=lambda n, dtype: torch.linspace(0, 1, n).to(dtype))
            ),
            "Your base grid runs from 0 to 1. The ruler runs from −1 to 1.",
        ),
        "pixels for the ruler": (
            twist(with_options(ruler=by_number)),
            "Your base grid counts pixels, 0, 1, 2, …. θ works on the ruler from −1 to 1.",
        ),
        "H and W transposed": (
            twist(hw_transposed),
            "Height and width are exchanged: `size` is (height, width), "
            "and the grid has `height` rows of `width` places.",
        ),
        "y points up": (
            twist(y_up_before, y_up_after),
            "Your y grows upwards. On images y points *down*: the first row lies near y = −1.",
        ),
        "grid scrambled": (
            twist(listed_by_columns, viewed_for_transposed),
            "The places are all there, but in a scrambled order. `torch.meshgrid(y, x, indexing='ij')` gives rows "
            "first; and `view` never moves a number: where axes have to change places, use `transpose`.",
        ),
        "θ transposed": (
            twist(theta_transposed),
            "θ's left 2×2 block is used transposed, which turns the other way: a place is a row here, "
            "so θ has to be transposed once.",
        ),
        "θ viewed, not transposed": (
            twist(theta_viewed),
            "`theta.view(-1, 3, 2)` is not a transpose: it keeps the order of the six numbers and only cuts it "
            "elsewhere. Use `theta.transpose(1, 2)`.",
        ),
    },
)


def turn_in_pixels(degrees, size):
    """degrees, size (height, width) -> θ (2, 3) float32 of a frame turned clockwise."""
    height, width = size
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s * height / width, 0.0], [s * width / height, c, 0.0]])


def _turn_by_matrices(degrees, size):
    """From the ruler to pixels, turn there, and back."""
    angle = torch.tensor(math.radians(degrees), dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    to_pixels = torch.diag(torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64))
    theta = torch.linalg.inv(to_pixels) @ turn @ to_pixels
    return torch.cat([theta, torch.zeros(2, 1, dtype=torch.float64)], dim=1).float()


def _ratio(size, which):
    height, width = size
    return {"H/W": height / width, "W/H": width / height, "": 1.0}[which]


TURN_IN_PIXELS = Code(
    name="turn_in_pixels",
    title="A turn that stays a turn (stretch)",
    task="""
On a 20×40 image the naive turn by 45° came out skewed. Write the θ whose frame is turned clockwise by `degrees` *in
pixels*: go from the ruler to pixels, turn there, and come back, $D^{-1} R\\, D$ with $D = \\mathrm{diag}(W, H)$.
Plain numbers go in, a (2, 3) tensor comes out.
""",
    hints=(
        "`math.sin` wants radians.",
        "$R$ has rows (cos, −sin) and (sin, cos). With a diagonal $D$, the entry in row i, "
        "column j of $D^{-1} R D$ is $R_{ij} D_j / D_i$.",
        "So cos stays as it is, −sin is multiplied by H/W, and +sin by W/H.",
    ),
    solution=turn_in_pixels,
    specification=_turn_by_matrices,
    cases=lambda: [
        (degrees, size) for size in ((1, 2), (2, 2), (3, 5), (40, 20), (28, 28)) for degrees in (0.0, 30.0, -75.0)
    ],
    axes="2 3",
    mistakes={
        "turned on the ruler": (
            twist(on_argument(1, lambda size: (1, 1))),
            "That is the naive turn: it does not look at `size`, and comes out skewed where the image is not square.",
        ),
        "H and W transposed": (
            twist(hw_transposed),
            "Height and width are exchanged, or D stands where D⁻¹ belongs: −sin gets H/W, +sin gets W/H.",
        ),
        "one ratio for both": (
            ways(
                *(
                    lambda degrees, size, first=first, second=second: (
                        _turn_by_matrices(degrees, (1, 1))
                        * torch.tensor([[1, _ratio(size, first), 1], [_ratio(size, second), 1, 1]])
                    )
                    for first, second in (("H/W", "H/W"), ("W/H", "W/H"), ("H/W", ""), ("", "W/H"))
                )
            ),
            "The two sines need different factors: −sin gets H/W, and +sin gets W/H.",
        ),
        "degrees for radians": (
            twist(on_argument(0, math.degrees)),
            "`sin` and `cos` take radians, and get degrees here: use `math.radians(degrees)`.",
        ),
        "inverse θ": (
            twist(on_argument(0, lambda degrees: -degrees)),
            "The frame turns the other way. y points *down*, so clockwise is (cos, −sin), (sin, cos).",
        ),
        "sines of one sign": (
            twist(
                on_answer(lambda theta: theta * torch.tensor([[1.0, -1, 1], [1, 1, 1]])),
                on_answer(lambda theta: theta * torch.tensor([[1.0, 1, 1], [-1, 1, 1]])),
            ),
            "The two sines of a turn have opposite signs: (cos, −sin), (sin, cos), with factors.",
        ),
    },
)

EXERCISES = (WHICH_WAY, PIXEL_CENTERS, AFFINE_GRID, TURN_IN_PIXELS)
