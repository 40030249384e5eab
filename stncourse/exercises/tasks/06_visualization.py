"""Exercises of notebook 06, visualization."""

import math

import torch

from stncourse.exercises.classic_mistakes import hw_transposed, theta_inverted, xy_swapped
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.inputs import FLOATS, cases_by_size, thetas


def box_corners(theta, size):
    """theta (N, 2, 3), size (height, width) of the input -> corners in pixels (N, 4, 2)."""
    height, width = size
    corners = torch.tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], dtype=theta.dtype)
    places = corners @ theta.transpose(1, 2)
    return ((places + 1) * torch.tensor([width, height], dtype=theta.dtype) - 1) / 2


def _corners_one_by_one(theta, size, order=((-1, -1), (1, -1), (1, 1), (-1, 1))):
    height, width = size
    boxes = []
    for a in theta:
        box = []
        for u, v in order:
            x, y = a[0, 0] * u + a[0, 1] * v + a[0, 2], a[1, 0] * u + a[1, 1] * v + a[1, 2]
            box.append(torch.stack([(x + 1) / 2 * width - 0.5, (y + 1) / 2 * height - 0.5]))
        boxes.append(torch.stack(box))
    return torch.stack(boxes)


def _corners_between_centers(theta, size):
    scale = torch.tensor([(size[1] - 1) / size[1], (size[0] - 1) / size[0]], dtype=theta.dtype)
    edges = _corners_one_by_one(theta, size) + 0.5
    return edges * scale


BOX_CORNERS = Code(
    name="box_corners",
    title="Draw the frame yourself",
    task="""
To draw the frame on an input one needs its four corners in *pixels*, where the centre of pixel (0, 0) is at 0 and x
comes first. In this order: where the output's top left, top right, bottom right and bottom left corner look.
(`align_corners=False`: the output's corners are at ±1.)
""",
    hints=(
        "First on the ruler: θ times (−1, −1, 1), (1, −1, 1), (1, 1, 1) and (−1, 1, 1).",
        "From the ruler to pixels: ((x + 1) · W − 1) / 2. On the identity the first corner lies at (−0.5, −0.5).",
    ),
    solution=box_corners,
    specification=_corners_one_by_one,
    cases=lambda: cases_by_size(
        [(torch.eye(2, 3, dtype=torch.float64)[None], (2, 2))]
        + [
            (thetas(count, dtype, seed=count), size)
            for count, size in ((1, (2, 3)), (2, (5, 4)), (3, (28, 28)), (3, (42, 30)))
            for dtype in FLOATS
        ]
    ),
    differentiable=(0,),
    mistakes={
        "x and y swapped": (
            xy_swapped(_corners_one_by_one),
            "x and y are swapped: a corner is (x, y), its column first.",
        ),
        "H and W transposed": (
            hw_transposed(_corners_one_by_one),
            "x is stretched by the height and y by the width: x runs along the image's *width*.",
        ),
        "off by half a pixel": (
            lambda theta, size: _corners_one_by_one(theta, size) + 0.5,
            "Half a pixel too far: −1 is the outer *edge* of the first pixel, and that lies at −0.5, "
            "as its centre is at 0.",
        ),
        "wrong align_corners": (
            _corners_between_centers,
            "You put ±1 on the centres of the outer pixels: that is `align_corners=True`. "
            "Here they are the image's edges.",
        ),
        "inverse θ": (
            theta_inverted(_corners_one_by_one),
            "That is where the *input's* corners go. θ maps output → input, "
            "so the output's corners go in, without an inverse.",
        ),
        "corners in another order": (
            lambda theta, size: _corners_one_by_one(theta, size, ((-1, -1), (1, -1), (-1, 1), (1, 1))),
            "The corners are right, but in another order: go *round* the frame, or its outline is drawn crosswise.",
        ),
    },
)


def angle_of_frame(theta):
    """theta (N, 2, 3), a turn and one scale > 0 -> degrees clockwise (N,), -180 to 180."""
    return torch.rad2deg(torch.atan2(theta[:, 1, 0], theta[:, 0, 0]))


def _angle_by_looking(theta):
    """Where a step along the output's x axis points, as an angle of complex numbers."""
    return torch.rad2deg(torch.complex(theta[:, 0, 0], theta[:, 1, 0]).angle())


def _turned_and_scaled(pairs, dtype):
    rows = []
    for degrees, scale, x in pairs:
        c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
        rows.append([[c, -s, x], [s, c, -x]])
    return torch.tensor(rows, dtype=dtype)


