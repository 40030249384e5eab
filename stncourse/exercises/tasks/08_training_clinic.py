"""Exercises of notebook 08, the clinic."""

import torch
import torch.nn.functional as F

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import a_digit, in_both_types
from stncourse.exercises.pictures import warped

DIAGNOSE = Question(
    name="diagnose",
    title="What does it suffer from?",
    task="""
A spatial transformer, after some hundred steps: every output is one even colour, that of the background. The
gradient of the loss by θ is *exactly* 0 for every image, and the accuracy is that of guessing. The sampler is
bilinear with zero padding. The diagnosis?

- `"nearest"`: the sampler takes the nearest pixel.
- `"outside"`: the frame lies outside the image.
- `"bright"`: the image was padded with 0 after normalisation.
- `"rulers"`: grid and sampler use different `align_corners`.
""",
    hints=(
        "Which of the four makes *every* output pixel the background?",
        "Where does the sampler see the same colour, wherever the frame moves a little?",
    ),
    variable="diagnosis",
    options=("nearest", "outside", "bright", "rulers"),
    answer=lambda: "outside",
    explanation="Outside there is the same colour everywhere, so no slope: it stays there for ever. Cure: a smaller "
    "learning rate for the localization network, or a bound on θ, from the start.",
    mistakes={
        "nearest": (
            "nearest",
            "With `nearest` the gradient is 0 as well, but the outputs would still show the digits: "
            "and the sampler is bilinear here.",
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
Write the number to watch during a training: for each image of the batch, the share of its sampling places that lie
outside the image. 0: all inside. 1: the frame is lost.
""",
    hints=(
        "A place is outside if x *or* y is beyond ±1.",
        "`.any(dim=-1)` makes one answer of the two; then the mean over the places of each image, not over the batch.",
    ),
    solution=share_outside,
    specification=_share_by_counting,
    cases=_grids,
    mistakes={
        "only to one side": (
            lambda grid: _share_where(grid, lambda g: (g > 1).any(-1)),
            "You count only what is beyond +1. To the left and above, x and y are below −1.",
        ),
        "and for or": (
            lambda grid: _share_where(grid, lambda g: (g.abs() > 1).all(-1)),
            "You count a place only if x *and* y are outside. One of them is enough.",
        ),
        "numbers for places": (
            lambda grid: _share_where(grid, lambda g: g.abs() > 1),
            "You count x and y singly: a place beside the image counts half. Ask for each place first.",
        ),
        "inside for outside": (lambda grid: 1 - _share_by_counting(grid), "That is the share *inside*."),
        "one number for the batch": (
            lambda grid: _share_by_counting(grid).mean().expand(len(grid)),
            "Every image gets the mean of the whole batch: one lost frame among 64 could not be seen.",
        ),
    },
)


def shrink(images, factor):
    """images (N, C, H, W), factor divides H and W -> (N, C, H / factor, W / factor)."""
    return F.avg_pool2d(images, factor)


def _mean_of_blocks(images, factor):
    count, channels, height, width = images.shape
    return images.reshape(count, channels, height // factor, factor, width // factor, factor).mean(dim=(3, 5))


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
whole factor so that *every* input pixel counts, all the same.
""",
    hints=(
        "Each output pixel stands for a block of factor × factor input pixels. What should it show?",
        "There is a pooling layer for that.",
    ),
    solution=shrink,
    specification=_mean_of_blocks,
    cases=_images_to_shrink,
    differentiable=(0,),
    draw=warped,
    example=_stripes,
    mistakes={
        "pixels skipped": (
            lambda images, factor: images[..., ::factor, ::factor].clone(),
            "You take every so-many-th pixel and skip the others: that is where aliasing comes from.",
        ),
        "largest for mean": (
            lambda images, factor: F.max_pool2d(images, factor),
            "You take the *largest* of each block: thin bright lines would fill the picture. Take the mean.",
        ),
        "four neighbours": (
            lambda images, factor: F.interpolate(images, scale_factor=1 / factor, mode="bilinear", align_corners=False),
            "That mixes four neighbours, however large the block: right for a factor of 2, aliased beyond.",
        ),
        "sum for mean": (
            lambda images, factor: _mean_of_blocks(images, factor) * factor**2,
            "You add up the block: the picture grows brighter by factor². Divide by the number of pixels.",
        ),
    },
)

EXERCISES = (DIAGNOSE, SHARE_OUTSIDE, SHRINK)
