"""When does a transformer's freedom harm? The recorded answers of notebook 09.

    python tools/measure_freedom.py         (the digits that ship with the course; some 15 minutes of one CPU core)

Two questions, three seeds each:

- *bending*: sixty test digits, turned by up to ±30°, are each bent to look like the mean picture of every digit, by
  gradient descent on one family's numbers. How well do they fit the right template and the best wrong one, and how
  often is the best fit a wrong one, after 0 to 300 steps? No network learns anything here.
- *classifier*: a localization network, a family and one linear layer learn from RTS digits (turned, scaled and placed
  anew in every step). Errors on the thousand shipped test digits, distorted alike, and how far the grids moved.

Results are written after every run, and runs that are there already are not repeated.
"""

import json
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import (
    BACKGROUND,
    FAST_RECIPE,
    AffineGrid,
    AttentionGrid,
    Digits,
    ProjectiveGrid,
    Sampler,
    SimilarityGrid,
    SpatialTransformer,
    ThinPlateSplineGrid,
    affine_grid,
    affine_theta,
    evaluate,
    fit,
    load_digits,
    normalize,
)
from stncourse.data.distortions import Distortion
from stncourse.training.history import describe_hardware

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "freedom_of_families.json"
GRIDS = {
    "attention": AttentionGrid(),
    "similarity": SimilarityGrid(),
    "affine": AffineGrid(),
    "projective": ProjectiveGrid(),
    "thin plate": ThinPlateSplineGrid(),
}
FAMILIES = ("none", "affine", "thin plate")
SEEDS, SIZE, RATE, MARKS = (0, 1, 2), 60, 0.03, (0, 10, 30, 60, 100, 200, 300)
# Notebook 06's, for a transformer in front of one linear layer.
RECIPE = FAST_RECIPE.but(
    epochs=12, batch_size=128, learning_rate=0.003, localization_factor=1.0, localization_until=1.0
)


def bending(train, test, family, seed):
    """One row: how sixty digits fit the ten templates, after so many steps."""
    templates = torch.stack([(train.images[train.labels == d] / 255).mean(0) for d in range(10)]).flatten(1)
    some, sampler = test.subset(slice(seed * SIZE, (seed + 1) * SIZE)), Sampler()
    angles = 60 * torch.rand(SIZE, generator=torch.Generator().manual_seed(seed)) - 30
    turned = sampler(some.images / 255, affine_grid(affine_theta(angles), (28, 28)))
    images, targets = turned.repeat_interleave(10, 0), templates.repeat(SIZE, 1)
    numbers = GRIDS[family].identity().repeat(len(images), 1).requires_grad_()
    optimizer = torch.optim.Adam([numbers], lr=RATE)
    row = {"steps": list(MARKS), "right": [], "wrong": [], "error": []}
    for step in range(MARKS[-1] + 1):
        bent = sampler(images, GRIDS[family](numbers, (28, 28))).flatten(1)
        apart = 1 - F.cosine_similarity(bent, targets)
        if step in MARKS:
            table = apart.detach().reshape(-1, 10)
            labels = some.labels[:, None]
            row["right"].append(round(table.gather(1, labels).mean().item(), 4))
            row["wrong"].append(round(table.scatter(1, labels, torch.inf).amin(1).mean().item(), 4))
            row["error"].append(round(100 * (table.argmin(1) != some.labels).double().mean().item(), 1))
        optimizer.zero_grad()
        apart.sum().backward()
        optimizer.step()
    return row


class Looks(nn.Module):
    """A localization network, a family, and one linear layer."""

    def __init__(self, family):
        super().__init__()
        name, size = "tps" if family == "thin plate" else family, 28
        look = SpatialTransformer.for_images
        self.stn = None if name == "none" else look(42, family=name, output_size=size, padding_value=BACKGROUND)
        self.classifier = nn.Linear(42 * 42 if name == "none" else size * size, 10)

    def forward(self, images):
        seen = images if self.stn is None else self.stn(images)
        return F.log_softmax(self.classifier(seen.flatten(1)), dim=1)


def classifier(train, test, family, seed):
    """One row: errors in percent, and how far the grids went, in pixels of the input."""
    torch.manual_seed(seed)
    model, rts = Looks(family), Distortion("RTS", train)
    history = fit(model, train, recipe=RECIPE, device="cpu", seed=seed, transform=rts, verbose=False)
    row = {}
    for name, digits in (("train", train.subset(slice(1000))), ("held_out", test)):
        moved = Digits(rts(digits.images, torch.Generator().manual_seed(99)), digits.labels, digits.source)
        row[name] = round(100 * (1 - evaluate(model, moved, "cpu").accuracy), 1)
    if model.stn is not None:
        with torch.no_grad():
            grid = model.stn.transform(normalize(moved.images)).grid
        start = affine_grid(affine_theta(), (28, 28))
        row["moved"] = round((21 * (grid - start)).norm(dim=-1).mean().item(), 2)
        row["varies"] = round((21 * (grid - grid.mean(0))).norm(dim=-1).mean().item(), 2)
    return row | {"cpu_seconds": round(sum(history.column("cpu_seconds")), 1)}


def main():
    train, test = (load_digits(split, source="offline") for split in ("train", "test"))
    new = {"bending": [], "classifier": [], "hardware": describe_hardware(), "torch": torch.__version__}
    new |= {"date": date.today().isoformat(), "recipe": RECIPE.name, "epochs": RECIPE.epochs, "digits": len(train)}
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else new
    for part, measure in (("bending", bending), ("classifier", classifier)):
        for seed in SEEDS:
            for family in FAMILIES if part == "classifier" else GRIDS:
                if any((row["family"], row["seed"]) == (family, seed) for row in record[part]):
                    continue
                record[part].append({"family": family, "seed": seed} | measure(train, test, family, seed))
                print(part, record[part][-1], flush=True)
                TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
