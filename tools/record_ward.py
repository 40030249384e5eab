"""Train the clinic's patients, ill and well, and record what happens: the ward of notebook 08.

    python tools/record_ward.py      (on the digits that ship; five seeds, about eight minutes on one core)

Each run is ``patient_with(ailment, seed).train()``. A patient who has been cured before the training is the healthy one
of the same seed, weight for weight (``tests/training/test_patients.py``), so that "before and after" compares a run
with the healthy run of its seed. Results are written after every run, and runs that are there are not repeated.
"""

import json
from pathlib import Path

import torch

from stncourse import diagnose
from stncourse.training.history import describe_hardware
from stncourse.training.patients import AILMENTS, patient_with

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "ward.json"
SEEDS = range(5)
SHOWN = 8  # digits whose last θ is kept, of the first seed
MEASURES = ("largest", "size", "on_image", "spread", "moved")


def main():
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {"runs": []}
    record["hardware"], record["torch"] = describe_hardware(), torch.__version__
    for seed in SEEDS:
        for ailment in AILMENTS:
            key = {"ailment": ailment, "seed": seed}
            if any(key.items() <= run.items() for run in record["runs"]):
                continue
            history = patient_with(ailment, seed).train()
            found = diagnose(history)
            run = key | {
                "train_loss": [round(loss, 4) for loss in history.column("train_loss")],
                "test_accuracy": history.column("test_accuracy"),
                "diagnose": found.name,
                "measures": {name: round(found.measures[name], 5) for name in MEASURES},
            }
            if seed == SEEDS[0]:
                run["theta"] = history.theta[-1]["theta"][:SHOWN]
            print({name: value for name, value in run.items() if name != "theta"}, flush=True)
            record["runs"].append(run)
            TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
