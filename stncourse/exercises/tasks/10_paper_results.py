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
A network errs on 0.5 % of 10,000 test digits. Another ten thousand digits would have given a slightly different
number. What is the standard deviation of that error, in percent? (Each digit is a coin that shows "wrong" with $p =
0.005$, so the *number* of errors has the standard deviation $\\sqrt{n\\, p\\, (1 - p)}$.) Give three decimals.
""",
    hints=(
        "How many errors do you expect, and what is the standard deviation of that number?",
        "About 50 ± 7 errors. What percentage of 10,000 is 7?",
    ),
    variable="deviation",
    answer=lambda: 100 * math.sqrt(_P * (1 - _P) / _N),
    tolerance=0.0006,  # 0.07 and 0.071 are right, and 0.0007 is still told from 0
    explanation="50 ± 7 errors in 10,000. So a network at 0.5 % and another at 0.6 % can hardly be told apart by their "
    "errors alone. Which digits each one got wrong says more.",
    mistakes={
        "share for percent": (
            math.sqrt(_P * (1 - _P) / _N),
            "Almost: that is a share of all digits. The question asks for percent: × 100.",
        ),
        "number of errors": (
            math.sqrt(_P * (1 - _P) * _N),
            "That is a *number of digits*, about 7. As a percentage of 10,000? (If you meant 7 %: you forgot to divide "
            "by the root of n.)",
        ),
        "number of errors, rounded": (
            7.05,
            "7.05 are digits, not percent. As a percentage of 10,000? (If you meant percent: you forgot to divide by "
            "the root of n.)",
        ),
        "number of errors, roughly": (7.0, "Seven digits, yes. What percentage of 10,000 is that?"),
        "error for its spread": (0.5, "That is the error itself. How far would it move with other digits?"),
        "variance for std": (
            100 * _P * (1 - _P) / _N * 100,
            "That is a variance. Take the root before you turn it into percent.",
        ),
        "variance of the number": (
            _P * (1 - _P) * _N,
            "That is the *variance* of the number of errors: take its root, then the percentage of 10,000.",
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
    hints=("Everything except the transformer has to be the same, or as good as you can make it.",),
    variable="baseline",
    options=("upright", "short", "equal", "paper"),
    answer=lambda: "equal",
    explanation="The same task, as many parameters, the same care. Give it every chance, as if it were your own idea.",
    mistakes={
        "another task": (
            "upright",
            "Upright digits are another, easier task. The difference would be the task's, not the transformer's.",
        ),
        "tuned for one side": (
            "short",
            "The recipe was chosen for the transformer. Without a learning rate of its own the baseline may lose "
            "for that reason alone.",
        ),
        "another machine's number": (
            "paper",
            "Another recipe, another framework, distortions made by other code, and no ±: you could not say where a "
            "difference comes from.",
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
The ± in a table may say how far apart the *runs* are (standard deviation), or how far off their *mean* may be
(standard error: the standard deviation divided by √n). More seeds make the second smaller, not the first. Return the
mean and the standard error of several runs.
""",
    hints=("`errors.std()` divides by n − 1, as it should here.", "Divide that by the root of the number of runs."),
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
            "That is the standard deviation: how far one *run* is from the mean. Divide it by √n.",
        ),
        "divided by n": (
            _with_error(lambda error, n: error / math.sqrt(n)),
            "You divided by n. Independent runs average out like √n.",
        ),
        "spread divided by n": (
            _with_error(lambda error, n: error * math.sqrt((n - 1) / n)),
            "The spread was computed with n. For a *sample*, divide by n − 1: `correction=1`, which is torch's "
            "default but not NumPy's.",
        ),
        "variance for std": (
            _with_error(lambda error, n: error**2 * math.sqrt(n)),
            "That is built on the variance. Take its root first.",
        ),
    },
)

EXERCISES = (FAIR_BASELINE, ERROR_BAR, MEAN_AND_ERROR)
