"""Co-localisation (Jaderberg et al. 2015, appendix A.2): images share one class of digit; where is it? No box is given."""

from dataclasses import dataclass
from importlib import resources
from statistics import fmean

import torch

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.data.seeds import cpu_generator
from stncourse.networks.digits import DigitCNN
from stncourse.networks.weights import save_weights
from stncourse.paper.budgets import Budget
from stncourse.paper.cells import read_results
from stncourse.paper.colocalisation_networks import CoLocaliser, Encoder, colocalisation_loss, load_encoder
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.paper_table import PaperTable
from stncourse.training.evaluation import evaluate
from stncourse.training.fit import fit
from stncourse.training.prediction import predict
from stncourse.training.recipes import FAST_RECIPE, Recipe

_DIGIT, CANVAS = 28, 84  # the paper's
_PATCHES, _PATCH = 16, 6  # the paper's
_SETS = ("T", "TC")
_OVERLAP = 0.5  #: what the intersection over union has to exceed


# Images and boxes


def hide_digits(digits, count, others=None, generator=None):
    """Put digits at random places of a large black canvas, 84×84, and say where they are.

    Args:
        digits: raw uint8 images ``(N, 1, 28, 28)`` to take the digits from, one after another, and from the start again
            when there are fewer than ``count``.
        count: how many canvases.
        others: raw uint8 images ``(M, 1, 28, 28)`` for clutter: 16 patches of 6×6 pixels, each cut at random from one
            of them, at random places, over the digit too. The brighter pixel shows. None: no clutter.
        generator: ``torch.Generator`` on the CPU.

    Returns:
        Digits: images ``(count, 1, 84, 84)``; as labels their boxes, float ``(count, 4)``.

    Convention:
        A box is (left, top, right, bottom), the edges of the digit's 28×28 square in pixels: 0 is the left edge of the
        first pixel, 84 the right edge of the last one.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> digits = load_digits("test", source="offline").images
    >>> hide_digits(digits, 3, generator=torch.Generator().manual_seed(0)).labels.shape
    torch.Size([3, 4])
    """
    _check_raw("digits", digits)
    count = _check.positive_int("count", count)
    if others is not None:
        _check_raw("others", others)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    canvas = torch.zeros(count, 1, CANVAS, CANVAS, dtype=torch.uint8)
    corners = _whole(CANVAS - _DIGIT + 1, (count, 2), generator)  # (left, top)
    for number, (left, top) in enumerate(corners.tolist()):
        canvas[number, 0, top : top + _DIGIT, left : left + _DIGIT] = digits[number % len(digits), 0]
    if others is not None:
        _add_clutter(canvas, others, generator)
    return Digits(canvas, torch.cat([corners, corners + _DIGIT], 1).float(), "mnist")


def _add_clutter(canvas, others, generator):
    shape = (len(canvas), _PATCHES)
    which = _whole(len(others), shape, generator).tolist()
    where = _whole(_DIGIT - _PATCH + 1, (*shape, 2), generator).tolist()
    to = _whole(CANVAS - _PATCH + 1, (*shape, 2), generator).tolist()
    for number in range(len(canvas)):
        for other, (x, y), (left, top) in zip(which[number], where[number], to[number], strict=True):
            there = canvas[number, 0, top : top + _PATCH, left : left + _PATCH]
            torch.maximum(there, others[other, 0, y : y + _PATCH, x : x + _PATCH], out=there)


def _whole(below, shape, generator):
    return torch.randint(below, shape, generator=generator, device="cpu")


def _check_raw(name, images):
    _check.tensor(name, images, f"N 1 {_DIGIT} {_DIGIT}", floating=False)
    if images.dtype != torch.uint8 or not len(images):
        raise ValueError(f"{name}: expected at least one raw uint8 image, got {_check.describe(images)}")


def frame_boxes(theta, size):
    """The boxes that frames of attention cover.

    Args:
        theta: ``(N, 2, 3)`` of the form [[s, 0, tx], [0, s, ty]], output → input.
        size: ``(H, W)`` of the input, or one int.

    Returns:
        ``(N, 4)``: left, top, right, bottom, edges in pixels of the input, as in :func:`hide_digits`.

    >>> frame_boxes(torch.tensor([[[0.5, 0.0, 0.5], [0.0, 0.5, 0.0]]]), 84)
    tensor([[42., 21., 84., 63.]])
    """
    _check.tensor("theta", theta, "N 2 3")
    height, width = _check.image_size("size", size)
    half = torch.stack([theta[:, 0, 0], theta[:, 1, 1]], 1).abs()
    corners = torch.cat([theta[:, :, 2] - half, theta[:, :, 2] + half], 1)
    return (corners + 1) / 2 * corners.new_tensor([width, height, width, height])


