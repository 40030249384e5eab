"""``plot_history`` of runs with a loss and metrics of their own."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stncourse import History, load_recorded, plot_history


def run(loss="mine", **metrics):
    rows = [
        {"epoch": n + 1, "train_loss": 2.0 / (n + 1), "test_loss": 1.0 / (n + 1)}
        | {f"test_{name}": values[n] for name, values in metrics.items()}
        for n in range(3)
    ]
    return History({"name": "two"}, rows, info={"loss": loss} if loss else {})


def lines(ax):
    return {
        text.get_text(): line.get_ydata().tolist() for text, line in zip(ax.get_legend().texts, ax.lines, strict=True)
    }


def test_metrics_are_drawn_as_they_are():
    figure = plot_history(run(iou=[0.1, 0.5, 0.25], both=[0, 1, 1]))
    left, right = figure.axes
    assert lines(left) == {"two: train": [2, 1, 2 / 3], "two: test": [1, 1 / 2, 1 / 3]}
    assert lines(right) == {"two: iou (ends at 0.25)": [0.1, 0.5, 0.25], "two: both (ends at 1)": [0, 1, 1]}
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "test metrics")
    assert figure.alt == "loss (left) and test metrics (right) over the epochs of two"
    assert len({(line.get_color(), line.get_marker()) for line in right.lines}) == 2
    assert right.lines[0].get_color() == left.lines[0].get_color()


def test_a_single_metric_names_the_axis():
    figure = plot_history({"a": run(iou=[1, 2, 3]), "b": run(iou=[3, 2, 1])})
    assert figure.axes[1].get_ylabel() == "test iou"
    assert figure.alt == "loss (left) and test iou (right) over the epochs of a and b"
    left, right = figure.axes
    assert [line.get_color() for line in right.lines] == [line.get_color() for line in left.lines[::2]]


def test_without_metrics_there_are_only_the_losses():
    figure = plot_history(run())
    (ax,) = figure.axes
    assert len(ax.lines) == 2
    assert figure.alt == "loss over the epochs of two"


def test_beside_a_run_of_the_default_loss_the_accuracy_is_a_fraction():
    recorded = load_recorded()
    figure = plot_history({"default": recorded, "own": run(iou=[0.1, 0.5, 0.25])})
    left, right = figure.axes
    assert left.get_ylabel() == "loss"
    np.testing.assert_allclose(right.lines[0].get_ydata(), recorded.column("test_accuracy"))
    assert right.lines[1].get_ydata().tolist() == [0.1, 0.5, 0.25]
    assert [line.get_color() for line in right.lines] == [line.get_color() for line in left.lines[::2]]


@pytest.mark.parametrize("name", ["$x$", "_hidden", "a b"])
def test_any_name_is_written_as_it_is(name):
    figure = plot_history(run(**{name: [1, 2, 3]}))
    FigureCanvasAgg(figure).draw()
    (text,) = figure.axes[1].get_legend().texts
    assert text.get_text() == f"two: {name} (ends at 3)"
    assert not text.get_parse_math()
    assert not figure.axes[1].yaxis.label.get_parse_math()
