"""Would the plain CNN catch up, had it as much time as the one with four transformers? Notebook 13's control.

    python tools/record_rows_same_time.py     (needs MNIST; some seven minutes of one CPU core)

ST-CNN Multi takes 2.2 times as many CPU seconds an epoch as the CNN: nine epochs of the CNN for four of Multi. All else
is as in ``python -m stncourse reproduce sequences --budget standard``. Interrupted, it goes on where it was.
"""

from pathlib import Path

from stncourse import load_digits
from stncourse.paper.budgets import Budget
from stncourse.paper.runs import reproduce
from stncourse.paper.sequences import BUDGETS, EXPERIMENT

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "sequences" / "same_time"
STANDARD = BUDGETS["standard"]

if __name__ == "__main__":
    budget = Budget(
        "same time",
        {"64px": 9},
        (("CNN", "64px"),),
        seeds=3,
        batch_size=STANDARD.batch_size,
        chosen="Epochs: as much CPU time as ST-CNN Multi has in four. The rest as in the budget 'standard'.",
        base=STANDARD.base,
    )
    train, test = (load_digits(split, source="mnist") for split in ("train", "test"))
    reproduce(EXPERIMENT, train, test, TARGET, budget=budget, device="cpu", precision="bfloat16")
