"""Exercises of notebook 09, beyond affine."""

import torch

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
    theta_inverted,
    theta_transposed,
    viewed_for_transposed,
    with_options,
    xy_swapped,
    y_up_after,
    y_up_before,
)
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS, around, cases_by_size, seeded
from stncourse.exercises.pictures import places
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.splines import ThinPlateSplineGrid

WHAT_SURVIVES = Question(
    name="what_survives",
    title="Which family was it?",
    task="""
A frame has lost its right angles, but its opposite sides are still parallel. What is the *smallest* family of
transformations that can do this? (Attention: zoom and shift. Similarity: the same with a turn. Then come affine,
projective and thin plate.)
""",
    hints=(
        "Attention and similarity keep angles. So it is one of the other three.",
        "Which of them keeps parallels?",
    ),
    variable="smallest_family",
    options=("attention", "similarity", "affine", "projective", "thin plate"),
    answer=lambda: "affine",
    explanation="Each step gives something up: attention keeps directions, similarity keeps angles, affine keeps "
    "parallels, projective keeps straight lines, and a thin plate keeps none of these.",
    mistakes={
        "attention for affine": (
            "attention",
            "Zoom and shift alone leave every angle as it is, and every direction too.",
        ),
        "similarity for affine": ("similarity", "A turn, a zoom and a shift keep all angles. These were lost."),
        "projective for affine": (
            "projective",
            "It could, but fewer numbers are enough, and a projective frame usually loses its parallels as well.",
        ),
        "thin plate for affine": (
            "thin plate",
            "A rubber sheet could do it, but the sides stayed straight and parallel: a smaller family is enough.",
        ),
    },
)

COUNT_PARAMETERS = Question(
    name="count_parameters",
    title="How many numbers?",
    task="""
A thin-plate-spline transformer has a lattice of 5×5 control points and can move each of them freely. How many numbers
does its localization network have to produce?
""",
    hints=("How many numbers say where one point goes?",),
    variable="numbers",
    answer=lambda: ThinPlateSplineGrid(5).num_parameters,
    tolerance=0.4,
    explanation="Two per control point, x and y. How the sheet bends between the points follows from them.",
    mistakes={
        "one number per point": (25, "That is the number of points. Each of them is moved in x *and* in y."),
        "one side of the lattice": (10, "That is one row of the lattice. There are 5 rows."),
        "affine part counted": (
            56,
            "The affine part is in it already: the positions of the points determine it. "
            "It takes no numbers of its own.",
        ),
        "affine part added to the points": (
            31,
            "Each point takes two numbers, and the affine part none: the positions of the points determine it.",
        ),
        "three numbers per point": (75, "A point in the image has two coordinates, x and y."),
        "pairs of points": (625, "Each point is moved by itself: it takes two numbers, x and y."),
        "affine": (6, "Six is affine: no bending at all."),
    },
)


def attention_theta(parameters):
    """parameters (N, 3): scale s, shift tx, ty -> θ (N, 2, 3)."""
    s, tx, ty = parameters.unbind(dim=1)
    zero = torch.zeros_like(s)
    rows = [torch.stack([s, zero, tx], dim=1), torch.stack([zero, s, ty], dim=1)]
    return torch.stack(rows, dim=1)