def overlap(boxes, others):
    """Intersection over union of boxes, one by one.

    Args:
        boxes, others: ``(N, 4)``: left, top, right, bottom.

    Returns:
        ``(N,)``, from 0 (nothing in common) to 1 (the same box); 0 for two boxes without any area.

    >>> overlap(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([0.3333])
    """
    _check.tensor("boxes", boxes, "N 4")
    _check.tensor("others", others, f"{len(boxes)} 4")
    sides = torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])
    common = sides.clamp(min=0).prod(1)
    union = _area(boxes) + _area(others) - common
    return torch.where(union > 0, common / union.where(union > 0, torch.ones_like(union)), torch.zeros_like(union))


def _area(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def corloc(boxes, true):
    """The share of images whose object is found: its box and ours overlap by more than one half.

    Args:
        boxes, true: ``(N, 4)``, at least one.

    Returns:
        float, 0 to 1.

    >>> corloc(torch.tensor([[0.0, 0, 9, 9], [0, 0, 4, 4]]), torch.tensor([[0.0, 0, 10, 9], [4, 4, 8, 8]]))
    0.5
    """
    found = overlap(boxes, true) > _OVERLAP
    if not len(found):
        raise ValueError(f"boxes: expected at least one box, got {_check.describe(boxes)}")
    return found.double().mean().item()


def found(output, labels):
    """Which digits are found, for ``fit(…, metrics={"found": found})``: of a Located and boxes ``(N, 4)``."""
    return overlap(frame_boxes(output.theta, CANVAS), labels) > _OVERLAP


# The experiment

#: One column for each set and digit. The paper gives 100 for every T, and for TC no more than "between 75 and 93".
COLUMNS = tuple(f"{kind}-{digit}" for kind in _SETS for digit in range(10))
MODEL = "ST attention"


@dataclass(frozen=True)
class _ByDigit(PaperTable):
    """Its 20 columns, as the paper shows them: digits down, T and TC across."""

    def text(self, results):
        """Digits found in %, mean ± std over the seeds, as Markdown; the last line is the mean over the digits."""
        rows = [["found", "T: paper / ours", "TC: paper / ours"], ["---"] * 3]
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
_CHOSEN = "TODO"
_ALL = dict.fromkeys(COLUMNS, 30)
BUDGETS = {
    "quick": Budget("quick", _ALL, ((MODEL, "TC-8"), (MODEL, "T-8")), 1, chosen=_CHOSEN, base=_RECIPE),
    "standard": Budget("standard", _ALL, _TABLE.cells, 3, chosen=_CHOSEN, base=_RECIPE),
    "full": Budget("full", _ALL, _TABLE.cells, 3, chosen=_CHOSEN, base=_RECIPE),
}


def hidden_digits(digits, label, clutter, count=None, seed=0):
    """Images that share one class of digit, and its boxes: all there is to a run of co-localisation.

    Args:
        digits: Digits ``(N, 1, 28, 28)``. The clutter is cut from all of them.
        label: the class.
        clutter: True for TC, False for T.
        count: how many images; default: one for each digit of the class.
        seed: of the places and the clutter.

    Returns:
        Digits, as from :func:`hide_digits`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or there is no such digit.

    >>> hidden_digits(load_digits("test", source="offline"), 8, clutter=True, count=5)
    Digits(5 images of 1×84×84, source='offline')
    """
    if not isinstance(digits, Digits):
        raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
    own = digits.images[digits.labels == label]
    if not len(own):
        raise ValueError(f"label: expected a class of digits that there are, got {_check.describe(label)}")
    generator = cpu_generator(_check.seed("seed", seed))
    made = hide_digits(own, len(own) if count is None else count, digits.images if clutter else None, generator)
    return Digits(made.images, made.labels, digits.source)


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
    return overlap(locate(model, measure, device), measure.labels) <= _OVERLAP


def _facts(model, data, device):
    """CorLoc on the images that were learned from, as the paper measures; overlap and size of frames on new ones."""
    boxes = locate(model, data.measure, device)
    sides = (boxes[:, 2] - boxes[:, 0]) / _DIGIT
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
