"""Rows of digits as an experiment: transformers inside the network (Jaderberg et al. 2015, section 4.2).

It is the paper's setting, not its data: rows of one to five MNIST digits on a black canvas stand for the photographed
house numbers of SVHN, and the networks are small enough for one CPU core. So the paper's numbers and ours are not to be
compared one by one; what can be compared is which network is better than which. The recurrent one is Sønderby et
al.'s (2015), not the paper's.
"""

import copy
from importlib import resources

import torch

from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.data.digits import Digits
from stncourse.data.mnist import load_digits
from stncourse.data.sequences import LONGEST, NONE, digit_sequences
from stncourse.paper.budgets import Budget
from stncourse.paper.cells import read_results
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.paper_table import PaperTable
from stncourse.paper.sequence_networks import RecurrentReader, SequenceNetwork, to_identity
from stncourse.training.recipes import Recipe
from stncourse.transformer.spatial_transformer import transformers_in

#: Error in %, of whole house numbers, in the paper's table 2: SVHN, crops of 64×64 and wider ones of 128×128 pixels.
PAPER = {
    "CNN": {"64px": 4.0, "128px": 5.6},
    "ST-CNN Single": {"64px": 3.7, "128px": 3.9},
    "ST-CNN Multi": {"64px": 3.6, "128px": 3.9},
    "Recurrent": {},
}
SIZES = {"64px": 64, "128px": 128}
_TRAIN_SEED, _MEASURE_SEED, _SHOWN_SEED = 4321, 1234, 7


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


def on_its_digit(theta, frames):
    """Where a look's centre lies within the square of the digit of the same number: look 1 on digit 1, and so on.

    Args:
        theta: ``(N, 5, 2, 3)``, the five looks at each row, as from :meth:`RecurrentReader.look`.
        frames: ``(N, 5, 2, 3)``, as from :func:`stncourse.digit_sequences`.

    Returns:
        bool ``(N, 5)``; False where there is no digit.
    """
    return ((theta - frames)[..., 2].abs() < frames[..., :1, 0]).all(-1)


def _data(train, measure, column):
    (learn, _), (test, frames) = (
        _rows(digits, SIZES[column], seed) for digits, seed in ((train, _TRAIN_SEED), (measure, _MEASURE_SEED))
    )
    return Data(learn, test, known={"frames": frames})


