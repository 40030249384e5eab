"""The course in other languages: gettext catalogues in translations/.

A catalogue for each notebook has a message for each markdown cell; another, of what the package itself says to a
student, is shipped with it (stncourse/assets/languages).

python tools/translate.py                  brings all catalogues up to date, and reports: translated, fuzzy, missing
python tools/translate.py check ko 03      says what is wrong in a catalogue (all of a language, without a number)
python tools/translate.py build ko         writes whole notebooks into build/notebooks-ko
"""

import difflib
import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import polib

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))  # in front of one that is installed

import package_words  # noqa: E402

from stncourse._language import Words  # noqa: E402

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
_SITE = tomllib.loads((PROJECT / "translations" / "site.toml").read_text(encoding="utf-8"))
#: Language -> what stands above a cell that nobody has translated yet.
LANGUAGES = {language: words["untranslated"] for language, words in _SITE.items() if "untranslated" in words}
_TITLES = re.compile(r"(const titles = )(\[.*?\])(?=;\n)")  # of a film, in its script
_REPOSITORY = r"(?<=colab\.research\.google\.com/github/)[^/\s]+/[^/\s]+(?=/blob/)"


# Catalogues


def read(path):
    """A notebook, as JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def english_of(cell):
    """A cell's text, whoever publishes it: the address of the repository is not to be translated."""
    return re.sub(_REPOSITORY, "OWNER/REPO", "".join(cell["source"]))


def messages(notebook):
    """What there is to translate: cell's id -> English text."""
    return {
        cell["id"]: english_of(cell)
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown" and english_of(cell).strip()
    }


#: The name of the catalogue of what the package itself says.
WORDS = "stncourse"


def catalogue_of(language, name):
    """The path of a notebook's catalogue."""
    return PROJECT / "translations" / language / f"{name}.po"


def opened(path, language):
    """A catalogue; a new one, where there is none."""
    if path.exists():
        return polib.pofile(str(path), wrapwidth=0)
    catalogue = polib.POFile(wrapwidth=0)
    catalogue.metadata = {"Language": language, "Content-Type": "text/plain; charset=UTF-8"}
    return catalogue


def updated(catalogue, english):
    """The catalogue of these messages, in their order. What was a translation of another text becomes fuzzy."""
    by_cell = {entry.msgctxt: entry for entry in catalogue}
    by_text = {entry.msgid: entry.msgstr for entry in catalogue if "fuzzy" not in entry.flags}
    new = polib.POFile(wrapwidth=0)
    new.metadata = catalogue.metadata
    for cell, text in english.items():
        entry = by_cell.get(cell) or polib.POEntry(msgctxt=cell, msgid=text, msgstr=by_text.get(text, ""))
        if entry.msgid != text:
            if entry.msgstr:
                entry.previous_msgid = entry.previous_msgid or entry.msgid
                entry.flags = sorted({*entry.flags, "fuzzy"})
            entry.msgid = text
        new.append(entry)
    return new


def updated_words(catalogue, messages):
    """The catalogue of what the package says: message -> where. A message that is new has the translation of the most
    similar one that is gone, as fuzzy."""
    old = {entry.msgid: entry for entry in catalogue}
    gone = [text for text in old if text not in messages and old[text].msgstr]
    new = polib.POFile(wrapwidth=0)
    new.metadata = catalogue.metadata
    for text, places in messages.items():
        entry = old.get(text)
        if entry is None:
            entry = polib.POEntry(msgid=text)
            if close := difflib.get_close_matches(text, gone, 1, cutoff=0.7):
                entry.msgstr, entry.previous_msgid, entry.flags = old[close[0]].msgstr, close[0], ["fuzzy"]
        entry.occurrences = [(place, "") for place in places]
        new.append(entry)
    return new


def is_translated(entry):
    """Whether an entry holds a translation of the text as it is now."""
    return bool(entry.msgstr) and "fuzzy" not in entry.flags


# Notebooks


def translated(notebook, catalogue, language):
    """A copy of a notebook with its text in another language; code and outputs as they are."""
    texts = {entry.msgctxt: entry for entry in catalogue}
    copy = json.loads(json.dumps(notebook))
    copy["metadata"]["language"] = language
    words = Words(shipped(language)["page"] | shipped(language)["python"])
    for cell in copy["cells"]:
        for output in cell.get("outputs", ()):
            _say(output, words)
        entry, own = texts.get(cell["id"]), "".join(cell["source"])
        if cell["cell_type"] != "markdown" or not own.strip():
            continue
        if entry and is_translated(entry) and entry.msgid == english_of(cell):
            repository = re.search(_REPOSITORY, own)
            cell["source"] = entry.msgstr.replace("OWNER/REPO", repository[0] if repository else "")
        else:
            cell["source"] = f"> *{LANGUAGES[language]}*\n\n{own}"
    return copy


def _say(output, words):
    """Put into a stored output what the package would say in another language. What a cell prints is its own."""

    def titles(match):
        return match[1] + json.dumps(list(map(words.said, json.loads(match[2]))), ensure_ascii=False)

    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = _TITLES.sub(titles, words.said_html("".join(data["text/html"])))
    if "text/html" in data or "image/png" in data:
        data["text/plain"] = "\n".join(map(words.said, "".join(data["text/plain"]).split("\n")))
    for shown in output.get("metadata", {}).values():
        if isinstance(shown, dict) and "alt" in shown:
            shown["alt"] = words.said(shown["alt"])


