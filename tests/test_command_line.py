"""``python -m stncourse``: files written, mistakes refused."""

import json
import sys
import types
from dataclasses import asdict

import pytest
import torch
from run_python import run_python
from safetensors import safe_open
from safetensors.torch import load_file

import stncourse
from stncourse import FAST_RECIPE, KINDS, DigitCNN, History, STNClassifier, distort, evaluate, fit, load_digits
from stncourse.__main__ import main

FAST = ["train", "--source", "offline", "--recipe", "fast", "--epochs", "1", "--device", "cpu"]


@pytest.fixture
def few_digits(monkeypatch):
    """The command then works on a few offline digits."""
    digits = {split: load_digits(split, "offline").subset(slice(None, None, 20)) for split in ("train", "test")}
    monkeypatch.setattr(stncourse, "load_digits", lambda split, source: digits[split])
    return digits


def info_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["info"])


def test_train_writes_weights_and_history(tmp_path, capsys):
    weights, record = tmp_path / "stn.safetensors", tmp_path / "history.json"
    assert main([*FAST, "--save", str(weights), "--history", str(record)]) == 0
    assert "test accuracy" in capsys.readouterr().out
    model = STNClassifier()
    model.load_state_dict(load_file(weights))
    history = History.load(record)
    assert history.column("epoch") == [1]
    accuracy = evaluate(model, load_digits("test", "offline"), "cpu").accuracy
    assert accuracy == history.column("test_accuracy")[-1] == info_of(weights)["test_accuracy"]
    assert accuracy > 0.6
    assert info_of(weights)["train_digits"] == 5000


def test_the_saved_weights_are_those_that_fit_makes(few_digits, tmp_path):
    main([*FAST, "--seed", "4", "--save", str(tmp_path / "stn.safetensors")])
    torch.manual_seed(4)
    model = STNClassifier()
    fit(model, few_digits["train"], recipe=FAST_RECIPE, device="cpu", seed=4, verbose=False)
    saved = load_file(tmp_path / "stn.safetensors")
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_train_with_distortion_learns_and_measures_on_distorted_digits(few_digits, tmp_path, kind):
    weights = tmp_path / "cnn.safetensors"
    main([*FAST, "--model", "cnn", "--distortion", kind, "--save", str(weights)])
    info = info_of(weights)
    assert (info["model"], info["distortion"], info["seed"]) == ("cnn", kind, 0)
    test = few_digits["test"]
    images = distort(test.images, kind, torch.Generator().manual_seed(1234)).images
    model = DigitCNN(tuple(images.shape[-2:]))  # RTS and TC lie on a larger canvas
    model.load_state_dict(load_file(weights))
    measured = evaluate(model, stncourse.Digits(images, test.labels, "offline"), "cpu").accuracy
    assert measured == info["test_accuracy"]


def test_epochs_default_to_the_recipes(few_digits, tmp_path):
    record = tmp_path / "history.json"
    main(["train", "--source", "offline", "--recipe", "fast", "--device", "cpu", "--history", str(record)])
    assert History.load(record).recipe["epochs"] == FAST_RECIPE.epochs


@pytest.mark.parametrize("recipe", [stncourse.TUTORIAL_RECIPE, stncourse.FAST_RECIPE, stncourse.BEST_RECIPE])
def test_recipes_go_by_their_names(few_digits, tmp_path, recipe):
    record = tmp_path / "history.json"
    options = ["--source", "offline", "--device", "cpu", "--epochs", "1", "--history", str(record)]
    main(["train", "--recipe", recipe.name, "--model", "cnn", *options])
    assert History.load(record).recipe == asdict(recipe.but(epochs=1))


def test_without_files_nothing_is_written(few_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(FAST) == 0
    assert not list(tmp_path.iterdir())


def test_mnist_that_cannot_be_had_is_one_sentence_and_exit_code_1(monkeypatch, capsys):
    def fail(split, source):
        raise stncourse.MNISTUnavailable("no network")

    monkeypatch.setattr(stncourse, "load_digits", fail)
    assert main(["train", "--source", "mnist"]) == 1
    assert capsys.readouterr().err == "no network\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: command"),
        (["dance"], "invalid choice: 'dance'"),
        (["train", "--recipe", "slow"], "--recipe: invalid choice: 'slow'"),
        (["train", "--model", "resnet"], "--model: invalid choice: 'resnet'"),
        (["train", "--distortion", "X"], "--distortion: invalid choice: 'X'"),
        (["train", "--source", "web"], "--source: invalid choice: 'web'"),
        (["train", "--epochs", "0"], "--epochs: expected a whole number, at least 1, got '0'"),
        (["train", "--epochs", "many"], "--epochs: expected a whole number, at least 1, got 'many'"),
        (["train", "--epochs", "1.5"], "--epochs: expected a whole number, at least 1, got '1.5'"),
        (["train", "--seed=-1"], "--seed: expected a whole number, at least 0, got '-1'"),
        (["train", "--device", "gpu"], "--device: expected 'auto' or a torch device name such as 'cpu', got 'gpu'"),
        (["train", "--save", "no/such/folder/a.safetensors"], "does not exist"),
        (["train", "--history", "no/such/folder/a.json"], "does not exist"),
        (["train", "--save", "."], "is a folder, not a file"),
        (["train", "--speed", "9"], "unrecognized arguments: --speed 9"),
        (["reproduce", "table2"], "invalid choice: 'table2'"),
        (["reproduce", "table1", "--cells", "RNN/R"], "--cells: expected MODEL/DISTORTION"),
        (["reproduce", "table1", "--budget", "endless"], "--budget: invalid choice"),
        (["reproduce", "table1", "--seeds", "0"], "--seeds: expected a whole number, at least 1, got '0'"),
        (["reproduce", "table1", "--device", "abacus"], "--device: expected"),
    ],
)
def test_mistakes_exit_with_2_and_a_clear_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["doctor", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 0
    assert "usage: python -m stncourse" in capsys.readouterr().out


def test_doctor_reports_and_its_result_is_the_exit_code(monkeypatch):
    monkeypatch.setitem(sys.modules, "stncourse.doctor", types.SimpleNamespace(report=lambda: 3))
    assert main(["doctor"]) == 3


def test_the_package_runs_as_a_module():
    assert "--recipe {tutorial,fast,best}" in run_python("-m", "stncourse", "train", "--help")


def test_playground_writes_a_page_that_needs_nothing_else(tmp_path, capsys):
    page = tmp_path / "theta.html"
    assert main(["playground", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert "$script" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert f"{page}: {len(text) / 1000:.0f} kB" in capsys.readouterr().out
