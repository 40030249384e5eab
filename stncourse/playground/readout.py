"""What the θ playground says beside its picture, as HTML."""

import html

from stncourse._language import said
from stncourse.playground.parameters import IDENTITY

_ACCENT = "#D55E00"


def matrix_html(theta):
    """θ as a matrix; what differs from the identity is bold, coloured and underlined (to be seen in grey too)."""
    cells = []
    for value, still in zip(theta, IDENTITY, strict=True):
        moved = abs(value - still) > 1e-6
        style = f"color:{_ACCENT};font-weight:bold;text-decoration:underline;" if moved else ""
        cells.append(f'<td style="{style}padding:0 9px;text-align:right">{round(value, 2) + 0:.2f}</td>')
    rows = f"<tr>{''.join(cells[:3])}</tr><tr>{''.join(cells[3:])}</tr>"
    bracket = "border-left:2px solid;border-right:2px solid;border-radius:6px"
    return (
        '<div style="display:flex;align-items:center;gap:8px;font-family:monospace;font-size:15px">'
        f'<span>θ =</span><table aria-label="θ" style="{bracket}">{rows}</table></div>'
    )


def bars_html(probabilities, names, kind):
    """How sure a classifier is: a bar for each class, the longest in colour. ``kind``: "digit" or "class"."""
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    rows = [
        f'<tr><td style="padding-right:8px;max-width:150px;overflow-wrap:anywhere">{"<b>" if label == best else ""}'
        f'{html.escape(name)}</td><td style="width:220px">'
        f'<div style="width:{100 * p:.1f}%;height:11px;background:{_ACCENT if label == best else "#888"}"></div>'
        f'</td><td style="text-align:right">{100 * p:.1f} %</td></tr>'
        for label, (p, name) in enumerate(zip(probabilities, names, strict=True))
    ]
    words = said(f"how sure the classifier is of each {kind}")
    return f'<table style="line-height:1.2" aria-label="{words}">{"".join(rows)}</table>'


def alert_html(text):
    """A message that a screen reader reads at once; nothing for no text."""
    return f'<b role="alert">{html.escape(said(text))}</b>' if text else ""
