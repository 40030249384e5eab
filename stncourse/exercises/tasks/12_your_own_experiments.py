"""Exercises of notebook 12, your own experiments."""

import math

import torch

from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS, in_both_types, seeded, thetas


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
    """A bright object on a darker background that differs from channel to channel, with specks on the border.

    The middle of the border's values is several pixels wide, so that it does not matter which of the two middle ones a
    median takes; and the corners are bright, so that it matters not to count them twice.
    """
    cases = []
    for seed, (count, channels, height, width) in enumerate([(1, 1, 3, 4), (2, 1, 4, 5), (3, 3, 6, 5), (4, 2, 5, 9)]):
        size = (count, channels, height, width)
        noise = torch.randint(0, 40, size, **seeded(seed, torch.uint8))
        images = torch.where(torch.rand(size, **seeded(seed)) < 0.25, noise, 20)
        images[:, :, 0] -= images[:, :, 0] // 2
        images[:, :, 1:-1, 1:-1] = 120 + noise[:, :, 1:-1, 1:-1]
        images[: (count + 1) // 2, :, :: height - 1, :: width - 1] = 100
        images += (30 * torch.arange(1, channels + 1, dtype=torch.uint8)).view(1, -1, 1, 1)
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


def _sides(images):
    """All four sides one after the other: the corners are in two of them."""
    sides = [images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]]
    return torch.cat([side.transpose(0, 1).flatten(1) for side in sides], dim=1).float()


def _median(pixels):
    return pixels.median(dim=1).values


BACKGROUND_OF = Code(
    name="background_of",
    title="What lies around your images?",
    task="""
A sampler may look past the edge of your images, and you have to say what colour it finds there. Write a good guess:
for each channel, the median of all border pixels of all images (first and last row, first and last column), scaled to
[0, 1]. A few bright specks do not move a median.
""",
    hints=(
        "A boolean (H, W) mask, True on the border, picks its pixels: `images[:, :, border]` is (N, C, how many).",
        "Bring C to the front and flatten the rest; then `.median(dim=1).values`.",
        "Take the median first, then divide by 255, or convert to float first: both are fine.",
    ),
    solution=background_of,
    specification=_border_by_walking,
    cases=_photographs,
    mistakes={
        "mean for median": (
            lambda images: _over(images, _border(images), lambda pixels: pixels.mean(dim=1)),
            "That is the *mean* of the border: a few bright specks move it. They do not move the median.",
        ),
        "whole image": (
            lambda images: _over(images, torch.ones(images.shape[-2:], dtype=torch.bool), _median),
            "You take all pixels, the object in the middle included. Only the border is background.",
        ),
        "only the first row": (
            lambda images: _over(images, _first_row(images), _median),
            "That is the first row only. The border has four sides.",
        ),
        "not scaled to [0, 1]": (
            lambda images: _over(images, _border(images), _median) * 255,
            "The numbers are still 0 to 255. Scale to [0, 1].",
        ),
        "one number for all channels": (
            lambda images: _median(images[:, :, _border(images)].flatten()[None].float()).expand(images.shape[1]) / 255,
            "All channels got the same number. A background has a colour: one number per channel.",
        ),
        "one number, no channels": (
            lambda images: _median(images[:, :, _border(images)].flatten()[None].float())[0] / 255,
            "That is a single number for all channels together. A background has a colour: (C,) numbers.",
        ),
        "one background per image": (
            lambda images: _median(images[:, :, _border(images)].flatten(0, 1).float()).view(images.shape[:2]) / 255,
            "That is one colour for *each image*, (N, C). One for all of them is wanted: put the pixels of all images "
            "together, then take the median.",
        ),
        "corners counted twice": (
            lambda images: _median(_sides(images)) / 255,
            "The four corners are counted twice: each of them is in a row *and* in a column. A mask over (H, W) counts "
            "every pixel once.",
        ),
    },
)


