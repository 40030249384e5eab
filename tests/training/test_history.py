"""The record of a run: saved, loaded, and the recorded ones that the course ships."""

import errno
import json
import os
from importlib import resources
from itertools import product

import numpy as np
import pytest
import torch
from short_trainings import TEST, make, quick_fit

from stncourse import BEST_RECIPE, FAST_RECIPE, TUTORIAL_RECIPE, History, Recipe, load_recorded


def test_a_history_survives_saving_and_loading(tmp_path):
    history = quick_fit(make(), FAST_RECIPE.but(epochs=2), test=TEST, probe=TEST.images[:2], probe_every=3)
    history.info["note"] = "θ → input"
    history.save(tmp_path / "history.json")
    assert History.load(tmp_path / "history.json") == history
    assert Recipe(**history.recipe) == FAST_RECIPE.but(epochs=2)


def test_a_history_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "history.json"
    old = History({"name": "old"})
    old.save(str(path))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        History({"name": "new"}).save(path)
    monkeypatch.undo()
    with pytest.raises(TypeError):
        History({"name": {1}}).save(path)
    assert History.load(path) == old
    assert os.listdir(tmp_path) == ["history.json"]


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    History({}).save("~/history.json")
    assert (tmp_path / "history.json").exists()
    assert History.load("~/history.json") == History({})


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", "null", '"text"', "{}", '{"recipe": {}, "code": 1}', '{"recipe": []}',
        '{"recipe": {}, "epochs": {}}', '{"recipe": {}, "epochs": [1]}', '{"recipe": {}, "theta": "abc"}',
        '{"recipe": {}, "info": null}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_history_is_refused_by_name(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^path: expected a history's JSON, .*history\.json is none, or not a"):
        History.load(path)
    path.write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(ValueError, match=r"^path: expected a history's JSON"):
        History.load(path)
    with pytest.raises(FileNotFoundError, match=r"^path: expected a history's JSON, there is none"):
        History.load(tmp_path / "none.json")


def test_the_recorded_run_is_the_tutorial_on_all_of_mnist():
    history = load_recorded()
    assert history.column("epoch") == list(range(1, 21))
    assert Recipe(**history.recipe) == TUTORIAL_RECIPE
    assert 0.985 <= history.column("test_accuracy")[-1] <= 1
    assert history.column("train_loss")[-1] < 0.5 * history.column("train_loss")[0]
    assert history.info["train_digits"] == 60_000
    assert history.info["source"] == "mnist"
    assert {"seed", "hardware", "date", "versions"} <= history.info.keys()


def recorded(name):
    return json.loads((resources.files("stncourse") / "assets" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("recipe", "least"), [(FAST_RECIPE, 0.9877), (BEST_RECIPE, 0.99)])
def test_the_recorded_results_are_of_the_recipes_as_they_are(recipe, least):
    runs = [run for run in recorded("recipes.json")["runs"] if run["recipe"]["name"] == recipe.name]
    # A setting that recipes did not have then had its default.
    assert [Recipe(**run["recipe"]) for run in runs] == [recipe] * 3
    assert sorted(run["seed"] for run in runs) == [0, 1, 2]
    assert all(least <= run["test_accuracy"] <= 1 for run in runs)
    assert all(run["train_digits"] == 60_000 and run["source"] == "mnist" for run in runs)
    assert all({"hardware", "versions", "date", "cpu_seconds"} <= run.keys() for run in runs)


def test_the_recorded_comparison_is_matched_in_parameters_and_seeds():
    record = recorded("with_and_without_stn.json")
    for distortion in ("none", "R", "RTS"):
        runs = [run for run in record["runs"] if run["distortion"] == distortion]
        assert sorted((run["network"], run["seed"]) for run in runs) == [
            (network, seed) for network in ("CNN", "CNN + STN") for seed in (0, 1, 2)
        ]
        alone, with_stn = ({run["parameters"] for run in runs if run["network"] == n} for n in ("CNN", "CNN + STN"))
        assert len(alone) == len(with_stn) == 1
        assert alone.pop() == pytest.approx(with_stn.pop(), rel=0.02)
        # The localization network's rate was chosen on validation digits, and is the one that the runs have.
        choices = [run for run in record["validation"] if run["distortion"] == distortion]
        best = min(choices, key=lambda run: run["error"], default={"localization_factor": 0.1})
        factors = {run["localization_factor"] for run in runs if run["network"] == "CNN + STN"}
        assert factors == {best["localization_factor"]}


def test_the_recorded_starts_are_of_the_recipes_as_they_are_and_say_what_notebook_02_says():
    runs = recorded("starts.json")["runs"]
    starts = ("identity", "bias only", "random")
    for name, recipe in {"tutorial": TUTORIAL_RECIPE.but(epochs=5), "fast": FAST_RECIPE}.items():
        rows = [run for run in runs if run["recipe"] == name]
        assert sorted((run["start"], run["seed"]) for run in rows) == sorted(product(starts, (0, 1, 2)))
        assert [Recipe(**run["settings"]) for run in rows] == [recipe] * 9
        assert all(run["train_digits"] == 55_000 and run["source"] == "mnist" for run in rows)
        assert all(len(run["accuracy"]) == recipe.epochs + 1 for run in rows)  # before the training, too
        after = {start: [run["accuracy"][-1] for run in rows if run["start"] == start] for start in starts}
        # Slower, not impossible: every random start learns, and none as fast as the identity with the same seed.
        assert min(after["random"]) > 0.9
        assert all(later < sooner for later, sooner in zip(after["random"], after["identity"], strict=True))
        areas = {start: [run["area"][0]["area"] for run in rows if run["start"] == start] for start in starts}
        assert max(areas["random"]) < 0.02
        assert set(areas["identity"]) == {1.0}


def test_numbers_of_numpy_and_torch_are_written_as_numbers(tmp_path):
    numbers = {"a": np.float32(0.5), "b": torch.tensor(2), "c": np.arange(2)}
    History({}, [numbers]).save(tmp_path / "h.json")
    assert History.load(tmp_path / "h.json").epochs == [{"a": 0.5, "b": 2, "c": [0, 1]}]
    with pytest.raises(TypeError, match=r"^history: expected what JSON can hold, got object"):
        History({}, [{"a": object()}]).save(tmp_path / "h.json")
