"""Drawing a digit in JupyterLab: what is drawn is the playground's image in Python, bit for bit."""

import lab
import numpy as np
import pytest
import torch
from lab import until
from strokes import DIGITS, MIDDLE, draw_by_mouse, screen_places

from stncourse import load_pretrained
from stncourse.playground.opponent import default_digits

START = """from pathlib import Path
import time
import numpy as np
from stncourse import *
playground = theta_playground(model="pretrained", tool="draw")
playground"""
#: Keeps the kernel busy until a file is there, then saves what Python has by then.
SAVE = """while not Path("go-{0}").exists(): time.sleep(0.1)"""
THEN = """np.savez("{0}.npz", image=playground.image.numpy(), output=playground.frame.pixels.numpy(),
    theta=playground.settings.theta, probabilities=playground.probabilities(), number=playground.number.value)"""
SHOWN = """canvas => {
    const size = 42, side = canvas.width * 2 / 3, pen = canvas.getContext("2d");
    const at = (i) => Math.floor(canvas.width / 6 + (i + 0.5) * side / size);
    return Array.from({ length: size * size }, (_, i) => {
        const [r, g, b] = pen.getImageData(at(i % size), at(Math.floor(i / size)), 1, 1).data;
        return r === g && g === b ? r : -1;
    });
}"""
STEPS = ("drawn", "busy", "chosen", "moved", "left")


class Drawn:
    """A notebook with a playground, on which is drawn, and a cell for each step that saves what Python has then."""

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page
        self.notebook.start_all()
        notebook.playground()
        self.board = self.page.locator(".stn-theta .board")
        self.output = self.page.locator(".stn-theta canvas.output")

    def draw(self, digit, height=24):
        self.board.scroll_into_view_if_needed()
        for line in DIGITS[digit]:
            draw_by_mouse(self.page, screen_places(self.board, line, height, MIDDLE))

    def shown(self):
        """What is on the input's canvas, and where something lies over it."""
        self.page.evaluate("() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")
        shown = torch.tensor(self.board.locator("canvas").evaluate(SHOWN)).reshape(42, 42)
        return shown, shown < 0

    def bars(self):
        return self.page.locator(".stn-theta ol.answers li").evaluate_all("all => all.map((e) => Number(e.dataset.p))")

    def saved(self, step):
        """Let the kernel go on to the next step, and load what it saves in this one."""
        folder = self.notebook.path.parent
        (folder / f"go-{step}").touch()
        path = folder / f"{step}.npz"
        until(path.exists, f"the cell that saves {step}", 60)
        self.page.wait_for_timeout(300)
        return np.load(path)
