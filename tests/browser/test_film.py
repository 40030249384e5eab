"""The film's player in a browser: by keys alone, and without a network."""

import lab
import pytest
from PIL import Image

from stncourse.figures.film import Film

NOTE_WORDS = """() => {
    window.words = [];
    const output = document.querySelector("output");
    new MutationObserver(() => words.push(output.textContent)).observe(output, {childList: true});
}"""
COLORS = ["red", "lime", "blue", "white"]


@pytest.fixture(scope="module")
def page(tmp_path_factory, open_page):
    path = tmp_path_factory.mktemp("film") / "film.html"
    frames = [Image.new("RGB", (200, 80), color) for color in COLORS]
    Film(frames, [f"step {10 * i}" for i in range(4)], "four colours", frames_per_second=20).save(path)
    return open_page(path)


def shown(page):
    """The words, and the picture's colour as the browser has decoded it."""
    picture = lab.picture_of(page.locator("img")).convert("RGB")
    return page.locator("output").inner_text(), picture.getpixel((5, 5))


def test_it_starts_at_the_beginning_and_asks_nobody(page):
    assert shown(page) == ("step 0", (255, 0, 0))
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []


def test_keys_are_enough(page):
    page.keyboard.press("Tab")  # Play
    page.keyboard.press("Tab")  # −1
    page.keyboard.press("Tab")  # +1
    page.keyboard.press("Space")
    assert shown(page) == ("step 10", (0, 255, 0))
    page.keyboard.press("Tab")  # the slider
    page.keyboard.press("ArrowRight")
    assert shown(page) == ("step 20", (0, 0, 255))
    assert page.locator("input").get_attribute("aria-valuetext") == "step 20"
    page.keyboard.press("Home")
    assert shown(page) == ("step 0", (255, 0, 0))
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    page.evaluate(NOTE_WORDS)
    page.keyboard.press("Space")  # Play, over and over, until it is paused
    words = ["step 10", "step 20", "step 30", "step 0", "step 10", "step 20", "step 30", "step 0"]
    lab.until(lambda: len(page.evaluate("words")) >= len(words), "the film has begun a third time")
    page.keyboard.press("Space")
    lab.until(lambda: page.locator("button").first.inner_text() == "Play", "it has stopped")
    assert page.evaluate("words")[: len(words)] == words
    seen = len(page.evaluate("words"))
    page.wait_for_timeout(300)
    assert len(page.evaluate("words")) == seen
