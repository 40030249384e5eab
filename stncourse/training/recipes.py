"""Recipes: everything that decides how a network is trained."""

import math
from dataclasses import dataclass, replace

from stncourse import _check
from stncourse.data.augmentation import MAXIMUM_STRENGTH

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "onecycle")

# A recipe's numbers: what is expected, and which fit.
_NUMBERS = {
    **dict.fromkeys(
        ("learning_rate", "localization_factor", "weight_decay"), ("a number >= 0", lambda v: 0 <= v < math.inf)
    ),
    **dict.fromkeys(("warm_up", "label_smoothing"), ("a fraction, from 0 to below 1", lambda v: 0 <= v < 1)),
    "localization_until": ("a fraction, from 0 to 1", lambda v: 0 <= v <= 1),
    "dropout": ("a probability or None", lambda v: 0 <= v <= 1),
    "augment": (f"a strength from 0 to {MAXIMUM_STRENGTH}", lambda v: 0 <= v <= MAXIMUM_STRENGTH),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained.

    Attributes:
        name: for tables and plots.
        epochs, batch_size: as usual.
        optimizer: ``"sgd"`` or ``"adamw"`` (betas 0.9, 0.99).
        learning_rate: the peak for ``schedule="onecycle"``.
        localization_factor: the localization network of every :class:`stncourse.SpatialTransformer` in the model,
            wherever it lies, learns at this fraction of ``learning_rate``. A model without any is trained as if this
            and the next were 1, and the history's ``info["notes"]`` says so.
        localization_until: it learns in this first part of the training, 0 to 1; then it is frozen, and a step costs
            less, as no gradient goes back to θ.
        weight_decay: as usual.
        schedule: ``"constant"``, or ``"onecycle"``: from a tenth up to the peak, then down to a thousandth.
        warm_up: for ``"onecycle"``, the part of the training that goes up.
        augment: strength of :func:`stncourse.augment` on the training digits; 0 for none.
        dropout: set in every dropout layer, where it stays after the training; None leaves the model's own.
        label_smoothing: this part of each label is shared out among all classes, so that the network is not rewarded
            for being surer than it should be (``torch.nn.functional.cross_entropy``'s; Szegedy et al. 2016, section 7).

    Raises:
        TypeError, ValueError: a value is not of the kind above.

    >>> TUTORIAL_RECIPE.but(epochs=1).epochs
    1
    """

    name: str
    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    localization_factor: float = 1.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    dropout: float | None = None
    warm_up: float = 0.25
    augment: float = 0.0
    localization_until: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            self._set(name, _check.positive_int(name, getattr(self, name)))
        _check.choice("optimizer", self.optimizer, OPTIMIZERS)
        _check.choice("schedule", self.schedule, SCHEDULES)
        for name, (expected, fits) in _NUMBERS.items():
            if name != "dropout" or self.dropout is not None:
                self._set(name, _check.number(name, getattr(self, name), expected, fits))

    def _set(self, name, value):
        object.__setattr__(self, name, value)  # it is frozen for everybody else

    def but(self, **changes):
        """The same recipe with some values changed."""
        return replace(self, **changes)


#: The classic tutorial's: plain SGD, 20 epochs, near 98.7 % at the end.
TUTORIAL_RECIPE = Recipe("tutorial")
#: One epoch, better than the tutorial's 20: a one-cycle AdamW without dropout, and a localization network that learns
#: more calmly, and only in the first half.
FAST_RECIPE = Recipe(
    "fast",
    epochs=1,
    batch_size=64,
    optimizer="adamw",
    learning_rate=0.01,
    localization_factor=0.1,
    weight_decay=0.01,
    schedule="onecycle",
    dropout=0.0,
    localization_until=0.5,
)
#: The same for ten epochs, in larger batches of digits that are augmented a little, and nothing is frozen.
BEST_RECIPE = FAST_RECIPE.but(name="best", epochs=10, batch_size=256, augment=1.0, localization_until=1.0)
