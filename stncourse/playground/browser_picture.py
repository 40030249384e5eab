"""The θ playground's picture as the browser draws it: what it is sent, and what it tells of the hand."""

import ipywidgets as widgets
import traitlets

from stncourse import _check
from stncourse.browser.scripts import joined
from stncourse.browser.spoken import SpokenWidget
from stncourse.playground.awake import for_browser
from stncourse.playground.opponent import class_names

#: What the hand can do in the picture: move the frame; draw a digit; pull θ along its slope; ask a pixel.
TOOLS = ("hand", "draw", "pull", "pixel")


def starting(model, digits, controls, tool, follow, in_browser):
    """What the browser is told once: ``(start, weights)``, the values of :class:`BrowserPicture`."""
    awake = for_browser(model, digits) if "model" in controls else None
    tools = [name for name in TOOLS if name == "hand" or name in controls]
    if awake is None and "pull" in tools:
        tools.remove("pull")
    _check.choice("tool", tool, TOOLS)
    if tool not in tools:
        raise ValueError(f"tool: expected one that controls and model allow, of {tools}, got {tool!r}")
    follow = _check.flag("follow", follow)
    if follow and awake is None:
        raise ValueError("follow: expected True only with a model that the browser can run, got True")
    for name, value, usual in (("tool", tool, "hand"), ("follow", follow, False)):
        if value != usual and not in_browser:
            raise ValueError(f"{name}: expected {usual!r} where the kernel draws (device), got {value!r}")
    weights, scale = awake or (b"", None)
    names = class_names(model, digits) if awake else []
    # θ's numbers, where something else on the page speaks of them.
    matrix = any(name in controls for name in ("sliders", "theta", "presets", "pull", "pixel"))
    start = {"names": names, "tools": tools, "tool": tool, "follow": follow, "scale": scale, "matrix": matrix}
    return start, weights


def first_pixel(pixel, size, controls):
    """``pixel``, checked, as a list; None where the browser is to choose. ``size``: the output's."""
    if pixel is None:
        return None
    if "pixel" not in controls:
        raise ValueError(f"pixel: expected one only where controls have 'pixel', got {_check.describe(pixel)}")
    place = [_check.as_integer(value) for value in _check.as_pair(pixel) or (None, None)]
    if None in place or not all(0 <= value < side for value, side in zip(place, size, strict=True)):
        inside = f"inside the output's {size[0]}×{size[1]}"
        raise ValueError(f"pixel: expected a (row, column) {inside}, got {_check.describe(pixel)}")
    return [int(value) for value in place]


class BrowserPicture(SpokenWidget):
    """The picture, drawn by the browser (``theta.js``) as the sliders and the hand move."""

    _esm = joined("playground/theta.js")
    sliders = traitlets.List().tag(sync=True, **widgets.widget_serialization)
    start = traitlets.Dict().tag(sync=True)  #: what does not change: names, tools, first pixel, the network's scale
    weights = traitlets.Bytes().tag(sync=True)  #: of the network, where the browser runs it: a safetensors file
    images = traitlets.Bytes().tag(sync=True)  #: raw grey levels of the digits on show
    #: ``scene``; θ, with the sliders' exact ``parameters`` and values that it was made for; the digit's ``label``.
    scene = traitlets.Dict().tag(sync=True)
    #: What the hand did last: its number; θ and who moved it; ``sketch``, its number when it last drew.
    hand = traitlets.Dict().tag(sync=True)
    #: What was drawn, as grey levels; nothing where the hand gave the digit back. A page sends a memoryview.
    drawing = traitlets.Bytes().tag(
        sync=True, from_json=lambda value, _: bytes(value) if isinstance(value, memoryview) else value
    )

    def show(self, images, scene, pose, label, number):
        """Send what is to be drawn, in one message. ``number``: of the digit."""
        with self.hold_sync():
            self.images = images.numpy().tobytes()
            self.scene = scene | {
                "theta": pose.theta,
                "parameters": list(pose.parameters.values()),
                "sliders": [slider.value for slider in self.sliders],
                "label": label,
                "digit": number,
                "heard": self.hand.get("number", 0),
                "sketch": self.hand.get("sketch", 0),
            }
