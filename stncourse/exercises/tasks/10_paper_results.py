"""Exercises of notebook 10, the paper's results."""

import math

import torch

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question

_P, _N = 0.005, 10_000

ERROR_BAR = Question(
    name="test_set_luck",
    title="The luck of the test set",
    task="""
A network makes 0.5 % errors on 10,000 test digits. Another ten thousand digits would have given a slightly
different number. How large is that standard deviation, in percent? (Each digit is a coin that shows "wrong" with $p
= 0.005$; the number of errors then has the standard deviation $\\sqrt{n\\, p\\, (1 - p)}$.) Three digits behind the
point.
""",
    hints=(
        "How many errors are expected, and what is their standard deviation?",
        "About 50 ± 7 errors. What is that in percent of 10,000?",
    ),
    variable="deviation",
    answer=lambda: 100 * math.sqrt(_P * (1 - _P) / _N),
    tolerance=0.002,
    explanation="50 ± 7 errors of 10,000. So two networks at 0.5 % and 0.6 % are hardly told apart by one run on this "
    "test set, whatever the seeds say.",
    mistakes={
        "fraction for percent": (
            100 * math.sqrt(_P * (1 - _P)) / _N,
            "You divided by n. The standard deviation of a *share* falls with √n only.",
        ),
        "number of errors": (
            math.sqrt(_P * (1 - _P) * _N),
            "That is in digits: about 7 of them. In percent of 10,000?",
        ),
        "error for its spread": (0.5, "That is the error itself. Asked is how far it would move with other digits."),
        "variance for std": (
            100 * _P * (1 - _P) / _N * 100,
            "That is a variance: take the root before you make percent of it.",
        ),
    },
)

FAIR_BASELINE = Question(
    name="fair_baseline",
    title="Against whom?",
    task="""
You claim: *a spatial transformer helps on turned and moved digits.* With which network do you compare?

- `"upright"`: the same CNN, trained and tested on upright digits.
- `"short"`: the same CNN, on the same digits, trained with the recipe that was tuned for the transformer.
- `"equal"`: a CNN with as many parameters as the whole transformer network, on the same digits, its own learning rate
  chosen on validation digits, several seeds.
- `"paper"`: the number in the paper's table.
""",
    hints=("Everything but the transformer has to be the same, or as good as you can make it.",),
    variable="baseline",
    options=("upright", "short", "equal", "paper"),
    answer=lambda: "equal",
    explanation="The same task, as many parameters, the same care. A baseline is somebody whose side you have to take.",
    mistakes={
        "another task": (
            "upright",
            "Upright digits are another, easier task: the difference would be the task's, not the transformer's.",
        ),
        "tuned for one side": (
            "short",
            "The recipe was chosen for the transformer. The baseline deserves a learning rate of its own, "
            "or it loses for that reason.",
        ),
        "another machine's number": (
            "paper",
            "Other digits, another recipe, another framework, and a ± that the paper does not give: you could not say "
            "where a difference comes from.",
        ),
    },
)


def mean_and_error(errors):
    """errors: a float64 tensor (seeds,) -> (mean, standard error of the mean)."""
    return errors.mean().item(), (errors.std() / math.sqrt(len(errors))).item()


def _mean_and_error_slowly(errors):
    values = errors.tolist()
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def _with_error(change):
    """(mean, change(standard error, n))."""

    def wrong(errors):
        mean, error = _mean_and_error_slowly(errors)
        return mean, change(error, len(errors))

    return wrong


MEAN_AND_ERROR = Code(
    name="mean_and_error",
    title="How sure is the mean?",
    task="""
The ± of a table may say how far *runs* lie apart (standard deviation), or how far the *mean* may be off (standard
error: the standard deviation divided by √n). More seeds make the second smaller, not the first. Write mean and
standard error of a list of runs.
""",
    hints=("`errors.std()` divides by n − 1, as it should here.", "Divide it by the root of the number of runs."),
    solution=mean_and_error,
    specification=_mean_and_error_slowly,
    cases=lambda: [
        (torch.tensor(values, dtype=torch.float64),)
        for values in (
            [0.5, 0.7],
            [2.1, 2.5, 1.7],
            [0.9, 0.8, 0.8, 1.1, 0.9],
            [0.31, 0.35, 0.3, 0.36, 0.28, 0.41],
        )
    ],
    mistakes={
        "standard deviation": (
            _with_error(lambda error, n: error * math.sqrt(n)),
            "That is the standard deviation: how far one *run* is from the mean. It has to be divided by √n.",
        ),
        "divided by n": (
            _with_error(lambda error, n: error / math.sqrt(n)),
            "You divided by n. Independent runs average out like √n.",
        ),
        "spread divided by n": (
            _with_error(lambda error, n: error * math.sqrt((n - 1) / n)),
            "The spread was computed with n. A *sample's* is divided by n − 1: `correction=1`, "
            "torch's default, not NumPy's.",
        ),
        "variance for std": (
            _with_error(lambda error, n: error**2 * math.sqrt(n)),
            "You took the variance, without its root.",
        ),
    },
)

EXERCISES = (FAIR_BASELINE, ERROR_BAR, MEAN_AND_ERROR)
