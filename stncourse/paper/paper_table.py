"""A table of the paper: its rows, columns and numbers, and ours beside them."""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class PaperTable:
    """What the paper reports of one experiment: models down, columns across.

    Attributes:
        errors: model -> {column: error in %}, in the order of the rows; a column that the paper leaves out is missing.
        columns: names of the columns.
        cells: every (model, column) that can be trained, the most telling first; default: all, row by row.
        column: what a column is, in a word; so it is called in a cell's JSON.
        right: the paper gives the share that is *right*: so ``errors`` is, and so ours is shown. Files hold errors.
    """

    errors: dict
    columns: tuple
    cells: tuple = ()
    column: str = "distortion"
    right: bool = False

    def __post_init__(self):
        if not self.cells:
            cells = tuple((model, column) for model in self.errors for column in self.columns)
            object.__setattr__(self, "cells", cells)

    def choose(self, patterns):
        """The cells that patterns name, each once, in the order of the patterns.

        Args:
            patterns: like ``"CNN/R"``, with ``*`` for anything: ``"ST-CNN*/R"``, ``"*/TC"``; a model or a column alone
                means all its cells.

        Returns:
            list of (model, column).

        Raises:
            ValueError: a pattern names no cell.
        """
        chosen = []
        for pattern in patterns:
            fitting = [
                (model, column)
                for model, column in self.cells
                if any(fnmatchcase(name, pattern) for name in (f"{model}/{column}", model, column))
            ]
            if not fitting:
                raise ValueError(
                    f"cells: expected MODEL/{self.column.upper()} with {', '.join(self.errors)} and "
                    f"{', '.join(self.columns)}, got {pattern!r}"
                )
            chosen += fitting
        return list(dict.fromkeys(chosen))

    def text(self, results):
        """The paper's table and ours, as Markdown: in %, mean ± std over the seeds.

        Args:
            results: dict, (model, column) -> cell as from :func:`stncourse.paper.cells.read_cell`.

        Returns:
            str. A cell that was not run says so.

        >>> print(PaperTable({"FCN": {"R": 2.1}}, ("R", "P")).text({}).splitlines()[2])
        | FCN          | 2.1 / not run | – / not run |
        """
        rows = [["paper / ours", *self.columns], ["---"] * (1 + len(self.columns))]
        for model, errors in self.errors.items():
            ours = [self._ours(results.get((model, column))) for column in self.columns]
            theirs = [errors.get(column, "–") for column in self.columns]
            rows.append([model, *(f"{t} / {o}" for t, o in zip(theirs, ours, strict=True))])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
        )

    def _ours(self, cell):
        if cell is None:
            return "not run"
        mean, std = cell["error"]["mean"], cell["error"]["std"]
        spread = "" if std is None else f" ± {std:.2f}"
        return f"{100 - mean if self.right else mean:.2f}{spread}"
