"""The code on the website's own pages runs and prints what they say, and what they speak of exists."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from stncourse import __main__ as command_line

PROJECT = Path(__file__).parents[1]
PAGES = {name: (PROJECT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("cookbook", "teach")}
#: How many python blocks a page has at least, and how many of its printed lines say what comes.
LEAST = {"cookbook": (14, 25), "teach": (3, 2)}


def blocks(text, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def promises(code):
    """``{line of a print: what it says it prints}``: behind it, or in a comment of its own below it."""
    lines, said = code.splitlines(), {}
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("print("):
            below = lines[number] if number < len(lines) else ""
            comment = re.search(r"  # (.*)$", line) or re.match(r"\s*# (.*)$", below)
            said[number] = comment and comment[1]
    return said


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_runs_and_prints_what_it_says(name, monkeypatch, tmp_path):
    """From top to bottom, in an empty folder, with nobody's progress."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    monkeypatch.setenv("STNCOURSE_PROGRESS_DIR", str(tmp_path / "progress"))
    codes, count, printed = blocks(PAGES[name], "python"), 0, {}
    names = {"print": lambda *values: printed.update({sys._getframe(1).f_lineno: " ".join(map(str, values))})}
    for number, code in enumerate(codes):
        printed.clear()
        exec(compile(code, f"{name}.md, block {number}", "exec"), names)
        assert printed == promises(code), code
        count += len(printed)
    assert len(codes) >= LEAST[name][0]
    assert count >= LEAST[name][1]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_its_code_is_short_and_fits_on_the_page(name):
    for code in blocks(PAGES[name], "python") + blocks(PAGES[name], "shell"):
        assert max(map(len, code.splitlines())) <= 88, code
        assert len([line for line in code.splitlines() if line.strip()]) <= 14, code


def test_each_recipe_names_the_mistake():
    recipes = re.split(r"(?m)^## ", PAGES["cookbook"])[1:]
    assert 10 <= len(recipes) <= 14
    for recipe in recipes:
        assert recipe.count("*The mistake people make:*") == 1, recipe.splitlines()[0]
        assert blocks(recipe, "python"), recipe.splitlines()[0]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_command_lines_are_understood(name, monkeypatch, tmp_path):
    """Each is taken apart as the command line does it; nothing is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handed-in").mkdir()
    said = re.findall(r"-m stncourse ([^`\n]+)", PAGES[name])
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


def test_every_command_on_the_pages_is_one_that_is_known():
    known = "python -m stncourse", "python -m venv", "python -c ", "pip ", "source ", "torchrun "
    for text in PAGES.values():
        for line in "".join(blocks(text, "shell")).splitlines():
            assert line.startswith(known), line


def test_variables_and_options_exist():
    package = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "stncourse").rglob("*.py"))
    for text in PAGES.values():
        for variable in re.findall(r"\bSTNCOURSE_[A-Z_]+", text):
            assert f'"{variable}"' in package, variable
        for option in re.findall(r"`(--[a-z-]+)`", text):
            assert f'"{option}"' in package, option


def test_the_plan_adds_up():
    """The minutes of a week are those at the top of its notebooks."""
    minutes = {}
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        text = "".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
        time = re.search(r"\*Time: (\d+) minutes(?:[^.*]*?, (\d+) for the exercises)?", text)
        minutes[path.name[:2]] = int(time[1]), int(time[2] or 0)
    weeks = re.findall(r"(?m)^\| \d \| (.*) \| (\d+) \| (\d+) \|$", PAGES["teach"])
    assert len(weeks) == 4
    for notebooks, *told in weeks:
        own = [minutes[key] for key in re.findall(r"\[(\d\d)\]", notebooks)]
        assert [sum(column) for column in zip(*own, strict=True)] == list(map(int, told)), notebooks
    half_a_day = re.search(r"\*\*Half a day\.\*\*(.*?), (\d+) minutes", PAGES["teach"], re.DOTALL)
    assert int(half_a_day[2]) == sum(minutes[key][0] for key in re.findall(r"\[(\d\d)\]", half_a_day[1]))
