"""What counts as a number, a size and a path; the messages name the argument."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from stncourse import _check

INTEGERS = [5, np.int64(5), np.uint8(5), np.array(5), torch.tensor(5), torch.tensor(5, dtype=torch.uint8)]
REALS = [2.5, np.float32(2.5), np.float64(2.5), np.array(2.5), torch.tensor(2.5), Fraction(5, 2)]
NOT_NUMBERS = [
    True,
    np.True_,
    torch.tensor(True),
    "5",
    None,
    [5],
    torch.tensor([5]),
    np.array([5]),
    5j,
    torch.zeros((), device="meta"),
]


@pytest.mark.parametrize("value", INTEGERS, ids=repr)
def test_every_form_of_a_whole_number_is_one(value):
    assert _check.as_integer(value) == 5
    assert type(_check.as_integer(value)) is int
    assert _check.positive_int("count", value) == 5
    assert _check.image_size("size", value) == (5, 5)
    assert _check.as_real(value) == 5


@pytest.mark.parametrize("value", REALS, ids=repr)
def test_every_form_of_a_real_number_is_one(value):
    assert _check.as_integer(value) is None
    assert _check.as_real(value) == 2.5
    assert type(_check.as_real(value)) is float
    assert _check.number("rate", value, "a number > 0", lambda rate: rate > 0) == 2.5


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_name(value):
    assert _check.as_integer(value) is None
    assert _check.as_real(value) is None
    with pytest.raises(TypeError, match=r"^count: expected an int >= 1, got"):
        _check.positive_int("count", value)
    with pytest.raises(ValueError, match=r"^size: expected an int >= 1 or a pair"):
        _check.image_size("size", value)
    with pytest.raises(ValueError, match=r"^rate: expected a number > 0, got"):
        _check.number("rate", value, "a number > 0", lambda rate: rate > 0)


@pytest.mark.parametrize(
    "value",
    [(3, 4), [3, 4], torch.Size([3, 4]), np.array([3, 4]), torch.tensor([3, 4]), (np.int32(3), torch.tensor(4))],
    ids=repr,
)
def test_every_form_of_a_pair_is_a_size(value):
    assert _check.image_size("size", value) == (3, 4)
    assert _check.counts("control", value) == (3, 4)


@pytest.mark.parametrize(
    "value",
    [(0, 1, 3, 4), [2, 0, 3, 4], torch.zeros(2, 5, 3, 4).shape, np.array([2, 5, 3, 4]), torch.tensor([2, 5, 3, 4])],
    ids=repr,
)
def test_the_shape_of_a_batch_is_a_size_but_no_number_of_rows_and_columns(value):
    assert _check.image_size("size", value) == (3, 4)
    with pytest.raises(ValueError, match=r"^control: expected an int >= 2 or a pair \(rows, columns\)"):
        _check.counts("control", value, minimum=2)


@pytest.mark.parametrize(
    "value",
    [(3, 0), (3,), (3, 4, 5), (3, 4.5), "34", {3, 4}, torch.zeros(2, 2), np.nan, (-1, 1, 3, 4), (1, True, 3, 4),
     (1, 2, 0, 4), (1, 1, 2, 3, 4), ()],
    ids=repr,
)  # fmt: skip
def test_what_is_no_size_is_refused(value):
    with pytest.raises(ValueError, match=r"^size: expected an int >= 1 or a pair"):
        _check.image_size("size", value)


@pytest.mark.parametrize("value", [2**31, 2**70, (3, 2**63), (1, 1, 2**64, 4), np.int64(2**40)], ids=repr)
def test_a_size_that_torch_cannot_count_is_refused(value):
    with pytest.raises(ValueError, match=r"^size: expected at most 2147483647 pixels on a side, got"):
        _check.image_size("size", value)
    assert _check.image_size("size", 2**31 - 1) == (2**31 - 1,) * 2


@pytest.mark.parametrize("value", [np.array(["a", "b"]), torch.zeros(2), ["a"], None], ids=repr)
def test_what_is_no_choice_is_refused_even_if_it_compares_oddly(value):
    with pytest.raises(ValueError, match=r"^mode: expected one of 'a', 'b', got"):
        _check.choice("mode", value, ("a", "b"))


def test_nan_fits_no_range():
    with pytest.raises(ValueError, match="rate"):
        _check.number("rate", float("nan"), "a number >= 0", lambda rate: rate >= 0)


def test_a_value_that_cannot_be_shown_does_not_break_its_message():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(TypeError, match="got a Silent"):
        _check.positive_int("count", Silent())


def test_a_path_may_begin_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert _check.path("file", "~/x") == tmp_path / "x"
    assert _check.path("file", Path("x")) == Path("x")
    for wrong in (5, None, b"x"):
        with pytest.raises(TypeError, match=r"^file: expected a path, got"):
            _check.path("file", wrong)
