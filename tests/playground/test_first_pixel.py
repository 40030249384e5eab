"""The output pixel that a playground asks first."""

import numpy as np
import pytest
import torch

from stncourse import theta_playground


@pytest.mark.parametrize("pixel", [(14, 5), [14, 5], np.array([14, 5]), torch.tensor([14, 5])])
def test_the_browser_is_told_row_and_column(pixel):
    assert theta_playground(tool="pixel", pixel=pixel).drawn.start["pixel"] == [14, 5]


def test_without_one_the_browser_chooses():
    assert theta_playground(tool="pixel").drawn.start["pixel"] is None


def test_it_lies_in_the_output_whose_size_the_model_sets():
    game = theta_playground(model="pretrained", tool="pixel", pixel=(27, 27))  # of the input's 42×42
    assert game.drawn.start["pixel"] == [27, 27]
    with pytest.raises(
        ValueError, match=r"^pixel: expected a \(row, column\) inside the output's 28×28, got tuple \(28, "
    ):
        theta_playground(model="pretrained", pixel=(28, 0))


@pytest.mark.parametrize("pixel", [(28, 0), (0, 28), (-1, 0), (1.0, 2), (True, 2), 5, (1, 2, 3), "ab", (None, 1)])
def test_another_is_refused(pixel):
    with pytest.raises(ValueError, match=r"^pixel: expected a \(row, column\) inside the output's 28×28, got "):
        theta_playground(pixel=pixel)


def test_it_needs_the_tool():
    with pytest.raises(ValueError, match=r"^pixel: expected one only where controls have 'pixel', got tuple \(1, 2\)"):
        theta_playground(controls=("sliders",), pixel=(1, 2))
