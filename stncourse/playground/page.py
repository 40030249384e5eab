"""The θ playground as one HTML page."""

import base64
import json
from importlib import resources
from string import Template

from stncourse._language import for_page, language, words
from stncourse.browser.scripts import joined
from stncourse.data.digits import Digits, check_classes
from stncourse.playground.browser_picture import starting
from stncourse.playground.controls import CONTROLS
from stncourse.playground.opponent import default_digits, grey, own_copy, sampled_as_by
from stncourse.playground.parameters import IDENTITY, LIMITS, PRESETS, SLIDERS, STEPS, decompose
from stncourse.playground.scene import PADDINGS, Settings, raw_images, raw_padding, scene

_DIGITS = 100  #: in the page, where it chooses them: each weighs 2 kB
_FEWER = 40  #: where a page has several playgrounds


def page(images=None, model=None):
    """The playground as one HTML page that needs no Python, no kernel and no network. Its controls are its own.

    Args:
        images: ``(N, 1, H, W)`` raw uint8, the digits to choose from; or a set of them. Default: 100 crooked digits of
            the shipped test set.
        model: None; a trained :class:`stncourse.STNClassifier` whose layers are the tutorial's; or ``"pretrained"`` for
            the shipped one, which is also the default where no images are given.

    Returns:
        str, the page.

    Raises:
        TypeError, ValueError: ``images`` is not of the kind or shape above, or empty; the model does not go with them,
            or a browser cannot run it.

    >>> page(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)).startswith("<!doctype html>")
    True
    """
    model = own_copy("pretrained" if images is None and model is None else model)
    images = default_digits(model).subset(slice(_DIGITS)) if images is None else images
    labels = None
    if isinstance(images, Digits):
        check_classes("images", images.labels, "the page")
        labels = images.labels.tolist()
    digits, (images, like) = images, raw_images(images)
    sampled, background = ({}, None) if model is None else sampled_as_by(model, grey(digits))
    start, weights = starting(model, like, CONTROLS, "hand", False, in_browser=True)
    if model is not None and start["scale"] is None:
        raise ValueError("model: expected one of the tutorial's layers, which a browser can run, got another")
    data = _told(images, labels, like, Settings(**sampled), background, start, weights)
    page = (resources.files("stncourse.playground") / "page.html").read_text(encoding="utf-8")
    page = words(language()).said_html(page.replace('lang="en"', f'lang="{language().replace("_", "-")}"'))
    return Template(page).substitute(script=joined("playground/page.js"), data=as_script(data))


def page_of(playground):
    """What ``pageIn`` of ``page.js`` has to be told to show a playground as it stands, without a kernel: JSON values.

    Args:
        playground: :class:`stncourse.playground.theta_widget.ThetaPlayground`. Its own controls that need no kernel are
            there, and so are the digits it can show, up to 40 of them.

    >>> from stncourse import theta_playground
    >>> page_of(theta_playground(controls=("sliders",), theta=(1, 0, 0.4, 0, 1, 0)))["first"]
    [1.0, 0.0, 0.4, 0.0, 1.0, 0.0]
    """
    controls, index, count = playground._controls, playground.number.value, playground.count.value
    digits = playground.digits
    if "digit" in controls and index + count <= _FEWER:
        digits = digits.subset(slice(_FEWER))
    else:
        digits, index = digits.subset(slice(index, index + count)), 0
    told = _told(
        digits.images,
        digits.labels.tolist(),
        playground.digits,
        playground.settings,
        playground.background,
        playground._start,
        playground._weights,
    )
    groups = [name for name in ("presets", "sliders", "theta", "digit", "sampling") if name in controls]
    return told | {"groups": groups, "first": list(playground.pose.theta), "index": index, "count": count}


def _told(images, labels, like, settings, background, start, weights):
    identity = decompose(IDENTITY)
    return {
        "digits": base64.b64encode(images.numpy().tobytes()).decode(),
        "labels": labels,
        "start": start,
        "words": for_page(),
        "weights": base64.b64encode(weights).decode(),
        "sliders": [
            {"text": text, "min": LIMITS[name][0], "max": LIMITS[name][1], "step": STEPS[name], "value": identity[name]}
            for name, text in SLIDERS.items()
        ],
        "presets": {name: list(decompose(theta).values()) for name, theta in PRESETS.items()},
        "paddings": {name: raw_padding(name, like, background) for name in PADDINGS},
        "scene": scene(images, settings, like=like, background=background),
    }


def as_script(data):
    """Data as JSON that may stand within a page's script: a class may be called </script>.

    >>> as_script({"name": "</script>"})
    '{"name": "\\\\u003c/script>"}'
    """
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
