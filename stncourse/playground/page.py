"""The θ playground as one HTML page."""

import base64
import json
from importlib import resources
from string import Template

from stncourse.browser.scripts import joined
from stncourse.playground.parameters import IDENTITY, LIMITS, PRESETS, SLIDERS, STEPS, decompose
from stncourse.playground.scene import PADDINGS, Settings, raw_images, raw_padding, scene


def page(images):
    """The playground as one HTML page that needs no Python, no kernel and no network. Its controls are its own.

    Args:
        images: ``(N, 1, H, W)`` raw uint8, the digits to choose from; or a set of them.

    Returns:
        str, the page.

    Raises:
        TypeError, ValueError: ``images`` is not of the kind or shape above, or empty.

    >>> page(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)).startswith("<!doctype html>")
    True
    """
    images, like = raw_images(images)
    start = decompose(IDENTITY)
    data = {
        "digits": base64.b64encode(images.numpy().tobytes()).decode(),
        "sliders": [
            {"text": text, "min": LIMITS[name][0], "max": LIMITS[name][1], "step": STEPS[name], "value": start[name]}
            for name, text in SLIDERS.items()
        ],
        "presets": {name: list(decompose(theta).values()) for name, theta in PRESETS.items()},
        "paddings": {name: raw_padding(name, like) for name in PADDINGS},
        "scene": scene(images, Settings(), like=like),
    }
    template = Template((resources.files("stncourse.playground") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(script=joined("playground/page.js"), data=json.dumps(data, ensure_ascii=False))
