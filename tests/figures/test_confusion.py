"""The confusion figure: its numbers are counts, its errors are seen, its names are those of the classes."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from torch import nn

from stncourse import Digits, ImageSet, show_confusion

NAMES = ("cat", "$dog", "a_very_long_name_of_a_class_that_nobody_reads")


class Reads(nn.Module):
    """Answers what is written in the first pixel."""

    def forward(self, images):
        answers = (images[:, 0, 0, 0] * 0.3081 + 0.1307).mul(255).round().long()
        return torch.eye(3)[answers]


def answered(pairs, make=Digits, *more):
    """Digits of which (label, answer) are these."""
    labels, answers = torch.tensor(pairs).T
    images = answers.byte()[:, None, None, None].expand(-1, 1, 2, 3).clone()
    return make(images, labels.clone(), "mine", *more)


PAIRS = [(0, 0)] * 5 + [(1, 1)] * 2 + [(1, 2)] * 3 + [(2, 0)] + [(0, 2)] * 2


def numbers(figure):
    return {tuple(map(round, text.get_position()[::-1])): text.get_text() for text in figure.axes[0].texts}


def test_the_numbers_are_counts_in_the_row_of_the_truth():
    figure = show_confusion(Reads(), answered(PAIRS), "cpu", batch_size=4)
    assert numbers(figure) == {(0, 0): "5", (1, 1): "2", (1, 2): "3", (2, 0): "1", (0, 2): "2"}
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("answer", "true class")
    assert figure.alt == (
        "true class and answer, 6 of 13 wrong (46.2 %); most often 1 taken for 2 (3 times), 0 taken for 2 (2 times), "
        "2 taken for 0 (once)"
    )
    assert figure.get_suptitle() == "6 of 13 wrong (46.2 %)"


def test_errors_are_darker_the_more_there_are_and_the_diagonal_is_grey():
    figure = show_confusion(Reads(), answered(PAIRS), "cpu")
    (ax,) = figure.axes
    (image,) = ax.images
    drawn = image.cmap(image.norm(np.asarray(image.get_array())))[..., :3].sum(-1)
    assert drawn[1, 2] < drawn[0, 2] < drawn[2, 0] < drawn[2, 1] == pytest.approx(3)
    grey = {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)): to_hex(p.get_facecolor()) for p in ax.patches}
    assert grey == {(0, 0): "#eeeeee", (1, 1): "#eeeeee"}  # there is no right answer to a 2


def test_all_right():
    figure = show_confusion(Reads(), answered([(0, 0), (2, 2)]), "cpu")
    assert figure.alt == "true class and answer, 0 of 2 wrong (0.0 %)"
    assert numbers(figure) == {(0, 0): "1", (2, 2): "1"}


def test_the_names_of_the_classes_are_at_both_axes_and_fit_on_the_figure():
    digits = answered(PAIRS, ImageSet, NAMES, (0.1307,), (0.3081,))
    figure = show_confusion(Reads(), digits, "cpu")
    FigureCanvasAgg(figure).draw()
    (ax,) = figure.axes
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        texts = [text.get_text() for text in labels]
        assert texts[:2] == ["cat", "$dog"]
        assert texts[2].endswith("…")
        for text in labels:
            assert text.get_parse_math() is False
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    assert "$dog taken for " in figure.alt
    assert figure._repr_mimebundle_()[0]["image/png"]


def test_numbers_fit_into_their_cells():
    figure = show_confusion(Reads(), answered([(0, 0)] * 12_345 + [(1, 2)] * 23_456), "cpu")
    FigureCanvasAgg(figure).draw()
    (ax,) = figure.axes
    cell = ax.get_window_extent().width / 3
    assert [text.get_text() for text in ax.texts] == ["12345", "23456"]
    assert all(text.get_window_extent().width < 0.95 * cell for text in ax.texts)


class Says(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, images):
        return self.output(len(images))


@pytest.mark.parametrize(
    ("model", "digits", "error", "name"),
    [
        (Reads(), torch.zeros(2, 1, 2, 2).byte(), TypeError, "digits"),
        (Reads(), answered([(3, 0)]), ValueError, "digits"),
        (Reads(), answered(PAIRS).subset(slice(0)), ValueError, "images"),
        (3, answered(PAIRS), TypeError, "model"),
        (Says(lambda n: (torch.zeros(n, 3),)), answered(PAIRS), ValueError, "model"),
        (Says(lambda n: torch.zeros(n, 3).long()), answered(PAIRS), ValueError, "model"),
        (Says(lambda n: torch.zeros(n)), answered(PAIRS), ValueError, "model"),
        (Says(lambda n: torch.full((n, 3), torch.nan)), answered(PAIRS), ValueError, "model"),
    ],
)
def test_errors_name_the_argument(model, digits, error, name):
    with pytest.raises(error, match=rf"^{name}: expected .*, got "):
        show_confusion(model, digits, "cpu")
