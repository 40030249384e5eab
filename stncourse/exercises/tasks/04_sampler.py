"""Exercises of notebook 04, the sampler."""

import math

import torch
import torch.nn.functional as F

from stncourse.exercises.classic_mistakes import on_answer, on_argument, other_align_corners, with_options
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import a_digit, cases_by_size, in_both_types, seeded
from stncourse.exercises.pictures import warped
from stncourse.exercises.samplers_gone_wrong import (
    blank,
    clamped_before_weighed,
    color_of_all,
    color_of_floor_and_ceil,
    color_of_four,
    last_for_minus_1,
    only_inside,
    places_off_the_image,
    sample_by_four,
    sides_of,
)


def color_between(image, x, y):
    """The colour of `image` (H, W) at column x, row y, in pixels. Outside lies 0. A number."""
    height, width = image.shape
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for m, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
        for n, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
            if 0 <= m < width and 0 <= n < height:
                total += image[n, m].item() * weight_x * weight_y
    return total


def _color_by_the_formula(image, x, y, kernel=lambda distance: max(0, 1 - abs(distance))):
    """Equation 3 of the paper, over all pixels; with this kernel it is equation 5."""
    total = 0.0
    for n in range(image.shape[0]):
        for m in range(image.shape[1]):
            if weight := kernel(x - m) * kernel(y - n):
                total += image[n, m].item() * weight
    return total


def _color_cases():
    small = torch.tensor([[0.2, 0.8], [0.4, 1.0], [0.6, 0.1]])
    inside = ((0.0, 0.0), (1.0, 2.0), (0.25, 0.0), (0.3, 1.6), (0.9, 0.2))
    at_the_edge = ((-0.4, 0.3), (0.5, 2.7), (1.2, 1.0), (-5.0, 1.0))
    large = torch.rand(5, 7, **seeded(0))
    on_small = [(small, x, y) for x, y in (*inside, *at_the_edge)]
    only_four = torch.full((4, 5), torch.nan)  # whoever looks further than the four neighbours gets NaN
    only_four[1:3, 2:4] = torch.tensor([[0.1, 0.9], [0.5, 0.3]])
    return [*on_small, (only_four, 2.3, 1.4), (large, 4.4, 2.8), (large, 5.9, 0.1), (large, 6.5, 4.5)]


