"""The form every notebook keeps, and that each also runs as a plain Python program."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise, takewhile
from pathlib import Path

import nbformat
import pytest
from nbconvert import PythonExporter
from run_python import run_python

PROJECT = Path(__file__).parents[1]
PATHS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
REPOSITORY = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["stncourse"]["repository"]
IGNORED = "nbval-ignore-output"


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def text_of(notebook):
    return "\n\n".join(cell.source for cell in cells(notebook, "markdown"))


def outputs(notebook):
    return [output for cell in cells(notebook, "code") for output in cell.outputs]


def test_the_course_is_numbered_without_gaps():
    assert [path.stem[:2] for path in PATHS] == [f"{n:02d}" for n in range(len(PATHS))]
    assert len(PATHS) >= 7


def test_is_a_valid_notebook_with_unique_ids_and_the_python3_kernel(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"


def test_was_run_in_order_without_errors(notebook):
    code = cells(notebook, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs(notebook))


def test_is_small_and_names_no_folder_of_the_machine_it_was_run_on(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    without_pictures = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.search(r"/(home|root|tmp|Users|work)/|[A-Z]:\\\\", without_pictures)


def test_has_one_title_and_headings_in_order(notebook):
    headings = re.findall(r"(?m)^(#+) \S", re.sub(r"(?s)```.*?```", "", text_of(notebook)))
    assert headings[0] == "#"
    assert headings.count("#") == 1
    assert all(len(after) <= len(before) + 1 for before, after in pairwise(headings))


def test_says_what_it_teaches_how_long_it_takes_and_ends_with_recap_and_references(notebook):
    text = text_of(notebook)
    for part in ("you will be able to", "*Time: ", "**Predict first.**", "## Recap", "## References"):
        assert part in text, part
    recap = text.split("## Recap")[1].split("##")[0]
    assert 1 <= len(re.findall(r"(?m)^- ", recap)) <= 5


def test_an_answer_is_folded_until_its_guess_is_made(notebook):
    """After each "Predict first": all is hidden up to the text that tells it (running a cell shows its output)."""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and "**Predict first.**" in cell.source:
            assert "#" not in cell.source.split("**Predict first.**")[1], "the guess comes last in its cell"
            later = notebook.cells[place + 1 :]
            before_it_is_told = takewhile(lambda cell: cell.cell_type == "code", later)
            answers = [cell for cell in before_it_is_told if shows(cell)]
            answers = answers or [next(cell for cell in later if cell.cell_type == "code" and shows(cell))]
            for answer in answers:
                assert answer.metadata.get("jupyter", {}).get("outputs_hidden") is True, answer.source
                assert answer.metadata.get("collapsed") is True, answer.source


#: Cells between an answer and what is said of it; they tell nothing.
TELLS_NOTHING = {"00-10", "05-o5", "06-05", "06-10", "06-15", "06-17", "06-24", "06-25b", "06-6b", "07-07c"}
TELLS_NOTHING |= {"826b4f7b", "11-oracle-recorded"}


def test_what_an_answer_means_is_folded_too(notebook):
    """It stands below the output, and is read with it, before anybody has guessed."""
    for answer, text in pairwise(notebook.cells):
        if answer.metadata.get("jupyter", {}).get("outputs_hidden") and text.cell_type == "markdown":
            assert "<details>" in text.source or text.id in TELLS_NOTHING, text.source


def test_the_line_that_shows_of_a_folded_output_tells_no_answer(notebook):
    """JupyterLab shows one line of what is folded: a title that ends with a colon, or a table's head."""
    for cell in cells(notebook, "code"):
        if cell.metadata.get("jupyter", {}).get("outputs_hidden") and cell.outputs:
            line = line_that_shows(cell.outputs[0])
            assert line.endswith(":") or not re.search(r"\d", line), (cell.source, line)


def line_that_shows(output):
    """The first line with a character in it, of the form that JupyterLab prefers."""
    forms = output.get("data") or {"text/plain": output.text}
    form = next(form for form in ("text/html", "text/markdown", "text/plain") if form in forms)
    return next(line for line in forms[form].splitlines() if line)


def shows(cell):
    """Whether a cell has an output, or will have one when it is run: a live widget is not stored."""
    return bool(cell.outputs) or re.search(r"_playground\(|\bwatch\b", cell.source) is not None


def test_the_map_says_the_minutes_that_a_notebook_says_itself(path, notebook):
    told = re.search(r"\*Time: (\d+) minutes[^.;]*?(\d+) for the exercises", text_of(notebook))
    (line,) = re.findall(rf"\({path.name}\) \| .* \| (.*) \|", text_of(nbformat.read(PATHS[0], as_version=4))) or [None]
    assert path == PATHS[0] or line == f"{told[1]} + {told[2]}"


