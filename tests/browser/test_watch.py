"""``fit(…, watch=digits)`` in JupyterLab: a panel that follows the training; and its script on any kind of picture."""

import base64
import json
import math
import re

import lab
import pytest
import torch
from lab import errors_in, is_outside, picture_of, until
from PIL import Image

from stncourse import FAST_RECIPE, SpatialTransformer, load_digits
from stncourse.browser.scripts import joined
from stncourse.training import watch

SIDE, GAP = 176, 8  # of the panel's canvases
SETTINGS = """
import json
import torch
from stncourse import FAST_RECIPE, STNClassifier, fit, load_digits, normalize, theta_playground
torch.set_num_threads(1)
digits = load_digits("train", source="offline")
few = load_digits("test", source="offline").subset(slice(10))
playground = theta_playground()
playground
"""
TRAIN = """
torch.manual_seed(0)
model = STNClassifier()
recipe = FAST_RECIPE.but(epochs=10)
history = fit(model, digits, few, recipe, "cpu", watch=few, verbose=False)
"""
TELL = """
with torch.no_grad():
    seen, answers = model.stn.transform(normalize(few.images)), model(normalize(few.images)).argmax(1)
outputs = (255 * (seen.images * 0.3081 + 0.1307)).round().clamp(0, 255)
print(json.dumps([outputs.flatten().int().tolist(), seen.theta.tolist(), answers.tolist(), few.labels.tolist()]))
"""
COUNT = """() => {
    window.drawn = [];
    const panel = document.querySelector(".stn-watch");
    new MutationObserver(() => drawn.push([performance.now(), Number(panel.dataset.step)]))
        .observe(panel, {attributes: true, attributeFilter: ["data-step"]});
}"""
#: The panel on a page without a kernel: ``{bytes: base64}`` becomes what a kernel sends as bytes.
ALONE = """([scene, now]) => {
    const revive = (value) => {
        if (Array.isArray(value) || value === null || typeof value !== "object") return value;
        if (value.bytes !== undefined)
            return new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
        return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, revive(each)]));
    };
    const state = { scene: revive(scene), now: revive(now) }, heard = {};
    window.send = (news) => { state.now = { ...state.now, ...revive(news) }; heard["change:now"]?.(); };
    const on = (name, f) => { heard[name] = f; }, off = (name) => delete heard[name];
    const model = { get: (name) => state[name], on, off };
    const el = document.createElement("div");
    document.body.replaceChildren(el);
    window.stop = script.default.render({ model, el });
}"""


def output_of(canvas, size):
    """The output's pixels, read off the picture that the browser shows."""
    picture = picture_of(canvas).convert("RGB").crop((0, SIDE + GAP, SIDE, 2 * SIDE + GAP))
    return picture.resize(size, Image.Resampling.NEAREST)


def is_orange(color):
    """The frame's colour, or what is left of it at the rim of a line."""
    return all(abs(a - b) < 40 for a, b in zip(color, (255, 159, 28), strict=True))


def grey(picture):
    return torch.frombuffer(bytearray(picture.convert("L").tobytes()), dtype=torch.uint8).int()


# In JupyterLab


@pytest.fixture(scope="module")
def trained(open_notebook):
    """The notebook after a training that was watched, with what was seen while it went on."""
    notebook = open_notebook("watched.ipynb", [SETTINGS, TRAIN, TELL])
    notebook.start_all()
    page, panel = notebook.page, notebook.page.locator(".stn-watch")
    until(lambda: panel.count() and panel.locator(".where").inner_text(), "the panel, with a first picture")
    page.evaluate(COUNT)
    notebook.during = [panel.locator(".where").inner_text()]
    playground = notebook.playground()
    playground.slider("rotation (°)")
    moved = []
    while len(moved) < 12:
        playground.press("ArrowRight")
        degrees = playground.slider_value("rotation (°)")
        moved.append((degrees, playground.image.get_attribute("data-theta"), notebook.busy()))
        page.wait_for_timeout(100)
    notebook.moved = moved
    notebook.during.append(panel.locator(".where").inner_text())
    notebook.saved = until(notebook.finished, "the training ends", 180, pause=0.5)
    notebook.panel = panel
    return notebook


def test_it_follows_the_training(trained):
    assert errors_in(trained.saved) == []
    drawn = trained.page.evaluate("drawn")
    steps = [step for _, step in drawn]
    assert steps == sorted(steps)
    assert len(set(steps)) >= len(steps) - 1 > 20  # the last step may be seen twice: under way, and as the end
    rate = 1000 * (len(drawn) - 1) / (drawn[-1][0] - drawn[0][0])
    print(f"{len(drawn)} pictures drawn, {rate:.1f} a second")
    assert rate > 1
    before, after = (int(re.search(r"step (\d+) of", text)[1]) for text in trained.during)
    assert 0 < before < after < steps[-1]


