"""Guesses by mouse, touch and keys: in JupyterLab, where the kernel has the truth, and in a page of their own."""

import io
import json
import re

import lab
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import expect

from stncourse import affine_grid, affine_theta, guess, load_digits
from stncourse.browser.scripts import joined

THETA = affine_theta(rotation=25, scale=0.8, translation=(0.4, -0.1))
#: The truths are computed: the cells, which the page has too, must not hold them.
CELLS = [
    """import json
from stncourse import affine_theta, guess, load_digits
secret = "".join(reversed("ycaneht"))
truths = {"choice": lambda: "left", "number": lambda: 40.5 - 6.6, "curve": lambda: [x * x for x in range(9)]}
asked = [
    guess("Which way?", name="choice", choices=("left", "right"), truth=truths["choice"], because=secret),
    guess("How many?", name="number", truth=truths["number"], unit="%", because=secret),
    guess("Where?", name="digit", digit=load_digits("test", source="offline").images[4], because=secret,
          theta=lambda: affine_theta(rotation=25, scale=0.8, translation=(0.4, -0.1)), moves=("shift", "turn", "zoom")),
    guess("How?", name="curve", curve=(list(range(9)), truths["curve"]), low=0, high=80, labels=("side", "area"),
          because=secret),
]""",
    *(f"asked[{number}]" for number in range(4)),
    "print(json.dumps([bet.committed for bet in asked]))",
]
KINDS = ("choice", "number", "digit", "curve")
PAGE = """<!doctype html><meta name="viewport" content="width=device-width">
<style>:root {{ color-scheme: light dark }} body {{ margin: 8px; background: Canvas }}</style><div id="here"></div>
<script type="module">{script}
window.commits = [];
window.answer = {answer};
window.show = guessIn(document.querySelector("#here"), {page}, {{
  commit: (guess) => {{ commits.push(guess); show(guess, answer); }},
  again: () => show(null, null),
}});
show(null, null);
</script>"""


def digit():
    return load_digits("test", source="offline").images[4]


def a_bet(kind):
    """The same questions as in the notebook."""
    return {
        "choice": lambda: guess("Which way?", name="c", choices=("left", "right"), truth="left", because="It is so."),
        "number": lambda: guess("How many?", name="n", truth=33.9, unit="%", because="It is so."),
        "digit": lambda: guess("Where?", name="d", digit=digit(), theta=THETA, moves=("shift", "turn", "zoom")),
        "curve": lambda: guess(
            "How?", name="k", curve=(list(range(9)), [x * x for x in range(9)]), low=0, high=80, labels=("side", "area")
        ),
    }[kind]()


# In a page of its own, which holds the answer itself


@pytest.fixture
def alone(tmp_path, monkeypatch, new_context):
    """Function: kind, options of the browser's context -> a page with this guess."""
    monkeypatch.setenv("STNCOURSE_PROGRESS_DIR", str(tmp_path / "progress"))
    problems, contexts = [], []

    def open_it(kind, **options):
        bet = a_bet(kind)
        page = {"question": bet.question, "kind": bet.kind, "scene": bet.scene}
        answer = {"truth": bet._kind.told(bet.truth), "because": bet._because}
        text = PAGE.format(script=joined("exercises/guess.js"), page=json.dumps(page), answer=json.dumps(answer))
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        contexts.append(new_context(**({"viewport": lab.VIEWPORT} | options)))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


def committed(page):
    return page.evaluate("commits.at(-1)")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def commit(page):
    page.get_by_role("button", name="That is my guess").click()
    return committed(page)


def status(page):
    return page.get_by_role("status").inner_text()


def drag_by(page, target, way, places):
    """Down at the first of these places (parts of the target's size) and along the others, with mouse or finger."""
    box = target.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    (lab.by_touch if way == "touch" else lab.by_mouse)(page, points)


