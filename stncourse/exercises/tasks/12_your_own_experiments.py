"""Exercises of notebook 12, your own experiments."""

import math

import torch

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import seeded


def background_of(images):
    """images (N, C, H, W) uint8 -> median of the border pixels, in [0, 1], float32 (C,)."""
    border = torch.ones(images.shape[-2:], dtype=torch.bool)
    border[1:-1, 1:-1] = False
    pixels = images[:, :, border]  # (N, C, how many)
    return pixels.transpose(0, 1).flatten(1).float().median(dim=1).values / 255


def _border_by_walking(images):
    """Collect the border pixels one by one, each once."""
    _, channels, height, width = images.shape
    values = []
    for c in range(channels):
        pixels = [
            int(image[c, i, j])
            for image in images
            for i in range(height)
            for j in range(width)
            if i in (0, height - 1) or j in (0, width - 1)
        ]
        pixels.sort()
        values.append(pixels[(len(pixels) - 1) // 2] / 255)
    return torch.tensor(values)


def _photographs():
    """A bright object on a darker background that differs from channel to channel, with some specks on the border."""
    cases = []
    for seed, (count, channels, height, width) in enumerate([(1, 1, 3, 3), (2, 1, 4, 5), (3, 3, 6, 5), (4, 2, 5, 9)]):
        images = torch.randint(0, 40, (count, channels, height, width), **seeded(seed, torch.uint8))
        images += (30 * torch.arange(1, channels + 1, dtype=torch.uint8)).view(1, -1, 1, 1)
        images[:, :, 1:-1, 1:-1] += 100
        images[0, :, 0, 0] = 255
        cases.append((images,))
    return cases


def _over(images, where, how):
    pixels = images[:, :, where].transpose(0, 1).flatten(1).float()
    return how(pixels) / 255


def _border(images):
    border = torch.ones(images.shape[-2:], dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return border


def _first_row(images):
    row = torch.zeros(images.shape[-2:], dtype=torch.bool)
    row[0] = True
    return row


def _median(pixels):
    return pixels.median(dim=1).values


BACKGROUND_OF = Code(
    name="background_of",
    title="What lies around your images?",
    task="""
For images of your own you have to say what lies *outside* them, or there will be a bright frame. Write a good
guess: per channel, the median of all pixels on the border (first and last row, first and last column), scaled to
[0, 1]. The median does not mind some specks.
""",
    hints=(
        "A boolean (H, W) mask, True on the border, picks its pixels: `images[:, :, border]` is (N, C, how many).",
        "Bring C to the front and flatten the rest; `.median(dim=1).values` takes the lower of two middle ones.",
        "The median of uint8 first, then `/ 255`: or convert to float before.",
    ),
    solution=background_of,
    specification=_border_by_walking,
    cases=_photographs,
    mistakes={
        "mean for median": (
            lambda images: _over(images, _border(images), lambda pixels: pixels.mean(dim=1)),
            "That is the *mean* of the border: a few bright specks move it. The median does not mind them.",
        ),
        "whole image": (
            lambda images: _over(images, torch.ones(images.shape[-2:], dtype=torch.bool), _median),
            "You take all pixels: the object in the middle is in it. Only the border is background.",
        ),
        "only the first row": (
            lambda images: _over(images, _first_row(images), _median),
            "That is the first row alone. The border has four sides.",
        ),
        "not scaled to [0, 1]": (
            lambda images: _over(images, _border(images), _median) * 255,
            "The numbers are still 0 to 255. Scale to [0, 1].",
        ),
        "one number for all channels": (
            lambda images: _median(images[:, :, _border(images)].flatten()[None].float()).expand(images.shape[1]) / 255,
            "All channels got the same number. A background has a colour: one number per channel.",
        ),
    },
)

STEPS = Question(
    name="steps_per_epoch",
    title="Several processes",
    task="""
50,000 images, four processes, a batch of 64 *in each process*. Each process sees a quarter of the images; a last,
smaller batch counts as a step. How many steps has an epoch?
""",
    hints=(
        "How many images does one process see?",
        "12,500 images in batches of 64: how many batches, the last one smaller?",
    ),
    variable="steps",
    answer=lambda: math.ceil(50_000 / 4 / 64),
    explanation="12,500 images per process make 195 full batches and a smaller one. All processes step together, so "
    "the batch that a step learns from is 4 · 64 = 256 images: a reason to look at the learning rate.",
    mistakes={
        "one process": (
            math.ceil(50_000 / 64),
            "That would be one process alone. Four share the images, and step together.",
        ),
        "last batch dropped": (50_000 // 4 // 64, "The last, smaller batch counts: round up."),
        "batch shared out": (
            math.ceil(50_000 / 16),
            "You made the batch smaller by the number of processes. Here 64 is the batch in *each* process.",
        ),
        "divided twice": (math.ceil(50_000 / 16 / 64), "You divided by the four processes twice."),
    },
)

WHERE_TO_TUNE = Question(
    name="where_to_tune",
    title="Where do you choose?",
    task="""
You try twelve learning rates on your own data, take the best, and want to report how good the network is. By which
digits do you *choose* the rate? `"train"`, `"validation"`, `"test"`, or `"both"` (test and validation together)?
""",
    hints=("Which number do you want to believe in the end?",),
    variable="chosen_by",
    options=("train", "validation", "test", "both"),
    answer=lambda: "validation",
    explanation="Choose on validation digits, report on test digits, once.",
    mistakes={
        "chosen by the training loss": (
            "train",
            "The training loss rewards learning by heart: "
            "the largest network with the longest training would always win.",
        ),
        "chosen by the test set": (
            "test",
            "Then the reported number is the best of twelve draws: it flatters, and nothing is left to notice it.",
        ),
        "test set not kept apart": (
            "both",
            "As soon as test digits take part in choosing, their answer is no longer honest.",
        ),
    },
)

EXERCISES = (WHERE_TO_TUNE, STEPS, BACKGROUND_OF)
