"""Exercises of notebook 01, data loading."""

import math

import torch

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import cases_by_size, seeded


def my_normalize(images, mean, std):
    """images (N, C, H, W) uint8; mean, std: one number per channel -> float32 (N, C, H, W)."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    return (images / 255 - mean) / std


def _normalize_one_by_one(images, mean, std):
    result = torch.zeros(images.shape, dtype=torch.float32)
    for n, image in enumerate(images):
        for c, channel in enumerate(image):
            result[n, c] = (channel.float() / 255 - mean[c]) / std[c]
    return result


def _raw_images(*shape, seed):
    return torch.randint(0, 256, shape, **seeded(seed, torch.uint8))


def _normalize_cases():
    one, three = ([0.1307], [0.3081]), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return [
        (torch.tensor([[[[0]]]], dtype=torch.uint8), *one),
        (_raw_images(1, 1, 1, 2, seed=1), *one),
        (_raw_images(1, 3, 2, 1, seed=2), *three),
        (_raw_images(3, 3, 2, 3, seed=3), *three),
        (_raw_images(2, 3, 3, 3, seed=4), *three),
    ]


def _on_the_wrong_axis(images, mean, std):
    """Broadcast along the width, where it fits."""
    if images.shape[-1] != len(mean):
        return _normalize_one_by_one(images, mean, std)
    return (images / 255 - torch.tensor(mean)) / torch.tensor(std)


NORMALIZE = Code(
    name="normalize",
    title="Normalise colour images",
    task="""
MNIST is grey. Write the normalisation for images of any number of channels, each with a mean and a std of its own:
$z = (p - \\text{mean}) / \\text{std}$, with $p$ in [0, 1]. The raw images are uint8, 0 to 255.
""",
    hints=(
        "Three steps, in this order: to [0, 1], subtract the mean, divide by the std.",
        "A tensor of shape (C, 1, 1) meets (N, C, H, W) at the channel: `.view(-1, 1, 1)`.",
    ),
    solution=my_normalize,
    specification=_normalize_one_by_one,
    cases=_normalize_cases,
    mistakes={
        "not scaled to [0, 1]": (
            lambda images, mean, std: _normalize_one_by_one(images * 1.0 * 255, mean, std),
            "The pixels are still 0 to 255: mean and std belong to pixels in [0, 1], so divide by 255 first.",
        ),
        "divided before subtracted": (
            lambda images, mean, std: torch.stack(
                [images[:, c] / 255 / std[c] - mean[c] for c in range(len(mean))], dim=1
            ),
            "You divide by the std first and then subtract the mean. Subtract first: "
            "the bracket in the formula matters.",
        ),
        "mean and std exchanged": (
            lambda images, mean, std: _normalize_one_by_one(images, std, mean),
            "Mean and std are exchanged: the mean is subtracted, the std divides.",
        ),
        "wrong axis": (
            _on_the_wrong_axis,
            "The three numbers met the *columns* of the image, not its channels: broadcasting starts at the last axis. "
            "Give them the shape (C, 1, 1).",
        ),
        "only the first channel's numbers": (
            lambda images, mean, std: _normalize_one_by_one(images, mean[:1] * len(mean), std[:1] * len(std)),
            "All channels got the numbers of the first: each has its own.",
        ),
    },
)


BACKGROUND = Question(
    name="background",
    title="What is black now?",
    task="""
