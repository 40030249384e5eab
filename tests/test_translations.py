"""The notebooks in other languages: catalogues keep up with the English, and say the same."""

import copy
import html
import json
import re
import sys
from pathlib import Path

import nbformat
import polib
import pytest
from run_python import run_python

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "tools"))

import translate  # noqa: E402

CATALOGUES = [(language, path) for language in translate.LANGUAGES for path in translate.NOTEBOOKS]


def cell(identity, text, kind="markdown"):
    return {"id": identity, "cell_type": kind, "metadata": {}, "source": text.splitlines(True)}


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [cell("a", "One frame."), cell("b", "Two frames."), cell("c", "frame = 1", "code"), cell("d", "")],
}


@pytest.fixture
def catalogue():
    made = translate.updated(polib.POFile(), translate.messages(NOTEBOOK))
    for entry, text in zip(made, ("取景框一个。", "取景框两个。"), strict=True):
        entry.msgstr = text
    return made


def test_a_message_for_each_cell_with_text(catalogue):
    assert [(entry.msgctxt, entry.msgid) for entry in catalogue] == [("a", "One frame."), ("b", "Two frames.")]


def test_a_cell_that_has_changed_is_fuzzy_and_is_shown_in_english(catalogue):
    changed = copy.deepcopy(NOTEBOOK)
    changed["cells"][1] = cell("b", "Three frames.")
    before = translate.translated(changed, catalogue, "zh_CN")["cells"]  # a build before the catalogue knows of it
    new = translate.updated(catalogue, translate.messages(changed))
    assert [translate.is_translated(entry) for entry in new] == [True, False]
    assert (new[1].msgstr, new[1].previous_msgid) == ("取景框两个。", "Two frames.")
    for cells in (before, translate.translated(changed, new, "zh_CN")["cells"]):
        assert cells[0]["source"] == "取景框一个。"
        assert cells[1]["source"] == f"> *{translate.LANGUAGES['zh_CN']}*\n\nThree frames."
    unknown = copy.deepcopy(NOTEBOOK)
    unknown["cells"].append(cell("e", "New."))  # of which the catalogue has not heard
    assert translate.translated(unknown, catalogue, "ko")["cells"][-1]["source"].startswith(
        f"> *{translate.LANGUAGES['ko']}"
    )
    again = translate.updated(new, translate.messages(NOTEBOOK))  # only mended by hand, and seen by somebody
    assert not translate.is_translated(again[1])


def test_cells_that_go_and_come_and_change_their_names(catalogue):
    notebook = {"cells": [cell("new", "Two frames."), cell("a", "One frame."), cell("e", "More.")]}
    new = translate.updated(catalogue, translate.messages(notebook))
    assert [(entry.msgctxt, entry.msgstr) for entry in new] == [
        ("new", "取景框两个。"),
        ("a", "取景框一个。"),
        ("e", ""),
    ]


def test_where_the_course_is_published_is_nothing_to_translate():
    badge = "[x](https://colab.research.google.com/github/{}/blob/main/notebooks/a.ipynb)"
    home = {"metadata": {}, "cells": [cell("a", badge.format("OWNER/REPO"))]}
    stamped = {"metadata": {}, "cells": [cell("a", badge.format("some-body/course"))]}
    catalogue = translate.updated(polib.POFile(), translate.messages(home))
    catalogue[0].msgstr = "打开" + badge.format("OWNER/REPO")
    assert translate.is_translated(translate.updated(catalogue, translate.messages(stamped))[0])
    text = translate.translated(stamped, catalogue, "zh_CN")["cells"][0]["source"]
    assert text == "打开" + badge.format("some-body/course")


