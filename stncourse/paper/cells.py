"""Cells of the paper's tables as files, and those of table 1 that ship with the course."""

import json
import math
from importlib import resources
from statistics import fmean, stdev

import torch

from stncourse import _check
from stncourse._files import replacing
from stncourse.data.distortions import distort
from stncourse.networks.weights import load_weights
from stncourse.paper.networks import PAPER_MODELS, PaperNetwork
from stncourse.paper.paired import unpack
from stncourse.paper.paper_table import PaperTable

#: The columns of the table.
DISTORTIONS = ("R", "RTS", "P", "E", "TC")
#: Error in %, as in the paper's table 1 (R, RTS, P, E) and its text (TC, where it does not say of which family).
PAPER = {
    "FCN": {"R": 2.1, "RTS": 5.2, "P": 3.1, "E": 3.2, "TC": 13.2},
    "CNN": {"R": 1.2, "RTS": 0.8, "P": 1.5, "E": 1.4, "TC": 3.5},
    "ST-FCN Aff": {"R": 1.2, "RTS": 0.8, "P": 1.5, "E": 2.7, "TC": 2.0},
    "ST-FCN Proj": {"R": 1.3, "RTS": 0.9, "P": 1.4, "E": 2.6},
    "ST-FCN TPS": {"R": 1.1, "RTS": 0.8, "P": 1.4, "E": 2.4},
    "ST-CNN Aff": {"R": 0.7, "RTS": 0.5, "P": 0.8, "E": 1.2, "TC": 1.7},
    "ST-CNN Proj": {"R": 0.8, "RTS": 0.6, "P": 0.8, "E": 1.3},
    "ST-CNN TPS": {"R": 0.7, "RTS": 0.5, "P": 0.8, "E": 1.1},
}
#: Steps of 256 digits each, for every net in the paper.
PAPER_STEPS, PAPER_BATCH = 150_000, 256
#: All cells, (model, distortion), the most telling first.
CELLS = tuple(
    (model, kind)
    for models in (("ST-CNN Aff", "CNN"), ("ST-CNN TPS", "ST-CNN Proj"), PAPER_MODELS)
    for kind in DISTORTIONS
    for model in models
    if models is not PAPER_MODELS or "FCN" in model
)

TABLE1 = PaperTable(PAPER, DISTORTIONS, CELLS)


def choose_cells(patterns, paper=TABLE1):
    """The cells that patterns name; see :meth:`stncourse.paper.paper_table.PaperTable.choose`.

    >>> choose_cells(["CNN/R", "ST-CNN*/P"])
    [('CNN', 'R'), ('ST-CNN Aff', 'P'), ('ST-CNN TPS', 'P'), ('ST-CNN Proj', 'P')]
    """
    return paper.choose(patterns)


# A cell as a file


def cell_path(folder, model, kind):
    """Where a cell's JSON lies."""
    return _check.path("folder", folder) / f"{_slug(model, kind)}.json"


def _slug(model, kind):
    return f"{model.replace(' ', '-')}_{kind}".lower()


def read_cell(path, paper=TABLE1):
    """Read a cell's JSON, and refuse what contradicts itself.

    Args:
        path: the file.
        paper: the :class:`stncourse.paper.paper_table.PaperTable` that the cell belongs to.

    Returns:
        dict: ``model``, ``distortion`` (or what the columns of its table are), ``error`` (``mean``, ``std`` (None for
        one seed), ``seeds``, a list of errors in %), ``steps``, ``batch``, ``parameters``, ``seconds`` (of one run, the
        mean), ``hardware``, ``versions``, ``date``; and for whoever wants to know exactly ``budget``, ``recipe``,
        ``precision``, ``measured_on``, ``train_digits``, ``test_digits``, ``chosen`` and ``runs``, one dict per seed,
        with ``wrong``, the images it got wrong (:func:`stncourse.paper.paired.wrong_of`), where they were noted, and
        ``facts``, what else the experiment measured.

    Raises:
        FileNotFoundError: no such file. ValueError: it is not a whole and sound cell; the message says what is wrong.
    """
    path = _check.path("path", path)
    try:
        cell = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"path: expected a cell's JSON, {path.name} is none, or not a whole one ({error})") from error
    if problem := _problem(cell, paper):
        raise ValueError(f"path: expected a cell's JSON, in {path.name} {problem}")
    return cell


_FIELDS = {
    "model": str,
    "error": dict,
    "steps": int,
    "batch": int,
    "parameters": int,
    "seconds": float,
    "hardware": str,
    "versions": dict,
    "date": str,
    "budget": str,
    "recipe": dict,
    "precision": str,
    "measured_on": str,
    "train_digits": int,
    "test_digits": int,
    "chosen": str,
    "runs": list,
}


