"""Which digits a network got wrong, and what a difference between two networks on the same digits is worth."""

import json
import math
import random
from collections import Counter
from fractions import Fraction

import pytest
import torch

from stncourse import Digits, evaluate, load_digits
from stncourse.paper.budgets import Budget
from stncourse.paper.cells import DISTORTIONS, load_paired, load_table1, read_cell
from stncourse.paper.paired import pack, paired_gap, sign_test, unpack, wrong_digits, wrong_of
from stncourse.paper.table1 import reproduce


def some(count, share=0.3, seed=0):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < share


# Bits


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000, 10_000])
def test_what_is_packed_comes_back(count):
    for share in (0.0, 0.3, 1.0):
        wrong = some(count, share)
        assert torch.equal(unpack(pack(wrong), count), wrong)


def test_ten_thousand_digits_are_1250_bytes():
    assert len(pack(some(10_000))) == 4 * math.ceil(1250 / 3)


@pytest.mark.parametrize(
    ("text", "count"),
    [("gYA=", 8), ("gYA=", 17), ("gcA=", 9), ("gY", 9), ("gÿ==", 9), ("%%%%", 9), ("", 9)],
)
def test_bits_of_other_digits_are_refused(text, count):
    with pytest.raises(ValueError, match=r"^text: expected"):
        unpack(text, count)


@pytest.mark.parametrize("value", [None, [True], torch.ones(3), torch.ones(2, 2) > 0, torch.zeros(0) > 0])
def test_what_is_no_list_of_digits_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"^wrong: expected"):
        pack(value)
    with pytest.raises(TypeError, match=r"^text: expected a str"):
        unpack(value, 3)


