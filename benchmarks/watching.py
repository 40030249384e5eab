"""``fit(…, watch=digits)``: what the panel costs a training, and how many pictures a second the page draws.

python benchmarks/watching.py        (needs Chromium)

In one JupyterLab trainings take turns, with the panel and without it: CPU seconds of the whole kernel and wall seconds
of ``fit``. Pictures are counted in the page, by its own clock, each when it is drawn.
"""

import json
import statistics
import sys
from importlib.metadata import version
from pathlib import Path

from side_by_side import line, where

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import lab

ROUNDS = 3
SET_UP = """
import json
import time
import torch
from torch import nn
from stncourse import BACKGROUND, FAST_RECIPE, Digits, SpatialTransformer, STNClassifier, distort, fit, load_digits
torch.set_num_threads(1)
class STNAndLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images(42, output_size=28, padding_value=BACKGROUND)
        self.linear = nn.Linear(28 * 28, 10)
    def forward(self, images):
        return self.linear(self.stn(images).flatten(1)).log_softmax(dim=1)
def rts(images, generator):
    return distort(images, "RTS", generator).images
test = load_digits("test", source="offline").subset(slice(10))
crooked = Digits(rts(test.images, torch.Generator().manual_seed(7)), test.labels, "offline")
slow = FAST_RECIPE.but(epochs=12, batch_size=128, learning_rate=0.003, localization_factor=1.0, localization_until=1.0)
KINDS = {
    "05": (STNClassifier, load_digits("train"), FAST_RECIPE, None, test),
    "06": (STNAndLinear, load_digits("train", source="offline"), slow, rts, crooked),
}
def train(kind, watched):
    make, digits, recipe, transform, few = KINDS[kind]
    torch.manual_seed(0)
    model, watch = make(), few if watched else None
    cpu, wall = time.process_time(), time.perf_counter()
    history = fit(model, digits, recipe=recipe, device="cpu", transform=transform, watch=watch, verbose=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps([kind, watched, len(digits), recipe.epochs, cpu, wall]))
fit(STNClassifier(), test, recipe=FAST_RECIPE, watch=test, verbose=False)  # warms up: torch, ipywidgets
"""
#: Notes the page's time of every picture that is drawn.
COUNT = """() => {
    window.drawn = [];
    new MutationObserver(changes => changes.forEach(() => drawn.push(performance.now())))
        .observe(document.body, {subtree: true, attributes: true, attributeFilter: ["data-step"]});
}"""
NAMES = {"05": "notebook 05, STNClassifier", "06": "notebook 06, RTS, a linear layer"}


def run_one(notebook, number):
    """Run the cell that is selected, and select the next: what it prints, and the times of the pictures."""
    page = notebook.page
    page.evaluate("window.drawn && (drawn.length = 0)")
    page.keyboard.press("Shift+Enter")
    prompt = page.locator(".jp-CodeCell").nth(number).locator(".jp-InputPrompt")
    lab.until(lambda: prompt.inner_text().strip("[]:").isdigit(), f"cell {number} runs to its end", 600, pause=0.2)
    page.wait_for_timeout(500)  # the last picture
    texts = page.locator(".jp-CodeCell").nth(number).locator(".jp-RenderedText").all_inner_texts()
    return texts, page.evaluate("window.drawn")


def main():
    """Train by turns and print the table."""
    order = [(kind, watched) for kind in NAMES for _ in range(ROUNDS) for watched in (False, True)]
    cells = [SET_UP, *(f"train({kind!r}, {watched})" for kind, watched in order)]
    viewport = {"width": 1400, "height": 6000}  # all of it on the page at once
    with lab.open_alone(
        lambda folder: lab.write_notebook(folder / "watching.ipynb", cells), viewport=viewport
    ) as notebook:
        notebook.page.locator(".jp-CodeCell .jp-InputPrompt").first.click()
        run_one(notebook, 0)
        notebook.page.evaluate(COUNT)
        results = [run_one(notebook, number + 1) for number in range(len(order))]
        browser = notebook.page.context.browser.version
    rows = {}
    for (kind, watched), (texts, drawn) in zip(order, results, strict=True):
        *_, digits, epochs, cpu, wall = json.loads(texts[-1])
        rate = 1000 * (len(drawn) - 1) / (drawn[-1] - drawn[0]) if watched else 0.0
        rows.setdefault(kind, {False: [], True: []})[watched].append((cpu, wall, len(drawn), rate))
        rows[kind]["what"] = f"{NAMES[kind]}: {digits:,} digits, {epochs} epoch{'s' * (epochs > 1)}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("jupyterlab", "ipywidgets", "ipykernel"))
    print(f"{where()}; Chromium {browser}, {packages}; by turns, {ROUNDS} rounds")
    for row in rows.values():
        print_rows(row)


def print_rows(row):
    """Both kinds of one training: each round, and the mean's ratio."""
    widths = (10, 9, 9, 10, 12)
    print(f"\n{row['what']}")
    print(line(widths, "", "CPU s", "wall s", "pictures", "per second"))
    for watched, name in ((False, "without"), (True, "watched")):
        for cpu, wall, pictures, rate in row[watched]:
            shown = (str(pictures), f"{rate:.1f}") if watched else ("", "")
            print(line(widths, name, f"{cpu:.2f}", f"{wall:.2f}", *shown))
    ratios = [
        statistics.mean(one[place] for one in row[True]) / statistics.mean(one[place] for one in row[False])
        for place in (0, 1)
    ]
    print(line(widths, "ratio", *(f"{ratio:.3f}" for ratio in ratios), "", ""))


if __name__ == "__main__":
    main()
