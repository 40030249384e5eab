"""What is run for a living picture: what its cell needs, and no more."""

import doctest

import pytest
import slices
from slices import program_for


def run(sources, last):
    program, value = program_for(sources, last)
    names = {}
    exec(program, names)
    return eval(value, names)


def test_only_what_is_needed_is_run():
    sources = ["import math\nslow = [].x", "a = 2\nb = slow", "c = a + 1\nd = b", "assert c == 3\nc * 2"]
    assert run(sources, 3) == 6


def test_the_latest_value_counts():
    assert run(["a = 1", "a = a + 1", "a += 3", "b = a", "a = [].x\na = 7", "b + a"], 5) == 12


def test_what_a_cell_puts_off_is_not_looked_at():
    """The truth of a guess may need a training."""
    sources = ["trained = [].x", "def truth():\n    return trained\n(truth, lambda: trained)[1] is None"]
    assert run(sources, 1) is False


def test_an_earlier_guess_of_the_same_name_is_not_needed():
    sources = ["model = [].x\nbet = lambda: model", "bet = (1, lambda: model)\nassert bet[0]\nbet[0]"]
    assert run(sources, 1) == 1


def test_functions_and_parts_that_are_set_come_with_what_they_need():
    sources = ["import math\nk = 2", "def twice(x):\n    return k * x", "box = {}\nbox['a'] = twice(3)", "box['a']"]
    assert run(sources, 3) == 6


def test_a_variable_of_a_comprehension_hides_nothing():
    assert run(["x = 5", "y = [x for x in (1, 2)]", "x + sum(y)"], 2) == 8


def test_a_cell_without_a_value():
    with pytest.raises(ValueError, match="ends with a value"):
        program_for(["a = 1"], 0)


def test_the_docstrings_example():
    assert doctest.testmod(slices) == (0, 1)