def test_a_slider_moves_meanwhile(trained):
    degrees, thetas, busy = zip(*trained.moved, strict=True)
    assert all(busy)
    assert len(set(degrees)) == len(degrees)
    assert len(set(thetas)) > 10  # the playground's picture went along
    playground = trained.playground()
    cosine = math.cos(math.radians(degrees[-1]))
    until(lambda: abs(playground.theta()[0] - cosine) < 1e-4, "the kernel has heard of it: its boxes say so")


def test_at_the_end_it_shows_the_model_as_it_is_left(trained):
    outputs, theta, answers, labels = json.loads(trained.saved.cells[2].outputs[0].text)
    outputs, theta = torch.tensor(outputs).reshape(10, 28 * 28), torch.tensor(theta)
    figures = trained.panel.locator(".images figure")
    assert figures.count() == 10
    corners = 0
    for number in range(10):
        canvas = figures.nth(number).locator("canvas")
        difference = (grey(output_of(canvas, (28, 28))) - outputs[number]).abs().reshape(28, 28)
        assert difference[1:-1, 1:-1].max() <= 1  # the outermost pixels have an edge drawn on them
        assert difference.median() == 0
        mark = "✓" if answers[number] == labels[number] else "✗"
        assert figures.nth(number).inner_text().startswith(f"{answers[number]} {mark} ")
        corner = frame_corner(theta[number])
        if all(2 <= place < SIDE - 2 for place in corner):  # a frame may be larger than the panel
            corners += 1
            assert is_orange(picture_of(canvas).convert("RGB").getpixel(corner))
    assert corners >= 3
    rights = sum(a == b for a, b in zip(answers, labels, strict=True))
    assert rights >= 8
    assert f"right: {rights} of 10 watched, {10.0 * rights:.1f} % of the test set" in trained.panel.inner_text()
    assert "step 790 of 790 – finished" in trained.panel.inner_text()


def frame_corner(theta):
    """Where the top left corner of θ's frame is drawn, in pixels of the canvas."""
    room = SIDE / 1.5
    x, y = (theta @ torch.tensor([-1.0, -1.0, 1.0]) + 1) / 2 * room + (SIDE - room) / 2
    return int(x), int(y)


def test_the_saved_notebook_has_no_words_for_the_panel(trained):
    (output,) = trained.saved.cells[1].outputs
    assert list(output.data) == ["application/vnd.jupyter.widget-view+json"]


def test_it_follows_the_dark_theme(trained):
    page, panel = trained.page, trained.panel
    trained.show(panel)

    def contrast():
        """Of the words with the page."""
        text, ground = panel.evaluate("""e => [getComputedStyle(e).color,
            getComputedStyle(e.closest(".jp-Notebook")).backgroundColor]""")
        light, dark = sorted(map(luminance, (text, ground)), reverse=True)
        return (light + 0.05) / (dark + 0.05), luminance(ground)

    ratio, ground = contrast()
    assert ratio > 4.5
    assert ground > 0.9
    choose_theme(page, "JupyterLab Dark")
    until(lambda: contrast()[1] < 0.1, "the page is dark")
    assert contrast()[0] > 4.5
    choose_theme(page, "JupyterLab Light")


def choose_theme(page, name):
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).hover()
    page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).click()


def luminance(color):
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_no_request_left_the_machine(trained, requests_made):
    assert any("/api/kernels" in url for url in requests_made)
    assert [url for url in requests_made if is_outside(url)] == []


# Any kind of picture, on a page without a kernel


def packed(value):
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


@pytest.fixture
def show(tmp_path, open_page):
    """Function: scene, news -> the page with the panel."""

    def show_it(scene, news, width=1000):
        (path := tmp_path / "panel.html").write_text("<!doctype html><html lang='en'><title>watched</title><body>")
        page = open_page(path)
        page.set_viewport_size({"width": width, "height": 800})
        lab.load_script(page, joined("training/watch.js"))
        page.evaluate(ALONE, [{k: packed(v) for k, v in scene.items()}, {k: packed(v) for k, v in news.items()}])
        return page

    return show_it


class OneRun:
    """As much of a training run as the panel asks about."""

    def __init__(self, model, watched, classes=()):
        self.model, self.watched = model, watched
        self.train = type("Set", (), {"classes": classes, "scale": ((0.0,), (1.0,))})
        self.recipe, self.batches, self.steps, self.steps_done = FAST_RECIPE.but(epochs=2), range(20), 40, 1
        self.now = {"epoch": 0}
        self.history = type("History", (), {"epochs": []})


