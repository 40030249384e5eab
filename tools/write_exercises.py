"""Write the exercises of stncourse/exercises into the notebooks, before each one's "## Recap".

python tools/write_exercises.py            (make exercises)
python tools/write_exercises.py --check    (changes nothing; exit status 1 where a notebook and the source differ)

The cells that it writes carry ``stncourse`` in their metadata: it replaces those and touches no others, except that
it splits a cell in whose middle "## Recap" stands, and numbers the executions again. It runs what it wrote in a
fresh kernel, so the stored outputs are real ones.
"""

import argparse
import ast
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat

from stncourse.exercises import NOTEBOOKS, exercises_of

PROJECT = Path(__file__).parents[1]
RECAP = "## Recap"
#: What solutions may need. A notebook may have imported it already; its exercises can be done without running the rest.
IMPORTS = (("math", "import math"), ("torch", "import torch"), ("F", "import torch.nn.functional as F"))
INTRODUCTION = """## Exercises

Write your code where `raise NotImplementedError` stands, or your answer in place of `...`, and run the check below
it. A check tries your function on many inputs and shows the smallest on which it fails; a classic mistake it calls
by name. Hints and solutions
are folded: open one at a time."""
LAST_WORDS = "What you have done so far, in all notebooks (it is kept on your own machine):"


def cells_of(key, own=""):
    """The cells that a notebook has to have, in order, without outputs. ``own``: the code of its other cells."""
    cells = [
        _cell("markdown", INTRODUCTION, key, "introduction"),
        _cell("code", _imports(key, own), key, "imports"),
    ]
    for number, exercise in enumerate(exercises_of(key), 1):
        name = exercise.name
        task = f"### {number}. {exercise.title}\n\n{exercise.task.strip()}"
        cells += [
            _cell("markdown", task, key, "task", name),
            _cell("code", exercise.stub, key, "stub", name),
            _cell("code", exercise.check_source, key, "check", name),
            _cell("markdown", _folded(exercise), key, "hints", name),
        ]
    return [*cells, _cell("markdown", LAST_WORDS, key, "last-words"), _cell("code", "progress()", key, "progress")]


def _imports(key, own):
    """What the solutions need. Where only a student's code will use it, the linter has to be told."""
    solutions = " ".join(exercise.solution_source + exercise.stub for exercise in exercises_of(key))
    groups = {True: [], False: []}
    for name, line in IMPORTS:
        if re.search(rf"\b{name}\.", solutions):
            groups[name == "math"].append(line if re.search(rf"\b{name}\.", own) else f"{line}  # noqa: F401")
    names = ["affine_theta"] * bool(re.search(r"\baffine_theta\(", solutions))
    unused = names and not re.search(r"\baffine_theta\(", own)
    ours = f"from stncourse import {', '.join([*names, 'check', 'progress'])}" + "  # noqa: F401" * bool(unused)
    return "\n\n".join("\n".join(group) for group in (*groups.values(), [ours]) if group)


def _folded(exercise):
    parts = [_details(f"Hint {number}", hint) for number, hint in enumerate(exercise.hints, 1)]
    solution = f"```python\n{exercise.solution_source.rstrip()}\n```"
    if explanation := getattr(exercise, "explanation", ""):
        solution += f"\n\n{explanation}"
    return "\n\n".join([*parts, _details("Solution", solution)])


def _details(summary, text):
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def _cell(kind, source, key, part, name=None):
    make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    about = {"part": part} | ({"exercise": name} if name else {})
    place = f"{name.replace('_', '-')}-{part}" if name else part
    return make(source.rstrip("\n"), id=f"{key}-exercise-{place}"[:64], metadata={"stncourse": about})


def written(notebook, key):
    """The notebook with its exercises, old ones replaced, without the outputs of new ones."""
    notebook = nbformat.from_dict(notebook)
    own = [cell for cell in notebook.cells if "stncourse" not in cell.metadata]
    place = next((i for i, cell in enumerate(own) if RECAP in _lines(cell)), None)
    if place is None:
        raise ValueError(f'notebook {key}: expected a line "{RECAP}", before which the exercises go; found none')
    before, recap = _split(own[place])
    if before is not None:
        own[place : place + 1] = [before, recap]
        place += 1
    for cell in own:
        if clash := sorted(_names_of(key) & _defined_in(cell)):
            raise ValueError(f"notebook {key}: cell {cell.id} defines {', '.join(clash)}, which an exercise needs")
    exercises = cells_of(key, "\n".join(cell.source for cell in own if cell.cell_type == "code"))
    stored = {cell.id: cell for cell in notebook.cells}
    for cell in exercises:
        old = stored.get(cell.id)
        if cell.cell_type == "code" and old is not None and old.source == cell.source:
            cell.outputs = old.outputs
    notebook.cells = [*own[:place], *exercises, *own[place:]]
    return notebook


