"""How much to spend on a cell; the budgets of the paper's table 1."""

from dataclasses import dataclass

from stncourse.paper.cells import CELLS, DISTORTIONS
from stncourse.training.recipes import Recipe

_RECIPE = Recipe(
    "table1",
    batch_size=256,
    optimizer="adamw",
    learning_rate=0.003,
    localization_factor=0.3,
    weight_decay=0.01,
    schedule="onecycle",
    warm_up=0.15,
    dropout=0.3,
    label_smoothing=0.1,
)


@dataclass(frozen=True)
class Budget:
    """How much to spend on a cell. Every model gets the same in the same column."""

    name: str
    epochs: dict  #: column -> epochs
    cells: tuple  #: those that are trained unless others are asked for
    seeds: int  #: how many, unless asked otherwise
    batch_size: int | None = None  #: None for the recipe's own
    chosen: str = ""  #: how the hyperparameters were chosen
    base: Recipe = _RECIPE  #: all but the epochs; its name is the experiment's

    def __post_init__(self):
        if self.batch_size is None:
            object.__setattr__(self, "batch_size", self.base.batch_size)

    def recipe(self, column):
        """The :class:`stncourse.Recipe` for a column."""
        name = f"{self.base.name} {self.name}"
        return self.base.but(name=name, epochs=self.epochs[column], batch_size=self.batch_size)


_CHOSEN = (
    "Batch size, learning rate and label smoothing were chosen on 10,000 held-out training digits with ST-CNN Aff on "
    "P, and the choice was better than the one before on RTS too. More weight decay, more dropout, augmentation, SGD "
    "with momentum and (on R) another rate of the localization network were tried and did worse, or hardly better. "
    "The rest was taken over from earlier trials with smaller networks. {} One recipe for all models."
)
#: Their names, for ``--budget``.
BUDGETS = {
    "quick": Budget(
        "quick",
        dict.fromkeys(DISTORTIONS, 3),
        (("CNN", "R"), ("ST-CNN Aff", "R")),
        1,
        batch_size=128,
        chosen=_CHOSEN.format("Epochs, and smaller batches: what a laptop does in minutes."),
    ),
    "standard": Budget(
        "standard",
        {"R": 40, "RTS": 63, "P": 40, "E": 16, "TC": 10},
        CELLS,
        3,
        chosen=_CHOSEN.format("Epochs: what one CPU core does within half an hour a cell."),
    ),
    "full": Budget(
        "full",
        dict.fromkeys(DISTORTIONS, 63),
        CELLS,
        3,
        chosen=_CHOSEN.format("Epochs: a tenth of the paper's steps, of the same batch size."),
    ),
}
