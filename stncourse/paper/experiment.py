"""What an experiment of the paper is: all that its runs need to know, in one description."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stncourse.data.digits import Digits
from stncourse.paper.paired import wrong_digits
from stncourse.paper.paper_table import PaperTable


@dataclass(frozen=True)
class Data:
    """What one column of an experiment is about."""

    train: Digits  #: to learn from
    measure: Digits  #: to measure on, once, at the end: the same for every model and seed, distorted already
    transform: Callable | None = None  #: for :func:`stncourse.fit`, of the training images
    known: dict = field(default_factory=dict)  #: what else is known of the images to measure on, for ``facts``


@dataclass(frozen=True)
class Experiment:
    """An experiment of the paper: ``python -m stncourse reproduce NAME`` trains its cells.

    Attributes:
        name: the command's word for it, and the folder's.
        paper: :class:`stncourse.paper.paper_table.PaperTable`: models, columns, and the paper's numbers.
        budgets: ``"quick"``, ``"standard"``, ``"full"`` -> :class:`stncourse.paper.budgets.Budget`.
        data: ``(train, measure, column) -> Data``, from plain digits. Its randomness has fixed seeds, so that a run
            that was stopped finds the same data again.
        network: ``(model, column, data, precision) -> module``, untrained, after ``torch.manual_seed``. What its
            attribute ``stn`` holds (a module; None for nothing) is kept as a file for seed 0.
        loss: ``(output, labels) -> loss``, as for :func:`stncourse.fit`; None for log-probabilities and one class each.
            It goes with a recipe without label smoothing (the ``base`` of the budgets).
        wrong: ``(model, measure, device) -> bool tensor (N,)``: which of the images to measure on the model got wrong.
        facts: ``(model, data, device) -> dict`` that JSON can hold: what else to note of a run; or None.
    """

    name: str
    paper: PaperTable
    budgets: dict
    data: Callable
    network: Callable
    loss: Callable | None = None
    wrong: Callable = wrong_digits
    facts: Callable | None = None
