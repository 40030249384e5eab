"""What the recipes reach: test accuracy of three seeds each, written to stncourse/assets/recipes.json.

    python tools/record_recipes.py                (needs MNIST; some 8 minutes of one CPU core)
    python tools/record_recipes.py --only fast

Recipes were chosen on 5,000 digits held out of the training set (benchmarks/RESULTS.md has the table); here they train
on all 60,000, and the test digits are read once. Results are written after every run, and runs that are there already,
of the same recipe, are not repeated.
"""

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path

import torch

from stncourse import BEST_RECIPE, FAST_RECIPE, STNClassifier, evaluate, fit, load_digits

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "recipes.json"
RECIPES, SEEDS = {recipe.name: recipe for recipe in (FAST_RECIPE, BEST_RECIPE)}, (0, 1, 2)


def run(recipe, seed, train, test):
    """Train by a recipe; a row for the record."""
    torch.manual_seed(seed)
    model = STNClassifier()
    history = fit(model, train, recipe=recipe, device="cpu", seed=seed)
    return {
        "recipe": asdict(recipe),
        "test_accuracy": evaluate(model, test, "cpu").accuracy,
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "seconds": round(sum(history.column("seconds")), 1),
        **history.info,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    chosen = [RECIPES[name] for name in parser.parse_args().only]
    torch.set_num_threads(1)
    train, test = (load_digits(split, source="mnist") for split in ("train", "test"))
    rows = json.loads(TARGET.read_text(encoding="utf-8"))["runs"] if TARGET.exists() else []
    rows = [row for row in rows if row["recipe"] in map(asdict, RECIPES.values())]
    for recipe in chosen:
        for seed in SEEDS:
            if not any((row["recipe"], row["seed"]) == (asdict(recipe), seed) for row in rows):
                rows.append(run(recipe, seed, train, test))
                TARGET.write_text(json.dumps({"runs": rows}, indent=1) + "\n", encoding="utf-8")
        accuracies = [100 * row["test_accuracy"] for row in rows if row["recipe"] == asdict(recipe)]
        seconds = [row["cpu_seconds"] for row in rows if row["recipe"] == asdict(recipe)]
        print(
            f"{recipe.name}: {statistics.mean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f} % of the test "
            f"digits, mean ± std of {len(accuracies)} seeds; {statistics.mean(seconds):.0f} CPU seconds each"
        )


if __name__ == "__main__":
    main()