COLOR_BETWEEN = Code(
    name="color_between",
    title="One colour, by hand",
    task="""
The colour at *one* place, without looking at all the pixels: find the four neighbours of (x, y), weigh each by how
near it is, and add them up. A neighbour that lies outside the image counts as 0. Read no other pixel: in one of the
check's images all the others are NaN.
""",
    hints=(
        "The left neighbour is column `math.floor(x)`, the right one is the next. The same goes for rows.",
        "The weight of a column $m$ is $1 - |x - m|$: how *near* it is, not how far.",
        "An index of −1 is not an error in Python: it is the *last* column. Ask whether the neighbour is inside first.",
    ),
    solution=color_between,
    specification=_color_by_the_formula,
    cases=_color_cases,
    mistakes={
        "x and y swapped": (
            twist(
                lambda right: lambda image, x, y: right(image, y, x),
                lambda right: lambda image, x, y: right(image.T, x, y),
            ),
            "x and y are swapped: an image is indexed `image[row, column]`, that is [y, x].",
        ),
        "weights exchanged": (
            ways(
                color_of_four(weigh=lambda left, x: (x - left, left + 1 - x)),
                lambda image, x, y: _color_by_the_formula(image, x, y, lambda d: abs(d) if -1 <= d < 1 else 0),
            ),
            "The weights are exchanged: the *nearer* neighbour counts more. At x = 0.25, column 0 has the weight 0.75.",
        ),
        "zero padding not honoured": (
            twist(
                lambda right: (
                    lambda image, x, y: right(
                        image, min(max(x, 0), image.shape[1] - 1), min(max(y, 0), image.shape[0] - 1)
                    )
                )
            ),
            "Outside the image you repeat its edge. Here a neighbour outside counts as 0, "
            "so the colour fades out over one pixel.",
        ),
        "clamped before weighed": (
            clamped_before_weighed,
            "At the edge your colour drops to 0 at once, on the last column too. Either you give up when *one* "
            "neighbour lies outside, or you move the neighbours inside *before* you weigh them: then both are the same "
            "pixel, with weights that add up to 0. Weigh first; a neighbour outside counts as 0.",
        ),
        "nearest": (
            lambda image, x, y: _color_by_the_formula(image, x, y, lambda d: -0.5 <= d < 0.5),
            "That is the nearest pixel's colour alone. It would have no slope: mix the four neighbours.",
        ),
        "truncated, not floored": (
            twist(lambda right: color_of_four(floor=int)),
            "`int(x)` and `.long()` cut towards 0: −0.4 becomes 0, not −1. Left of the first pixel that is the wrong "
            "neighbour: use `math.floor`.",
        ),
        "rounded, not floored": (
            ways(
                color_of_four(floor=round),
                color_of_four(floor=round, weigh=lambda left, x: (1 - abs(x - left), 1 - abs(x - left - 1))),
                color_of_four(floor=round, weigh=lambda left, x: (1 - abs(x - left), abs(x - left))),
            ),
            "`round(x)` is the *nearest* column. The left neighbour is the one before x: `math.floor(x)`.",
        ),
        "index −1": (
            ways(
                color_of_four(pick=lambda image, n, m: image[n, m]),
                color_of_four(pick=lambda image, n, m: image[n % image.shape[0], m % image.shape[1]]),
                color_of_four(pick=last_for_minus_1),
            ),
            "A neighbour outside is read all the same. Index −1 is no error, it is the *last* column or row, from the "
            "other side of the image. Ask first whether the neighbour is inside.",
        ),
        "plain mean": (
            color_of_four(weigh=lambda left, x: (0.5, 0.5)),
            "You take the plain mean of the four neighbours. The *nearer* ones count more.",
        ),
        "ceil for the next": (
            color_of_floor_and_ceil,
            "`math.ceil(x)` is the next column only between two columns: on a whole number it is the same as the "
            "floor, and one pixel is counted twice. The right neighbour is `math.floor(x) + 1`.",
        ),
        "all or nothing": (
            twist(only_inside),
            "You answer 0 as soon as the place lies beyond the outer centres. A neighbour inside still counts: the "
            "colour fades out over one pixel.",
        ),
        "off by half a pixel": (
            twist(
                lambda right: lambda image, x, y: right(image, x + 0.5, y + 0.5),
                lambda right: lambda image, x, y: right(image, x - 0.5, y - 0.5),
            ),
            "Off by half a pixel: here x and y count from the *centre* of pixel 0.",
        ),
        "y points up": (
            twist(
                lambda right: lambda image, x, y: right(image.flip(0), x, y),
                lambda right: lambda image, x, y: right(image, x, image.shape[0] - 1 - y),
            ),
            "You count rows from the bottom. On images y points *down*: row 0 is on top.",
        ),
        "all pixels": (
            ways(
                color_of_all,
                lambda image, x, y: sum(
                    image[n, m].item() * max(0, 1 - abs(x - m)) * max(0, 1 - abs(y - n))
                    for n in range(image.shape[0])
                    for m in range(image.shape[1])
                ),
            ),
            "The colours are right, but you look at all the pixels: one far away that is NaN spoils the sum, for "
            "0 · NaN is NaN. Look at the four neighbours alone.",
        ),
    },
)


def sample_batch(images, grid):
    """images (N, C, H, W), grid (N, H_out, W_out, 2) -> (N, C, H_out, W_out); outside: 0."""
    count, _, height, width = images.shape
    x = ((grid[..., 0] + 1) * width - 1) / 2
    y = ((grid[..., 1] + 1) * height - 1) / 2
    left, top = x.detach().floor(), y.detach().floor()
    image = torch.arange(count).view(-1, 1, 1)
    total = 0
    for m, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
        for n, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (m >= 0) & (m < width) & (n >= 0) & (n < height)
            row, column = n.clamp(0, height - 1).long(), m.clamp(0, width - 1).long()
            pixel = images[image, :, row, column]  # (N, H_out, W_out, C)
            total = total + pixel * (inside * weight_x * weight_y)[..., None]
    return total.permute(0, 3, 1, 2)