def _rows(digits, size, seed):
    """Rows of these digits, so many that each digit stands in one of them on average; and the rows' frames."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    images, labels, frames = digit_sequences(digits, max(1, len(digits) // 3), generator, size)
    return Digits(images, labels, digits.source), frames


def _network(model, column, data, precision):
    if model == "Recurrent":
        return RecurrentReader(SIZES[column], precision=precision)
    return SequenceNetwork(model, SIZES[column], precision=precision)


def _wrong(model, measure, device):
    return (read_rows(model, measure, device) != measure.labels.cpu()).any(1)


def _facts(model, data, device):
    labels = data.measure.labels.cpu()
    there, wrong = labels != NONE, read_rows(model, data.measure, device) != labels
    lengths = there.sum(1)
    by_length = [_percent(wrong[lengths == length].any(1)) for length in range(1, LONGEST + 1)]
    facts = {"place_error": _percent(wrong.flatten()), "error_by_length": by_length}
    if not hasattr(model, "look") or getattr(model, "stn", None) is None:
        return facts
    facts["shown"] = _rounded(looks_at(model, shown_rows(data.measure.images.shape[-1]), device))
    theta, frames = looks_at(model, data.measure, device), data.known["frames"]
    if isinstance(model, RecurrentReader):
        on_it = on_its_digit(theta, frames)
        return facts | {"on_its_digit": [_percent(on_it[there[:, k], k]) for k in range(LONGEST)]}
    facts["theta_mean"], facts["theta_std"] = _rounded(theta.mean(0)), _rounded(theta.std(0))
    facts["follows"] = _rounded(follows(theta, frames))
    return facts | {"error_without": _errors_without(model, data.measure, device)}


def follows(theta, frames):
    """How a network's transformers follow the rows: the correlation of tx with where the first digit is, and of ty.

    Args:
        theta: ``(N, T, 2, 3)``, of T transformers, as from :func:`looks_at`.
        frames: ``(N, 5, 2, 3)``, as from :func:`stncourse.digit_sequences`.

    Returns:
        ``(T, 2)``: from -1 to 1, along x, along y; 0 for a transformer that never moves.
    """
    moves, places = (x.double() - x.double().mean(0) for x in (theta[..., 2], frames[:, :1, :, 2]))
    return (moves * places).sum(0) / (moves.norm(dim=0) * places.norm(dim=0)).clamp(min=1e-6)


def _errors_without(model, rows, device):
    """Of rows, in %, when one of the transformers, the first, the second, …, leaves everything as it is."""
    errors = []
    for number in range(len(transformers_in(model))):
        changed = copy.deepcopy(model)
        to_identity(transformers_in(changed)[number])
        errors.append(_percent(_wrong(changed, rows, device)))
    return errors


def shown_rows(size=SIZES["64px"]):
    """Eight rows of digits that ship with the course, of which each run notes where its transformers look: Digits."""
    return _rows(load_digits("test", "offline").subset(slice(24)), size, _SHOWN_SEED)[0]


def _rounded(tensor):
    return (tensor.double() * 1e4).round().div(1e4).tolist()


def _percent(mask):
    return round(100 * mask.double().mean().item(), 4) if len(mask) else None


def looks_at(model, rows, device="cpu", batch_size=500):
    """θ of all that a network with transformers does with each row, in eval mode.

    Args:
        model: :class:`RecurrentReader`, or a :class:`SequenceNetwork` with one transformer or four.
        rows: Digits, their images rows.
        device: where the images go; the model is there already.
        batch_size: how many at a time.

    Returns:
        ``(N, 5, 2, 3)``, the five looks; or ``(N, 1, 2, 3)``, ``(N, 4, 2, 3)``, one for each transformer. Output →
        input, on the CPU.
    """

    def theta(images):
        looks = model.look(images)
        return looks.theta if isinstance(model, RecurrentReader) else torch.stack([look.theta for look in looks], 1)

    with in_eval(model), torch.no_grad():
        return torch.cat([theta(images).cpu() for images, _ in Batches(rows, batch_size, device=device)])


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
_CHOSEN = (
    "The first recipe that was tried, table 1's with smaller batches and without label smoothing and dropout, one for "
    "all models; nothing in it was tuned for one of them. On rows of 5,000 held-out training digits it left, after "
    "four epochs, 19.7 % of the rows wrong for CNN, 17.9 for ST-CNN Single (17.0 at the full rate), 8.0 for ST-CNN "
    "Multi. There it was chosen, too, that the recurrent one's looks start apart: 88 % wrong after one epoch, 98 where "
    "they start alike. "
)
_TABLE = PaperTable(PAPER, tuple(SIZES), column="size")
#: The cells of 64×64 pixels, the most telling first.
_SMALL = tuple((model, "64px") for model in ("CNN", "ST-CNN Multi", "Recurrent", "ST-CNN Single"))


def _budget(name, epochs, cells, seeds, why):
    return Budget(name, dict.fromkeys(SIZES, epochs), cells, seeds, chosen=_CHOSEN + why, base=_RECIPE)


BUDGETS = {
    "quick": _budget("quick", 2, _SMALL[:2], 1, "Epochs: what a laptop does in minutes."),
    "standard": _budget("standard", 4, _SMALL, 3, "Epochs: what one CPU core does within three minutes a run."),
    "full": _budget("full", 20, _TABLE.cells, 3, "Epochs: five times as many."),
}

EXPERIMENT = Experiment("sequences", _TABLE, BUDGETS, _data, _network, loss=sequence_loss, wrong=_wrong, facts=_facts)


def load_sequences(same_time=False):
    """The cells that were trained for the course, as they ship with it: (model, "64px") -> cell.

    Args:
        same_time: the CNN alone, trained for as many CPU seconds as ST-CNN Multi takes, in place of as many epochs.

    Made by ``make sequences`` and ``tools/record_rows_same_time.py``; see :func:`stncourse.paper.cells.read_cell`. The
    ``facts`` of a run are:

    - ``place_error``: errors in % of the five places; ``error_by_length``: of rows of one digit, of two, …
    - ``shown``: where each transformer, or each of the five looks, looked in :func:`shown_rows`: ``(8, T, 2, 3)``.
    - Of the recurrent one, ``on_its_digit``: in how many % of the rows that have it look 1, 2, … has its centre on it.
    - Of one transformer in front, or four inside: ``theta_mean`` and ``theta_std``, over the rows; ``follows``, how far
      each of them follows the row (:func:`follows`); ``error_without``, in %, when it is set to the identity.
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "sequences") as folder:
        return read_results(folder / "same_time" if same_time else folder, _TABLE)
