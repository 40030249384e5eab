"""What README shows of the live parts, in docs/: the website's front page, the frame in the hand, pull, ask a pixel.

python tools/make_screenshots.py        (needs Chromium, and the site: make site)
"""

import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import lab

from stncourse.__main__ import main as command_line

DOCS = Path(__file__).parents[1] / "docs"
SITE = DOCS.parent / "build" / "site" / "index.html"
LAPTOP = {"width": 1366, "height": 768}
A_FOUR = [[(0.05, -0.55), (-0.3, 0.1), (0.35, 0.15)], [(0.2, -0.2), (0.15, 0.6)]]  # strokes, on the ruler
DRAGS = (
    ("bottom right", (-70, -70)),
    ("inside", (24, 70)),
    ("turn", (-45, 12)),
)  # handle; how far, in pixels of the page
STEPS, STEP, REST = 5, 120, 2000  #: pictures of a drag; milliseconds of one; of the first and the last


def main():
    front_page()
    watched()
    playground()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "theta.html"
        command_line(["playground", str(page)])
        with lab.chromium(viewport={"width": 1366, "height": 1100}) as context:
            for name, use in (("pull", pull), ("pixel", pixel)):
                tab = context.new_page()
                tab.goto(page.as_uri())
                use(tab)
                save(tab.locator(".stn-theta").screenshot(), name)


def front_page():
    """A digit being drawn on the website's front page; also what the preview of a link shows."""
    with lab.chromium(viewport=LAPTOP) as context:
        page = context.new_page()
        page.goto(SITE.as_uri())
        draw(page, page.locator(".board").first, A_FOUR)
        page.wait_for_timeout(1000)
        save(page.screenshot(), "_static/front_page")


def watched():
    """The panel of notebook 06's training, at its end: what the website shows in its place."""

    def write(folder):
        notebook = nbformat.read(lab.NOTEBOOKS / "06_visualization.ipynb", as_version=4)
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        (last,) = [number for number, source in enumerate(code) if "watch=" in source]
        return lab.write_notebook(folder / "watched.ipynb", code[1 : last + 1])

    with lab.open_alone(write, viewport={"width": 1366, "height": 1100}) as notebook:
        notebook.run_all()
        notebook.page.wait_for_timeout(1000)
        save(notebook.page.locator(".stn-watch").screenshot(), "_static/watched")


def draw(page, board, strokes):
    """Strokes with the mouse on a playground's pad, whose image lies in the middle two thirds of its board."""
    box = board.bounding_box()

    def at(x, y):
        return [box[corner] + box["width"] * (0.5 + value / 3) for corner, value in (("x", x), ("y", y))]

    for first, *others in strokes:
        page.mouse.move(*at(*first))
        page.mouse.down()
        for place in others:
            page.mouse.move(*at(*place), steps=12)
        page.mouse.up()


def playground():
    """The game of notebook 07: the frame is dragged, then set by the STN. A film, as a GIF."""
    frames = []
    with lab.open_alone(lambda folder: lab.copy_notebooks(folder) / "07_theta_playground.ipynb") as notebook:
        notebook.run_all()
        game, page = notebook.playground(), notebook.page

        def shoot():
            page.wait_for_timeout(250)
            frames.append(Image.open(io.BytesIO(game.root.screenshot())).convert("RGB"))

        shoot()
        for handle, (dx, dy) in DRAGS:
            box = game.root.locator(f'[data-handle="{handle}"]').bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            for step in range(1, STEPS + 1):
                page.mouse.move(x + dx * step / STEPS, y + dy * step / STEPS)
                shoot()
            page.mouse.up()
        game.button("let the STN look").click()
        page.wait_for_timeout(1500)
        shoot()
    save_film(frames)


def save_film(frames):
    size = max(frame.width for frame in frames), max(frame.height for frame in frames)
    palette = frames[-1].quantize(64)
    sheets = []
    for frame in frames:
        sheet = Image.new("RGB", size, "white")
        sheet.paste(frame, (0, 0))
        sheets.append(sheet.quantize(palette=palette, dither=Image.Dither.NONE))
    durations = [REST] + [STEP] * (len(sheets) - 2) + [2 * REST]
    target = DOCS / "playground.gif"
    sheets[0].save(target, save_all=True, append_images=sheets[1:], duration=durations, loop=0, optimize=True)
    print(f"{target.name}: {len(sheets)} frames, {target.stat().st_size / 1000:.0f} kB")


def pull(page):
    """Half way down the slope."""
    page.get_by_label("digit no.").fill("13")  # a 3: read as another digit, until it is pulled
    page.get_by_label("preset").select_option("identity")
    page.get_by_role("button", name="pull").click()
    page.get_by_role("button", name="let go").click()
    page.wait_for_timeout(600)
    page.get_by_role("button", name="stop").click()
    page.wait_for_timeout(500)


def pixel(page):
    """A pixel on the stroke of a turned digit."""
    page.get_by_label("digit no.").fill("13")
    page.get_by_label("preset").select_option("rotate 45°")
    page.get_by_role("button", name="ask a pixel").click()
    box = page.locator("canvas.output").first.bounding_box()
    page.mouse.click(box["x"] + 0.72 * box["width"], box["y"] + 0.47 * box["height"])
    page.wait_for_timeout(500)


def save(png, name):
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    target = DOCS / f"{name}.png"
    picture.save(target, optimize=True)
    print(f"{target.name}: {picture.width}×{picture.height}, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