def _sample(images, grid, mode="bilinear", padding="zeros", align_corners=False):
    return F.grid_sample(images, grid, mode, padding, align_corners)


def _sample_cases():
    """Images from 1×2 up; grids that lie on the image, between its pixels, and beyond its edge."""
    shapes = [  # of the images, and (H_out, W_out)
        ((1, 1, 1, 2), (1, 1)),
        ((1, 1, 2, 3), (1, 2)),
        ((1, 1, 3, 2), (2, 3)),
        ((2, 1, 4, 3), (3, 4)),
        ((3, 2, 5, 6), (4, 3)),
    ]
    cases = []
    for (shape, out), random in in_both_types(shapes):
        images = torch.rand(shape, **random)
        cases.append((images, 2.6 * torch.rand(len(images), *out, 2, **random) - 1.3))
    return cases_by_size(cases)


def _digit_and_frame():
    theta = torch.tensor([[[1.1, -0.5, 0.2], [0.5, 1.1, 0.0]]])
    image = a_digit()
    image[..., :2] = image[..., :2, :] = 0.5  # a grey margin at the left and top, to see what becomes of an edge
    return image, F.affine_grid(theta, (1, 1, 28, 28), align_corners=False)


BILINEAR_SAMPLE = Code(
    name="bilinear_sample",
    title="The sampler, for real images",
    task="""
The sampler above handles one grey image. Write it for what a network has: a batch of N images with C channels each,
and a grid of its own for every image. `align_corners=False`, and outside lies 0. It has to equal `F.grid_sample`, and
its gradients, with respect to the images and to the grid, have to be right, too.
""",
    hints=(
        "Start from `my_bilinear_sample` on this page. Only the picking of pixels changes: one place now gives "
        "C numbers.",
        "With `image = torch.arange(N).view(-1, 1, 1)`, "
        "`images[image, :, row, column]` has the shape (N, H_out, W_out, C).",
        "The weights are (N, H_out, W_out): give them a last axis with `[..., None]`. "
        "At the end, `permute` brings C to its place.",
    ),
    solution=sample_batch,
    specification=_sample,
    cases=_sample_cases,
    axes="N C H W",
    differentiable=(0, 1),
    draw=warped,
    example=_digit_and_frame,
    mistakes={
        "x and y swapped": (
            twist(on_argument(1, lambda grid: grid.flip(-1))),
            "x and y are swapped: `grid[..., 0]` is x, the *column*; `grid[..., 1]` is y, the *row*.",
        ),
        "wrong align_corners": (
            twist(other_align_corners),
            "That is the ruler of `align_corners=True`. With `False`, −1 is the outer *edge*: "
            "pixel = ((x + 1) · W − 1) / 2.",
        ),
        "off by half a pixel": (
            twist(
                lambda right: lambda images, grid, **options: right(images, grid + 1 / sides_of(images), **options),
                lambda right: lambda images, grid, **options: right(images, grid - 1 / sides_of(images), **options),
            ),
            "Everything is off by half a pixel: (x + 1) · W / 2 counts from the image's *edge*. The centre of pixel 0 "
            "lies half a pixel from there.",
        ),
        "zero padding not honoured": (
            twist(with_options(padding="border"), with_options(padding="reflection")),
            "Outside the image you repeat its edge: that is what `clamp` does. A neighbour outside has to count as 0.",
        ),
        "nearest": (
            twist(with_options(mode="nearest")),
            "You take the nearest pixel alone. Mix the four neighbours, or no slope will reach the grid.",
        ),
        "H and W transposed": (
            twist(on_answer(lambda answer: answer.transpose(2, 3))),
            "The output is transposed: its height and width are those of the grid, H_out rows of W_out pixels.",
        ),
        "from 0 to 1": (
            twist(on_argument(1, lambda grid: 2 * grid - 1)),
            "You read the grid as if it ran from 0 to 1. Its ruler runs from −1 to 1.",
        ),
        "cubic": (
            with_options(mode="bicubic")(_sample),
            "That is another interpolation, over 16 neighbours. Bilinear mixes four.",
        ),
        "H and W exchanged on the ruler": (
            twist(
                lambda right: (
                    lambda images, grid, **options: right(
                        images, (grid + 1) * sides_of(images).flip(0) / sides_of(images) - 1, **options
                    )
                )
            ),
            "x is measured with the height, and y with the width: x runs along the image's *width*.",
        ),
        "truncated, not floored": (
            sample_by_four(floor=torch.trunc),
            "`.long()`, `.int()` and `trunc` cut towards 0: −0.4 becomes 0, not −1. Left of the first pixel that is "
            "the wrong neighbour: use `floor` first.",
        ),
        "rounded, not floored": (
            sample_by_four(floor=torch.round),
            "`round` gives the *nearest* pixel. The left neighbour is the one before x: use `floor`.",
        ),
        "weights exchanged": (
            sample_by_four(far=True),
            "The weights are exchanged: the *nearer* neighbour counts more.",
        ),
        "index −1": (
            ways(sample_by_four(outside="wrap"), sample_by_four(outside="read")),
            "A neighbour outside is read all the same: index −1 is the *last* column or row, from the other side of "
            "the image, and further out there is an error. Clamp the index, and let what is outside count as 0.",
        ),
        "all or nothing": (
            twist(
                blank(places_off_the_image(lambda sides: 1)),
                blank(places_off_the_image(lambda sides: 1 - 1 / sides)),
            ),
            "You blank whole places that lie outside. Ask for each *neighbour* whether it is inside: at the edge one "
            "may be and the other not, and the colour fades out over one pixel.",
        ),
        "y points up": (
            twist(
                on_argument(1, lambda grid: torch.stack([grid[..., 0], -grid[..., 1]], dim=-1)),
            ),
            "You count rows from the bottom. On images y points *down*: y = −1 is the top edge.",
        ),
    },
)


