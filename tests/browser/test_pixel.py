"""The tool that asks a pixel: by mouse, finger and keys, in a page and in JupyterLab. Its trace: test_trace.py."""

import re

import lab
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lab import until

from stncourse import load_digits
from stncourse.playground.page import page as page_of
from stncourse.playground.scene import MODES, PADDINGS, Settings, render

DIGITS = load_digits("test", source="offline").subset(slice(20))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pixel") / "theta.html"
    text = page_of(DIGITS, None)  # as the notebooks' playgrounds: input and output of 28×28
    path.write_text(text.replace('"tool": "hand"', '"tool": "pixel", "pixel": [14, 5]', 1), encoding="utf-8")
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
        lab.drawn(page)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


def output_of(page):
    return page.locator(".stage canvas.output")


def middle_of(page, row, column, size=28):
    """Where a pixel of the output lies in the window."""
    box = output_of(page).bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / size, box["y"] + (row + 0.5) * box["height"] / size


def asked(page):
    """(row, column) of the pixel that asks, as the page says."""
    lab.drawn(page)
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
    lab.drawn(page)
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
    lab.drawn(page)
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
    lab.drawn(page)
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
    lab.drawn(page)
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
