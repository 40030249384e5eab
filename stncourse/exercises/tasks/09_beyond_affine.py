"""Exercises of notebook 09, beyond affine."""

import torch

from stncourse.exercises.classic_mistakes import other_align_corners, theta_inverted, theta_transposed, xy_swapped
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS, around, cases_by_size, seeded
from stncourse.exercises.pictures import places
from stncourse.transformer.grids import affine_grid, projective_grid
from stncourse.transformer.splines import ThinPlateSplineGrid

WHAT_SURVIVES = Question(
    name="what_survives",
    title="Which family was it?",
    task="""
A frame lost its right angles, but its opposite sides are still parallel. What is the *smallest* family of
transformations that can do this? (attention: zoom and shift; similarity: with a turn; then affine, projective, thin
plate.)
""",
    hints=(
        "Attention and similarity keep angles. So it is one of the other three.",
        "Which of them keeps parallels?",
    ),
    variable="smallest_family",
    options=("attention", "similarity", "affine", "projective", "thin plate"),
    answer=lambda: "affine",
    explanation="Each step gives something up: attention keeps directions, similarity angles, affine parallels, "
    "projective straight lines, a thin plate none of it.",
    mistakes={
        "attention for affine": (
            "attention",
            "Zoom and shift alone leave every angle as it is, and every direction too.",
        ),
        "similarity for affine": ("similarity", "A turn, a zoom and a shift keep all angles. These were lost."),
        "projective for affine": (
            "projective",
            "It could, but it need not be that many numbers: "
            "and a projective frame usually loses its parallels as well.",
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
A thin-plate-spline transformer has a lattice of 5×5 control points and moves each of them freely. How many numbers
does its localization network have to answer with?
""",
    hints=("What does it take to say where one point goes?",),
    variable="numbers",
    answer=lambda: ThinPlateSplineGrid(5).num_parameters,
    tolerance=0.4,
    explanation="Two per control point, x and y. The bending between the points follows from them.",
    mistakes={
        "one number per point": (25, "That is the number of points. Each of them is moved in x *and* in y."),
        "one side of the lattice": (10, "That is one row of the lattice. There are 5 rows."),
        "affine part counted": (
            56,
            "The affine part is in it already: the positions of the points determine it. "
            "It takes no numbers of its own.",
        ),
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


ATTENTION_THETA = Code(
    name="attention_theta",
    title="Three numbers instead of six",
    task="""
Attention (equation 2 of the paper) may only zoom and shift: $\\theta = [s\\; 0\\; t_x;\\ 0\\; s\\; t_y]$. Make
these θ from (s, tx, ty), for a batch, so that the slopes find their way back to the three numbers.
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
    differentiable=(0,),
    mistakes={
        "scale on x only": (
            lambda p: (
                _attention_by_basis(p) * torch.tensor([[1.0, 1, 1], [1, 0, 1]], dtype=p.dtype)
                + torch.tensor([[0.0, 0, 0], [0, 1, 0]], dtype=p.dtype)
            ),
            "Only x is scaled: a circle would become an ellipse. s stands in both rows.",
        ),
        "scale everywhere in the block": (
            lambda p: _attention_by_basis(p) + torch.tensor([[0.0, 1, 0], [1, 0, 0]], dtype=p.dtype) * p[:, :1, None],
            "s fills the whole block: then all places fall onto one line. Off the diagonal there are zeros.",
        ),
        "x and y swapped": (
            lambda p: _attention_by_basis(p[:, [0, 2, 1]]),
            "tx and ty are swapped: the first row makes x.",
        ),
        "shift scaled": (
            lambda p: _attention_by_basis(torch.cat([p[:, :1], p[:, :1] * p[:, 1:]], dim=1)),
            "The shift is multiplied by s as well. In θ it is added last, in the input's own units.",
        ),
        "inverse scale": (
            lambda p: _attention_by_basis(torch.cat([1 / p[:, :1], p[:, 1:]], dim=1)),
            "That is 1/s. s describes the frame: a small s looks at little.",
        ),
        "float32, whatever came": (
            lambda p: _attention_by_basis(p).float(),
            "The numbers are right, but float32 comes out whatever went in. If `torch.tensor(…)` made them: it copies "
            "numbers, so the gradient is cut as well. `torch.stack` keeps type and gradient.",
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


def _perspective_one_by_one(theta, size):
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


def _perspective_cases():
    far = torch.eye(3, dtype=torch.float64)
    far[2, 0] = 0.5
    some = [
        (around(torch.eye(3), count, 0.15, **seeded(count, dtype)), size)
        for count, size in ((1, (2, 2)), (2, (2, 3)), (2, (4, 3)))
        for dtype in FLOATS
    ]
    return cases_by_size([(far[None], (1, 2)), *some])


GRID_IN_PERSPECTIVE = Code(
    name="grid_in_perspective",
    title="Perspective (stretch)",
    task="""
A projective θ is 3×3. It sends $(x, y, 1)$ to $(x', y', w)$, and the place is $(x'/w,\\ y'/w)$: that division makes
far things small. Write the grid.
""",
    hints=(
        "The affine grid, with one more row. What happens to the third number?",
        "`places[..., :2] / places[..., 2:]`.",
    ),
    solution=grid_in_perspective,
    specification=_perspective_one_by_one,
    cases=_perspective_cases,
    differentiable=(0,),
    draw=places,
    example=lambda: (torch.tensor([[[0.9, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.4, 1.0]]]), (6, 6)),
    mistakes={
        "not divided": (
            lambda theta, size: affine_grid(theta[:, :2], size),
            "The division by w is missing: what is left is affine, and parallels stay parallel.",
        ),
        "x and y swapped": (xy_swapped(projective_grid), "x and y are swapped: a place is (x, y), the column first."),
        "wrong align_corners": (
            other_align_corners(projective_grid),
            "That is `align_corners=True`. Here ±1 are the image's outer edges.",
        ),
        "inverse θ": (
            theta_inverted(projective_grid),
            "That is the inverse of θ: the output's places go in, and the input's come out.",
        ),
        "θ transposed": (
            theta_transposed(projective_grid),
            "θ is used transposed: a place is a row here, so the product is `base @ theta.transpose(1, 2)`.",
        ),
    },
)

EXERCISES = (WHAT_SURVIVES, COUNT_PARAMETERS, ATTENTION_THETA, GRID_IN_PERSPECTIVE)
