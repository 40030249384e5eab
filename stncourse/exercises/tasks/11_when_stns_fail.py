"""Exercises of notebook 11, when spatial transformers fail."""

import torch
import torch.nn.functional as F

from stncourse.exercises.classic_mistakes import on_answer
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import seeded

COMMUTES = Question(
    name="what_commutes",
    title="Before or after?",
    task="""
You can warp the image and then convolve, or convolve and then warp the feature map. For which warp do both orders
give the same result, whatever the filter is (away from the edge)? `"shift"`: by whole pixels; `"turn"`: by 90°;
`"zoom"`: by 2; or `"any"`.
""",
    hints=(
        "Run a filter for upright strokes over a turned picture: does it find the strokes that it found before?",
        "A convolution does the same thing *everywhere*. Which warp only changes where something is?",
    ),
    variable="same_for",
    options=("shift", "turn", "zoom", "any"),
    answer=lambda: "shift",
    explanation="Whatever the filter, a convolution commutes with shifts, and not with the others. Warping a feature "
    "map is not warping the image: the filters do not turn with it.",
    mistakes={
        "turn for shift": (
            "turn",
            "In the turned image, a filter for upright strokes finds strokes that were lying before: the filter did "
            "not turn with the image. Only a symmetric filter would do.",
        ),
        "zoom for shift": (
            "zoom",
            "In the enlarged image a stroke is twice as thick, but the filter is still 5 pixels wide: it has the wrong "
            "size there.",
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


def _clockwise(picture):
    return _quarter(_quarter(_quarter(picture)))


def _gap_of(turn_last, turn_first, convolve=None):
    """The gap with other turns, or another convolution."""

    def gap(image, kernel):
        of = convolve or _filtered
        return (turn_last(of(image, kernel)) - of(turn_first(image), kernel)).abs().max().item()

    return gap


def _same(image, k):
    """Padded so that the size stays the same, as ``padding="same"``."""
    before, after = (k - 1) // 2, k // 2
    return F.pad(image, (before, after, before, after))


def _padded(image, kernel, padding):
    return F.conv2d(image[None, None], kernel[None, None], padding=padding)[0, 0]


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
How far apart are *convolve, then turn* and *turn, then convolve*? Return the largest absolute difference of any pixel,
for a turn by 90° (`torch.rot90`) and `F.conv2d` without padding. It is 0 for a filter that looks the same when turned,
and large for others.
""",
    hints=(
        "`F.conv2d` wants four axes for both the image and the kernel: add two in front with `[None, None]`.",
        "Two pictures: `rot90(conv(image))` and `conv(rot90(image))`. The kernel stays as it is in both.",
    ),
    solution=turn_gap,
    specification=_gap,
    also_right=(_gap_of(_clockwise, _clockwise),),
    cases=_pictures_and_filters,
    mistakes={
        "filter turned too": (
            lambda image, kernel: (
                (_quarter(_filtered(image, kernel)) - _filtered(_quarter(image), _quarter(kernel))).abs().max().item()
            ),
            "Always 0: you turned the filter as well (or compare a picture with itself). In a network the weights stay "
            "as they are; that is the whole point.",
        ),
        "turned the other way": (
            ways(
                _gap_of(_clockwise, _quarter),
                _gap_of(_quarter, _clockwise),
            ),
            "The two are turned in opposite directions. Turn both the same way.",
        ),
        "turned only once": (
            ways(
                lambda image, kernel: (
                    (_filtered(image, kernel) - _filtered(_quarter(image), kernel)).abs().max().item()
                ),
                lambda image, kernel: (
                    (_quarter(_filtered(image, kernel)) - _filtered(image, kernel)).abs().max().item()
                ),
            ),
            "Only one of the two pictures is turned, so you compare different places. Turn both: one after convolving, "
            "the other before. (`torch.rot90` turns the first two axes, unless `dims` says others.)",
        ),
        "turned by 180°": (
            _gap_of(lambda a: _quarter(_quarter(a)), lambda a: _quarter(_quarter(a))),
            "You turn by 180°. `torch.rot90` turns by 90° when it is called once.",
        ),
        "mirrored, not turned": (
            ways(
                *(_gap_of(mirrored, mirrored) for mirrored in (lambda a: a.flip(0), lambda a: a.flip(1), lambda a: a.T))
            ),
            "`flip` and `.T` mirror the picture. `torch.rot90` turns it.",
        ),
        "padded": (
            ways(
                _gap_of(_quarter, _quarter, lambda image, kernel: _padded(_same(image, len(kernel)), kernel, 0)),
                _gap_of(_quarter, _quarter, lambda image, kernel: _padded(image, kernel, len(kernel) // 2)),
                _gap_of(_quarter, _quarter, lambda image, kernel: _padded(image, kernel, 1)),
            ),
            "The image is padded: the zeros outside count too. Convolve without padding.",
        ),
        "mean for largest": (
            ways(
                lambda image, kernel: _differences(image, kernel).abs().mean().item(),
                lambda image, kernel: _differences(image, kernel).mean().abs().item(),
            ),
            "That is the *mean* difference. Return the largest.",
        ),
        "no absolute value": (
            ways(
                lambda image, kernel: _differences(image, kernel).max().item(),
                lambda image, kernel: (-_differences(image, kernel)).max().item(),
                lambda image, kernel: _differences(image, kernel).min().item(),
            ),
            "Without `abs`, differences of one sign do not count.",
        ),
        "largest before the difference": (
            lambda image, kernel: abs(
                (_quarter(_filtered(image, kernel)).max() - _filtered(_quarter(image), kernel).max()).item()
            ),
            "You take the largest of each picture, then the difference. Subtract pixel by pixel first.",
        ),
        "sum for largest": (
            lambda image, kernel: _differences(image, kernel).abs().sum().item(),
            "That is the *sum* of the differences. Return the largest.",
        ),
        "squared": (
            twist(on_answer(lambda gap: gap**2)),
            "That is the largest *squared* difference.",
        ),
        "distance for largest": (
            lambda image, kernel: _differences(image, kernel).norm().item(),
            "That is the length of all differences together, the root of the sum of their squares. Return the largest.",
        ),
    },
)

AT_THE_SAME_PRICE = Question(
    name="same_price",
    title="At the same price",
    task="""
Instead of using a transformer, you can show the network turned copies of its digits. A training step of the network
*with* the transformer takes 1.5 times as long as a step without it. The network with the transformer trains for 12
epochs. For how many epochs may the plain network train on turned copies, at the same price?
""",
    hints=("What is the price: epochs, or time?",),
    variable="epochs",
    answer=lambda: 12 * 1.5,
    tolerance=0.3,
    explanation=(
        "The same time, not the same number of epochs. A comparison at equal epochs flatters the slower network."
    ),
    mistakes={
        "same epochs": (12, "Twelve epochs of the plain network are cheaper: it would get less for the same price."),
        "divided for multiplied": (
            8,
            "The wrong way round: the plain network's steps are *shorter*, so it may take more of them.",
        ),
        "added": (13.5, "1.5 is a factor, not a number of epochs."),
        "the difference alone": (6, "That is how many epochs *more* it may take. How many are there in all?"),
    },
)

EXERCISES = (COMMUTES, TURN_GAP, AT_THE_SAME_PRICE)