def _names_of(key):
    """What the exercises of a notebook define: nothing else on the page may bear these names."""
    return _defined("".join(["check = progress = 0\n", *(exercise.stub for exercise in exercises_of(key))]))


def _defined_in(cell):
    return _defined(cell.source) if cell.cell_type == "code" else set()


def _defined(source):
    """The names that a cell binds at its top level, but for imports."""
    names, todo = set(), list(ast.parse(source).body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)):
            todo += ast.iter_child_nodes(node)
    return names


def _lines(cell):
    return cell.source.splitlines() if cell.cell_type == "markdown" else []


def _split(cell):
    """A cell in two, before its Recap and from there; None for an empty first part."""
    lines = cell.source.split("\n")
    at = lines.index(RECAP)
    before, after = "\n".join(lines[:at]).strip(), "\n".join(lines[at:])
    if not before:
        return None, cell
    first = nbformat.from_dict(cell | {"source": before})
    return first, nbformat.v4.new_markdown_cell(after, id=f"{cell.id}-recap")


def run(notebook, key):
    """Run the exercise cells in a fresh kernel, without the rest of the notebook: they do not need it."""
    from nbclient import NotebookClient

    ours = [cell for cell in notebook.cells if "stncourse" in cell.metadata]
    alone = nbformat.v4.new_notebook(cells=ours, metadata=notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"STNCOURSE_PROGRESS_DIR": folder, "STNCOURSE_OFFLINE": "1"}
        client = NotebookClient(alone, timeout=120, resources={"metadata": {"path": str(PROJECT / "notebooks")}})
        client.execute(env=environment)
    for cell, ran in zip(ours, client.nb.cells, strict=True):
        if cell.cell_type == "code" and not _same_but_for_pictures(cell.outputs, ran.outputs):
            cell.outputs = ran.outputs
        cell.metadata.pop("execution", None)


def _same_but_for_pictures(old, new):
    """Whether outputs say the same. A picture drawn again differs in some bytes from matplotlib to matplotlib."""

    def words(outputs):
        return [
            {k: v for k, v in output.get("data", {"text": output.get("text")}).items() if k != "image/png"}
            for output in outputs
        ]

    return words(old) == words(new)


def number(notebook):
    """Execution counts from 1 on, as after a run from top to bottom."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def notebooks(folder):
    """(key, path) of those that are there."""
    for key in NOTEBOOKS:
        paths = sorted(folder.glob(f"{key}_*.ipynb"))
        if paths:
            yield key, paths[0]
        else:
            print(f"{key}: skipped, there is no such notebook yet")


def write(folder):
    """Write all; returns the files that changed."""
    changed = []
    for key, path in notebooks(folder):
        before = path.read_text(encoding="utf-8")
        notebook = written(nbformat.reads(before, as_version=4), key)
        run(notebook, key)
        number(notebook)
        after = nbformat.writes(notebook) + "\n" * (not nbformat.writes(notebook).endswith("\n"))
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path.name)
    return changed


def drift(folder):
    """Sentences on what differs between the notebooks and the source; nothing is run."""
    for key, path in notebooks(folder):
        notebook = nbformat.read(path, as_version=4)
        wanted = written(notebook, key)
        number(wanted)
        have = {cell.id: cell for cell in notebook.cells}
        if [cell.id for cell in wanted.cells] != [cell.id for cell in notebook.cells]:
            yield f"{path.name}: exercise cells are missing, too many, or not before the recap"
        for cell in wanted.cells:
            if cell.id in have and cell != have[cell.id]:
                yield f"{path.name}: cell {cell.id} is not as the source has it"
            elif cell.metadata.get("stncourse", {}).get("part") == "check" and not cell.outputs:
                yield f"{path.name}: cell {cell.id} has no stored output"


def main(arguments=None):
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; say what differs")
    parser.add_argument("--folder", type=Path, default=PROJECT / "notebooks", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.check:
        problems = list(drift(options.folder))
        print("\n".join([*problems, "run `make exercises`"] if problems else ["notebooks and exercises are in step"]))
        return int(bool(problems))
    print("changed:", ", ".join(write(options.folder)) or "nothing")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(str(error))