Fashion-MNIST has mean 0.2860 and std 0.3530. What does a black pixel become when it is normalised with these two?
Three digits behind the point.
""",
    hints=("Put p = 0 into the formula.",),
    variable="new_black",
    answer=lambda: (0 - 0.2860) / 0.3530,
    tolerance=0.002,
    explanation="This is what has to lie outside a normalised Fashion-MNIST image, as −0.424 does for MNIST. It "
    "belongs to the data, not to the network.",
    mistakes={
        "zero padding": (0.0, "0 is what black was *before*. Normalising moves it: that is the trap of notebook 04."),
        "MNIST's background": (
            -0.1307 / 0.3081,
            "That is black for MNIST. Another data set has another mean and std, and another black.",
        ),
        "sign": (0.2860 / 0.3530, "The sign is wrong: (0 − mean) is negative. Black lies *below* the mean."),
        "not divided": (-0.2860, "You subtracted the mean, but did not divide by the std."),
    },
)


def mean_and_std(batches):
    """batches: list of uint8 (n, C, H, W), n may differ -> (mean, std) of all pixels in [0, 1]."""
    count, total, squares = 0, 0.0, 0.0
    for images in batches:
        pixels = images.double() / 255
        count += pixels.numel()
        total += pixels.sum().item()
        squares += pixels.square().sum().item()
    mean = total / count
    return mean, math.sqrt(squares / count - mean**2)


def _mean_and_std_at_once(batches):
    pixels = torch.cat([images.flatten() for images in batches]).double() / 255
    return pixels.mean().item(), pixels.std(correction=0).item()


def _mean_of_batches(batches):
    each = [_mean_and_std_at_once([images]) for images in batches]
    return sum(mean for mean, _ in each) / len(each), sum(std for _, std in each) / len(each)


def _std_of_batches(batches):
    sizes = [images.numel() for images in batches]
    each = [_mean_and_std_at_once([images])[1] for images in batches]
    std = sum(size * std for size, std in zip(sizes, each, strict=True)) / sum(sizes)
    return _mean_and_std_at_once(batches)[0], std


def _root_forgotten(batches):
    mean, std = _mean_and_std_at_once(batches)
    return mean, std**2


def _mean_not_subtracted(batches):
    mean, std = _mean_and_std_at_once(batches)
    return mean, math.sqrt(std**2 + mean**2)


def _squared_as_bytes(batches):
    """uint8 has no 256: 16² is 0."""
    count = sum(images.numel() for images in batches)
    mean = _mean_and_std_at_once(batches)[0]
    squares = sum(images.square().double().sum().item() for images in batches) / 255**2
    return mean, math.sqrt(max(squares / count - mean**2, 0))


def _batches_cases():
    several = [
        [torch.tensor([[[[0, 255]]]], dtype=torch.uint8)],
        [_raw_images(1, 1, 1, 3, seed=5), _raw_images(2, 1, 1, 3, seed=6)],
        [_raw_images(4, 3, 5, 4, seed=7), _raw_images(1, 3, 5, 4, seed=8) // 4],
        [_raw_images(8, 1, 7, 7, seed=9), _raw_images(8, 1, 7, 7, seed=10), _raw_images(3, 1, 7, 7, seed=11) // 2],
    ]
    return cases_by_size([(batches,) for batches in several])


MEAN_AND_STD = Code(
    name="mean_and_std",
    title="Mean and std in one pass (stretch)",
    task="""
A large data set does not fit in memory: it comes in batches, and the last one is smaller. Compute mean and standard
deviation of *all* pixels, scaled to [0, 1], going through the batches once. (std: the root of the mean squared
distance from the mean.)
""",
    hints=(
        "Carry three numbers along: how many pixels, their sum, and the sum of their squares.",
        "The variance is the mean of the squares minus the square of the mean.",
        "uint8 cannot hold 256. Convert to float before you square.",
    ),
    solution=mean_and_std,
    specification=_mean_and_std_at_once,
    cases=_batches_cases,
    mistakes={
        "mean of the batches' means": (
            _mean_of_batches,
            "You average the batches' means. The last batch is smaller, "
            "and counts as much as the others: count pixels.",
        ),
        "mean of the batches' stds": (
            _std_of_batches,
            "The mean is right. But the std of everything is not the average of the batches' stds: how far the batches "
            "lie from each other is lost. Add up the squares.",
        ),
        "not scaled to [0, 1]": (
            lambda batches: tuple(255 * value for value in _mean_and_std_at_once(batches)),
            "These are the numbers for pixels from 0 to 255. Scale to [0, 1].",
        ),
        "uint8 overflow": (
            _squared_as_bytes,
            "The squares went round: a uint8 counts up to 255 and starts again at 0, so 16² is 0. "
            "Convert to float *before* you square.",
        ),
        "variance for std": (_root_forgotten, "That is the variance. The standard deviation is its root."),
        "mean not subtracted": (
            _mean_not_subtracted,
            "That is the root of the mean *square*. Subtract the square of the mean before you take the root.",
        ),
    },
)

EXERCISES = (BACKGROUND, NORMALIZE, MEAN_AND_STD)
