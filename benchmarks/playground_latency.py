"""The θ playground in a real browser: from a key press to new pixels, beside a plain widget.

The plain one draws the same (input with frame and dots, output, θ) as a new matplotlib figure into an Output. The
playground is measured both ways: warped by the kernel, which sends a picture, and by the browser.

python benchmarks/playground_latency.py        (needs Chromium)

Both stand in one notebook in one JupyterLab, and are measured in the page, by its own clock: from the event of a key to
the moment in which the browser has decoded a picture that it did not have before.
"""

import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

from side_by_side import line

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import lab

PRESSES, HELD_SECONDS, KEYS_PER_SECOND = 50, 6, 30
PLAIN = """
import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import clear_output, display
from stncourse import affine_theta, load_digits, theta_playground
slider = widgets.FloatSlider(description="rotation (°)", min=-180, max=180, step=1)
out = widgets.Output()
digit = load_digits("test", source="offline").images[:1] / 255
corners = torch.tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1], [-1, -1, 1.0]])
def draw(change=None):
    theta = affine_theta(rotation=slider.value)
    grid = F.affine_grid(theta, digit.shape, align_corners=False)
    output = F.grid_sample(digit, grid, align_corners=False)
    with out:
        clear_output(wait=True)
        fig, axes = plt.subplots(1, 2, figsize=(4.7, 2.3))
        axes[0].imshow(digit[0, 0], cmap="gray", extent=(-1, 1, 1, -1))
        axes[0].scatter(*grid[0, ::3, ::3].reshape(-1, 2).T, s=1, color="orange")
        axes[0].plot(*(corners @ theta[0].T).T, color="orange")
        axes[0].set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5))
        axes[1].imshow(output[0, 0], cmap="gray")
        for ax in axes:
            ax.axis("off")
        fig.suptitle(str(theta[0].tolist()), fontsize=6)
        plt.show()
slider.observe(draw, names="value")
draw()
widgets.VBox([slider, out])
"""
KINDS = {
    "Output + new figure": PLAIN,
    "kernel": 'theta_playground(device="cpu")',
    "kernel, with classifier": 'theta_playground(model="pretrained", device="cpu")',
    "browser": "theta_playground()",
    "browser, with classifier": 'theta_playground(model="pretrained")',
}
#: Notes the time of every key and drag, and of every picture once it is decoded.
WATCH = """() => {
    window.keys = []; window.pictures = [];
    document.addEventListener("keydown", () => keys.push(performance.now()), true);
    document.addEventListener("pointermove", event => event.buttons && keys.push(performance.now()), true);
    const decoded = img => img.decode().then(() => pictures.push(performance.now()), () => {});
    new MutationObserver(changes => {
        for (const change of changes) {
            if (change.attributeName == "data-theta") pictures.push(performance.now());
            else if (change.type == "attributes") { if (change.target.tagName == "IMG") decoded(change.target); }
            else for (const node of change.addedNodes)
                if (node.querySelectorAll)
                    for (const img of node.tagName == "IMG" ? [node] : node.querySelectorAll("img")) decoded(img);
        }
    }).observe(document.body,
               {subtree: true, childList: true, attributes: true, attributeFilter: ["src", "data-theta"]});
}"""


#: The mouse, held, goes to and fro: driven from outside it would be waited for.
DRAG = """([x, y, seconds, rate]) => new Promise(done => {
    const board = document.elementFromPoint(x, y).closest(".board");
    let tick = 0;
    const timer = setInterval(() => {
        const at = { clientX: x + tick % 40, clientY: y + tick % 30, pointerId: 1, buttons: 1, bubbles: true };
        board.dispatchEvent(new PointerEvent("pointermove", at));
        if (++tick == seconds * rate) { clearInterval(timer); done(); }
    }, 1000 / rate);
})"""