def _attention_by_basis(parameters):
    """s times one matrix, tx times another, ty times a third."""
    basis = torch.tensor(
        [[[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]], dtype=parameters.dtype
    )
    return torch.einsum("nk,kij->nij", parameters, basis)


def _with(theta, place, value):
    """θ with another number at (row, column)."""
    changed = theta.clone()
    changed[(slice(None), *place)] = value
    return changed


ATTENTION_THETA = Code(
    name="attention_theta",
    title="Three numbers instead of six",
    task="""
Attention (equation 2 of the paper) may only zoom and shift: $\\theta = [s\\; 0\\; t_x;\\ 0\\; s\\; t_y]$. Build
these θ from (s, tx, ty), for a batch, so that gradients reach the three numbers.
""",
    hints=(
        "`parameters.unbind(dim=1)` gives three tensors of shape (N,).",
        "`torch.stack` keeps the gradient; `torch.tensor([[s, 0, tx], …])` would cut it.",
    ),
    solution=attention_theta,
    specification=_attention_by_basis,
    cases=lambda: [
        (around([0.8, 0.0, 0.0], count, 0.3, **seeded(count, dtype)),) for count in (1, 2, 4) for dtype in FLOATS
    ],
    axes="N 2 3",
    differentiable=(0,),
    mistakes={
        "scale on x only": (
            twist(
                on_answer(lambda theta: _with(theta, (1, 1), 1.0)),
                on_answer(lambda theta: _with(theta, (0, 0), 1.0)),
                on_answer(lambda theta: _with(theta, (1, 1), 0.0)),
            ),
            "Only one of x and y is scaled: a circle would become an ellipse. s stands in both rows.",
        ),
        "scale everywhere in the block": (
            twist(on_answer(lambda theta: _with(_with(theta, (0, 1), theta[:, 0, 0]), (1, 0), theta[:, 0, 0]))),
            "s fills the whole block, so all places fall onto one line. Off the diagonal there are zeros.",
        ),
        "scale off the diagonal": (
            twist(on_answer(lambda theta: theta[:, :, [1, 0, 2]])),
            "s stands off the diagonal: that exchanges x and y. The rows are s 0 tx and 0 s ty.",
        ),
        "x and y swapped": (
            twist(on_argument(0, lambda p: p[:, [0, 2, 1]])),
            "tx and ty are swapped: the first row makes x.",
        ),
        "read in another order": (
            twist(on_argument(0, lambda p: p[:, [2, 0, 1]]), on_argument(0, lambda p: p[:, [1, 0, 2]])),
            "The three numbers are read in another order: s comes first, then tx, then ty.",
        ),
        "shift scaled": (
            twist(on_argument(0, lambda p: torch.cat([p[:, :1], p[:, :1] * p[:, 1:]], dim=1))),
            "The shift is multiplied by s as well. In θ it is added last, in the input's own units.",
        ),
        "translation sign": (
            twist(on_argument(0, lambda p: torch.cat([p[:, :1], -p[:, 1:]], dim=1))),
            "The shift has the wrong sign: tx and ty stand in θ as they are.",
        ),
        "inverse scale": (
            twist(on_argument(0, lambda p: torch.cat([1 / p[:, :1], p[:, 1:]], dim=1))),
            "That is 1/s. s describes the frame: a small s looks at a small part.",
        ),
        "identity added": (
            twist(on_argument(0, lambda p: torch.cat([1 + p[:, :1], p[:, 1:]], dim=1))),
            "You add the identity. s = 1 *is* the identity's scale.",
        ),
        "by columns": (
            twist(on_answer(lambda theta: theta.transpose(1, 2).reshape(theta.shape))),
            "The six numbers are in another order: the rows are s 0 tx and 0 s ty.",
        ),
    },
)


def grid_in_perspective(theta, size):
    """theta (N, 3, 3), size (height, width) -> grid (N, height, width, 2)."""
    height, width = size
    x = (2 * torch.arange(width, dtype=theta.dtype) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=theta.dtype) + 1) / height - 1
    y, x = torch.meshgrid(y, x, indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3)
    places = (base @ theta.transpose(1, 2)).view(-1, height, width, 3)
    return places[..., :2] / places[..., 2:]


def _perspective_one_by_one(theta, size, ruler=None):
    if ruler:
        return grid_on(ruler, theta, size)
    grids = []
    for matrix in theta:
        rows = []
        for i in range(size[0]):
            for j in range(size[1]):
                place = theta.new_tensor([(2 * j + 1) / size[1] - 1, (2 * i + 1) / size[0] - 1, 1.0])
                x, y, w = matrix @ place
                rows.append(torch.stack([x / w, y / w]))
        grids.append(torch.stack(rows).view(*size, 2))
    return torch.stack(grids)


def _divided_by(divisor):
    """(x', y', w) of all places -> what (x', y') is divided by."""

    def wrong(theta, size):
        below = torch.tensor([0.0, 0.0, 1.0], dtype=theta.dtype).expand(len(theta), 1, 3)
        x, y, w = (
            affine_grid(torch.cat([theta[:, row : row + 1], below[:, :, :3]], dim=1), size)[..., 0] for row in range(3)
        )
        return torch.stack([x, y], dim=-1) / divisor(x, y, w)

    return wrong


def _perspective_cases():
    far = torch.eye(3, dtype=torch.float64)
    far[2, 0] = 0.5
    some = [
        (around(torch.eye(3), count, 0.15, **seeded(count, dtype)), size)
        for count, size in ((1, (2, 2)), (2, (2, 3)), (2, (4, 3)))
        for dtype in FLOATS
    ]
    return cases_by_size([(far[None], (1, 2)), *some])


