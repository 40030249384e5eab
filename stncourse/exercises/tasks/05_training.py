"""Exercises of notebook 05, training."""

import statistics

import torch
import torch.nn.functional as F

from stncourse.data.digits import BACKGROUND, normalize
from stncourse.exercises.classic_mistakes import on_answer, on_argument, with_options
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
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
The network answers with ten log-probabilities per image. Write the loss: minus the log-probability of the *true*
digit, averaged over the batch. Do it without `F.nll_loss` (and without `F.cross_entropy`, which calls it); the gradient
has to be right, too.
""",
    hints=(
        "To pick one column per row, write `table[rows, columns]` with two index tensors of the same length.",
        "The rows are `torch.arange(N)`, the columns the labels.",
    ),
    solution=my_nll,
    specification=lambda log_probabilities, labels: F.nll_loss(log_probabilities, labels),
    cases=_nll_cases,
    differentiable=(0,),
    without=(
        ("nll_loss", "cross_entropy"),
        "But the task says: without `F.nll_loss`, and `F.cross_entropy` and `nn.NLLLoss` call it. Pick the "
        "log-probabilities of the true digits by their index.",
    ),
    mistakes={
        "sign": (
            twist(on_answer(torch.neg)),
            "The sign is missing: log-probabilities are negative, and a loss has to *fall* when the network improves.",
        ),
        "sum for mean": (
            twist(lambda right: lambda answers, labels: right(answers, labels) * len(labels)),
            "That is the sum over the batch: "
            "with twice as many images the steps would be twice as long. Take the mean.",
        ),
        "mean over the digits": (
            twist(lambda right: lambda answers, labels: right(answers, labels) * len(labels) / answers.numel()),
            "You divide by the number of *all* log-probabilities. Divide by the number of images.",
        ),
        "probability for log-probability": (
            twist(on_argument(0, torch.exp)),
            "You take minus the *probability*. The loss is minus its logarithm, which is what came in.",
        ),
        "log of a log": (
            twist(on_argument(0, torch.log)),
            "You take the logarithm again. What comes in *is* the log-probability, and a negative number has no log.",
        ),
        "the answer for the truth": (
            twist(lambda right: lambda answers, labels: right(answers, answers.argmax(dim=1))),
            "You take the largest log-probability: how sure the network is, right or wrong. "
            "Take the one of the true digit.",
        ),
        "all columns": (
            lambda answers, labels: -answers.mean(),
            "You average all ten columns. Only the one of the true digit counts.",
        ),
        "every row with every label": (
            ways(
                lambda answers, labels: -answers[:, labels].mean(),
                lambda answers, labels: -answers[:, labels].sum() / len(labels),
                lambda answers, labels: -answers[:, labels].sum(),
            ),
            "`answers[:, labels]` picks the columns of *all* labels in *every* row, N × N numbers. Pair each row with "
            "its own label: `answers[torch.arange(N), labels]`.",
        ),
        "rows for images": (
            ways(
                lambda answers, labels: -answers[labels].mean(),
                lambda answers, labels: -answers[0, labels].mean(),
                lambda answers, labels: -answers[torch.arange(len(labels)), labels[0]].mean(),
            ),
            "You pick *rows* by the labels, or always the first row, or always the first label. Each row has its own "
            "label: `answers[torch.arange(N), labels]`.",
        ),
        "not averaged": (
            lambda answers, labels: -answers[torch.arange(len(labels)), labels],
            "That is one loss for each image. Average them: training needs one number.",
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


def _stn_in_torch(before=0.0, after=0.0, padding="zeros", corners=(False, False)):
    """The same in torch's words, with something else before and after sampling, outside, or on the rulers."""

    def stn(images, weight, bias):
        theta = (images.flatten(1) @ weight.T + bias).view(-1, 2, 3)
        grid = F.affine_grid(theta, images.shape, align_corners=corners[0])
        return F.grid_sample(images + before, grid, padding_mode=padding, align_corners=corners[1]) + after

    return stn


def _with_theta(change):
    return with_options(change=change)


def _shift_added(theta):
    return theta * torch.tensor([1.0, 1.0, -1.0], dtype=theta.dtype)


