"""The θ playground as a student meets it: in JupyterLab, in a browser, with keys and mouse."""

import functools
import math
import time

import pytest
import torch
import torch.nn.functional as F
from lab import drag, errors_in, is_outside, theta_of, until

from stncourse import normalize, theta_playground
from stncourse.playground.parameters import IDENTITY, PRESETS


@functools.cache
def the_same(model):
    """The playground of the page, once more, in this process: for its digits and its model."""
    return theta_playground(model=model)


def expected_pixels(theta, model="pretrained", size=28):
    """What torch's own pair makes of the first digit, as grey levels. Raw 0 is the background."""
    image = the_same(model).digits.images[:1].float()
    grid = F.affine_grid(torch.tensor(theta).reshape(1, 2, 3), (1, 1, size, size), align_corners=False)
    return F.grid_sample(image, grid, align_corners=False)[0, 0].round()


def difference(playground, **kind):
    """The largest difference, in grey levels, between the picture in the browser and what its θ boxes ask for."""
    theta = playground.theta()
    expected = expected_pixels(theta, **kind)
    output = playground.output(expected.shape)
    if output is None or theta != playground.theta():  # caught in a change
        return 255
    return int((output.float() - expected).abs().max())


def wait_until_right(playground, theta=None, tolerance=2e-5, **kind):
    """Wait until the boxes show ``theta`` and the browser's pixels are those of the boxes."""

    def boxes_right():
        return theta is None or all(abs(a - b) < tolerance for a, b in zip(playground.theta(), theta, strict=True))

    until(boxes_right, f"the boxes show {theta}")
    until(lambda: difference(playground, **kind) <= 1, "the picture is the one of the boxes")


def follows(playground, theta):
    """Whether the picture is that of ``theta`` within a second, whatever the boxes say."""
    expected = expected_pixels(theta, model=None)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if (playground.output((28, 28)).float() - expected).abs().max() <= 1:
            return True
    return False


