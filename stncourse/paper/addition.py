"""Adding two digits (Jaderberg et al. 2015, appendix A.1): each in a channel of its own, only their sum is told."""

from importlib import resources

import torch

from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.data.digits import Digits
from stncourse.networks.weights import load_weights
from stncourse.paper.addition_networks import AdditionNetwork
from stncourse.paper.budgets import Budget
from stncourse.paper.cells import cell_path, read_results
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.pairs import EachDistorted, distort_each, pairs_of
from stncourse.paper.paper_table import PaperTable
from stncourse.paper.taken import who_took_which
from stncourse.training.recipes import Recipe

_KIND, _SIZE = "RTS", 42
#: Of our transformers: what the distortion is, and so what undoes it.
FAMILY = "similarity"
#: Error in %. With transformers the paper tried several families; these are its best.
PAPER = {"FCN": {_KIND: 47.7}, "CNN": {_KIND: 14.7}, "ST-FCN": {_KIND: 18.5}, "2xST-FCN": {_KIND: 5.8}}
_TABLE = PaperTable(PAPER, (_KIND,), tuple((model, _KIND) for model in ("2xST-FCN", "CNN", "ST-FCN", "FCN")))

_RECIPE = Recipe(
    "addition",
    batch_size=256,
    optimizer="adamw",
    learning_rate=0.006,
    localization_factor=1.0,
    weight_decay=0.01,
    schedule="onecycle",
    warm_up=0.15,
)
_CHOSEN = (
    "On pairs of 5,000 held-out training digits, in trainings of three to six epochs: BatchNorm in the classifier, and "
    "in the localization networks together with the full learning rate; similarities instead of affine transforms; "
    "batch size and learning rate. {} One recipe for all models."
)


def _budget(name, epochs, cells, seeds, why):
    return Budget(name, {_KIND: epochs}, cells, seeds, chosen=_CHOSEN.format(why), base=_RECIPE)


BUDGETS = {
    "quick": _budget("quick", 6, _TABLE.cells[:2], 1, "Epochs: some minutes of one CPU core."),
    "standard": _budget(
        "standard", 63, _TABLE.cells, 3, "Epochs: a tenth of the paper's steps, of batches of the same size."
    ),
    "full": _budget("full", 630, _TABLE.cells, 3, "Epochs: the paper's steps, of batches of the same size."),
}

_TRAIN_SEED, _MEASURE_SEED = 0, 1234


def measured_pairs(digits):
    """The pairs to measure on, distorted once and for all.

    Returns:
        ``(pairs, each, theta)``: Digits of distorted pairs ``(N, 2, 42, 42)`` with their sums, as many as there are
        digits; the labels of each ``(N, 2)``; the θ that distorted them ``(N, 2, 2, 3)``.
    """
    generator = torch.Generator().manual_seed(_MEASURE_SEED)
    pairs, each = pairs_of(digits, len(digits), generator)
    made = distort_each(pairs.images, _KIND, generator)
    return Digits(made.images, pairs.labels, pairs.source), each, made.theta


def _data(train, measure, kind):
    pairs, _ = pairs_of(train, len(train), torch.Generator().manual_seed(_TRAIN_SEED))
    measured, _, theta = measured_pairs(measure)
    return Data(pairs, measured, EachDistorted(kind), {"theta": theta})


def _network(model, kind, data, precision):
    return AdditionNetwork(model, tuple(data.measure.images.shape[-2:]), FAMILY, precision=precision)


def look(model, pairs, device="cpu", batch_size=1000):
    """Where each transformer looks.

    Args:
        model: :class:`stncourse.paper.addition_networks.AdditionNetwork` with transformers, on ``device``.
        pairs: Digits, distorted pairs.
        device: where the images go.
        batch_size: how many at a time.

    Returns:
        grids ``(T, N, H_out, W_out, 2)``, on the CPU, for :func:`stncourse.paper.taken.who_took_which`.
    """
    with in_eval(model), torch.no_grad():
        batches = Batches(pairs, batch_size, device=device)
        grids = [torch.stack([stn.transform(images).grid.cpu() for stn in model.stn]) for images, _ in batches]
    return torch.cat(grids, 1)


def _facts(model, data, device):
    """Of each transformer: how far its frame strays over each of the two digits, in pixels (the first 2,000 pairs)."""
    if model.stn is None:
        return {}
    first = data.measure.subset(slice(2000))
    taken = who_took_which(look(model, first, device), data.known["theta"][:2000])
    return {
        "spread": [[round(pixels, 3) for pixels in row] for row in taken.spread.tolist()],
        "digit": taken.digit.tolist(),
        "share": [round(share, 4) for share in taken.share.tolist()],
    }


EXPERIMENT = Experiment("addition", _TABLE, BUDGETS, _data, _network, facts=_facts)


def load_addition():
    """The cells that were trained for the course, as they ship with it: (model, "RTS") -> cell.

    Made by ``python -m stncourse reproduce addition --budget standard --precision bfloat16``; what a cell says:
    :func:`stncourse.paper.cells.read_cell`.
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "addition") as folder:
        return read_results(folder, _TABLE)


def load_adding_transformers(model="2xST-FCN"):
    """The spatial transformers of a cell that ships with the course (seed 0), without the classifier behind them.

    Args:
        model: ``"ST-FCN"`` or ``"2xST-FCN"``.

    Returns:
        ``ModuleList`` of :class:`stncourse.SpatialTransformer`, in eval mode, on the CPU: normalised distorted pairs
        ``(N, 2, 42, 42)`` -> ``(N, 2, 28, 28)``.

    Raises:
        FileNotFoundError: that one does not ship.
    """
    stn = AdditionNetwork(model, _SIZE, FAMILY).stn
    with resources.as_file(resources.files("stncourse") / "assets" / "addition") as folder:
        load_weights(stn, cell_path(folder, model, _KIND).with_suffix(".stn.safetensors"))
    return stn.eval()
