"""The experiment with rows of digits: its loss, what counts as wrong, its data, and that a little training helps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from stncourse import BACKGROUND, Digits, Recipe, affine_grid, evaluate, fit, load_digits
from stncourse.data.sequences import NONE
from stncourse.paper.sequence_networks import SEQUENCE_MODELS
from stncourse.paper.sequences import (
    EXPERIMENT,
    PAPER,
    SIZES,
    follows,
    load_sequences,
    looks_at,
    on_its_digit,
    read_rows,
    rows_right,
    sequence_loss,
    shown_rows,
)

LABELS = torch.tensor([[3, 1, 4, NONE, NONE], [7, NONE, NONE, NONE, NONE], [2, 7, 1, 8, 2], [0, 0, NONE, NONE, NONE]])


class Says(nn.Module):
    """Says of each of four images what it is told to, whatever it shows; the image's first pixel is its number."""

    def __init__(self, answers):
        super().__init__()
        self.answers = nn.Parameter(F.one_hot(answers, NONE + 1).float() * 9)

    def forward(self, images):
        numbers = ((images[:, 0, 0, 0] - BACKGROUND) * 255 * 0.3081).round().long()
        return self.answers[numbers].log_softmax(2)


def four_rows():
    images = torch.zeros(4, 1, 64, 64, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(4)
    return Digits(images, LABELS, "made up")


def test_the_loss_is_the_sum_of_five():
    output = torch.randn(4, 5, NONE + 1, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    expected = sum(-output[row, place, LABELS[row, place]] for row in range(4) for place in range(5)) / 4
    assert_close(sequence_loss(output, LABELS), expected)


def test_a_row_is_right_when_all_of_it_is():
    answers = LABELS.clone()
    answers[1, 4], answers[2, 0] = 0, 3
    output = Says(answers).answers.log_softmax(2)
    assert rows_right(output, LABELS).tolist() == [True, False, False, True]
    rows, model = four_rows(), Says(answers)
    assert torch.equal(read_rows(model, rows, batch_size=3), answers)
    assert EXPERIMENT.wrong(model, rows, "cpu").tolist() == [False, True, True, False]


def test_the_facts_tell_places_and_lengths_apart():
    answers = LABELS.clone()
    answers[1, 4], answers[2, 0], answers[2, 1] = 0, 3, 3
    data = EXPERIMENT.data(*(load_digits(split, "offline").subset(slice(20)) for split in ("train", "test")), "64px")
    facts = EXPERIMENT.facts(Says(answers), type(data)(data.train, four_rows()), "cpu")
    assert facts == {"place_error": 15.0, "error_by_length": [100.0, 0.0, 0.0, None, 100.0]}


@pytest.mark.parametrize("column", SIZES)
def test_of_the_recurrent_one_it_is_told_how_often_a_look_is_on_its_digit(column):
    data = EXPERIMENT.data(*(load_digits(split, "offline").subset(slice(60)) for split in ("train", "test")), column)
    reader = EXPERIMENT.network("Recurrent", column, data, "float32")
    theta = looks_at(reader, data.measure, batch_size=7)
    assert theta.shape == (20, 5, 2, 3)
    there = data.measure.labels != NONE
    expected = [100 * on_its_digit(theta, data.known["frames"])[there[:, k], k].float().mean().item() for k in range(5)]
    assert EXPERIMENT.facts(reader, data, "cpu")["on_its_digit"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "count", "column"),
    [("ST-CNN Single", 1, "64px"), ("ST-CNN Multi", 4, "64px"), ("ST-CNN Single", 1, "128px")],
)
def test_of_transformers_inside_it_is_told_how_far_they_move(model, count, column):
    data = EXPERIMENT.data(*(load_digits(split, "offline").subset(slice(60)) for split in ("train", "test")), column)
    network = EXPERIMENT.network(model, column, data, "float32")
    nn.init.normal_(network.transformers[0].localization[-1].weight, std=0.05)
    theta = looks_at(network, data.measure, batch_size=7)
    assert theta.shape == (20, count, 2, 3)
    facts = EXPERIMENT.facts(network, data, "cpu")
    assert_close(torch.tensor(facts["theta_mean"]), theta.mean(0), atol=1e-4, rtol=0)
    assert_close(torch.tensor(facts["theta_std"]), theta.std(0), atol=1e-4, rtol=0)
    assert_close(torch.tensor(facts["follows"]), follows(theta, data.known["frames"]).float(), atol=1e-4, rtol=0)
    assert_close(torch.tensor(facts["shown"]), looks_at(network, shown_rows(SIZES[column])), atol=1e-4, rtol=0)
    assert len(facts["error_without"]) == count
    assert theta[:, 0].std(0).min() > 0.001
    assert torch.equal(theta[:, 1:], torch.eye(2, 3).expand(20, count - 1, 2, 3))


def test_a_transformer_follows_the_rows_or_does_not():
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(50, 5, 2, 3, generator=generator)
    theta = torch.rand(50, 3, 2, 3, generator=generator)
    theta[:, 0, :, 2] = 3 * frames[:, 0, :, 2] - 1
    theta[:, 1, 0, 2], theta[:, 1, 1, 2] = -frames[:, 0, 0, 2], 0.5
    found = follows(theta, frames)
    assert_close(found[:2], torch.tensor([[1.0, 1.0], [-1.0, 0.0]]).double())
    expected = np.corrcoef(theta[:, 2, 1, 2], frames[:, 0, 1, 2])[0, 1]
    assert found[2, 1].item() == pytest.approx(expected, abs=1e-6)


def test_without_a_transformer_the_others_go_on():
    """The third one moves everything out of sight: without it the network reads, without another it sees nothing."""
    data = EXPERIMENT.data(*(load_digits(split, "offline").subset(slice(60)) for split in ("train", "test")), "64px")
    network = EXPERIMENT.network("ST-CNN Multi", "64px", data, "float32").eval()
    expected = 100 * EXPERIMENT.wrong(network, data.measure, "cpu").double().mean().item()
    before = read_rows(network, data.measure)
    with torch.no_grad():
        network.transformers[2].localization[-1].bias[2] = 9.0
    after = read_rows(network, data.measure)
    assert not torch.equal(before, after)
    errors = EXPERIMENT.facts(network, data, "cpu")["error_without"]
    assert errors[2] == pytest.approx(expected)
    assert torch.equal(read_rows(network, data.measure), after)  # the model is as it was


@pytest.mark.parametrize("column", SIZES)
def test_rows_to_learn_from_and_to_measure_on_are_of_their_own_digits(column):
    """Every digit of one set is white, of the other grey."""
    train, test = (
        Digits(torch.full((count, 1, 28, 28), grey, dtype=torch.uint8), [1] * count, "made up")
        for count, grey in ((45, 255), (18, 90))
    )
    data = EXPERIMENT.data(train, test, column)
    assert (len(data.train), len(data.measure)) == (15, 6)
    assert data.train.images.shape[1:] == data.measure.images.shape[1:] == (1, SIZES[column], SIZES[column])
    assert data.train.images.flatten(1).amax(1).tolist() == [255] * 15
    assert data.measure.images.flatten(1).amax(1).tolist() == [90] * 6
    assert data.train.labels.shape == (15, 5)


def test_the_frames_are_those_of_the_rows_to_measure_on():
    digits = load_digits("test", "offline").subset(slice(None, None, 33))
    data = EXPERIMENT.data(digits, digits, "64px")
    frames = data.known["frames"]
    assert len(frames) == len(data.measure) == len(digits) // 3
    assert torch.equal(frames.isnan()[..., 0, 0], data.measure.labels == NONE)
    first = frames[:, 0]
    ink = affine_grid(first, (28, 28))
    seen = F.grid_sample(data.measure.images.float(), ink, align_corners=False)
    assert (seen.flatten(1).amax(1) > 100).all()


def test_a_look_is_on_its_digit_or_not():
    frames = torch.tensor([[0.25, 0, -0.5], [0, 0.25, 0.5]]).repeat(2, 5, 1, 1)
    frames[1, 3:] = torch.nan
    theta = frames.nan_to_num().clone()
    theta[..., 0, 0] = theta[..., 1, 1] = 3.0  # how large it is does not count
    theta[0, 1, 0, 2] += 0.24
    theta[0, 2, 0, 2] += 0.26
    theta[1, 0, 1, 2] -= 0.26
    assert on_its_digit(theta, frames).tolist() == [[True, True, False, True, True], [False, True, True, False, False]]


@pytest.mark.parametrize("model", PAPER)
def test_networks_fit_their_columns(model):
    assert tuple(PAPER) == SEQUENCE_MODELS
    for column, size in SIZES.items():
        network = EXPERIMENT.network(model, column, None, "bfloat16").eval()
        assert network.precision == "bfloat16"
        assert network(torch.zeros(1, 1, size, size)).shape == (1, 5, 11)


@pytest.mark.parametrize("model", PAPER)
def test_a_little_training_helps(model):
    digits = load_digits("train", "offline").subset(slice(300))
    rows = EXPERIMENT.data(digits, digits, "64px").train
    torch.manual_seed(0)
    network = EXPERIMENT.network(model, "64px", None, "float32")
    recipe = Recipe("tiny", epochs=3, batch_size=20, optimizer="adamw", learning_rate=0.002, localization_factor=0.3)
    measured = {"loss": sequence_loss, "metrics": {"whole rows": rows_right}}
    history = fit(network, rows, rows, recipe, "cpu", verbose=False, **measured)
    losses = history.column("train_loss")
    assert losses[-1] < 0.92 * losses[0]
    assert history.epochs[-1]["test_whole rows"] == evaluate(network, rows, "cpu", **measured)["whole rows"]


# What ships


def test_the_cells_that_ship_say_what_the_course_says_of_them():
    cells = load_sequences()
    assert set(cells) == {(model, "64px") for model in PAPER}
    error = {model: cells[model, "64px"]["error"]["mean"] for model in PAPER}
    assert error["ST-CNN Multi"] < error["CNN"] / 1.5
    recipes = [cell["recipe"] | {"steps": cell["steps"]} for cell in cells.values()]
    assert recipes.count(recipes[0]) == 4  # equal budgets
    for cell in cells.values():
        assert cell["measured_on"] == "test"
        assert all(len(run["facts"]["error_by_length"]) == 5 for run in cell["runs"])
    # On images they stay; the last two, on feature maps, follow the row: its height, then its beginning.
    for facts in (run["facts"] for run in cells["ST-CNN Multi", "64px"]["runs"]):
        moves, along = torch.tensor(facts["theta_std"])[..., 2], torch.tensor(facts["follows"]).abs()
        assert moves[:2].max() < 0.1 < moves[2:].amax(1).min()
        assert along[2:].amax(0).min() > 0.6
        assert max(facts["error_without"]) > 2 * cells["ST-CNN Multi", "64px"]["error"]["mean"]


def test_as_much_time_does_not_make_the_plain_network_catch_up():
    """What notebook 13 says: the CNN, trained for as many CPU seconds as the network with four transformers."""
    (longer,), cells = load_sequences(same_time=True).values(), load_sequences()
    multi, cnn = (cells[model, "64px"] for model in ("ST-CNN Multi", "CNN"))
    assert longer["model"] == "CNN"
    assert multi["error"]["mean"] + 2 < longer["error"]["mean"] < cnn["error"]["mean"]
    assert max(multi["error"]["seeds"]) < min(longer["error"]["seeds"])
    other = {"name", "epochs"}
    assert {k: v for k, v in longer["recipe"].items() if k not in other} == {
        k: v for k, v in cnn["recipe"].items() if k not in other
    }
