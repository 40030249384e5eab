"""What is wrong with a training run: :func:`diagnose` names the symptom from the losses and from how θ went."""

import textwrap
from dataclasses import dataclass, field

from stncourse import _check
from stncourse._language import said
from stncourse.training.measures import measure
from stncourse.training.symptoms import LOOKS

#: The names that :func:`diagnose` gives, in the order in which it looks for them.
SYMPTOMS = tuple(LOOKS)

_NEEDED = {"epochs": ("train_loss",), "theta": ("step", "theta")}


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found.

    Attributes:
        name: one of ``stncourse.training.diagnosis.SYMPTOMS``; ``"healthy"`` when nothing was found.
        seen: what was seen, with numbers.
        advice: what to try.
        measures: the numbers it looked at, by name.
    """

    name: str
    seen: str
    advice: str
    measures: dict = field(default_factory=dict, repr=False)

    def __repr__(self):
        lines = [f"diagnosis  {self.name}"]
        for title, text in (("seen", self.seen), ("try", self.advice)):
            indent = " " * 11
            lines.append(textwrap.fill(said(text), 100, initial_indent=f"{title:<11}", subsequent_indent=indent))
        return "\n".join(lines)

    __str__ = __repr__


def diagnose(history, classes=10):
    """Name what is wrong with a training run, from its losses and from how θ went.

    It sees what ``fit(model, ..., probe=images)`` wrote down, and nothing else. "healthy" means that it saw none of the
    symptoms it knows, and that about half of the test images or more are right, if that was measured. Several probe
    images are needed to tell whether θ depends on the image; 20 or more are good.

    Args:
        history: a :class:`stncourse.History`; or the FloatingPointError or KeyboardInterrupt that ``fit`` raised, which
            has the history so far.
        classes: how many classes there are: guessing costs log(classes).

    Returns:
        :class:`Diagnosis` ``(name, seen, advice, measures)``; printed, it reads as a note.

    Raises:
        TypeError: not a History. ValueError: an empty one, without what it looks at, or of a loss of your own.

    >>> far_away = [affine_theta(translation=(3, 0)).tolist() * 2] * 2
    >>> diagnose(History({}, theta=[{"step": 50 * i, "theta": theta} for i, theta in enumerate(far_away)]))
    diagnosis  left the image
    seen       At the end 0 % of the frame lies on the image (its middle is at tx = +3.00, ty = +0.00),
               and it did not move at all: outside, the gradient is 0.
    try        Start at the identity. Lower the localization network's learning rate. On images whose
               edges are not flat, padding_mode="border" leaves a gradient outside.
    """
    broke = history if isinstance(history, FloatingPointError) else None
    history = getattr(history, "history", history)
    if not hasattr(history, "epochs") or not hasattr(history, "theta"):
        raise TypeError(f"history: expected a History, got {_check.describe(history)}")
    if not history.epochs and not history.theta and broke is None:
        raise ValueError("history: expected one with an epoch or with recorded θ, got an empty one")
    if own := (getattr(history, "info", None) or {}).get("loss"):
        raise ValueError(
            "history: expected one of the default loss, which tells how far the training is from guessing a class, got "
            f"one of the loss {own}"
        )
    for name, needed in _NEEDED.items():
        for number, row in enumerate(getattr(history, name)):
            if missing := [key for key in needed if key not in row]:
                raise ValueError(f"history: expected {missing[0]!r} in each row of {name}, row {number} has none")
    classes = _check.positive_int("classes", classes, minimum=2)
    measures = measure(history, classes)
    for name, look in LOOKS.items():
        if found := look(measures, history, broke):
            return Diagnosis(name, *found, measures)
    raise AssertionError("the last look always finds something")