ENGLISH = """## A frame

It is **10,000** times `theta`, see [03](03_grid_generator.ipynb) and $x = 2$.

<details>
<summary>Hint</summary>

```python
print(1)  # one
```

</details>"""
SAME = ENGLISH.replace("A frame", "取景框").replace("It is", "它是").replace("times", "乘").replace("see", "见")
SAME = SAME.replace("and", "和").replace("Hint", "提示")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("取景框", "取景框", None),
        ("10,000", "1,000", "numbers: without ['10,000'], with ['1,000']"),
        ("`theta`", "`θ`", "code: without ['`theta`']"),
        ("`theta`", "`theta` `theta`", "code: without [], with ['`theta`']"),
        ("$x = 2$", "$x = 3$", "formulas"),
        ("(03_grid_generator.ipynb)", "(04_sampler.ipynb)", "links"),
        ("</details>", "", "HTML"),
        ("## ", "### ", "headings"),
        ("# one", "# 一", "code blocks"),
        ("它是", "它是,", "punctuation of another script: '是,'"),
        ("它是", "it is a frame that nobody has seen", "English is left"),
    ],
)
def test_a_translation_that_says_something_else(old, new, said):
    entry = polib.POEntry(msgctxt="a", msgid=ENGLISH, msgstr=SAME.replace(old, new, 1))
    problems = translate.problems(entry, "zh_CN")
    assert (said is None and problems == []) or (len(problems) == 1 and said in problems[0]), problems


@pytest.mark.parametrize(("language", "path"), CATALOGUES, ids=lambda value: getattr(value, "stem", value))
def test_a_catalogue_is_empty_or_whole(language, path):
    """What students get is all in their language. A cell of the English that has changed has to be looked at."""
    there = translate.opened(translate.catalogue_of(language, path.stem), language)
    catalogue = translate.updated(there, translate.messages(translate.read(path)))
    assert [entry.msgctxt for entry in there] == [entry.msgctxt for entry in catalogue], "run make translate"
    if any(entry.msgstr for entry in catalogue):
        assert [entry.msgctxt for entry in catalogue if not translate.is_translated(entry)] == []


@pytest.mark.parametrize("language", translate.LANGUAGES)
def test_catalogues_say_the_same_as_the_english(language, capsys):
    wrong = translate.check(language)
    assert not wrong, capsys.readouterr().out


@pytest.mark.parametrize(("language", "path"), CATALOGUES, ids=lambda value: getattr(value, "stem", value))
def test_code_and_outputs_are_the_same_in_every_language(language, path):
    """But for the words of outputs, which the package would say in that language; their numbers are the same."""
    english = translate.read(path)
    catalogue = translate.opened(translate.catalogue_of(language, path.stem), language)
    own = translate.translated(english, catalogue, language)
    nbformat.validate(nbformat.from_dict(own))
    for one, other in zip(english["cells"], own["cells"], strict=True):
        without = [json.loads(json.dumps(each, sort_keys=True)) for each in (one, other)]
        for each in without:
            del each["source"]
            for output in each.get("outputs", ()):
                words = output.get("data", {}).pop("text/html", ""), output.get("data", {}).pop("text/plain", "")
                output["numbers"] = sorted(re.findall(r"\d+", html.unescape("".join(map("".join, words)))))
                output.get("metadata", {}).get("image/png", {}).pop("alt", None)
        assert without[0] == without[1]
        assert one["cell_type"] == "markdown" or one["source"] == other["source"]


@pytest.mark.parametrize("language", translate.LANGUAGES)
def test_what_the_package_says_is_whole_and_shipped(language):
    there = translate.opened(translate.catalogue_of(language, translate.WORDS), language)
    catalogue = translate.updated_words(there, translate.package_words.all_messages())
    assert [entry.msgid for entry in there] == [entry.msgid for entry in catalogue], "run make translate"
    assert [entry.msgid for entry in catalogue if not translate.is_translated(entry)] == []
    shipped = json.loads(translate.shipped_file(language).read_text(encoding="utf-8"))
    assert shipped == translate.shipped(language), "run make translate"


def test_a_message_that_has_changed_keeps_its_translation_as_fuzzy():
    old = polib.POFile()
    for english, own in (("The sign is wrong here.", "符号错了。"), ("It is close.", "很近了。")):
        old.append(polib.POEntry(msgid=english, msgstr=own))
    new = translate.updated_words(
        old, {"The sign is wrong there.": ["a.py"], "It is close.": ["b.py"], "Right.": ["page: c.js"]}
    )
    assert [(entry.msgid, entry.msgstr, translate.is_translated(entry)) for entry in new] == [
        ("The sign is wrong there.", "符号错了。", False),
        ("It is close.", "很近了。", True),
        ("Right.", "", False),
    ]
    assert new[0].previous_msgid == "The sign is wrong here."


