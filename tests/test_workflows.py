"""What GitHub runs is what a person runs here."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (PROJECT / ".github" / "workflows").glob("*.yml")
}


def steps(workflow):
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job["steps"]]


def variable(name):
    return re.search(rf"(?m)^{name} :?= (.*)$", MAKEFILE)[1]


def test_ci_tries_three_systems_and_the_oldest_and_the_newest_python():
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]
    assert [system.split("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"][0] == SETTINGS["requires-python"].removeprefix(">=")
    newest = re.search(r"python3\.\d+", variable("CANDIDATES"))[0]
    assert matrix["python"][-1] == newest.removeprefix("python")


def test_without_make_the_steps_are_those_of_make_test():
    (windows,) = [step for step in steps("ci") if "Windows" in step.get("if", "") and "!=" not in step["if"]]
    *_, install, run = windows["run"].strip().splitlines()
    (recipe,) = re.findall(r"(?m)^test: .*\n\t(.*)$", MAKEFILE)
    pytest_call = variable("PYTEST").replace("OMP_NUM_THREADS=1 $(BIN)/python", "python")
    recipe = recipe.replace("$(PYTEST)", pytest_call).replace("$(NBVAL)", variable("NBVAL"))
    assert shlex.split(run.replace("\\", "/"))[1:] == shlex.split(recipe.replace("$(PYTEST_OPTIONS)", "-q"))[1:]
    assert windows["env"] == {"OMP_NUM_THREADS": 1}
    assert re.search(r"'(\.\[[\w,]+\])'", MAKEFILE)[1] in install


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_a_workflow_is_held_to_little(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
    text = (PROJECT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    # What comes from outside reaches a shell only through its environment.
    for step in steps(name):
        assert "${{" not in step.get("run", "")


def test_every_make_target_that_a_workflow_calls_exists():
    called = {
        target
        for name in WORKFLOWS
        for step in steps(name)
        for target in re.findall(r"make ([a-z-]+)", step.get("run", ""))
    }
    assert {"test", "test-oldest", "lint", "site", "site-test", "browser-test"} <= called
    for target in called:
        assert re.search(rf"(?m)^{target}\b.*:", MAKEFILE), target


def test_ci_here_and_there_do_the_same():
    """``.ci/run`` installs a browser and has the digits; what it makes is made on GitHub too."""
    here = set(
        re.findall(
            r"(?m)\bmake ([a-z-]+)", re.sub(r"(?m)^#.*$", "", (PROJECT / ".ci" / "run").read_text(encoding="utf-8"))
        )
    )
    there = {target for step in steps("ci") for target in re.findall(r"make ([a-z-]+)", step.get("run", ""))}
    assert here <= there
