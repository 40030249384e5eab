"""Guess, then see: a prediction that the reader makes before the truth is shown. The page's part is in ``guess.js``."""

import traitlets

from stncourse import _check
from stncourse._language import for_page, wholly
from stncourse.browser.scripts import joined
from stncourse.browser.spoken import SpokenWidget
from stncourse.exercises.engine.progress import kept_guess, record_guess
from stncourse.exercises.engine.safe_text import readable
from stncourse.exercises.guesses.asked import Choice, Number
from stncourse.exercises.guesses.curve import Curve
from stncourse.exercises.guesses.ghost import Ghost

_LONGEST = 300  # characters of somebody else's error that are shown

#: What goes with each kind of question; without any of them it is for a number.
_PARTS = {"choices": ("truth",), "digit": ("theta", "moves"), "curve": ("low", "high", "labels")}
_NUMBER = ("truth", "low", "high", "unit")


def guess(
    question,
    *,
    name,
    truth=None,
    choices=None,
    unit="",
    low=None,
    high=None,
    digit=None,
    theta=None,
    moves=("shift",),
    curve=None,
    labels=("x", "y"),
    because="",
):
    """Ask for a prediction. Only when it is made does the page learn the truth, and show both.

    What is given decides what is asked for:

    - ``choices`` and ``truth``: one of a few answers.
    - ``truth`` alone: a number from ``low`` to ``high`` (default: 0 to 100), in ``unit``.
    - ``digit`` and ``theta``: where the digit will come out. The reader drags a ghost of it over the empty output.
    - ``curve`` and ``labels``: a curve, drawn between ``low`` and ``high``.

    A truth may be a function without arguments. It is called once, when the guess is made: nothing has to be computed
    before, and nothing that the page has been sent gives the truth away. (A truth that is written into the cell can
    be read there.)

    Args:
        question: what is asked, a sentence.
        name: under which the guess is kept for :func:`stncourse.progress`, such as ``"03.left-or-right"``. The first
            one is kept, since after it the reader knows the answer; it is there again when the page is opened again, as
            long as the question is the same.
        truth: one of ``choices``, or a number.
        choices: two texts or more.
        unit: of the number, such as ``"%"``.
        low, high: the ends of the scale, up to ±1e300. Default for a curve that is no function: round numbers around
            it. No truth may lie beyond them.
        digit: ``(H, W)`` or ``(1, H, W)`` raw uint8.
        theta: the θ that the digit is sampled through: six numbers row by row, or a ``(2, 3)`` or ``(1, 2, 3)``
            tensor; up to ±1e6, and with an inverse. Bilinear; outside of the image is 0.
        moves: what the reader can do with the ghost: out of ``"shift"``, ``"turn"``, ``"zoom"``.
        curve: ``(xs, ys)``, the xs rising; ``ys`` may be a function that returns them.
        labels: of the curve's two axes.
        because: a sentence that is shown with the truth.

    Returns:
        Guess: a widget that shows itself as the last value of a cell. ``.committed`` is the guess, or None;
        ``.truth`` is the truth, computed if it was not yet.

    Convention:
        As everywhere in the course, θ maps output → input: the digit moves the other way.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or belongs to another kind of question.

    >>> bet = guess("Which way does the digit move?", name="docs.way", choices=("left", "right"), truth="left")
    >>> bet
    guess('docs.way')
    >>> bet.truth
    'left'
    """
    for argument, text in {"question": question, "name": name, "unit": unit, "because": because}.items():
        if not isinstance(text, str):
            raise TypeError(f"{argument}: expected a text, got {_check.describe(text)}")
        if argument in ("question", "name") and not text.strip():
            raise ValueError(f"{argument}: expected a text, got an empty one")
    parts = {"truth": truth, "unit": unit, "low": low, "high": high, "theta": theta, "moves": moves, "labels": labels}
    _one_kind({"choices": choices, "digit": digit, "curve": curve}, parts)
    if choices is not None:
        kind, given = Choice(choices), ("truth", truth)
    elif digit is not None:
        kind, given = Ghost(digit, moves), ("theta", theta)
    elif curve is not None:
        pair = _check.as_pair(curve)
        if pair is None:
            raise TypeError(f"curve: expected a pair (xs, ys), got {_check.describe(curve)}")
        kind, given = Curve(*pair, low, high, labels), ("curve", pair[1])
    else:
        kind, given = Number(low, high, unit), ("truth", truth)
    argument, value = given
    if value is None:
        raise TypeError(f"{argument}: expected the answer to the question, or a function that returns it, got None")
    return Guess(question, name, kind, value if callable(value) else kind.truth(value), because)


