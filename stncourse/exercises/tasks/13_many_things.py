"""Exercises of notebook 13, many things at once."""

import torch
import torch.nn.functional as F

from stncourse.exercises.classic_mistakes import on_answer
from stncourse.exercises.engine.functions import Code
from stncourse.exercises.engine.mistakes import twist, ways
from stncourse.exercises.engine.questions import Question
from stncourse.exercises.inputs import FLOATS, seeded

ALWAYS_NINE = Question(
    name="always_nine",
    title="The laziest adder",
    task="""
Two digits, drawn independently, each of the ten as likely as any other; the label is their sum, 0 to 18. A lazy
network does not look at all. It always gives the same answer, the best one there is. For what percentage of the pairs
is it right?
""",
    hints=(
        "There are 100 ordered pairs, (0, 0) to (9, 9), all of them equally likely. Which sum do most of them have?",
        "Count the pairs with that sum: (0, 9), (1, 8), …, (9, 0).",
    ),
    variable="percent_right",
    answer=lambda: 10,
    tolerance=0.2,
    explanation="9 is the sum of 10 pairs in 100; 0 and 18 are the sum of one each. So 90 % errors is what not looking "
    "costs here, not 94.7 % (as if all 19 sums were equally likely).",
    mistakes={
        "one in nineteen": (100 / 19, "That would be so if all 19 sums were equally likely. 0 has one pair only."),
        "the sum itself": (9, "9 is what it answers. In what percentage of the pairs is that right?"),
        "half of the pairs": (5, "You counted (3, 6) and (6, 3) as one. The first image can show either."),
        "the errors": (90, "That is how often it is wrong."),
        "a fraction": (0.1, "In percent, please."),
    },
)


def frames_iou(first, second):
    """(N, 3) and (N, 3), rows (s, tx, ty) -> (N,), how well the frames agree, 0 to 1."""
    low = torch.maximum(first[:, 1:] - first[:, :1], second[:, 1:] - second[:, :1])
    high = torch.minimum(first[:, 1:] + first[:, :1], second[:, 1:] + second[:, :1])
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = (2 * first[:, 0]) ** 2 + (2 * second[:, 0]) ** 2
    return shared / (areas - shared)


def _by_intervals(half=1.0, corner=False, clamp=True):
    """Frame by frame, axis by axis -> (overlap of both, area of the first, of the second, area of the hull)."""

    def measured(first, second):
        rows = []
        for (s, *place), (z, *other) in zip(first.tolist(), second.tolist(), strict=True):
            one, two = 2 * half * s, 2 * half * z  # the frames' sides
            overlap, hull = 1.0, 1.0
            for a, b in zip(place, other, strict=True):
                a, b = (a, b) if corner else (a - one / 2, b - two / 2)  # the lower ends
                length = min(a + one, b + two) - max(a, b)
                overlap *= max(length, 0.0) if clamp else length
                hull *= max(a + one, b + two) - min(a, b)
            rows.append((overlap, one**2, two**2, hull))
        return torch.tensor(rows, dtype=first.dtype).reshape(-1, 4).unbind(1)

    return measured


def _share(of, measured=None):
    """The overlap's share of something: ``of(overlap, first, second, hull)``."""
    measured = measured or _by_intervals()

    def share(first, second):
        overlap, one, two, hull = measured(first, second)
        return overlap / of(overlap, one, two, hull)

    return share


def _union(overlap, one, two, hull):
    return one + two - overlap


_iou = _share(_union)


def _pairs_of_frames():
    cases = []
    for dtype in FLOATS:
        for rows in (
            ([[0.5, 0.0, 0.0]], [[0.5, 0.0, 0.0]]),
            ([[0.5, 0.0, 0.0]], [[0.5, 0.25, 0.0]]),
            ([[0.25, -0.5, -0.5]], [[0.5, 0.5, 0.25]]),  # apart along both axes
            ([[0.25, -0.5, 0.0]], [[0.5, 0.5, 0.25]]),  # apart along one
            ([[0.5, 0.0, 0.0], [0.25, 0.5, 0.0]], [[0.25, 0.125, 0.25], [0.5, 0.25, -0.25]]),
        ):
            cases.append(tuple(torch.tensor(frames, dtype=dtype) for frames in rows))
        random = seeded(0, dtype)
        drawn = [torch.rand(20, 3, **random) for _ in "ab"]
        cases.append(tuple(torch.cat([0.2 + 0.4 * x[:, :1], x[:, 1:] - 0.5], 1) for x in drawn))
    return cases