def theta_for_crop(crops, size):
    """crops (N, 4): left, top, width, height in pixels; size (H, W) -> θ (N, 2, 3)."""
    image_height, image_width = size
    left, top, width, height = crops.unbind(dim=1)
    zero = torch.zeros_like(left)
    x = torch.stack([width / image_width, zero, (2 * left + width) / image_width - 1], dim=1)
    y = torch.stack([zero, height / image_height, (2 * top + height) / image_height - 1], dim=1)
    return torch.stack([x, y], dim=1)


def _from_edge_to_edge(crops, size):
    """One crop after the other: x = −1 has to land on its left edge, x = +1 on its right one, and so for y."""
    rows = []
    for left, top, width, height in crops.tolist():
        theta = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        for axis, (start, length, full) in enumerate([(left, width, size[1]), (top, height, size[0])]):
            first, last = start / full * 2 - 1, (start + length) / full * 2 - 1
            theta[axis][axis], theta[axis][2] = (last - first) / 2, (last + first) / 2
        rows.append(theta)
    return torch.tensor(rows, dtype=crops.dtype)


def _some_crops():
    sizes = [(4, 4), (6, 10), (60, 40), (64, 64)]
    cases = []
    for count, ((height, width), keywords) in enumerate(in_both_types(sizes), 1):
        part = torch.rand(count, 4, **keywords)
        full = torch.tensor([width, height], dtype=part.dtype)
        extent = (0.2 + 0.5 * part[:, 2:]) * full
        corner = part[:, :2] * (full - extent)
        cases.append((torch.cat([corner, extent], dim=1), (height, width)))
    return cases


def _crop(change):
    """θ with a change: (scale, shift, crop's start and length, the image's) -> (scale, shift), for each axis."""

    def wrong(crops, size):
        theta = _from_edge_to_edge(crops, size)
        for axis, full in enumerate((size[1], size[0])):
            scale, shift = change(theta[:, axis, axis], theta[:, axis, 2], crops[:, axis], crops[:, axis + 2], full)
            theta[:, axis, axis], theta[:, axis, 2] = scale, shift
        return theta

    return wrong


THETA_FOR_CROP = Code(
    name="theta_for_crop",
    title="A frame in pixels, a θ in [−1, 1]",
    task="""
You know where something is: so many pixels from the left, so many from the top, so wide, so high, all counted from the
image's edge. Which θ has exactly that as its frame? Remember both rulers: the image reaches from −1 to +1, edge to
edge, and θ maps the output's −1 to +1 onto the frame.
""",
    hints=(
        "The diagonal of θ is half the frame's size in units of [−1, 1]. The whole image is 2 units wide.",
        "The last column is the *centre* of the frame: in pixels `left + width / 2`.",
        "A place of p pixels on a side of n pixels is at 2p/n − 1.",
    ),
    solution=theta_for_crop,
    specification=_from_edge_to_edge,
    cases=_some_crops,
    mistakes={
        "corner for centre": (
            _crop(lambda scale, shift, start, length, full: (scale, 2 * start / full - 1)),
            "The last column points at the frame's top left corner. It has to be the *centre*: (0, 0) of the output "
            "lands there.",
        ),
        "inverse scale": (
            _crop(lambda scale, shift, start, length, full: (1 / scale, shift)),
            "The scale is upside down. θ maps output → input: a small frame has a small scale.",
        ),
        "scale twice too large": (
            _crop(lambda scale, shift, start, length, full: (2 * scale, shift)),
            "The frame is twice too large: the output, too, is 2 units wide, from −1 to +1. width / W is enough.",
        ),
        "shift in pixels": (
            _crop(lambda scale, shift, start, length, full: (scale, start + length / 2)),
            "The centre is still in pixels. θ wants it on the ruler from −1 to +1.",
        ),
        "ruler from 0 to 1": (
            _crop(lambda scale, shift, start, length, full: (scale, (start + length / 2) / full)),
            "Your centre is on a ruler from 0 to 1. θ's goes from −1 to +1: times 2, minus 1.",
        ),
        "ruler from 0 to 2": (
            _crop(lambda scale, shift, start, length, full: (scale, shift + 1)),
            "The shift is 1 too large: the ruler starts at −1, not at 0.",
        ),
        "pixel centres at ±1": (
            _crop(
                lambda scale, shift, start, length, full: (
                    (length - 1) / (full - 1),
                    (2 * start + length - 1) / (full - 1) - 1,
                )
            ),
            "That is `align_corners=True`: −1 and +1 in the *centres* of the outer pixels. Here they are the edges, so "
            "nothing is divided by W − 1.",
        ),
        "x and y swapped": (
            lambda crops, size: _from_edge_to_edge(crops, size).flip(1, 2).roll(-1, 2),
            "x and y are swapped: the first row of θ makes x, from left and width.",
        ),
        "H and W swapped": (
            lambda crops, size: _from_edge_to_edge(crops, size[::-1]),
            "You divided by the wrong side: size is (H, W), height first. x belongs to W.",
        ),
        "y upwards": (
            lambda crops, size: _from_edge_to_edge(crops, size) * torch.tensor([[1.0], [-1]], dtype=crops.dtype),
            "The second row is negated: y points *down*, as `top` does.",
        ),
    },
)


