"""The words on a figure, in the student's language where a font of the machine has its signs; else in English."""

import contextlib
import functools
import re
from pathlib import Path

import matplotlib.text
from matplotlib import font_manager

from stncourse._language import language, wholly

#: Some signs of a language, which tell whether a font has them.
_SIGNS = {"zh_CN": "换网络采样", "ko": "변환격자틀"}
_LIKELY = re.compile("CJK|Hei|Gothic|Nanum|Noto|Source|malgun|msyh|PingFang|AppleSD|Fallback", re.IGNORECASE)


@contextlib.contextmanager
def said_on(figure):
    """While it lasts, the figure says in the student's language what it says in English."""
    font = font_for(language())
    changed = []
    if font:
        for text in figure.findobj(matplotlib.text.Text):
            english, words = text.get_text(), wholly(text.get_text())
            if words != english:
                changed.append((text, english, text.get_fontfamily()))
                text.set(text=words, fontfamily=[*text.get_fontfamily(), font])
    try:
        yield
    finally:
        for text, english, family in changed:
            text.set(text=english, fontfamily=family)


@functools.cache
def font_for(name):
    """A font of this machine that has the signs of a language, told to matplotlib; None where there is none."""
    signs = _SIGNS.get(name, "")
    for path in sorted(font_manager.findSystemFonts(), key=_how_unlikely) if signs else ():
        try:
            font = font_manager.get_font(path)
            if all(font.get_char_index(ord(sign)) for sign in signs):
                font_manager.fontManager.addfont(path)  # its own list may be older than the font
                return font.family_name
        except (OSError, RuntimeError, ValueError):  # a file that matplotlib cannot read
            continue
    return None


def _how_unlikely(path):
    """A key that sorts first what is likely to have the signs, and is neither bold nor with serifs."""
    name = Path(path).name
    plain = "Regular" in name or not re.search("Bold|Light|Thin|Black|Medium", name)
    return not _LIKELY.search(name), "Serif" in name, not plain, path