FRAMES_IOU = Code(
    name="frames_iou",
    title="Found, or not?",
    task="""
Did a transformer find the digit? Compare its frame with the true one: the area that both share, divided by the area
that at least one of them covers (*intersection over union*, IoU). 1 means the same frame, 0 that they do not meet.
Both come as rows (s, tx, ty) of an attention transform: the frame is a square around (tx, ty), from tx − s to
tx + s along x, and alike along y.
""",
    hints=(
        "Along one axis the overlap reaches from the larger lower end to the smaller upper end.",
        "If that length is negative, the frames do not meet: it counts as 0 (`clamp(min=0)`), before you multiply.",
        "The union is first area + second area − shared area. A frame's side is 2 s.",
    ),
    solution=frames_iou,
    specification=_iou,
    cases=_pairs_of_frames,
    axes="N",
    mistakes={
        "apart, and yet shared": (
            _share(_union, _by_intervals(clamp=False)),
            "Two frames that are apart along both axes get a shared area: minus times minus is plus. Clamp each length "
            "at 0 before you multiply.",
        ),
        "shared counted twice": (
            _share(lambda overlap, one, two, hull: one + two),
            "What both cover is in the first area and in the second: subtract it once.",
        ),
        "share of one frame": (
            ways(
                _share(lambda overlap, one, two, hull: one),
                _share(lambda overlap, one, two, hull: two),
                _share(lambda overlap, one, two, hull: torch.minimum(one, two)),
                _share(lambda overlap, one, two, hull: torch.maximum(one, two)),
            ),
            "You divide by the area of one frame. A tiny frame inside a huge one would then count as found (or a huge "
            "one around a tiny one): divide by the area that at least one of them covers.",
        ),
        "the box around both": (
            _share(lambda overlap, one, two, hull: hull),
            "You divide by the smallest box around both frames. It has corners that neither of them covers.",
        ),
        "half a frame": (
            _share(_union, _by_intervals(half=0.5)),
            "Your frames are half as wide: from tx − s to tx + s it is 2 s.",
        ),
        "areas of quarter frames": (
            _share(lambda overlap, one, two, hull: (one + two) / 4 - overlap),
            "The areas are too small: a frame's side is 2 s, so its area is (2 s)².",
        ),
        "corner for centre": (
            _share(_union, _by_intervals(corner=True)),
            "(tx, ty) is the frame's centre, not its top left corner.",
        ),
        "one axis": (
            ways(
                lambda first, second: _iou(_flat(first, 1), _flat(second, 1)),
                lambda first, second: _iou(_flat(first, 2), _flat(second, 2)),
            ),
            "One of the two axes is not looked at: a frame above the digit would count as found.",
        ),
        "all frames in one number": (
            twist(on_answer(lambda iou: iou.mean()), on_answer(lambda iou: iou.sum())),
            "That is one number for all of them. Return one for each pair, shape (N,).",
        ),
    },
)


def _flat(frames, axis):
    """Frames moved to the axis' middle."""
    moved = frames.clone()
    moved[:, axis] = 0
    return moved


def triplet_loss(anchor, positive, negative, margin):
    """Three times features (N, D), and a number -> scalar."""
    near = ((anchor - positive) ** 2).sum(dim=1)
    far = ((anchor - negative) ** 2).sum(dim=1)
    return F.relu(near - far + margin).mean()


def _hinges(gap, hinge=True):
    """One triplet at a time: ``gap(a, p, n, margin)`` is what the hinge is applied to."""

    def loss(anchor, positive, negative, margin):
        triplets = zip(anchor, positive, negative, strict=True)
        gaps = torch.stack([gap(a, p, n, margin) for a, p, n in triplets])
        return (gaps.clamp(min=0) if hinge else gaps).sum() / len(gaps)

    return loss


def _squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def _gap(a, p, n, margin):
    return _squared(a, p) - _squared(a, n) + margin


_triplet = _hinges(_gap)