class Guess(SpokenWidget):
    """See :func:`guess`."""

    _esm = joined("exercises/guess.js")
    question = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Unicode().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)  #: all that the page needs to ask
    committed = traitlets.Any(None, allow_none=True).tag(sync=True)  #: the guess, or None
    asked = traitlets.Bool(False).tag(sync=True)  #: whether a page that shows a kept guess wants the truth
    answer = traitlets.Any(None, allow_none=True).tag(sync=True)  #: ``truth``, ``because``; or ``error``; or None
    _is_open = False

    def __init__(self, question, name, kind, truth, because):
        self.name, self._kind, self._because = name, kind, because
        self._truth, self._is_known = truth, not callable(truth)
        self._asked = f"{kind.kind}: {question}"  # kept beside the guess: another question needs a guess of its own
        own = {text: wholly(text) for text in (question, because, *kind.scene.get("choices", ()))}
        words = for_page() | {text: words for text, words in own.items() if words != text}
        super().__init__(words=words, question=question, kind=kind.kind, scene=kind.scene, committed=self._kept())
        self._is_open = True  # from here on, what is committed is a guess that somebody makes

    def __repr__(self):
        return f"guess({self.name!r})"

    @property
    def truth(self):
        """The truth; a function for it is called once, and its error is the caller's."""
        if not self._is_known:
            self._truth, self._is_known = self._kind.truth(self._truth()), True
        return self._truth

    def _kept(self):
        """What was guessed in an earlier run, or None. A guess at another question of this name is none at this one."""
        try:
            kept = kept_guess(self.name, self._asked)
            return None if kept is None else self._kind.guess(kept)
        except (TypeError, ValueError):
            return None

    @traitlets.validate("committed")
    def _is_a_guess(self, proposal):
        try:
            return None if proposal["value"] is None else self._kind.guess(proposal["value"])
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.observe("committed")
    def _on_commit(self, _):
        if self._is_open:
            self.answer = None
            if self.committed is None:
                self.asked = False
            else:
                self._tell()

    @traitlets.observe("asked")
    def _on_ask(self, _):
        if self.asked and self.committed is not None and self.answer is None:
            self._tell()

    def _tell(self):
        """Let the page know the truth, and keep the guess."""
        try:
            truth = self.truth
        except Exception as error:  # somebody else's function: the page has to say something, and the next try may work
            text = readable(f"{type(error).__name__}: {error}")
            self.answer = {"error": text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"}
            return
        right = bool(self._kind.right(self.committed, truth))
        note = record_guess(self.name, self._asked, self.committed, right)
        self.answer = {"truth": self._kind.told(truth), "because": self._because, "note": note}


def _one_kind(kinds, parts):
    """Check that one kind of question is asked, and that every other argument that was given belongs to it."""
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{given[1]}: expected only one of {', '.join(kinds)}, got {given[0]} too")
    defaults = guess.__kwdefaults__
    for name in [name for name, value in parts.items() if value is not defaults[name]]:
        owner = next((kind for kind, own in _PARTS.items() if name in own and name not in _NUMBER), None)
        if not given and owner:
            raise TypeError(f"{owner}: expected it beside {name}, got None")
        if name not in (_PARTS[given[0]] if given else _NUMBER):
            raise TypeError(f"{name}: expected none beside {given[0]}, got {_check.describe(parts[name])}")
