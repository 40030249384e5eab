"""``python -m stncourse``: files written, mistakes refused."""

import errno
import importlib
import io
import json
import os
import subprocess
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
from stncourse.paper import EXPERIMENTS

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
        (["reproduce"], "required: experiment"),
        (["reproduce", "table2"], "invalid choice: 'table2'"),
        (
            ["reproduce", "addition", "--cells", "ST-CNN Aff"],
            "--cells: expected MODEL/DISTORTION with FCN, CNN, ST-FCN",
        ),
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


# Paths, before the first step

NO_SUCH_FOLDER = "no/such/folder/a.html"
#: A folder in which nobody can make a file, whatever their rights.
CLOSED = next((folder for folder in ("/proc", "/dev/fd") if os.path.isdir(folder)), None)
OUTPUTS = [
    [*FAST, "--save"],
    [*FAST, "--history"],
    [*FAST, "--checkpoint"],
    ["reproduce", "table1", "--out"],
    ["reproduce", "addition", "--out"],
    ["playground"],
    ["grade", "any.ipynb", "--report"],
]
outputs = pytest.mark.parametrize("arguments", OUTPUTS, ids=lambda given: given[-1])


def one_sentence(capsys, code=2):
    err = capsys.readouterr().err
    assert "Traceback" not in err
    line = err.splitlines()[-1]
    assert line.startswith("python -m stncourse")
    return line


