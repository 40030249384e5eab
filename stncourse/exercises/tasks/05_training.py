"""Exercises of notebook 05, training."""

import statistics

import torch
import torch.nn.functional as F

from stncourse.data.digits import BACKGROUND, normalize
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS, a_digit, cases_by_size, in_both_types, seeded
from stncourse.exercises.pictures import warped
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.sampling import bilinear_sample


def my_nll(log_probabilities, labels):
    """log_probabilities (N, 10), labels (N,) int64 -> the loss, a tensor without axes."""
    of_the_truth = log_probabilities[torch.arange(len(labels)), labels]
    return -of_the_truth.mean()


def _nll_cases():
    cases = []
    for count in (1, 2, 5):
        for dtype in FLOATS:
            random = seeded(count, dtype)
            answers = torch.randn(count, 10, **random).log_softmax(1)
            cases.append((answers, torch.randint(10, (count,), generator=random["generator"])))
    return cases


NLL = Code(
    name="nll",
    title="The loss, by hand",
    task="""
The network answers with ten log-probabilities per image. Write the loss: minus the one of the *true* digit,
averaged over the batch. Without `F.nll_loss`, and with its gradient.
""",
    hints=(
        "Picking one column per row: `table[rows, columns]` with two index tensors of the same length.",
        "The rows are `torch.arange(N)`, the columns the labels.",
    ),
    solution=my_nll,
    specification=lambda log_probabilities, labels: F.nll_loss(log_probabilities, labels),
    cases=_nll_cases,
    differentiable=(0,),
    mistakes={
        "sign": (
            lambda answers, labels: -F.nll_loss(answers, labels),
            "The sign is missing: log-probabilities are negative, and a loss has to *fall* when the network improves.",
        ),
        "sum for mean": (
            lambda answers, labels: F.nll_loss(answers, labels, reduction="sum"),
            "That is the sum over the batch: "
            "with twice as many images the steps would be twice as long. Take the mean.",
        ),
        "probability for log-probability": (
            lambda answers, labels: F.nll_loss(answers.exp(), labels),
            "You take minus the *probability*. The loss is minus its logarithm, which is what came in.",
        ),
        "the answer for the truth": (
            lambda answers, labels: -answers.max(dim=1).values.mean(),
            "You take the largest log-probability: how sure the network is, right or wrong. "
            "Asked is the one of the true digit.",
        ),
        "all columns": (
            lambda answers, labels: -answers.mean(),
            "You average all ten columns. Only the one of the true digit counts.",
        ),
    },
)


def stn_by_hand(images, weight, bias):
    """images (N, C, H, W) normalised, weight (6, C * H * W), bias (6,) -> (N, C, H, W)."""
    theta = (images.flatten(1) @ weight.T + bias).view(-1, 2, 3)
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    seen = F.grid_sample(images - BACKGROUND, grid, align_corners=False)
    return seen + BACKGROUND


def _stn(images, weight, bias, grid_corners=False, background=BACKGROUND, change=lambda theta: theta):
    """The three parts, as the package has them."""
    theta = torch.einsum("np,kp->nk", images.flatten(1), weight) + bias
    grid = affine_grid(change(theta.reshape(-1, 2, 3)), tuple(images.shape[-2:]), grid_corners)
    return bilinear_sample(images - background, grid) + background


def _stn_cases():
    cases = []
    for shape, random in in_both_types([(1, 1, 2, 3), (2, 1, 3, 4), (3, 2, 5, 4)]):
        images = torch.randn(shape, **random)
        weight = 0.1 * torch.randn(6, images[0].numel(), **random)
        bias = torch.tensor([1.1, -0.3, 0.2, 0.4, 1.2, -0.1], dtype=images.dtype)
        cases.append((images, weight, bias))
    return cases_by_size(cases)


def _stn_example():
    images = normalize(a_digit())
    return images, torch.zeros(6, images.numel()), torch.tensor([0.9, -0.6, 0.1, 0.6, 0.9, 0.2])


