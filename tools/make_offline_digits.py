"""Choose the digits that ship with the package: 500 of each class from MNIST's training set, 100 from its test set.

    python tools/make_offline_digits.py        (needs MNIST: STNCOURSE_MNIST_MIRROR, a cache, or the network)

The choice is random with a fixed seed, not the first ones: the first half of MNIST's test set was written by other
people, and is easier, than the second. The positions in the original files are stored beside the images.
"""

from pathlib import Path

import numpy as np

from stncourse.data.mnist import SPLITS, load_digits

PER_CLASS = {"train": 500, "test": 100}
TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "digits.npz"


def choose(labels, per_class, generator):
    """Positions of ``per_class`` digits of each class, in the order of the original file."""
    chosen = [generator.choice(np.flatnonzero(labels == digit), per_class, replace=False) for digit in range(10)]
    return np.sort(np.concatenate(chosen))


def main():
    arrays = {}
    for split in SPLITS:
        digits = load_digits(split, source="mnist")
        labels = digits.labels.numpy()
        index = choose(labels, PER_CLASS[split], np.random.default_rng(0))
        arrays[f"{split}_images"] = digits.images[index, 0].numpy()
        arrays[f"{split}_labels"] = labels[index].astype(np.uint8)
        arrays[f"{split}_index"] = index.astype(np.uint16)
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
