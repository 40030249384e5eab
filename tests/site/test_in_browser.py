"""Every page of the site in a real browser: nothing is missing, cut off, or out of reach; the living pictures live."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import ENGLISH, LANGUAGES, PAGES, SITE

NO_REQUESTS = {"preload": False}  # axe would read the style sheets again, which a browser refuses from file://
PHONE, LAPTOP = {"width": 390, "height": 800}, {"width": 1366, "height": 768}

#: The pictures that are not as wide, for their height, as they were made; what is folded has no size.
SQUEEZED = """[...document.images].filter(({ width, height, naturalWidth, naturalHeight }) =>
    height > 20 && Math.abs((width / height) * (naturalHeight / naturalWidth) - 1) > 0.03).map(({ alt }) => alt)"""


def faults(page):
    """What axe finds serious or critical: sentences."""
    return [
        f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for violation in Axe().run(page, options=NO_REQUESTS).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def settled(page):
    """Wait until the page has set its formulas and brought its pictures to life."""
    page.wait_for_load_state("load")
    page.wait_for_function("!window.MathJax || MathJax.startup?.promise !== undefined")
    page.evaluate("window.MathJax ? MathJax.startup.promise : null")


def test_the_longest_line_of_code_fits_on_a_laptop(open_page):
    for name in ("notebooks/13_many_things.html", "cookbook.html", "teach.html"):
        page = open_page(name)
        cut = "[...document.querySelectorAll('.highlight pre')].filter(p => p.scrollWidth > p.clientWidth)"
        assert page.evaluate(f"{cut}.map(p => p.textContent)") == []


def test_axe_sees_faults(open_page):
    page = open_page("teach.html")
    page.evaluate("document.querySelector('article p').style.color = '#ddd'")
    assert [fault.split(":")[0] for fault in faults(page)] == ["color-contrast"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("name", ENGLISH)
def test_a_page(open_page, name, viewport, scheme):
    look_at(open_page, name, viewport, scheme)


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ENGLISH])
def test_a_page_in_another_language(open_page, name):
    """Its pictures and its layout are those of the English page: two looks at each are enough, one at a time."""
    number = PAGES.index(name)
    page = look_at(open_page, name, (LAPTOP, PHONE)[number % 2], ("light", "dark")[number // 2 % 2])
    assert page.locator(".stn-languages").input_value() == LANGUAGES[name.split("/")[0]]


def look_at(open_page, name, viewport, scheme):
    page = open_page(name, viewport=viewport, color_scheme=scheme)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert page.locator(".stn-live:not([data-alive])").count() == 0
    assert page.locator("html").get_attribute("data-theme") == scheme
    formulas = page.locator(".math")
    assert formulas.count() == page.locator(".math > mjx-container").count()
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth)")
    assert page.evaluate(SQUEEZED) == []
    assert faults(page) == []
    return page


@pytest.mark.parametrize("name", [name for name in ENGLISH if "stn-live" in (SITE / name).read_text(encoding="utf-8")])
def test_living_pictures_live(open_page, name):
    page = open_page(name)
    settled(page)
    for root in page.locator(".stn-live").all():
        kind = root.get_attribute("data-kind")
        if kind == "playground":
            assert root.locator("canvas[data-theta]").count() >= 1
            assert root.locator(".sentence").inner_text().strip()
        elif kind == "sheet":
            assert root.locator(".point").count() == 16
        else:
            assert root.locator(".question").inner_text().endswith("?")


@pytest.mark.parametrize("folder", ["zh", "ko"])
@pytest.mark.parametrize("name", ["index", "notebooks/03_grid_generator", "notebooks/07_theta_playground"])
def test_a_page_in_another_language_says_nothing_in_english(open_page, folder, name):
    """Its pictures and their controls, what stands for a figure, and the words of the theme."""
    page = open_page(f"{folder}/{name}.html")
    settled(page)
    said = [root.inner_text() for root in page.locator(".stn-live").all()]
    said += page.evaluate("[...document.querySelectorAll('article img')].map((image) => image.alt)")
    said += page.evaluate("[...document.querySelectorAll('.stn-live [aria-label]')].map((each) => each.ariaLabel)")
    assert len(said) > 5
    assert re.findall(r"(?:\b[a-z]{2,}\b[ ,]+){2}[a-z]{2,}\b", " | ".join(said)) == []
    expect(page.locator(".search-button__default-text").first).to_have_text({"zh": "搜索", "ko": "검색"}[folder])


def test_a_digit_is_drawn_on_the_front_page_and_read(open_page):
    page = open_page("index.html")
    board = page.locator(".board").first.bounding_box()
    before = page.locator("canvas[data-theta]").first.get_attribute("data-theta")
    x, y = board["x"] + board["width"] * 0.42, board["y"] + board["height"] * 0.4
    page.mouse.move(x, y)
    page.mouse.down()
    for dx, dy in ((40, 0), (60, 0), (45, 40), (30, 80)):
        page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up()
    best = page.locator(".answers .best")
    expect(best).to_contain_text("7")
    expect(page.locator("canvas[data-theta]").first).not_to_have_attribute("data-theta", before)


def test_a_guess_unfolds_its_answer(open_page):
    page = open_page("notebooks/00_start_here.html")
    answer = page.locator(".tag_answer details").first
    assert answer.get_attribute("open") is None
    guess = page.locator(".stn-live[data-kind=guess]").first
    guess.locator("input[type=range]").fill("40")
    guess.locator(".commit").click()
    expect(guess.locator("[role=status]")).to_contain_text("stands below")
    expect(answer).to_have_attribute("open", "")


def test_a_guess_that_the_page_can_answer(open_page):
    page = open_page("notebooks/03_grid_generator.html")
    guess = page.locator(".stn-live[data-kind=guess]").first
    guess.locator(".handle").press("ArrowRight")
    guess.locator(".commit").click()
    expect(guess.locator("[role=status]")).to_contain_text("It comes out moved left by 0.40.")
    guess.locator(".again").click()
    expect(guess.locator("[role=status]")).to_be_empty()


def test_a_control_point_is_dragged(open_page):
    page = open_page("notebooks/09_beyond_affine.html")
    point = page.locator(".stn-live .point").nth(5)
    point.press("ArrowLeft")
    expect(page.locator(".stn-live .stn-points [role=status]")).to_contain_text("1 of 16 control points")
    page.locator(".stn-live .reset").click()
    expect(page.locator(".stn-live .stn-points [role=status]")).to_contain_text("unchanged")


def test_input_and_output_of_a_sheet_stand_side_by_side(open_page):
    page = open_page("notebooks/09_beyond_affine.html")
    first, second = page.locator(".stn-points canvas").all()[:2]
    assert abs(first.bounding_box()["y"] - second.bounding_box()["y"]) < 2
    assert page.locator(".stn-points .reset").bounding_box()["width"] < 120
    page.locator(".stn-points .point").nth(6).focus()
    expect(page.locator(".stn-points .chosen")).to_contain_text("control point 7")
    page.locator(".stn-points .family").select_option("projective")
    expect(page.locator(".stn-points .chosen")).to_contain_text("Drag a point")


def test_the_theme_lays_out_nothing_of_a_living_picture(open_page):
    """Bootstrap has classes such as "row", and what has them is laid out by it."""
    rules = "".join(path.read_text(encoding="utf-8") for path in SITE.rglob("*.css") if path.name != "site.css")
    layout = re.findall(r"([^{}]+)\{[^{}]*(?:display|flex|width|float|position):", rules)
    theirs = {name for rule in layout for name in re.findall(r"(?:^|,)\s*\.([\w-]+)(?=\s|,|>|$)", rule)}
    for name in ("index", "notebooks/00_start_here", "notebooks/04_sampler", "notebooks/09_beyond_affine"):
        page = open_page(f"{name}.html")
        page.wait_for_selector(".stn-live[data-alive]")
        ours = page.evaluate("[...document.querySelectorAll('.stn-live [class]')].flatMap((e) => [...e.classList])")
        assert {"stn"} <= set(ours)
        assert set(ours) & theirs == set(), name


def test_theta_is_typed(open_page):
    page = open_page("notebooks/03_grid_generator.html")
    root = page.locator(".stn-live:has(.entry)").first
    root.locator(".entry").nth(2).fill("0.4")
    expect(root.locator(".sentence")).to_have_text("The digit comes out moved left by 0.40.")


def test_a_film_plays(open_page):
    page = open_page("notebooks/06_visualization.html")
    page.evaluate("document.querySelectorAll('.tag_answer details').forEach((answer) => (answer.open = true))")
    film = page.locator("[role=group]:has(> img)").first
    film.get_by_role("button", name="one picture on").click()
    expect(film.locator("input[type=range]")).to_have_value("1")


def found(page):
    """The links of a search's result; they come in one by one, and a sentence says when that is all."""
    expect(page.locator(".search-summary")).to_contain_text("Search finished", timeout=60_000)
    return page.locator("ul.search li a").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_a_search_has_found(open_page, scheme):
    page = open_page(f"{SITE.as_uri()}/search.html?q=frame", color_scheme=scheme)
    assert len(found(page)) > 10
    assert page.locator(".highlighted").count() >= 1
    assert faults(page) == []


