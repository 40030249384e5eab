"""A notebook as a page of the site: its text and stored outputs, its widgets alive, its answers folded."""

import re

import nbformat
from living import WIDGET
from nbformat.v4 import new_markdown_cell, new_output

from stncourse.playground.theta_widget import ThetaPlayground

_BADGE = re.compile(r"\[!\[Open in Colab\]\(attachment:open_in_colab\.png\)\]\((\S+)\)\n*")
_NO_PYTHON = """```{note}
A page has no Python: it cannot check what you write. Download the notebook (at the top of this page) and run it;
there each check answers in a sentence.
```"""
_WATCHED = """<p>A training needs Python, which a page does not have. In a notebook this panel grows here while the
network learns. This is how it looked at the end of notebook 06's training:</p>
<img src="../_static/watched.png" alt="ten crooked digits with their frames, what the classifier gets, the loss">
"""
_SCORE = "Who made the classifier surer of the right digit, you or the STN? That score is kept in the notebook only."


def page_of(notebook, name, living, published):
    """A copy of a notebook that the site is built from.

    Args:
        notebook: as it is in the course, with its outputs.
        name: of its file, without an ending.
        living: :class:`living.Living`.
        published: whether the course has an address: whether Colab can open it.
    """
    page = nbformat.from_dict(notebook)
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    sources = [cell.source for cell in code]
    for number, cell in enumerate(code):
        _show(cell, number, sources, living)
    title, *others = page.cells
    title.source, colab = _BADGE.sub("", title.source), _BADGE.search(title.source)[1]
    title.pop("attachments", None)
    links = "Where it says “run the cell”: it has been run, and what is to be touched is alive. To change the code, "
    links += f'<a href="../files/{name}.ipynb" download>download this notebook</a>'
    links += ", take it " if published else " or take it "
    links += f'<a href="../files/{name}.py" download>as a Python program</a>'
    links += f', or <a href="{colab}">open it in Colab</a>.' if published else "."
    heading, _, rest = title.source.partition("\n")
    page.cells = [
        new_markdown_cell(f'{heading}\n\n<p class="stn-own">{links}</p>\n\n{rest.lstrip()}'),
        *_with_notes(others),
    ]
    for number, cell in enumerate(page.cells):
        cell.id = f"cell-{number}"
    return page


def _show(cell, number, sources, living):
    """How a code cell, and what came of it, is shown."""
    tags = cell.metadata.setdefault("tags", [])
    if number == 0 or cell.source.strip() == "progress()":
        tags.append("remove-cell")
    elif cell.source.startswith("check("):
        cell.outputs = []
    elif WIDGET.search(cell.source) and not cell.outputs:
        widget = living.of_cell(sources, number)
        cell.outputs = [_html(widget.html)]
        if isinstance(widget.shown, ThetaPlayground) and {"model", "sliders"} <= set(widget.shown._controls):
            cell.outputs.append(_html(f"<p>{_SCORE}</p>"))
    elif re.search(r"\bwatch=", cell.source):
        cell.outputs.append(_html(_WATCHED))
    own = cell.metadata.setdefault("mystnb", {})
    hidden = cell.metadata.get("jupyter", {})
    if hidden.get("source_hidden") and not hidden.get("outputs_hidden"):  # two folds would have one name
        tags.append("hide-input")
        own.update(code_prompt_show="Show the code", code_prompt_hide="Hide the code")
    if hidden.get("outputs_hidden"):
        tags += ["hide-output", "answer"]
        own.update(code_prompt_show="Show what comes out", code_prompt_hide="Hide what comes out")
    alts = [output.metadata["image/png"]["alt"] for output in cell.outputs if "image/png" in output.get("data", {})]
    if alts:
        own["image"] = {"alt": " ".join(alts)}


def _html(text):
    return new_output("display_data", {"text/html": text})


def _with_notes(cells):
    """The cells, without the exercises' last words, with a word on checks before the first."""
    kept = [cell for cell in cells if not cell.id.endswith("exercise-last-words")]
    for cell in kept:
        if cell.id.endswith("exercise-introduction"):
            cell.source += f"\n\n{_NO_PYTHON}"
    return kept
