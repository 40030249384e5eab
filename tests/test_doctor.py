"""The doctor finds each illness, and says what to do."""

import importlib.metadata
import io
import json
import os
import shutil
import tomllib
from pathlib import Path

import platformdirs
import pytest
from run_python import run_python

from stncourse import doctor


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "cache"))


def run():
    out = io.StringIO()
    code = doctor.report(out)
    return code, out.getvalue()


def test_a_healthy_machine():
    code, text = run()
    assert code == 0
    assert text.count("ok ") == len(doctor.CHECKS)
    assert "WRONG" not in text
    assert "6,000 digits are here offline" in text


def test_the_command_gives_its_exit_code():
    assert "Everything the course needs is here." in run_python("-m", "stncourse", "doctor")


def test_an_unwritable_cache_is_a_note_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "file" / "cache"))
    code, text = run()
    assert code == 0
    assert "note   cache" in text
    assert "STNCOURSE_DATA_DIR" in text
    assert "WRONG" not in text


@pytest.mark.parametrize("has_mnist", [True, False])
def test_a_cache_that_can_only_be_read_needs_no_note_if_mnist_is_in_it(monkeypatch, has_mnist):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr("stncourse.data.mnist.cached", lambda split, root=None: has_mnist)
    code, text = run()
    assert code == 0
    assert ("ok     cache" in text) is has_mnist
    assert ("note   cache" in text) is not has_mnist


def test_a_cache_that_may_not_even_be_looked_at_is_a_note(monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    code, text = run()
    assert code == 0
    assert "note   cache     [Errno 13] Permission denied" in text


@pytest.mark.parametrize("environment", [None, "folder"])
def test_a_user_without_a_home(tmp_path, monkeypatch, environment):
    """As in many a container: no home in the environment, none in the list of users."""
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "STNCOURSE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    if environment:
        monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / environment))
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: Path("~/.cache") / name)
    code, text = run()
    assert code == 0
    if environment:
        assert f"ok     cache     {tmp_path / environment} (" in text
    else:
        assert "note   cache     this user has no home folder" in text
        assert "STNCOURSE_DATA_DIR" in text


def test_a_home_that_is_the_root_folder_shortens_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: Path(tmp_path.anchor))
    assert f"cache     {tmp_path / 'cache'} (" in run()[1]
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert f"cache     {Path('~') / 'cache'} (" in run()[1]


def test_the_first_notebook_goes_on_after_a_note(monkeypatch, capsys):
    (notebook,) = (Path(doctor.__file__).parents[1] / "notebooks").glob("00_*.ipynb")
    (cell,) = [
        "".join(cell["source"])
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code" and "report()" in "".join(cell["source"])
    ]
    monkeypatch.setitem(doctor.CHECKS, "cache", lambda: (doctor.NOTE, "only to be read"))
    exec(cell, {})
    assert "note   cache     only to be read" in capsys.readouterr().out
    monkeypatch.setitem(doctor.CHECKS, "cache", lambda: (doctor.WRONG, "broken"))
    with pytest.raises(AssertionError, match="needs your attention"):
        exec(cell, {})


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    code, text = run()
    assert code == 1
    assert "pip install no-such-package" in text


@pytest.fixture
def installed(monkeypatch):
    """``installed(torch="2.5")``: these versions, None for a package that is missing."""
    real = importlib.metadata.version

    def pretend(**versions):
        def version(name):
            if name not in versions:
                return real(name)
            if versions[name] is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


def bounds_in_pyproject():
    project = tomllib.loads((Path(doctor.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    return dict(requirement.split(">=") for requirement in project["dependencies"])


def test_all_that_the_package_requires_is_listed():
    _, text = run()
    (line,) = [line for line in text.splitlines() if line[7:].startswith("packages")]
    for name in [*bounds_in_pyproject(), "jupyterlab"]:
        assert f"{name} {importlib.metadata.version(name)}" in line


@pytest.mark.parametrize("name", bounds_in_pyproject())
def test_versions_are_compared_with_the_bounds_that_the_package_states(installed, name):
    least = doctor._required()[name]
    for version in (least, f"{least}.0", f"{least}.1", f"{least}.post1", "999.0a1", f"{least}+cu130"):
        installed(**{name: version})
        assert doctor._packages()[0] == doctor.OK, version
    *first, last = doctor._release(least)
    for version in ("0", "0.0.1", ".".join(map(str, [*first, last - 1, 99]))):
        installed(**{name: version})
        state, text = doctor._packages()
        assert state == doctor.WRONG, version
        assert f'too old: {name}: pip install -U "{name}>={least}"' in text
    installed(**{name: None})
    state, text = doctor._packages()
    assert state == doctor.WRONG
    assert f'missing: {name}: pip install "{name}>={least}"' in text


def test_a_course_that_is_not_installed_is_a_note(monkeypatch):
    def unknown(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    code, text = run()
    assert code == 0
    assert "note   packages" in text


@pytest.mark.parametrize(("version", "state"), [(None, "ok   "), ("1.0", "note "), ("99.0", "ok   ")])
def test_jupyterlab_may_be_missing_or_old(installed, version, state):
    installed(jupyterlab=version)
    code, text = run()
    assert code == 0
    assert f"{state}  packages" in text


def test_the_bounds_are_those_of_the_metadata(monkeypatch):
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: ["torch>=99.1", "numpy", 'no-such>=1; extra == "dev"']
    )
    code, text = run()
    assert code == 1
    assert 'pip install -U "torch>=99.1"' in text
    assert f"numpy {importlib.metadata.version('numpy')}" in text
    assert "no-such" not in text


def test_a_broken_sampler_is_found(monkeypatch):
    import stncourse

    real = stncourse.bilinear_sample
    monkeypatch.setattr(stncourse, "bilinear_sample", lambda *arguments: real(*arguments) + 0.01)
    code, text = run()
    assert code == 1
    assert "WRONG  sampler" in text
    assert "off by 0.01" in text


def test_a_check_that_raises_is_a_finding_and_not_the_end(monkeypatch):
    def broken():
        raise ImportError("no ipywidgets here")

    monkeypatch.setitem(doctor.CHECKS, "widgets", broken)
    code, text = run()
    assert code == 1
    assert "WRONG  widgets   ImportError: no ipywidgets here" in text
    assert "sampler" in text.split("no ipywidgets here")[1]  # the later checks ran
