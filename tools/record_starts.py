"""Where a localization network starts: the recorded answer of notebook 02, in stncourse/assets/starts.json.

    python tools/record_starts.py                  (needs MNIST; some 20 minutes of one CPU core)
    python tools/record_starts.py --only fast      (this recipe alone)

Three starts of the tutorial's network, alike in every weight but those of the localization network's last layer:

- identity: its weights 0, its bias the identity transform;
- bias only: its bias the identity, its weights as torch draws them;
- random: weights and bias as torch draws them.

Each is trained by the tutorial's recipe for five epochs and by FAST_RECIPE for its one, three seeds, on all training
digits but 5,000, which are measured after every epoch. Test digits are not read. Beside the accuracy, four times an
epoch, the area of the frames of 100 of the 5,000 is recorded, as a part of the image's. Results are written after every
run, and runs that are there already, of the same recipe, are not repeated.
"""

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path

import torch

from stncourse import FAST_RECIPE, TUTORIAL_RECIPE, STNClassifier, evaluate, fit, load_digits

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "starts.json"
RECIPES = {"tutorial": TUTORIAL_RECIPE.but(epochs=5), "fast": FAST_RECIPE}
STARTS, SEEDS = ("identity", "bias only", "random"), (0, 1, 2)


def make(start, seed):
    """The tutorial's network, its localization network's last layer at this start."""
    torch.manual_seed(seed)
    model = STNClassifier()
    last = model.stn.localization.fc_loc[-1]
    identity = last.bias.detach().clone()
    if start != "identity":
        last.reset_parameters()
    if start == "bias only":
        with torch.no_grad():
            last.bias.copy_(identity)
    return model


def mean_area(theta):
    """The frames' areas, as a part of the image's, on average."""
    return torch.linalg.det(torch.as_tensor(theta)[:, :, :2]).abs().mean().item()


def run(name, start, seed, train, validation):
    """Train one network; a row for the record."""
    recipe = RECIPES[name]
    model = make(start, seed)
    before = evaluate(model, validation, "cpu").accuracy
    every = -(-len(train) // recipe.batch_size) // 4
    probe = validation.images[:100]
    history = fit(model, train, validation, recipe, "cpu", seed=seed, probe=probe, probe_every=every, verbose=False)
    return {
        "recipe": name,
        "settings": asdict(recipe),
        "start": start,
        "seed": seed,
        "accuracy": [round(accuracy, 4) for accuracy in [before, *history.column("test_accuracy")]],
        "train_loss": [round(loss, 4) for loss in history.column("train_loss")],
        "area": [{"step": row["step"], "area": round(mean_area(row["theta"]), 4)} for row in history.theta],
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        **history.info,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    chosen = parser.parse_args().only
    torch.set_num_threads(1)
    train, validation = load_digits("train", source="mnist").split(5000)
    runs = json.loads(TARGET.read_text(encoding="utf-8"))["runs"] if TARGET.exists() else []
    runs = [row for row in runs if row["settings"] == asdict(RECIPES[row["recipe"]])]
    for name in chosen:
        for seed in SEEDS:
            for start in STARTS:
                if not any((row["recipe"], row["start"], row["seed"]) == (name, start, seed) for row in runs):
                    runs.append(run(name, start, seed, train, validation))
                    print(name, start, seed, runs[-1]["accuracy"], f"{runs[-1]['cpu_seconds']} s", flush=True)
                    TARGET.write_text(json.dumps({"runs": runs}, indent=1) + "\n", encoding="utf-8")
        for start in STARTS:
            rows = [row for row in runs if (row["recipe"], row["start"]) == (name, start)]
            after = [100 * row["accuracy"][-1] for row in rows]
            print(f"{name}, {start}: {statistics.mean(after):.1f} % of the validation digits, {len(rows)} seeds")


if __name__ == "__main__":
    main()
