"""The widget of the θ playground: controls, picture and network, each in its own file, put together here."""

import ipywidgets as widgets
import torch

from stncourse import _check
from stncourse._language import said
from stncourse.device import resolve_device
from stncourse.playground.browser_picture import BrowserPicture, first_pixel, starting
from stncourse.playground.controls import (
    BROWSER,
    CONTROLS,
    DigitControls,
    Presets,
    SamplingControls,
    Sliders,
    ThetaBoxes,
)
from stncourse.playground.game import Game
from stncourse.playground.opponent import default_digits, grey, own_copy, sampled_as_by, theta_of
from stncourse.playground.parameters import six_numbers
from stncourse.playground.pose import Pose
from stncourse.playground.pull_controls import PullControls
from stncourse.playground.readout import alert_html, matrix_html
from stncourse.playground.scene import DIRECTIONS, Settings, render, scene


class ThetaPlayground(widgets.VBox):
    """See :func:`theta_playground`."""

    def __init__(self, digits, model, controls, theta, index, count, device, tool, follow, pixel):
        if not isinstance(controls, (tuple, list)):
            raise TypeError(f"controls: expected a tuple of names, got {_check.describe(controls)}")
        for name in controls:
            _check.choice("controls", name, CONTROLS)
        with torch.device("cpu"):  # all of it, whatever torch.set_default_device says
            self.model = own_copy(model)
            self.digits = default_digits(self.model) if digits is None else grey(digits)
        # What the model pads with, after normalisation; None: black.
        sampled, self.background = ({}, None) if self.model is None else sampled_as_by(self.model, self.digits)
        index = _check.positive_int("index", index, minimum=0)
        if index >= len(self.digits):
            raise ValueError(f"index: expected 0 to {len(self.digits) - 1}, got {index}")
        count = _check.positive_int("count", count)
        if count > 4:
            raise ValueError(f"count: expected 1 to 4, got {count}")
        device = device if isinstance(device, str) and device == BROWSER else str(resolve_device(device))
        self._start, self._weights = starting(
            self.model, self.digits, controls, tool, follow, in_browser=device == BROWSER
        )
        self._start["pixel"] = first_pixel(pixel, Settings(**sampled).size_for(self.digits.images), controls)
        self.pose = Pose(theta)
        self.frame, self._controls, self._first_theta = None, controls, self.pose.theta
        self._game = Game(self.model, self.digits, self.background)
        self._drawing, self._sketch = None, 0
        self.digit = DigitControls(self.digits, index, count, changed=self._on_digit, counted=self._show)
        self.sampling = SamplingControls(
            Settings(**sampled), self.digits.images, device, changed=self._on_sampling, device_changed=self._show
        )
        super().__init__([self._arrange(controls)])

    @property
    def settings(self):
        """What it is set to: :class:`Settings`."""
        return Settings(theta=self.pose.theta, **self.sampling.settings())

    @property
    def device(self):
        """What warps the picture."""
        return self.on_device.value

    @property
    def image(self):
        """The first digit on show, or what was drawn in its place: ``(1, 1, H, W)``, raw uint8."""
        return self._images()[:1].clone()

    @property
    def attempts(self):
        """Number of a digit -> how sure of the truth the classifier was: through your θ, through the STN's."""
        return dict(self._game.score.attempts)

    @property
    def score(self):
        """Points of ``"you"`` and the ``"STN"``: one for each digit that the STN was let do, shared in a tie."""
        return self._game.score.points

    # What is on the page

    def _repr_mimebundle_(self, **keywords):
        """As any widget's, and what Colab has to be told of the picture, which is no widget of ipywidgets' own."""
        data, (_, told) = super()._repr_mimebundle_(**keywords), self.drawn._repr_mimebundle_()
        return data, told

    def _arrange(self, controls):
        sliders = Sliders(self.pose)
        self.drawn = BrowserPicture(sliders=sliders.rows(), start=self._start, weights=self._weights)
        self.drawn.observe(self._on_hand, names="hand")
        self.picture = widgets.Image(format="png", layout={"align_self": "flex-start", "flex": "none"})
        self.readout, self.message = widgets.HTML(), widgets.HTML()
        # Of one width: a long message must not push it below the controls. Where there are none, it has all the room.
        beside = {"sliders", "theta", "presets", "digit", "sampling"} & set(controls)
        self.shown = widgets.VBox(layout={"width": "580px" if beside else "100%", "max_width": "100%"})
        self.let_stn = widgets.Button(description=said("let the STN look"), layout={"width": "160px"})
        self.let_stn.on_click(self._on_let_stn)
        self.pull = PullControls(self.model, self.digits, self.pose, self._to_pull, self._say, self._note_help)
        self._name_controls(sliders)
        # After the sliders, whose places the page has to know; before the boxes, which can wait.
        self.pose.observe(self._on_pose)
        boxes, presets = ThetaBoxes(self.pose, self._say), Presets(self.pose)
        self.boxes, self.preset, self.reset = boxes.boxes, presets.preset, presets.reset
        groups = {
            "presets": presets.rows(),
            "sliders": sliders.rows(),
            "theta": boxes.rows(),
            "digit": self.digit.rows(),
            "sampling": self.sampling.rows(),
            "model": [self.let_stn] if self.model is not None else [],
            "pull": self.pull.rows(),
        }
        left = [widget for name, rows in groups.items() if name in controls for widget in rows]
        # Where both do not fit side by side, the picture goes above the controls, not out of sight below them.
        picture_first = {"display": "flex", "flex_flow": "row wrap-reverse", "align_items": "flex-end"}
        narrow = {"max_width": "min(340px, 100%)"}  # both fit on a laptop's screen
        return widgets.HBox([widgets.VBox(left, layout=narrow), self.shown], layout=picture_first)

    def _name_controls(self, sliders):
        """Each control by its own name."""
        self.sliders = sliders.sliders
        digit, sampling = self.digit, self.sampling
        self.number, self.count, self.of_class, self.another = digit.number, digit.count, digit.of_class, digit.another
        self.direction, self.padding, self.mode = sampling.direction, sampling.padding, sampling.mode
        self.grid_align, self.sampler_align = sampling.grid_align, sampling.sampler_align
        self.output_size, self.on_device = sampling.output_size, sampling.on_device

    def _awake(self):
        """Whether the browser runs the network: it shows the answers, and has the button that lets the STN look."""
        return self.device == BROWSER and self._start["scale"] is not None

    # What happens when something is moved

    def _on_pose(self, pose):
        self._say(pose.remark)
        self._show()

    def _on_sampling(self):
        self._say("")
        self._show()

    def _on_digit(self):
        """Another digit: nothing of the last one stays, neither a drawing nor a verdict; in the game, nor its θ."""
        self._drawing = None
        if self.model is not None and "model" in self._controls and self.pose.theta != self._first_theta:
            self.pose.put(self._first_theta)
        else:
            self._say("")
            self._show()

    def _show(self):
        """Warp the digits, and show what comes out."""
        images, settings, in_browser = self._images(), self.settings, self.device == BROWSER
        seen = {"like": self.digits, "background": self.background}
        if in_browser:  # it is told in any case: where θ cannot be shown, the rest can
            self.drawn.show(images, scene(images, settings, **seen), self.pose, self._label(), self.number.value)
        try:
            self.frame = render(images, settings, "cpu" if in_browser else self.device, not in_browser, **seen)
        except ValueError as error:
            self._say(f"{error}. The picture is still that of the last θ that could be shown.")
            return
        if in_browser:
            self.readout.value = "" if self._awake() else self._game.bars(self.frame.output)
        else:
            self.picture.value = self.frame.png
            matrix = matrix_html(settings.theta)
            self.readout.value = (
                f'<div role="status">{matrix}<p>{said(self.frame.words)}</p></div>{self._game.bars(self.frame.output)}'
            )
        self.let_stn.layout.display = None if self.model is not None and not self._awake() else "none"
        self.pull.show(not self._awake())
        picture = self.drawn if in_browser else self.picture
        if picture not in self.shown.children:
            self.shown.children = [picture, self.message, self.readout]

    def _images(self):
        chosen = self.digit.chosen()
        return chosen if self._drawing is None else torch.cat([self._drawing, chosen[1:]])

    def _label(self):
        """What the first digit on show is; None for a drawing, of which only its maker knows."""
        return None if self._drawing is not None else int(self.digits.labels[self.number.value])

    def _say(self, text):
        self.message.value = alert_html(text)

    def _on_hand(self, change):
        """The hand, or the network in the browser, has moved the frame there, or drawn."""
        hand = change["new"]
        if hand.get("sketch", 0) != self._sketch:  # else it is the one before, and may be forgotten by now
            self._sketch = hand["sketch"]
            self._take(self.drawn.drawing)
        if hand.get("digit", self.number.value) != self.number.value:  # it was about the digit before
            return
        if hand.get("by") in ("STN", "pull") and not hand.get("look"):
            self._note_help()
        if hand.get("theta") is None:
            self._show()
            return
        yours = self.settings
        self.pose.put(hand["theta"])
        if hand.get("look"):
            self._judge(yours.but(theta=hand.get("before") or yours.theta))

    def _note_help(self):
        """The network shows what it would do: no attempt at this digit counts from here on."""
        if self._drawing is None:
            self._game.score.helped.add(self.number.value)

    def _take(self, drawing):
        """What was drawn; nothing gives the digit back; one of another size is none."""
        size = self.digits.images.shape[-2:]
        if not drawing:
            self._drawing = None
        elif len(drawing) == size.numel():
            self._drawing = torch.frombuffer(bytearray(drawing), dtype=torch.uint8).reshape(1, 1, *size)

    # The model

    def probabilities(self):
        """The classifier's probabilities for the first digit on show, or None where it cannot take the output."""
        return self._game.probabilities(self.frame.output)

    def _to_pull(self):
        """What is pulled: the image, its class, the settings."""
        return self._images()[:1], self._label(), self.settings

    def _on_let_stn(self, _):
        yours, theta = self.settings, theta_of(self.model, self.digits, self._images()[:1])
        try:
            six_numbers(theta)
        except ValueError as error:
            self._say(f"What the STN chose cannot be shown: {error}.")
            return
        self.direction.value = DIRECTIONS[0]  # an STN's θ is one
        self.pose.put(theta)
        self._judge(yours)

    def _judge(self, yours):
        """The STN has looked: who was surer of the truth, you with the settings ``yours``, or it with what is now?"""
        if self._drawing is None:
            self._say(self._game.verdict(self.number.value, self._images()[:1], yours, self.settings))
