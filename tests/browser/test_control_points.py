"""The control-point playground in JupyterLab, by mouse and keys; and its script against Python."""

import json

import pytest
import torch
from lab import VIEWPORT, drag, is_outside, load_script, picture_of, until
from PIL import Image

from stncourse import control_points_playground
from stncourse.playground.warping import REACH, home, presets, warp

PANEL = 336
LOOK = """([scene, base, weights, trials]) => {
    const all = { ...scene, base: Float32Array.from(base), weights: Float32Array.from(weights) };
    return trials.map(([family, points, pixels]) => {
        const places = script.look(family, points, all);
        if (!places) return null;
        const output = script.sample(pixels, places, scene.height, scene.width);
        return [Array.from(output), script.words(family, points, places, all)];
    });
}"""
CELLS = ["from stncourse import control_points_playground\nsheet = control_points_playground(picture=3)\nsheet"]
THE_SAME = control_points_playground(picture=3)


def in_script(page, trials):
    """What the page's script makes of (family, points, image), each: (pixels, words), or None."""
    base, weights = (
        torch.frombuffer(bytearray(data), dtype=torch.float32).tolist() for data in (THE_SAME.base, THE_SAME.weights)
    )
    trials = [[family, points.tolist(), image.flatten().tolist()] for family, points, image in trials]
    return page.evaluate(LOOK, [THE_SAME.scene, base, weights, trials])


@pytest.fixture(scope="module")
def page(open_notebook):
    notebook = open_notebook("control_points.ipynb", [*CELLS, "print(sheet.family, sheet.points)"])
    notebook.run_all()
    load_script(notebook.page, THE_SAME._esm)
    return notebook.page


@pytest.fixture
def sheet(page):
    """The playground, at the identity of the spline."""
    root = page.locator(".stn-points")
    root.get_by_label("transform").select_option("tps")
    root.get_by_role("button", name="reset").click()
    wait_until_right(root, "tps", home("tps"))
    return root


def shown(sheet):
    """Where the points are, and the output's pixels."""
    canvas = sheet.locator("canvas").nth(1)
    points = torch.tensor(json.loads(canvas.get_attribute("data-points")))
    grey = picture_of(canvas).convert("L").resize((28, 28), Image.Resampling.NEAREST)
    return points, torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8)


def wait_until_right(sheet, family, points):
    """Until the points are there, and the output is what Python makes of them."""

    def there():
        places, pixels = shown(sheet)
        expected = warp(THE_SAME._images[3], family, points)
        return (
            places.shape == points.shape
            and (places - points).abs().max() < 1e-6
            and (pixels.int() - expected.pixels.flatten().int()).abs().max() <= 1
            and sheet.get_by_role("status").inner_text() == expected.words
        )

    until(there, f"the picture of {points.tolist()}")


def in_python(page):
    """What the kernel knows, by running the second cell."""
    page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(300)
    return page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output").inner_text()


def test_the_script_warps_and_says_what_python_does(page):
    generator = torch.Generator().manual_seed(0)
    trials = []
    for number in range(200):
        family = ("tps", "projective")[number % 2]
        spread = (0.05, 0.3, 1.0)[number % 3]
        still = home(family)
        points = (still + spread * torch.randn(still.shape, generator=generator)).clamp(-REACH, REACH)
        trials.append((family, points, THE_SAME._images[number % 11]))
    for family in ("tps", "projective"):
        trials += [(family, points, THE_SAME._images[3]) for points in presets(family).values()]
    answers = in_script(page, trials)
    different = total = 0
    for (family, points, image), answer in zip(trials, answers, strict=True):
        expected = warp(image, family, points)
        output, words = answer
        different += int(((torch.tensor(output) - expected.pixels.flatten().int()).abs() > 1).sum())
        total += len(output)
        assert words == expected.words
    assert total > 150_000
    assert different <= total / 10_000  # at the horizon one pixel is a world


def test_corners_on_one_line_make_no_transform(page):
    for corners in ([[0, 0]] * 4, [[-1, -1], [0, 0], [1, 1], [1, -1]], [[-1, -1], [1, 1], [1, -1], [-1, 1]]):
        assert in_script(page, [("projective", torch.tensor(corners), THE_SAME._images[3])]) == [None]