def turned(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (c, -s, 0.0, s, c, 0.0)


@pytest.fixture(scope="module")
def page(open_notebook):
    notebook = open_notebook("07_theta_playground.ipynb")
    assert errors_in(notebook.run_all()) == []
    return notebook


@pytest.fixture
def playground(page):
    """The game of notebook 07, at the identity."""
    playground = page.playground()
    playground.button("reset θ").click()
    wait_until_right(playground, IDENTITY)
    return playground


def test_pixels_are_compared_for_real(playground):
    moved = expected_pixels((1.0, 0.0, 0.1, 0.0, 1.0, 0.0))
    shown = playground.output((28, 28)).float()
    assert (shown - moved).abs().max() > 50
    assert (shown - expected_pixels(IDENTITY)).abs().max() <= 1


def test_slider_by_keyboard(playground):
    playground.slider("rotation (°)")
    degrees = 0
    for keys, degrees in (
        (["ArrowRight"] * 7, 7),
        (["ArrowLeft"] * 2, 5),
        (["PageUp"], 10),
        (["Home"], -180),
        (["End"], 180),
    ):
        playground.press(*keys)
        wait_until_right(playground, turned(degrees))
        assert playground.slider_value("rotation (°)") == degrees


@pytest.mark.parametrize("name", ["scale x", "scale y", "shear", "shift x (tx)", "shift y (ty)"])
def test_every_other_slider_by_keyboard(playground, name):
    before = playground.slider_value(name)
    playground.slider(name)
    playground.press(*["ArrowLeft"] * 6)
    until(lambda: abs(playground.slider_value(name) - (before - 0.3)) < 1e-6, "six steps of 0.05")
    until(lambda: playground.theta() != IDENTITY, "the boxes follow")
    wait_until_right(playground)


def test_slider_by_mouse(playground, page):
    box = playground.slider("rotation (°)").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(page.page, x, y, by=(40, 0), steps=20)
    degrees = playground.slider_value("rotation (°)")
    assert 20 < degrees < 170
    wait_until_right(playground, turned(degrees))


def test_typed_entries(playground):
    theta = list(IDENTITY)
    for name, text, place, value in (
        ("tx", "0.4", 2, 0.4),
        ("θ12", "-0,25", 1, -0.25),
        ("θ11", "1.5", 0, 1.5),
        ("ty", "3.75", 5, 3.75),  # further than the slider goes
        ("ty", "0", 5, 0.0),
    ):
        playground.type(name, text)
        theta[place] = value
        wait_until_right(playground, theta)
    assert playground.slider_value("shift x (tx)") == 0.4


@pytest.mark.parametrize("wrong", ["abc", "nan", "1e99", ""])
def test_typed_nonsense_is_named_and_changes_nothing(playground, wrong):
    before = playground.picture().tobytes()
    playground.type("ty", wrong)
    until(lambda: "ty: expected a number" in playground.message(), "a message")
    assert playground.picture().tobytes() == before
    playground.type("ty", "0.2")
    wait_until_right(playground, (1, 0, 0, 0, 1, 0.2))
    assert playground.message() == ""


def test_let_the_stn_look(playground, page):
    playground.button("let the STN look").click()
    model, images = the_same("pretrained").model, the_same("pretrained").digits.images[:1]
    with torch.no_grad():
        theta = model.stn.transform(normalize(images)).theta.flatten().tolist()
    wait_until_right(playground, theta)
    until(lambda: "the STN's:" in playground.message(), "the score")
    page.page.wait_for_timeout(1000)  # and no slider rounds it to its steps afterwards
    wait_until_right(playground, theta)


def test_presets_and_reset(playground):
    for name in ("zoom in", "rotate 45°", "mirror"):
        playground.choose("preset", name)
        wait_until_right(playground, PRESETS[name])
    playground.button("reset θ").click()
    wait_until_right(playground, IDENTITY)


@pytest.mark.parametrize("device", ["browser", "cpu"])
def test_slider_moved_while_a_cell_trains(open_notebook, device):
    """Figures of a running cell and pictures of the playground do not get into each other's way."""
    epochs = 6
    notebook = open_notebook(
        f"training_{device}.ipynb",
        [
            "from IPython.display import display\n"
            "from stncourse import *\n"
            f"theta_playground(device='{device}')",
            "digits = load_digits('train', source='offline').subset(slice(600))\n"
            "model = STNClassifier()\n"
            f"for _ in range({epochs}):\n"
            "    history = fit(model, digits, recipe=FAST_RECIPE.but(epochs=3), device='cpu', verbose=False)\n"
            "    display(plot_history(history))",
        ],
    )  # fmt: skip
    notebook.start_all()
    playground = notebook.playground()
    playground.slider("rotation (°)")
    figures = notebook.page.locator(".jp-RenderedImage img")
    until(figures.count, "the first figure")
    moves, live = 0, 0
    while figures.count() < epochs - 1:
        playground.press("ArrowRight")
        moves += 1
        live += device == "browser" and follows(playground, turned(playground.slider_value("rotation (°)")))
    assert notebook.busy()
    assert moves > 10
    if device == "browser":  # the picture does not wait for the training to end
        assert live > 0.9 * moves
    degrees = playground.slider_value("rotation (°)")
    saved = until(notebook.finished, "the training ends", 120, pause=0.5)
    assert errors_in(saved) == []
    assert sum("image/png" in output.get("data", {}) for output in saved.cells[1].outputs) == epochs
    notebook.show(figures.first)
    assert figures.count() == epochs
    assert all(figures.evaluate_all("all => all.map(e => e.complete && e.naturalWidth > 100)"))
    notebook.show(playground.root)
    wait_until_right(playground, turned(degrees), model=None)
    print(f"{moves} moves while it trained, {live} of them in the picture at once")


def test_no_request_left_the_machine(page, requests_made):
    assert any("/api/kernels" in url for url in requests_made)
    assert [url for url in requests_made if is_outside(url)] == []


# The hand, in a notebook


@pytest.fixture(scope="module")
def by_hand(open_notebook):
    """A playground that the hand moves, and a cell that says what Python has heard."""
    notebook = open_notebook(
        "hand.ipynb",
        [
            "from stncourse import theta_playground\nplayground = theta_playground(model='pretrained')\nplayground",
            "print(*playground.settings.theta, *playground.probabilities())",
            "import time\ntime.sleep(8)",
        ],
    )
    notebook.menu("Run", "Run All Cells")
    until(notebook.finished, "all cells have run", 60, pause=0.5)
    return notebook


def middle(playground, handle):
    box = playground.root.locator(f'[data-handle="{handle}"]').bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_what_the_hand_does_is_in_sliders_boxes_bars_and_python(by_hand):
    playground = by_hand.playground()
    x, y = middle(playground, "bottom right")
    drag(by_hand.page, x, y, by=(-112, -56))
    theta = theta_of(playground.root)
    assert theta == pytest.approx((0.5, 0, -0.5, 0, 0.75, -0.25), abs=0.03)
    wait_until_right(playground, theta, tolerance=1e-4)
    assert playground.slider_value("scale x") == pytest.approx(theta[0], abs=0.03)
    assert playground.slider_value("shift y (ty)") == pytest.approx(theta[5], abs=0.03)
    playground.slider("rotation (°)")  # a slider goes on from where the hand was
    playground.press("ArrowRight", "ArrowRight")
    c, s = math.cos(math.radians(2)), math.sin(math.radians(2))
    turned_too = (theta[0] * c, -theta[4] * s, theta[2], theta[0] * s, theta[4] * c, theta[5])
    wait_until_right(playground, turned_too, tolerance=1e-3)
    bars = playground.root.locator(".answers li").evaluate_all("all => all.map(e => Number(e.dataset.p))")
    by_hand.page.locator(".jp-CodeCell .cm-content").nth(1).click()
    by_hand.page.keyboard.press("Control+Enter")
    output = by_hand.page.locator(".jp-CodeCell").nth(1).locator(".jp-RenderedText pre")

    def heard():
        numbers = list(map(float, output.inner_text().split()))
        return numbers if numbers[:6] == pytest.approx(turned_too, abs=1e-3) else None

    numbers = until(heard, "Python has heard")
    assert bars == pytest.approx(numbers[6:], abs=1e-3)


def test_the_hand_does_not_wait_for_the_kernel(by_hand):
    playground = by_hand.playground()
    playground.button("reset θ").click()
    wait_until_right(playground, IDENTITY)
    by_hand.page.locator(".jp-CodeCell .cm-content").nth(2).click()
    by_hand.page.keyboard.press("Control+Enter")
    until(by_hand.busy, "a cell runs")
    by_hand.show(playground.root)
    x, y = middle(playground, "inside")
    for step in range(5):
        drag(by_hand.page, x + 12 + 10 * step, y + 12, by=(10, 0))
    assert by_hand.busy()
    theta = theta_of(playground.root)
    assert theta[2] == pytest.approx(50 / 112, abs=0.05)
    until(lambda: not by_hand.busy(), "the cell ends", 30)
    wait_until_right(playground, theta, tolerance=1e-4)  # and no echo moves it back
    assert theta_of(playground.root) == theta


def test_another_digit_forgets_verdict_and_frame(by_hand):
    playground = by_hand.playground()
    playground.button("let the STN look").click()
    until(lambda: "Score:" in playground.message(), "a verdict")
    playground.button("another digit").click()
    until(lambda: playground.message() == "", "no verdict")
    until(lambda: theta_of(playground.root) == list(IDENTITY), "the frame it started with")
