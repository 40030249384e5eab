"""Is it better than the same CNN without an STN? The recorded answer of notebook 05.

    python tools/compare_with_without.py                  (needs MNIST; some 15 minutes of one CPU core)
    python tools/compare_with_without.py --only R RTS     (these tasks alone)

Each network is trained from scratch on all training digits, as they are and distorted, by FAST_RECIPE for four epochs,
without freezing anything, three seeds. The CNN alone is made wider or narrower until it has as many parameters as the
CNN with its transformer. FAST_RECIPE was chosen on validation digits that were not distorted; for each distortion, the
localization network's rate is chosen again, from two, on 5,000 digits held out of the training set. Test digits choose
nothing.

Results are written after every run, and runs that are there already are not repeated.
"""

import argparse
import json
from datetime import date
from pathlib import Path

import torch

from stncourse import FAST_RECIPE, DigitCNN, STNClassifier, evaluate, fit, load_digits
from stncourse.data.distortions import Distortion, distorted_test
from stncourse.training.history import describe_hardware

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "with_and_without_stn.json"
RECIPE = FAST_RECIPE.but(epochs=4, localization_until=1.0)
TASKS, NETWORKS, SEEDS, FACTORS = ("none", "R", "RTS"), ("CNN", "CNN + STN"), (0, 1, 2), (0.1, 0.3)
# As many parameters as with the transformer: 27,868 for 27,360, on the large canvas 40,378 for 40,160.
WIDTHS = {"none": 1.13, "R": 1.13, "RTS": 0.86}


def make(network, distortion):
    size = 42 if distortion == "RTS" else 28
    # On the large canvas the transformer passes on a window of the digit's own size.
    return DigitCNN(size, width=WIDTHS[distortion]) if network == "CNN" else STNClassifier(size, output_size=28)


def run(network, distortion, seed, recipe, train, test):
    """Train and test one network; a row for the table."""
    transform = None
    if distortion != "none":
        transform, test = Distortion(distortion, train), distorted_test(test, distortion)
    torch.manual_seed(seed)
    model = make(network, distortion)
    history = fit(model, train, recipe=recipe, device="cpu", seed=seed, transform=transform, verbose=False)
    return {
        "network": network,
        "distortion": distortion,
        "localization_factor": recipe.localization_factor if network == "CNN + STN" else None,
        "seed": seed,
        "error": round(100 * (1 - evaluate(model, test, "cpu").accuracy), 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "hardware": describe_hardware(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def new_record():
    return {"recipe": RECIPE.name, "epochs": RECIPE.epochs, "validation": [], "runs": []}


def add(record, part, network, distortion, seed, factor, digits):
    """Make a run, unless it is in the record; its row."""
    for row in record[part]:
        same = (row["network"], row["distortion"], row["seed"]) == (network, distortion, seed)
        if same and row["localization_factor"] in (factor, None):
            return row
    row = run(network, distortion, seed, RECIPE.but(localization_factor=factor), *digits)
    record[part].append(row)
    print(part, row, flush=True)
    TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, default=TASKS)
    tasks = parser.parse_args().only
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else new_record()
    train, test = load_digits("train", source="mnist"), load_digits("test", source="mnist")
    for distortion in tasks:
        factor = RECIPE.localization_factor
        if distortion != "none":
            choices = [
                add(record, "validation", "CNN + STN", distortion, 0, factor, train.split(5000)) for factor in FACTORS
            ]
            factor = min(choices, key=lambda row: row["error"])["localization_factor"]
        for network in NETWORKS:
            for seed in SEEDS:
                add(record, "runs", network, distortion, seed, factor, (train, test))


if __name__ == "__main__":
    main()
