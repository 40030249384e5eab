"""Exercises of notebook 06, visualization."""

import math

import torch

from stncourse.exercises.classic_mistakes import (
    hw_transposed,
    on_answer,
    on_argument,
    shift_negated,
    theta_inverted,
    theta_transposed,
    with_options,
    xy_swapped,
    y_up_after,
    y_up_before,
)
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.inputs import FLOATS, cases_by_size, thetas


def frame_corners(theta, size):
    """theta (N, 2, 3), size (height, width) of the input -> corners in pixels (N, 4, 2)."""
    height, width = size
    corners = torch.tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], dtype=theta.dtype)
    places = corners @ theta.transpose(1, 2)
    return ((places + 1) * torch.tensor([width, height], dtype=theta.dtype) - 1) / 2


def _in_pixels(place, count):
    return (place + 1) / 2 * count - 0.5


def _corners_one_by_one(theta, size, order=((-1, -1), (1, -1), (1, 1), (-1, 1)), in_pixels=_in_pixels):
    height, width = size
    frames = []
    for a in theta:
        frame = []
        for u, v in order:
            x, y = a[0, 0] * u + a[0, 1] * v + a[0, 2], a[1, 0] * u + a[1, 1] * v + a[1, 2]
            frame.append(torch.stack([in_pixels(x, width), in_pixels(y, height)]))
        frames.append(torch.stack(frame))
    return torch.stack(frames)


_ORDERS = (
    ((-1, -1), (1, -1), (-1, 1), (1, 1)),
    ((-1, -1), (-1, 1), (1, 1), (1, -1)),
    ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    ((1, 1), (-1, 1), (-1, -1), (1, -1)),
)


