"""Train the STNs that ship with the package, and measure what they do: "two customers" of notebooks 05 and 06.

    python tools/train_pretrained.py      (needs MNIST: STNCOURSE_MNIST_MIRROR, a cache, or the network; about an hour)

The same transformer has one of two customers. **CNN**: transformer and classifier are trained together, end to end, as
in ``compare_with_without.py``; a CNN reads most poses by itself. **linear**: first the transformer is trained in front
of one linear layer, which cannot read a digit in any pose but one; then the transformer is kept as it is, and the CNN
learns to read what it passes on. Three seeds each, on digits that are turned, scaled and moved on a 42×42 canvas
("RTS"), and for the CNN on digits that are only turned ("R"); the weights of seed 0 ship.

The learning rates are chosen on 5,000 digits held out of the training set, by the validation accuracy of the finished
network. Test digits choose nothing. Results are written after every run, and runs that are there are not repeated.
"""

import json
from pathlib import Path

import torch
from torch import nn

from stncourse import FAST_RECIPE, Digits, STNClassifier, distort, evaluate, fit, load_digits, normalize
from stncourse.data.distortions import Distortion
from stncourse.networks.weights import save_weights

ASSETS = Path(__file__).parents[1] / "stncourse" / "assets"
TARGET = ASSETS / "two_customers.json"
OUTPUT_SIZE, SEEDS = 28, (0, 1, 2)
CALM = FAST_RECIPE.but(batch_size=128, localization_until=1.0)
LOOK_WELL = CALM.but(name="look well", epochs=15, localization_factor=1.0)
READ = CALM.but(name="read", epochs=4, localization_factor=0.0)
#: Tried on validation digits: learning rates of LOOK_WELL, then of READ.
LOOK_RATES, READ_RATES = (0.0005, 0.001, 0.003), (0.002, 0.005)
#: Chosen on validation digits by ``compare_with_without.py``.
TOGETHER = FAST_RECIPE.but(name="together", localization_until=1.0, localization_factor=0.1)
#: On "RTS" for as many epochs as the other customer's network has had; on "R" as in ``compare_with_without.py``.
EPOCHS = {"RTS": LOOK_WELL.epochs + READ.epochs, "R": 4}


class LinearClassifier(nn.Module):
    """The transformer of an STNClassifier, and one linear layer behind it."""

    def __init__(self, stn):
        super().__init__()
        self.stn = stn
        self.linear = nn.Linear(OUTPUT_SIZE**2, 10)

    def forward(self, images):
        return self.linear(self.stn(images).flatten(1)).log_softmax(1)


def distorted(digits, distortion):
    """The same distortions every time, to measure on; and the θ that made them."""
    images, theta, _ = distort(digits.images, distortion, torch.Generator().manual_seed(1234))
    return Digits(images, digits.labels, digits.source), theta


def train_for_linear(train, distortion, seed, look_rate, read_rate):
    torch.manual_seed(seed)
    model = STNClassifier(42 if distortion == "RTS" else 28, output_size=OUTPUT_SIZE)
    recipes = LOOK_WELL.but(learning_rate=look_rate), READ.but(learning_rate=read_rate)
    options = {"device": "cpu", "seed": seed, "transform": Distortion(distortion, train), "verbose": False}
    first = LinearClassifier(model.stn)
    histories = [fit(first, train, recipe=recipes[0], **options), fit(model, train, recipe=recipes[1], **options)]
    return model, histories


def train_for_cnn(train, distortion, seed):
    torch.manual_seed(seed)
    model = STNClassifier(42 if distortion == "RTS" else 28, output_size=OUTPUT_SIZE)
    options = {"device": "cpu", "seed": seed, "transform": Distortion(distortion, train), "verbose": False}
    return model, [fit(model, train, recipe=TOGETHER.but(epochs=EPOCHS[distortion]), **options)]


def angle_of(theta):
    """Degrees clockwise that a frame is turned, whatever its size and shear."""
    sine, cosine = theta[:, 1, 0] - theta[:, 0, 1], theta[:, 0, 0] + theta[:, 1, 1]
    return torch.rad2deg(torch.atan2(sine, cosine))


def both(theta, true_theta):
    """From the window to the original digit: through the STN's θ, then through the distortion's."""
    last_row = torch.tensor([0.0, 0.0, 1.0]).expand(len(theta), 1, 3)
    return true_theta @ torch.cat([theta, last_row], dim=1)


