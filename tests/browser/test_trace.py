"""One output pixel's trace, in JavaScript: against the sampler and torch; and its arithmetic, word for word."""

import re

import lab
import pytest
import torch
import torch.nn.functional as F

from stncourse import load_digits
from stncourse.browser.scripts import joined
from stncourse.playground.parameters import IDENTITY
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS, Settings, render, scene

DIGITS = load_digits("test", source="offline").subset(slice(20))
SHIFT = (1, 0, 0.4, 0, 1, 0)
# Of all output pixels: whether each sum is what sampled() has there, how far off its neighbours' sum is,
# how far its neighbours lie from the place; the levels.
TRACE = """([pixels, scene, theta]) => {
    const image = Uint8Array.from(pixels), matrix = scene.inverse ? script.invert(theta) : theta;
    const all = script.sampled(image, matrix, scene), levels = [];
    let same = true, apart = 0, far = 0;
    for (let row = 0, i = 0; row < scene.out_height; row++)
        for (let column = 0; column < scene.out_width; column++, i++) {
            const { sum, level, neighbours, place } = script.traced(image, matrix, row, column, scene);
            same &&= sum === all[i];
            const mixed = neighbours.reduce((total, { weight, level }) => total + weight * level, 0);
            apart = Math.max(apart, Math.abs(mixed - sum));
            levels.push(level);
            for (const each of neighbours)
                far = Math.max(far, Math.abs(each.column - place[0]), Math.abs(each.row - place[1]));
        }
    return [same, apart, far, levels];
}"""
STEPS = """([pixels, scene, theta, row, column]) => {
    const matrix = scene.inverse ? script.invert(theta) : theta;
    const trace = script.traced(Uint8Array.from(pixels), matrix, row, column, scene);
    const lines = script.stepsOf(trace, matrix, row, column, scene).flatMap(({ x, y }) => [x, y]);
    return [trace, lines, script.sumLines(trace, scene.mode), script.outsideText(trace, scene)];
}"""


@pytest.fixture(scope="module")
def script(new_context):
    page = new_context().new_page()
    parts = ("browser/trace.js", "browser/pose.js", "playground/arithmetic.js")
    lab.load_script(page, "\n".join(dict.fromkeys(joined(name) for name in parts)))
    yield page
    page.context.close()


def steps(script, pixel, image=None, **settings):
    """The trace of an output pixel (row, column), and its lines of arithmetic."""
    image, settings = DIGITS.images[:1] if image is None else image, Settings(**settings)
    told = [image.flatten().tolist(), scene(image, settings), list(settings.theta), *pixel]
    return script.evaluate(STEPS, told)


def at_random(generator):
    def one_of(options):
        return list(options)[int(torch.randint(len(options), (), generator=generator))]

    size = one_of([(28, 28), (20, 27), (13, 40), (1, 5), (7, 1)])
    image = F.interpolate(one_of(DIGITS.images)[None].float(), size=size, mode="bilinear", align_corners=False)
    return image.round().byte(), Settings(
        theta=(torch.tensor(IDENTITY) + one_of([0.3, 1, 5]) * torch.randn(6, generator=generator)).tolist(),
        padding=one_of(PADDINGS),
        mode=one_of(MODES),
        grid_align_corners=one_of([False, True]),
        sampler_align_corners=one_of([False, True]),
        output_size=one_of([None, 1, (9, 5), 30]),
        direction=one_of(DIRECTIONS),
    )


# The trace


def test_the_trace_adds_up_to_what_the_sampler_and_torch_say(script):
    generator = torch.Generator().manual_seed(0)
    halfway = Settings(mode="nearest", output_size=14)  # every place between two pixels
    mirrored = Settings(mode="nearest", theta=(3, 0, 0, 0, 3, 0), padding="reflection", output_size=14)
    different = total = 0
    for image, settings in [
        (DIGITS.images[:1], halfway),
        (DIGITS.images[:1], mirrored),
        *(at_random(generator) for _ in range(200)),
    ]:
        told = [image.flatten().tolist(), scene(image, settings), list(settings.theta)]
        same, apart, far, levels = script.evaluate(TRACE, told)
        assert same, settings
        assert apart < 1e-6, settings
        assert far <= {"nearest": 0.5, "bilinear": 1, "bicubic": 2}[settings.mode], settings
        off = (torch.tensor(levels) - render(image, settings).pixels.flatten().int()).abs()
        # Rounding decides between two neighbours in `nearest`, and between two halves of a far reflection.
        different += int((off > 1).sum())
        total += off.numel()
    assert total > 50_000
    assert different <= total / 10_000


def test_the_pixel_of_notebook_03(script):
    trace, lines, _, _ = steps(script, (14, 5), theta=SHIFT)
    assert trace["place"] == pytest.approx([10.6, 14.0], abs=1e-4)
    assert lines == [
        "(2·5 + 1)/28 − 1 = −0.61",
        "(2·14 + 1)/28 − 1 = 0.04",
        "1.00·(−0.61) + 0.00·0.04 + 0.40 = −0.21",
        "0.00·(−0.61) + 1.00·0.04 + 0.00 = 0.04",
        "((−0.21 + 1)·28 − 1)/2 = 10.6",
        "((0.04 + 1)·28 − 1)/2 ≈ 14.0",  # 14.06 by the printed numbers
        "5 + 0.4 · 14 = 10.6",
        "14 + 0 · 14 = 14.0",
    ]


