"""The playground's controls that pull θ down the slope of a loss, in the kernel. Any model will do."""

import ipywidgets as widgets

from stncourse._language import said
from stncourse.playground.opponent import class_names, sampled_as_by, size_for_classifier
from stncourse.playground.pull import Descent
from stncourse.playground.scene import Settings

_LET_GO, _REFRESH = 400, 10  #: steps of one "let go"; steps from one picture to the next
_TRUTH = "the truth"
_ENDS = {
    "arrived": "Arrived: the classifier is {sure}.",
    "black": "The frame sees only background: no slope, no step.",
    "flat": "No slope here in any of the six numbers: no step.",
    "bottom": "It hardly gets any surer now: {sure}.",
    "stuck": "Stuck: the last steps went only to and fro, over a kink or across a narrow valley. It is only {sure}.",
    "step": "One step: {sure}.",
    "paused": f"{_LET_GO} steps are done: {{sure}}. It still gets surer; let go again to go on.",
}


class PullControls:
    """What the digit shall become, one step, and many. They move a ``Pose``.

    Args:
        model: the playground's own; or None, for no controls.
        digits: the playground's, whose numbers normalise the image.
        pose: where the frame is.
        scene: a function that gives what is pulled: the raw image, its class or None, and the ``Settings``.
        say: a function that is told how it went.
        helped: a function that is called when a pull begins.
    """

    def __init__(self, model, digits, pose, scene, say, helped):
        self._model, self._digits, self._pose = model, digits, pose
        self._scene, self._say, self._helped = scene, say, helped
        self._names = class_names(model, digits)
        classes = [(said(_TRUTH), _TRUTH), *((name, label) for label, name in enumerate(self._names))]
        self.target = widgets.Dropdown(
            description=said("become"), options=classes, layout={"width": "156px"}, style={"description_width": "56px"}
        )
        self.one = widgets.Button(description=said("one step"), layout={"width": "80px"})
        self.go = widgets.Button(description=said("let go"), layout={"width": "74px"})
        self.one.on_click(lambda _: self._pull(1))
        self.go.on_click(lambda _: self._pull(_LET_GO))
        self._row = widgets.HBox([self.target, self.one, self.go], layout={"flex_flow": "row wrap"})

    def rows(self):
        """The widgets, from top to bottom."""
        return [] if self._model is None else [self._row]

    def show(self, shown):
        """Show the controls; or hide them, where the browser has the tool itself."""
        self._row.layout.display = "flex" if shown else "none"

    def _pull(self, steps):
        image, label, settings = self._scene()
        target = label if self.target.value == _TRUTH else self.target.value
        if needs := self._needs(settings, image):
            self._say(f"To pull, the frame must see as the network does. Please set: {needs}.")
            return
        if target is None:
            self._say("What the truth is, only its maker knows: choose what it shall become.")
            return
        self._helped()
        descent = Descent(self._model, self._digits, image, settings.theta, target)
        end = descent.end()
        for step in range(steps):
            if end in ("black", "flat") or (end and steps > 1):
                break
            descent.step()
            end = descent.end()
            if step % _REFRESH == 0:  # the kernel is busy for some seconds, but the picture moves
                self._pose.put(descent.path[-1])
        self._pose.put(descent.path[-1])
        sure = f"{100 * descent.probability:.0f} % sure of “{self._names[target]}”"
        self._say(_ENDS[end or ("step" if steps == 1 else "paused")].format(sure=sure))

    def _needs(self, settings, image):
        """What differs from how the model samples, as words."""
        sampled, _ = sampled_as_by(self._model, self._digits)
        wanted = Settings(**sampled)
        size, asked = size_for_classifier(self._model, self._digits), settings.size_for(image)
        needs = {
            f"θ maps {wanted.direction}": settings.direction != wanted.direction,
            f"outside {wanted.padding}": settings.padding != wanted.padding,
            f"sampling {wanted.mode}": settings.mode != wanted.mode,
            f"output px {size[1]}": asked != size,
            f"align_corners {'on' if wanted.grid_align_corners else 'off'}": (
                settings.grid_align_corners,
                settings.sampler_align_corners,
            )
            != (wanted.grid_align_corners, wanted.sampler_align_corners),
        }
        return "; ".join(words for words, differs in needs.items() if differs)
