"""The θ playground's controls, in groups. Those of θ show a :class:`Pose` and tell it what the hand does."""

import random
import time

import ipywidgets as widgets
import torch

from stncourse._language import said
from stncourse.device import resolve_device
from stncourse.figures.shown import label_name
from stncourse.playground.parameters import IDENTITY, LARGEST, LIMITS, PRESETS, SLIDERS, STEPS
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS

BROWSER = "browser"  #: the ``device`` that is none: the page warps the picture
#: What a page may open the playground with.
CONTROLS = ("sliders", "theta", "presets", "digit", "sampling", "model", "draw", "pull", "pixel")
_NAMES = ("θ11", "θ12", "tx", "θ21", "θ22", "ty")
_CHOOSE = "choose …"
_NARROW = {"width": "330px"}
_WRAP = {"display": "flex", "flex_flow": "row wrap"}
_SAME = 1e-6  #: a slider that moved less has not been moved
_LATE = 1  #: seconds after which no browser reports any more where a slider was put


class _Slider(widgets.FloatSlider):
    """A slider that may be put somewhere many times a second.

    A browser rounds each place to a step, in floats, and reports that as if a hand had moved the slider. Where the
    kernel was busy, such a report comes when the slider is somewhere else already: it must not bring it back.
    """

    def __init__(self, **keywords):
        self._places, self._last = [], 0.0
        super().__init__(**keywords)

    def put(self, place):
        """Move it; the browser's reports of it are no moves."""
        now = time.monotonic()
        self._places = [*(self._places if now - self._last < _LATE else []), place]
        self.value, self._last = place, now

    def set_state(self, sync_data):
        """What the browser reports."""
        if self._is_old(sync_data.get("value", self.value)):
            sync_data = {name: value for name, value in sync_data.items() if name != "value"}
            self.send_state("value")
        super().set_state(sync_data)

    def _is_old(self, value):
        if not self._places or time.monotonic() - self._last > _LATE or abs(value - self.value) < _SAME:
            return False
        return any(abs(value - place) < _SAME for place in self._places)


class Sliders:
    """One slider a parameter; ``sliders`` is a dict with the keys of ``LIMITS``."""

    def __init__(self, pose):
        self.sliders = {
            name: _Slider(
                description=said(text), min=LIMITS[name][0], max=LIMITS[name][1], step=STEPS[name],
                readout_format=".0f" if name == "rotation" else ".2f", layout=_NARROW,
                style={"description_width": "90px"},
            )
            for name, text in SLIDERS.items()
        }  # fmt: skip
        self._pose = pose
        pose.observe(self._show)
        for slider in self.sliders.values():
            slider.observe(self._on_move, names="value")

    def rows(self):
        """The widgets, from top to bottom."""
        return list(self.sliders.values())

    def _show(self, pose):
        for name, slider in self.sliders.items():
            # On a step: a browser would round it to one, and report that as if the slider had been moved.
            step = round(round(pose.parameters[name] / slider.step) * slider.step, 2)
            at_its_place = (abs(slider.value - place) < _SAME for place in (step, pose.parameters[name]))
            if not any(at_its_place):
                slider.put(step)

    def _on_move(self, change):
        # A browser counts steps in floats, and reports 0.8000000000000003 for the 0.8 that it was given: not a move.
        if not self._pose.telling and abs(change["new"] - change["old"]) >= _SAME:
            name = next(name for name, slider in self.sliders.items() if slider is change["owner"])
            self._pose.move(name, change["new"])


class ThetaBoxes:
    """θ's six numbers, to read and to type; ``say``: a function that is told what cannot be taken."""

    def __init__(self, pose, say):
        self.boxes = [
            widgets.Text(
                description=name,
                continuous_update=False,
                layout={"width": "108px"},
                style={"description_width": "28px"},
            )
            for name in _NAMES
        ]
        self._pose, self._say = pose, say
        pose.observe(self._show)
        for box in self.boxes:
            box.observe(self._on_typed, names="value")

    def rows(self):
        """The widgets, from top to bottom."""
        return [widgets.HBox(self.boxes[:3]), widgets.HBox(self.boxes[3:])]

    def _show(self, pose):
        for box, value in zip(self.boxes, pose.theta, strict=True):
            box.value = _as_typed(value)

    def _on_typed(self, change):
        if self._pose.telling:
            return
        theta = []
        for name, box, kept in zip(_NAMES, self.boxes, self._pose.theta, strict=True):
            if box.value == _as_typed(kept):  # not touched: keep all its decimals
                theta.append(kept)
                continue
            try:
                value = float(box.value.strip().replace(",", ".").replace("−", "-"))
            except ValueError:
                self._say(f"{name}: expected a number, got “{box.value}”. θ is unchanged.")
                return
            if not abs(value) <= LARGEST:  # NaN is not <= either
                self._say(f"{name}: expected a number up to ±{LARGEST:,.0f}, got {box.value}. θ is unchanged.")
                return
            theta.append(value)
        self._pose.put(theta)