@pytest.mark.parametrize(("folder", "word"), [("zh", "采样"), ("zh", "grid_sample"), ("ko", "격자")])
def test_the_search_in_another_language(open_page, folder, word):
    page = open_page(f"{SITE.as_uri()}/{folder}/search.html?q={word}")
    expect(page.locator("ul.search li").first).to_be_visible(timeout=60_000)
    page.wait_for_function("document.querySelector('#search-progress') === null || Search._pulse_status < 0")
    assert page.locator("ul.search li").count() >= 3


def test_the_language_is_changed_and_the_place_is_kept(open_page):
    page = open_page("notebooks/04_sampler.html")
    third = "document.querySelectorAll('article section')[3]"
    page.evaluate(f"{third}.scrollIntoView()")
    page.locator(".stn-languages").select_option("ko")
    page.wait_for_url("**/ko/notebooks/04_sampler.html#section-3")
    page.wait_for_function(f"Math.abs({third}.getBoundingClientRect().top) < 120")
    page.locator(".stn-languages").select_option("en")
    page.wait_for_url(f"{SITE.as_uri()}/notebooks/04_sampler.html#section-3")
    page = open_page("zh/index.html")
    page.locator(".stn-languages").select_option("ko")
    page.wait_for_url("**/ko/index.html")


