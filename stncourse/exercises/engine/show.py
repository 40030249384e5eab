"""Shows a verdict: as a box in a notebook, as text elsewhere."""

import html
import sys

from stncourse._language import as_html, said, wholly
from stncourse.exercises.engine.safe_text import readable, say

_LOOK = {
    True: ("✓", "{}: right", "#009E73"),
    False: ("✗", "{}: not yet", "#D55E00"),
    None: ("○", "{}: not done yet", "#777777"),
}


def show(exercise, verdict, note=""):
    """Show a Verdict, and its figures if it has some."""
    lines = [*verdict.details, *([("note", said(readable(note)))] if note else [])]
    figures = [draw() for draw in verdict.drawings]
    if _in_notebook():
        from IPython.display import display

        display(
            {"text/plain": as_text(exercise.name, verdict.result, lines), **_html(exercise, verdict, lines)}, raw=True
        )
        for figure in figures:
            display(figure)
    else:
        say(as_text(exercise.name, verdict.result, lines))
        for figure in figures:
            say(f"  {said('Figure:')} {wholly(figure.alt)}")


def as_text(name, result, lines=()):
    """The verdict in plain text."""
    mark, word, _ = _LOOK[result.passed]
    mistake = said(f" (the mistake: {result.mistake})") if result.mistake else ""
    below = (_indented(f"{said(what)}: {_below(text)}") for what, text in lines)
    return "\n".join([f"{mark} {said(word.format(name))}{mistake}", _indented(said(result.message)), *below])


def _html(exercise, verdict, lines):
    result = verdict.result
    mark, word, color = _LOOK[result.passed]
    title = f"<b>{mark} {said(word.format(exercise.name))}</b>"
    mistake = f" · {said('the mistake:')} <b>{html.escape(said(result.mistake))}</b>" if result.mistake else ""
    details = "".join(
        f"<div style='margin-top:.4em'><b>{said(what)}</b>"
        f"<pre style='margin:.1em 0 0 1em'>{html.escape(text)}</pre></div>"
        for what, text in lines
    )
    return {
        "text/html": (
            f"<div style='border-left:6px solid {color};padding:.3em .8em;max-width:50em'>"
            f"{title}{mistake}<br>{as_html(said(result.message))}{details}</div>"
        )
    }


def _below(text):
    return "\n" + _indented(text) if "\n" in text else text


def _indented(text):
    return "\n".join(f"  {line}" for line in text.splitlines())


def _in_notebook():
    """Whether there is somebody who can show more than text."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
