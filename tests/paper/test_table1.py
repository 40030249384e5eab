"""The paper's table: cells trained, killed, resumed, merged, read and drawn."""

import errno
import json
import os
import re
import statistics
from pathlib import Path

import pytest
import torch
from run_python import run_python
from safetensors.torch import load_file

import stncourse
from stncourse import BACKGROUND, PAPER_MODELS, PaperNetwork, distort, evaluate, fit, load_digits, normalize
from stncourse.__main__ import main
from stncourse.data.distortions import Distortion, distorted_test
from stncourse.paper.budgets import BUDGETS, Budget
from stncourse.paper.cells import (
    CELLS,
    DISTORTIONS,
    PAPER,
    PAPER_BATCH,
    PAPER_STEPS,
    cell_path,
    choose_cells,
    load_table1,
    load_transformer,
    read_cell,
    read_results,
    table,
)
from stncourse.paper.runs import split_digits
from stncourse.paper.table1 import reproduce

TINY = Budget("tiny", dict.fromkeys(DISTORTIONS, 2), (("FCN", "R"),), 1, batch_size=32, chosen="by dice")
kinds = pytest.mark.parametrize("kind", DISTORTIONS)
#: What everybody asks of a result, first.
FIELDS = ["model", "distortion", "error", "steps", "batch", "parameters", "seconds", "hardware", "versions", "date"]


@pytest.fixture(scope="module")
def digits():
    return [
        load_digits(split, "offline").subset(slice(None, None, step)) for split, step in (("train", 70), ("test", 20))
    ]


@pytest.fixture
def run(digits, tmp_path):
    """``reproduce`` on few digits, into one folder."""

    def run(cells=None, budget=TINY, seeds=None, **options):
        return reproduce(*digits, tmp_path, cells, budget, seeds, "cpu", **options)

    return run


# A run


def test_a_cell_is_written_with_the_fields_of_its_description(run, tmp_path):
    results = run()
    assert results.keys() == {("FCN", "R")}
    cell = json.loads((tmp_path / "fcn_r.json").read_text(encoding="utf-8"))
    assert cell == results["FCN", "R"]
    assert list(cell)[: len(FIELDS)] == FIELDS
    assert list(cell["error"]) == ["mean", "std", "seeds"]
    assert (cell["steps"], cell["batch"], cell["train_digits"], cell["test_digits"]) == (6, 32, 72, 50)
    assert abs(cell["parameters"] - 400_000) < 4000
    assert cell["versions"]["torch"] == torch.__version__
    assert (cell["budget"], cell["chosen"], cell["precision"]) == ("tiny", "by dice", "float32")
    assert cell["recipe"]["epochs"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["fcn_r.json"]  # no checkpoint is left


@pytest.mark.parametrize(("model", "kind"), [("ST-FCN Proj", "P"), ("ST-CNN Aff", "TC")])
def test_the_error_is_that_of_a_network_trained_by_hand(run, digits, tmp_path, model, kind):
    cell = run([(model, kind)])[model, kind]
    train, test = digits
    images = distort(test.images, kind, torch.Generator().manual_seed(1234)).images
    torch.manual_seed(0)
    network = PaperNetwork(model, images.shape[-1])
    history = fit(
        network,
        train,
        recipe=TINY.recipe(kind),
        device="cpu",
        seed=0,
        transform=lambda batch, generator: distort(batch, kind, generator).images,
        verbose=False,
    )
    accuracy = evaluate(network, stncourse.Digits(images, test.labels, "offline"), "cpu").accuracy
    assert cell["error"] == {"mean": round(100 - 100 * accuracy, 4), "std": None, "seeds": [cell["error"]["mean"]]}
    assert cell["runs"][0]["train_loss"] == history.column("train_loss")
    weights = load_file(cell_path(tmp_path, model, kind).with_suffix(".stn.safetensors"))
    assert weights.keys() == network.stn.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in network.stn.state_dict().items())


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_every_model_trains(run, model):
    budget = Budget("one step", dict.fromkeys(DISTORTIONS, 1), (), 1, batch_size=72)
    cell = run([(model, "RTS")], budget)[model, "RTS"]
    assert cell["steps"] == 1
    assert 0 <= cell["error"]["mean"] <= 100


