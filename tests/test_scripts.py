"""The scripts: each is a module as it lies there, and one text, which imports nothing, for a widget or a page."""

import posixpath
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import stncourse
from stncourse import control_points_playground, theta_playground
from stncourse.browser.scripts import joined
from stncourse.training.panel import Panel

FOLDER = Path(stncourse.__file__).parent
SCRIPTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
PURE = (
    "browser/network.js",
    "browser/pose.js",
    "browser/printed.js",
    "browser/stn.js",
    "browser/trace.js",
)  # they need no page
IMPORT = re.compile(r'import\s*\{([^}]*)\}\s*from\s*"(\.[\w./]+)"')


def names(text):
    return {name.strip() for name in text.split(",") if name.strip()}


def exported(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    declared = set(re.findall(r"^export (?:async )?function (\w+)", text, re.MULTILINE))
    for line in re.findall(r"^export const (.*)", text, re.MULTILINE):
        declared |= set(re.findall(r"(\w+) =", line))
    return declared


def test_they_are_all_found():
    assert set(SCRIPTS) >= {*PURE, "browser/screen.js", "playground/theta.js", "playground/page.js"}


@pytest.mark.parametrize("name", PURE)
def test_the_engine_needs_no_page(name):
    text = joined(name)
    assert not re.search(r"\b(document|window|canvas|HTMLElement|ImageData|requestAnimationFrame|navigator)\b", text)


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_imports_is_exported_and_used(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = IMPORT.findall(text)
    assert len(found) == len(re.findall(r"^import\b", text, re.MULTILINE))
    for imported, origin in found:
        origin = posixpath.normpath(posixpath.join(posixpath.dirname(name), origin))
        assert names(imported) <= exported(origin)
        unused = {each for each in names(imported) if len(re.findall(rf"\b{each}\b", text)) < 2}
        assert unused == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_joined_it_imports_nothing_and_says_nothing_twice(name):
    text = joined(name)
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    declared = re.findall(r"^(?:export )?(?:async )?function (\w+)", text, re.MULTILINE)
    for line in re.findall(r"^(?:export )?const (.*)", text, re.MULTILINE):
        declared += re.findall(r"(?:^|, )(\w+) = ", line)
    assert len(set(declared)) == len(declared)
    assert text.endswith((FOLDER / name).read_text(encoding="utf-8").split('";\n')[-1])


def test_the_widgets_have_the_joined_scripts():
    assert theta_playground().drawn._esm == joined("playground/theta.js")
    assert control_points_playground()._esm == joined("playground/sheet.js")
    assert Panel()._esm == joined("training/watch.js")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node; tests/browser asks a browser")
@pytest.mark.parametrize("how", ["as it lies there", "joined"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_node_loads_it_as_a_module(name, how, tmp_path):
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for script in SCRIPTS:
        (tmp_path / script).parent.mkdir(exist_ok=True)
        shutil.copy(FOLDER / script, tmp_path / script)
    if how == "joined":
        (tmp_path / name).write_text(joined(name), encoding="utf-8")
    code = f"import('./{name}').then(module => console.log(Object.keys(module).sort().join()))"
    done = subprocess.run(["node", "-e", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert exported(name) <= names(done.stdout)