class Guesses(torch.nn.Module):
    """The class is the first pixel, but in train mode always 0."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        guess = (images[:, 0, 0, 0] > 0).long() * (not self.training)
        return torch.nn.functional.one_hot(guess, 2).float().log_softmax(1) + self.weight


def test_wrong_digits_are_those_that_evaluate_counts():
    images = torch.zeros(7, 1, 2, 2, dtype=torch.uint8)
    images[::2] = 255
    digits = Digits(images, torch.tensor([1, 0, 0, 0, 1, 1, 1]), "made up")
    model = Guesses().train()
    wrong = wrong_digits(model, digits, batch_size=3)
    assert wrong.tolist() == [False, False, True, False, False, True, False]
    assert model.training
    assert wrong.double().mean().item() == pytest.approx(1 - evaluate(model, digits, "cpu").accuracy)


# The gap and its luck


def test_the_gap_by_walking():
    first, second = some(300).view(3, 100), some(200, 0.2, 1).view(2, 100)
    differences = [
        Fraction(sum(row[k] for row in first.int().tolist()), 3)
        - Fraction(sum(row[k] for row in second.int().tolist()), 2)
        for k in range(100)
    ]
    mean = sum(differences) / 100
    variance = sum((d - mean) ** 2 for d in differences) / 99
    gap, error = paired_gap(first, second)
    assert gap == pytest.approx(100 * float(mean))
    assert error == pytest.approx(100 * math.sqrt(variance / 100))


def test_a_single_run_may_come_without_its_axis():
    first, second = some(50), some(50, seed=1)
    assert paired_gap(first, second) == paired_gap(first[None], second[None])


def test_networks_that_err_on_the_same_digits_are_told_apart_by_less():
    hard = some(10_000, 0.02)
    both = hard & some(10_000, 0.5, 1), hard & some(10_000, 0.6, 2)
    strangers = both[0], both[1][torch.randperm(10_000, generator=torch.Generator().manual_seed(3))]
    (gap, paired), (same_gap, unpaired) = paired_gap(*both), paired_gap(*strangers)
    assert gap == same_gap
    assert paired < 0.85 * unpaired


def test_its_standard_error_is_how_far_other_digits_would_move_it():
    generator = torch.Generator().manual_seed(0)
    gaps, errors = [], []
    for _ in range(400):
        draw = torch.rand(2000, generator=generator)
        gap, error = paired_gap(draw < 0.06, (draw > 0.02) & (draw < 0.07))
        gaps.append(gap)
        errors.append(error)
    assert torch.tensor(gaps).std().item() == pytest.approx(sum(errors) / 400, rel=0.12)


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (some(5), some(6), "second"),
        (some(5).float(), some(5), "first"),
        (some(5), [True] * 5, "second"),
        (some(8).view(2, 2, 2), some(2), "first"),
        (some(1), some(1), "first"),
        (some(5), some(5)[:0], "second"),
    ],
)
def test_errors_of_the_gap_name_the_argument(first, second, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        paired_gap(first, second)


@pytest.mark.parametrize(("heads", "tails"), [(0, 0), (0, 1), (5, 5), (9, 1), (1, 9), (60, 41), (0, 12)])
def test_the_sign_test_by_throwing_every_coin_that_there_is(heads, tails):
    ways = Counter({0: 1})
    for _ in range(heads + tails):
        ways = Counter({k: ways[k] + ways[k - 1] for k in range(heads + tails + 1)})
    uneven = sum(w for k, w in ways.items() if abs(2 * k - heads - tails) >= abs(heads - tails))
    assert sign_test(heads, tails) == pytest.approx(uneven / 2 ** (heads + tails))


def test_equal_networks_are_called_unequal_as_often_as_the_test_says():
    coins = random.Random(0)
    below = 0
    for _ in range(1000):
        heads = sum(coins.random() < 0.5 for _ in range(101))
        below += sign_test(heads, 101 - heads) <= 0.05
    assert 20 <= below <= 60


@pytest.mark.parametrize(("counts", "name"), [((-1, 3), "only_first"), ((3, 1.5), "only_second"), ((3, True), "only")])
def test_counts_are_counts(counts, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}"):
        sign_test(*counts)


# In a cell's file


def noted(tmp_path, change=lambda run: None):
    """A shipped cell whose one run has noted digits, as a file."""
    cell = json.loads(json.dumps(load_table1()["FCN", "R"]))
    run, count = cell["runs"][0], cell["test_digits"]
    wrong = torch.arange(count) < round(run["error"] / 100 * count)
    run["wrong"] = pack(wrong)
    change(run)
    path = tmp_path / "fcn_r.json"
    path.write_text(json.dumps(cell))
    return path, wrong


def test_a_cell_tells_which_digits_it_got_wrong(tmp_path):
    path, wrong = noted(tmp_path)
    assert torch.equal(wrong_of(read_cell(path))[0], wrong)
    assert wrong_of(load_table1()["FCN", "R"]) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [("AAAA", "cannot be read"), (7, "cannot be read"), (pack(torch.ones(10_000) > 0), "say 100.00")],
)
def test_digits_that_contradict_the_error_are_refused(tmp_path, value, words):
    path, _ = noted(tmp_path, lambda run: run.update(wrong=value))
    with pytest.raises(ValueError, match=words):
        read_cell(path)


def test_the_recorded_comparison_is_of_two_networks_with_the_same_chances():
    plain, looking = load_paired()
    assert [plain["model"], looking["model"]] == ["CNN", "ST-CNN Aff"]
    for name in ("distortion", "steps", "batch", "recipe", "precision", "measured_on", "test_digits", "hardware"):
        assert plain[name] == looking[name]
    assert plain["test_digits"] == 10_000
    for cell in (plain, looking):
        assert [run["seed"] for run in cell["runs"]] == [0, 1, 2]
        errors = 100 * wrong_of(cell).double().mean(1)
        assert errors.tolist() == pytest.approx(cell["error"]["seeds"])


def test_a_run_notes_the_digits_that_it_gets_wrong(tmp_path):
    train, test = (load_digits(split, source="offline").subset(slice(None, None, 25)) for split in ("train", "test"))
    tiny = Budget("tiny", dict.fromkeys(DISTORTIONS, 1), (("FCN", "R"),), 2, batch_size=32)
    cell = reproduce(train, test, tmp_path, budget=tiny, device="cpu", verbose=False)["FCN", "R"]
    wrong = wrong_of(cell)
    assert wrong.shape == (2, len(test))
    assert (100 * wrong.double().mean(1)).tolist() == pytest.approx(cell["error"]["seeds"], abs=1e-3)
    assert not torch.equal(wrong[0], wrong[1])