def test_a_choice_by_mouse_and_what_is_said_of_it(alone):
    page = alone("choice")
    assert status(page) == ""
    page.get_by_role("button", name="right").click()
    assert committed(page) == "right"
    assert status(page) == "You said “right”. It is “left”.\nIt is so."
    expect(page.get_by_role("button", name="left · so it is")).to_be_disabled()
    expect(page.get_by_role("button", name="right · your guess")).to_be_disabled()
    page.get_by_role("button", name="Guess again").click()
    page.get_by_role("button", name="left").click()
    assert status(page) == "You said “left”, and so it is.\nIt is so."


def test_a_choice_by_touch_and_by_keys(alone):
    page = alone("choice", has_touch=True)
    page.get_by_role("button", name="right").tap()
    assert committed(page) == "right"
    page = alone("choice")
    press(page, "Tab", "Tab", "Enter")
    assert committed(page) == "right"
    assert page.evaluate("document.activeElement.role ?? document.activeElement.getAttribute('role')") == "status"
    press(page, "Tab", "Space", "Enter")  # "guess again", and the focus is on the first answer
    assert committed(page) == "left"


def test_a_number_by_keys(alone):
    page = alone("number")
    expect(page.get_by_role("button", name="That is my guess")).to_be_disabled()  # nothing was guessed yet
    press(page, "Tab", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight")
    assert page.get_by_role("slider", name="your guess").get_attribute("aria-valuetext") == "52 %"
    press(page, "Tab", "Enter")
    assert committed(page) == 52
    assert status(page) == "You said 52 %. It is 33.9 %.\nIt is so."
    assert page.get_by_role("img").get_attribute("aria-label") == "You said 52 %. It is 33.9 %."


def test_late_news_of_an_old_answer_undoes_nothing(alone):
    page = alone("number")
    press(page, "Tab", "ArrowRight", "Tab", "Enter", "Tab", "Enter", "ArrowLeft", "ArrowLeft")  # and guess again
    page.evaluate("show(null, answer)")
    page.evaluate("show(null, null)")
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "48 %"
    assert commit(page) == 48


@pytest.mark.parametrize("way", ["mouse", "tap"])
def test_a_number_by_mouse_and_touch(alone, way):
    page = alone("number", has_touch=True)
    slider = page.get_by_role("slider")
    box = slider.bounding_box()
    press_at = page.mouse.click if way == "mouse" else page.touchscreen.tap
    press_at(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    assert commit(page) == pytest.approx(25, abs=2)


@pytest.mark.parametrize("way", ["mouse", "touch"])
def test_a_ghost_is_dragged(alone, way):
    page = alone("digit", has_touch=True, viewport={"width": 360, "height": 700})  # a page that a finger could scroll
    drag_by(page, page.locator(".output"), way, [(0.3, 0.3), (0.4, 0.35), (0.5, 0.25)])
    handle = page.get_by_role("button", name="ghost of the digit")
    assert ", moved right by 0.40, moved up by 0.10;" in handle.get_attribute("aria-label")
    assert commit(page) == {"x": 0.4, "y": -0.1, "turn": 0, "zoom": 1}
    said = "You guessed that it comes out moved right by 0.40, moved up by 0.10. It comes out 1.25 × as large, "
    assert status(page).startswith(said + "turned 25° counter-clockwise, moved left by")
    drag_by(page, page.locator(".output"), way, [(0.3, 0.3), (0.5, 0.5)])  # it stays where it was committed
    assert "moved right by 0.40" in page.locator("canvas.ghost").get_attribute("aria-label")


def test_a_ghost_by_keys(alone):
    page = alone("digit")
    press(page, "Tab", "ArrowLeft", "ArrowLeft", "ArrowDown", "Shift+ArrowUp")
    press(page, "Tab", "ArrowRight", "Tab", "ArrowRight", "Tab", "Enter")
    assert committed(page) == {"x": -0.1, "y": 0.04, "turn": 5, "zoom": pytest.approx(1.05)}
    assert page.evaluate("scrollY") == 0


def test_a_ghost_stays_on_the_output_and_comes_home(alone):
    page = alone("digit")
    drag_by(page, page.locator(".output"), "mouse", [(0.5, 0.5), (3, -3)])
    handle = page.get_by_role("button", name="ghost of the digit")
    assert "moved right by 1.00, moved up by 1.00" in handle.get_attribute("aria-label")
    press(page, "Home")
    assert "unchanged" in handle.get_attribute("aria-label")


def test_the_truth_is_empty_before_and_then_what_grid_sample_makes(alone):
    page = alone("digit")
    canvas = page.locator("canvas.truth")

    def pixels():
        grey = lab.picture_of(canvas).convert("RGB")
        assert grey.size == (28, 28)
        return torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8).view(28, 28, 3).int()

    assert pixels().max() == 0
    assert canvas.get_attribute("aria-label") == "The output, still empty."
    commit(page)
    grid = affine_grid(THETA, (28, 28))
    expected = F.grid_sample(digit()[None].float(), grid, align_corners=False)[0, 0]
    assert expected.max() > 200
    assert (pixels() - expected[..., None]).abs().max() <= 1


@pytest.mark.parametrize("way", ["mouse", "touch"])
def test_a_curve_is_drawn(alone, way):
    page = alone("curve", has_touch=True, viewport={"width": 360, "height": 400})
    button = page.get_by_role("button", name="That is my guess")
    expect(button).to_be_disabled()
    left, right, top, bottom = 62 / 360, 346 / 360, 12 / 260, 214 / 260
    drag_by(page, page.locator(".axes"), way, [(left + i * (right - left) / 8, top) for i in range(9)])
    drag_by(page, page.locator(".axes"), way, [(left, bottom), (right, top)])  # over what was drawn, quickly
    made = commit(page)
    assert made == pytest.approx([10 * i for i in range(9)], abs=5.5)
    assert status(page).startswith("Your curve is off by 1")
    assert "at side" in status(page)
    assert page.locator(".axes svg").get_attribute("aria-label") == status(page)
    drawn = page.locator("path.guess").get_attribute("d")
    drag_by(page, page.locator(".axes"), way, [(0.5, top), (0.5, bottom)])  # it stays as it was committed
    assert page.locator("path.guess").get_attribute("d") == drawn
    page.get_by_role("button", name="Guess again").click()
    assert page.locator("path.guess").get_attribute("d") == ""
    assert page.locator("path.truth").get_attribute("d") == ""


def test_a_curve_by_keys(alone):
    page = alone("curve")
    press(page, "Tab", "Home", "ArrowDown", "End", "ArrowUp", "ArrowUp", "Shift+ArrowUp")
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "point 9 of 9, side 8: area 44.8"
    press(page, "ArrowLeft")
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "point 8 of 9, side 7: not drawn yet"
    press(page, "Tab", "Enter")
    made = committed(page)
    assert made[0] == pytest.approx(36)
    assert made == pytest.approx([36 + 1.1 * i for i in range(9)])  # what was not drawn lies on a straight line
    assert page.evaluate("scrollY") == 0


def test_the_curve_that_is_true_is_drawn_where_it_is(alone):
    page = alone("curve")
    press(page, "Tab", "ArrowUp", "ArrowRight", "ArrowUp")
    commit(page)
    numbers = [float(number) for number in re.findall(r"[\d.]+", page.locator("path.truth").get_attribute("d"))]
    xs, ys = numbers[::2], numbers[1::2]
    assert xs == pytest.approx([62 + 284 * i / 8 for i in range(9)])
    assert ys == pytest.approx([12 + 202 * (1 - i * i / 80) for i in range(9)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_has_room_and_contrast(alone, kind, scheme):
    page = alone(kind, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    root = page.locator(".stn-guess")
    color, background = root.evaluate("e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]")
    brightness = [sum(map(int, re.findall(r"\d+", each)[:3])) / 3 for each in (color, background)]
    dark, light = brightness if scheme == "light" else reversed(brightness)
    assert dark < 60
    assert light > 200
    for made in (False, True):
        if made:
            page.evaluate("guess => show(guess, answer)", example(kind))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for each in page.locator("canvas:visible, svg:visible").all():
            assert each.get_attribute("role") == "img"
            assert each.get_attribute("aria-label").strip()
    screenshot = Image.open(io.BytesIO(root.screenshot()))
    assert screenshot.width <= 360


def example(kind):
    return {"choice": "right", "number": 50, "digit": {"x": 0.2, "y": 0, "turn": 0, "zoom": 1}, "curve": [8] * 9}[kind]


def test_what_somebody_wrote_is_text_not_markup(alone, monkeypatch):
    shout = "<img src=x onerror=alert(1)>"
    monkeypatch.setitem(globals(), "a_bet", lambda kind: guess(shout, name="x", truth=3, unit=shout, because=shout))
    page = alone("number")
    press(page, "Tab", "ArrowRight", "Tab", "Enter")
    assert page.locator("img").count() == 0
    assert page.get_by_text(shout).count() >= 2


THIN = [1000, 999.9, 0, 1000, 999.9002, 0]  #: has no inverse, as far as the page can tell


@pytest.mark.parametrize(("kind", "truth"), [("digit", THIN), ("number", None), ("curve", [[0]])])
def test_an_answer_that_cannot_be_shown_is_told(alone, kind, truth):
    page = alone(kind)
    page.evaluate("([guess, truth]) => show(guess, { truth })", [example(kind), truth])
    assert status(page).startswith("The answer cannot be shown here (")
    page.get_by_role("button", name="Guess again").click()
    assert status(page) == ""


@pytest.mark.parametrize("label", ["m" * 400, "certainty of the model in the right digit " * 8, "𝔴ide 👩‍👧 " * 60])
def test_a_long_label_stays_on_the_card(alone, monkeypatch, label):
    ask = lambda kind: guess(label, name="x", curve=((0, 1), (0, 1)), labels=(label, label))  # noqa: E731
    monkeypatch.setitem(globals(), "a_bet", ask)
    page = alone("curve", viewport={"width": 360, "height": 740})
    page.evaluate("show([0, 1], answer)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    drawing = page.locator(".axes svg").bounding_box()
    for each in page.locator("text.label").all():
        assert each.text_content().endswith("…")
        box = each.bounding_box()
        assert box["x"] >= drawing["x"]
        assert box["y"] >= drawing["y"]
        assert box["x"] + box["width"] <= drawing["x"] + drawing["width"]
        assert box["y"] + box["height"] <= drawing["y"] + drawing["height"]
        assert max(box["width"], box["height"]) > 100  # as much of it as there is room for


def test_a_short_label_is_shown_whole(alone):
    assert alone("curve").locator("text.label").all_text_contents() == ["side", "area"]


# In JupyterLab


@pytest.fixture(scope="module")
def kept_in(tmp_path_factory):
    return tmp_path_factory.mktemp("progress")


@pytest.fixture(scope="module")
def received():
    """All that the kernel has sent to the page, as text."""
    return []


@pytest.fixture(scope="module")
def notebook(open_notebook, kept_in, received):
    folder = f"import os\nos.environ['STNCOURSE_PROGRESS_DIR'] = {str(kept_in)!r}\n"
    notebook = open_notebook("guesses.ipynb", [folder + CELLS[0], *CELLS[1:]])

    def note(socket):
        as_text = lambda data: data if isinstance(data, str) else data.decode("latin-1")  # noqa: E731
        socket.on("framereceived", lambda data: received.append(as_text(data)))

    notebook.page.on("websocket", note)
    notebook.page.reload()
    notebook.wait_idle()
    notebook.run_all()
    return notebook


def asked(notebook, kind):
    """The guess of this kind, brought into view."""
    question = {"choice": "Which way?", "number": "How many?", "digit": "Where?", "curve": "How?"}[kind]
    root = notebook.page.locator(f'.stn-guess[aria-label="Guess: {question}"]')
    lab.until(lambda: shown(notebook, root), f"the guess “{question}”", 20)
    return root


def shown(notebook, root):
    if root.count():
        root.scroll_into_view_if_needed()
        return True
    notebook.page.locator(".jp-WindowedPanel-outer").first.evaluate(
        "e => { e.scrollTop = e.scrollTop + 300 < e.scrollHeight - e.clientHeight ? e.scrollTop + 300 : 0; }"
    )
    return False


def test_by_keys_in_jupyterlab_the_truth_comes_only_when_all_is_committed(notebook, received):
    """No key is taken by the notebook, and what the kernel sends holds no truth before its guess is made."""
    page = notebook.page
    keys = {
        "choice": ("button.choice >> nth=1", ("Enter",)),
        "number": ("input", ("ArrowRight", "ArrowUp", "Tab", "Enter")),
        "digit": (".handle", ("ArrowRight", "ArrowDown", "ArrowRight", "Tab", "Tab", "Tab", "Enter")),
        "curve": (".axes", ("ArrowUp", "ArrowRight", "ArrowDown", "Tab", "Enter")),
    }
    truths = {"choice": "thenacy", "number": "33.9", "digit": "0.40000000", "curve": "[0.0, 1.0, 4.0, 9.0"}
    assert not any(truth in "".join(received) for truth in truths.values())
    cells = page.locator(".jp-Cell").count()
    for kind, (start, pressed) in keys.items():
        root = asked(notebook, kind)
        assert truths[kind] not in "".join(received)
        root.locator(start).focus()
        press(page, *pressed)
        expect(root.get_by_role("status")).to_contain_text("thenacy", timeout=20_000)
    after = "".join(received)
    assert all(truth in after for truth in truths.values())
    assert page.locator(".jp-Cell").count() == cells


def test_python_knows_what_was_committed_and_keeps_it(notebook, kept_in):
    page = notebook.page
    last = page.locator(".jp-CodeCell").last
    notebook.show(last)
    last.locator(".jp-InputPrompt").click()
    page.keyboard.press("Control+Enter")
    output = last.locator(".jp-OutputArea-output")
    lab.until(lambda: "null" not in output.inner_text() and '"right"' in output.inner_text(), "what Python knows", 20)
    kept = json.loads((kept_in / "progress.json").read_text(encoding="utf-8"))["guesses"]
    assert json.loads(output.inner_text()) == [kept[kind]["guess"] for kind in KINDS]
    assert kept["choice"]["guess"] == "right"
    assert kept["number"]["guess"] == 52
    assert kept["digit"]["guess"] == {"x": 0.1, "y": 0.05, "turn": 0, "zoom": 1}
    assert kept["curve"]["guess"][:2] == [44, 40]


def test_by_mouse_in_jupyterlab_again(notebook, kept_in):
    before = (kept_in / "progress.json").read_text(encoding="utf-8")
    root = asked(notebook, "digit")
    root.get_by_role("button", name="Guess again").click()
    expect(root.get_by_role("status")).to_have_text("")
    box = root.locator(".output").bounding_box()
    lab.drag(notebook.page, box["x"] + 80, box["y"] + 80, by=(-0.2 * box["width"], 0))
    root.get_by_role("button", name="That is my guess").click()
    expect(root.get_by_role("status")).to_contain_text("You guessed that it comes out moved left by 0.40. It comes out")
    assert (kept_in / "progress.json").read_text(encoding="utf-8") == before  # the first guess is the one that is kept


def test_guesses_are_there_again_after_a_new_start(notebook):
    page = notebook.page
    notebook.menu("Kernel", "Restart Kernel…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_timeout(1000)
    notebook.wait_idle()
    notebook.run_all()
    for kind, said in {
        "choice": "You said “right”. It is “left”.",
        "number": "You said 52 %. It is 33.9 %.",
        "digit": "You guessed that it comes out moved right by 0.10, moved down by 0.05.",
        "curve": "Your curve is off by",
    }.items():
        root = asked(notebook, kind)
        expect(root.get_by_role("status")).to_contain_text(said, timeout=20_000)
        expect(root.get_by_role("button", name="Guess again")).to_be_visible()