def _in_three(theta, size, divide):
    places = torch.cat([_divided_by(lambda x, y, w: 1.0)(theta, size), _w_of(theta, size)], dim=-1)
    return places / places[..., 2:] if divide else places


def _w_of(theta, size):
    zero = torch.zeros_like(theta[:, :1])
    return affine_grid(torch.cat([theta[:, 2:], zero], dim=1), size)[..., :1]


def _between_centers(count, dtype):
    """The first at −1, the last at 1; a lone one in the middle."""
    return from_end_to_end(count, dtype) if count > 1 else torch.zeros(1, dtype=dtype)


GRID_IN_PERSPECTIVE = Code(
    name="grid_in_perspective",
    title="Perspective (stretch)",
    task="""
A projective θ is 3×3. It sends $(x, y, 1)$ to $(x', y', w)$, and the place is $(x'/w,\\ y'/w)$. Write the grid
(`align_corners=False`), so that gradients reach θ.
""",
    hints=(
        "It is the affine grid, with one more row. What happens to the third number?",
        "`places[..., :2] / places[..., 2:]`.",
    ),
    solution=grid_in_perspective,
    specification=_perspective_one_by_one,
    cases=_perspective_cases,
    axes="N H W 2",
    differentiable=(0,),
    draw=places,
    example=lambda: (torch.tensor([[[0.9, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.4, 1.0]]]), (6, 6)),
    mistakes={
        "not divided": (
            lambda theta, size: affine_grid(theta[:, :2], size),
            "The division by w is missing: what is left is affine, and parallels stay parallel.",
        ),
        "divided wrongly": (
            ways(
                _divided_by(lambda x, y, w: 1 / w[..., None]),
                _divided_by(lambda x, y, w: torch.stack([w, torch.ones_like(w)], dim=-1)),
                _divided_by(lambda x, y, w: torch.stack([torch.ones_like(w), w], dim=-1)),
                _divided_by(lambda x, y, w: w.abs()[..., None] ** 2),
                _divided_by(lambda x, y, w: torch.stack([x, y, w], dim=-1).norm(dim=-1, keepdim=True)),
            ),
            "The division is not the right one: x' *and* y' are both divided by w, once.",
        ),
        "three numbers for a place": (
            ways(
                lambda theta, size: _in_three(theta, size, divide=False),
                lambda theta, size: _in_three(theta, size, divide=True),
            ),
            "A place has two numbers, (x, y). Drop the third after dividing: `places[..., :2] / places[..., 2:]`.",
        ),
        "x and y swapped": (twist(xy_swapped), "x and y are swapped: a place is (x, y), the column first."),
        "x and y swapped in the base grid": (
            twist(on_argument(0, lambda theta: theta[:, :, [1, 0, 2]])),
            "x and y are swapped *before* θ: stack the base grid as (x, y, 1).",
        ),
        "wrong align_corners": (
            twist(with_options(ruler=from_end_to_end), with_options(ruler=_between_centers)),
            "That is `align_corners=True`: your first and last centre lie at ±1, as `linspace(-1, 1, …)` has them. "
            "Here ±1 are the image's outer edges.",
        ),
        "off by half a pixel": (
            twist(with_options(ruler=at_left_edges), with_options(ruler=at_right_edges)),
            "Everything is off by half a pixel: you take the pixels' *edges*. A centre lies at (2i + 1)/n − 1.",
        ),
        "pixels for the ruler": (
            twist(with_options(ruler=by_number), with_options(ruler=from_0_to_1)),
            "Your base grid is on another ruler. θ works on the ruler from −1 to 1.",
        ),
        "H and W transposed": (twist(hw_transposed), "Height and width are exchanged: `size` is (height, width)."),
        "y points up": (
            twist(y_up_before, y_up_after),
            "Your y grows upwards. On images y points *down*: the first row lies near y = −1.",
        ),
        "grid scrambled": (
            twist(listed_by_columns, viewed_for_transposed),
            "The places are all there, but in a scrambled order. `torch.meshgrid(y, x, indexing='ij')` gives rows "
            "first; and `view` never moves a number: where axes have to change places, use `transpose`.",
        ),
        "inverse θ": (
            twist(theta_inverted),
            "That is the inverse of θ: the output's places go in, and the input's come out.",
        ),
        "θ transposed": (
            twist(theta_transposed),
            "θ is used transposed: a place is a row here, so the product is `base @ theta.transpose(1, 2)`.",
        ),
    },
)

EXERCISES = (WHAT_SURVIVES, COUNT_PARAMETERS, ATTENTION_THETA, GRID_IN_PERSPECTIVE)
