"""Recorded runs of notebooks 09 and 12 (lines.json, looks.json) are what their scripts say, and what the pages say."""

import json
from importlib import resources
from itertools import product

import pytest


def recorded(name):
    return json.loads((resources.files("stncourse") / "assets" / name).read_text(encoding="utf-8"))


def mean(rows, key):
    return sum(row[key] for row in rows) / len(rows)


def test_bent_lines_are_read_best_through_a_sheet_and_no_rate_was_chosen_on_test_lines():
    record, seeds = recorded("lines.json"), (0, 1, 2)
    families = ("none", "affine", "thin plate", "none, as long")
    rows = {name: [row for row in record["runs"] if row["family"] == name] for name in families}
    assert sorted((row["family"], row["seed"]) for row in record["runs"]) == sorted(product(families, seeds))
    best_of_the_others = max(mean(rows[name], "right") for name in families if name != "thin plate")
    assert mean(rows["thin plate"], "right") > best_of_the_others + 2
    assert mean(rows["affine"], "right") < mean(rows["none"], "right")
    for family in ("affine", "thin plate"):
        choices = [row for row in record["validation"] if row["family"] == family]
        best = max(choices, key=lambda row: row["right"])["factor"]
        assert len(choices) > 1
        assert {row["factor"] for row in rows[family]} == {best}
    # "as long" costs about what the sheet costs, and its reader is the larger of the two
    assert mean(rows["none, as long"], "cpu_seconds") == pytest.approx(mean(rows["thin plate"], "cpu_seconds"), rel=0.4)
    assert rows["none"][0]["parameters"] > rows["thin plate"][0]["parameters"]


def test_looks_differ_in_their_number_alone():
    rows = recorded("looks.json")
    assert {(row["looks"], row["epochs"]) for row in rows} >= {(1, 4), (2, 4), (3, 4)}
    assert len({row["parameters"] for row in rows}) == 1
    by_looks = {n: [row for row in rows if (row["looks"], row["epochs"]) == (n, 4)] for n in (1, 2, 3)}
    assert all(sorted(row["seed"] for row in some) == [0, 1, 2] for some in by_looks.values())
    errors = [mean(some, "error") for some in by_looks.values()]
    assert errors == sorted(errors, reverse=True)
    seconds = [mean(some, "cpu_seconds") for some in by_looks.values()]
    assert seconds == sorted(seconds)
