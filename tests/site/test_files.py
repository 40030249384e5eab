"""The built site's files: every link and anchor, what a page says of itself, and that it has all of the course."""

import doctest
import functools
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import search_by_pairs
from living import WIDGET

import stncourse
from conftest import ENGLISH, LANGUAGES, PAGES, PROJECT, SITE

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


class Page(HTMLParser):
    """What a test asks of a page."""

    def __init__(self, text):
        super().__init__()
        self.text, self.anchors, self.links, self.loaded, self.images, self.meta, self.html = (
            text,
            set(),
            [],
            [],
            [],
            {},
            {},
        )
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "html":
            self.html = found
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "source", "iframe") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") != "canonical":
            self.loaded.append(found["href"])
        if tag == "img":
            self.images.append(found)
        if tag == "meta":
            self.meta[found.get("property") or found.get("name")] = found.get("content")


@functools.cache
def read(name):
    return Page((SITE / name).read_text(encoding="utf-8"))


def target(name, link):
    """(page or file, anchor) of a link within the site; None for one that leaves it."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    place = ((SITE / name).parent / unquote(parts.path)).resolve() if parts.path else SITE / name
    return place, unquote(parts.fragment)


def test_the_whole_course_is_there():
    for folder in LANGUAGES:
        assert {f"{folder}/notebooks/{path.stem}.html".lstrip("/") for path in NOTEBOOKS} <= set(PAGES)
    assert {"index.html", "teach.html", "cookbook.html", "results.html", "changelog.html"} <= set(PAGES)
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < 60e6


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    broken = []
    for link in read(name).links + read(name).loaded:
        found = target(name, link)
        if found is None:
            continue
        place, anchor = found
        is_there = place.is_file() and place.is_relative_to(SITE)
        if is_there and anchor and place.suffix == ".html":
            is_there = anchor in read(str(place.relative_to(SITE))).anchors
        if not is_there:
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_from_elsewhere(name):
    assert [place for place in read(name).loaded if "//" in place and not place.startswith("data:")] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_is(name):
    page = read(name)
    language = LANGUAGES.get(name.split("/")[0], "en")
    assert page.html["lang"] == language
    assert re.search(r"<title>[^<]{8,}</title>", page.text)
    assert (40 if language == "en" else 20) < len(page.meta["description"]) <= 202
    for told in ("og:title", "og:description", "og:image", "og:image:alt", "twitter:card"):
        assert page.meta[told].strip(), told
    picture = target(name, page.meta["og:image"])
    assert picture is None or picture[0].is_file()


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_its_words(name):
    assert [image for image in read(name).images if not (image.get("alt") or "").strip()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("folder", ["zh", "ko"])
def test_a_notebook_is_the_same_in_every_language_but_for_its_text(path, folder):
    own, english = (read(f"{place}notebooks/{path.stem}.html").text for place in (f"{folder}/", ""))
    for pattern in (r'data-kind="\w+"', r'class="[^"]*\btag_answer\b', r"<h2>", r"<mjx|class=\"math"):
        assert len(re.findall(pattern, own)) == len(re.findall(pattern, english)), pattern
    alternatives = [re.findall(r'rel="alternate" hreflang="([\w-]+)"', text) for text in (own, english)]
    assert alternatives == [list(LANGUAGES.values())] * 2
    assert f'"../../files/{path.name}"' in own
    assert "尚未翻译" not in own
    assert "번역되지" not in own


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_its_pictures_alive_and_its_answers_folded(path):
    page = read(f"notebooks/{path.stem}.html").text
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    kinds = [found[1] for cell in code if not cell.outputs and (found := WIDGET.search(cell.source))]
    alive = {"theta_playground": "playground", "control_points_playground": "sheet", "guess": "guess"}
    assert re.findall(r'class="stn-live" data-kind="(\w+)"', page) == [alive[kind] for kind in kinds]
    folded = sum(bool(cell.metadata.get("jupyter", {}).get("outputs_hidden")) for cell in code)
    assert len(re.findall(r'class="[^"]*\btag_answer\b', page)) == folded
    checks = sum(cell.source.startswith("check(") for cell in code)
    assert page.count("it cannot check what you write") == (checks > 0)
    assert "not done yet" not in page
    assert "REPOSITORY =" not in page
    assert "attachment:" not in page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_can_be_downloaded_as_it_is(path):
    assert (SITE / "files" / path.name).read_bytes() == path.read_bytes()
    compile((SITE / "files" / f"{path.stem}.py").read_text(encoding="utf-8"), path.stem, "exec")
    assert f"../files/{path.name}" in read(f"notebooks/{path.stem}.html").links


def test_a_table_that_a_cell_made_is_a_table():
    for path in NOTEBOOKS:
        assert not re.search(
            r"\| (---|—) \|", re.sub(r"(?s)<pre.*?</pre>", "", read(f"notebooks/{path.stem}.html").text)
        )
    for name in ("10_paper_results", "13_many_things"):
        tables = re.findall(r"(?s)<table.*?</table>", read(f"notebooks/{name}.html").text)
        assert any("ST-" in table and "paper" in table for table in tables), name


def test_a_playground_starts_as_its_cell_says():
    page = read("notebooks/03_grid_generator.html").text
    asking, told = (
        None,
        re.findall(r'data-kind="playground">.*?<script type="application/json">(.*?)</script>', page, re.S),
    )
    for text in told:
        data = json.loads(text)
        if "pixel" in data["start"]["tools"]:
            asking = data
    assert asking["first"] == [1.0, 0.0, 0.4000000059604645, 0.0, 1.0, 0.0]
    assert asking["start"]["tool"] == "pixel"


def test_every_public_name_is_in_the_reference_and_notebooks_link_to_it():
    anchors = {name: page for page in ENGLISH if page.startswith("reference/") for name in read(page).anchors}
    for name in stncourse.__all__:
        assert f"stncourse.{name}" in anchors, name
    for path in NOTEBOOKS:
        links = read(f"notebooks/{path.stem}.html").links
        assert sum("../reference/" in link for link in links) >= 5, path.stem


def test_a_comment_with_a_colon_is_no_type():
    assert "the epoch’s own – of the order" in read("reference/data.html").text


def test_a_docstring_has_its_convention():
    assert "Convention" in read("reference/transformer.html").text


def test_chinese_and_korean_are_found_by_pairs_of_signs():
    assert doctest.testmod(search_by_pairs).attempted == 1
    assert doctest.testmod(search_by_pairs).failed == 0
