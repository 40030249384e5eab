"""Co-localisation (Jaderberg et al. 2015, A.2): images share one class of digit; where is it? No box is given."""

from dataclasses import dataclass
from importlib import resources
from statistics import fmean

import torch

from stncourse.data.digits import Digits
from stncourse.networks.digits import DigitCNN
from stncourse.networks.weights import save_weights
from stncourse.paper.budgets import Budget
from stncourse.paper.cells import read_results
from stncourse.paper.colocalisation_networks import CoLocaliser, Encoder, colocalisation_loss, load_encoder
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.hidden import DIGIT, OVERLAP, corloc, frame_boxes, hidden_digits, overlap
from stncourse.paper.paper_table import PaperTable
from stncourse.training.evaluation import evaluate
from stncourse.training.fit import fit
from stncourse.training.prediction import predict
from stncourse.training.recipes import FAST_RECIPE, Recipe

_SETS = ("T", "TC")


#: One column for each set and digit. The paper gives 100 for every T, and for TC no more than "between 75 and 93".
COLUMNS = tuple(f"{kind}-{digit}" for kind in _SETS for digit in range(10))
MODEL = "ST attention"


@dataclass(frozen=True)
class _ByDigit(PaperTable):
    """Its 20 columns, as the paper shows them: digits down, T and TC across."""

    def text(self, results):
        """Digits found in %, mean ± std over the seeds, as Markdown; the last line is the mean over the digits."""
        rows = [[f"found by {MODEL}", "T: paper / ours", "TC: paper / ours"], ["---"] * 3]
        for digit in range(10):
            rows.append([str(digit), *(self._entry(results, f"{kind}-{digit}") for kind in _SETS)])
        rows.append(["mean", *(self._mean(results, kind) for kind in _SETS)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [" | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(f"| {line} |" for line in lines)

    def _entry(self, results, column):
        return f"{self.errors[MODEL].get(column, '75–93')} / {self._ours(results.get((MODEL, column)))}"

    def _mean(self, results, kind):
        cells = [results.get((MODEL, f"{kind}-{digit}")) for digit in range(10)]
        if None in cells:
            return "not all run"
        return f"{100 - fmean(cell['error']['mean'] for cell in cells):.2f}"


PAPER = {MODEL: {f"T-{digit}": 100.0 for digit in range(10)}}
_TABLE = _ByDigit(PAPER, COLUMNS, tuple((MODEL, column) for column in reversed(COLUMNS)), column="set", right=True)

_IMAGES = 100  #: of each set to learn from, as in the paper
_TRAIN_SEED, _MEASURE_SEED = 0, 1234

_RECIPE = Recipe(
    "colocalisation", batch_size=50, optimizer="adamw", learning_rate=0.01, schedule="onecycle", warm_up=0.25
)
_CHOSEN = (
    "Chosen with TC on the last 5,000 training digits, on which the encoder was not trained either: which of the "
    "encoder's layers, how long features are, the margin, the range of scales, the localization network and its start, "
    "the learning rate, the steps. Images, canvas and clutter are the paper's. One recipe for all digits."
)
_ALL = dict.fromkeys(COLUMNS, 30)
BUDGETS = {
    "quick": Budget("quick", _ALL, ((MODEL, "TC-8"), (MODEL, "T-8")), 1, chosen=_CHOSEN, base=_RECIPE),
    "standard": Budget("standard", _ALL, _TABLE.cells, 3, chosen=_CHOSEN, base=_RECIPE),
    "full": Budget("full", _ALL, _TABLE.cells, 3, chosen=_CHOSEN, base=_RECIPE),
}


def _data(train, measure, column):
    kind, digit = column.split("-")
    hidden = hidden_digits(train, int(digit), kind == "TC", _IMAGES, _TRAIN_SEED)
    measured = hidden_digits(measure, int(digit), kind == "TC", seed=_MEASURE_SEED)
    # No box goes into the training: what it gets as labels is the class, the same for all.
    without = Digits(hidden.images, torch.full((len(hidden),), int(digit)), hidden.source)
    return Data(without, measured, known={"boxes": hidden.labels})


def _network(model, column, data, precision):
    return CoLocaliser(load_encoder(), tuple(data.measure.images.shape[-2:]))


def locate(model, images, device="cpu"):
    """The boxes that a :class:`CoLocaliser` finds: raw uint8 images ``(N, 1, H, W)`` or Digits -> ``(N, 4)``."""
    return frame_boxes(predict(model, images, device).theta, model.image_size)


def _wrong(model, measure, device):
    return overlap(locate(model, measure, device), measure.labels) <= OVERLAP


def _facts(model, data, device):
    """CorLoc on the images that were learned from, as the paper measures; overlap and size of frames on new ones."""
    boxes = locate(model, data.measure, device)
    sides = (boxes[:, 2] - boxes[:, 0]) / DIGIT
    return {
        "found_of_the_100": 100 * corloc(locate(model, data.train, device), data.known["boxes"]),
        "overlap": round(overlap(boxes, data.measure.labels).mean().item(), 4),
        "side": round(sides.mean().item(), 4),
    }


EXPERIMENT = Experiment(
    "colocalisation", _TABLE, BUDGETS, _data, _network, loss=colocalisation_loss, wrong=_wrong, facts=_facts
)


def load_colocalisation():
    """The cells that were trained for the course, as they ship with it: (model, column) -> cell.

    Made by ``python -m stncourse reproduce colocalisation``; see :func:`stncourse.paper.cells.read_cell`.
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "colocalisation") as folder:
        return read_results(folder, _TABLE)


def make_encoder(train, path, held_out=5000, seed=0):
    """Train a :class:`stncourse.DigitCNN` for an epoch, and write it as the encoder, with the length of its features.

    Args:
        train: MNIST's training digits. The last ``held_out`` are not learned from, and say how good it is.
        path: the safetensors file to write.
        seed: of the training.

    Returns:
        dict: what is written beside the weights.
    """
    last = len(train) - held_out
    known, new = train.subset(slice(last)), train.subset(slice(last, None))
    torch.manual_seed(seed)
    classifier = DigitCNN(dropout=0.0)
    history = fit(classifier, known, None, FAST_RECIPE, "cpu", seed=seed, verbose=False)
    info = {name: history.info[name] for name in ("hardware", "versions", "date")} | {
        "recipe": history.recipe,
        "train_digits": len(known),
        "validation_accuracy": evaluate(classifier, new, "cpu").accuracy,
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
    }
    save_weights(Encoder(classifier, known.images[:1000]), info, path)
    return info