class Answering(torch.nn.Module):
    """A transformer, and answers that are given."""

    def __init__(self, stn, answers):
        super().__init__()
        self.stn, self.answers = stn, answers

    def forward(self, images):
        sure = torch.full((len(images), 10), 0.1 / 9)
        return sure.scatter(1, torch.tensor(self.answers)[:, None], 0.9).log()


def a_moment(images, labels, answers, classes=(), **options):
    """Scene and news of some images in [0, 1], with a transformer that looks elsewhere for each."""
    torch.manual_seed(0)
    stn = SpatialTransformer.for_images(images.shape[-2:], images.shape[1], **options)
    torch.nn.init.normal_(stn.localization.fc_loc[-1].weight, std=0.3)
    run = OneRun(Answering(stn, answers), watch.Watched(images, labels), classes)
    picture = watch.picture_of(run.model, images, run.train.scale)
    news = watch.news_of(run, picture, [(1, 2.4, 0), (5, 1.2, 1)]) | {"ended": ""}
    return watch.scene_of(run), news, picture


def test_colours_come_out_as_they_are_and_classes_have_their_names(show):
    images = torch.nn.functional.interpolate(torch.rand(2, 3, 5, 8), size=(20, 32), mode="bilinear")
    scene, news, picture = a_moment(images, [0, 1], [1, 1], ("cat", "dog"), output_size=16)
    page = show(scene, news)
    for number in range(2):
        shown = bytearray(output_of(page.locator("canvas").nth(number), (16, 16)).tobytes())
        shown = torch.frombuffer(shown, dtype=torch.uint8).reshape(16, 16, 3).int()
        assert torch.equal(shown[1:-1, 1:-1], picture.outputs[number][1:-1, 1:-1].int())
    figures = page.locator(".images figure")
    assert figures.nth(0).inner_text() == "dog ✗ 90 %"
    assert figures.nth(1).inner_text() == "dog ✓ 90 %"
    label = page.locator("canvas").nth(0).get_attribute("aria-label")
    words = "cat: the input with the frame, and what comes out. The classifier says dog, which is wrong, 90 % sure."
    assert label == words


@pytest.mark.parametrize("family", ["projective", "tps"])
def test_the_outline_of_any_transform_is_drawn(show, family):
    images = load_digits("test", source="offline").images[:3] / 255.0
    scene, news, picture = a_moment(images, None, [1, 2, 3], family=family)
    page = show(scene, news)
    room, at = SIDE / 1.5, 0
    for number, outline in enumerate(picture.outlines):
        drawn = picture_of(page.locator("canvas").nth(number)).convert("RGB")
        for x, y in ((outline + 1) / 2 * room + (SIDE - room) / 2).tolist():
            if 3 < x < SIDE - 3 and 3 < y < SIDE - 3:
                at += 1
                around = [(int(x) + right, int(y) + down) for right in (-1, 0, 1) for down in (-1, 0, 1)]
                assert any(is_orange(drawn.getpixel(place)) for place in around)
    assert at >= 6
    assert page.locator(".images").inner_text().split() == ["1", "90", "%", "2", "90", "%", "3", "90", "%"]
    assert page.locator("svg").count() == 1  # nobody knows what would be right, and nothing was tested


def test_with_a_loss_of_ones_own_there_are_pictures_and_no_answers(show):
    images = load_digits("test", source="offline").images[:2] / 255.0
    scene, news, _ = a_moment(images, None, [1, 2])
    page = show(scene, news | {"answers": None, "sure": None})
    assert page.locator(".images").inner_text().strip() == ""
    for number in range(2):
        canvas = page.locator("canvas").nth(number)
        words = f"image {number + 1}: the input with the frame, and what comes out."
        assert canvas.get_attribute("aria-label") == words
        assert any(is_orange(color) for _, color in picture_of(canvas).convert("RGB").getcolors(100_000))
    assert page.locator("svg").count() == 1  # the loss


def test_a_frame_that_is_no_number_breaks_nothing(show):
    images = load_digits("test", source="offline").images[:1] / 255.0
    scene, news, picture = a_moment(images, [7], [7])
    nowhere = torch.full_like(picture.outlines, torch.nan)
    page = show(scene, news | {"outlines": nowhere.numpy().tobytes()})
    colors = picture_of(page.locator("canvas")).convert("RGB").getcolors(100_000)
    assert not any(is_orange(color) for _, color in colors)


