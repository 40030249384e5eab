"""Does the bright frame spoil a training run? The recorded answer of notebook 04.

    python tools/record_padding.py      (needs no download; some ten minutes of one CPU core)

The same network is trained twice from the same start: once its sampler pads with 0 *after* normalisation, which is
grey, once with what background is there, −0.424. Four cases in which it might matter: a small classifier; a transformer
before one linear layer, which depends on it; the same, started with a frame twice as large as the canvas, three
quarters of which lie outside; clutter. Three seeds each, on the digits that ship with the course: 5,000 to train on,
1,000 to test. Test digits choose nothing. ``outside`` is the share of output pixels that look outside the image, at
the end.

Results are written after every run, and runs that are there already are not repeated.
"""

import json
import time
from datetime import date
from pathlib import Path

import torch
from train_pretrained import LinearClassifier

from stncourse import (
    BACKGROUND,
    FAST_RECIPE,
    DigitCNN,
    STNClassifier,
    affine_theta,
    evaluate,
    fit,
    load_digits,
    normalize,
)
from stncourse.data.distortions import Distortion, distorted_test
from stncourse.training.history import describe_hardware

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "padding.json"
SEEDS, PADDINGS = (0, 1, 2), (0.0, BACKGROUND)
CALM = FAST_RECIPE.but(localization_until=1.0, localization_factor=1.0)
LOOK = CALM.but(learning_rate=0.003)
#: Name: distortion, canvas, width of the classifier (None: one linear layer), scale of the first frame, recipe.
CASES = {
    "small CNN": (None, 28, 0.2, 1.0, CALM.but(epochs=8)),
    "linear layer, far start": ("RTS", 42, None, 2.0, LOOK.but(epochs=12)),
    "linear layer": ("RTS", 42, None, 1.0, LOOK.but(epochs=12)),
    "clutter": ("TC", 60, 0.5, 1.0, LOOK.but(epochs=8, localization_factor=0.3)),
}


def make(size, width, scale, padding):
    model = STNClassifier(size, output_size=28, padding_value=padding)
    with torch.no_grad():
        model.stn.localization.fc_loc[-1].bias.copy_(affine_theta(scale=scale).flatten())
    if width is None:
        return LinearClassifier(model.stn)
    model.classifier = DigitCNN(28, width=width)
    return model


def run(case, padding, seed, train, test):
    """Train and test one network; a row of the record."""
    distortion, size, width, scale, recipe = CASES[case]
    transform = None
    if distortion is not None:
        transform, test = Distortion(distortion, train), distorted_test(test, distortion)
    torch.manual_seed(seed)
    model, started = make(size, width, scale, padding), time.process_time()
    fit(model, train, recipe=recipe, device="cpu", seed=seed, transform=transform, verbose=False)
    accuracy = evaluate(model, test, "cpu").accuracy
    with torch.no_grad():
        grid = model.eval().stn.transform(normalize(test.images[:500])).grid
    return {
        "case": case,
        "padding": round(padding, 3),
        "seed": seed,
        "error": round(100 * (1 - accuracy), 2),
        "outside": round((grid.abs() > 1).any(-1).float().mean().item(), 3),
        "cpu_seconds": round(time.process_time() - started, 1),
        "hardware": describe_hardware(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def main():
    rows = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else []
    done = {(row["case"], row["padding"], row["seed"]) for row in rows}
    train, test = load_digits("train", source="offline"), load_digits("test", source="offline")
    for case in CASES:
        for seed in SEEDS:
            for padding in PADDINGS:
                if (case, round(padding, 3), seed) not in done:
                    rows.append(run(case, padding, seed, train, test))
                    print(rows[-1], flush=True)
                    TARGET.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
