"""The package as a whole: names, rooms, import cost, doctests, version."""

import doctest
import importlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from run_python import run_python

import stncourse

ROOT = Path(stncourse.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
)

# Names


def test_all_is_sorted_and_complete():
    assert stncourse.__all__ == sorted(set(stncourse.__all__))
    assert set(stncourse.__all__) <= set(dir(stncourse))


@pytest.mark.parametrize("name", stncourse.__all__)
def test_public_names_can_be_imported_and_are_documented(name):
    value = getattr(stncourse, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert value.__module__.startswith("stncourse.")
        # dataclasses and named tuples write a signature where a docstring is missing
        assert value.__doc__, f"{name} has no docstring"
        assert not value.__doc__.startswith(f"{name}("), f"{name} has no docstring of its own"


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_their_public_functions_have_docstrings(name):
    module = importlib.import_module(f"stncourse.{name}")
    assert module.__doc__
    for key, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and not key.startswith("_") and key != "main" and (inspect.isclass(value) or inspect.isfunction(value)):
            assert value.__doc__, f"{name}.{key} has no docstring"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'stncourse' has no attribute 'SpacialTransformer'"):
        _ = stncourse.SpacialTransformer


# The rooms of the house: the contract is in pyproject.toml


def imports_checked_in(folder):
    """import-linter's verdict on the package in a folder, by this project's contract."""
    shutil.copy(ROOT.parent / "pyproject.toml", folder)
    command = (
        "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command(['--no-cache']))"
    )
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("room", "statement", "broken"),
    [
        (None, "", ""),
        (
            "transformer/grids.py",
            "from stncourse.data import digits",
            "transformer is not allowed to import stncourse.data",
        ),
        (
            "data/mnist.py",
            "def f():\n    from stncourse.training.fit import fit",
            "data is not allowed to import stncourse.training",
        ),
        (
            "paper/cells.py",
            "import stncourse.playground.scene",
            "paper is not allowed to import stncourse.playground",
        ),
        ("attic.py", "", "attic"),
    ],
)
def test_a_room_imports_only_from_rooms_below_it(tmp_path, room, statement, broken):
    shutil.copytree(ROOT, tmp_path / "stncourse", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    (tmp_path / "stncourse" / "assets").mkdir()
    if room:
        with (tmp_path / "stncourse" / room).open("a", encoding="utf-8") as file:
            file.write(f"\n{statement}\n")
    verdict = imports_checked_in(tmp_path)
    said = verdict.stdout + verdict.stderr
    assert (verdict.returncode == 0) == (room is None), said
    assert broken in said


# Import cost


@pytest.mark.parametrize(
    "statement",
    ["import stncourse", "from stncourse import STNClassifier, affine_grid, distort, load_digits, Recipe"],
)
def test_importing_does_not_load_what_few_need(statement):
    heavy = {"torchvision", "matplotlib", "ipywidgets", "anywidget", "IPython"}
    code = f"{statement}; import sys, json; print(json.dumps(sorted(set(sys.modules) & {heavy!r})))"
    assert json.loads(run_python("-c", code)) == []


# Doctests


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name, monkeypatch, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)  # should an example write a file
    module = importlib.import_module(f"stncourse.{name}")
    names = {key: getattr(stncourse, key) for key in stncourse.__all__} | {"torch": torch, "stncourse": stncourse}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = io.StringIO()
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names):
        torch.manual_seed(0)
        with redirect_stdout(report):
            runner.run(example, out=report.write)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
    assert runner.summarize(verbose=False).failed == 0, report.getvalue()


# Version


def test_the_version_is_that_of_pyproject():
    pyproject = ROOT.parent / "pyproject.toml"
    if not pyproject.exists():
        pytest.skip("not in a checkout")
    assert tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"] == stncourse.__version__
