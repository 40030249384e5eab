"""The game in the θ playground: who makes the classifier surer of the right answer, you or the STN?"""

import math

from stncourse._language import said
from stncourse.figures.shown import label_name
from stncourse.playground.opponent import probabilities_of, size_for_classifier
from stncourse.playground.readout import bars_html
from stncourse.playground.scene import render

_SAME = 1e-3  #: a θ that differs by less is the STN's own


class Game:
    """A model, what it says of outputs, and you against its STN, on some digits. Without a model it has nothing to say.

    Attributes:
        score: the :class:`Score`.
    """

    def __init__(self, model, digits, background):
        self._model, self._digits, self._background = model, digits, background
        self.score = Score()

    def probabilities(self, output):
        """The classifier's probabilities for the first of these outputs; None where it cannot take them."""
        if self._model is None or tuple(output.shape[-2:]) != size_for_classifier(self._model, self._digits):
            return None
        return probabilities_of(self._model, output)

    def bars(self, output):
        """The same as HTML, or why there are none; nothing without a model."""
        if self._model is None:
            return ""
        probabilities = self.probabilities(output)
        if probabilities is None:
            height, width = size_for_classifier(self._model, self._digits)
            wanted = said(f"The classifier wants an output of {height}×{width} pixels.")
            return f"<p>{wanted}</p>"
        names = [label_name(self._digits, label) for label in range(len(probabilities))]
        kind = "class" if getattr(self._digits, "classes", ()) else "digit"
        return bars_html(probabilities, names, kind)

    def verdict(self, number, image, yours, its):
        """Who was surer of what the digit is, noted in the score.

        Args:
            number: of the digit.
            image: ``(1, 1, H, W)``, raw uint8.
            yours, its: the ``Settings`` with your θ, and with the STN's.

        Returns:
            str, the verdict as sentences; empty where the classifier cannot take outputs of that size.
        """
        if tuple(its.size_for(image)) != size_for_classifier(self._model, self._digits):
            return ""
        try:
            apart = (yours.matrix() - its.matrix()).abs().max()
        except ValueError:
            return "Your θ has no inverse: there was nothing to see. No attempt."
        if apart < _SAME:
            return "That is where the STN looks already: no attempt of yours. Another digit?"
        true = int(self._digits.labels[number])
        sure = [self._sure_of(true, image, settings) for settings in (yours, its)]
        if not all(map(math.isfinite, sure)):
            return "The classifier's answer is no number: nobody wins."
        counts, points, name = self.score.add(number, *sure), self.score.points, label_name(self._digits, true)
        what = f"It is “{name}”" if getattr(self._digits, "classes", ()) else f"The digit is a {name}"
        return (
            f"{what}. Your θ: {sure[0]:.1%} sure of it; the STN's: {sure[1]:.1%}. "
            + ("" if counts else "Only the first attempt at a digit counts, made without the network's help. ")
            + f"Score: you {points['you']:g}, STN {points['STN']:g}."
        )

    def _sure_of(self, true, image, settings):
        frame = render(image, settings, picture=False, like=self._digits, background=self._background)
        return probabilities_of(self._model, frame.output)[true]


class Score:
    """Who was surer of the right answer: you, or the STN. Each digit counts once, by the first attempt at it.

    Attributes:
        attempts: number of a digit -> how sure of the truth the classifier was, 0 to 1: through your θ, the STN's.
        helped: numbers of the digits on which the network has shown what it would do: an attempt at them is not yours.

    >>> score = Score()
    >>> score.add(3, 0.9, 0.8), score.add(5, 0.9991, 0.9988), score.add(3, 0.0, 0.8)
    (True, True, False)
    >>> score.points
    {'you': 1.5, 'STN': 0.5}
    """

    def __init__(self):
        self.attempts, self.helped = {}, set()

    def add(self, number, yours, its):
        """Note an attempt at a digit. Returns whether it counts: whether it was the first, without help."""
        if number in self.attempts or number in self.helped:
            return False
        self.attempts[number] = (yours, its)
        return True

    @property
    def points(self):
        """A point for each digit; half a point each where both read the same in per cent, to one decimal."""
        yours = sum(_point(*attempt) for attempt in self.attempts.values())
        return {"you": yours, "STN": len(self.attempts) - yours}


def _point(yours, its):
    yours, its = round(yours, 3), round(its, 3)
    return 0.5 if yours == its else float(yours > its)
