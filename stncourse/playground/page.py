"""The θ playground as one HTML page."""

import base64
import json
from importlib import resources
from string import Template

from stncourse.browser.scripts import joined
from stncourse.playground.awake import for_browser
from stncourse.playground.opponent import class_names, default_digits, grey, own_copy, sampled_as_by
from stncourse.playground.parameters import IDENTITY, LIMITS, PRESETS, SLIDERS, STEPS, decompose
from stncourse.playground.scene import PADDINGS, Settings, raw_padding, scene

_DIGITS = 100  #: in the page, where it chooses them: each weighs 2 kB


def page(digits=None, model="pretrained"):
    """The playground as one HTML page that needs no Python, no kernel and no network. Its controls are its own.

    Args:
        digits: :class:`stncourse.Digits` to choose from. Default: crooked digits of the test set, 100 of them.
        model: a trained :class:`stncourse.STNClassifier` that the browser can run; ``"pretrained"`` for the shipped
            one; None for a page without a network.

    Returns:
        str, the page.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or the browser cannot run the model.

    >>> page().startswith("<!doctype html>")
    True
    """
    model = own_copy(model)
    digits = default_digits(model).subset(slice(_DIGITS)) if digits is None else grey(digits)
    sampled, background = ({}, None) if model is None else sampled_as_by(model, digits)
    awake = for_browser(model, digits)
    if model is not None and awake is None:
        raise ValueError("model: expected one of the tutorial's layers, which a browser can run, got another")
    weights, scale = awake or (b"", None)
    settings, start = Settings(**sampled), decompose(IDENTITY)
    data = {
        "digits": base64.b64encode(digits.images.numpy().tobytes()).decode(),
        "labels": digits.labels.tolist(),
        "names": class_names(model, digits),
        "weights": base64.b64encode(weights).decode(),
        "scale": scale,
        "sliders": [
            {"text": text, "min": LIMITS[name][0], "max": LIMITS[name][1], "step": STEPS[name], "value": start[name]}
            for name, text in SLIDERS.items()
        ],
        "presets": {name: list(decompose(theta).values()) for name, theta in PRESETS.items()},
        "paddings": {name: raw_padding(name, digits, background) for name in PADDINGS},
        "scene": scene(digits, settings, background=background),
    }
    template = Template((resources.files("stncourse.playground") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(script=joined("playground/page.js"), data=json.dumps(data, ensure_ascii=False))