def _plus_identity(theta):
    return theta + torch.eye(2, 3, dtype=theta.dtype)


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
Localization, grid and sampler, all in one function. The localization network is a single linear layer: it flattens
each image and answers with six numbers, `weight` (6, C·H·W) times the pixels plus `bias` (6,). Then come the grid, of
the images' own size, and the sampler. The images are normalised, so outside lies `BACKGROUND` = −0.1307/0.3081.
`align_corners=False`. Gradients have to reach the images, the weight and the bias.
""",
    hints=(
        "Line 1: `images.flatten(1) @ weight.T + bias`, and six numbers are two rows of three.",
        "Lines 2 and 3: `F.affine_grid(theta, images.shape, align_corners=False)` and `F.grid_sample`.",
        "The background: take it off before sampling and add it after, as in notebook 04.",
    ),
    solution=stn_by_hand,
    specification=_stn,
    cases=_stn_cases,
    axes="N C H W",
    differentiable=(0, 1, 2),
    draw=warped,
    example=_stn_example,
    mistakes={
        "zero padding": (
            twist(with_options(background=0.0)),
            "Outside lies 0: on normalised images that is the bright frame. Pad with `BACKGROUND`.",
        ),
        "border padding": (
            ways(
                _stn_in_torch(padding="border"),
                _stn_in_torch(-BACKGROUND, BACKGROUND, padding="border"),
                _stn_in_torch(padding="reflection"),
            ),
            "Outside you repeat the image's edge. Pad with `BACKGROUND`.",
        ),
        "not moved back": (
            _stn_in_torch(before=-BACKGROUND),
            "You took the background off before sampling, but did not add it afterwards.",
        ),
        "background added twice": (
            _stn_in_torch(after=BACKGROUND),
            "You add the background after sampling, but did not take it off before: inside it counts twice.",
        ),
        "moved the wrong way": (
            _stn_in_torch(BACKGROUND, -BACKGROUND),
            "The signs are exchanged: take `BACKGROUND` off before sampling, and add it afterwards.",
        ),
        "wrong align_corners": (
            ways(
                *(
                    _stn_in_torch(-BACKGROUND, BACKGROUND, corners=corners)
                    for corners in ((True, False), (False, True), (True, True))
                ),
                *(_stn_in_torch(corners=corners) for corners in ((True, True), (True, False), (False, True))),
            ),
            "`align_corners=True` was passed, or two rulers: make the grid with `False`, and read it with `False`.",
        ),
        "θ read by columns": (
            twist(_with_theta(lambda t: t.reshape(-1, 3, 2).transpose(1, 2).contiguous())),
            "Six numbers are two rows of three: `.view(-1, 2, 3)`. Yours are three rows of two, transposed.",
        ),
        "x and y swapped": (
            twist(_with_theta(lambda t: t.flip(1))),
            "x and y of the grid are swapped: its last axis is (x, y).",
        ),
        "translation sign": (twist(_with_theta(_shift_added)), "The shift has the wrong sign: θ is used as it comes."),
        "identity added": (
            twist(_with_theta(_plus_identity)),
            "You add the identity to θ. Here it is in the bias already.",
        ),
        "bias forgotten": (
            twist(lambda right: lambda images, weight, bias, **options: right(images, weight, 0 * bias, **options)),
            "The bias is not added, and with it the identity is lost: θ starts near 0.",
        ),
    },
)

_RUNS = (2.1, 2.5, 1.7)


SPREAD = Question(
    name="spread_of_seeds",
    title="What stands behind the ±?",
    task="""
Three runs of one network, each with its own seed, made 2.1, 2.5 and 1.7 % errors. What number stands behind the ±, the
standard deviation of a *sample*?
""",
    hints=(
        "The mean is 2.1. How far is each run from it? Square, add.",
        "Only two of the three distances are free (they add up to 0, so the third follows): divide by n − 1.",
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
        "standard error": (
            lambda: statistics.stdev(_RUNS) / 3**0.5,
            "That is the standard error of the *mean*. The question is how far one run lies from it.",
        ),
        "mean distance": (
            (0.0 + 0.4 + 0.4) / 3,
            "That is the mean distance from the mean. The standard deviation squares the distances first.",
        ),
        "root forgotten, divided by n": (lambda: statistics.pvariance(_RUNS), "That is a variance. Take the root."),
        "range": (0.8, "That is the range, from the best to the worst run. It grows with the number of runs."),
        "mean for spread": (2.1, "That is the mean. The ± says how far from it a run usually lies."),
    },
)

SEPARABLE = Question(
    name="which_claim",
    title="What may you say?",
    task="""
A second network made 1.9, 2.3 and 2.4 % errors (mean 2.2); the first made 2.1, 2.5 and 1.7 (mean 2.1). Which
sentence may you write?

- `"first"`: the first network is better, by 0.1 %.
- `"second"`: the second network is better, because its runs lie closer together.
- `"equal"`: the two are equally good.
- `"open"`: these runs do not show which of the two is better.
""",
    hints=(
        "How large is the difference of the means, compared with the spread of the runs?",
        "Not finding a difference is not the same as showing that there is none.",
    ),
    variable="claim",
    options=("first", "second", "equal", "open"),
    answer=lambda: "open",
    explanation="The means differ by 0.1, the runs of one network by 0.8. More seeds could settle it, one way or the "
    "other.",
    mistakes={
        "a seed's luck for a result": (
            "first",
            "The means differ by 0.1, but runs of the *same* network differ by 0.8: "
            "with three other seeds the order may be reversed.",
        ),
        "spread for quality": ("second", "A small spread means that the runs agree, not that they are good."),
        "no evidence for evidence of none": (
            "equal",
            "That would have to be *shown*: in a spread this large, a true difference of 0.3 could well hide.",
        ),
    },
)

EXERCISES = (NLL, SPREAD, SEPARABLE, STN_BY_HAND)
