"""Exercises of notebook 08, the clinic."""

import torch
import torch.nn.functional as F

from stncourse.exercises.classic_mistakes import on_answer
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import a_digit, in_both_types
from stncourse.exercises.pictures import warped

DIAGNOSE = Question(
    name="diagnose",
    title="What is wrong with it?",
    task="""
This is a spatial transformer after a few hundred steps. Every output is one even colour, that of the background. The
gradient of the loss with respect to θ is *exactly* 0 for every image, and the accuracy is no better than guessing. The
sampler is bilinear with zero padding. What is the diagnosis?

- `"nearest"`: the sampler takes the nearest pixel.
- `"outside"`: the frame lies outside the image.
- `"bright"`: the image was padded with 0 after normalisation.
- `"rulers"`: grid and sampler use different `align_corners`.
""",
    hints=(
        "Which of the four makes *every* output pixel the background?",
        "Where does the sampler see the same colour even when the frame moves a little?",
    ),
    variable="diagnosis",
    options=("nearest", "outside", "bright", "rulers"),
    answer=lambda: "outside",
    explanation="Outside, the colour is the same everywhere, so there is no slope, and the frame stays there forever. "
    "The cure, from the start: a smaller learning rate for the localization network, or a bound on θ.",
    mistakes={
        "nearest": (
            "nearest",
            "With `nearest` the gradient is 0 as well, but the outputs would still show the digits. "
            "And the sampler here is bilinear.",
        ),
        "bright frame": (
            "bright",
            "A bright frame shows as a *frame*, with the digit in it, and its gradient is not 0.",
        ),
        "two rulers": (
            "rulers",
            "Two rulers move every place by at most half a pixel: the digit is still there, and so is the gradient.",
        ),
    },
)


def share_outside(grid):
    """grid (N, H, W, 2) -> per image, the share of its places outside [-1, 1], (N,)."""
    outside = (grid.abs() > 1).any(dim=-1)
    return outside.flatten(1).to(grid.dtype).mean(dim=1)


def _share_by_counting(grid):
    shares = []
    for places in grid:
        count = sum(not (-1 <= x <= 1 and -1 <= y <= 1) for x, y in places.reshape(-1, 2).tolist())
        shares.append(count / places[..., 0].numel())
    return torch.tensor(shares, dtype=grid.dtype)


def _share_where(grid, test):
    return test(grid).flatten(1).to(grid.dtype).mean(dim=1)


def _grids():
    cases = [(torch.tensor([[[[1.5, 0.0]]]], dtype=torch.float64),), (torch.tensor([[[[0.5, -1.5]]]]),)]
    for shape, random in in_both_types([(1, 2, 2, 2), (2, 3, 4, 2), (3, 5, 6, 2)]):
        shift = torch.arange(shape[0], dtype=random["dtype"]).view(-1, 1, 1, 1) / 4
        cases.append((2.8 * torch.rand(shape, **random) - 1.4 - shift,))
    return cases


SHARE_OUTSIDE = Code(
    name="share_outside",
    title="A thermometer for lost frames",
    task="""
Write the number to watch during training: for each image of the batch, the share of its sampling places that lie
outside the image. 0 means all are inside; 1 means the frame is lost.
""",
    hints=(
        "A place is outside if x *or* y is beyond ±1.",
        "`.any(dim=-1)` makes one answer of the two. Then take the mean over the places of each image, not over the "
        "batch.",
    ),
    solution=share_outside,
    specification=_share_by_counting,
    cases=_grids,
    mistakes={
        "only to one side": (
            ways(
                lambda grid: _share_where(grid, lambda g: (g > 1).any(-1)),
                lambda grid: _share_where(grid, lambda g: (g < -1).any(-1)),
            ),
            "You count only what is beyond one end of the ruler: x and y can be above 1 *or* below −1.",
        ),
        "and for or": (
            lambda grid: _share_where(grid, lambda g: (g.abs() > 1).all(-1)),
            "You count a place only if x *and* y are outside. One of them is enough.",
        ),
        "only x": (
            ways(*(lambda grid, i=i: _share_where(grid, lambda g: g[..., i].abs() > 1) for i in (0, 1))),
            "You look at one of x and y only. A place is outside if either is.",
        ),
        "numbers for places": (
            lambda grid: _share_where(grid, lambda g: g.abs() > 1),
            "You count x and y separately: a place beside the image counts half. Ask for each place first.",
        ),
        "x and y added": (
            lambda grid: _share_where(grid, lambda g: g.abs() > 1) * 2,
            "You add the share for x and the share for y: a place beyond a corner counts twice. Use `|`, or `any`.",
        ),
        "a circle": (
            lambda grid: _share_where(grid, lambda g: g.norm(dim=-1) > 1),
            "You measure the distance from the centre: that is a circle. The image is a square on the ruler.",
        ),
        "inside for outside": (twist(on_answer(lambda share: 1 - share)), "That is the share *inside*."),
        "counted, not shared": (
            lambda grid: _share_by_counting(grid) * grid[0, ..., 0].numel(),
            "That is the *number* of places outside. Divide by how many there are.",
        ),
        "one number for the batch": (
            ways(
                lambda grid: _share_by_counting(grid).mean().expand(len(grid)),
                lambda grid: _share_by_counting(grid).mean(),
                lambda grid: ((grid.abs() > 1).any(-1)).float().mean(0),
            ),
            "That is a mean over the whole batch: one lost frame among 64 could not be seen. Each image gets its own "
            "number.",
        ),
    },
)