def sample_on_background(images, grid, background):
    """images (N, C, H, W), grid (N, H_out, W_out, 2) -> (N, C, H_out, W_out)."""
    return F.grid_sample(images - background, grid, align_corners=False) + background


def _sample_on_a_larger_canvas(images, grid, background):
    """Put the image on a canvas of background three times its size, and look at its middle."""
    height, width = images.shape[-2:]
    canvas = F.pad(images, (width, width, height, height), value=background)
    return F.grid_sample(canvas, grid / 3, align_corners=False)


def _wide_frame_on_grey():
    theta = torch.tensor([[[1.6, 0.0, 0.0], [0.0, 1.6, 0.0]]])
    return a_digit(), F.affine_grid(theta, (1, 1, 28, 28), align_corners=False), 0.4


SAMPLE_ON_BACKGROUND = Code(
    name="sample_on_background",
    title="No bright frame",
    task="""
`F.grid_sample` knows only one colour for the outside: 0. Make it pad with any `background`. Between the last pixel
and the outside, the colour has to fade from one to the other, as always, and gradients have to reach the images and
the grid. You may call `F.grid_sample`, and two more operations are enough.
""",
    hints=(
        "It would be easy if the background *were* 0.",
        "Change the images so that their background becomes 0, sample, and change back.",
    ),
    solution=sample_on_background,
    specification=_sample_on_a_larger_canvas,
    cases=lambda: [(*case, background) for case in _sample_cases() for background in (-0.5, 2.0)],
    axes="N C H W",
    differentiable=(0, 1),
    draw=warped,
    example=_wide_frame_on_grey,
    mistakes={
        "zero padding": (
            lambda images, grid, background: _sample(images, grid),
            "The outside is still 0. On normalised digits that is the bright frame.",
        ),
        "border padding": (
            ways(
                lambda images, grid, background: _sample(images, grid, padding="border"),
                lambda images, grid, background: _sample(images - background, grid, padding="border") + background,
                lambda images, grid, background: _sample(images, grid, padding="reflection"),
            ),
            "Outside you repeat the image's edge. That is the background only where the edge happens to be background.",
        ),
        "not moved back": (
            ways(
                lambda images, grid, background: _sample(images - background, grid),
                lambda images, grid, background: _sample(images + background, grid),
            ),
            "You moved the colours and sampled, but did not move them back.",
        ),
        "background added twice": (
            lambda images, grid, background: _sample(images, grid) + background,
            "Outside it is right, but inside everything became brighter by the background: "
            "it has to be taken off *before* sampling.",
        ),
        "moved the wrong way": (
            lambda images, grid, background: _sample(images + background, grid) - background,
            "The signs are exchanged: the outside came out as −background.",
        ),
        "wrong align_corners": (
            lambda images, grid, background: _sample(images - background, grid, align_corners=True) + background,
            "That is the ruler of `align_corners=True`. Pass `align_corners=False`, which the grid was made for.",
        ),
        "painted over": (
            ways(
                lambda images, grid, background: torch.where(
                    _sample(images, grid) == 0, background, _sample(images, grid)
                ),
                lambda images, grid, background: torch.where(
                    _sample(torch.ones_like(images), grid) == 0, background, _sample(images, grid)
                ),
            ),
            "You paint what came out as 0: but a pixel half outside is still mixed with black, "
            "and a black pixel inside is painted, too.",
        ),
        "hard edge": (
            ways(
                lambda images, grid, background: torch.where(
                    (grid.abs() > 1).any(-1)[:, None], background, _sample(images, grid)
                ),
                lambda images, grid, background: torch.where(
                    (grid.abs() > 1).any(-1)[:, None], background, _sample(images, grid, padding="border")
                ),
                *(
                    lambda images, grid, background, share=share: torch.where(
                        _sample(torch.ones_like(images), grid) < share, background, _sample(images, grid)
                    )
                    for share in (0.9999, 0.5)
                ),
            ),
            "You paint all places beyond an edge in one colour. The colour has to *fade* there, over one pixel.",
        ),
    },
)