@pytest.fixture
def nothing_is_done(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("it went on")

    ours = "data.mnist.load_digits", "training.fit.fit", "paper.runs.reproduce", "playground.page.page"
    for name in ours:  # first, so that none of them is imported with what fails in it, and keeps it
        importlib.import_module(f"stncourse.{name.rpartition('.')[0]}")
    for name in ("load_digits", *ours):
        monkeypatch.setattr(f"stncourse.{name}", fail)
    monkeypatch.setattr("stncourse.exercises.engine.grade.grade", fail)


@pytest.mark.skipif(CLOSED is None, reason="needs a folder that nobody can write into")
@outputs
def test_a_folder_that_cannot_be_written_is_said_before_anything_is_done(arguments, nothing_is_done, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([*arguments, f"{CLOSED}/stncourse"])
    assert exit_info.value.code == 2
    assert f"cannot write into the folder {CLOSED}" in one_sentence(capsys)


@outputs
def test_a_file_in_the_way_is_said_before_anything_is_done(arguments, nothing_is_done, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as exit_info:
        main([*arguments, str(tmp_path / "file" / "a")])
    assert exit_info.value.code == 2
    assert "file" in one_sentence(capsys)


@pytest.mark.parametrize("arguments", [given for given in OUTPUTS if given[-1] != "--out"], ids=lambda given: given[-1])
def test_a_folder_for_a_file_is_said_before_anything_is_done(arguments, nothing_is_done, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([*arguments, str(tmp_path)])
    assert exit_info.value.code == 2
    assert "is a folder, not a file" in one_sentence(capsys)
    with pytest.raises(SystemExit) as exit_info:
        main([*arguments, NO_SUCH_FOLDER])
    assert exit_info.value.code == 2
    assert "does not exist" in one_sentence(capsys)


@pytest.mark.skipif(CLOSED is None, reason="needs a folder that nobody can write into")
def test_a_report_that_cannot_lie_beside_the_notebook_is_said_first(nothing_is_done, monkeypatch, tmp_path, capsys):
    notebook = tmp_path / "01.ipynb"
    notebook.write_text("{}")
    refused = OSError("path: cannot write into the folder")
    monkeypatch.setattr("stncourse._files.check_writable", lambda name, path: (_ for _ in ()).throw(refused))
    with pytest.raises(SystemExit) as exit_info:
        main(["grade", str(notebook)])
    assert exit_info.value.code == 2
    assert "give --report NAME" in one_sentence(capsys)


def test_two_outputs_in_one_file_are_refused(nothing_is_done, tmp_path, capsys):
    path = str(tmp_path / "a")
    for one, other in (("save", "history"), ("history", "checkpoint"), ("save", "checkpoint")):
        with pytest.raises(SystemExit) as exit_info:
            main([*FAST, f"--{one}", path, f"--{other}", str(tmp_path / ".." / tmp_path.name / "a")])
        assert exit_info.value.code == 2
        assert f"argument --{other}: expected another file than --{one}'s" in one_sentence(capsys)


def test_a_home_folder_is_understood(few_digits, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert main([*FAST, "--save", "~/w", "--history", "~/h"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h", "w"]


@pytest.mark.parametrize("broken", ["save", "history"])
def test_what_can_be_written_is_written_when_the_other_cannot(few_digits, broken, tmp_path, monkeypatch, capsys):
    paths = {name: tmp_path / name for name in ("save", "history")}
    real = os.replace

    def replace(source, target):
        if os.path.basename(target) == broken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert main([*FAST, "--save", str(paths["save"]), "--history", str(paths["history"])]) == 1
    assert f"--{broken}: could not write {paths[broken]}" in capsys.readouterr().err
    (other,) = paths.keys() - {broken}
    assert os.listdir(tmp_path) == [other]


def test_a_page_that_cannot_be_written_is_a_sentence_and_the_old_one_stays(tmp_path, monkeypatch, capsys):
    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    assert main(["playground", str(path)]) == 1
    assert "could not write" in capsys.readouterr().err
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_full_disk_during_the_training_is_a_sentence(few_digits, tmp_path, monkeypatch, capsys):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("stncourse.training.fit.fit", full)
    assert main(FAST) == 1
    assert "No space" in capsys.readouterr().err


# Seeds, the version, and terminals of few letters


@pytest.mark.parametrize("seed", [str(2**64), "99999999999999999999", "9" * 5000, "-1", "1.5", "one", ""])
def test_a_seed_that_is_none_is_one_sentence(seed, nothing_is_done, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([*FAST, f"--seed={seed}"])
    assert exit_info.value.code == 2
    assert "argument --seed: expected a whole number" in one_sentence(capsys)


def test_the_largest_seed_trains(few_digits, tmp_path):
    assert main([*FAST, "--seed", str(2**64 - 1), "--history", str(tmp_path / "h")]) == 0
    assert History.load(tmp_path / "h").info["seed"] == 2**64 - 1


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"stncourse {stncourse.__version__}\n"


ENCODINGS = ["ascii", "cp1252", "cp932"]
COMMANDS = [
    ["--help"],
    *([command, "--help"] for command in ("train", "reproduce", "playground", "grade", "doctor")),
    *(["reproduce", name, "--help"] for name in EXPERIMENTS),
    [*FAST, "--seed", "3", "--save", "gewählt-θ.safetensors"],
    [*FAST, "--model", "cnn", "--save", "none/θ"],
    ["playground", "θ.html"],
    ["reproduce", "table1", "--cells", "θ"],
    ["grade", "θ.ipynb"],
    ["doctor"],
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: "_".join(arguments[:2]).replace("--", ""))
def test_every_command_speaks_to_a_terminal_of_few_letters(arguments, encoding, few_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    said = b"".join(stream.buffer.getvalue() for stream in streams.values()).decode(encoding)
    assert code in (0, 1, 2)
    assert said
    assert "UnicodeEncodeError" not in said
    for stream in streams.values():
        assert stream.errors == "backslashreplace"


def test_what_a_terminal_can_show_and_who_handles_it_otherwise_stay_as_they_are(monkeypatch):
    kept = io.TextIOWrapper(io.BytesIO(), "ascii", errors="ignore")
    monkeypatch.setattr(sys, "stdout", kept)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(SystemExit):
        main(["--version"])
    assert kept.errors == "ignore"
    utf8 = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", utf8)
    with pytest.raises(SystemExit):
        main(["playground", "--help"])
    assert "θ playground" in utf8.buffer.getvalue().decode()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_as_a_program_too(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    run = subprocess.run(
        [sys.executable, "-m", "stncourse", "--help"], env=environment, capture_output=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert b"playground" in run.stdout


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
    addresses = text.replace("http://www.w3.org/2000/svg", "")  # the name of a language
    assert "http:" not in addresses
    assert "https:" not in addresses
    assert f"{page}: {page.stat().st_size / 1000:.0f} kB" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "reproduce table1", "playground a.html", "grade a.ipynb", "doctor"])
def test_ctrl_c_at_any_moment_is_one_sentence_and_exit_code_130(command, tmp_path):
    """Here while a command imports what it needs."""
    program = (
        "import sys\nfrom stncourse.__main__ import main\n"
        "class Interrupting:\n"
        "    def find_spec(name, *_):\n"
        "        if name in ('torch', 'stncourse.doctor'): raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting)\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *command.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (130, "interrupted\n", "")
