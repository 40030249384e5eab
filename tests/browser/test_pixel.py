"""The tool that asks a pixel: its trace against torch; by mouse, finger and keys, in a page and in JupyterLab."""

import re

import lab
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lab import until

from stncourse import load_digits
from stncourse.browser.scripts import joined
from stncourse.playground.page import page as page_of
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


# The tool in a page


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pixel") / "theta.html"
    text = page_of(DIGITS, None)  # as the notebooks' playgrounds: input and output of 28×28
    start = '"tool": "pixel", "pixel": [14, 5], '
    path.write_text(text.replace('"digits": ', f'{start}"digits": ', 1), encoding="utf-8")
    return path


@pytest.fixture
def open_at(new_context, file):
    """Function: options of a context -> the page, whose errors are the test's."""
    contexts, problems = [], []

    def open_it(**options):
        contexts.append(new_context(**({"viewport": lab.VIEWPORT} | options)))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(file.as_uri())
        settle(page)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


def settle(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def output_of(page):
    return page.locator(".stage canvas.output")


def middle_of(page, row, column, size=28):
    """Where a pixel of the output lies in the window."""
    box = output_of(page).bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / size, box["y"] + (row + 0.5) * box["height"] / size


def asked(page):
    """(row, column) of the pixel that asks, as the page says."""
    settle(page)
    column, row = re.match(r"Output pixel at column (\d+), row (\d+): “", page.locator(".asks").inner_text()).groups()
    return int(row), int(column)


def test_by_mouse(open_at):
    page = open_at()
    assert asked(page) == (14, 5)  # the one to start with
    page.mouse.move(*middle_of(page, 3, 20))
    assert asked(page) == (3, 20)
    page.mouse.move(5, 5)
    assert asked(page) == (14, 5)  # pointing is not keeping
    page.mouse.click(*middle_of(page, 8, 9))
    page.mouse.move(*middle_of(page, 0, 27))
    assert asked(page) == (0, 27)
    page.mouse.move(5, 5)
    assert asked(page) == (8, 9)
    page.get_by_label("output px").fill("5")  # the pixel that was kept is no more: the last one
    assert asked(page) == (4, 4)
    page.mouse.click(*middle_of(page, 2, 1, size=5))
    assert asked(page) == (2, 1)


def test_by_keyboard(open_at):
    page = open_at(viewport={"width": 1366, "height": 400})  # which could be scrolled by the keys
    for _ in range(20):
        page.keyboard.press("Tab")
        if output_of(page).evaluate("canvas => canvas === document.activeElement"):
            break
    style = output_of(page).evaluate("canvas => getComputedStyle(canvas).outlineStyle")
    scrolled = page.evaluate("scrollY")
    assert style == "solid"  # the focus is seen, as that of everything here
    for key, pixel in [("ArrowLeft", (14, 4)), ("ArrowUp", (13, 4)), ("ArrowRight", (13, 5)), ("ArrowDown", (14, 5)),
                       ("Home", (0, 0)), ("ArrowUp", (0, 0)), ("ArrowLeft", (0, 0))]:  # fmt: skip
        page.keyboard.press(key)
        assert asked(page) == pixel, key
    assert page.evaluate("scrollY") == scrolled
    described = output_of(page).get_attribute("aria-description")
    assert described.startswith("Output pixel at column 0, row 0: “the colour at (")
    page.get_by_role("button", name="move the frame").click()
    settle(page)
    assert output_of(page).evaluate("canvas => [canvas.tabIndex, canvas.hasAttribute('aria-description')]") == [
        -1,
        False,
    ]
    assert page.locator("svg.asking").count() == page.locator(".traced").count() == 0


def test_by_finger(open_at):
    page = open_at(viewport={"width": 360, "height": 740}, has_touch=True, device_scale_factor=2)
    output_of(page).scroll_into_view_if_needed()
    page.touchscreen.tap(*middle_of(page, 20, 12))
    assert asked(page) == (20, 12)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


ENDS = """() => {
    const stage = document.querySelector(".stage").getBoundingClientRect();
    const find = (name) => document.querySelector(`.asking ${name}`);
    const line = find("line.arrow"), tip = find("path.head").getAttribute("d").split(" ").slice(1, 3).map(Number);
    const rect = find("rect.pixel"), number = (shape, name) => Number(shape.getAttribute(name));
    return {
        tip: [stage.x + tip[0], stage.y + tip[1]],
        start: [stage.x + number(line, "x1"), stage.y + number(line, "y1")],
        mark: [stage.x + number(rect, "x"), stage.y + number(rect, "y"), number(rect, "width"), number(rect, "height")],
    };
}"""


def assert_arrow_from(page, row, column, place):
    """The mark lies around the output pixel, the arrow begins at its edge, and its tip is at `place` on the ruler."""
    settle(page)
    ends, box = page.evaluate(ENDS), page.locator(".board").bounding_box()
    x, y = middle_of(page, row, column)
    left, top, width, height = ends["mark"]
    assert (left + width / 2, top + height / 2) == pytest.approx((x, y), abs=0.6)
    assert max(width, height) < 12
    reach = max(abs(ends["start"][0] - x) / width, abs(ends["start"][1] - y) / height)
    assert reach == pytest.approx(0.5, abs=0.05)
    # The panel shows -1.5 to 1.5.
    expected = [box[edge] + box["width"] * (0.5 + at / 3) for edge, at in zip("xy", place, strict=True)]
    assert ends["tip"] == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("width", [1366, 360])
def test_the_arrow_goes_from_the_pixel_to_its_place(open_at, width):
    page = open_at(viewport={"width": width, "height": 768})
    page.get_by_label("shift x (tx)").fill("0.4")
    x, y = 11 / 28 - 1, 29 / 28 - 1
    assert_arrow_from(page, 14, 5, (x + 0.4, y))
    page.get_by_label("rotation (°)").fill("90")  # which shifts the other way in the end: (x, y) -> (−y, x)
    assert_arrow_from(page, 14, 5, (0.4 - y, x))
    page.set_viewport_size({"width": 1366 + 360 - width, "height": 768})  # from side by side to one above the other
    assert_arrow_from(page, 14, 5, (0.4 - y, x))
    output_of(page).scroll_into_view_if_needed()
    page.mouse.click(*middle_of(page, 14, 20))
    assert_arrow_from(page, 14, 20, (0.4 - y, 41 / 28 - 1))


def test_the_neighbours_are_outlined_on_the_input(open_at):
    page = open_at()

    def at(x, y):  # of the input's pixels; the image is 224 of the panel's 336 wide
        place = [int(336 / 6 + (value + 0.5) * 8) for value in (x, y)]
        picture = lab.picture_of(page.locator(".stage canvas.input"))
        return picture.getpixel(tuple(place))[:3]

    page.get_by_label("shift x (tx)").fill("0.4")
    settle(page)
    # Columns 10 and 11, rows 14 and 15 are outlined: at the left edge, and at the lower one.
    for place in [(9.5, 14.5), (10.5, 15.5)]:
        assert at(*place) == (255, 159, 28)
    assert at(8.5, 14.5)[2] == at(8.5, 14.5)[0]  # grey


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_the_colour_shown_is_that_of_the_output_and_of_torch(open_at, mode, padding):
    page = open_at()
    page.get_by_label("shift x (tx)").fill("0.4")
    page.get_by_label("rotation (°)").fill("20")
    page.get_by_label("sampling").select_option(mode)
    page.get_by_label("outside").select_option(padding)
    settings = Settings(theta=turned_by_20(), mode=mode, padding=padding)
    expected = render(DIGITS.images[:1], settings).pixels[0, 0]
    brightest = divmod(int(expected.argmax()), 28)
    for row, column in [brightest, (13, 25), (27, 0), (10, 7)]:
        page.mouse.click(*middle_of(page, row, column))
        assert asked(page) == (row, column)
        patch = page.locator(".patch").evaluate("patch => getComputedStyle(patch).backgroundColor")
        level = int(re.search(r"\d+", patch)[0])
        assert patch == f"rgb({level}, {level}, {level})"
        assert page.locator(".grey").inner_text().endswith(f"grey level {level}")
        drawn = lab.picture_of(output_of(page)).getpixel((8 * column + 4, 8 * row + 4))[0]
        assert drawn == level
        assert abs(level - int(expected[row, column])) <= 1
        total = page.locator(".sums .sum").last.inner_text()
        result = float(re.search(r"−?[\d.]+$", total)[0].replace("−", "-"))
        assert min(max(round(result), 0), 255) == level


def turned_by_20():
    turn = torch.deg2rad(torch.tensor(20.0))
    c, s = turn.cos().item(), turn.sin().item()
    return (c, -s, 0.4, s, c, 0)


CONTRASTS = """() => {
    const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const page = light(getComputedStyle(document.body).backgroundColor);
    const parts = [...document.querySelectorAll(".asks, .what, .traced .sum, .traced figcaption, .grey, .strip p")];
    return parts.map((part) => light(getComputedStyle(part).color)).map((v) => Math.max(v, page) / Math.min(v, page));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_is_read_in_both_themes(open_at, scheme):
    page = open_at(color_scheme=scheme)
    ratios = page.evaluate(CONTRASTS)
    assert len(ratios) > 10
    assert min(ratios) >= 4.5
    # The pixels' numbers stand on the page's own ground.
    strip = np.asarray(lab.picture_of(page.locator("canvas.piece")).convert("RGBA"))[:18].reshape(-1, 4)
    inks = strip[strip[:, 3] > 250, 0]
    assert inks.max() > 200 if scheme == "dark" else inks.min() < 60


def test_the_piece_shows_the_pixels_around_the_place(open_at):
    page = open_at()
    page.get_by_label("shift x (tx)").fill("0.4")
    settle(page)
    canvas = page.locator("canvas.piece")
    picture = lab.picture_of(canvas)
    for row in range(13, 17):
        for column in range(9, 13):
            edge = 57 if row == 15 else 3  # between the numbers, off the areas
            grey = picture.getpixel((34 + 60 * (column - 9) + 30, 22 + 60 * (row - 13) + edge))[0]
            assert abs(grey - DIGITS.images[0, 0, row, column].item()) <= 1, (row, column)
    label = canvas.get_attribute("aria-label")
    level = DIGITS.images[0, 0, 14, 10].item()
    assert f"column 10, row 14: grey level {level}, weight 0.40" in label
    assert canvas.get_attribute("role") == "img"


# In JupyterLab


def test_in_jupyterlab(open_notebook):
    theta = "(1, 0, 0.4 / 14, 0, 1, 0.8 / 14)"
    source = f"""from stncourse import load_digits, theta_playground
theta_playground(load_digits("test", source="offline"), theta={theta}, index=287, tool="pixel", pixel=(7, 3))"""
    notebook = open_notebook("asks.ipynb", [source, "1 + 1"])
    assert lab.errors_in(notebook.run_all()) == []
    playground = notebook.playground()
    page, asks = notebook.page, playground.root.locator(".asks")
    until(lambda: asks.count() and "“the colour at (3.4, 7.8), please”" in asks.inner_text(), "it asks")
    output = playground.root.locator(".stage canvas.output")
    image = load_digits("test", source="offline").images[287:288].float()
    settings = torch.tensor([[1, 0, 0.4 / 14], [0, 1, 0.8 / 14]])[None]
    grid = F.affine_grid(settings, (1, 1, 28, 28), align_corners=False)
    expected = F.grid_sample(image, grid, align_corners=False)[0, 0]
    level = int(playground.root.locator(".grey").inner_text().removeprefix("grey level "))
    assert abs(level - expected[7, 3]) <= 1
    output.focus()
    selected = page.evaluate("[...document.querySelectorAll('.jp-Cell')].map(cell => cell.matches('.jp-mod-active'))")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    until(lambda: "“the colour at (4.4, 8.8), please”" in asks.inner_text(), "the keys ask the next pixel")
    assert (
        page.evaluate("[...document.querySelectorAll('.jp-Cell')].map(cell => cell.matches('.jp-mod-active'))")
        == selected
    )
    box = output.bounding_box()
    page.mouse.move(box["x"] + 20.5 * 8, box["y"] + 2.5 * 8)
    until(lambda: "column 20, row 2:" in asks.inner_text(), "the mouse asks")
