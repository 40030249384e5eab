"""The code on the website's own pages runs, and what they speak of exists."""

import re
import shlex
from pathlib import Path

import pytest

from stncourse import __main__ as command_line

PROJECT = Path(__file__).parents[1]
PAGES = {name: (PROJECT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("cookbook", "teach")}
COOKBOOK = PAGES["cookbook"]


def blocks(text, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


@pytest.fixture(scope="module")
def cooked(tmp_path_factory):
    """All of the cookbook, run from top to bottom in an empty folder: (block, what it printed) of each."""
    folder, names, seen = tmp_path_factory.mktemp("kitchen"), {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("STNCOURSE_OFFLINE", "1")
        for block in blocks(COOKBOOK, "python"):
            printed = []
            names["print"] = lambda *values, to=printed: to.append(" ".join(map(str, values)))
            exec(compile(block, "cookbook", "exec"), names)
            seen.append((block, printed))
    return seen


def test_the_cookbook_runs_and_prints_what_it_says(cooked):
    assert len(cooked) >= 12
    said = 0
    for block, printed in cooked:
        lines = [line for line in block.splitlines() if re.match(r"\s*print\(", line)]
        if len(lines) != len(printed):
            continue  # in a loop
        for line, came in zip(lines, printed, strict=True):
            if "  # " in line:
                assert came == line.split("  # ")[1]
                said += 1
    assert said >= 6


def test_lines_fit_on_the_page():
    for text in PAGES.values():
        for block in blocks(text, "python") + blocks(text, "shell"):
            assert max(map(len, block.splitlines())) <= 100, block  # as in the notebooks


@pytest.mark.parametrize("name", sorted(PAGES))
def test_command_lines_are_understood(name, monkeypatch, tmp_path):
    """Each is taken apart as the command line does it; nothing is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handed-in").mkdir()
    said = re.findall(r"python -m stncourse ([^`\n]+)", PAGES[name])
    assert said
    for line in said:
        ran = []
        for each in ("_train_together", "_reproduce", "_page", "_grade", "_doctor"):

            def noted(options, ran=ran):
                ran.append(options)
                return 0

            noted.__doc__ = "Nothing is run."
            monkeypatch.setattr(command_line, each, noted)
        assert command_line.main(shlex.split(line)) == 0, line
        assert len(ran) == 1


def test_variables_and_options_exist():
    package = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "stncourse").rglob("*.py"))
    for text in PAGES.values():
        for variable in re.findall(r"\bSTNCOURSE_[A-Z_]+", text):
            assert f'"{variable}"' in package, variable
        for option in re.findall(r"`(--[a-z-]+)`", text):
            assert f'"{option}"' in package, option
