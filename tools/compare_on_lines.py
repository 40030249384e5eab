"""What undoes a bent line of text? The recorded comparison of notebook 09.

    python tools/compare_on_lines.py            (some five minutes of one free CPU core)

The lines, the networks and their recipe are the notebook's own: its cells are run here. For each family the rate of its
localization network is chosen from two, on 1,000 lines of digits that are held out of the training digits. The test
lines choose nothing. Three seeds.

The reader without a transformer gets as many steps, and, "none, as long", half as many again, which take it about as
long as the sheet.

Results are written after every run, and runs that are there already are not repeated.
"""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import nbformat
import torch

from stncourse import curve_lines, digit_lines, evaluate, fit
from stncourse.training.history import describe_hardware

PROJECT = Path(__file__).parents[1]
TARGET = PROJECT / "stncourse" / "assets" / "lines.json"
CELLS = ("4902783e", "8df139b9", "09-lines-data", "09-lines-reader", "09-lines-network")
FAMILIES, FACTORS, SEEDS = ("affine", "thin plate"), (0.1, 0.3), (0, 1, 2)


def the_notebooks():
    """What the notebook's cells define."""
    notebook = nbformat.read(PROJECT / "notebooks" / "09_beyond_affine.ipynb", 4)
    sources = {cell.id: cell.source for cell in notebook.cells}
    names = {}
    for name in CELLS:
        exec(compile(sources[name], name, "exec"), names)
    return names


def held_out(digits):
    """Lines to learn from and bent lines to choose by, which share no digit."""
    generator = torch.Generator().manual_seed(1)
    kept, aside = digits.split(1000)
    kept, aside = digit_lines(kept, 3000, generator=generator), digit_lines(aside, 1000, generator=generator)
    return kept, replace(aside, images=curve_lines(aside.images, generator).images)


def run(page, lines, unseen, family, seed, factor):
    """Train and test one network; a row for the table."""
    recipe = page["by_labels"].but(localization_factor=factor or 1.0)
    if family.endswith("as long"):
        recipe = recipe.but(epochs=recipe.epochs * 3 // 2)
    torch.manual_seed(seed)
    model = page["reader_of_lines"](family.partition(",")[0])
    history = fit(model, lines, None, recipe, "cpu", seed=seed, transform=page["bent"], verbose=False)
    return {
        "right": round(100 * evaluate(model, unseen, "cpu").accuracy, 1),
        "epochs": recipe.epochs,
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "hardware": describe_hardware(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def add(record, part, page, lines, **settings):
    """Make a run, unless it is in the record; its row."""
    for row in record[part]:
        if all(row[name] == value for name, value in settings.items()):
            return row
    row = settings | run(page, *lines, **settings)
    record[part].append(row)
    print(part, row, flush=True)
    TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return row


def main():
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {"validation": [], "runs": []}
    page = the_notebooks()
    to_choose, best = held_out(page["train"]), {}
    for family in FAMILIES:
        rows = [add(record, "validation", page, to_choose, family=family, seed=0, factor=f) for f in FACTORS]
        best[family] = max(rows, key=lambda row: row["right"])["factor"]
    for seed in SEEDS:
        for family in ("none", *FAMILIES, "none, as long"):
            lines = page["lines"], page["unseen"]
            add(record, "runs", page, lines, family=family, seed=seed, factor=best.get(family))


if __name__ == "__main__":
    main()
