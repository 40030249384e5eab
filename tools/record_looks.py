"""Does a second look help? The recorded answer of notebook 12.

    python tools/record_looks.py           (needs MNIST; some eight minutes of one free CPU core)

RTS digits on 42×42 (turned, scaled, anywhere; each distorted anew in every step), the first 15,000 of the training set.
An STN with the tutorial's network behind it looks once, twice or three times; a look more adds no parameter, and costs
time. So the one that looks once also trains for twice as many epochs, which costs about what two looks do. FAST_RECIPE
without freezing; the localization network's rate is the one that `compare_with_without.py` chose for RTS, for one look,
on digits held out of the training set. Nothing was tuned for two looks or three. Three seeds, all 10,000 test digits.

Results are written after every run, and runs that are there already are not repeated.
"""

import json
from datetime import date
from pathlib import Path

import torch

from stncourse import BACKGROUND, FAST_RECIPE, SpatialTransformer, STNClassifier, evaluate, fit, load_digits
from stncourse.data.distortions import Distortion, distorted_test
from stncourse.training.history import describe_hardware

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "looks.json"
RECIPE = FAST_RECIPE.but(epochs=4, localization_until=1.0)  # localization ×0.1
DIGITS, SEEDS = 15_000, (0, 1, 2)
RUNS = ((1, 4), (2, 4), (3, 4), (1, 8))  # looks, epochs


def make(looks):
    """STNClassifier for 42×42, whose transformer looks so many times."""
    model = STNClassifier(42, output_size=28)
    model.stn = SpatialTransformer.for_images(42, output_size=28, padding_value=BACKGROUND, iterations=looks)
    return model


def run(looks, epochs, seed, train, test):
    """Train and test one network; a row for the table."""
    torch.manual_seed(seed)
    model, recipe = make(looks), RECIPE.but(epochs=epochs)
    history = fit(model, train, None, recipe, "cpu", seed=seed, transform=Distortion("RTS", train), verbose=False)
    return {
        "looks": looks,
        "epochs": epochs,
        "seed": seed,
        "error": round(100 * (1 - evaluate(model, test, "cpu").accuracy), 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "hardware": describe_hardware(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def main():
    rows = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else []
    train, test = (load_digits(split, source="mnist") for split in ("train", "test"))
    train, test = train.subset(slice(DIGITS)), distorted_test(test, "RTS")
    for looks, epochs in RUNS:
        for seed in SEEDS:
            if not any((row["looks"], row["epochs"], row["seed"]) == (looks, epochs, seed) for row in rows):
                rows.append(run(looks, epochs, seed, train, test))
                print(rows[-1], flush=True)
                TARGET.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
