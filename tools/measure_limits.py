"""What an STN cannot do, and what it costs: the recorded answers of notebook 11.

    python tools/measure_limits.py          (the digits that ship with the course; some 15 minutes of one CPU core)

Two questions, three seeds each, 3,000 training digits, the thousand shipped test digits:

- *oracle*: every digit is turned by 0, 1, 2 or 3 quarter turns, and a CNN learns with the turn undone exactly, by
  someone who knows it: on the input, on the maps after the first layer, after the second, or not at all.
- *price*: a CNN and an STN with the same CNN behind it learn from digits turned by any angle, anew in every step, for
  2 to 32 epochs. What each training cost is measured in seconds of CPU time, so that one may compare at equal cost. The
  localization network's rate is chosen once, from three, on 1,000 training digits that are held out; test digits choose
  nothing.

Results are written after every run, and runs that are there already are not repeated.
"""

import json
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import (
    FAST_RECIPE,
    DigitCNN,
    Digits,
    Sampler,
    STNClassifier,
    affine_grid,
    affine_theta,
    evaluate,
    fit,
    load_digits,
)
from stncourse.training.history import describe_hardware

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "limits_of_an_stn.json"
RECIPE = FAST_RECIPE.but(localization_until=1.0)
SEEDS, FACTORS = (0, 1, 2), (0.1, 0.3, 1.0)
UNDO, ORACLE_EPOCHS = ("nowhere", "after layer 2", "after layer 1", "input"), (2, 8)
NETWORKS = {"CNN": DigitCNN, "STN + CNN": STNClassifier}
PRICE_EPOCHS = {"CNN": (2, 4, 8, 16), "STN + CNN": (2, 4, 8)}  # the CNN's go on until they cost as much


def quarters(images, sign):
    """Turn the k-th quarter of a batch by k quarter turns, k = 0, 1, 2, 3."""
    return torch.cat([torch.rot90(part, sign * k, (-2, -1)) for k, part in enumerate(images.chunk(4))])


class WithOracle(nn.Module):
    """Digits come turned, and the turn is undone exactly at one place of the network. Upright digits in."""

    def __init__(self, undo):
        super().__init__()
        self.cnn, self.undo = DigitCNN(), undo

    def forward(self, images):
        images = quarters(images, +1)
        if self.undo == "input":
            images = quarters(images, -1)
        maps = F.relu(F.max_pool2d(self.cnn.conv1(images), 2))
        if self.undo == "after layer 1":
            maps = quarters(maps, -1)
        maps = F.relu(F.max_pool2d(self.cnn.conv2(maps), 2))
        if self.undo == "after layer 2":
            maps = quarters(maps, -1)
        return F.log_softmax(self.cnn.fc2(F.relu(self.cnn.fc1(maps.flatten(1)))), dim=1)


def any_angle(images, generator):
    """Raw digits, each turned by its own random angle."""
    angles = 360 * torch.rand(len(images), generator=generator)
    return Sampler()(images.float(), affine_grid(affine_theta(rotation=angles), (28, 28)))


def train(make, digits, recipe, seed, transform=None):
    """A trained network, and the seconds of CPU time that its steps took."""
    torch.manual_seed(seed)
    model = make()
    options = {"device": "cpu", "seed": seed, "transform": transform, "verbose": False}
    return model, sum(fit(model, digits, recipe=recipe, **options).column("cpu_seconds"))


def accuracy(model, digits):
    """Percent right."""
    return round(100 * evaluate(model, digits, "cpu").accuracy, 2)


def turned(digits):
    """The same digits, at fixed random angles."""
    images = any_angle(digits.images, torch.Generator().manual_seed(0)).round().byte()
    return Digits(images, digits.labels, digits.source)


def oracle(few, test, undo, epochs, seed):
    """One row: a CNN with the turn undone at one place."""
    model, _ = train(lambda: WithOracle(undo), few, RECIPE.but(epochs=epochs), seed)
    return {"accuracy": accuracy(model, test)}


def price(few, test, network, epochs, seed, factor):
    """One row: a network trained on digits at any angle."""
    recipe = RECIPE.but(epochs=epochs, localization_factor=factor or RECIPE.localization_factor)
    model, seconds = train(NETWORKS[network], few, recipe, seed, any_angle)
    scores = {"upright": accuracy(model, test), "any_angle": accuracy(model, turned(test))}
    return scores | {"cpu_seconds": round(seconds, 2)}


def add(record, part, measure, digits, **settings):
    """Measure once, unless it is in the record; its row."""
    for row in record[part]:
        if all(row[name] == value for name, value in settings.items()):
            return row
    row = settings | measure(*digits, **settings)
    record[part].append(row)
    print(part, row, flush=True)
    TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return row


def main():
    everything, test = (load_digits(split, source="offline") for split in ("train", "test"))
    few, held_out = everything.subset(slice(3000)), everything.subset(slice(4000, 5000))
    new = {"oracle": [], "validation": [], "price": [], "hardware": describe_hardware()}
    new |= {"torch": torch.__version__, "date": date.today().isoformat(), "recipe": RECIPE.name, "digits": len(few)}
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else new
    for epochs in ORACLE_EPOCHS:
        for undo in UNDO:
            for seed in SEEDS:
                add(record, "oracle", oracle, (few, test), undo=undo, epochs=epochs, seed=seed)
    choices = [
        add(record, "validation", price, (few, held_out), network="STN + CNN", epochs=8, seed=0, factor=factor)
        for factor in FACTORS
    ]
    best = max(choices, key=lambda row: row["any_angle"])["factor"]
    for epochs in PRICE_EPOCHS["CNN"]:
        for seed in SEEDS:
            for network in NETWORKS:  # one after the other, so that a busy machine is busy for both
                if epochs not in PRICE_EPOCHS[network]:
                    continue
                factor = None if network == "CNN" else best
                add(record, "price", price, (few, test), network=network, epochs=epochs, seed=seed, factor=factor)


if __name__ == "__main__":
    main()
