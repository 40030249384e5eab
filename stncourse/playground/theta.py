"""The θ playground: move θ by hand and watch digits warp. A thin layer of ipywidgets over ``playground``.

The picture is drawn by the browser, or by the kernel with ``grid_sample``: see ``device``.
"""

import copy
import html
import random
from dataclasses import replace

import anywidget
import ipywidgets as widgets
import torch
import traitlets

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.data.distortions import distort
from stncourse.data.mnist import load_digits
from stncourse.device import resolve_device
from stncourse.figures.shown import black, label_name
from stncourse.networks.digits import STNClassifier
from stncourse.networks.weights import load_pretrained
from stncourse.playground.page import browser_script
from stncourse.playground.parameters import IDENTITY, LARGEST, LIMITS, PRESETS, SLIDERS, STEPS, compose, decompose
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS, Settings, render, scene

#: What a page may open the playground with.
CONTROLS = ("sliders", "theta", "presets", "digit", "sampling", "model")
_NAMES = ("θ11", "θ12", "tx", "θ21", "θ22", "ty")
_CHOOSE = "choose …"
BROWSER = "browser"  #: the ``device`` that is none: the page warps the picture


def theta_playground(digits=None, model=None, controls=CONTROLS, theta=IDENTITY, index=0, count=1, device=BROWSER):
    """Move θ by hand and watch digits warp, live.

    Args:
        digits: :class:`stncourse.Digits`, or an :class:`stncourse.ImageSet` of grey images, to pick from; its numbers
            normalise the images. Default: the shipped test digits; with a model of another image size than theirs, the
            same distorted by ``"RTS"``.
        model: None; a trained :class:`stncourse.STNClassifier` with an affine θ; or ``"pretrained"`` for the shipped
            one. With a model, its answers are shown live, a button lets its STN choose θ, and all is sampled as it
            does: what it pads with is the background.
        controls: which of ``CONTROLS`` to show.
        theta: the six numbers to start from, row by row; or a ``(2, 3)`` or ``(1, 2, 3)`` tensor.
        index: which digit to start with.
        count: how many digits to show at once, 1 to 4.
        device: what warps the picture. ``"browser"``: the page itself, which follows the hand best, also while a cell
            trains. ``"cpu"``, ``"cuda"``, …: ``grid_sample`` in the kernel, and a picture sent for every move; it needs
            nothing but ipywidgets in the page. Both show the same pixels.

    Returns:
        ThetaPlayground: a widget that shows itself as the last value of a cell. ``.settings`` is what it is set to,
        ``.frame`` what it shows.

    Convention:
        θ maps output → input (there is a switch to see the other direction). The sliders are the parameters of
        :func:`stncourse.affine_theta`: they move the *frame* on the input, so the content moves the other way.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> playground = theta_playground(theta=(1, 0, 0.4, 0, 1, 0))
    >>> playground.frame.words
    'The digit comes out moved left by 0.40.'
    """
    return ThetaPlayground(digits, model, controls, theta, index, count, device)


class BrowserPicture(anywidget.AnyWidget):
    """The picture and the readout of θ, drawn by the browser (``theta.js``) as the sliders move."""

    _esm = browser_script()
    sliders = traitlets.List().tag(sync=True, **widgets.widget_serialization)
    images = traitlets.Bytes().tag(sync=True)  #: raw grey levels of the digits on show
    #: ``scene``; and θ, with the sliders' exact ``parameters`` and their values that it was made for.
    scene = traitlets.Dict().tag(sync=True)