ANGLE_OF_FRAME = Code(
    name="angle_of_frame",
    title="Read the angle",
    task="""
A frame was turned by an unknown angle and scaled by an unknown $s > 0$, so θ's left block is
$s\\,[\\cos\\; -\\sin;\\ \\sin\\; \\cos]$. Read the angle in degrees, clockwise positive, for any angle from −180°
to 180°.
""",
    hints=(
        "The first column is $s (\\cos, \\sin)$: where a step along x leads. "
        "Which function gives the angle of a vector?",
        "`torch.atan2(sine, cosine)` knows all four quadrants, and does not mind a common factor.",
    ),
    solution=angle_of_frame,
    specification=_angle_by_looking,
    cases=lambda: [
        (_turned_and_scaled(pairs, dtype),)
        for pairs in (
            [(0, 1, 0)],
            [(30, 1, 0.1)],
            [(-45, 0.6, 0.2), (10, 1.5, 0)],
            [(120, 0.8, 0.3), (-150, 2, 0), (90, 0.5, -0.1)],
        )
        for dtype in FLOATS
    ],
    differentiable=(0,),
    mistakes={
        "sign": (
            lambda theta: -_angle_by_looking(theta),
            "The sign is wrong: clockwise counts positive here, and y points down. Use θ21, not θ12.",
        ),
        "radians for degrees": (
            lambda theta: torch.deg2rad(_angle_by_looking(theta)),
            "That is the angle in radians. `torch.rad2deg` makes degrees of it.",
        ),
        "half of the circle": (
            lambda theta: torch.rad2deg(torch.atan(theta[:, 1, 0] / theta[:, 0, 0])),
            "Right up to 90°. Beyond, a quotient cannot know which of its two numbers was negative: "
            "`torch.atan2(sine, cosine)`.",
        ),
        "scale not taken out": (
            lambda theta: torch.rad2deg(torch.asin(theta[:, 1, 0].clamp(-1, 1))),
            "θ21 is s · sin, not the sine. Use the cosine as well, then s drops out.",
        ),
        "arguments exchanged": (
            lambda theta: torch.rad2deg(torch.atan2(theta[:, 0, 0], theta[:, 1, 0])),
            "The arguments are exchanged: `atan2` takes the sine (y) first. The identity has to give 0.",
        ),
    },
)


def two_in_a_row(first, second):
    """Warp by `first` (N, 2, 3), then by `second` -> the one θ (N, 2, 3) that does both."""
    last = torch.tensor([0.0, 0.0, 1.0], dtype=second.dtype).expand(len(second), 1, 3)
    return first @ torch.cat([second, last], dim=1)


def _two_in_a_row_slowly(first, second):
    """Follow the three places (0, 0), (1, 0) and (0, 1) of the last picture back to the first."""

    def look(theta, place):
        return torch.einsum("nij,nj->ni", theta[:, :, :2], place) + theta[:, :, 2]

    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=first.dtype)
    zero, right, down = (look(first, look(second, corner.expand(len(first), 2))) for corner in corners)
    return torch.stack([right - zero, down - zero, zero], dim=2)


TWO_IN_A_ROW = Code(
    name="two_in_a_row",
    title="Two frames in a row (stretch)",
    task="""
An image is warped by `first`, and the picture that comes out is warped again, by `second`. Which single θ gives the
same at once? (It is sharper, too: colours are mixed only once.) In this notebook that product told how much of a
turn was left.
""",
    hints=(
        "Follow a pixel of the *last* picture back: where does it look in the middle picture, "
        "and where does that look in the first?",
        "Its place goes through `second` first, then through `first`: $A_1 (A_2\\, p)$.",
        "To multiply, the right matrix needs three rows: put 0 0 1 below.",
    ),
    solution=two_in_a_row,
    specification=_two_in_a_row_slowly,
    cases=lambda: [
        (thetas(count, dtype, seed=count), thetas(count, dtype, seed=10 + count))
        for count in (1, 2, 5)
        for dtype in FLOATS
    ],
    differentiable=(0, 1),
    mistakes={
        "wrong order": (
            lambda first, second: _two_in_a_row_slowly(second, first),
            "The order is exchanged. θ maps output → input: "
            "the last picture's pixel goes through `second` *first*, which stands right.",
        ),
        "translations added": (
            lambda first, second: torch.cat(
                [first[:, :, :2] @ second[:, :, :2], first[:, :, 2:] + second[:, :, 2:]], dim=2
            ),
            "You add the two shifts. The second one is turned and scaled by the first frame before it is added.",
        ),
        "added": (
            lambda first, second: first + second,
            "Frames in a row are multiplied, not added: two times the identity has to stay the identity.",
        ),
        "multiplied number by number": (
            lambda first, second: first * second,
            "`*` multiplies number by number. A product of matrices is `@`.",
        ),
        "second shift forgotten": (
            lambda first, second: torch.cat([first[:, :, :2] @ second[:, :, :2], first[:, :, 2:]], dim=2),
            "`second`'s shift is lost: is the row below it 0 0 1?",
        ),
    },
)

EXERCISES = (ANGLE_OF_FRAME, BOX_CORNERS, TWO_IN_A_ROW)