def moved_pixels(theta, size):
    """theta (N, 2, 3), size (H, W) -> mean distance moved by the pixel centres, in pixels, (N,)."""
    height, width = size
    x = (2 * torch.arange(width, dtype=theta.dtype) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=theta.dtype) + 1) / height - 1
    y, x = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3)
    moved = places @ theta.transpose(1, 2) - places[:, :2]  # (N, H·W, 2)
    pixels = moved * torch.tensor([width, height], dtype=theta.dtype) / 2
    return pixels.norm(dim=-1).mean(dim=1)


def _moved_by_walking(theta, size, measure=lambda across, down: math.hypot(across, down), corners=False, join=None):
    height, width = size
    answers = []
    for (a, b, tx), (c, d, ty) in theta.tolist():
        distances = []
        for i in range(height):
            for j in range(width):
                x, y = (2 * j + 1) / width - 1, (2 * i + 1) / height - 1
                if corners:
                    x, y = 2 * j / max(width - 1, 1) - 1, 2 * i / max(height - 1, 1) - 1
                across, down = a * x + b * y + tx - x, c * x + d * y + ty - y
                distances.append(measure(across * width / 2, down * height / 2))
        answers.append((join or _mean)(distances))
    return torch.tensor(answers, dtype=theta.dtype)


def _mean(values):
    return sum(values) / len(values)


def _moving(size):
    """The walk with numbers in other units: the same θ on an image of this (height, width)."""
    return lambda theta, own: _moved_by_walking(theta, own, lambda x, y: math.hypot(*size(x, y, *own)))


