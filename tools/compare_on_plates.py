"""Does the one line help? The recorded comparison of notebook 12.

    python tools/compare_on_plates.py            (some five minutes of one free CPU core)

The pictures, the network and its recipe are the notebook's own: its cells are run here. The recipe was settled on
pictures held out of the training digits (batches of 32 and 64, 12 and 24 epochs). That this task and these two layers
are shown at all was decided by a first trial with seed 0, on other pictures of the test digits. Three seeds.

The network without the line gets as many steps, and, "six times as long", about as much time. A small convolutional
network, the tutorial's, shows what the line is worth to one that needs it less.

Results are written after every run, and runs that are there already are not repeated.
"""

import json
from datetime import date
from pathlib import Path

import nbformat
import torch
from torch import nn

from stncourse import DigitCNN, SpatialTransformer, evaluate, fit
from stncourse.training.history import describe_hardware

PROJECT = Path(__file__).parents[1]
TARGET = PROJECT / "stncourse" / "assets" / "plates.json"
CELLS = ("code-02", "code-04", "code-05", "code-07", "code-15", "12-15a")
KINDS = ("as it is", "shrunk to 28", "with the line", "as it is, six times as long", "CNN", "CNN with the line")
SEEDS = (0, 1, 2)


def the_notebooks():
    """What the notebook's cells define."""
    notebook = nbformat.read(PROJECT / "notebooks" / "12_your_own_experiments.ipynb", 4)
    sources = {cell.id: cell.source for cell in notebook.cells}
    names = {}
    for name in CELLS:
        exec(compile(sources[name], name, "exec"), names)
    return names


def make(page, kind):
    if kind == "CNN":
        return DigitCNN(42, 3, 3, dropout=0.0)
    if kind == "CNN with the line":
        line = SpatialTransformer.for_images(42, 3, output_size=28, padding_mode="border")
        return nn.Sequential(line, DigitCNN(28, 3, 3, dropout=0.0))
    return page["network"](kind)


def run(page, kind, seed):
    recipe = page["recipe"]
    if kind.endswith("long"):
        recipe = recipe.but(epochs=6 * recipe.epochs)
    torch.manual_seed(seed)
    model = make(page, kind)
    history = fit(model, page["kept"], None, recipe, "cpu", seed=seed, verbose=False)
    return {
        "network": kind,
        "seed": seed,
        "steps": recipe.epochs * -(-len(page["kept"]) // recipe.batch_size),
        "parameters": sum(p.numel() for p in model.parameters()),
        "validation": round(100 * evaluate(model, page["validation"], "cpu").accuracy, 2),
        "test": round(100 * evaluate(model, page["test"], "cpu").accuracy, 2),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "hardware": describe_hardware(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def main():
    rows = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else []
    page = the_notebooks()
    for kind in KINDS:
        for seed in SEEDS:
            if not any((row["network"], row["seed"]) == (kind, seed) for row in rows):
                rows.append(run(page, kind, seed))
                print(rows[-1], flush=True)
                TARGET.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
