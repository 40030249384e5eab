"""What the package says to a student, in the student's language. The code says it in English; errors stay so.

Whatever is shown goes through :func:`said`, which finds it among the messages of a catalogue, made by
``tools/translate.py``: sentences with holes, ``"It returns {0}; a number is asked for."``. A text may be several of
them in a row, and what fills a hole a message of its own. What the catalogue does not know stays English.
``browser/language.js`` does the same in a page.
"""

import html
import json
import os
import re
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

#: Those that there are; English needs no catalogue.
LANGUAGES = ("en", "zh_CN", "ko")
_SHORT = 8  # letters: with fewer of its own, a message takes no sentence that nobody knows into its holes
_SENTENCES, _ITEMS = re.compile(r"(?<=[.:?!]) "), re.compile(r", |; | · | – | \+ | and the | [Aa]nd ")
_LONGEST = 1000  # characters: what is longer is not ours
_MOST, _KEPT = 24, 20_000  # messages in a row; texts that are remembered
_LETTER = 100  # what a letter that is known is worth
_BEHIND = re.compile("[,;:–] ?(?=.)")  # what stands before a message, where it is said behind something else
_NUMBERED = re.compile(r"\d\d (?=.)")  # the title of a notebook
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|“[^”]*”""")
_COLUMNS = re.compile(r"(?<=\S)( {2,})(?=\S)")  # of a table
_FULL_STOPS = "。？！：，；"  # of Chinese: no space behind them
#: Words that an element shows, or has read out.
_SPOKEN = re.compile(r"""(?<=\s)(alt|aria-label|title)=(["'])(.*?)\2""")
_TAGS = re.compile(r"(?s)(<style.*?</style>|<script.*?</script>|<(?!/?(?:code|em)>)[^>]*>)")


def language():
    """The student's: as ``STNCOURSE_LANGUAGE`` says (``en``, ``zh`` or ``ko``), else as the notebook does."""
    return _known(os.environ.get("STNCOURSE_LANGUAGE") or _of_notebook(os.environ.get("JPY_SESSION_NAME", "")))


def said(text):
    """A text, in the student's language."""
    return words(language()).said(text)


def wholly(text):
    """A text that may be somebody else's, such as a title: in the student's language, if all of it is known."""
    return words(language()).wholly(text)


def for_page():
    """The messages that a page says itself: English -> the student's language; {} for English."""
    return _catalogue(language()).get("page", {})


@cache
def words(name):
    """The :class:`Words` of a language."""
    catalogue = _catalogue(name)
    return Words({**catalogue.get("page", {}), **catalogue.get("python", {})})


def _known(name):
    """One of ``LANGUAGES``, for a name such as ``zh``, ``zh-CN`` or ``ko_KR.UTF-8``; English for all others."""
    return next((each for each in LANGUAGES if name.strip()[:2].lower() == each[:2]), "en")


@lru_cache(maxsize=4)
def _of_notebook(path):
    """The language that a notebook's metadata name, where Jupyter says which notebook this is; else ""."""
    try:
        with open(path, encoding="utf-8") as file:
            named = json.load(file)["metadata"].get("language", "")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return named if isinstance(named, str) else ""


@cache
def _catalogue(name):
    if name == "en":
        return {}
    file = resources.files("stncourse") / "assets" / "languages" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


class _Template(NamedTuple):
    """A message with holes: what it looks like, its longest piece without one, its letters, whether each hole is in
    code, and its translation."""

    pattern: re.Pattern
    piece: str
    letters: int
    in_code: tuple
    translation: str

    @classmethod
    def of(cls, message, translation):
        pieces = re.split(r"\{\d+\}", message)
        letters = _letters("".join(pieces))
        pattern = re.compile("(.*?)".join(map(re.escape, pieces)), re.DOTALL)
        in_code = tuple("".join(pieces[: hole + 1]).count("`") % 2 == 1 for hole in range(len(pieces) - 1))
        return cls(pattern, max(pieces, key=len), letters, in_code, translation)


class Words:
    """The messages of a language.

    Args:
        messages: English -> translation. Both may have holes: ``{0}``, ``{1}``, …

    >>> words = Words({"It returns {0}; {1} is asked for.": "要 {1}，得到 {0}。", "a number": "一个数"})
    >>> words.said("It returns (2, 3); a number is asked for.")
    '要 一个数，得到 (2, 3)。'
    """

    def __init__(self, messages):
        self._signs = {text: translation for text, translation in messages.items() if not _letters(text)}
        whole = {text: messages[text] for text in messages if text not in self._signs}
        self._plain = {text: translation for text, translation in whole.items() if "{0}" not in text}
        self._templates = [_Template.of(*message) for message in whole.items() if "{0}" in message[0]]
        self._known = {}

    def said(self, text):
        """A text as it is said in this language; what is not known of it, in English."""
        if not self._plain or not text.strip():
            return text
        if len(self._known) > _KEPT:
            self._known.clear()
        if _COLUMNS.search(text):
            return "".join(map(self.said, _COLUMNS.split(text)))
        core = " ".join(text.split())
        worth, translation = self._best(core) if len(core) <= _LONGEST else (0, core)
        if "\n" in text.strip() and worth < _LETTER * _letters(core):
            return "\n".join(map(self.said, text.split("\n")))
        start, end = (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :])
        return f"{start}{translation}{end}" if worth else text

    def said_html(self, text):
        """The same of HTML: the text in it, and what stands for pictures."""
        if not self._plain:
            return text
        pieces = _TAGS.split(text)
        for place, piece in enumerate(pieces):
            pieces[place] = _SPOKEN.sub(self._spoken, piece) if place % 2 else self._said_between_tags(piece)
        return "".join(pieces)

    def _spoken(self, match):
        return f"{match[1]}={match[2]}{html.escape(self.said(html.unescape(match[3])))}{match[2]}"

    def _said_between_tags(self, piece):
        """Text with code and emphasis, which messages write with backticks and stars."""
        text = html.unescape(re.sub("</?em>", "*", re.sub("</?code>", "`", piece)))
        translation = self.said(text)
        return piece if translation == text else as_html(translation)

    def wholly(self, text):
        """A text that may be somebody else's: as it is said in this language if all of it is known, else as it is."""
        core = " ".join(text.split())
        worth, translation = self._best(core) if len(core) <= _LONGEST else (0, text)
        return translation if worth > _LETTER * (_letters(core) - 1) and worth > 0 else text

    def _best(self, text):
        if text not in self._known:
            self._known[text] = self._best_of(text)
        return self._known[text]

    def _best_of(self, text):
        """(what it is worth, the translation), of a text without line breaks: the more letters are known, the more."""
        if text.strip() != text or _BEHIND.match(text):  # what fills a hole behind a word
            start, core, end = re.fullmatch(r"(\s*[,;:–]?\s*)(.*?)(\s*)", text, re.DOTALL).groups()
            worth, translation = self._best(core)
            return worth, f"{self._between(start, '')}{translation}{end}"
        options = [*(self._in_a_row(text, found) for found in self._gaps(text)), self._whole(text)]
        if text.endswith("."):  # a message may end without one
            worth, translation = self._best(text[:-1])
            options.insert(0, (worth - 1, translation + self._signs.get(".", ".")))
        if _NUMBERED.match(text):
            worth, translation = self._best(text[3:])
            options.insert(0, (worth, text[:3] + translation))
        return max(options[::-1], key=lambda each: each[0])  # of equals the whole, else the last division

    def _whole(self, text):
        """The same, of one message."""
        if text in self._plain:
            return _LETTER * max(1, _letters(text)), self._plain[text]
        found = [self._filled(template, text) for template in self._templates if template.piece in text]
        return max(filter(None, found), key=lambda each: each[0], default=(0, text))

    def _filled(self, template, text):
        match = template.pattern.fullmatch(text)
        if match is None:
            return None
        holes = list(zip(match.groups(), template.in_code, strict=True))
        if any(value.count("`") % 2 and not code for value, code in holes):  # it would cut code in two
            return None
        values = [(0, value) if code else self._best(value) for value, code in holes]
        if template.letters < _SHORT and any(map(_is_foreign, match.groups(), values)):
            return None
        translation = re.sub(r"\{(\d+)\}", lambda hole: values[int(hole[1])][1], template.translation)
        translation = re.sub(f"(?<=[{_FULL_STOPS}]) +", "", translation)
        # Items of a list that a hole swallows: better not, where there is a choice.
        items = sum(len(_ITEMS.findall(hole)) for hole, (worth, _) in zip(match.groups(), values, strict=True) if worth)
        return _LETTER * template.letters + sum(worth for worth, _ in values) - 2 * items, translation

    def _gaps(self, text):
        """Where one message may end and the next begin: behind a sentence; where there is none, in a list."""
        for between in (_SENTENCES, _ITEMS):
            gaps = [gap for gap in between.finditer(text) if text.count("`", 0, gap.start()) % 2 == 0]  # none in code
            if gaps:
                return gaps if len(gaps) <= _MOST else []  # more are somebody else's
        return []

    def _in_a_row(self, text, gap):
        """A message, and what comes behind a gap."""
        worth, first = self._whole(text[: gap.start()])
        others, rest = self._best(text[gap.end() :])
        of_numbers = text[: gap.start()][-1:].isdigit() and text[gap.end() :][:1].isdigit()  # they keep their comma
        between = gap[0] if of_numbers or not worth + others else self._between(gap[0], first)
        return worth + others - 1, f"{first}{between}{rest}"

    def _between(self, gap, before):
        """What stands between two texts; behind a full stop of Chinese, nothing."""
        sign = gap.strip().lower()
        gap = self._signs.get(sign, self._plain.get(sign, gap))
        return "" if before and before[-1] in _FULL_STOPS and not gap.strip() else gap


def as_html(text):
    """The little markdown that messages use, as HTML: code in backticks; outside of it, stars."""
    pieces = html.escape(text).split("`")
    for place in range(0, len(pieces), 2):
        strong = re.sub(r"\*\*(\S.*?)\*\*", r"<b>\1</b>", pieces[place])
        pieces[place] = re.sub(r"\*(\S[^*]*)\*", r"<em>\1</em>", strong)
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))


def _is_foreign(text, found):
    """Whether a text is several words, without a number or quotes, of which not all was found."""
    bare = _QUOTED.sub("", text)
    some_letters = _letters(bare) > 0 and found[0] <= _LETTER * (_letters(bare) - 1)
    return " " in text and some_letters and not any(map(str.isdigit, bare))


def _letters(text):
    return sum(map(str.isalpha, text))