def _problem(cell, paper=TABLE1):
    """What is wrong with a cell, in words; None if nothing is."""
    if not isinstance(cell, dict):
        return f"is {_check.describe(cell)}"
    for name, kind in (_FIELDS | {paper.column: str}).items():
        if name not in cell:
            return f"{name!r} is missing"
        if not isinstance(cell[name], kind) or isinstance(cell[name], bool):
            return f"{name!r} is {_check.describe(cell[name])}"
    if (cell["model"], cell[paper.column]) not in paper.cells:
        return f"there is no cell {cell['model']!r} on {cell[paper.column]!r}"
    for name in ("steps", "batch", "parameters", "train_digits", "test_digits"):
        if cell[name] < 1:
            return f"{name!r} is {cell[name]}"
    runs = cell["runs"]
    numbers = [(run.get("seed"), run.get("error"), run.get("seconds")) if isinstance(run, dict) else () for run in runs]
    sound = runs and all(
        len(row) == 3 and type(row[0]) is int and all(type(value) in (int, float) for value in row[1:])
        for row in numbers
    )
    if not sound or not all(0 <= error <= 100 and 0 <= seconds < math.inf for _, error, seconds in numbers):
        return "'runs' are not runs"
    if len({seed for seed, _, _ in numbers}) < len(runs):
        return "a seed comes twice"
    for run in runs:
        if "wrong" in run and (problem := _wrong_problem(run, cell["test_digits"])):
            return problem
    if cell["error"] != summary_of(runs):
        return f"'error' is {cell['error']}, and its runs say {summary_of(runs)}"
    return None


def _wrong_problem(run, count):
    """What is wrong with a run's own digits; None if they are as many as its error says."""
    try:
        share = 100 * unpack(run["wrong"], count).double().mean().item()
    except (TypeError, ValueError) as error:
        return f"the digits of seed {run['seed']} cannot be read ({error})"
    if abs(share - run["error"]) > 1e-3:
        return f"seed {run['seed']} has {run['error']} % errors, and its digits say {share:.2f} %"
    return None


def summary_of(runs):
    """Mean, standard deviation and the errors themselves, of a list of runs."""
    errors = [run["error"] for run in runs]
    return {
        "mean": round(fmean(errors), 4),
        "std": round(stdev(errors), 4) if len(errors) > 1 else None,
        "seeds": errors,
    }


def read_results(folder, paper=TABLE1):
    """All cells of a table in a folder.

    Returns:
        dict, (model, distortion) -> cell as in :func:`read_cell`.

    Raises:
        ValueError: a JSON file in it is no sound cell, or lies under another cell's name.
    """
    results = {}
    for path in sorted(_check.path("folder", folder).glob("*.json")):
        cell = read_cell(path, paper)
        key = cell["model"], cell[paper.column]
        if path.name != cell_path(folder, *key).name:
            raise ValueError(f"path: expected a cell's JSON under its own name, {path.name} holds {key}")
        results[key] = cell
    return results


def load_table1():
    """The cells that were trained for the course, as they ship with it: (model, distortion) -> cell.

    How they were trained is in each cell; see :func:`stncourse.paper.cells.read_cell`. Made by ``make table1``.

    >>> load_table1()["CNN", "R"]["measured_on"]
    'test'
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "table1") as folder:
        return read_results(folder)


def load_paired():
    """CNN and ST-CNN Aff on R, trained for three epochs so that each run could note which digits it got wrong.

    Made by ``tools/compare_paired.py``; the long runs of :func:`load_table1` are older and did not.

    Returns:
        two cells, as from :func:`read_cell`.

    >>> [cell["model"] for cell in load_paired()]
    ['CNN', 'ST-CNN Aff']
    """
    cells = json.loads((resources.files("stncourse") / "assets" / "paired_r.json").read_text(encoding="utf-8"))
    for cell in cells:
        if problem := _problem(cell):
            raise ValueError(f"paired_r.json: expected sound cells, {problem}")
    return cells


def load_transformer(model, kind):
    """The spatial transformer of a cell that ships with the course (seed 0), without the classifier behind it.

    Args:
        model, kind: for example ``"ST-CNN Aff"``, ``"RTS"``.

    Returns:
        :class:`stncourse.SpatialTransformer` in eval mode, on the CPU: normalised images -> what the classifier saw
        (on RTS and TC before it was averaged ×2).

    Raises:
        FileNotFoundError: that one does not ship.

    >>> load_transformer("ST-CNN Aff", "RTS").output_size
    (56, 56)
    """
    size = distort(torch.zeros(2, 1, 28, 28), kind).images.shape[-2:]
    network = PaperNetwork(model, tuple(size))
    with resources.as_file(resources.files("stncourse") / "assets" / "table1") as folder:
        load_weights(network.stn, cell_path(folder, model, kind).with_suffix(".stn.safetensors"))
    return network.stn.eval()


def write_json(path, value):
    """Write a cell, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    with replacing(path, text=True) as file:
        file.write(text)


def table(results, paper=TABLE1):
    """The paper's table and ours, as text; see :meth:`stncourse.paper.paper_table.PaperTable.text`.

    >>> print(table({}).splitlines()[2])
    | FCN          | 2.1 / not run | 5.2 / not run | 3.1 / not run | 3.2 / not run | 13.2 / not run |
    """
    return paper.text(results)