def test_badge_and_set_up_cell_name_the_one_repository(path, notebook):
    badge = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name}"
    assert f"({badge})" in notebook.cells[0].source
    set_up = cells(notebook, "code")[0].source
    assert f'REPOSITORY = "{REPOSITORY}"' in set_up
    assert len(set_up.splitlines()) <= 11
    assert set_up == cells(nbformat.read(PATHS[0], as_version=4), "code")[0].source
    # Folded: in JupyterLab, and as a form in Colab.
    metadata = cells(notebook, "code")[0].metadata
    assert (metadata.cellView, metadata.jupyter.source_hidden) == ("form", True)


@pytest.fixture
def set_up(monkeypatch):
    """Function: repository -> runs the set-up cell where the package is not installed; returns what it would run."""
    source = cells(nbformat.read(PATHS[0], as_version=4), "code")[0].source
    commands = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))

    def run(repository):
        exec(source.replace(f'"{REPOSITORY}"', f'"{repository}"'), {})
        return commands

    return run


def test_set_up_installs_from_where_the_course_is_published(set_up):
    pip = [sys.executable, "-m", "pip", "install"]
    (command,) = set_up("some-body/some.course")
    assert command[:4] == pip
    assert command[-1] == "git+https://github.com/some-body/some.course"


def test_set_up_says_what_to_do_while_the_course_is_published_nowhere(set_up):
    with pytest.raises(AssertionError) as told:
        set_up("OWNER/REPO")
    message = " ".join(str(told.value).split())
    assert re.search(r"On Colab: upload its folder as (\S+\.zip), then %pip install \./\1;", message)
    assert "elsewhere: pip install -e . in that folder" in message


def test_what_a_notebook_starts_has_a_time_limit(notebook):
    for cell in cells(notebook, "code")[1:]:  # not the installation
        for call in re.findall(r"subprocess\.run\(.*\)", cell.source):
            assert "timeout=" in call


@pytest.mark.skipif(sys.platform != "linux", reason="needs gloo")
def test_processes_that_hang_end_by_themselves(tmp_path):
    """Those that notebook 12 starts, with a limit of seconds."""
    notebook = nbformat.read(PATHS[12], as_version=4)
    (cell,) = [cell for cell in cells(notebook, "code") if "write_text" in cell.source]
    hang = "import os, time; open(f'{os.getpid()}.pid', 'w').close(); time.sleep(1000)"
    exec(re.sub(r"history = fit\(.*", hang, cell.source).replace("later(200,", "later(5,"), {"folder": tmp_path})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "mine.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert run.returncode != 0
    assert "Timeout (0:00:05)!" in run.stderr
    for path in tmp_path.glob("*.pid"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.stem), 0)


def test_every_picture_has_words_and_is_there_without_a_network(notebook):
    for alt, place in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", text_of(notebook)):
        assert alt.strip()
        assert "://" not in place
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            assert output.metadata["image/png"]["alt"].strip()
            assert output.data["text/plain"] == f"Figure:\n{output.metadata['image/png']['alt']}"


def test_cells_are_short_and_use_nothing_that_only_some_places_have(notebook):
    for cell in cells(notebook, "code"):
        assert len(cell.source.splitlines()) <= 15, cell.source
        assert not re.search(r"(?m)^\s*[%!]", cell.source), "magics and shell lines do not run as a program"
        for word in ("interact(", "interactive(", "Output(", "pyplot"):
            assert word not in cell.source
        assert cell.outputs == [] or "widget-view" not in json.dumps(cell.outputs), "a stored widget shows as an error"
    assert "widgets" not in notebook.metadata, "JupyterLab's copy of what the widgets were like; nobody reads it again"


def test_a_cell_whose_output_is_not_compared_asserts_its_bounds(notebook):
    for cell in cells(notebook, "code"):
        tags = cell.metadata.get("tags", [])
        assert set(tags) <= {IGNORED}
        assert IGNORED not in tags or re.search(r"(?m)^\s*assert ", cell.source), cell.source


def test_builds_by_hand_and_asserts_equality(notebook):
    assert sum("assert" in cell.source for cell in cells(notebook, "code")) >= 2


def test_links_to_other_notebooks_lead_somewhere(path, notebook):
    links = re.findall(r"\]\(([^)#:]+\.ipynb)\)", text_of(notebook))
    assert links
    assert all((path.parent / link).exists() for link in links)


def test_tests_that_are_named_exist(notebook):
    defined = {
        name
        for path in (PROJECT / "tests").rglob("*.py")
        for name in re.findall(r"(?m)^def (test_\w+)\(", path.read_text(encoding="utf-8"))
    } | {path.stem for path in (PROJECT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"\btest_\w+", text_of(notebook))) <= defined


def test_runs_as_a_python_program(path, tmp_path):
    """As `make scripts` writes it; without network, on the shipped digits, with no notebook around."""
    program = tmp_path / f"{path.stem}.py"
    program.write_text(PythonExporter().from_filename(str(path))[0], encoding="utf-8")
    environment = os.environ | {"STNCOURSE_OFFLINE": "1", "STNCOURSE_DATA_DIR": str(tmp_path / "no cache")}
    run_python(program.name, cwd=tmp_path, env=environment)
