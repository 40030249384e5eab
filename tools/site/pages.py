"""A notebook as a page of the site: its text and stored outputs, its widgets alive, its answers folded."""

import re

import nbformat
from living import WIDGET
from nbformat.v4 import new_markdown_cell, new_output
from words import WORDS

from stncourse.playground.theta_widget import ThetaPlayground

_BADGE = re.compile(r"\[!\[Open in Colab\]\(attachment:open_in_colab\.png\)\]\((\S+)\)\n*")


def page_of(notebook, name, living, published, words=WORDS["en"]):
    """A copy of a notebook that the site is built from.

    Args:
        notebook: as it is in the course, with its outputs.
        name: of its file, without an ending.
        living: :class:`living.Living`.
        published: whether the course has an address: whether Colab can open it.
        words: :class:`words.Words`, of the notebook's language.
    """
    page = nbformat.from_dict(notebook)
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    sources = [cell.source for cell in code]
    for number, cell in enumerate(code):
        _show(cell, number, sources, living, words)
    title, *others = page.cells
    title.source, colab = _BADGE.sub("", title.source), _BADGE.search(title.source)[1]
    title.pop("attachments", None)
    files = ("../" if words.folder else "") + "../files"
    to_colab = f'<a href="{colab}">{words.in_colab}</a>'
    links = words.top.format(
        notebook=f'<a href="{files}/{name}.ipynb" download>{words.notebook}</a>',
        program=f'<a href="{files}/{name}.py" download>{words.program}</a>',
        colab=words.colab.format(colab=to_colab) if published else "",
    )
    heading, _, rest = title.source.partition("\n")
    page.cells = [
        new_markdown_cell(f'{heading}\n\n<p class="stn-own">{links}</p>\n\n{rest.lstrip()}'),
        *_with_notes(others, words),
    ]
    for number, cell in enumerate(page.cells):
        cell.id = f"cell-{number}"
    return page


def _show(cell, number, sources, living, words):
    """How a code cell, and what came of it, is shown."""
    tags = cell.metadata.setdefault("tags", [])
    if number == 0 or cell.source.strip() == "progress()":
        tags.append("remove-cell")
    elif cell.source.startswith("check("):
        cell.outputs = []
    elif WIDGET.search(cell.source) and not cell.outputs:
        widget = living.of_cell(sources, number)
        cell.outputs = [_html(widget.html.replace(WORDS["en"].waiting, words.waiting))]
        if isinstance(widget.shown, ThetaPlayground) and {"model", "sliders"} <= set(widget.shown._controls):
            cell.outputs.append(_html(f"<p>{words.score}</p>"))
    elif re.search(r"\bwatch=", cell.source):
        picture = f'<img src="../_static/watched.png" alt="{words.watched_alt}">'
        cell.outputs.append(_html(f"<p>{words.watched}</p>\n{picture}\n"))
    own = cell.metadata.setdefault("mystnb", {})
    hidden = cell.metadata.get("jupyter", {})
    if hidden.get("source_hidden") and not hidden.get("outputs_hidden"):  # two folds would have one name
        tags.append("hide-input")
        own.update(code_prompt_show=words.code[0], code_prompt_hide=words.code[1])
    if hidden.get("outputs_hidden"):
        tags += ["hide-output", "answer"]
        own.update(code_prompt_show=words.answer[0], code_prompt_hide=words.answer[1])
    alts = [output.metadata["image/png"]["alt"] for output in cell.outputs if "image/png" in output.get("data", {})]
    if alts:
        own["image"] = {"alt": " ".join(alts)}


def _html(text):
    return new_output("display_data", {"text/html": text})


def _with_notes(cells, words):
    """The cells, without the exercises' last words, with a word on checks before the first."""
    kept = [cell for cell in cells if not cell.id.endswith("exercise-last-words")]
    for cell in kept:
        if cell.id.endswith("exercise-introduction"):
            cell.source += f"\n\n```{{note}}\n{words.no_python}\n```"
    return kept