class ThetaPlayground(widgets.VBox):
    """See :func:`theta_playground`."""

    def __init__(self, digits=None, model=None, controls=CONTROLS, theta=IDENTITY, index=0, count=1, device=BROWSER):
        if not isinstance(controls, (tuple, list)):
            raise TypeError(f"controls: expected a tuple of names, got {_check.describe(controls)}")
        for name in controls:
            _check.choice("controls", name, CONTROLS)
        with torch.device("cpu"):  # all of it, whatever torch.set_default_device says
            self.model = _own_copy(model)
            self.digits = self._default_digits() if digits is None else _grey(digits)
        self.background = None  #: what the model pads with, after normalisation; None: black
        settings = {} if self.model is None else self._as_the_model()
        index = _check.positive_int("index", index, minimum=0)
        if index >= len(self.digits):
            raise ValueError(f"index: expected 0 to {len(self.digits) - 1}, got {index}")
        count = _check.positive_int("count", count)
        if count > 4:
            raise ValueError(f"count: expected 1 to 4, got {count}")
        self.device = device if isinstance(device, str) and device == BROWSER else str(resolve_device(device))
        self.settings = Settings(theta=theta, **settings)
        self.frame = None
        self.score = {"you": 0, "STN": 0}
        self._filling = False
        self._make_controls(index, count)
        # What the sliders stand for, exactly: the sliders themselves can only be on their steps.
        self._parameters = {name: slider.value for name, slider in self.sliders.items()}
        super().__init__([self._arrange(controls)])
        self._fill_from_theta()
        self._show()

    def _as_the_model(self):
        """Check that digits and model go together. Returns the settings with which all is sampled as by the model."""
        stn, channels = self.model.stn, getattr(self.model.stn.localization, "in_channels", 1)
        size, wanted = tuple(self.digits.images.shape[-2:]), getattr(stn.localization, "image_size", None)
        if wanted not in (None, size):
            raise ValueError(f"digits: expected images of the size that the model takes, {wanted}, got {size}")
        if channels != 1:
            raise ValueError(f"model: expected one for grey images, got one for {channels} channels")
        with torch.no_grad(), torch.device("cpu"):
            example = self.digits.normalize(self.digits.images[:1]).float()
            theta, classes = stn.transform(example).theta, self.model(example).shape[1]
        if theta is None or theta.shape[1:] != (2, 3):
            what = "without a matrix" if theta is None else f"of shape {tuple(theta.shape[1:])}"
            raise ValueError(f"model: expected a transformer with an affine θ, got one with a θ {what}")
        if stn.sampler.antialias:
            raise ValueError("model: expected a sampler without antialias, which the playground does not show")
        if int(self.digits.labels.max()) >= classes:
            highest = int(self.digits.labels.max())
            raise ValueError(f"digits: expected labels up to the model's {classes - 1}, got {highest}")
        value = stn.sampler.padding_value
        value = value[0] if isinstance(value, tuple) else value
        padding = {"zeros": "background"}.get(stn.sampler.padding_mode, stn.sampler.padding_mode)
        if padding == "background" and value == 0 != black(self.digits)[0]:
            padding = "raw 0 (bright frame)"
        elif padding == "background":
            self.background = value
        return {
            "padding": padding,
            "mode": stn.sampler.mode,
            "grid_align_corners": stn.sampler.align_corners,
            "sampler_align_corners": stn.sampler.align_corners,
            "output_size": stn.output_size,
        }

    # The controls

    def _make_controls(self, index, count):
        narrow = {"width": "330px"}
        self.sliders = {
            name: widgets.FloatSlider(
                description=text, min=LIMITS[name][0], max=LIMITS[name][1], step=STEPS[name],
                readout_format=".0f" if name == "rotation" else ".2f", layout=narrow,
                style={"description_width": "90px"},
            )
            for name, text in SLIDERS.items()
        }  # fmt: skip
        self.boxes = [
            widgets.Text(
                description=name,
                continuous_update=False,
                layout={"width": "122px"},
                style={"description_width": "32px"},
            )
            for name in _NAMES
        ]
        self.preset = widgets.Dropdown(description="preset", options=[_CHOOSE, *PRESETS], layout=narrow)
        self.reset = widgets.Button(description="reset θ", layout={"width": "100px"})
        self.number = widgets.BoundedIntText(
            description="digit no.", value=index, max=len(self.digits) - 1, layout={"width": "190px"}
        )
        self.of_class = widgets.Dropdown(
            description="class", options=[("any", "any"), *self._classes()], layout={"width": "170px"}
        )
        self.another = widgets.Button(description="another digit", layout={"width": "130px"})
        self.count = widgets.Dropdown(
            description="at once", options=[1, 2, 3, 4], value=count, layout={"width": "150px"}
        )
        at = self.settings
        self.padding = widgets.Dropdown(description="outside", options=list(PADDINGS), value=at.padding, layout=narrow)
        self.mode = widgets.Dropdown(description="sampling", options=list(MODES), value=at.mode, layout=narrow)
        self.grid_align, self.sampler_align = (
            widgets.Checkbox(description=f"align_corners of the {part}", value=value, layout=narrow)
            for part, value in (("grid", at.grid_align_corners), ("sampler", at.sampler_align_corners))
        )
        side = at.size_for(self.digits.images)[1]
        self.output_size = widgets.BoundedIntText(
            description="output px", value=side, min=1, max=max(112, side), layout={"width": "190px"}
        )
        self.direction = widgets.Dropdown(description="θ maps", options=list(DIRECTIONS), layout=narrow)
        devices = dict.fromkeys([BROWSER, "cpu", *(name for name in ("cuda", "mps") if _works(name)), self.device])
        self.on_device = widgets.Dropdown(
            description="warped by", options=list(devices), value=self.device, layout=narrow
        )
        self.let_stn = widgets.Button(description="let the STN do it", layout={"width": "160px"})
        self.drawn = BrowserPicture(sliders=list(self.sliders.values()))
        self.picture = widgets.Image(format="png", layout={"align_self": "flex-start", "flex": "none"})
        self.readout = widgets.HTML()
        self.message = widgets.HTML()

        for slider in self.sliders.values():
            slider.observe(self._on_slider, names="value")
        for box in self.boxes:
            box.observe(self._on_box, names="value")
        for control in (self.padding, self.mode, self.grid_align, self.sampler_align, self.output_size, self.direction):
            control.observe(self._on_sampling, names="value")
        for control in (self.number, self.count):
            control.observe(self._on_digit, names="value")
        self.preset.observe(self._on_preset, names="value")
        self.on_device.observe(self._on_device, names="value")
        self.reset.on_click(lambda _: self._set_theta(IDENTITY))
        self.another.on_click(self._on_another)
        self.of_class.observe(self._on_another, names="value")
        self.let_stn.on_click(self._on_let_stn)

    def _classes(self):
        """(name, label) of each class that there is."""
        return [(label_name(self.digits, label), label) for label in sorted(set(self.digits.labels.tolist()))]

    def _arrange(self, controls):
        wrap = {"display": "flex", "flex_flow": "row wrap"}
        # Where both do not fit side by side, the picture goes above the controls, not out of sight below them.
        picture_first = {"display": "flex", "flex_flow": "row wrap-reverse", "align_items": "flex-end"}
        groups = {
            "presets": [widgets.HBox([self.preset, self.reset], layout=wrap)],
            "sliders": list(self.sliders.values()),
            "theta": [widgets.HBox(self.boxes[:3]), widgets.HBox(self.boxes[3:])],
            "digit": [
                widgets.HBox([self.number, self.count], layout=wrap),
                widgets.HBox([self.of_class, self.another], layout=wrap),
            ],
            "sampling": [
                self.direction,
                self.padding,
                self.mode,
                self.output_size,
                self.grid_align,
                self.sampler_align,
                self.on_device,
            ],
            "model": [self.let_stn] if self.model is not None else [],
        }
        left = [widget for name, group in groups.items() if name in controls for widget in group]
        # Of one width: a long message must not push it below the controls.
        self.shown = widgets.VBox(layout={"width": "480px", "max_width": "100%"})
        return widgets.HBox([widgets.VBox(left), self.shown], layout=picture_first)

    # What happens when one is moved

    def _on_slider(self, change):
        # A browser counts steps in floats, and reports 0.8000000000000003 for the 0.8 that it was given: not a move.
        if self._filling or abs(change["new"] - change["old"]) < 1e-6:
            return
        name = next(name for name, slider in self.sliders.items() if slider is change["owner"])
        self._parameters[name] = change["new"]
        theta = compose(self._parameters)
        self.settings = self.settings.but(theta=theta)
        self._say("")
        self._show()
        self._fill_typed()

    def _on_box(self, change):
        if self._filling:
            return
        theta = []
        for name, box, kept in zip(_NAMES, self.boxes, self.settings.theta, strict=True):
            if box.value == _shown(kept):  # not touched: keep all its decimals
                theta.append(kept)
                continue
            try:
                value = float(box.value.strip().replace(",", ".").replace("−", "-"))
            except ValueError:
                return self._say(f"{name}: expected a number, got “{box.value}”. θ is unchanged.")
            if not abs(value) <= LARGEST:  # NaN is not <= either
                return self._say(f"{name}: expected a number up to ±{LARGEST:,.0f}, got {box.value}. θ is unchanged.")
            theta.append(value)
        return self._set_theta(tuple(theta))

    def _on_preset(self, change):
        if not self._filling and self.preset.value in PRESETS:
            self._set_theta(PRESETS[self.preset.value])

    def _on_sampling(self, change):
        self.settings = self.settings.but(
            padding=self.padding.value,
            mode=self.mode.value,
            grid_align_corners=self.grid_align.value,
            sampler_align_corners=self.sampler_align.value,
            output_size=self.output_size.value if change.owner is self.output_size else self.settings.output_size,
            direction=self.direction.value,
        )
        self._say("")
        self._show()

    def _on_digit(self, change):
        self._show()

    def _on_another(self, change):
        wanted = self.of_class.value
        chosen = [i for i, label in enumerate(self.digits.labels.tolist()) if wanted in ("any", label)]
        chosen = [i for i in chosen if i != self.number.value] or chosen
        self.number.value = random.choice(chosen)

    def _on_device(self, change):
        self.device = self.on_device.value
        self._show()

    def _on_let_stn(self, _):
        images = self._chosen()[:1]
        yours = self._probabilities()
        with torch.no_grad(), torch.device("cpu"):
            theta = self.model.stn.transform(self.digits.normalize(images).float()).theta[0]
        self.direction.value = DIRECTIONS[0]  # an STN's θ is one
        try:
            self._set_theta(tuple(theta.flatten().tolist()))
        except ValueError as error:
            return self._say(f"What the STN chose cannot be shown: {error}.")
        its = self._probabilities()
        if yours is not None and its is not None:
            true = int(self.digits.labels[self.number.value])
            winner = "STN" if its[true] >= yours[true] else "you"
            self.score[winner] += 1
            name = label_name(self.digits, true)
            what = f"It is “{name}”" if getattr(self.digits, "classes", ()) else f"The digit is a {name}"
            self._say(
                f"{what}. Your θ: {yours[true]:.1%} sure of it; the STN's: {its[true]:.1%}. "
                f"Score: you {self.score['you']}, STN {self.score['STN']}."
            )

    # Keeping all in step

    def _set_theta(self, theta):
        self.settings = self.settings.but(theta=theta)
        self._say("")
        self._fill_from_theta()
        self._show()

    def _fill_from_theta(self):
        """θ -> sliders and boxes. What the sliders cannot reach is kept exactly, and said."""
        parameters = decompose(self.settings.theta)
        if parameters is None:
            self._say("The sliders cannot show this θ (scale x is 0); it is kept as it is.")
        else:
            self._parameters = {name: min(max(parameters[name], s.min), s.max) for name, s in self.sliders.items()}
            self._filling = True
            for name, slider in self.sliders.items():
                # On a step: a browser would round it to one, and report that as if the slider had been moved.
                slider.value = round(round(self._parameters[name] / slider.step) * slider.step, 2)
            self._filling = False
            reached = compose(self._parameters)
            if max(abs(a - b) for a, b in zip(reached, self.settings.theta, strict=True)) > 1e-4:
                self._say("The sliders cannot reach this θ; it is kept as it is, until you move one.")
        self._fill_typed()

    def _fill_typed(self):
        """θ -> boxes, and the preset that it is, if it is one: so that each preset can be chosen again."""
        self._filling = True
        self.preset.value = next((name for name, theta in PRESETS.items() if theta == self.settings.theta), _CHOOSE)
        for box, value in zip(self.boxes, self.settings.theta, strict=True):
            box.value = _shown(value)
        self._filling = False

    def _chosen(self):
        """The digits on show, raw: ``count`` of them from the chosen one on."""
        index = (torch.arange(self.count.value, device="cpu") + self.number.value) % len(self.digits)
        return self.digits.images[index]

    def _show(self):
        images, in_browser = self._chosen(), self.device == BROWSER
        try:
            where = "cpu" if in_browser else self.device
            self.frame = render(
                images, self.settings, where, not in_browser, like=self.digits, background=self.background
            )
        except ValueError as error:
            self._say(f"{error}. The picture is still that of the last θ that could be shown.")
            return
        if in_browser:
            with self.drawn.hold_sync():  # one message
                self.drawn.images = images.numpy().tobytes()
                self.drawn.scene = self._scene(images)
            self.readout.value = self._bars_html()
        else:
            self.picture.value = self.frame.png
            self.readout.value = (
                f'<div role="status">{_matrix_html(self.settings.theta)}<p>{self.frame.words}</p></div>'
                f"{self._bars_html()}"
            )
        picture = self.drawn if in_browser else self.picture
        if picture not in self.shown.children:
            self.shown.children = [picture, self.message, self.readout]

    def _scene(self, images):
        return scene(images, self.settings, like=self.digits, background=self.background) | {
            "theta": self.settings.theta,
            "parameters": list(self._parameters.values()),
            "sliders": [slider.value for slider in self.sliders.values()],
        }

    def _say(self, text):
        self.message.value = f'<b role="alert">{html.escape(text)}</b>' if text else ""

    def _probabilities(self):
        """The classifier's probabilities for the first digit on show, or None where it cannot take the output."""
        if self.model is None or tuple(self.frame.output.shape[-2:]) != self._size_for_classifier():
            return None
        with torch.no_grad(), torch.device("cpu"):
            return self.model.classifier(self.frame.output[:1])[0].exp().tolist()

    def _size_for_classifier(self):
        return tuple(self.model.stn.output_size or self.digits.images.shape[-2:])

    def _bars_html(self):
        if self.model is None:
            return ""
        probabilities = self._probabilities()
        if probabilities is None:
            height, width = self._size_for_classifier()
            return f"<p>The classifier wants an output of {height}×{width} pixels.</p>"
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        rows = [
            f'<tr><td style="padding-right:8px;max-width:150px;overflow-wrap:anywhere">{"<b>" if digit == best else ""}'
            f'{html.escape(label_name(self.digits, digit))}</td><td style="width:220px">'
            f'<div style="width:{100 * p:.1f}%;height:11px;background:{"#D55E00" if digit == best else "#888"}"></div>'
            f'</td><td style="text-align:right">{100 * p:.1f} %</td></tr>'
            for digit, p in enumerate(probabilities)
        ]
        words = f"how sure the classifier is of each {'class' if getattr(self.digits, 'classes', ()) else 'digit'}"
        return f'<table style="line-height:1.2" aria-label="{words}">{"".join(rows)}</table>'

    def _default_digits(self):
        digits = load_digits("test", source="offline")
        if self.model is None or self.model.stn.localization.image_size == tuple(digits.images.shape[-2:]):
            return digits
        crooked = distort(digits.images, "RTS", torch.Generator().manual_seed(0)).images
        return Digits(crooked, digits.labels, digits.source)


