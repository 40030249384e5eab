"""Exercises of notebook 11, when spatial transformers fail."""

import torch
import torch.nn.functional as F

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import seeded

COMMUTES = Question(
    name="what_commutes",
    title="Before or after?",
    task="""
One may warp the image and then convolve, or convolve and then warp the feature map. For which warp do both give the
same, whatever the filter (away from the edge)? `"shift"`: by whole pixels; `"turn"`: by 90°; `"zoom"`: by 2; or
`"any"`.
""",
    hints=(
        "A filter for upright strokes, over a turned picture: does it find the strokes that it found before?",
        "A convolution does the same everywhere. Everywhere: which warp does that speak of?",
    ),
    variable="same_for",
    options=("shift", "turn", "zoom", "any"),
    answer=lambda: "shift",
    explanation="A convolution commutes with shifts, and only with them. So warping a feature map is not warping the "
    "image: the filters do not turn along.",
    mistakes={
        "turn for shift": (
            "turn",
            "An edge filter for upright strokes finds lying ones in the turned image: the filter did not turn with it. "
            "Only a symmetric filter would do.",
        ),
        "zoom for shift": (
            "zoom",
            "A filter of 5 pixels sees a stroke twice as thick in the enlarged image: it has the wrong size there.",
        ),
        "any for shift": (
            "any",
            "If that were so, a transformer deep in the network could undo any turn of the image. It cannot.",
        ),
    },
)


def turn_gap(image, kernel):
    """image (H, W), kernel (k, k) -> largest |turn(filter(image)) - filter(turn(image))|."""

    def filtered(picture):
        return F.conv2d(picture[None, None], kernel[None, None])[0, 0]

    turned_last = torch.rot90(filtered(image))
    turned_first = filtered(torch.rot90(image))
    return (turned_last - turned_first).abs().max().item()


def _filtered(image, kernel):
    """A window at a time."""
    k = len(kernel)
    rows = [
        [(image[i : i + k, j : j + k] * kernel).sum() for j in range(image.shape[1] - k + 1)]
        for i in range(image.shape[0] - k + 1)
    ]
    return torch.stack([torch.stack(row) for row in rows])


def _quarter(picture):
    """Counter-clockwise: the last column becomes the first row."""
    return picture.T.flip(0)


def _differences(image, kernel):
    return _quarter(_filtered(image, kernel)) - _filtered(_quarter(image), kernel)


def _gap(image, kernel):
    return _differences(image, kernel).abs().max().item()


def _pictures_and_filters():
    cases = []
    for seed, (size, k) in enumerate([((2, 2), 1), ((3, 3), 2), ((5, 4), 2), ((7, 9), 3)]):
        random = seeded(seed)
        cases.append((torch.rand(size, **random), torch.randn(k, k, **random)))
    symmetric = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    return [*cases, (cases[-1][0], symmetric)]


TURN_GAP = Code(
    name="turn_gap",
    title="Measure it",
    task="""
How far apart are *convolve, then turn* and *turn, then convolve*? Write the largest difference of any pixel, for a
turn by 90° (`torch.rot90`) and `F.conv2d` without padding. It is 0 for a filter that looks the same when turned,
and large for the others.
""",
    hints=(
        "`F.conv2d` wants (N, C, H, W) for both: add two axes in front with `[None, None]`.",
        "Two pictures: `rot90(conv(image))` and `conv(rot90(image))`. The kernel stays as it is in both.",
    ),
    solution=turn_gap,
    specification=_gap,
    cases=_pictures_and_filters,
    mistakes={
        "filter turned too": (
            lambda image, kernel: (
                (_quarter(_filtered(image, kernel)) - _filtered(_quarter(image), _quarter(kernel))).abs().max().item()
            ),
            "Always 0: you turned the filter as well. In a network the weights stay as they are; "
            "that is just the point.",
        ),
        "mean for largest": (
            lambda image, kernel: _differences(image, kernel).abs().mean().item(),
            "That is the *mean* difference. Asked is the largest.",
        ),
        "no absolute value": (
            lambda image, kernel: _differences(image, kernel).max().item(),
            "Without `abs` a large *negative* difference does not count.",
        ),
        "squared": (
            lambda image, kernel: _differences(image, kernel).square().max().item(),
            "That is the largest *squared* difference.",
        ),
    },
)

AT_THE_SAME_PRICE = Question(
    name="same_price",
    title="At the same price",
    task="""
Instead of a transformer one can show the network turned copies of its digits. A training step of the network *with*
transformer takes 1.5 times as long as one without. The transformer network trains for 12 epochs. For how many
epochs may the plain network train on turned copies, at the same price?
""",
    hints=("What costs the same: epochs, or time?",),
    variable="epochs",
    answer=lambda: 12 * 1.5,
    tolerance=0.3,
    explanation=(
        "The same time, not the same number of epochs. Leave this out, and the comparison flatters the slower side."
    ),
    mistakes={
        "same epochs": (12, "Twelve epochs of the plain network are cheaper: it would get less for the same price."),
        "divided for multiplied": (
            8,
            "The wrong way round: the plain network's steps are *shorter*, so it may take more of them.",
        ),
        "added": (13.5, "1.5 is a factor, not a number of epochs."),
    },
)

EXERCISES = (COMMUTES, TURN_GAP, AT_THE_SAME_PRICE)