MOVED_PIXELS = Code(
    name="moved_pixels",
    title="Does your transformer do anything?",
    task="""
A transformer in front of your network may sit at the identity all through the training, and do nothing. So measure
it. At every pixel centre of the image, θ looks somewhere else: how far away is that, in *pixels*? Return the mean
distance over all pixels of an image, for each θ. (The output is as large as the image.)
""",
    hints=(
        "The pixel centres lie at (2j + 1)/W − 1 across and (2i + 1)/H − 1 down: a grid, as in notebook 03.",
        "Subtract the identity's grid from θ's grid: (dx, dy) for each pixel, in units of [−1, 1].",
        "A unit is W/2 pixels across and H/2 pixels down. Then √(dx² + dy²), and the mean.",
    ),
    solution=moved_pixels,
    specification=_moved_by_walking,
    cases=lambda: [
        (thetas(count, dtype, count), size)
        for count, size in ((1, (1, 1)), (2, (2, 3)), (1, (5, 4)), (3, (7, 12)))
        for dtype in FLOATS
    ],
    mistakes={
        "not in pixels": (
            _moving(lambda x, y, height, width: (2 * x / width, 2 * y / height)),
            "That distance is in units of [−1, 1]. The whole image is only 2 of them wide: turn them into pixels.",
        ),
        "units twice too large": (
            _moving(lambda x, y, height, width: (2 * x, 2 * y)),
            "Twice too far: from −1 to +1 are *two* units, so one unit is W/2 pixels.",
        ),
        "H and W swapped": (
            _moving(lambda x, y, height, width: (x * height / width, y * width / height)),
            "Width and height are swapped: size is (H, W), and x goes with W.",
        ),
        "centre alone": (
            lambda theta, size: _moved_by_walking(
                theta * 0
                + torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=theta.dtype)
                + theta * torch.tensor([0.0, 0, 1], dtype=theta.dtype),
                size,
            ),
            "That is how far the *centre* moves: by this measure a turn or a zoom about the centre is nothing. First "
            "the distance at every pixel, then the mean.",
        ),
        "across plus down": (
            lambda theta, size: _moved_by_walking(theta, size, lambda x, y: abs(x) + abs(y)),
            "You added the way across and the way down. The distance is the straight line: √(dx² + dy²).",
        ),
        "mean of dx and dy": (
            lambda theta, size: _moved_by_walking(theta, size, lambda x, y: (abs(x) + abs(y)) / 2),
            "That averages dx and dy as if they were two distances. Each pixel has one: √(dx² + dy²).",
        ),
        "root not taken": (
            lambda theta, size: _moved_by_walking(theta, size, lambda x, y: x * x + y * y),
            "Those are squared pixels: the root is missing.",
        ),
        "root of the mean square": (
            lambda theta, size: _moved_by_walking(
                theta, size, lambda x, y: x * x + y * y, join=lambda squares: math.sqrt(_mean(squares))
            ),
            "You took the root after the mean (the root mean square). Take the root at every pixel, then the mean.",
        ),
        "largest for mean": (
            lambda theta, size: _moved_by_walking(theta, size, join=max),
            "That is the pixel that moves farthest. The mean over all pixels is wanted.",
        ),
        "pixel centres at ±1": (
            lambda theta, size: _moved_by_walking(theta, size, corners=True),
            "Your outer pixel centres lie at ±1: that is `linspace(-1, 1, W)`, the ruler of `align_corners=True`. ±1 "
            "are the image's edges; the centres lie half a pixel further in.",
        ),
    },
)

STEPS = Question(
    name="steps_per_epoch",
    title="Several processes",
    task="""
50,000 images, four processes, a batch of 64 *in each process*. Each process sees a quarter of the images, and a last,
smaller batch counts as a step. How many steps does an epoch have?
""",
    hints=(
        "How many images does one process get?",
        "12,500 images in batches of 64: how many batches, the last one smaller?",
    ),
    variable="steps",
    answer=lambda: math.ceil(50_000 / 4 / 64),
    explanation="12,500 images per process make 195 full batches and a smaller one. All processes step together, so "
    "every step learns from 4 · 64 = 256 images: a reason to reconsider the learning rate.",
    mistakes={
        "one process": (
            math.ceil(50_000 / 64),
            "That would be one process alone. Four share the images, and step together.",
        ),
        "one process, not rounded": (
            50_000 / 64,
            "That would be one process alone, and a part of a step is a step: round up. Here four share the images.",
        ),
        "not rounded up": (
            50_000 / 4 / 64,
            "Nearly: the part after the decimal point is the last, smaller batch. It counts as a step: round up.",
        ),
        "divided twice, not rounded": (
            50_000 / 16 / 64,
            "You divided by the four processes twice: once is enough. Then round up.",
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
You try twelve learning rates on your own data, take the best, and want to report how good the network is. On which
images do you *choose* the rate? `"train"`, `"validation"`, `"test"`, or `"both"` (test and validation together)?
""",
    hints=("Which number do you want to be able to believe in the end?",),
    variable="chosen_by",
    options=("train", "validation", "test", "both"),
    answer=lambda: "validation",
    explanation="Choose on validation images; use the test images once, at the end.",
    mistakes={
        "chosen by the training loss": (
            "train",
            "The training loss rewards learning by heart: the largest network with the longest training always wins.",
        ),
        "chosen by the test set": (
            "test",
            "Then you report the best of twelve draws. It flatters, and no image is left to show it.",
        ),
        "test set not kept apart": (
            "both",
            "As soon as test images take part in the choice, what they say of the network is no longer honest.",
        ),
    },
)

EXERCISES = (WHERE_TO_TUNE, THETA_FOR_CROP, MOVED_PIXELS, BACKGROUND_OF, STEPS)
