"""The scripts: each is a module as it lies there, and one text, which imports nothing, for a widget or a page."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import stncourse.playground
from stncourse import control_points_playground, theta_playground
from stncourse.playground.scripts import joined

FOLDER = Path(stncourse.playground.__file__).parent
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.js"))
IMPORT = re.compile(r'import\s*\{([^}]*)\}\s*from\s*"\./([\w.]+)"')


def names(text):
    return {name.strip() for name in text.split(",") if name.strip()}


def exported(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    declared = set(re.findall(r"^export (?:async )?function (\w+)", text, re.MULTILINE))
    for line in re.findall(r"^export const (.*)", text, re.MULTILINE):
        declared |= set(re.findall(r"(\w+) =", line))
    return declared


def test_they_are_all_there():
    assert SCRIPTS == ["network.js", "page.js", "sheet.js", "stn.js", "theta.js"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_imports_is_exported_and_used(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = IMPORT.findall(text)
    assert len(found) == len(re.findall(r"^import\b", text, re.MULTILINE))
    assert bool(found) == (name != "stn.js")
    for imported, origin in found:
        assert names(imported) <= exported(origin)
        unused = {each for each in names(imported) if len(re.findall(rf"\b{each}\b", text)) < 2}
        assert unused == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_joined_it_imports_nothing_and_says_nothing_twice(name):
    text = joined(name)
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    declared = re.findall(r"^(?:export )?(?:async )?(?:function|const) (\w+)", text, re.MULTILINE)
    assert len(set(declared)) == len(declared)
    assert text.endswith((FOLDER / name).read_text(encoding="utf-8").split('";\n')[-1])


def test_the_widgets_have_the_joined_scripts():
    assert theta_playground().drawn._esm == joined("theta.js")
    assert control_points_playground()._esm == joined("sheet.js")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node; tests/browser asks a browser")
@pytest.mark.parametrize("how", ["as it lies there", "joined"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_node_loads_it_as_a_module(name, how, tmp_path):
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for script in SCRIPTS:
        shutil.copy(FOLDER / script, tmp_path)
    if how == "joined":
        (tmp_path / name).write_text(joined(name), encoding="utf-8")
    code = f"import('./{name}').then(module => console.log(Object.keys(module).sort().join()))"
    done = subprocess.run(["node", "-e", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert exported(name) <= names(done.stdout)
