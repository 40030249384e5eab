"""Ink: lines as MNIST's, smooth, soft at the edge; erased and spoiled; and whether the network reads them."""

import math
import statistics

import pytest
import torch
from strokes import DIGITS, digit_at, playing, stroke

from stncourse import load_digits, normalize

SIZE = 42
SPOIL = """([strokes, numbers]) => {
    const random = () => numbers.shift();
    return script.spoiled(strokes, { height: 42, width: 42 }, random);
}"""


@pytest.fixture(scope="module")
def model():
    return playing()


def levels_of_a_line(start, end, width, size=SIZE):
    """A straight line's grey levels by its definition: from white to black over one pixel across its border."""
    start, end = torch.tensor([start, end], dtype=torch.float64)
    ys, xs = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    points = torch.stack([xs, ys], -1)
    along = (((points - start) @ (end - start)) / (end - start).square().sum().clamp(min=1e-12)).clamp(0, 1)
    apart = (points - start - along[..., None] * (end - start)).norm(dim=-1)
    return (width / 2 - apart + 0.5).clamp(0, 1)


def to_bytes(levels):
    return (255 * levels + 0.5).floor().byte()


def test_a_line_is_white_with_a_soft_edge(ink):
    lines = [((5, 20), (30, 20), 3.3), ((3.2, 4.7), (35.1, 38.3), 2.4), ((0, 41), (41, 41), 3)]
    lines.append(((20.5, 20.5), (20.5, 20.5), 4.5))  # a dot
    images = ink([[stroke([a, b] if a != b else [a], width)] for a, b, width in lines])
    for image, line in zip(images, lines, strict=True):
        assert (image[0].int() - to_bytes(levels_of_a_line(*line)).int()).abs().max() <= 1
    across = images[0, 0, 16:25, 15].tolist()
    assert across == across[::-1]
    assert across[:5] == [0, 0, 38, 255, 255]  # 2 pixels off the middle, 0.15 of a pixel


def test_strokes_lie_on_each_other_and_an_eraser_takes_away(ink):
    first, second = ((5, 10), (35, 30), 3.3), ((30, 5), (10, 36), 2.4)
    pens = [stroke([a, b], width) for a, b, width in (first, second)]
    rubber = ((20, 2), (20, 40), 4.5)
    together = torch.maximum(levels_of_a_line(*first), levels_of_a_line(*second))
    rubbed = together * (1 - levels_of_a_line(*rubber))
    drawn, erased, last = ink(
        [pens, [*pens, stroke(rubber[:2], rubber[2], True)], [pens[0], stroke(rubber[:2], rubber[2], True), pens[1]]]
    )
    assert (drawn[0].int() - to_bytes(together).int()).abs().max() <= 1
    assert (erased[0].int() - to_bytes(rubbed).int()).abs().max() <= 1
    assert drawn[0, :, 20].max() > 0 == erased[0, :, 20].max()
    assert last[0, :, 20].max() > 0  # what is drawn after it stays


def test_a_freehand_line_is_smooth_and_keeps_its_ends(ink):
    zigzag = [[6 + i, 20 + (i % 2)] for i in range(30)]
    image = ink([[stroke(zigzag, 3)]])[0, 0].double()
    middle = (image * torch.arange(SIZE).double()[:, None]).sum(0) / image.sum(0)
    assert middle[8:34].std() < 0.15  # of a hand that shakes by half a pixel
    assert image[20, 6] == image[20:22, 35].max() == 255
    slow = [[6 + 0.1 * i, 20] for i in range(291)]
    assert (ink([[stroke(slow, 3)]]) == ink([[stroke([slow[0], slow[-1]], 3)]])).all()


def test_mnist_has_lines_as_these(ink):
    """Of the shipped digits, in an image of their size: as thick, and as much of them grey."""
    digits = load_digits("test", source="offline").images[:300].float()
    own = ink([digit_at(k, 19, (13.5, 13.5), width=2.2) for k in DIGITS], size=28).float()

    def greyness(images):
        return float(((images > 25) & (images < 230)).sum() / (images > 25).sum())

    assert greyness(own) == pytest.approx(greyness(digits), abs=0.05)
    assert own.mean() == pytest.approx(float(digits.mean()), rel=0.1)
    assert own.max() == 255


@pytest.mark.parametrize("seed", range(40))
def test_spoiling_turns_shrinks_and_moves_and_all_stays_on_the_image(ink, seed):
    generator = torch.Generator().manual_seed(seed)
    height = (14, 22, 30, 40)[seed % 4]
    before = digit_at(seed % 10, height, (20.5, 20.5), width=3.3)
    after = ink.page.evaluate(SPOIL, [before, torch.rand(4, generator=generator).tolist()])
    old, new = (
        torch.tensor([place for line in strokes for place in line["places"]], dtype=torch.float64)
        for strokes in (before, after)
    )
    scale = after[0]["width"] / before[0]["width"]
    torch.testing.assert_close(torch.cdist(new, new), scale * torch.cdist(old, old), rtol=1e-4, atol=1e-4)
    assert scale <= 1
    assert scale >= 0.7 or height == 40
    (a, b), (c, d) = old[[0, -1]], new[[0, -1]]
    (x, y), (u, v) = b - a, d - c
    assert abs(math.degrees(math.atan2(x * v - y * u, x * u + y * v))) <= 45.001
    assert new.min() >= scale * 3.3 / 2 - 1e-6
    assert new.max() <= 41 - scale * 3.3 / 2 + 1e-6
    further = [s | {"places": [[x + 30, y + 30] for x, y in s["places"]]} for s in after]
    assert ink([after]).sum() == ink([further], 102).sum()  # nothing of it is cut off


def accuracy(model, images, labels):
    with torch.no_grad():
        return float((model(normalize(images)).argmax(1) == labels).float().mean())


def test_the_network_reads_what_a_beginner_draws(ink, model):
    """Digits in a few strokes, from small to as large as the canvas. Outside of what it was trained on, it may err."""
    right = {}
    for height in (12, 14, 18, 22, 26, 30, 34, 38):
        centres = [(20.5, 20.5)] if height > 26 else [(20.5, 20.5), (14, 14), (27, 15), (26, 28)]
        for name, width in (("thin", 2.4), ("medium", 3.3), ("thick", 4.5)):
            drawings = [digit_at(k, height, centre, width) for centre in centres for k in DIGITS]
            right[name, height] = accuracy(model, ink(drawings), torch.arange(10).repeat(len(centres)))
        print(f"{height} pixels high:", {name: f"{right[name, height]:.0%}" for name in ("thin", "medium", "thick")})
    assert min(value for (_, height), value in right.items() if 14 <= height <= 34) >= 0.8
    assert statistics.mean(value for (_, height), value in right.items() if 14 <= height <= 34) >= 0.95
    big_and_small = ink([digit_at(7, 36, (20.5, 20.5), 3.3), digit_at(7, 14, (33, 31), 3.3)])
    assert accuracy(model, big_and_small, torch.tensor([7, 7])) == 1


def test_the_network_reads_what_was_spoiled(ink, model):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(100, 4, generator=generator).tolist()
    drawings = [digit_at(i % 10, 24, (20.5, 20.5), 3.3) for i in range(100)]
    spoiled = [ink.page.evaluate(SPOIL, list(pair)) for pair in zip(drawings, numbers, strict=True)]
    right = accuracy(model, ink(spoiled), torch.arange(10).repeat(10))
    print(f"spoiled: {right:.0%}")
    assert right >= 0.9