# What the package says


def shipped(language):
    """What the package is told of a language: English -> translation, for "page", what a browser says, and "python"."""
    parts = {"page": {}, "python": {}}
    for entry in filter(is_translated, opened(catalogue_of(language, WORDS), language)):
        by_page = any(place.startswith("page") for place, _ in entry.occurrences)
        parts["page" if by_page else "python"][entry.msgid] = entry.msgstr
    return parts


def shipped_file(language):
    """Where the package has it."""
    return PROJECT / "stncourse" / "assets" / "languages" / f"{language}.json"


# Whether a translation says the same

#: What has to be the same in every language: name -> what finds it. What one has found, the next ones do not see.
SAME = {
    "code blocks": r"(?s)```.*?```",
    "code": r"``[^`]+``|`[^`]+`",
    "formulas": r"(?s)\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$",
    "links": r"\]\(([^)\s]+)\)",
    "HTML": r"</?[a-z][^>]*>",
    "numbers": r"\d+(?:[.,]\d+)*",
    "headings": r"(?m)^#+(?= )",
}
_FOREIGN_PUNCTUATION = {
    "zh_CN": r"[一-鿿][,;:!?](?!\w)|[一-鿿]\.(?=\s|$)|[一-鿿]\((?![A-Za-z0-9])",
    "ko": r"[，。；：！？、（）]",
}
_ENGLISH = r"(?:\b[a-z]{2,}\b[ ,]+){5}"  # words in a row that nobody has translated


def found(text):
    """Name of a kind -> how often each piece of that kind stands in a text; and what is left of the text."""
    pieces = {}
    for name, pattern in SAME.items():
        pieces[name] = Counter(match[match.re.groups] for match in re.finditer(pattern, text))
        text = re.sub(pattern, "]" if name == "links" else " ", text)
    return pieces, text


def problems(entry, language):
    """What is wrong with a translation, in sentences."""
    (english, _), (own, rest) = found(entry.msgid), found(entry.msgstr)
    said = []
    for name in SAME:
        lost, added = english[name] - own[name], own[name] - english[name]
        if lost or added:
            said.append(f"other {name}: without {sorted(lost)}, with {sorted(added)}")
    plain = re.sub(r"\[[^\]]*\]", " ", rest)  # titles of papers stay English
    if "## References" not in entry.msgid and (words := re.search(_ENGLISH, plain)):
        said.append(f"English is left: {words[0].strip()!r}")
    if mark := re.search(_FOREIGN_PUNCTUATION[language], rest):
        said.append(f"punctuation of another script: {mark[0]!r}")
    return said


def problems_of_words(entry, language):
    """The same for what the package says: holes may be left out (a plural's s), but not invented."""
    holes = r"\{\d+\}"
    without = polib.POEntry(msgid=re.sub(holes, " ", entry.msgid), msgstr=re.sub(holes, " ", entry.msgstr))
    added = sorted({*re.findall(holes, entry.msgstr)} - {*re.findall(holes, entry.msgid)})
    return [*problems(without, language), *([f"other holes: with {added}"] if added else [])]


# Commands


def update_all():
    """Bring all catalogues up to date, and what is shipped of them, and print a line about each."""
    said = package_words.all_messages()
    for language in LANGUAGES:
        for path in NOTEBOOKS:
            where = catalogue_of(language, path.stem)
            _save(updated(opened(where, language), messages(read(path))), where, language)
        where = catalogue_of(language, WORDS)
        _save(updated_words(opened(where, language), said), where, language)
        file = shipped_file(language)
        file.parent.mkdir(exist_ok=True)
        text = json.dumps(shipped(language), ensure_ascii=False, indent=0)
        file.write_text(text + "\n", encoding="utf-8")


def _save(catalogue, where, language):
    where.parent.mkdir(parents=True, exist_ok=True)
    catalogue.save(str(where))
    done, fuzzy = sum(map(is_translated, catalogue)), sum("fuzzy" in entry.flags for entry in catalogue)
    missing = len(catalogue) - done - fuzzy
    print(f"{language:<6} {where.stem:<26} {done:>4} translated, {fuzzy} fuzzy, {missing} missing")


def check(language, number=""):
    """Print what is wrong; 1 if anything is."""
    wrong = 0
    for name in (name for name in (*(path.stem for path in NOTEBOOKS), WORDS) if name.startswith(number)):
        for entry in filter(is_translated, opened(catalogue_of(language, name), language)):
            found_in = problems_of_words(entry, language) if name == WORDS else problems(entry, language)
            for problem in found_in:
                wrong += 1
                print(f"{name}, {entry.msgctxt or entry.msgid!r}: {problem}")
    return min(wrong, 1)


def build(language):
    """Write all notebooks in a language."""
    folder = PROJECT / "build" / f"notebooks-{language.split('_')[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in NOTEBOOKS:
        notebook = translated(read(path), opened(catalogue_of(language, path.stem), language), language)
        (folder / path.name).write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{len(NOTEBOOKS)} notebooks are in {folder.relative_to(PROJECT)}.")


def main(command="update", *arguments):
    return {"update": update_all, "check": check, "build": build}[command](*arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