def test_training_digits_are_distorted_anew_in_every_epoch(digits):
    images = digits[0].images[:5] / 255
    transform, generator = Distortion("E", digits[0]), torch.Generator().manual_seed(0)
    assert not torch.equal(transform(images, generator), transform(images, generator))


def test_a_last_batch_of_one_digit_is_cluttered_too(digits):
    images = Distortion("TC", digits[0])(digits[0].images[5:6] / 255, torch.Generator().manual_seed(0))
    assert images.shape == (1, 1, 60, 60)
    assert images.max() <= 1


def test_all_are_measured_on_the_same_distorted_digits(digits):
    first, again = (distorted_test(digits[1], "TC") for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, digits[1].labels)


def test_validation_never_looks_at_the_test_digits(run, digits):
    train, validation = split_digits(*digits, "validation")
    assert (len(train), len(validation)) == (66, 6)
    together = torch.cat([train.images, validation.images])
    assert torch.equal(together, digits[0].images)
    cell = run(measured_on="validation")["FCN", "R"]
    assert (cell["measured_on"], cell["train_digits"], cell["test_digits"]) == ("validation", 66, 6)


# Stopped, resumed, merged


PROGRAM = """
import os, signal, sys
import torch
import stncourse, stncourse.paper.runs
from stncourse.paper.cells import DISTORTIONS
from stncourse.__main__ import main

torch.set_num_threads(1)  # threads do not survive a fork
digits = {split: stncourse.load_digits(split, "offline").subset(slice(None, None, 50)) for split in ("train", "test")}
stncourse.load_digits = lambda split, source: digits[split]
stncourse.paper.budgets.BUDGETS["quick"] = stncourse.paper.budgets.Budget(
    "several epochs", dict.fromkeys(DISTORTIONS, 6), (("FCN", "R"), ("FCN", "E")), 1, batch_size=32
)

def attempt(folder, number=None, writes=0):
    # In a process of its own, which gets a signal after it has written so many files.
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return
    real, count = os.replace, [0]
    def replace(source, target):
        real(source, target)
        count[0] += 1
        if count[0] == writes:
            os.kill(os.getpid(), number)
    os.replace = replace
    sys.stdout = sys.stderr = open(f"{folder}-{writes}.log", "w", encoding="utf-8")
    code = main(["reproduce", "table1", "--device", "cpu", "--out", folder])
    sys.stdout.close()
    os._exit(code)

attempt("whole")
attempt("stopped", signal.SIGKILL, 2)  # R, second epoch
attempt("stopped", signal.SIGINT, 7)  # four more epochs of R, its JSON, two epochs of E
attempt("stopped")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_and_interrupted_it_goes_on_to_the_same_results(tmp_path):
    assert run_python("-c", PROGRAM, cwd=tmp_path).split() == ["0", "-9", "130", "0"]

    def said(writes):
        return (tmp_path / f"stopped-{writes}.log").read_text(encoding="utf-8")

    assert "going on after 2 of 6 epochs" in said(7)
    assert "interrupted after 2 of 6 epochs" in said(7)
    assert "run 1 of 1: FCN on E, seed 0: 6 epochs, about" in said(0)
    assert "going on after 2 of 6 epochs" in said(0)
    for name in ("fcn_r.json", "fcn_e.json"):
        ours, theirs = (read_cell(tmp_path / folder / name) for folder in ("stopped", "whole"))
        assert ours["error"] == theirs["error"]
        assert ours["runs"][0]["train_loss"] == theirs["runs"][0]["train_loss"]
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir()) == ["fcn_e.json", "fcn_r.json"]


def test_seeds_that_are_run_later_join_the_same_cell(run, capsys):
    first = run(seeds=1)["FCN", "R"]
    capsys.readouterr()
    both = run(seeds=2)["FCN", "R"]
    assert "run 1 of 1: FCN on R, seed 1" in capsys.readouterr().out
    assert both["runs"][0] == first["runs"][0]
    assert [entry["seed"] for entry in both["runs"]] == [0, 1]
    errors = both["error"]["seeds"]
    assert errors[0] != errors[1] or both["runs"][0]["train_loss"] != both["runs"][1]["train_loss"]
    assert both["error"]["mean"] == pytest.approx(statistics.fmean(errors), abs=1e-3)
    assert both["error"]["std"] == pytest.approx(statistics.stdev(errors), abs=1e-3)
    run(seeds=2)
    assert "run 1" not in capsys.readouterr().out  # nothing is left to do


def test_seeds_that_another_process_adds_meanwhile_are_kept(run, tmp_path, monkeypatch):
    run(seeds=1)
    path = next(tmp_path.rglob("fcn_r.json"))

    def fit_while_others_write(*arguments, **options):
        history = fit(*arguments, **options)
        others = cell_of([50.0, 55.0, 60.0])
        cell = json.loads(path.read_text(encoding="utf-8")) | {name: others[name] for name in ("error", "runs")}
        path.write_text(json.dumps(cell), encoding="utf-8")
        return history

    monkeypatch.setattr("stncourse.paper.runs.fit", fit_while_others_write)
    runs = run(seeds=2)["FCN", "R"]["runs"]
    assert [entry["seed"] for entry in runs] == [0, 1, 2]
    assert len(runs[1]["train_loss"]) == 2  # our own seed 1, trained; the other's has no losses
    assert runs[2]["error"] == 60.0


def test_all_cells_get_a_seed_before_any_gets_the_next(run, capsys):
    run([("FCN", "E"), ("FCN", "R")], seeds=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ")]
    names = [line.split(": ")[1] for line in lines]
    assert names == ["FCN on E, seed 0", "FCN on R, seed 0", "FCN on E, seed 1", "FCN on R, seed 1"]
    assert all("about" in line and "all that is left: about" in line for line in lines)


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"measured_on": "validation"}, {"budget": "quick"}])
def test_runs_of_another_kind_are_not_mixed(run, options):
    run()
    with pytest.raises(ValueError, match=f"^out: expected runs of FCN on R with {next(iter(options))}"):
        run([("FCN", "R")], seeds=2, **options)


def test_a_cell_from_before_recipes_had_a_setting_is_of_the_same_kind(run, tmp_path):
    run()
    path = next(tmp_path.rglob("fcn_r.json"))
    cell = json.loads(path.read_text(encoding="utf-8"))
    del cell["recipe"]["augment"]
    path.write_text(json.dumps(cell), encoding="utf-8")
    assert len(run([("FCN", "R")], seeds=2)["FCN", "R"]["runs"]) == 2


# Cells and budgets


def test_the_cells_are_all_models_on_all_distortions_each_once():
    assert len(CELLS) == len(set(CELLS)) == len(PAPER_MODELS) * len(DISTORTIONS)
    assert set(PAPER) == set(PAPER_MODELS)
    assert {model for model, _ in CELLS[:10]} == {"ST-CNN Aff", "CNN"}


def test_a_model_with_a_transformer_gets_what_one_without_gets():
    for budget in BUDGETS.values():
        assert set(budget.epochs) == set(DISTORTIONS)
        assert budget.recipe("R") == budget.recipe("R").but(epochs=budget.epochs["R"])
    full = BUDGETS["full"]
    assert max(full.epochs.values()) * -(-60_000 // full.batch_size) * full.batch_size <= PAPER_STEPS * PAPER_BATCH / 10


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["CNN/R"], [("CNN", "R")]),
        (["CNN/R", "*CNN/R"], [("CNN", "R")]),
        (["ST-CNN Aff"], [("ST-CNN Aff", kind) for kind in DISTORTIONS]),
        (["FCN/TC", "ST-FCN*/TC"], [("FCN", "TC"), *((f"ST-FCN {f}", "TC") for f in ("Aff", "Proj", "TPS"))]),
    ],
)
def test_cells_are_chosen_by_pattern(patterns, expected):
    assert choose_cells(patterns) == expected


def test_a_pattern_that_names_no_cell_is_refused():
    with pytest.raises(ValueError, match=r"^cells: expected MODEL/DISTORTION"):
        choose_cells(["CNN/R", "RNN"])


@pytest.mark.parametrize(
    ("options", "name"),
    [({"budget": "huge"}, "budget"), ({"precision": "int8"}, "precision"), ({"measured_on": "train"}, "measured_on")],
)
def test_errors_name_the_argument(run, options, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        run(**options)


# Files


def cell_of(errors, **changes):
    """A sound cell with these errors."""
    error = {
        "mean": round(statistics.fmean(errors), 4),
        "std": round(statistics.stdev(errors), 4) if len(errors) > 1 else None,
        "seeds": errors,
    }
    cell = {"model": "CNN", "distortion": "R", "error": error, "steps": 5, "batch": 3, "parameters": 7, "seconds": 1.0}
    cell |= {"hardware": "abacus", "versions": {}, "date": "2026-11-25", "budget": "tiny", "recipe": {}}
    cell |= {"precision": "float32", "measured_on": "test", "train_digits": 8, "test_digits": 9, "chosen": ""}
    cell["runs"] = [{"seed": seed, "error": value, "seconds": 1.0} for seed, value in enumerate(errors)]
    return cell | changes


def test_a_sound_cell_is_read(tmp_path):
    (tmp_path / "cnn_r.json").write_text(json.dumps(cell_of([1.0, 2.0])))
    assert read_results(tmp_path) == {("CNN", "R"): cell_of([1.0, 2.0])}


RUN = {"seed": 0, "error": 1.0, "seconds": 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a whole one"),
        (json.dumps(cell_of([1.0]))[:-9], "not a whole one"),
        ("[" * 100_000, "not a whole one"),
        ("[]", "is list"),
        (json.dumps(cell_of([1.0], steps="5")), "'steps' is str '5'"),
        (json.dumps(cell_of([1.0], steps=True)), "'steps' is bool True"),
        (json.dumps(cell_of([1.0], steps=-5)), "'steps' is -5"),
        (json.dumps(cell_of([1.0], model="RNN")), "there is no cell 'RNN' on 'R'"),
        (json.dumps(cell_of([1.0], distortion={}.__class__.__name__)), "there is no cell 'CNN' on 'dict'"),
        (json.dumps(cell_of([1.0], error={"mean": 0.1, "std": None, "seeds": [0.1]})), "its runs say"),
        (json.dumps(cell_of([1.0], runs=[])), "'runs' are not runs"),
        (json.dumps(cell_of([1.0], runs=[1.0])), "'runs' are not runs"),
        (json.dumps(cell_of([1.0], runs=[RUN | {"error": float("nan")}])), "'runs' are not runs"),
        (json.dumps(cell_of([1.0], runs=[RUN | {"error": -1.0}])), "'runs' are not runs"),
        (json.dumps(cell_of([1.0], runs=[RUN | {"error": "1.0"}])), "'runs' are not runs"),
        (json.dumps(cell_of([1.0], runs=[RUN | {"seed": [0]}])), "'runs' are not runs"),
        (json.dumps(cell_of([1.0, 1.0], runs=[RUN, RUN])), "a seed comes twice"),
        (json.dumps({k: v for k, v in cell_of([1.0]).items() if k != "date"}), "'date' is missing"),
    ],
)
def test_what_is_no_sound_cell_is_refused(tmp_path, text, message):
    path = tmp_path / "cnn_r.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^path: expected a cell's JSON, .*cnn_r\.json") as error:
        read_cell(path)
    assert message in str(error.value)


def test_a_cell_under_another_cells_name_is_refused(tmp_path):
    (tmp_path / "cnn_p.json").write_text(json.dumps(cell_of([1.0])))
    with pytest.raises(ValueError, match="under its own name"):
        read_results(tmp_path)


def test_a_broken_file_stops_the_run_before_it_starts(run, tmp_path):
    (tmp_path / "cnn_r.json").write_text("{}")
    with pytest.raises(ValueError, match="'model' is missing"):
        run()


# What ships


def test_the_cells_that_ship_are_sound_and_all_that_the_paper_has_are_there():
    results = load_table1()
    assert {(model, kind) for model, errors in PAPER.items() for kind in errors} <= results.keys()
    folder = Path(stncourse.__file__).parent / "assets" / "table1"
    for (model, kind), cell in results.items():
        assert cell["measured_on"] == "test"
        assert (cell["train_digits"], cell["test_digits"]) == (60_000, 10_000)
        assert cell["steps"] <= PAPER_STEPS / 10
        assert cell["batch"] <= PAPER_BATCH
        assert cell["recipe"] == results["CNN", kind]["recipe"]
        weights = cell_path(folder, model, kind).with_suffix(".stn.safetensors")
        if "ST-CNN" in model:  # there, and small
            assert weights.stat().st_size < 200_000


@kinds
def test_a_transformer_that_ships_is_better_than_none(kind):
    """It has learned something: digits of a class come out more alike than they went in."""
    digits = load_digits("test", "offline")
    images = normalize(distort(digits.images, kind, torch.Generator().manual_seed(0)).images)
    stn = load_transformer("ST-CNN Aff", kind)
    untrained = PaperNetwork("ST-CNN Aff", images.shape[-1]).stn
    spreads = []
    for transformer in (untrained, stn):
        with torch.no_grad():
            seen = transformer(images)
        own = [seen[digits.labels == digit] for digit in range(10)]
        spreads.append(sum(images.var(0).mean() / (images - BACKGROUND).square().mean() for images in own))
    assert spreads[1] < 0.97 * spreads[0]


def test_a_transformer_that_does_not_ship_is_said_so():
    with pytest.raises(FileNotFoundError):
        load_transformer("ST-FCN TPS", "E")


# The table


def test_the_table_shows_paper_and_ours_and_what_was_not_run():
    results = {
        ("CNN", "R"): cell_of([1.0]),
        ("ST-CNN Aff", "TC"): cell_of([1.5, 2.5, 3.5], model="ST-CNN Aff", distortion="TC"),
    }
    text = table(results)
    assert len({len(line) for line in text.splitlines()}) == 1  # in columns, also where nothing draws Markdown
    lines = re.sub(" +", " ", text).splitlines()
    assert lines[0] == "| paper / ours | R | RTS | P | E | TC |"
    assert lines[1] == "| --- | --- | --- | --- | --- | --- |"
    assert lines[3] == "| CNN | 1.2 / 1.00 | 0.8 / not run | 1.5 / not run | 1.4 / not run | 3.5 / not run |"
    assert lines[7].startswith("| ST-CNN Aff | 0.7 / not run |")
    assert lines[7].endswith("| 1.7 / 2.50 ± 1.00 |")
    assert lines[9].endswith("| – / not run |")  # the paper has no TPS on TC
    assert len(lines) == 2 + len(PAPER_MODELS)


def test_a_cell_is_replaced_whole_or_not_at_all(run, tmp_path, monkeypatch):
    run(seeds=1)
    path = tmp_path / "fcn_r.json"
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space"), pytest.warns(UserWarning, match="could not write"):
        run(seeds=2)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["fcn_r.json"]
    monkeypatch.undo()
    (tmp_path / ".fcn_r.json.new").symlink_to(tmp_path / "victim")
    run(seeds=2)
    assert len(read_cell(path)["runs"]) == 2
    assert not (tmp_path / "victim").exists()


def test_a_folder_that_cannot_be_made_or_written_is_named(digits, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OSError, match=r"^out: expected a folder"):
            reproduce(*digits, out, budget=TINY, device="cpu")
    with pytest.raises(TypeError, match=r"^out: expected a path"):
        reproduce(*digits, 3, budget=TINY, device="cpu")


# The command


def test_the_command_trains_and_prints_the_table(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stncourse, "load_digits", lambda split, source: digits[split == "test"])
    monkeypatch.setitem(BUDGETS, "standard", TINY)
    arguments = ["reproduce", "table1", "--cells", "FCN/P", "--budget", "standard", "--seeds", "2", "--device", "cpu"]
    assert main([*arguments, "--out", str(tmp_path / "new")]) == 0
    cell = read_cell(tmp_path / "new" / "fcn_p.json")
    assert [entry["seed"] for entry in cell["runs"]] == [0, 1]
    mean, std = cell["error"]["mean"], cell["error"]["std"]
    assert f"| FCN | 2.1 / not run | 5.2 / not run | 3.1 / {mean:.2f} ± {std:.2f} |" in re.sub(
        " +", " ", capsys.readouterr().out
    )
    assert main([*arguments, "--out", str(tmp_path / "new"), "--precision", "bfloat16", "--seeds", "3"]) == 1
    assert "out: expected runs of FCN on P with precision 'bfloat16'" in capsys.readouterr().err


@pytest.mark.gpu
def test_a_gpu_trains_a_cell(digits, tmp_path):
    cell = reproduce(*digits, tmp_path, [("ST-CNN TPS", "TC")], TINY, 1, "cuda")["ST-CNN TPS", "TC"]
    assert torch.cuda.get_device_name() in cell["hardware"]