def by_class(values, labels):
    return [values[labels == label] for label in labels.unique()]


def variance(pictures, labels):
    """Variance over the pictures of a class, relative to their mean square, so that a zoom alone does not count."""
    shares = [own.var(dim=0).mean() / own.square().mean() for own in by_class(pictures, labels)]
    return torch.stack(shares).mean().item()


def measure(model, digits, true_theta):
    """What a trained transformer does to distorted digits."""
    with torch.no_grad():
        made = model.eval().stn.transform(normalize(digits.images))
    turned, chosen = angle_of(true_theta), angle_of(made.theta)
    matrix = both(made.theta, true_theta)
    pairs = zip(by_class(turned, digits.labels), by_class(chosen, digits.labels), strict=True)
    x, y = (torch.cat(parts) for parts in zip(*((a - a.mean(), b - b.mean()) for a, b in pairs), strict=True))
    spreads = {
        name: torch.stack([own.std() for own in by_class(angle, digits.labels)]).mean().item()
        for name, angle in {"before": turned, "after": angle_of(matrix)}.items()
    }
    return {
        "degrees_of_frame_per_degree_of_digit": round(-((x * y).sum() / (x * x).sum()).item(), 4),
        "spread_of_angle_in_a_class": {name: round(value, 2) for name, value in spreads.items()},
        "pixels_off_the_middle": round(14 * matrix[:, :, 2].norm(dim=1).mean().item(), 3),
        "variance_in_a_class": round(variance((made.images * 0.3081 + 0.1307).clamp(0, 1), digits.labels), 4),
        "accuracy": evaluate(model, digits, "cpu").accuracy,
    }


def write(record):
    TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def chosen_rates(record, train, distortion):
    """The two learning rates for the linear customer: of the first training, then of the second."""
    rest, held_out = train.split(5000, seed=0)
    validation, _ = distorted(held_out, distortion)

    def accuracy(look_rate, read_rate):
        settings = {"distortion": distortion, "look_rate": look_rate, "read_rate": read_rate}
        for row in record["trials"]:
            if settings.items() <= row.items():
                return row["validation_accuracy"]
        model, _ = train_for_linear(rest, distortion, 0, look_rate, read_rate)
        row = settings | {"validation_accuracy": evaluate(model, validation, "cpu").accuracy}
        print("trial", row, flush=True)
        record["trials"].append(row)
        write(record)
        return row["validation_accuracy"]

    look_rate = max(LOOK_RATES, key=lambda rate: accuracy(rate, READ_RATES[-1]))
    return look_rate, max(READ_RATES, key=lambda rate: accuracy(look_rate, rate))


def main():
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {"trials": [], "runs": []}
    train = load_digits("train", source="mnist")
    for customer, distortion in (("CNN", "R"), ("CNN", "RTS"), ("linear", "RTS")):
        test, true_theta = distorted(load_digits("test", source="mnist"), distortion)
        for seed in SEEDS:
            key = {"customer": customer, "distortion": distortion, "seed": seed}
            if any(key.items() <= row.items() for row in record["runs"]):
                continue
            if customer == "CNN":
                settings = {"epochs": EPOCHS[distortion]}
                model, histories = train_for_cnn(train, distortion, seed)
            else:
                rates = chosen_rates(record, train, distortion)
                settings = {"epochs": EPOCHS["RTS"]} | dict(zip(("look_rate", "read_rate"), rates, strict=True))
                model, histories = train_for_linear(train, distortion, seed, *rates)
            row = key | settings | measure(model, test, true_theta)
            if seed == 0:
                save(model, histories, row)
            print(row, flush=True)
            record["runs"].append(row)
            write(record)


def save(model, histories, row):
    info = histories[-1].info | {
        "customer": row["customer"],
        "distortion": row["distortion"],
        "image_size": 42 if row["distortion"] == "RTS" else 28,
        "output_size": OUTPUT_SIZE,
        "epochs": {history.recipe["name"]: history.recipe["epochs"] for history in histories},
        "test_accuracy": row["accuracy"],
    }
    name = f"stn_{row['distortion']}_{row['customer']}.safetensors".lower()
    save_weights(model, info, ASSETS / name)


if __name__ == "__main__":
    main()
