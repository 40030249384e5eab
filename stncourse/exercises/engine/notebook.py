"""Reads a student's notebook: its cells, the checks in them, and which exercises it should have.

It is as generous as Jupyter: the cells are needed, not every detail of the format.
"""

import ast
import json
import warnings
from pathlib import Path

from stncourse.exercises import NOTEBOOKS, exercises_of, find


class NotANotebook(Exception):
    """The file is no notebook; the message says why."""


def read_cells(path):
    """The cells of a notebook of any format.

    Args:
        path: the file.

    Returns:
        A list of dicts: ``cell_type``, ``source`` (a text), ``metadata`` (a dict) and ``problem``: a sentence on a
        cell that cannot be run, else "".

    Raises:
        NotANotebook: it is not JSON, or there are no cells in it.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotANotebook(_place(data, error)) from error
    if not isinstance(content, dict):
        raise NotANotebook("no object at its top")
    # Before format 4 the cells lay on worksheets.
    sheets = [content] if "cells" in content else content.get("worksheets")
    if not isinstance(sheets, list) or not all(_has_cells(sheet) for sheet in sheets):
        raise NotANotebook("no list of cells")
    return [_cell(cell) for sheet in sheets for cell in sheet["cells"]]


def _has_cells(sheet):
    return isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)


def _place(data, error):
    """Where the JSON breaks: in words, with the number of the cell."""
    where = "too deeply nested"
    before = b""
    if isinstance(error, json.JSONDecodeError):
        where = f"{error.msg}, line {error.lineno}, column {error.colno}"
        before = error.doc[: error.pos].encode("utf-8", "surrogatepass")
    elif isinstance(error, UnicodeDecodeError):
        where, before = f"not {error.encoding}", data[: error.start]
    number = before.count(b'"cell_type"')
    return f"{where}, in cell {number}" if number else where


def _cell(cell):
    if not isinstance(cell, dict):
        return _broken(f"expected a cell, got {type(cell).__name__}")
    # Formats 2 and 3 call a code cell's source "input", format 1 "code".
    source = next((cell[key] for key in ("source", "input", "code") if key in cell), "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return _broken(f"source: expected a text or lines of text, got {type(source).__name__}")
    try:
        source.encode()
    except UnicodeEncodeError:
        return _broken("source: there is half a character in it (a lone surrogate)")
    metadata = cell.get("metadata")
    return {
        "cell_type": cell.get("cell_type"),
        "source": source,
        "metadata": metadata if isinstance(metadata, dict) else {},
        "problem": "",
    }


def _broken(problem):
    return {"cell_type": None, "source": "", "metadata": {}, "problem": problem}


def checks_in(cell):
    """(name, source of the answer) for each ``check("name", answer)`` that stands in a code cell, in its magics too."""
    if cell["cell_type"] != "code":
        return []
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        with warnings.catch_warnings(action="ignore"):  # on the student's escapes
            return list(_checks(TransformerManager().transform_cell(cell["source"])))
    except Exception:  # no Python, by IPython's many names
        return []


def _checks(source):
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
        if called in ("run_cell_magic", "run_line_magic") and node.args:  # what `%%time` and `%time` become
            inner = getattr(node.args[-1], "value", None)
            yield from checks_in({"cell_type": "code", "source": inner}) if isinstance(inner, str) else ()
        elif called == "check":
            given = dict(zip(("name", "attempt"), node.args, strict=False)) | {k.arg: k.value for k in node.keywords}
            name = getattr(given.get("name"), "value", None)
            if len(node.args) + len(node.keywords) == 2 and isinstance(name, str) and "attempt" in given:
                yield name, ast.unparse(given["attempt"])


def wanted_exercises(path, cells, seen=()):
    """The notebook's exercises, whether or not the student left their cells in: by its name, metadata and checks.

    ``seen``: the names that were checked when it ran.
    """
    keys = {Path(path).name[:2]} & set(NOTEBOOKS)
    names = set(seen)
    for cell in cells:
        about = cell["metadata"].get("stncourse")
        name = about.get("exercise") if isinstance(about, dict) else None
        names |= {name} if isinstance(name, str) else set()  # a list could not even be looked up
        names |= {name for name, _ in checks_in(cell)}
    keys |= {exercise.notebook for exercise in map(known_exercise, names) if exercise}
    return [exercise for key in sorted(keys) for exercise in exercises_of(key)]


def known_exercise(name):
    """The exercise of this name, or None where there is none."""
    try:
        return find(name) if isinstance(name, str) else None
    except ValueError:
        return None