def test_every_picture_has_words_and_what_is_spoken_is_rare(show):
    images = load_digits("test", source="offline").images[:10] / 255.0
    scene, news, _ = a_moment(images, list(range(10)), list(range(10)))
    page = show(scene, news)
    pictures = page.locator("canvas, svg")
    assert pictures.count() == 12
    for number in range(12):
        assert pictures.nth(number).get_attribute("role") == "img"
        assert len(pictures.nth(number).get_attribute("aria-label")) > 30
    status = page.get_by_role("status")
    assert status.inner_text() == "The training has begun."
    page.evaluate("""() => { window.spoken = [];
        new MutationObserver(() => spoken.push(document.querySelector("[role=status]").textContent))
            .observe(document.querySelector("[role=status]"), {childList: true}); }""")
    for step in range(2, 30):
        page.evaluate("news => send(news)", {"step": step, "epoch": 1 if step < 20 else 2, "tests": [[20, step / 100]]})
        until(lambda step=step: page.locator(".stn-watch").get_attribute("data-step") == str(step), "it is drawn")
    page.evaluate("send({ step: 40, ended: 'stopped' })")
    until(lambda: "stopped" in page.locator(".where").inner_text(), "the end")
    result = "loss of the training batches: 1.20; right: 10 of 10 watched"
    assert page.evaluate("spoken") == [
        f"Epoch 2 of 2 has begun: {result}, 20.0 % of the test set.",
        f"The training was stopped after step 40: {result}, 29.0 % of the test set.",
    ]


@pytest.mark.parametrize("width", [360, 1366])
def test_it_fits_its_place(show, width):
    images = load_digits("test", source="offline").images[:10] / 255.0
    scene, news, _ = a_moment(images, list(range(10)), list(range(10)))
    page = show(scene, news | {"tests": [[20, 0.5]]}, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [figure.bounding_box() for figure in page.locator(".images figure").all()]
    assert all(box["x"] + box["width"] <= width for box in boxes)
    assert all(box["width"] >= 70 for box in boxes)
    assert len({box["y"] for box in boxes}) == (1 if width > 1000 else 3)


def test_a_huge_loss_of_a_single_step_is_short_whole_and_seen(show):
    images = load_digits("test", source="offline").images[:1] / 255.0
    scene, news, _ = a_moment(images, [7], [7])
    curve = torch.tensor([(1, 1.4016001855044401e31, 1)], dtype=torch.float32).numpy().tobytes()
    page = show(scene, news | {"curve": curve}, 360)
    assert "loss of the training batches: 1.40e+31" in page.locator(".charts").inner_text().splitlines()
    box, text = page.locator("svg").first.bounding_box(), page.locator("svg text").first
    assert text.text_content() == "1.4e+31"
    assert text.bounding_box()["x"] >= box["x"]
    for number in range(2):
        assert page.locator("svg").nth(number).locator("circle").count() == 1
    page.evaluate("news => send(news)", {"curve": packed(a_moment(images, [7], [7])[1]["curve"])})
    until(lambda: page.locator("circle").count() == 0, "a line of two points needs no dot")


def test_numbers_that_are_none_are_no_answer(show):
    images = load_digits("test", source="offline").images[:2] / 255.0
    scene, news, _ = a_moment(images, [7, 0], [7, 0])
    page = show(scene, news | {"answers": [None, 0], "sure": [0.0, 0.9]})
    figures = page.locator(".images figure")
    assert figures.nth(0).inner_text() == "no answer"
    assert figures.nth(1).inner_text() == "0 ✓ 90 %"
    assert figures.nth(0).locator("canvas").get_attribute("aria-label").endswith("The classifier gives no answer.")
    assert "right: 1 of 2 watched" in page.locator(".charts").inner_text()


def test_why_there_is_no_picture_is_on_the_page(show):
    images = load_digits("test", source="offline").images[:1] / 255.0
    scene, news, _ = a_moment(images, [7], [7])
    without = {k: v for k, v in news.items() if k in ("curve", "tests", "step", "epoch", "epochs", "ended")}
    page = show(scene, without | {"problem": "RuntimeError: out of paint"})
    problem = page.locator(".problem")
    words = "No picture of step 1 could be made (RuntimeError: out of paint); "
    assert problem.inner_text() == words + "there is none yet."
    assert "step 1 of 40" in page.locator(".where").inner_text()
    pictured = {k: packed(v) for k, v in news.items()}
    page.evaluate("news => send(news)", pictured | {"problem": ""})
    until(lambda: not problem.is_visible(), "the picture of the next step")
    assert page.locator(".images figure").inner_text() == "7 ✓ 90 %"
    page.evaluate("news => send(news)", {"problem": "RuntimeError: out of paint", "ended": "finished"})
    until(lambda: problem.inner_text() == words + "what is shown is older.", "the problem is told")
    assert page.locator(".where").inner_text().endswith("finished")
    assert "right: not known" in page.locator(".charts").inner_text()


def test_taken_off_the_page_it_hears_no_more(show):
    images = load_digits("test", source="offline").images[:1] / 255.0
    scene, news, _ = a_moment(images, [7], [7])
    page = show(scene, news)
    page.evaluate("stop(); send({ step: 9 })")
    page.wait_for_timeout(100)
    assert page.locator(".stn-watch").get_attribute("data-step") == "1"
