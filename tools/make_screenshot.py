"""docs/playground.gif: the θ playground in JupyterLab, moved by keyboard, then set by the STN.

python tools/make_screenshot.py        (needs Chromium)
"""

import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import lab

TARGET = Path(__file__).parents[1] / "docs" / "playground.gif"
MOVES = (
    ("rotation (°)", "ArrowLeft", 12, 4),
    ("scale x", "ArrowLeft", 3, 3),
    ("scale y", "ArrowLeft", 3, 3),
)  # slider, key, presses per frame, frames
STEP, REST = 350, 2000  #: milliseconds of a frame in motion, and of the first and the last


def main():
    frames = []
    with lab.open_alone(lambda folder: lab.copy_notebooks(folder) / "07_theta_playground.ipynb") as notebook:
        notebook.run_all()
        game = notebook.playground()

        def shoot():
            notebook.wait_idle()
            notebook.page.wait_for_timeout(500)
            frames.append(Image.open(io.BytesIO(game.root.screenshot())).convert("RGB"))

        shoot()
        for slider, key, presses, count in MOVES:
            game.slider(slider)
            for _ in range(count):
                game.press(*[key] * presses)
                shoot()
        game.button("let the STN do it").click()
        shoot()
    width = max(frame.width for frame in frames)
    height = max(frame.height for frame in frames)
    palette = frames[-1].quantize(64)
    sheets = []
    for frame in frames:
        sheet = Image.new("RGB", (width, height), "white")
        sheet.paste(frame, (0, 0))
        sheets.append(sheet.quantize(palette=palette, dither=Image.Dither.NONE))
    durations = [REST] + [STEP] * (len(sheets) - 2) + [2 * REST]
    sheets[0].save(TARGET, save_all=True, append_images=sheets[1:], duration=durations, loop=0, optimize=True)
    print(f"{TARGET.name}: {len(sheets)} frames, {width}×{height}, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
