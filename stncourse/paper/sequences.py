"""Rows of digits as an experiment: transformers inside the network (Jaderberg et al. 2015, section 4.2).

It is the paper's setting, not its data: rows of one to five MNIST digits on a black canvas stand for the photographed
house numbers of SVHN, and the networks are small enough for one CPU core. So the paper's numbers and ours are not to be
compared one by one; what can be compared is which network is better than which. The recurrent one is Sønderby et
al.'s (2015), not the paper's.
"""

import torch

from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.data.digits import Digits
from stncourse.data.sequences import LONGEST, NONE, digit_sequences
from stncourse.paper.budgets import Budget
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.paper_table import PaperTable
from stncourse.paper.sequence_networks import RecurrentReader, SequenceNetwork
from stncourse.training.recipes import Recipe

#: Error in %, of whole house numbers, in the paper's table 2: SVHN, crops of 64×64 and wider ones of 128×128 pixels.
PAPER = {
    "CNN": {"64px": 4.0, "128px": 5.6},
    "ST-CNN Single": {"64px": 3.7, "128px": 3.9},
    "ST-CNN Multi": {"64px": 3.6, "128px": 3.9},
    "Recurrent": {},
}
SIZES = {"64px": 64, "128px": 128}
_TRAIN_SEED, _MEASURE_SEED = 4321, 1234


def sequence_loss(output, labels):
    """The mean over the rows of the sum of five negative log-likelihoods, one for each place in the row.

    Args:
        output: log-probabilities ``(N, 5, 11)``.
        labels: ``(N, 5)`` int64.

    >>> certain = torch.full((1, 5, 11), 0.5).log()
    >>> round(sequence_loss(certain, torch.tensor([[3, 1, 10, 10, 10]])).item(), 4)  # 5 log 2
    3.4657
    """
    return -output.gather(2, labels[..., None]).sum() / len(labels)


def rows_right(output, labels):
    """Which rows are right as a whole, each of the five places: bool ``(N,)``.

    Args:
        output: log-probabilities ``(N, 5, 11)``.
        labels: ``(N, 5)`` int64.
    """
    return (output.argmax(2) == labels).all(1)


def read_rows(model, rows, device="cpu", batch_size=500):
    """What a network reads, in eval mode: labels ``(N, 5)``, on the CPU.

    Args:
        model: normalised images -> log-probabilities ``(N, 5, 11)``, on ``device`` already.
        rows: Digits, their images rows.
        device: where the images go.
        batch_size: how many at a time.
    """
    with in_eval(model), torch.no_grad():
        return torch.cat([model(images).argmax(2).cpu() for images, _ in Batches(rows, batch_size, device=device)])


def rows_of(digits, size, seed):
    """Digits whose images are rows of these digits: so many that each digit stands in one of them, on average."""
    rows = digit_sequences(digits, max(1, len(digits) // 3), torch.Generator(device="cpu").manual_seed(seed), size)
    return Digits(rows.images, rows.labels, digits.source)


def _data(train, measure, column):
    size = SIZES[column]
    return Data(rows_of(train, size, _TRAIN_SEED), rows_of(measure, size, _MEASURE_SEED))


def _network(model, column, data, precision):
    if model == "Recurrent":
        return RecurrentReader(SIZES[column], precision=precision)
    return SequenceNetwork(model, SIZES[column], precision=precision)


def _wrong(model, measure, device):
    return (read_rows(model, measure, device) != measure.labels.cpu()).any(1)


def _facts(model, data, device):
    """Errors in %: of single places, and of rows by how many digits they have."""
    labels = data.measure.labels.cpu()
    wrong, lengths = read_rows(model, data.measure, device) != labels, (labels != NONE).sum(1)

    def percent(mask):
        return round(100 * mask.double().mean().item(), 4) if len(mask) else None

    by_length = [percent(wrong[lengths == length].any(1)) for length in range(1, LONGEST + 1)]
    return {"place_error": percent(wrong.flatten()), "error_by_length": by_length}


_RECIPE = Recipe(
    "sequences",
    batch_size=128,
    optimizer="adamw",
    learning_rate=0.003,
    localization_factor=0.3,
    weight_decay=0.01,
    schedule="onecycle",
    warm_up=0.15,
)
_CHOSEN = "TODO"
_TABLE = PaperTable(PAPER, tuple(SIZES), column="size")
_SMALL = tuple((model, "64px") for model in PAPER)
BUDGETS = {
    "quick": Budget("quick", dict.fromkeys(SIZES, 1), _SMALL[:2], 1, chosen=_CHOSEN, base=_RECIPE),
    "standard": Budget("standard", dict.fromkeys(SIZES, 4), _SMALL, 3, chosen=_CHOSEN, base=_RECIPE),
    "full": Budget("full", dict.fromkeys(SIZES, 20), _TABLE.cells, 3, chosen=_CHOSEN, base=_RECIPE),
}

EXPERIMENT = Experiment("sequences", _TABLE, BUDGETS, _data, _network, loss=sequence_loss, wrong=_wrong, facts=_facts)
