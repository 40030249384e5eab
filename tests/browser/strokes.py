"""Digits as a beginner draws them, and hands that draw them."""

import itertools
import math

import lab
import numpy as np
import torch

from stncourse import load_pretrained
from stncourse.browser.scripts import joined

MIDDLE = (20.5, 20.5)  #: of an image of 42 × 42, in pixels
#: What the input's canvas shows: grey levels at the centres of the image's pixels; -1 where something lies over one.
SHOWN = """canvas => {
    const [side, size] = [canvas.width * 2 / 3, 42], pen = canvas.getContext("2d");
    const at = (i) => Math.floor(canvas.width / 6 + (i + 0.5) * side / size);
    return Array.from({ length: size * size }, (_, i) => {
        const [r, g, b] = pen.getImageData(at(i % size), at(Math.floor(i / size)), 1, 1).data;
        return r === g && g === b ? r : -1;
    });
}"""

INK = """([drawings, size]) => drawings.map((strokes) => 
    Array.from(script.inkOf(strokes, { height: size, width: size })))"""


def arc(center, radii, start, end, steps):
    """Places on an ellipse, by degrees clockwise from the right."""
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [[center[0] + radii[0] * math.cos(angle), center[1] + radii[1] * math.sin(angle)] for angle in angles]


#: digit -> its lines, each a list of places, in a box of height 1.
DIGITS = {
    0: [arc((0.33, 0.5), (0.32, 0.5), -90, 270, 24)],
    1: [[[0.36, 0], [0.33, 0.5], [0.3, 1]]],
    2: [[*arc((0.33, 0.28), (0.3, 0.28), -160, 40, 14), [0.3, 0.75], [0.02, 1], [0.66, 0.98]]],
    3: [arc((0.3, 0.25), (0.3, 0.25), -150, 80, 14) + arc((0.3, 0.73), (0.33, 0.27), -80, 150, 14)],
    4: [[[0.2, 0.02], [0.02, 0.55], [0.66, 0.55]], [[0.52, 0.05], [0.48, 1]]],
    5: [[[0.6, 0], [0.1, 0], [0.06, 0.42], *arc((0.3, 0.68), (0.32, 0.32), -110, 140, 14)]],
    6: [[[0.5, 0], [0.2, 0.3], [0.05, 0.65], *arc((0.33, 0.72), (0.28, 0.28), 180, -180, 20)]],
    7: [[[0.02, 0.03], [0.66, 0.02], [0.45, 0.45], [0.25, 1]]],
    8: [
        arc((0.33, 0.25), (0.25, 0.25), -60, -270, 12)
        + arc((0.33, 0.74), (0.3, 0.26), -90, 270, 20)
        + arc((0.33, 0.25), (0.25, 0.25), 90, -60, 12)
    ],
    9: [[*arc((0.3, 0.28), (0.28, 0.28), 0, -360, 20), [0.58, 0.5], [0.5, 1]]],
}


def close(line, apart=0.03):
    """The same line with places as close as a hand's."""
    places = [line[0]]
    for (a, b), (c, d) in itertools.pairwise(line):
        steps = max(1, round(math.hypot(c - a, d - b) / apart))
        places += [[a + (c - a) * i / steps, b + (d - b) * i / steps] for i in range(1, steps + 1)]
    return places


def placed(line, height, centre):
    """A line of a digit, in pixels of the image."""
    return [[centre[0] + (x - 0.33) * height, centre[1] + (y - 0.5) * height] for x, y in line]


def digit_at(digit, height, centre, width):
    """The strokes of a digit of this height, as ``ink.js`` takes them."""
    lines = [placed(close(line), height, centre) for line in DIGITS[digit]]
    return [{"places": line, "width": width, "erases": False} for line in lines]


def screen_places(board, line, height, centre, size=42):
    """The same line on the screen, over a board whose middle two thirds show the image."""
    box = board.bounding_box()
    left, top, scale = box["x"] + box["width"] / 6, box["y"] + box["height"] / 6, box["width"] * 2 / 3 / size
    return [(left + scale * (x + 0.5), top + scale * (y + 0.5)) for x, y in placed(line, height, centre)]


def stroke(places, width=3.3, erases=False):
    return {"places": places, "width": width, "erases": erases}


def playing():
    """The shipped network as the playground has it: what it pads with is black."""
    model = load_pretrained().eval()
    model.stn.sampler.padding_value = -0.1307 / 0.3081
    return model


class InkPage:
    """Function: lists of strokes -> images ``(N, 1, size, size)``, as the browser draws them."""

    def __init__(self, page):
        self.page = page
        lab.load_script(page, joined("playground/ink.js"))

    def __call__(self, drawings, size=42):
        return torch.tensor(self.page.evaluate(INK, [drawings, size]), dtype=torch.uint8).reshape(-1, 1, size, size)


def output_pixels(canvas, size=42):
    """The output as its canvas shows it."""
    picture = np.asarray(lab.picture_of(canvas).convert("L"))
    at = ((np.arange(size) + 0.5) * len(picture) / size).astype(int)
    return torch.tensor(picture[at][:, at].copy())
