"""Exercises of notebook 01, data loading."""

import math

import torch

from stncourse.exercises.classic_mistakes import on_answer, on_argument
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
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
        (_raw_images(3, 1, 5, 4, seed=12), *one),
    ]


def _by_channel(formula):
    """A normalisation by another formula of (pixel from 0 to 1, mean, std)."""

    def wrong(images, mean, std):
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
        return formula(images / 255, mean, std)

    return wrong


def _of_the_images(axes, correction):
    """By the images' own mean and std, over these axes."""

    def wrong(images, mean, std):
        off = images / 255 - (images / 255).mean(axes, keepdim=True)
        count = off.numel() / off.mean(axes).numel()
        return off / (off.square().sum(axes, keepdim=True) / (count - correction)).sqrt()

    return wrong


NORMALIZE = Code(
    name="normalize",
    title="Normalise colour images",
    task="""
MNIST is grey. Write the normalisation for images with any number of channels, where each channel has its own mean and
std: $z = (p - \\text{mean}) / \\text{std}$, with $p$ in [0, 1]. The raw images are uint8, from 0 to 255.
""",
    hints=(
        "Three steps, in this order: scale to [0, 1], subtract the mean, divide by the std.",
        "A tensor of shape (C, 1, 1) lines up with the channels of (N, C, H, W): use `.view(-1, 1, 1)`.",
    ),
    solution=my_normalize,
    specification=_normalize_one_by_one,
    cases=_normalize_cases,
    axes="N C H W",
    mistakes={
        "not scaled to [0, 1]": (
            twist(on_argument(0, lambda images: images * 1.0 * 255)),
            "The pixels still run from 0 to 255. mean and std belong to pixels in [0, 1], so divide by 255 first.",
        ),
        "divided before subtracted": (
            _by_channel(lambda p, mean, std: p / std - mean),
            "You divide by the std first and subtract the mean afterwards. Subtract first: the brackets matter.",
        ),
        "brackets missing": (
            _by_channel(lambda p, mean, std: p - mean / std),
            "Only the mean is divided by the std. Without brackets, / comes before −.",
        ),
        "mean and std exchanged": (
            twist(lambda right: lambda images, mean, std: right(images, std, mean)),
            "mean and std are exchanged: subtract the mean, divide by the std.",
        ),
        "255 in the wrong place": (
            lambda images, mean, std: _normalize_one_by_one(images * 1.0 * 255, mean, std) / 255,
            "You subtract the mean from pixels between 0 and 255, and divide by 255 afterwards. Scale first.",
        ),
        "not divided": (_by_channel(lambda p, mean, std: p - mean), "The mean is subtracted, but nothing is divided."),
        "mean not subtracted": (
            _by_channel(lambda p, mean, std: p / std),
            "The std divides, but the mean is not subtracted.",
        ),
        "multiplied by the std": (
            _by_channel(lambda p, mean, std: (p - mean) * std),
            "You multiply by the std. Normalising *divides* by it.",
        ),
        "the way back": (
            _by_channel(lambda p, mean, std: p * std + mean),
            "That undoes a normalisation: times std, plus mean. Here it goes the other way.",
        ),
        "variance for std": (
            _by_channel(lambda p, mean, std: (p - mean) / std**2),
            "You divide by the square of the std. Divide by the std itself.",
        ),
        "wrong axis": (
            ways(
                lambda images, mean, std: (images / 255 - torch.tensor(mean)) / torch.tensor(std),
                lambda images, mean, std: (
                    (images / 255 - torch.tensor(mean).view(-1, 1)) / torch.tensor(std).view(-1, 1)
                ),
                lambda images, mean, std: (
                    (images / 255 - torch.tensor(mean).view(-1, 1, 1, 1)) / torch.tensor(std).view(-1, 1, 1, 1)
                ),
            ),
            "The three numbers met another axis of the images than the channels: broadcasting lines shapes up from the "
            "last axis. Give them the shape (C, 1, 1).",
        ),
        "only the first channel's numbers": (
            ways(
                lambda images, mean, std: _normalize_one_by_one(images, mean[:1] * len(mean), std[:1] * len(std)),
                lambda images, mean, std: _normalize_one_by_one(images[:, :1], mean, std).expand(images.shape),
            ),
            "All channels got the numbers of the first. Each channel has its own.",
        ),
        "one mean for all channels": (
            lambda images, mean, std: _normalize_one_by_one(
                images, [sum(mean) / len(mean)] * len(mean), [sum(std) / len(std)] * len(std)
            ),
            "You average the numbers of the channels. Each channel has its own.",
        ),
        "by its own mean": (
            ways(
                *(
                    _of_the_images(axes, correction)
                    for axes in ((0, 2, 3), (0, 1, 2, 3), (2, 3), (1, 2, 3))
                    for correction in (1, 0)
                )
            ),
            "You compute mean and std from these images. Use the ones that are passed in: they belong to the whole "
            "data set, so that one image does not change with its neighbours in the batch.",
        ),
        "whole numbers": (
            twist(
                on_argument(0, lambda images: images // 255 * 255),
                on_argument(0, lambda images: (images / 255).round() * 255),
            ),
            "The pixels became whole numbers on the way to [0, 1]: only 0 and 1 are left. Use `/`, not `//`.",
        ),
    },
)


BACKGROUND = Question(
    name="background",
    title="What is black now?",
    task="""
Fashion-MNIST has mean 0.2860 and std 0.3530. What number does a black pixel become when it is normalised with these?
Give three decimals.
""",
    hints=("Put p = 0 into the formula.",),
    variable="new_black",
    answer=lambda: (0 - 0.2860) / 0.3530,
    tolerance=0.002,
    explanation="This is the number that belongs outside a normalised Fashion-MNIST image, as −0.424 does for MNIST. "
    "It depends on the data, not on the network.",
    mistakes={
        "zero padding": (0.0, "0 is what black was *before*. Normalising moves it: that is the trap of notebook 04."),
        "MNIST's background": (
            -0.1307 / 0.3081,
            "That is black for MNIST. Another data set has another mean and std, and so another black.",
        ),
        "sign": (0.2860 / 0.3530, "The sign is wrong: (0 − mean) is negative. Black lies *below* the mean."),
        "not divided": (-0.2860, "You subtracted the mean, but did not divide by the std."),
        "white": ((1 - 0.2860) / 0.3530, "That is white, p = 1. Black is p = 0."),
        "mean and std exchanged": (-0.3530 / 0.2860, "Mean and std are exchanged: the mean is subtracted."),
        "multiplied by the std": (-0.2860 * 0.3530, "You multiplied by the std. Normalising *divides* by it."),
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


def _mean_and_std_at_once(batches, correction=0):
    pixels = torch.cat([images.flatten() for images in batches]).double() / 255
    return pixels.mean().item(), pixels.std(correction=correction).item()


def _mean_and_std_of_a_sample(batches):
    return _mean_and_std_at_once(batches, correction=1)


def _of_batches(weighed, correction):
    """The batches' means and stds, averaged; weighed by their sizes or not."""

    def wrong(batches):
        weights = [images.numel() if weighed else 1 for images in batches]
        each = [_mean_and_std_at_once([images], correction) for images in batches]
        return tuple(sum(w * pair[i] for w, pair in zip(weights, each, strict=True)) / sum(weights) for i in (0, 1))

    return wrong


def _only_stds_of_batches(weighed, correction):
    average = _of_batches(weighed, correction)
    return lambda batches: (_mean_and_std_at_once(batches)[0], average(batches)[1])


def _variances_of_batches(weighed):
    def wrong(batches):
        weights = [images.numel() if weighed else 1 for images in batches]
        each = [_mean_and_std_at_once([images])[1] ** 2 for images in batches]
        variance = sum(w * v for w, v in zip(weights, each, strict=True)) / sum(weights)
        return _mean_and_std_at_once(batches)[0], math.sqrt(variance)

    return wrong


def _squared_as_bytes(batches):
    """uint8 has no 256: 16² is 0."""
    count = sum(images.numel() for images in batches)
    mean = _mean_and_std_at_once(batches)[0]
    squares = sum(images.square().double().sum().item() for images in batches) / 255**2
    return mean, math.sqrt(max(squares / count - mean**2, 0))


def _root_or_nan(number):
    return number**0.5 if number >= 0 else math.nan


def _counting(count_of, root=_root_or_nan):
    """Something else than pixels is counted."""

    def wrong(batches):
        count = count_of(batches)
        pixels = torch.cat([images.flatten() for images in batches]).double() / 255
        mean = pixels.sum().item() / count
        return mean, root(pixels.square().sum().item() / count - mean**2)

    return wrong


def _mean_not_squared(batches):
    mean, std = _mean_and_std_at_once(batches)
    return mean, _root_or_nan(std**2 + mean**2 - mean)


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
A large data set does not fit in memory: it comes in batches, and the last one is smaller. Compute the mean and the
standard deviation of *all* pixels, scaled to [0, 1], while you go through the batches once. (The check sees only your
two numbers. Divide by the number of pixels n, or by n − 1 as `torch.std` does: both are fine.)
""",
    hints=(
        "Keep three running totals: how many pixels, their sum, and the sum of their squares.",
        "The variance is the mean of the squares minus the square of the mean.",
        "uint8 cannot hold 256. Convert to float before you square.",
    ),
    solution=mean_and_std,
    specification=_mean_and_std_at_once,
    also_right=(_mean_and_std_of_a_sample,),
    cases=_batches_cases,
    mistakes={
        "mean of the batches' means": (
            ways(
                _of_batches(weighed=False, correction=0),
                _of_batches(weighed=False, correction=1),
                lambda batches: (_of_batches(False, 0)(batches)[0], _mean_and_std_at_once(batches)[1]),
            ),
            "You average the batches' means. The last batch is smaller, but counts as much as the others: "
            "add up pixels and their number.",
        ),
        "mean of the batches' stds": (
            ways(
                *(_only_stds_of_batches(weighed, correction) for weighed in (True, False) for correction in (0, 1)),
                _variances_of_batches(weighed=True),
                _variances_of_batches(weighed=False),
            ),
            "The mean is right. But the std of everything is not the average of the batches' stds: how far the batches "
            "lie from each other is lost. Add up the squares.",
        ),
        "not scaled to [0, 1]": (
            twist(on_answer(lambda pair: tuple(255 * value for value in pair))),
            "These are the numbers for pixels from 0 to 255. Scale to [0, 1].",
        ),
        "uint8 overflow": (
            _squared_as_bytes,
            "The squares overflowed: a uint8 counts up to 255 and starts again at 0, so 16² is 0. "
            "Convert to float *before* you square.",
        ),
        "variance for std": (
            twist(on_answer(lambda pair: (pair[0], pair[1] ** 2))),
            "That is the variance. The standard deviation is its square root.",
        ),
        "mean not subtracted": (
            twist(on_answer(lambda pair: (pair[0], math.hypot(*pair)))),
            "That is the root of the mean *square*. Subtract the square of the mean before you take the root.",
        ),
        "mean not squared": (
            _mean_not_squared,
            "You subtract the mean from the mean of the squares. Subtract the *square* of the mean.",
        ),
        "images counted, not pixels": (
            ways(
                *(
                    _counting(count_of, root)
                    for count_of in (lambda batches: sum(len(images) for images in batches), len)
                    for root in (_root_or_nan, math.sqrt, lambda number: max(number, 0) ** 0.5)
                )
            ),
            "You divide by the number of images or of batches. Divide by the number of *pixels*: `images.numel()`.",
        ),
        "only the last batch": (
            ways(
                lambda batches: _mean_and_std_at_once(batches[-1:]),
                lambda batches: _mean_and_std_at_once(batches[:1]),
                lambda batches: _mean_and_std_of_a_sample(batches[-1:]),
                lambda batches: _mean_and_std_of_a_sample(batches[:1]),
            ),
            "Only one batch counts: the totals start anew in each round, or the `return` stands inside the loop.",
        ),
        "std before mean": (twist(on_answer(lambda pair: pair[::-1])), "The two are exchanged: the mean comes first."),
    },
)

EXERCISES = (BACKGROUND, NORMALIZE, MEAN_AND_STD)