def _triplets():
    cases = []
    for dtype in FLOATS:
        for seed, (count, length) in enumerate([(1, 1), (2, 1), (2, 3), (5, 4), (8, 6)]):
            random = seeded(seed, dtype)
            crops = [torch.randn(count, length, **random) / length**0.5 for _ in "apn"]
            cases.append((*crops, 0.75))
    return cases


TRIPLET_LOSS = Code(
    name="triplet_loss",
    title="Nearer to each other than to anything else",
    task="""
Three crops, as features of an encoder: the *anchor*, cut by the transformer from one image; the *positive*, cut by it
from another; the *negative*, cut at random. Write the loss that co-localisation minimises: for each triplet
max(0, |anchor − positive|² − |anchor − negative|² + margin), with squared Euclidean distances; return the mean over the
triplets.
""",
    hints=(
        "A squared distance per triplet: square the differences, then sum over the features, `dim=1`.",
        "max(0, …) is `F.relu`, for each triplet on its own; the mean comes last.",
    ),
    solution=triplet_loss,
    specification=_triplet,
    cases=_triplets,
    differentiable=(0, 1, 2),
    mistakes={
        "near and far swapped": (
            _hinges(lambda a, p, n, margin: _squared(a, n) - _squared(a, p) + margin),
            "Your loss falls when the positive moves *away*: near and far have changed places.",
        ),
        "no hinge": (
            _hinges(_gap, hinge=None),
            "Without max(0, …) a triplet that is right already is pushed on for ever, and pays for the wrong ones.",
        ),
        "hinge after the mean": (
            lambda anchor, positive, negative, margin: F.relu(
                _hinges(_gap, hinge=None)(anchor, positive, negative, margin)
            ),
            "You take the mean first: triplets that are more than right hide those that are wrong. Each gets its own "
            "max(0, …).",
        ),
        "one hinge for all": (
            ways(
                lambda anchor, positive, negative, margin: F.relu(
                    ((anchor - positive) ** 2).sum() - ((anchor - negative) ** 2).sum() + margin
                ),
                lambda anchor, positive, negative, margin: F.relu(
                    F.mse_loss(anchor, positive) - F.mse_loss(anchor, negative) + margin
                ),
            ),
            "All triplets are thrown together before max(0, …). Sum over the features alone, `dim=1`; then max(0, …) "
            "for each triplet; then the mean.",
        ),
        "no mean": (
            lambda anchor, positive, negative, margin: torch.stack(
                [
                    _triplet(a[None], p[None], n[None], margin)
                    for a, p, n in zip(anchor, positive, negative, strict=True)
                ]
            ),
            "That is one number for each triplet. A loss is one number: return their mean.",
        ),
        "margin with the wrong sign": (
            _hinges(lambda a, p, n, margin: _gap(a, p, n, -margin)),
            "The margin is subtracted: the negative may now be *nearer* than the positive, at no cost.",
        ),
        "no margin": (
            _hinges(lambda a, p, n, margin: _gap(a, p, n, 0)),
            "The margin is missing: three crops that all look the same cost nothing then.",
        ),
        "mean over the features": (
            _hinges(lambda a, p, n, margin: (_squared(a, p) - _squared(a, n)) / len(a) + margin),
            "A squared distance is the *sum* over the features; you took their mean.",
        ),
        "not squared": (
            _hinges(lambda a, p, n, margin: (a - p).norm() - (a - n).norm() + margin),
            "These are distances, not their squares.",
        ),
        "absolute differences": (
            _hinges(lambda a, p, n, margin: (a - p).abs().sum() - (a - n).abs().sum() + margin),
            "You sum the absolute differences. The distance is Euclidean: square them.",
        ),
        "from the positive": (
            twist(
                lambda right: lambda anchor, positive, negative, margin: right(positive, anchor, negative, margin),
            ),
            "The second distance is measured from the positive. Both are measured from the anchor.",
        ),
        "sum over the triplets": (
            lambda anchor, positive, negative, margin: _triplet(anchor, positive, negative, margin) * len(anchor),
            "That is the sum over the triplets: with a batch twice as large it doubles. Return the mean.",
        ),
    },
)

EXERCISES = (ALWAYS_NINE, FRAMES_IOU, TRIPLET_LOSS)
