"""What a classifier takes for what."""

import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from stncourse import _check
from stncourse.data.digits import Digits, check_classes
from stncourse.figures.figure import COLORS, Figure, as_text
from stncourse.figures.shown import label_name
from stncourse.training.prediction import predict

_ERRORS = LinearSegmentedColormap.from_list("errors", ["white", COLORS[1]])  # black numbers can be read on all of it
_RIGHT, _RIGHT_NUMBER = "#EEEEEE", "#595959"
_LONGEST = 30  # letters of a name
_CELL, _NUMBER, _LETTER = 0.36, 0.085, 0.075  # inches: a cell at least, a figure of a number, a letter of a name


def show_confusion(model, digits, device="auto", batch_size=1000):
    """How often a classifier gives each answer to the digits of each class: what it takes for what.

    A row is a true class, a column an answer, and the number how many digits that was. What is right, on the diagonal,
    is grey, so that the errors are seen: the more there are, the darker. A cell without a number has none.

    Args:
        model: normalised images -> ``(N, classes)``, log-probabilities or any scores, of which the largest counts.
        digits: :class:`stncourse.Digits` whose labels are classes; an ImageSet's names are written at the axes.
        device, batch_size: as for :func:`stncourse.predict`.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind above, there are no digits, a label is beyond the model's
            classes, an answer is no number, or there are more classes than can be drawn.

    >>> digits = load_digits("test", source="offline").subset(slice(100))
    >>> crooked = distort(digits.images, "RTS", torch.Generator().manual_seed(0)).images
    >>> show_confusion(load_pretrained(), Digits(crooked, digits.labels, "offline"), device="cpu")
    Figure: true class and answer, 1 of 100 wrong (1.0 %); most often 4 taken for 7 (once)
    """
    if not isinstance(digits, Digits):
        raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
    check_classes("digits", digits.labels, "a confusion figure")
    scores = predict(model, digits, device, batch_size)
    counts = _counts(scores, digits.labels.cpu())
    classes = len(counts)
    names = [_shortened(as_text(label_name(digits, label))) for label in range(classes)]
    side = max(_CELL, _NUMBER * (len(str(int(counts.max()))) + 1)) * classes
    room = 0.7 + _LETTER * max(map(len, names))
    wrong = counts - counts.diag().diag()
    figure = Figure(max(3.2, side + room), side + room + 0.3, _in_words(names, counts, wrong))
    ax = figure.subplots()
    ax.imshow(wrong.numpy(), cmap=_ERRORS, vmin=0, vmax=max(1, int(wrong.max())))
    for true, answer in counts.nonzero().tolist():
        right = true == answer
        if right:
            ax.add_patch(Rectangle((true - 0.5, true - 0.5), 1, 1, color=_RIGHT, linewidth=0))
        color = _RIGHT_NUMBER if right else "black"
        ax.text(answer, true, int(counts[true, answer]), ha="center", va="center", fontsize=9, color=color)
    ax.set(xlabel="answer", ylabel="true class")
    figure.suptitle(_share(wrong, counts), fontsize=11)  # may be wider than the few cells of few classes
    _name_classes(ax, names)
    return figure


def _counts(scores, labels):
    """How many digits of each class (row) have each answer (column)."""
    if not isinstance(scores, torch.Tensor) or scores.ndim != 2 or not scores.is_floating_point():
        got = _check.describe(scores) if isinstance(scores, torch.Tensor) else f"a {type(scores).__name__}"
        raise ValueError(f"model: expected a classifier, whose output is (N, classes), got {got}")
    classes = scores.shape[1]
    if int(labels.max()) >= classes:
        raise ValueError(f"digits: expected labels up to the model's {classes - 1}, got {int(labels.max())}")
    if scores.isnan().any():
        raise ValueError("model: expected numbers for each class, got NaN")
    return torch.bincount(labels * classes + scores.argmax(1), minlength=classes**2).view(classes, classes)


def _shortened(name):
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _name_classes(ax, names):
    """The names at both axes, upright below where they are long; "$" starts no formula."""
    ax.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(len(names)), names)
    for text in ax.get_xticklabels() + ax.get_yticklabels():
        text.set_parse_math(False)


def _share(wrong, counts):
    """How many are wrong, in words."""
    return f"{int(wrong.sum()):,} of {int(counts.sum()):,} wrong ({100 * wrong.sum() / counts.sum():.1f} %)"


def _in_words(names, counts, wrong):
    """The picture in words: how many are wrong, and the three errors that are most frequent."""
    most = sorted(wrong.nonzero().tolist(), key=lambda place: -wrong[*place])[:3]
    times = [int(wrong[*place]) for place in most]
    told = ", ".join(
        f"{names[true]} taken for {names[answer]} ({'once' if count == 1 else f'{count} times'})"
        for (true, answer), count in zip(most, times, strict=True)
    )
    return f"true class and answer, {_share(wrong, counts)}" + (f"; most often {told}" if told else "")
