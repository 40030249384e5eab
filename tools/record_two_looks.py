"""Two digits in one picture, over three seeds: what notebook 13 says of where its frames start.

    python tools/record_two_looks.py            (some eight minutes of one CPU core)

The networks, the data and the loss are those of the notebook's own cells.
"""

from pathlib import Path

import nbformat
import torch

from stncourse import fit
from stncourse.paper.cells import write_json

PROJECT = Path(__file__).parents[1]
TARGET = PROJECT / "stncourse" / "assets" / "two_looks.json"
CELLS = ("13-imports", "13-data", "13-one-look-code", "13-two-looks-code", "13-loss-code")


def main():
    cells = nbformat.read(PROJECT / "notebooks" / "13_many_things.ipynb", as_version=4).cells
    names = {}
    for cell in cells:
        if cell.id in CELLS:
            exec(cell.source, names)
    two = names["TwoLooks"]
    settings = {  # what it is called -> (how a network is made, epochs)
        "one look": (names["OneLook"], 2),
        "one look, four epochs": (names["OneLook"], 4),
        "left and right": (two, 2),
        "both the whole picture": (lambda: two([[1.0, 0.0, 0.0]] * 2), 2),
        "both the middle": (lambda: two([[0.5, 0.0, 0.0]] * 2), 2),
    }
    rows = []
    for name, (make, epochs) in settings.items():
        for seed in range(3):
            torch.manual_seed(seed)
            model, recipe = make(), names["recipe"].but(epochs=epochs)
            metrics = {"both_right": names["both_right"]}
            options = {"loss": names["reading_loss"], "metrics": metrics, "verbose": False}
            history = fit(model, names["train"], names["test"], recipe, "cpu", seed=seed, **options)
            right = round(100 * history.column("test_both_right")[-1], 1)
            seconds = round(sum(history.column("cpu_seconds")), 1)
            rows.append({"start": name, "epochs": epochs, "seed": seed, "right": right, "cpu_seconds": seconds})
            print(rows[-1], flush=True)
            write_json(TARGET, rows)


if __name__ == "__main__":
    main()
