"""Drawing a digit in JupyterLab: what is drawn is the playground's image in Python, bit for bit."""

import lab
import numpy as np
import pytest
from lab import by_mouse, theta_of, until
from strokes import DIGITS, MIDDLE, SHOWN, screen_places

from stncourse import load_pretrained
from stncourse.browser.scripts import joined
from stncourse.playground.opponent import default_digits

START = """from pathlib import Path
import time
import numpy as np
from stncourse import *
playground = theta_playground(model="pretrained", tool="draw")
playground"""
SAVE = """np.savez("{0}.npz", image=playground.image.numpy(), output=playground.frame.pixels.numpy(),
         theta=playground.settings.theta, probabilities=playground.probabilities())"""
BUSY = """while not Path("enough").exists():
    time.sleep(0.1)"""


class Drawn:
    """A notebook whose first cell shows a playground to draw on. Its other cells are run one by one."""

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page
        self.run(0)
        self.look_at(0)

    def look_at(self, view):
        """The view of the playground that is meant from now on."""
        until(lambda: self.page.locator(".stn-theta").count() > view, "the playground is there", 90)
        self.root = self.page.locator(".stn-theta").nth(view)
        self.root.locator(".pad").wait_for()

    def run(self, cell):
        self.page.locator(".jp-CodeCell .jp-InputArea-editor").nth(cell).click()
        self.page.keyboard.press("Shift+Enter")

    def draw(self, digit, height=24, centre=MIDDLE):
        board = self.root.locator(".board")
        board.scroll_into_view_if_needed()
        for line in DIGITS[digit]:
            by_mouse(self.page, screen_places(board, line, height, centre))

    def move_frame(self, *keys):
        self.root.get_by_role("button", name="move the frame").click()
        self.root.locator('[data-handle="inside"]').focus()
        for key in keys:
            self.page.keyboard.press(key)

    def shown(self):
        """What is on the input's canvas; -1 where something lies over it."""
        lab.drawn(self.page)
        return np.array(self.root.locator("canvas.input").evaluate(SHOWN)).reshape(42, 42)

    def bars(self):
        return self.root.locator("ol.answers li").evaluate_all("all => all.map((e) => Number(e.dataset.p))")

    def theta(self):
        return theta_of(self.root)

    def saved(self, cell):
        """Run the cell that saves what Python has now, and load it."""
        self.run(cell)
        path = self.notebook.path.parent / f"{cell}.npz"
        until(path.exists, f"cell {cell} has saved", 60)
        self.notebook.wait_idle()
        return np.load(path)

    def assert_is_in_python(self, cell):
        """What the browser shows is what Python has: image, θ, output, probabilities."""
        shown, theta, bars = self.shown(), self.theta(), self.bars()
        saved, seen = self.saved(cell), shown >= 0
        assert saved["image"].shape == (1, 1, 42, 42)
        assert saved["image"].dtype == np.uint8
        assert seen.mean() > 0.8
        assert (shown == saved["image"][0, 0])[seen].all()
        assert saved["image"].max() == 255
        assert np.allclose(saved["theta"], theta, atol=1e-5)
        assert np.allclose(saved["probabilities"], bars, atol=1e-3)
        picture = np.asarray(lab.picture_of(self.root.locator("canvas.output")).convert("L"))
        assert abs(picture[4::8, 4::8].astype(int) - saved["output"][0, 0]).max() <= 1
        return saved


@pytest.fixture(scope="module")
def drawn(open_notebook):
    cells = [START, *(SAVE.format(number) for number in range(1, 8))]
    cells[2], cells[5] = BUSY, "playground"
    return Drawn(open_notebook("draw.ipynb", cells))


