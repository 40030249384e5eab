"""Recorded runs of notebook 09 (lines.json) are what their script says, and what the page says."""

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
