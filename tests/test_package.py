"""The package as a whole: names, floors, import cost, doctests, version."""

import ast
import doctest
import importlib
import inspect
import io
import json
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from run_python import run_python

import stncourse

ROOT = Path(stncourse.__file__).parent
MODULES = sorted([path.stem for path in ROOT.glob("*.py") if path.stem != "__init__"] + ["exercises"])

# A module imports only from lower floors. A module of a name that is not here is refused: give it a floor.
FLOORS = {
    "_check": -1,
    "_precision": -1,
    "_modes": -1,
    "_files": 0,
    "_state": 0,
    "_contract": 1,
    "device": 0,
    "distributed": 1,
    "convolution": 0,
    "_pictures": 0,
    "data": 0,
    "images": 1,
    "_shown": 1,
    "localization": 1,
    "_memory": -1,
    "grids": 1,
    "splines": 1,
    "sampling": 1,
    "distortions": 1,
    "augmentation": 2,
    "transformer": 2,
    "checkpoints": 1,
    "models": 3,
    "paper_models": 3,
    "training": 4,
    "visualization": 4,
    "animation": 4,
    "diagnosis": 4,
    "diagrams": 4,
    "playground": 4,
    "widgets": 5,
    "control_points": 5,
    "exercises": 5,
    "reproduce": 5,
    "doctor": 5,
    "__main__": 6,
}
# Neighbours on one floor that may be used all the same, and why.
EXCEPTIONS = {
    ("animation", "visualization"),  # a film is figures in a row
    ("data", "device"),  # batches live on a device
    ("data", "_files"),  # a download is there whole or not at all
    ("splines", "grids"),  # a grid generator like those, in a file of its own
    ("distortions", "grids"),  # distortions is built from grids
    ("distortions", "sampling"),  # ... and sampling
    ("distortions", "splines"),  # ... and splines
    ("diagrams", "visualization"),  # diagrams are drawn with its helpers
}


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


# Floors


def imported_modules(name):
    """The stncourse modules that a module's source imports, at its top or inside functions."""
    if (ROOT / name).is_dir():  # a module of several files: its own are no floor
        for path in (ROOT / name).glob("*.py"):
            yield from set(imported_modules(f"{name}/{path.stem}")) - {name}
        return
    tree = ast.parse((ROOT / f"{name}.py").read_text(encoding="utf-8"))
    aliases = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, _, rest = alias.name.partition(".")
                if first == "stncourse":
                    if rest:
                        yield rest.split(".")[0]
                    else:
                        aliases.add(alias.asname or "stncourse")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            package, _, rest = node.module.partition(".")
            if package == "stncourse":
                yield from [rest.split(".")[0]] if rest else [home(alias.name) for alias in node.names]
    for node in ast.walk(tree):  # stncourse.Digits after `import stncourse`
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield home(node.attr)


def home(name):
    """The module a name in ``from stncourse import name`` comes from."""
    return name if name in FLOORS else stncourse._MODULE_OF.get(name, "_check")  # __version__ and the like: no floor


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_only_from_lower_floors(name):
    assert name in FLOORS, f"give {name} a floor"
    for imported in imported_modules(name):
        lower = FLOORS[imported] < FLOORS[name]
        assert lower or (name, imported) in EXCEPTIONS, f"{name} imports {imported}, which is not on a lower floor"


def test_the_floors_test_sees_imports():
    assert {"grids", "sampling", "localization", "_check"} <= set(imported_modules("transformer"))
    assert {"data", "reproduce", "models", "training"} <= set(imported_modules("__main__"))


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