def shrink(images, factor):
    """images (N, C, H, W), factor divides H and W -> (N, C, H / factor, W / factor)."""
    return F.avg_pool2d(images, factor)


def _mean_of_blocks(images, factor):
    count, channels, height, width = images.shape
    return images.reshape(count, channels, height // factor, factor, width // factor, factor).mean(dim=(3, 5))


def _blocks(images, factor):
    """(N, C, H / factor, W / factor, factor²)"""
    count, channels, height, width = images.shape
    blocks = images.reshape(count, channels, height // factor, factor, width // factor, factor)
    return blocks.transpose(3, 4).flatten(4)


def _sampled_by_grid(images, factor):
    """As a transformer would."""
    count, channels, height, width = images.shape
    identity = torch.eye(2, 3, dtype=images.dtype).expand(count, 2, 3)
    grid = F.affine_grid(identity, (count, channels, height // factor, width // factor), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _images_to_shrink():
    inputs = [((1, 1, 2, 4), 2), ((1, 2, 6, 3), 3), ((2, 1, 8, 12), 4), ((2, 3, 6, 10), 2)]
    return [(torch.rand(shape, **random), factor) for (shape, factor), random in in_both_types(inputs)]


def _stripes():
    places = torch.arange(32)
    stripes = ((places[:, None] + places) % 3 < 1).float()[None, None]  # 4×4 pixels hold 5 or 6 bright ones
    return (0.6 * stripes + 0.4 * F.pad(a_digit(), (2, 2, 2, 2))).contiguous(), 4


SHRINK = Code(
    name="shrink",
    title="Shrink without false stripes",
    task="""
A sampler that shrinks asks four neighbours and skips the rest, and fine stripes turn into false ones. Shrink by a
whole factor so that *every* input pixel counts, and all of them equally.
""",
    hints=(
        "Each output pixel stands for a block of factor × factor input pixels. What should it show?",
        "There is a pooling layer for that.",
    ),
    solution=shrink,
    specification=_mean_of_blocks,
    cases=_images_to_shrink,
    axes="N C H W",
    draw=warped,
    example=_stripes,
    mistakes={
        "pixels skipped": (
            ways(
                *(
                    lambda images, factor, start=start: images[
                        ..., start(factor) :: factor, start(factor) :: factor
                    ].clone()
                    for start in (lambda factor: 0, lambda factor: factor // 2, lambda factor: factor - 1)
                ),
                lambda images, factor: F.interpolate(images, scale_factor=1 / factor, mode="nearest"),
            ),
            "You take one pixel of each block and skip the others: that is where aliasing comes from.",
        ),
        "largest for mean": (
            ways(
                F.max_pool2d,
                lambda images, factor: -F.max_pool2d(-images, factor),
            ),
            "You take the *largest* (or smallest) of each block: thin bright lines would fill the picture, or vanish. "
            "Take the mean.",
        ),
        "four neighbours": (
            ways(
                lambda images, factor: F.interpolate(
                    images, scale_factor=1 / factor, mode="bilinear", align_corners=False
                ),
                lambda images, factor: F.interpolate(
                    images, scale_factor=1 / factor, mode="bilinear", align_corners=True
                ),
                lambda images, factor: F.interpolate(images, scale_factor=1 / factor, mode="bicubic"),
                _sampled_by_grid,
            ),
            "That mixes a few neighbours, however large the block: enough for a factor of 2, aliased beyond that.",
        ),
        "not counted equally": (
            ways(
                *(
                    lambda images, factor, mode=mode: F.interpolate(
                        images, scale_factor=1 / factor, mode=mode, align_corners=False, antialias=True
                    )
                    for mode in ("bilinear", "bicubic")
                )
            ),
            "Every pixel counts, but not equally: this filter weighs the middle of a block more, and reaches into the "
            "blocks beside it. Take the plain mean of each block.",
        ),
        "median for mean": (
            lambda images, factor: _blocks(images, factor).median(dim=-1).values,
            "That is the median of each block: a thin line vanishes. Take the mean.",
        ),
        "sum for mean": (
            twist(lambda right: lambda images, factor: right(images, factor) * factor**2),
            "You add up the block: the picture grows brighter by factor². Divide by the number of pixels.",
        ),
        "divided by the factor alone": (
            twist(lambda right: lambda images, factor: right(images, factor) * factor),
            "You divide the sum by the factor. A block has factor · factor pixels.",
        ),
        "always by 2": (
            lambda images, factor: F.avg_pool2d(images, 2),
            "You always shrink by 2, whatever `factor` is.",
        ),
        "reshaped wrongly": (
            lambda images, factor: images.reshape(
                *images.shape[:2], images.shape[2] // factor, images.shape[3] // factor, -1
            ).mean(-1),
            "`reshape` and `view` cut the rows one after the other: they do not gather square blocks. Split H into "
            "(H / factor, factor) and W into (W / factor, factor), and average over both factors.",
        ),
        "blocks overlap": (
            lambda images, factor: F.avg_pool2d(images, factor, stride=1),
            "Your blocks overlap: the stride has to be the factor.",
        ),
    },
)

EXERCISES = (DIAGNOSE, SHARE_OUTSIDE, SHRINK)