class Presets:
    """Ready-made θs, and the way back to the identity."""

    def __init__(self, pose):
        self.preset = widgets.Dropdown(description=said("preset"), options=_choices(_CHOOSE, *PRESETS), layout=_NARROW)
        self.reset = widgets.Button(description=said("reset θ"), layout={"width": "100px"})
        self._pose = pose
        pose.observe(self._show)
        self.preset.observe(self._on_choice, names="value")
        self.reset.on_click(lambda _: pose.put(IDENTITY))

    def rows(self):
        """The widgets, from top to bottom."""
        return [widgets.HBox([self.preset, self.reset], layout=_WRAP)]

    def _show(self, pose):
        """The preset that θ is, if it is one: so that each preset can be chosen again."""
        self.preset.value = next((name for name, theta in PRESETS.items() if theta == pose.theta), _CHOOSE)

    def _on_choice(self, change):
        if not self._pose.telling and self.preset.value in PRESETS:
            self._pose.put(PRESETS[self.preset.value])


class DigitControls:
    """Which digits are on show; ``changed``: a function that is called for another digit; ``counted``: for more."""

    def __init__(self, digits, index, count, changed, counted):
        self._digits = digits
        self.number = widgets.BoundedIntText(
            description=said("digit no."), value=index, max=len(digits) - 1, layout={"width": "190px"}
        )
        classes = [(label_name(digits, label), label) for label in sorted(set(digits.labels.tolist()))]
        self.of_class = widgets.Dropdown(
            description=said("class"), options=[*_choices("any"), *classes], layout={"width": "170px"}
        )
        self.another = widgets.Button(description=said("another digit"), layout={"width": "130px"})
        self.count = widgets.Dropdown(
            description=said("at once"), options=[1, 2, 3, 4], value=count, layout={"width": "150px"}
        )
        self.number.observe(lambda _: changed(), names="value")
        self.count.observe(lambda _: counted(), names="value")
        self._changed = changed
        self.another.on_click(self._on_another)
        self.of_class.observe(self._on_another, names="value")

    def rows(self):
        """The widgets, from top to bottom."""
        return [
            widgets.HBox([self.number, self.count], layout=_WRAP),
            widgets.HBox([self.of_class, self.another], layout=_WRAP),
        ]

    def chosen(self):
        """The digits on show, raw: ``count`` of them from the chosen one on."""
        index = (torch.arange(self.count.value, device="cpu") + self.number.value) % len(self._digits)
        return self._digits.images[index]

    def _on_another(self, _):
        wanted = self.of_class.value
        chosen = [i for i, label in enumerate(self._digits.labels.tolist()) if wanted in ("any", label)]
        chosen = [i for i in chosen if i != self.number.value] or chosen
        number = random.choice(chosen)
        if number == self.number.value:  # the only one: as if it had just come
            self._changed()
        self.number.value = number


class SamplingControls:
    """How the digits are sampled, and where; ``changed`` and ``device_changed``: functions that are called then."""

    def __init__(self, settings, images, device, changed, device_changed):
        self.direction = widgets.Dropdown(description=said("θ maps"), options=_choices(*DIRECTIONS), layout=_NARROW)
        self.padding = widgets.Dropdown(
            description=said("outside"), options=_choices(*PADDINGS), value=settings.padding, layout=_NARROW
        )
        self.mode = widgets.Dropdown(
            description=said("sampling"), options=list(MODES), value=settings.mode, layout=_NARROW
        )
        self.grid_align, self.sampler_align = (
            widgets.Checkbox(description=said(f"align_corners of the {part}"), value=value, layout=_NARROW)
            for part, value in (("grid", settings.grid_align_corners), ("sampler", settings.sampler_align_corners))
        )
        self._size = self._own_size = (
            settings.output_size
        )  # may be None, or not square: kept until another is asked for
        side = self._own_side = settings.size_for(images)[1]
        self.output_size = widgets.BoundedIntText(
            description=said("output px"), value=side, min=1, max=max(112, side), layout={"width": "190px"}
        )
        devices = dict.fromkeys([BROWSER, "cpu", *(name for name in ("cuda", "mps") if _works(name)), device])
        self.on_device = widgets.Dropdown(
            description=said("warped by"),
            options=_choices(*devices),
            value=device,
            layout=_NARROW,
        )
        self.output_size.observe(self._on_size, names="value")
        for control in self.rows()[:-1]:
            control.observe(lambda _: changed(), names="value")
        self.on_device.observe(lambda _: device_changed(), names="value")

    def rows(self):
        """The widgets, from top to bottom."""
        return [
            self.direction,
            self.padding,
            self.mode,
            self.output_size,
            self.grid_align,
            self.sampler_align,
            self.on_device,
        ]

    def settings(self):
        """What :class:`Settings` takes beside θ."""
        return {
            "padding": self.padding.value,
            "mode": self.mode.value,
            "grid_align_corners": self.grid_align.value,
            "sampler_align_corners": self.sampler_align.value,
            "output_size": self._size,
            "direction": self.direction.value,
        }

    def _on_size(self, change):
        self._size = self._own_size if change["new"] == self._own_side else change["new"]


def _choices(*names):
    """Options of a Dropdown, as they are called in the student's language."""
    return [(said(name), name) for name in names]


def _as_typed(value):
    """An entry of θ as its box shows it."""
    return f"{round(value, 6) + 0:g}"


def _works(device):
    try:
        resolve_device(device)
    except ValueError:
        return False
    return True