STN_BY_HAND = Code(
    name="stn_by_hand",
    title="A whole transformer in four lines",
    task="""
Localization, grid, sampler, all in one function. The localization network is a single linear layer: it flattens
each image and answers with six numbers, `weight` (6, C·H·W) times the pixels plus `bias` (6,). Then the grid, of
the images' own size, and the sampler. The images are normalised, so outside lies `BACKGROUND` = −0.1307/0.3081.
`align_corners=False`.
""",
    hints=(
        "Line 1: `images.flatten(1) @ weight.T + bias`, and six numbers are two rows of three.",
        "Lines 2 and 3: `F.affine_grid(theta, images.shape, align_corners=False)` and `F.grid_sample`.",
        "The background: take it off before sampling and add it after, as in notebook 04.",
    ),
    solution=stn_by_hand,
    specification=_stn,
    cases=_stn_cases,
    differentiable=(0, 1, 2),
    draw=warped,
    example=_stn_example,
    mistakes={
        "zero padding": (
            lambda images, weight, bias: _stn(images, weight, bias, background=0.0),
            "Outside lies 0: on normalised images that is the bright frame. Pad with `BACKGROUND`.",
        ),
        "wrong align_corners": (
            lambda images, weight, bias: _stn(images, weight, bias, grid_corners=True),
            "The grid is made with `align_corners=True` and read with `False`: two rulers.",
        ),
        "θ read by columns": (
            lambda images, weight, bias: _stn(
                images, weight, bias, change=lambda t: t.reshape(-1, 3, 2).transpose(1, 2).contiguous()
            ),
            "Six numbers are two rows of three: `.view(-1, 2, 3)`. Yours are three rows of two, transposed.",
        ),
        "x and y swapped": (
            lambda images, weight, bias: _stn(images, weight, bias, change=lambda t: t.flip(1)),
            "x and y of the grid are swapped: its last axis is (x, y).",
        ),
        "bias forgotten": (
            lambda images, weight, bias: _stn(images, weight, torch.zeros_like(bias)),
            "The bias is not added, and with it the identity is lost: θ starts near 0.",
        ),
    },
)

_RUNS = (2.1, 2.5, 1.7)


SPREAD = Question(
    name="spread_of_seeds",
    title="What stands behind the ±?",
    task="""
Three seeds of one network made 2.1, 2.5 and 1.7 % errors. What is the number behind the ±, the standard deviation
of a *sample*?
""",
    hints=(
        "The mean is 2.1. How far is each run from it? Square, add.",
        "Three runs have only two distances of their own (the third follows, as they add up to 0): divide by n − 1.",
    ),
    variable="plus_minus",
    answer=lambda: statistics.stdev(_RUNS),
    tolerance=0.005,
    explanation="√((0² + 0.4² + 0.4²) / 2). `torch.std` and `statistics.stdev` divide by n − 1, `numpy.std` by n.",
    mistakes={
        "divided by n": (
            lambda: statistics.pstdev(_RUNS),
            "You divided by n. The mean was computed from the same three runs, "
            "so a sample's spread is divided by n − 1.",
        ),
        "variance for std": (
            lambda: statistics.variance(_RUNS),
            "That is the variance, in squared percent. Take the root.",
        ),
        "range": (0.8, "That is the range, from the best to the worst run. It grows with the number of runs."),
        "mean for spread": (2.1, "That is the mean. The ± says how far a run usually is from it."),
    },
)

SEPARABLE = Question(
    name="which_claim",
    title="What may you say?",
    task="""
A second network made 1.9, 2.3 and 2.4 % errors (mean 2.2), the first one 2.1, 2.5 and 1.7 (mean 2.1). Which
sentence may you write?

- `"first"`: the first network is better, by 0.1 %.
- `"second"`: the second network is better, because its runs lie closer together.
- `"equal"`: the two are equally good.
- `"open"`: these runs do not show which of the two is better.
""",
    hints=(
        "How large is the difference of the means, beside the spread of the runs?",
        "Not having found a difference is not the same as having shown that there is none.",
    ),
    variable="claim",
    options=("first", "second", "equal", "open"),
    answer=lambda: "open",
    explanation="The means differ by 0.1, the runs of one network by 0.8. More seeds could settle it, either way.",
    mistakes={
        "a seed's luck for a result": (
            "first",
            "The means differ by 0.1, but runs of the *same* network differ by 0.8: "
            "with three other seeds the order may be the other.",
        ),
        "spread for quality": ("second", "A small spread means that the runs agree, not that they are good."),
        "no evidence for evidence of none": (
            "equal",
            "That would have to be *shown*: with a spread this large, a true difference of 0.3 could well hide in it.",
        ),
    },
)

EXERCISES = (NLL, SPREAD, SEPARABLE, STN_BY_HAND)
