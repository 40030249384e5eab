"""Figures of a run: losses and accuracy, and θ's path."""

import itertools
import math

import torch
from matplotlib.ticker import MaxNLocator

from stncourse import _check
from stncourse.figures.figure import COLORS, Figure, as_text, checked_size

_MARKS = ("o", "s", "^", "D", "v", "x")
_LEGEND_WIDTH = 3.6  # inches


def plot_history(histories):
    """Loss and accuracy over the epochs, of one run or several; in place of the accuracy what else was measured.

    Args:
        histories: a :class:`stncourse.History`, or a dict from a name to one. However many there are, each has lines of
            its own.

    Returns:
        Figure. Left the losses, right the accuracy, or all metrics that ``fit`` was given, as they are; without any,
        only the losses. What was not measured, or is NaN or infinite, is left out of a line, and the legend says of how
        many epochs.

    Raises:
        TypeError: not a History or a dict of them. ValueError: an empty one, or one whose epochs are not those of
            ``fit``.

    >>> from stncourse import load_recorded
    >>> plot_history(load_recorded())
    Figure: loss (left) and test accuracy (right) over the epochs of tutorial
    """
    histories = _as_histories(histories)
    words = " and ".join(name for name, _ in histories)
    metrics = _metrics_of(histories)
    measured = f"test {metrics[0]}" if len(metrics) == 1 else "test metrics"
    what = f"loss (left) and {measured} (right)" if metrics else "loss"
    figure = Figure(9 if metrics else 4.8, 3.4, f"{what} over the epochs of {words}")
    left, *rest = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
    entries = {ax: [] for ax in (left, *rest)}  # of the legends
    styles = _styles()  # they never end: a run's second metric has one of those that the runs leave
    for (name, history), style in zip(histories, list(itertools.islice(styles, len(histories))), strict=True):
        entries[left] += _loss_curves(left, name, history, style)
        for right in rest:
            entries[right] += _metric_curves(right, name, history, metrics, itertools.chain([style], styles))
    losses = [value for line in left.lines for value in line.get_ydata() if math.isfinite(value)]
    scale = "log" if losses and min(losses) > 0 else "linear"  # a logarithmic axis would drop what is not above 0
    left.set(ylabel=_name_of_loss(histories), yscale=scale)
    for right in rest:
        right.set_ylabel("test accuracy in %" if metrics == _USUAL else as_text(measured), parse_math=False)
    for ax in (left, *rest):
        ax.set(xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
    _write_legends(figure, entries)
    return figure


_USUAL = ["accuracy"]  # in percent, where nothing else is measured


def _metrics_of(histories):
    """What was measured beside the loss, in all of the runs: the names. The accuracy, where a run could have had it."""
    rows = [row for _, history in histories for row in history.epochs]
    names = [key.removeprefix("test_") for row in rows for key in row if str(key).startswith("test_")]
    names = [name for name in dict.fromkeys(names) if name != "loss"]
    return names or (_USUAL if any(_own_loss(history) is None for _, history in histories) else [])


def _own_loss(history):
    """The name of the loss, where it is not the default."""
    return (getattr(history, "info", None) or {}).get("loss")


def _name_of_loss(histories):
    names = {_own_loss(history) for _, history in histories}
    return "loss (negative log-likelihood)" if names == {None} else "loss"


def _loss_curves(ax, name, history, style):
    """Draw the losses of a run. Returns the lines, each with its words for the legend."""
    style, dotted, solid = style
    epochs, train, test = (_column(history, column) for column in ("epoch", "train_loss", "test_loss"))
    hollow = style | {"linestyle": dotted, "markerfacecolor": "none"}
    curves = [_curve(ax, epochs, train, f"{name}: train", hollow)]
    if any(value is not None for value in test):
        curves.append(_curve(ax, epochs, test, f"{name}: test", style | {"linestyle": solid}))
    return curves


def _metric_curves(ax, name, history, metrics, styles):
    """The same of what else was measured."""
    curves, epochs = [], _column(history, "epoch")
    for metric in metrics:
        values = _column(history, f"test_{metric}")
        if not (measured := [value for value in values if value is not None]):
            continue
        if metrics == _USUAL:
            values = [None if value is None else 100 * value for value in values]
            label = f"{name} (ends at {100 * measured[-1]:.2f} %)"
        else:
            label = f"{name}: {metric} (ends at {measured[-1]:.4g})"
        style, _, solid = next(styles)
        curves.append(_curve(ax, epochs, values, label, style | {"linestyle": solid}))
    return curves


def _as_histories(histories):
    """[(name, History with epochs), …]"""
    if not isinstance(histories, dict):
        recipe = getattr(histories, "recipe", None)
        histories = {(recipe.get("name", "run") if isinstance(recipe, dict) else "run"): histories}
    if not histories:
        raise ValueError("histories: expected at least one, got an empty dict")
    for name, history in histories.items():
        if not isinstance(getattr(history, "epochs", None), list):
            raise TypeError(f"histories: expected a History or a dict of them, got {_check.describe(history)}")
        if not history.epochs:
            raise ValueError(f"histories: expected at least one epoch in {name!r}, got none")
        for row in history.epochs:
            if not isinstance(row, dict) or not {"epoch", "train_loss"} <= row.keys():
                raise ValueError(f"histories: expected epochs as fit records them in {name!r}, got {row!r}")
    return [(as_text(name), history) for name, history in histories.items()]


def _column(history, name):
    """One quantity over the epochs; None where it was not measured."""
    return [_check.as_real(row.get(name)) for row in history.epochs]


def _styles():
    """For one run after the other: what its lines have in common, and the dashes of two. No run is like another."""
    for number in itertools.count():
        color, mark = COLORS[number % len(COLORS)], _MARKS[(number + number // len(COLORS)) % len(_MARKS)]
        again = number // (len(COLORS) * len(_MARKS))  # all pairs are used up: wider gaps
        dotted, solid = ((0, (1, 2 + 2 * again)), (0, (6, 1 + 2 * again))) if again else (":", "-")
        yield {"color": color, "marker": mark, "markersize": 4}, dotted, solid


def _curve(ax, x, y, name, style):
    """Draw a line. Returns it with its words for the legend, which tell what of it cannot be seen."""
    y = [math.nan if value is None else value for value in y]
    (line,) = ax.plot(x, y, label=name, **style)
    lost = sum(not math.isfinite(value) for value in y)
    return line, f"{name} ({lost} of {len(y)} not drawn)" if lost else name


def _write_legends(figure, entries):
    """The legend of each axes, below it, where it covers no line."""
    texts = {ax: [as_text(text, _LEGEND_WIDTH) for _, text in lines] for ax, lines in entries.items()}
    rows = 0
    for ax, lines in entries.items():
        if not lines:
            continue
        longest = max(len(line) for text in texts[ax] for line in text.split("\n"))
        columns = 1 if longest > 20 else 2
        # Of a width in points, not in parts of an axes that may be of any height.
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4.5}
        # Given to matplotlib at once, a text that begins with "_" would be left out, and "$" would start a formula.
        legend = ax.legend([line for line, _ in lines], ["line"] * len(lines), fontsize=9, ncols=columns, **place)
        for text, words in zip(legend.get_texts(), texts[ax], strict=True):
            text.set(text=words, parse_math=False)
        rows = max(rows, sum(text.count("\n") + 1 for text in texts[ax]) / columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(checked_size(width, height + 0.22 * rows + 0.2))


def plot_theta(history, probe=0):
    """The numbers of θ for one probe image, over the steps of a training run: six, or of a projective θ eight.

    Args:
        history: a :class:`stncourse.History` of a ``fit(..., probe=images)``.
        probe: which of the probe images.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: no θ was recorded, or that of a transform without a matrix, such as a spline; or there is
            no such probe image.
    """
    steps, theta = recorded_theta(history)
    probe, count = _check.positive_int("probe", probe, minimum=0), theta.shape[1]
    if probe >= count:
        raise ValueError(f"probe: expected 0 to {count - 1}, got {probe}")
    theta = theta[:, probe]
    panels = dict(_PANELS)
    if theta.shape[1] == 2:
        panels.pop("perspective")
    elif (theta[:, 2, 2] != 1).any():  # of a matrix that is not as our grid generators write it
        panels["perspective"] = (*panels["perspective"], (2, 2, "θ₃₃"))
    numbers = {6: "six", 8: "eight", 9: "nine"}[sum(map(len, panels.values()))]
    words = f"the {numbers} numbers of θ for probe image {probe} over the training steps"
    figure = Figure(8 if len(panels) == 2 else 11, 2.9, words)
    axes = figure.subplots(1, len(panels), width_ratios=(3, 2, 2)[: len(panels)])
    entries = {}
    for ax, (title, places) in zip(axes, panels.items(), strict=True):
        entries[ax] = []
        for row, column, name in places:
            place = 3 * row + column
            style = {"color": COLORS[place % len(COLORS)], "marker": _MARKS[place % len(_MARKS)], "markersize": 3}
            curve = _curve(ax, steps, theta[:, row, column].tolist(), name, style | {"linewidth": 1.2})
            entries[ax].append(curve)
        ax.set(xlabel="training step", ylabel="normalised units" if title == "shift" else "entry of θ", title=title)
        ax.grid(alpha=0.3)
    _write_legends(figure, entries)
    return figure


#: Where the numbers of θ stand: row, column, name.
_PANELS = {
    "turn, scale and shear": ((0, 0, "θ₁₁"), (0, 1, "θ₁₂"), (1, 0, "θ₂₁"), (1, 1, "θ₂₂")),
    "shift": ((0, 2, "tx"), (1, 2, "ty")),
    "perspective": ((2, 0, "θ₃₁"), (2, 1, "θ₃₂")),
}


def recorded_theta(history):
    """The steps, and θ as ``(S, P, 2 or 3, 3)``, of a :class:`stncourse.History` or of its ``theta`` alone.

    Raises:
        TypeError: no History. ValueError: no θ was recorded, or that of a transform that has no matrix.
    """
    snapshots = history if isinstance(history, list) else getattr(history, "theta", None)
    if not isinstance(snapshots, list):
        raise TypeError(f"history: expected a History, got {_check.describe(history)}")
    if not snapshots:
        raise ValueError("history: expected one with recorded θ; call fit(..., probe=images)")
    if not all(isinstance(snapshot, dict) and {"step", "theta"} <= snapshot.keys() for snapshot in snapshots):
        raise ValueError('history: expected snapshots {"step": …, "theta": …}, as fit records them')
    if any(snapshot["theta"] is None for snapshot in snapshots):
        raise ValueError("history: expected one with θ, got one of a transform that has no matrix, such as a spline")
    try:
        theta = torch.tensor([snapshot["theta"] for snapshot in snapshots], dtype=torch.float32, device="cpu")
    except (TypeError, ValueError) as error:
        raise ValueError(f"history: expected the same numbers of θ at every step ({error})") from error
    if theta.ndim != 4 or theta.shape[2:] not in ((2, 3), (3, 3)):
        raise ValueError(f"history: expected θ of shape (P, 2, 3) or (P, 3, 3) per step, got {tuple(theta.shape[1:])}")
    return [snapshot["step"] for snapshot in snapshots], theta