FRAME_CORNERS = Code(
    name="frame_corners",
    title="Draw the frame yourself",
    task="""
To draw the frame on an input, you need its four corners in *pixels*: the centre of the first pixel lies at (0, 0), and
x comes first. Return them in this order: where the output's top left, top right, bottom right and bottom left corners
look. (`align_corners=False`: the output's corners are at ±1.)
""",
    hints=(
        "First on the ruler: θ times (−1, −1, 1), (1, −1, 1), (1, 1, 1) and (−1, 1, 1).",
        "From the ruler to pixels: ((x + 1) · W − 1) / 2. For the identity, the first corner lies at (−0.5, −0.5).",
    ),
    solution=frame_corners,
    specification=_corners_one_by_one,
    cases=lambda: cases_by_size(
        [(torch.eye(2, 3, dtype=torch.float64)[None], (2, 2))]
        + [
            (thetas(count, dtype, seed=count), size)
            for count, size in ((1, (2, 3)), (2, (5, 4)), (3, (28, 28)), (3, (42, 30)))
            for dtype in FLOATS
        ]
    ),
    axes="N 4 2",
    mistakes={
        "x and y swapped": (
            twist(xy_swapped),
            "x and y are swapped: a corner is (x, y), its column first.",
        ),
        "H and W transposed": (
            twist(hw_transposed),
            "x is stretched by the height and y by the width: x runs along the image's *width*.",
        ),
        "off by half a pixel": (
            twist(
                with_options(in_pixels=lambda place, count: (place + 1) / 2 * count),
                with_options(in_pixels=lambda place, count: (place + 1) / 2 * count + 0.5),
            ),
            "Half a pixel too far: −1 is the outer *edge* of the first pixel, and that lies at −0.5, "
            "as its centre is at 0.",
        ),
        "wrong align_corners": (
            twist(with_options(in_pixels=lambda place, count: (place + 1) / 2 * (count - 1))),
            "You put ±1 on the centres of the outer pixels: that is `align_corners=True`. "
            "Here they are the image's edges.",
        ),
        "not in pixels": (
            twist(with_options(in_pixels=lambda place, count: place)),
            "Those are places on the ruler from −1 to 1. Bring them to pixels: ((x + 1) · W − 1) / 2.",
        ),
        "the ruler is 2 long": (
            twist(
                with_options(in_pixels=lambda place, count: (place + 1) * count - 0.5),
                with_options(in_pixels=lambda place, count: (place + 1) * count),
            ),
            "Twice too far: the ruler from −1 to 1 is 2 long, so one unit is *half* the image.",
        ),
        "inverse θ": (
            twist(theta_inverted),
            "That is where the *input's* corners go. θ maps output → input, "
            "so the output's corners go in, without an inverse.",
        ),
        "θ transposed": (
            twist(theta_transposed),
            "θ's left block is used transposed, which turns the other way: a corner is a row here, "
            "so θ has to be transposed once.",
        ),
        "translation sign": (twist(shift_negated), "The shift has the wrong sign: tx and ty are simply added."),
        "no translation": (
            twist(on_argument(0, lambda theta: theta * torch.tensor([1.0, 1, 0], dtype=theta.dtype))),
            "The shift has no effect: a corner needs a 1 after x and y.",
        ),
        "y points up": (
            twist(y_up_before, y_up_after, with_options(order=((-1, 1), (1, 1), (1, -1), (-1, -1)))),
            "Your y grows upwards. On images y points *down*: the top left corner is (−1, −1).",
        ),
        "corners in another order": (
            twist(*(with_options(order=order) for order in _ORDERS)),
            "The corners are right, but in another order: from the top left, go *round* the frame clockwise.",
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
$s\\,[\\cos\\; -\\sin;\\ \\sin\\; \\cos]$. Read the angle off θ, in degrees, clockwise positive, for any angle from
−180° to 180°.
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
    mistakes={
        "sign": (
            twist(on_answer(torch.neg)),
            "The sign is wrong: clockwise counts as positive here, and y points down. Use θ21, not θ12.",
        ),
        "radians for degrees": (
            twist(on_answer(torch.deg2rad)),
            "That is the angle in radians. `torch.rad2deg` turns it into degrees.",
        ),
        "converted the wrong way": (
            twist(on_answer(lambda degrees: torch.deg2rad(torch.deg2rad(degrees)))),
            "`atan2` answers in radians: `torch.rad2deg` makes degrees of them, `deg2rad` goes the other way.",
        ),
        "half of the circle": (
            ways(
                lambda theta: torch.rad2deg(torch.atan(theta[:, 1, 0] / theta[:, 0, 0])),
                lambda theta: torch.rad2deg(torch.atan(-theta[:, 0, 1] / theta[:, 0, 0])),
                lambda theta: torch.rad2deg(torch.atan(theta[:, 0, 1] / theta[:, 0, 0])),
                lambda theta: torch.rad2deg(torch.asin(theta[:, 1, 0] / theta[:, :, 0].norm(dim=1))),
            ),
            "Right up to 90°. Beyond that, a quotient cannot tell which of its two numbers was negative: "
            "`torch.atan2(sine, cosine)`.",
        ),
        "angle without a sign": (
            ways(
                lambda theta: torch.rad2deg(torch.acos(theta[:, 0, 0] / theta[:, :, 0].norm(dim=1))),
                lambda theta: torch.rad2deg(torch.acos(theta[:, 0, 0].clamp(-1, 1))),
                lambda theta: torch.rad2deg(torch.acos(theta[:, 0, 0])),
            ),
            "The cosine is the same for +30° and −30°: `acos` cannot know the direction. Use the sine as well: "
            "`torch.atan2(sine, cosine)`.",
        ),
        "scale not taken out": (
            ways(
                lambda theta: torch.rad2deg(torch.asin(theta[:, 1, 0].clamp(-1, 1))),
                lambda theta: torch.rad2deg(torch.asin(theta[:, 1, 0])),
            ),
            "θ21 is s · sin, not the sine. Use the cosine as well; then s drops out.",
        ),
        "arguments exchanged": (
            twist(on_answer(lambda degrees: torch.remainder(90 - degrees + 180, 360) - 180)),
            "The arguments are exchanged: `atan2` takes the sine (y) first. The identity has to give 0.",
        ),
        "from 0 to 360": (
            twist(on_answer(lambda degrees: degrees % 360)),
            "Your angles run from 0° to 360°. Counter-clockwise is negative here: −45°, not 315°.",
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


def _inverse(theta):
    block = torch.linalg.inv(theta[:, :, :2])
    return torch.cat([block, -block @ theta[:, :, 2:]], dim=2)


TWO_IN_A_ROW = Code(
    name="two_in_a_row",
    title="Two frames in a row (stretch)",
    task="""
An image is warped by `first`, and the picture that comes out is warped again, by `second`. Which single θ does the
same in one step? (It is sharper, too: colours are mixed only once.) In this notebook, such a product told how much of
a turn was left.
""",
    hints=(
        "Follow a pixel of the *last* picture back: where does it look in the middle picture, "
        "and where does that look in the first?",
        "Its place goes through `second` first, then through `first`: $A_1 (A_2\\, p)$.",
        "To multiply, the matrix on the right needs three rows: put 0 0 1 below.",
    ),
    solution=two_in_a_row,
    specification=_two_in_a_row_slowly,
    cases=lambda: [
        (thetas(count, dtype, seed=count), thetas(count, dtype, seed=10 + count))
        for count in (1, 2, 5)
        for dtype in FLOATS
    ],
    axes="N 2 3",
    mistakes={
        "wrong order": (
            twist(lambda right: lambda first, second: right(second, first)),
            "The order is exchanged. θ maps output → input: "
            "the last picture's pixel goes through `second` *first*, so `second` stands on the right.",
        ),
        "translations added": (
            lambda first, second: torch.cat(
                [first[:, :, :2] @ second[:, :, :2], first[:, :, 2:] + second[:, :, 2:]], dim=2
            ),
            "You add the two shifts. The second one is turned and scaled by the first frame before it is added.",
        ),
        "inverse θ": (
            twist(
                lambda right: lambda first, second: right(first, _inverse(second)),
                lambda right: lambda first, second: right(_inverse(first), second),
                on_answer(_inverse),
            ),
            "Something is inverted. Both θ map output → input already: multiply them as they are.",
        ),
        "θ transposed": (
            ways(
                lambda first, second: _two_in_a_row_slowly(
                    first, torch.cat([second[:, :, :2].mT, second[:, :, 2:]], dim=2)
                ),
                lambda first, second: _two_in_a_row_slowly(
                    torch.cat([first[:, :, :2].mT, first[:, :, 2:]], dim=2), second
                ),
            ),
            "One of the two blocks is used transposed, so that it turns the other way.",
        ),
        "only the first warp": (lambda first, second: first, "That is `first` alone: `second` has no effect."),
        "only the second warp": (lambda first, second: second, "That is `second` alone: `first` has no effect."),
        "added": (
            lambda first, second: first + second,
            "Frames in a row are multiplied, not added: the identity twice has to stay the identity.",
        ),
        "multiplied number by number": (
            lambda first, second: first * second,
            "`*` multiplies number by number. The product of matrices is `@`.",
        ),
        "first shift forgotten": (
            ways(
                lambda first, second: first[:, :, :2] @ second,
                lambda first, second: torch.cat([first[:, :, :2] @ second[:, :, :2], second[:, :, 2:]], dim=2),
            ),
            "`first`'s shift is lost: is the row below `second` 0 0 1?",
        ),
        "another row below": (
            ways(
                *(
                    lambda first, second, row=row: (
                        first @ torch.cat([second, torch.tensor(row).to(second).expand(len(second), 1, 3)], dim=1)
                    )
                    for row in ([1.0, 1, 1], [1.0, 0, 0], [0.0, 1, 0])
                )
            ),
            "The row below `second` has to be 0 0 1: then the 1 behind every place stays a 1.",
        ),
        "second shift forgotten": (
            lambda first, second: torch.cat([first[:, :, :2] @ second[:, :, :2], first[:, :, 2:]], dim=2),
            "`second`'s shift is lost: is the row below it 0 0 1?",
        ),
    },
)

EXERCISES = (ANGLE_OF_FRAME, FRAME_CORNERS, TWO_IN_A_ROW)