def _own_copy(model):
    """A copy of the model on the CPU, in float32 and eval mode: yours stays as it is."""
    if model is None:
        return None
    if isinstance(model, str) and model == "pretrained":
        return load_pretrained().float()
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if not isinstance(model, STNClassifier):
        raise TypeError(f"model: expected an STNClassifier, 'pretrained' or None, got {_check.describe(model)}")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError("model: expected weights with numbers, got a model on the meta device")
    return copy.deepcopy(model).cpu().float().eval()


def _grey(digits):
    """Digits of one channel, on the CPU."""
    if not isinstance(digits, Digits) or not len(digits):
        raise TypeError(f"digits: expected Digits, at least one, got {_check.describe(digits)}")
    channels = digits.images.shape[1]
    if channels != 1:
        raise ValueError(f"digits: expected grey images, of one channel, got images of {channels} channels")
    if digits.images.is_meta or 0 in digits.images.shape:
        raise ValueError(f"digits: expected images with pixels, got {_check.describe(digits.images)}")
    return replace(digits, images=digits.images.cpu(), labels=digits.labels.cpu())


def _shown(value):
    """An entry of θ as its box shows it."""
    return f"{round(value, 6) + 0:g}"


def _works(device):
    try:
        resolve_device(device)
    except ValueError:
        return False
    return True


def _matrix_html(theta):
    """θ as a matrix; what differs from the identity is bold, coloured and underlined (to be seen in grey too)."""
    cells = []
    for value, still in zip(theta, IDENTITY, strict=True):
        moved = abs(value - still) > 1e-6
        style = "color:#D55E00;font-weight:bold;text-decoration:underline;" if moved else ""
        cells.append(f'<td style="{style}padding:0 9px;text-align:right">{round(value, 2) + 0:.2f}</td>')
    rows = f"<tr>{''.join(cells[:3])}</tr><tr>{''.join(cells[3:])}</tr>"
    bracket = "border-left:2px solid;border-right:2px solid;border-radius:6px"
    return (
        '<div style="display:flex;align-items:center;gap:8px;font-family:monospace;font-size:15px">'
        f'<span>θ =</span><table aria-label="θ" style="{bracket}">{rows}</table></div>'
    )