def test_what_is_drawn_is_the_image_in_python(drawn):
    """Also while a cell runs; it stays until another digit is chosen, also for a second view of the playground."""
    digits = default_digits(load_pretrained()).images[:, 0].numpy()
    until(lambda: drawn.shown().max() < 255, "an empty pad")
    drawn.draw(5)
    until(lambda: np.argmax(drawn.bars()) == 5, "a 5 is read")
    first = drawn.assert_is_in_python(1)

    drawn.run(2)
    until(drawn.notebook.busy, "the kernel is at work")
    drawn.move_frame("ArrowUp", "ArrowUp")  # and the network no longer follows
    drawn.root.get_by_role("button", name="draw a digit").click()
    drawn.draw(1, height=16, centre=(34, 20))
    busy = drawn.shown()
    assert drawn.notebook.busy()
    assert (busy[:, 32:36] == 255).sum() > 20  # the kernel is asleep, the pad is not
    (drawn.notebook.path.parent / "enough").touch()
    drawn.notebook.wait_idle()
    second = drawn.assert_is_in_python(3)
    assert (second["image"] >= first["image"]).all()
    assert (second["image"] > first["image"]).sum() > 30
    assert second["theta"][5] == pytest.approx(first["theta"][5] - 0.1, abs=1e-5)

    drawn.run(5)  # a second view: it shows the drawing, and does not wipe it out
    drawn.look_at(1)
    until(lambda: (drawn.shown() == busy)[busy >= 0].mean() > 0.9, "the drawing in the second view")
    assert (drawn.saved(4)["image"] == second["image"]).all()
    drawn.draw(7)  # on a sheet of its own
    until(lambda: np.argmax(drawn.bars()) == 7, "a 7 is read")
    third = drawn.assert_is_in_python(6)
    assert (third["image"] != second["image"]).sum() > 100

    number = drawn.page.locator(".widget-label", has_text="digit no.").locator("..").locator("input").first
    number.fill("7")
    number.press("Enter")
    until(lambda: (drawn.shown() == digits[7]).mean() > 0.6, "the digit in place of the drawing")
    for view in (1, 0):
        drawn.look_at(view)
        drawn.move_frame("ArrowLeft")
    drawn.page.wait_for_timeout(500)
    assert (drawn.saved(7)["image"][0, 0] == digits[7]).all()  # and no move of the frame brings the drawing back


#: theta.js with a model whose kernel never answers; moved by a key, then drawn on. What was the kernel's last news.
SLEEPING = """async () => {
    const identity = { rotation: 0, scale_x: 1, scale_y: 1, shear: 0, shift_x: 0, shift_y: 0 };
    const slider = (value) => ({ get: () => value, on() {}, off() {} });
    const sliders = Object.fromEntries(Object.entries(identity).map(([name, value]) => [name, slider(value)]));
    const scene = {
        height: 42, width: 42, out_height: 28, out_width: 28, mode: "bilinear", padding_mode: "zeros", padding_value: 0,
        inverse: false, theta: [1, 0, 0, 0, 1, 0], parameters: Object.values(identity), label: 3, heard: 0, sketch: 0,
        sliders: Object.values(identity),
    };
    const state = {
        sliders: Object.keys(identity), scene, hand: {}, images: new DataView(new ArrayBuffer(42 * 42)),
        start: { names: [], tools: ["hand", "draw"], tool: "hand", follow: false, scale: null },
    };
    window.state = state;
    const model = {
        widget_manager: { get_model: async (name) => sliders[name] }, on() {}, save_changes() {},
        get: (name) => state[name], set: (name, value) => (state[name] = value),
    };
    const el = document.body.appendChild(document.createElement("div"));
    await script.default.render({ model, el });
}"""


def test_a_drawing_does_not_swallow_the_move_before_it(new_context):
    """While a kernel is busy, only the last message waits for it."""
    page = new_context(viewport=lab.VIEWPORT).new_page()
    lab.load_script(page, joined("playground/theta.js"))
    page.evaluate(SLEEPING)
    page.locator('[data-handle="inside"]').focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("state.hand.theta") == [1, 0, 0.05, 0, 1, 0]
    page.get_by_role("button", name="draw a digit").click()
    by_mouse(page, screen_places(page.locator(".board"), DIGITS[7][0], 24, MIDDLE))
    hand, drawing = page.evaluate("[state.hand, Array.from(new Uint8Array(state.drawing.buffer))]")
    assert hand["theta"] == [1, 0, 0.05, 0, 1, 0]
    assert hand["sketch"] == hand["number"] > 2
    assert (len(drawing), max(drawing)) == (42 * 42, 255)
    page.context.close()