def _slope_by_autograd():
    image = torch.zeros(1, 1, 1, 20, dtype=torch.float64)
    image[..., 7], image[..., 8] = 0.2, 0.8
    x = torch.tensor((2 * 7.3 + 1) / 20 - 1, dtype=torch.float64, requires_grad=True)
    grid = torch.stack([x, torch.zeros_like(x)]).view(1, 1, 1, 2)
    _sample(image, grid).sum().backward()
    return x.grad.item()


SLOPE = Question(
    name="slope_by_place",
    title="How steep?",
    task="""
In a row of 20 pixels, column 7 has the colour 0.2 and column 8 has 0.8. The place x lies between them, 0.3 pixels to
the right of column 7's centre. By how much does the colour change per unit of x on the *ruler* from −1 to 1? Work it
out on paper.
""",
    hints=(
        "First per *pixel*: how much does the colour change from one centre to the next?",
        "The ruler is 2 long and the row 20 pixels: how many pixels is one unit?",
    ),
    variable="steepness",
    answer=_slope_by_autograd,
    explanation="Right neighbour minus left neighbour is 0.6 per pixel, and one unit of the ruler is 10 pixels. Where "
    "the place lies between the two does not matter.",
    mistakes={
        "per pixel": (
            0.6,
            "That is the slope per *pixel*. x is on the ruler from −1 to 1, where one unit is many pixels.",
        ),
        "sign": (-6.0, "The sign is wrong: the brighter pixel lies further right, so the colour grows with x."),
        "whole width for half": (12.0, "The ruler is 2 long, not 1: one unit is *half* the row."),
        "colour for slope": (
            0.2 * 0.7 + 0.8 * 0.3,
            "That is the colour at this place. How fast does it change when the place moves?",
        ),
        "distance for slope": (
            0.3 * 0.6,
            "That is how far the colour has come since column 7. The slope is the same all the way between the two.",
        ),
        "19 steps": (
            0.6 * 9.5,
            "That is the ruler of `align_corners=True`, with 19 steps. Here the row's outer *edges* are ±1.",
        ),
        "divided for multiplied": (
            0.06,
            "One unit of x is *many* pixels, so the colour changes more than per pixel, not less.",
        ),
    },
)

EXERCISES = (COLOR_BETWEEN, SLOPE, BILINEAR_SAMPLE, SAMPLE_ON_BACKGROUND)