def test_the_pixel_of_notebook_04(script):
    image = load_digits("test", source="offline").images[287:288]
    trace, lines, (total,), outside = steps(script, (7, 3), image, theta=(1, 0, 0.4 / 14, 0, 1, 0.8 / 14))
    assert trace["place"] == pytest.approx([3.4, 7.8], abs=1e-4)
    assert [(each["row"], each["column"]) for each in trace["neighbours"]] == [(7, 3), (7, 4), (8, 3), (8, 4)]
    weights = [each["weight"] for each in trace["neighbours"]]
    assert weights == pytest.approx([0.12, 0.08, 0.48, 0.32], abs=1e-4)
    a, b, c, d = [each["level"] for each in trace["neighbours"]]
    assert [a, b, c, d] == image[0, 0, 7:9, 3:5].flatten().tolist()
    assert re.fullmatch(rf"0\.12·{a} \+ 0\.08·{b} \+ 0\.48·{c} \+ 0\.32·{d} [=≈] {trace['level']}", total)
    assert trace["sum"] == pytest.approx(sum(w * v for w, v in zip(weights, (a, b, c, d), strict=True)))
    assert lines[-2:] == ["3 + 0.03 · 14 = 3.4", "7 + 0.06 · 14 = 7.8"]
    assert outside == ""


def test_the_arithmetic_on_other_rulers(script):
    turned = {"theta": (0.8, -0.6, 0, 0.6, 0.8, 0.1)}
    aligned = {"grid_align_corners": True, "sampler_align_corners": True}
    _, lines, _, _ = steps(script, (14, 5), **turned, **aligned)
    assert lines[0] == "2·5/27 − 1 = −0.63"
    assert lines[2] == "0.80·(−0.63) − 0.60·0.04 + 0.00 = −0.53"
    assert lines[4] == "(−0.53 + 1)/2·27 ≈ 6.4"
    assert len(lines) == 6  # it does not only shift
    assert steps(script, (14, 5), theta=SHIFT, **aligned)[1][6] == "5 + 0.4 · 13.5 = 10.4"
    for mixed in ({"grid_align_corners": True}, {"output_size": 14}):
        assert len(steps(script, (0, 0), theta=SHIFT, **mixed)[1]) == 6
    assert steps(script, (0, 0), output_size=1, grid_align_corners=True)[1][0] == "0.00, a single pixel's centre"
    # θ says where the content goes: its inverse says where to look.
    assert steps(script, (14, 5), theta=SHIFT, direction=DIRECTIONS[1])[1][6] == "5 − 0.4 · 14 = −0.6"


@pytest.mark.parametrize(
    ("padding", "words"),
    [
        ("background", "Outside (hatched): background, grey level 0."),
        ("raw 0 (bright frame)", "Outside (hatched): raw 0 (bright frame), grey level 33.3."),
        ("border", "Outside (hatched): border, the edge pixels go on for ever; column −1 is column 0 again."),
        (
            "reflection",
            "Outside (hatched): reflection, the image is mirrored in its edges; column −2 is column 1 again.",
        ),
    ],
)
def test_what_lies_outside_is_said(script, padding, words):
    tx = {"border": -0.4, "reflection": -1.4}.get(padding, -5) / 14
    trace, _, _, outside = steps(script, (9, 0), theta=(1, 0, tx, 0, 1, 0), padding=padding)
    assert outside == words
    found = [DIGITS.images[0, 0, each["read"]["row"], each["read"]["column"]] if padding in ("border", "reflection")
             else trace["neighbours"][0]["level"] for each in trace["neighbours"]]  # fmt: skip
    assert [each["level"] for each in trace["neighbours"]] == found


def test_nearest_and_bicubic_say_theirs(script):
    _, _, (line,), _ = steps(script, (14, 5), theta=SHIFT, mode="nearest")
    level = DIGITS.images[0, 0, 14, 11].item()
    assert line == f"(10.6, 14.0), rounded: column 11, row 14, whose grey level is {level}"
    trace, _, lines, _ = steps(script, (14, 5), theta=(1, 0, 0.4, 0, 1, 0.02), mode="bicubic")
    assert len(trace["neighbours"]) == 16
    assert len(lines) == 5
    weights = [each["weight"] for each in trace["neighbours"]]
    assert sum(weights) == pytest.approx(1)
    assert min(weights) < -0.01
    assert re.fullmatch(r"row 13: −0\.\d\d·\d+ \+ 0\.\d\d·\d+ \+ 0\.\d\d·\d+ − 0\.\d\d·\d+ [=≈] −?\d+", lines[0])
    assert lines[-1].endswith(f" {round(trace['sum'])}")