def measure(notebook, number):
    """Milliseconds of each single press; pictures per second while the key is held; milliseconds from last to last."""
    page = notebook.page
    handle = page.locator(".jp-OutputArea-output .widget-hslider").filter(has_text="rotation").locator(".noUi-handle")
    handle = handle.nth(number)
    notebook.show(handle)
    handle.focus()
    singles = []
    for press in range(PRESSES + 5):
        page.evaluate("keys.length = pictures.length = 0")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("pictures.length > 0", polling=20)
        page.wait_for_timeout(150)
        if press >= 5:  # the first ones warm up
            singles.append(page.evaluate("pictures[0] - keys[0]"))
    page.keyboard.press("Home")  # as much room as there is
    page.wait_for_timeout(2000)
    page.evaluate("keys.length = pictures.length = 0")
    start = time.monotonic()
    for tick in range(HELD_SECONDS * KEYS_PER_SECOND):
        page.wait_for_timeout(max(0, 1000 * (start + tick / KEYS_PER_SECOND - time.monotonic())))
        page.keyboard.down("ArrowRight")
    page.keyboard.up("ArrowRight")
    page.wait_for_timeout(3000)
    keys, pictures = page.evaluate("[keys, pictures]")
    during = [at for at in pictures if at <= keys[-1]]
    return singles, 1000 * len(during) / (keys[-1] - keys[0]), pictures[-1] - keys[-1], 1000 * (len(keys) - 1) / (
        keys[-1] - keys[0]
    )  # fmt: skip


def measure_drags(notebook, number):
    """The same for the frame in the hand: single moves of the mouse, then a drag of many."""
    page = notebook.page
    playground = page.locator(".stn-theta").nth(number)
    notebook.show(playground)
    box = playground.locator("[data-handle=inside]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    singles = []
    for move in range(PRESSES + 5):
        page.evaluate("keys.length = pictures.length = 0")
        page.mouse.move(x + 1 + move % 2 * 6, y)
        page.wait_for_function("pictures.length > 0", polling=20)
        page.wait_for_timeout(150)
        if move >= 5:
            singles.append(page.evaluate("pictures[0] - keys[0]"))
    page.evaluate("keys.length = pictures.length = 0")
    page.evaluate(DRAG, [x, y, HELD_SECONDS, KEYS_PER_SECOND])
    page.wait_for_timeout(500)
    page.mouse.up()
    moves, pictures = page.evaluate("[keys, pictures]")
    seconds, during = (moves[-1] - moves[0]) / 1000, [at for at in pictures if at <= moves[-1]]
    return singles, len(during) / seconds, pictures[-1] - moves[-1], (len(moves) - 1) / seconds


def main():
    viewport = {"width": 1400, "height": 2400}  # all of it on the page at once
    with lab.open_alone(
        lambda folder: lab.write_notebook(folder / "latency.ipynb", KINDS.values()), viewport=viewport
    ) as opened:
        errors = lab.errors_in(opened.run_all())
        assert not errors, errors
        opened.page.evaluate(WATCH)
        results = {name: measure(opened, number) for number, name in enumerate(KINDS)}
        in_browser = [name for name in KINDS if name.startswith("browser")]
        results |= {f"{name}, drag": measure_drags(opened, number) for number, name in enumerate(in_browser)}
        browser = opened.page.context.browser.version
    packages = ", ".join(f"{name} {version(name)}" for name in ("jupyterlab", "ipywidgets", "ipykernel", "torch"))
    print(f"Chromium {browser}, {packages}; {PRESSES} single moves, then {HELD_SECONDS} s of them")
    widths = 31, 9, 9, 8, 10, 10, 18
    print(line((31, 19, 8, 21, 15), "", "move to picture, ms", "", "while held, per s", "last move to"))
    print(line(widths, "", "median", "p95", "ratio", "moves", "pictures", "last picture, ms"))
    plain = statistics.median(next(iter(results.values()))[0])
    for name, (singles, rate, lag, keys) in results.items():
        median, p95 = statistics.median(singles), statistics.quantiles(singles, n=20)[-1]
        milliseconds = f"{median:.0f}", f"{p95:.0f}", f"{median / plain:.2f}"
        print(line(widths, name, *milliseconds, f"{keys:.1f}", f"{rate:.1f}", f"{lag:.0f}"))


if __name__ == "__main__":
    main()
