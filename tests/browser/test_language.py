"""What a page says, in other languages: as Python does it, word for word; and nothing English is left on a page."""

import re

import lab
import pytest
from playwright.sync_api import expect

from stncourse import _language as spoken
from stncourse.__main__ import main
from stncourse.browser.scripts import joined

OTHERS = [name for name in spoken.LANGUAGES if name != "en"]
in_each = pytest.mark.parametrize("language", OTHERS)
#: What stays: names of the field and of arguments, a size, six numbers.
NAMES = {
    *("zeros", "border", "reflection", "background", "bilinear", "nearest", "bicubic", "align_corners", "STN", "px"),
    *("tx", "ty", "loss", "log", "max", "θ", "CNN", "MNIST", "Tab", "Shift", "Alt", "Home", "Backspace", "Escape"),
    *("raw", "Enter", "Space", "align", "corners", "Ctrl", "cpu"),
}
#: Texts, labels and descriptions that are to be seen or read out in an element.
SAID = """(root) => {
    const found = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.currentNode; node; node = walker.nextNode())
        if (node.nodeType === Node.TEXT_NODE) {
            if (!["STYLE", "SCRIPT"].includes(node.parentNode.nodeName)) found.push(node.data);
        } else
            for (const name of ["aria-label", "title", "alt"].filter((name) => node.hasAttribute(name)))
                found.push(node.getAttribute(name));
    return found.filter((text) => text.trim());
}"""


def english_in(texts):
    """Those in which an English word is left."""
    # (ipywidgets says null where it has no title)
    return [text for text in texts if text != "null" and {*re.findall(r"[A-Za-z]{2,}", text)} - NAMES]


@pytest.fixture(scope="module")
def page(open_page, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "empty.html"
    path.write_text("<!doctype html><main></main>", encoding="utf-8")
    page = open_page(path)
    lab.load_script(page, joined("browser/language.js"))
    return page


@in_each
def test_the_script_says_what_python_says(page, language):
    catalogue = spoken._catalogue(language)
    messages, words = catalogue["page"] | catalogue["python"], spoken.words(language)
    fillings = ["0.40", "left", "the frame", "one, two", "nobody knows", "turned 30° clockwise, moved left by 0.20"]
    texts = [
        *messages,
        "",
        " ",
        "left, " * 999,
        "left, " * 150 + "left",
        "no message",
        "  left \n",
        "left\nno message\nright",
        "left. right",
        "left and right",
    ]
    for number, message in enumerate(messages):
        texts.append(re.sub(r"\{(\d+)\}", lambda hole, n=number: fillings[(n + int(hole[1])) % 6], message))
        texts.append(f"{texts[-1]} {texts[number]}")
    got = page.evaluate("([words, texts]) => texts.map(script.sayerOf(words))", [messages, texts])
    assert len(texts) > 2000
    for text, one, other in zip(texts, got, map(words.said, texts), strict=True):
        assert one == other, text


def test_whatever_is_put_into_an_element_is_said(page):
    words = {"left": "左", "step {0}": "第 {0} 步", "a picture": "一幅图", "not left": "not left and left", ",": ",,"}
    page.evaluate("(words) => script.speak(document.querySelector('main'), words)", words)
    page.evaluate("""() => {
        const main = document.querySelector("main");
        main.innerHTML = '<p title="left" class="left">left</p><img alt="a picture"><option value="left">left</option>';
        main.append("step 1", document.createElement("i"), ", ", document.createElement("b"), "not left");
    }""")
    assert page.evaluate("document.querySelector('main').innerHTML") == (
        '<p title="左" class="left">左</p><img alt="一幅图"><option value="left">左</option>第 1 步'
        "<i></i>, <b></b>not left and left"
    )
    page.evaluate("document.querySelector('p').firstChild.data = 'step 2'")
    page.evaluate("document.querySelector('p').title = 'step 3'")
    page.evaluate("document.querySelector('img').alt = 'nobody knows'")
    expect(page.locator("p")).to_have_text("第 2 步")
    expect(page.locator("p")).to_have_attribute("title", "第 3 步")
    assert page.locator("img").get_attribute("alt") == "nobody knows"


@in_each
def test_the_page_of_the_playground(language, tmp_path, monkeypatch, open_page):
    monkeypatch.setenv("STNCOURSE_LANGUAGE", language)
    path = tmp_path / "theta.html"
    assert main(["playground", str(path)]) == 0
    page = open_page(path)
    assert page.locator("html").get_attribute("lang") == language.replace("_", "-")
    lab.theta_of(page)
    tools, left = page.locator(".tools button, [role=radio], .tools input"), set()
    for number in range(tools.count()):
        tools.nth(number).click()
        lab.drawn(page)
        left |= {*english_in(page.evaluate(SAID, page.locator("body").element_handle()))}
    assert left == set(), " | ".join(left)
    sizes = [page.locator("select").nth(number) for number in range(page.locator("select").count())]
    presets = next(each for each in sizes if "mirror" in each.inner_html())
    presets.select_option("mirror")  # a value is what it was
    lab.until(lambda: lab.theta_of(page)[0] == pytest.approx(-1), "it is mirrored")
    left = english_in(page.evaluate(SAID, page.locator("body").element_handle()))
    assert left == [], " | ".join(left)


@in_each
def test_a_notebook_says_which_language_it_is_in(language, open_notebook):
    cells = [
        "from stncourse import *",
        "theta_playground(model='pretrained', controls=('sliders', 'theta', 'presets', 'digit', 'model', 'pull'))",
        f"guess('Who wins over the ten digits?', name='{language}', choices=('the STN', 'you'), truth='you')",
        "control_points_playground()",
        "check('which_way', 'down')",
    ]
    notebook = open_notebook(f"spoken-{language}.ipynb", cells, language=language)
    assert lab.errors_in(notebook.run_all()) == []
    playground = notebook.playground(0)
    playground.root.locator("canvas[data-theta]").first.wait_for()
    said = page_said(playground.root)
    assert english_in(said) == []
    assert spoken.words(language).said("let go") in said
    asked = notebook.page.locator(".stn-guess")
    notebook.show(asked)
    assert english_in(page_said(asked)) == []
    asked.get_by_role("button", name=spoken.words(language).said("the STN"), exact=True).click()
    ending = spoken.words(language).said("You said “the STN”. It is “you”.")
    expect(asked.locator("[role=status]")).to_have_text(ending)
    assert english_in(page_said(asked)) == []
    verdict = notebook.page.locator(".jp-OutputArea-output", has_text="which_way")
    notebook.show(verdict)
    mistake = spoken.words(language).said("translation sign")
    expect(verdict).to_contain_text(mistake)


def page_said(root):
    return root.evaluate(SAID)