@pytest.mark.parametrize(
    ("message", "translation", "said"),
    [
        ("It returns {0}; {1} is asked for.", "要 {1}，得到 {0}。", None),
        ("{0} guess{1} made", "预测了 {0} 次", None),  # a plural's s may go
        ("It returns {0}.", "得到 {1}。", "other holes: with ['{1}']"),
        ("Use `x + 1`, 2 times.", "用 `x + 2` 两次。", "other code"),
        ("Use it 2 times.", "用 3 次。", "other numbers"),
    ],
)
def test_a_message_that_says_something_else(message, translation, said):
    problems = translate.problems_of_words(polib.POEntry(msgid=message, msgstr=translation), "zh_CN")
    assert (said is None and problems == []) or said in problems[0], problems


def test_all_that_is_said_is_found():
    """In Python: texts, templates, sums; not docstrings, errors or names. In scripts and HTML: between the tags."""
    found = translate.package_words
    program = '''
"""A docstring, which is not said."""
def f(x):
    raise ValueError("an error that stays English")
    print("printed by the program")
    return f"It returns {x:.2f}" + (", and more" if x else "") + "."
WORDS = {"a_key": "a sentence, {name} in it", "row wrap": 1}
HTML = f"<p title='x' aria-label=\\"what it is\\">so <em>many</em> {x}s</p>"
'''
    import ast

    texts = [message for text in found._texts(ast.parse(program)) for message in found.pieces(text)]
    assert texts == [
        "It returns {0}.",
        "and more",
        "a sentence, {0} in it",
        "so *many* {0}s",
        "what it is",
    ]
    script = """
// a comment that "is not said"
const NAMES = { key: "a name of it" }, style = "12px sans-serif";
say(`${x ? `it is ${y}` : "it is none"}, and ${z} more`);
element.textContent = "in two " +
  "lines";
"""
    texts = [message for text in found._texts_of_script(script) for message in found.pieces(text)]
    assert texts == ["a name of it", "{0}, and {1} more", "it is {0}", "it is none", "in two lines"]


@pytest.mark.parametrize("language", translate.LANGUAGES)
def test_a_built_notebook_passes_nbval(language, tmp_path, monkeypatch):
    monkeypatch.setenv("STNCOURSE_LANGUAGE", language)  # nbval tells a kernel nothing of its notebook
    path = translate.NOTEBOOKS[3]  # with figures, exercises and their verdicts
    catalogue = translate.opened(translate.catalogue_of(language, path.stem), language)
    own = tmp_path / path.name
    own.write_text(json.dumps(translate.translated(translate.read(path), catalogue, language)), encoding="utf-8")
    options = [
        "--nbval",
        f"--nbval-sanitize-with={PROJECT / 'tests' / 'nbval_sanitize.cfg'}",
        "--nbval-cell-timeout=300",
    ]
    alone = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    run_python("-m", "pytest", *alone, *options, own, cwd=tmp_path)


@pytest.mark.parametrize(("language", "name"), [("zh_CN", "README.zh-CN.md"), ("ko", "README.ko.md")])
def test_a_readme_says_the_same_as_the_english(language, name):
    texts = [(PROJECT / each).read_text(encoding="utf-8") for each in ("README.md", name)]
    texts = [text.partition("\n\n")[2].partition("\n\n")[2] for text in texts]  # without title and languages
    # The commands' and the code's comments are translated.
    texts = [re.sub(r"(?m)^    .*$|  # .*$", "", text) for text in texts]
    assert translate.problems(polib.POEntry(msgid=texts[0], msgstr=texts[1]), language) == []


def test_commands_in_a_readme_are_the_english_ones():
    def commands(name):
        lines = re.findall(r"(?m)^    (.*)$", (PROJECT / name).read_text(encoding="utf-8"))
        return [line.split()[:2] for line in lines if line.startswith(("make", "pip", "conda", "python", "jupyter"))]

    assert commands("README.md") == commands("README.zh-CN.md") == commands("README.ko.md")