def test_by_mouse(page, sheet):
    board = sheet.locator(".board").bounding_box()
    x, y = (board[name] + PANEL / 2 - PANEL / REACH / 6 for name in ("x", "y"))  # control point 6, at (-1/3, -1/3)
    drag(page, x, y, by=(30, 20))
    page.mouse.move(x + 90, y + 90)  # let go: nothing more
    points = home("tps")
    points[5] = (points[5] + torch.tensor([30.0, 20.0]) * 2 * REACH / PANEL).mul(100).round() / 100
    wait_until_right(sheet, "tps", points)
    assert "control point 6, row 2, column 2: looks at x −0.07, y −0.15" in sheet.inner_text()
    assert in_python(page).startswith("tps [[-1.0, -1.0]")
    assert "[-0.07, -0.15]" in in_python(page)


def test_a_point_cannot_be_dragged_off_the_board(page, sheet):
    board = sheet.locator(".board").bounding_box()
    drag(page, board["x"] + 56, board["y"] + 56, by=(-256, -356))  # control point 1
    points = home("tps")
    points[0] = -REACH
    wait_until_right(sheet, "tps", points)


def test_by_keyboard(page, sheet):
    sheet.get_by_role("button", name="reset").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # the second point
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowUp"):
        page.keyboard.press(key)
    points = home("tps")
    points[1] = torch.tensor([-0.23, -0.96])
    wait_until_right(sheet, "tps", points)
    assert page.evaluate("() => document.activeElement.textContent") == "2"  # the notebook took no key for itself
    assert page.evaluate("() => document.activeElement.ariaLabel").startswith("control point 2, row 1, column 2: looks")
    page.keyboard.press("Home")
    wait_until_right(sheet, "tps", home("tps"))


def test_presets_families_and_reset(page, sheet):
    for family in ("projective", "tps"):
        sheet.get_by_label("transform").select_option(family)
        wait_until_right(sheet, family, home(family))
        for name, points in presets(family).items():
            sheet.get_by_label("preset").select_option(name)
            wait_until_right(sheet, family, points)
    sheet.get_by_label("transform").select_option("projective")
    sheet.get_by_role("button", name="bottom right corner").focus()
    page.keyboard.press("ArrowLeft")
    corners = home("projective")
    corners[3, 0] = 0.95
    wait_until_right(sheet, "projective", corners)
    assert in_python(page).startswith("projective")
    sheet.get_by_label("transform").select_option("tps")
    wait_until_right(sheet, "tps", home("tps"))


def test_every_control_has_a_name(sheet):
    names = sheet.locator("button, select").evaluate_all(
        "all => all.map(e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText)"
    )
    assert len(names) == 3 + 1 + 16
    assert all(name.strip() for name in names)
    assert len(set(names)) == len(names)


def test_it_fits_and_works_at_200_percent(page, sheet):
    """A window of 1400 pixels at 200 % is one of 700."""
    page.set_viewport_size({"width": 700, "height": 500})
    try:
        area = page.locator(".jp-OutputArea-output").first.bounding_box()
        for number in range(2):
            sheet.locator("canvas").nth(number).scroll_into_view_if_needed()
            box = sheet.locator("canvas").nth(number).bounding_box()
            assert box["x"] >= area["x"]
            assert box["x"] + box["width"] <= area["x"] + area["width"] + 1
        point = sheet.locator(".point").nth(5)
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        drag(page, box["x"] + 12, box["y"] + 12, by=(30, 0))
        scale = PANEL / sheet.locator(".board").bounding_box()["width"]
        until(
            lambda: abs(shown(sheet)[0][5, 0] + 1 / 3 - 30 * scale * 2 * REACH / PANEL) < 0.02, "the drag, to scale", 10
        )
    finally:
        page.set_viewport_size(VIEWPORT)


def test_no_request_left_the_machine(page, requests_made):
    assert any("/api/kernels" in url for url in requests_made)
    assert [url for url in requests_made if is_outside(url)] == []