def test_a_page_that_was_found_shows_where(open_page):
    page = open_page(f"{SITE.as_uri()}/search.html?q=horizon")
    found(page)
    page.locator("ul.search li a").first.click()
    page.wait_for_load_state("load")
    expect(page.locator("article .highlighted").first).to_contain_text(re.compile("horizon", re.IGNORECASE))
    page.reload()
    expect(page.locator(".highlighted")).to_have_count(0)


@pytest.mark.parametrize("from_file", [True, False], ids=["file", "web"])
def test_the_search_needs_no_server(new_context, web_server, from_file):
    start = SITE.as_uri() if from_file else web_server
    context = new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{start}/search.html?q=bilinear")
    assert any("Sampler" in link or "sampler" in link for link in found(page))
    assert all(url.startswith((start, "data:")) for url in asked)
    context.close()


def test_from_a_web_server_in_a_folder(new_context, web_server):
    context = new_context()
    page = context.new_page()
    failed = []
    page.on("response", lambda response: response.status >= 400 and failed.append(response.url))
    page.goto(f"{web_server}/notebooks/04_sampler.html")
    expect(page.locator(".stn-live canvas[data-theta]").first).to_be_visible()
    page.goto(f"{web_server}/index.html")
    expect(page.locator(".stn-live canvas[data-theta]").first).to_be_visible()
    assert failed == []
    context.close()


def test_the_theme_is_changed_by_hand(open_page):
    page = open_page("index.html", color_scheme="light")
    page.locator(".theme-switch-button").first.click()
    page.get_by_role("button", name="Dark").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator(".stn-live .stn-dark")).to_have_count(1)
