"""The widgets of a notebook, alive on a page without a kernel: what its scripts have to be told."""

import contextlib
import functools
import hashlib
import io
import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from slices import program_for
from words import WORDS

from stncourse.browser.scripts import joined
from stncourse.exercises.guess import Guess
from stncourse.playground.page import as_script, page_of
from stncourse.playground.sheet import ControlPointsPlayground
from stncourse.playground.theta_widget import ThetaPlayground

#: name, as site.js knows it -> (the package's script, what it gives)
SCRIPTS = {
    "playground": ("playground/page.js", "pageIn"),
    "sheet": ("playground/sheet.js", "render"),
    "guess": ("exercises/guess.js", "guessIn"),
    "speak": ("browser/language.js", "speak"),
}
#: A cell whose last value is a widget.
WIDGET = re.compile(r"\b(theta_playground|control_points_playground|guess)\(")


def scripts():
    """The package's scripts as one that any page can load, from a file too: modules cannot be loaded from files."""
    parts = []
    for kind, (name, given) in SCRIPTS.items():
        plain = re.sub(r"(?m)^export (?=function|const)", "", joined(name))
        plain = re.sub(r"(?m)^export default .*;\n", "", plain)
        parts.append(f"STN.{kind} = (() => {{\n{plain}\nreturn {given};\n}})();")
    return "window.STN = { weights: {} };\n" + "\n".join(parts)


class Shown(NamedTuple):
    """A widget, and what shows it."""

    shown: object
    html: str


@dataclass
class Living:
    """Makes living pictures, and keeps the networks that they need.

    Attributes:
        networks: name of a network -> its weights, base64. Each is a file of its own, which several pages share.
    """

    networks: dict = field(default_factory=dict)

    def of_cell(self, sources, number):
        """The widget that a code cell ends with, and its HTML: :class:`Shown`.

        Args:
            sources: the texts of the notebook's code cells. number: of the cell.
        """
        program, value = program_for(sources, number)
        names = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(program, names)
            widget = eval(value, names)
        return Shown(widget, self.of(widget))

    @functools.singledispatchmethod
    def of(self, widget):
        """The HTML of a widget."""
        raise TypeError(f"widget: expected a playground or a guess, got {type(widget).__name__}")

    @of.register
    def _(self, widget: ThetaPlayground):
        told = page_of(widget)
        weights = told.pop("weights")
        if weights:
            told["network"] = hashlib.sha256(weights.encode()).hexdigest()[:12]
            self.networks[told["network"]] = weights
        return _html("playground", told)

    @of.register
    def _(self, widget: ControlPointsPlayground):
        state = {name: getattr(widget, name) for name in ("family", "points", "picture", "scene")}
        octets = {"images": list(widget.images)}
        floats = {name: _short_floats(getattr(widget, name)) for name in ("base", "weights")}
        return _html("sheet", {"state": state, "octets": octets, "floats": floats})

    @of.register
    def _(self, widget: Guess):
        told = {"question": widget.question, "kind": widget.kind, "scene": widget.scene}
        if widget._is_known:
            told["answer"] = {"truth": widget._kind.told(widget.truth), "because": widget._because}
        return _html("guess", told)


def _short_floats(octets):
    return [round(float(value), 5) for value in np.frombuffer(octets, np.float32)]


def _html(kind, told):
    return (
        f'<div class="stn-live" data-kind="{kind}"><p class="stn-waiting">{WORDS["en"].waiting}</p>'
        f'<script type="application/json">{as_script(told)}</script></div>'
    )
