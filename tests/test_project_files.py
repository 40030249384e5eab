"""What lies around the package says the same as the package."""

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from run_python import run_python

PROJECT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
#: What conda-forge calls a package that PyPI calls otherwise.
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def split_bound(requirement):
    name, bound = re.fullmatch(r"([A-Za-z0-9_-]+)>=([\d.]+)", requirement).groups()
    return name, bound


def test_conda_environment_has_the_same_packages_and_bounds_as_pyproject():
    project = SETTINGS["project"]
    wanted = dict(map(split_bound, project["dependencies"] + project["optional-dependencies"]["course"]))
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}
    wanted["python"] = project["requires-python"].removeprefix(">=")
    listed = re.findall(
        r"(?m)^  - ([A-Za-z0-9_-]+>=[\d.]+)$", (PROJECT / "environment.yml").read_text(encoding="utf-8")
    )
    assert dict(map(split_bound, listed)) == wanted


def test_requirements_have_lower_bounds_only():
    project = SETTINGS["project"]
    for requirement in project["dependencies"] + [
        r for group in project["optional-dependencies"].values() for r in group
    ]:
        split_bound(requirement)


def test_readme_names_every_notebook_and_every_make_target_it_speaks_of_exists():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        assert f"notebooks/{path.name}" in readme
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?m)(?:`|^    )make ([a-z][a-z-]+)", readme):
        assert re.search(rf"(?m)^{target}:", makefile), target


def test_readme_badges_name_the_one_repository():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"colab\.research\.google\.com/github/([^/\s]+/[^/\s]+)/blob", readme)
    named += re.findall(r"git clone https://github\.com/(\S+)\.git", readme)
    assert named
    assert set(named) == {SETTINGS["tool"]["stncourse"]["repository"]}


@pytest.fixture
def copy(tmp_path):
    """A copy of what the stamp writes into, and the stamp itself."""
    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, tmp_path)
    spec = importlib.util.spec_from_file_location("stamp_repository", PROJECT / "tools" / "stamp_repository.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tmp_path, module.stamp


def test_one_command_stamps_the_repository_everywhere(copy):
    folder, stamp = copy
    before = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.is_file()}
    changed = stamp(folder, "some-body/some.course")
    assert len(changed) == 2 + len(list((folder / "notebooks").glob("*.ipynb")))
    old = SETTINGS["tool"]["stncourse"]["repository"]
    for path in [folder / "README.md", *(folder / "notebooks").glob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        assert "github/some-body/some.course/blob" in text
        assert text.replace("some-body/some.course", old) == before[path.name]  # and nothing else changed
    assert stamp(folder) == []


@pytest.mark.parametrize("wrong", ["nobody", "a/b/c", "", 'a/b"'])
def test_stamp_refuses_what_is_not_a_repository(copy, wrong):
    folder, stamp = copy
    with pytest.raises(ValueError, match="owner/repo"):
        stamp(folder, wrong)


def test_code_and_notebooks_pass_the_linter():
    for command in (["check"], ["format", "--check"]):
        run_python("-m", "ruff", *command, PROJECT)
