"""What GitHub runs is what a person runs here."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from run_python import run_python

PROJECT = Path(__file__).parents[1]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (PROJECT / ".github" / "workflows").glob("*.yml")
}
#: The jobs that may do more than read the repository, and what.
MAY = {
    ("site", "publish"): {"pages": "write", "id-token": "write"},
    ("release", "pypi"): {"id-token": "write"},
    ("release", "github"): {"contents": "write"},
}


def steps(workflow):
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job["steps"]]


def called(text):
    """The make targets in it, comments left out."""
    return set(re.findall(r"\bmake ([a-z][a-z-]*)", re.sub(r"(?m)^#.*$", "", text)))


def variable(name):
    return re.search(rf"(?m)^{name} :?= (.*)$", MAKEFILE)[1]


def recipe(target):
    """The lines of a target, its variables filled in as under Git Bash."""
    lines = re.search(rf"(?m)^{re.escape(target)}:.*\n((?:\t.*\n)+)", MAKEFILE)[1]
    for name in ("PYTEST", "NBVAL"):
        lines = lines.replace(f"$({name})", variable(name))
    for name, value in {"BIN": ".venv/Scripts", "PYTHON": "python", "PYTEST_OPTIONS": "-q"}.items():
        lines = lines.replace(f"$({name})", value)
    return [shlex.split(line, comments=True) for line in lines.splitlines()]


def test_ci_tries_three_systems_and_the_oldest_and_the_newest_python():
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]
    assert [system.split("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"][0] == SETTINGS["project"]["requires-python"].removeprefix(">=")
    newest = re.search(r"python3\.\d+", variable("CANDIDATES"))[0]
    assert matrix["python"][-1] == newest.removeprefix("python")


def test_without_make_the_steps_are_those_of_make_test():
    (windows,) = [step for step in steps("ci") if step.get("if") == "runner.os == 'Windows'"]
    set_up = [words for words in recipe("$(INSTALLED)") if words[1:3] in (["-m", "venv"], ["-m", "pip"])]
    (test,) = recipe("test")
    threads, *test = test
    assert len(set_up) == 4
    assert [shlex.split(line) for line in windows["run"].splitlines()] == [*set_up, test]
    assert [f"{name}={value}" for name, value in windows["env"].items()] == [threads]
    assert windows["shell"] == "bash"  # stops at the first that fails


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_a_workflow_is_held_to_little(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow or name == "release"  # a release is never overtaken
    for job_name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90
        assert job.get("permissions") == MAY.get((name, job_name))
    text = (PROJECT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    # What comes from outside reaches a shell only through its environment.
    for step in steps(name):
        assert "${{" not in step.get("run", "")


def test_what_the_workflows_use_is_github_s_or_pypi_s_and_of_one_version():
    used = {step["uses"] for name in WORKFLOWS for step in steps(name) if "uses" in step}
    assert len(used) == len({action.partition("@")[0] for action in used}), sorted(used)
    assert {action.partition("/")[0] for action in used} == {"actions", "pypa"}


def test_every_make_target_that_a_workflow_calls_exists():
    targets = {target for name in WORKFLOWS for step in steps(name) for target in called(step.get("run", ""))}
    assert {"test", "test-oldest", "lint", "site", "site-test", "browser-test"} <= targets
    for target in targets:
        assert re.search(rf"(?m)^{target}\b.*:", MAKEFILE), target


def test_ci_here_and_there_do_the_same():
    """``.ci/run`` installs a browser and has the digits; what it makes is made on GitHub too."""
    here = called((PROJECT / ".ci" / "run").read_text(encoding="utf-8"))
    assert here
    assert here <= {target for step in steps("ci") for target in called(step.get("run", ""))}


@pytest.mark.parametrize(
    ("tag", "repository", "problem"),
    [
        ("v1.2.3", "Some-Body/course", None),
        ("v1.2.4", "some-body/course", "the tag is v1.2.4, the version in pyproject.toml 1.2.3"),
        ("v1.2.3", "another/course", "make stamp REPOSITORY=another/course"),
    ],
)
def test_a_release_is_of_the_tagged_version_and_of_the_stamped_repository(tmp_path, tag, repository, problem):
    (check,) = [step for step in steps("release") if step.get("shell") == "python"]
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    text = re.sub(r'(?m)^version = ".*"$', 'version = "1.2.3"', text)
    text = re.sub(r'(?m)^repository = ".*"$', 'repository = "some-body/course"', text)
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    code = f"import os\nos.environ.update(GITHUB_REF_NAME={tag!r}, GITHUB_REPOSITORY={repository!r})\n{check['run']}"
    if problem is None:
        run_python("-c", code, cwd=tmp_path)
    else:
        with pytest.raises(AssertionError, match=re.escape(problem)):
            run_python("-c", code, cwd=tmp_path)
