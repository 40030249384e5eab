"""Digits hidden in large images (the paper's appendix A.2), the boxes around them, and how well a frame finds them."""

import torch

from stncourse import _check
from stncourse.data.digits import Digits, check_ten_classes
from stncourse.data.seeds import cpu_generator

DIGIT, CANVAS = 28, 84  # the paper's
_PATCHES, _PATCH = 16, 6  # the paper's
OVERLAP = 0.5  #: what the intersection over union has to exceed


# Images


def hide_digits(digits, count, others=None, generator=None):
    """Put digits at random places of a large black canvas, 84×84, and say where they are.

    Args:
        digits: raw uint8 images ``(N, 1, 28, 28)`` to take the digits from, one after another, and from the start again
            when there are fewer than ``count``.
        count: how many canvases.
        others: raw uint8 images ``(M, 1, 28, 28)`` for clutter: 16 patches of 6×6 pixels, each cut at random from one
            of them, at random places, over the digit too. The brighter pixel shows. None: no clutter.
        generator: ``torch.Generator`` on the CPU.

    Returns:
        Digits: images ``(count, 1, 84, 84)``; as labels their boxes, float ``(count, 4)``.

    Convention:
        A box is (left, top, right, bottom), the edges of the digit's 28×28 square in pixels: 0 is the left edge of the
        first pixel, 84 the right edge of the last one.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> from stncourse import load_digits
    >>> digits = load_digits("test", source="offline").images
    >>> hide_digits(digits, 3, generator=torch.Generator().manual_seed(0)).labels.shape
    torch.Size([3, 4])
    """
    _check_raw("digits", digits)
    count = _check.positive_int("count", count)
    if others is not None:
        _check_raw("others", others)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {_check.describe(generator)}")
    canvas = torch.zeros(count, 1, CANVAS, CANVAS, dtype=torch.uint8)
    corners = _whole(CANVAS - DIGIT + 1, (count, 2), generator)  # (left, top)
    for number, (left, top) in enumerate(corners.tolist()):
        canvas[number, 0, top : top + DIGIT, left : left + DIGIT] = digits[number % len(digits), 0]
    if others is not None:
        _add_clutter(canvas, others, generator)
    return Digits(canvas, torch.cat([corners, corners + DIGIT], 1).float(), "mnist")


def _add_clutter(canvas, others, generator):
    shape = (len(canvas), _PATCHES)
    which = _whole(len(others), shape, generator).tolist()
    where = _whole(DIGIT - _PATCH + 1, (*shape, 2), generator).tolist()
    to = _whole(CANVAS - _PATCH + 1, (*shape, 2), generator).tolist()
    for number in range(len(canvas)):
        for other, (x, y), (left, top) in zip(which[number], where[number], to[number], strict=True):
            there = canvas[number, 0, top : top + _PATCH, left : left + _PATCH]
            torch.maximum(there, others[other, 0, y : y + _PATCH, x : x + _PATCH], out=there)


def _whole(below, shape, generator):
    return torch.randint(below, shape, generator=generator, device="cpu")


def _check_raw(name, images):
    _check.tensor(name, images, f"N 1 {DIGIT} {DIGIT}", floating=False)
    if images.dtype != torch.uint8 or not len(images):
        raise ValueError(f"{name}: expected at least one raw uint8 image, got {_check.describe(images)}")


def hidden_digits(digits, label, clutter, count=None, seed=0):
    """Images that share one class of digit, and its boxes: all there is to a run of co-localisation.

    Args:
        digits: Digits ``(N, 1, 28, 28)``. The clutter is cut from all of them.
        label: the class.
        clutter: True for TC, False for T.
        count: how many images; default: one for each digit of the class.
        seed: of the places and the clutter.

    Returns:
        Digits, as from :func:`hide_digits`.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or there is no such digit.

    >>> from stncourse import load_digits
    >>> hidden_digits(load_digits("test", source="offline"), 8, clutter=True, count=5)
    Digits(5 images of 1×84×84, source='offline')
    """
    check_ten_classes(digits, "a search for one class of digit")
    own = digits.images[digits.labels == label]
    if not len(own):
        raise ValueError(f"label: expected a class of digits that there are, got {_check.describe(label)}")
    generator = cpu_generator(_check.seed("seed", seed))
    made = hide_digits(own, len(own) if count is None else count, digits.images if clutter else None, generator)
    return Digits(made.images, made.labels, digits.source)


# Boxes


def frame_boxes(theta, size):
    """The boxes that frames of attention cover.

    Args:
        theta: ``(N, 2, 3)`` of the form [[s, 0, tx], [0, s, ty]], output → input.
        size: ``(H, W)`` of the input, or one int.

    Returns:
        ``(N, 4)``: left, top, right, bottom, edges in pixels of the input, as in :func:`hide_digits`.

    >>> frame_boxes(torch.tensor([[[0.5, 0.0, 0.5], [0.0, 0.5, 0.0]]]), 84)
    tensor([[42., 21., 84., 63.]])
    """
    _check.tensor("theta", theta, "N 2 3")
    height, width = _check.image_size("size", size)
    half = torch.stack([theta[:, 0, 0], theta[:, 1, 1]], 1).abs()
    corners = torch.cat([theta[:, :, 2] - half, theta[:, :, 2] + half], 1)
    return (corners + 1) / 2 * corners.new_tensor([width, height, width, height])


def overlap(boxes, others):
    """Intersection over union of boxes, one by one.

    Args:
        boxes, others: ``(N, 4)``: left, top, right, bottom.

    Returns:
        ``(N,)``, from 0 (nothing in common) to 1 (the same box); 0 for two boxes without any area.

    >>> overlap(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([0.3333])
    """
    _check.tensor("boxes", boxes, "N 4")
    _check.tensor("others", others, f"{len(boxes)} 4")
    sides = torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])
    common = sides.clamp(min=0).prod(1)
    union = _area(boxes) + _area(others) - common
    return torch.where(union > 0, common / union.where(union > 0, torch.ones_like(union)), torch.zeros_like(union))


def _area(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def corloc(boxes, true):
    """The share of images whose object is found: its box and ours overlap by more than one half.

    Args:
        boxes, true: ``(N, 4)``, at least one.

    Returns:
        float, 0 to 1.

    >>> corloc(torch.tensor([[0.0, 0, 9, 9], [0, 0, 4, 4]]), torch.tensor([[0.0, 0, 10, 9], [4, 4, 8, 8]]))
    0.5
    """
    found = overlap(boxes, true) > OVERLAP
    if not len(found):
        raise ValueError(f"boxes: expected at least one box, got {_check.describe(boxes)}")
    return found.double().mean().item()


def found(output, labels):
    """Which digits are found, for ``fit(…, metrics={"found": found})``: of a Located and boxes ``(N, 4)``."""
    return overlap(frame_boxes(output.theta, CANVAS), labels) > OVERLAP
