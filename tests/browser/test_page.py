"""The playground's script in a browser: the same pixels and words as Python's, and the page without Python."""

import re
from pathlib import Path

import lab
import pytest
import torch
import torch.nn.functional as F

import stncourse
from stncourse import load_digits, load_pretrained, normalize
from stncourse.__main__ import main
from stncourse.browser.scripts import joined
from stncourse.playground.opponent import default_digits
from stncourse.playground.parameters import IDENTITY, LIMITS, compose, decompose
from stncourse.playground.picture import pixels_of
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS, Settings, render, scene

FOLDER = Path(stncourse.__file__).parent
SCRIPTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
IMAGES = load_digits("test", source="offline").images
MODEL = load_pretrained()
IN_PAGE = default_digits(MODEL)  # the first 100 of them
WARP = """([pixels, scene, theta]) => {
    const matrix = scene.inverse ? script.invert(theta) : theta;
    const output = script.warp(Uint8Array.from(pixels), matrix, scene);
    return [Array.from(output), script.words(matrix)];
}"""


@pytest.fixture(scope="module")
def page(path, open_page):
    page = open_page(path)
    lab.load_script(page, joined("playground/theta.js"))
    return page


def at_random(generator):
    """An image of a random size, and random settings. Far-away θ among them."""

    def one_of(options):
        return list(options)[int(torch.randint(len(options), (), generator=generator))]

    size = one_of([(28, 28), (20, 27), (13, 40), (1, 5), (7, 1)])
    image = F.interpolate(one_of(IMAGES[:50])[None].float(), size=size, mode="bilinear", align_corners=False)
    settings = Settings(
        theta=(torch.tensor(IDENTITY) + one_of([0.3, 1, 5]) * torch.randn(6, generator=generator)).tolist(),
        padding=one_of(PADDINGS),
        mode=one_of(MODES),
        grid_align_corners=one_of([False, True]),
        sampler_align_corners=one_of([False, True]),
        output_size=one_of([None, 1, 9, 40]),
        direction=one_of(DIRECTIONS),
    )
    return image.round().byte(), settings


def test_the_script_warps_and_says_what_python_does(page):
    generator = torch.Generator().manual_seed(0)
    different = total = 0
    halfway = Settings(mode="nearest", output_size=14)  # every point between two pixels
    for image, settings in [(IMAGES[:1], halfway), *(at_random(generator) for _ in range(300))]:
        frame = render(image, settings)
        output, words = page.evaluate(WARP, [image.flatten().tolist(), scene(image, settings), list(settings.theta)])
        apart = (torch.tensor(output) - frame.pixels.flatten().int()).abs()
        # Rounding decides between two neighbours in `nearest`, and between two halves of a far reflection.
        different += int((apart > 1).sum())
        total += apart.numel()
        if max(map(abs, settings.theta)) < 2.5:
            assert words == frame.words
    assert total > 100_000
    assert different <= total / 10_000


def test_the_script_composes_inverts_and_decomposes_as_python_does(page):
    generator = torch.Generator().manual_seed(1)
    for values in (torch.rand(50, 6, generator=generator) * 4 - 2).tolist():
        parameters = dict(zip(LIMITS, [90 * values[0], *values[1:]], strict=True))
        theta = page.evaluate("parameters => script.compose(parameters)", parameters)
        assert theta == pytest.approx(compose(parameters), abs=1e-5)
        assert page.evaluate("theta => script.invert(script.invert(theta))", theta) == pytest.approx(theta, abs=1e-6)
        assert page.evaluate("theta => script.decompose(theta)", theta) == pytest.approx(decompose(theta), abs=1e-5)
    for singular in ((0,) * 6, (1, 2, 0, 2, 4, 1), (0.3, 0.1, 0, 0.9, 0.3, 0)):
        assert page.evaluate("theta => script.invert(theta)", list(singular)) is None
    assert page.evaluate("theta => script.decompose(theta)", [0, 1, 0, 0, 1, 0]) is None


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_browser_loads_the_scripts_as_they_lie_there(new_context, name):
    """They are modules that import from each other; what a widget or a page gets is joined."""
    page, address = new_context().new_page(), "http://scripts.localhost/"

    def answer(route):
        file = route.request.url.removeprefix(address)
        body = FOLDER.joinpath(file).read_text(encoding="utf-8") if file else ""
        route.fulfill(body=body, content_type="text/javascript" if file else "text/html")

    page.route(f"{address}**", answer)
    page.goto(address)
    names = set(page.evaluate("async name => Object.keys(await import(name))", f"./{name}"))
    declared = set(re.findall(r"^export (?:async )?(?:function|const) (\w+)", FOLDER.joinpath(name).read_text(), re.M))
    assert names >= declared > set() or names == {"default"}
    page.context.close()


def assert_shows(page, number, **settings):
    lab.drawn(page)
    size = int(page.get_by_label("output px").input_value())
    shown = pixels_of(lab.picture_of(page.locator("canvas[data-theta]")), (size, size)).int()
    expected = render(IN_PAGE.images[number : number + 1], Settings(**settings)).pixels[0, 0].int()
    assert (shown - expected).abs().max() <= 1


def test_the_page_by_keyboard(page):
    assert_shows(page, 0, output_size=28)
    page.get_by_label("rotation (°)").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    turned = compose(dict(zip(LIMITS, (30, 1, 1, 0, 0, 0), strict=True)))
    assert_shows(page, 0, theta=turned, output_size=28)
    assert "turned 30° counter-clockwise" in page.locator(".sentence").inner_text()
    page.get_by_label("digit no.").fill("7")
    page.get_by_label("outside").select_option("border")
    page.get_by_label("output px").fill("40")
    page.get_by_label("align_corners of the grid").check()
    assert_shows(page, 7, theta=turned, padding="border", output_size=40, grid_align_corners=True)
    assert "wants an output of 28×28" in page.locator(".verdict").inner_text()
    page.get_by_label("θ maps").select_option("input → output")
    page.get_by_label("preset").select_option("mirror")
    page.get_by_label("align_corners of the grid").uncheck()
    assert_shows(page, 7, theta=(-1, 0, 0, 0, 1, 0), padding="border", output_size=40)
    page.get_by_label("digit no.").fill("5000")  # there are 100
    assert_shows(page, 99, theta=(-1, 0, 0, 0, 1, 0), padding="border", output_size=40)
    said = page.locator("[role=status]")
    lab.until(lambda: "mirrored left-right" in said.inner_text(), "a screen reader is told")


def test_the_page_asks_for_nothing_from_anywhere(page):
    assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []


def test_the_page_is_one_small_file(tmp_path):
    assert main(["playground", str(tmp_path / "theta.html")]) == 0
    assert (tmp_path / "theta.html").stat().st_size <= 600_000


@pytest.fixture
def at_the_start(page):
    """The page, as it is when it is opened."""
    page.reload()
    lab.load_script(page, joined("playground/theta.js"))
    return page


def test_the_network_looks_and_its_answers_are_the_models(at_the_start):
    page = at_the_start
    page.get_by_role("button", name="let the STN look").click()
    with torch.no_grad():
        inputs = normalize(IN_PAGE.images[:1])
        theta, answers = MODEL.stn.transform(inputs).theta.flatten().tolist(), MODEL(inputs)[0].exp().tolist()
    lab.until(lambda: lab.theta_of(page) == pytest.approx(theta, abs=1e-4), "the frame is there")
    assert_shows(page, 0, theta=lab.theta_of(page), output_size=28)
    bars = page.locator(".answers li").evaluate_all("all => all.map(e => Number(e.dataset.p))")
    assert bars == pytest.approx(answers, abs=1e-3)
    page.get_by_label("follow").check()
    page.get_by_label("digit no.").fill("3")
    with torch.no_grad():
        theta = MODEL.stn.transform(normalize(IN_PAGE.images[3:4])).theta.flatten().tolist()
    lab.until(lambda: lab.theta_of(page) == pytest.approx(theta, abs=1e-4), "it follows")
    parameters = decompose(theta)
    assert float(page.get_by_label("rotation (°)").input_value()) == pytest.approx(parameters["rotation"], abs=0.51)


def test_no_motion_for_who_prefers_none(at_the_start):
    page = at_the_start
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("""() => {
        window.seen = new Set();
        new MutationObserver(() => seen.add(document.querySelector("canvas[data-theta]").dataset.theta))
            .observe(document.body, { subtree: true, attributeFilter: ["data-theta"] });
    }""")
    page.get_by_role("button", name="let the STN look").click()
    page.wait_for_timeout(700)
    assert page.evaluate("seen.size") == 1
    page.emulate_media(reduced_motion="no-preference")


def test_a_slider_moved_while_the_frame_glides_has_it(at_the_start):
    page = at_the_start
    page.get_by_label("rotation (°)").focus()
    page.evaluate("[...document.querySelectorAll('button')].find(e => e.textContent == 'let the STN look').click()")
    page.wait_for_timeout(100)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(800)
    assert lab.theta_of(page) == pytest.approx(compose(dict(zip(LIMITS, (1, 1, 1, 0, 0, 0), strict=True))), abs=1e-5)


def network_theta(number):
    with torch.no_grad():
        return MODEL.stn.transform(normalize(IN_PAGE.images[number : number + 1])).theta.flatten().tolist()


def test_the_frame_glides_for_the_digit_that_is_there(at_the_start):
    """Another digit while it glides: nothing of the last one lands on it."""
    page = at_the_start
    page.evaluate("""() => {
        [...document.querySelectorAll("button")].find(e => e.textContent == "let the STN look").click();
        const digit = [...document.querySelectorAll("label")].find(e => e.textContent == "digit no.").lastChild;
        setTimeout(() => {
            digit.value = 20;
            digit.dispatchEvent(new Event("input", { bubbles: true }));
        }, 100);
    }""")
    page.wait_for_timeout(900)
    assert lab.theta_of(page) == list(IDENTITY)
    assert_shows(page, 20, output_size=28)


def test_who_moves_a_slider_is_not_followed_any_more(at_the_start):
    page = at_the_start
    page.get_by_label("follow").check()
    lab.until(lambda: lab.theta_of(page) == pytest.approx(network_theta(0), abs=1e-4), "it looks")
    page.get_by_label("preset").select_option("mirror")
    assert lab.theta_of(page) == [-1, 0, 0, 0, 1, 0]
    assert not page.get_by_label("follow").is_checked()
    page.get_by_label("follow").check()
    lab.until(lambda: lab.theta_of(page) == pytest.approx(network_theta(0), abs=1e-4), "it looks")
    page.get_by_label("shift x (tx)").fill("0.5")
    assert lab.theta_of(page)[2] == 0.5
    assert not page.get_by_label("follow").is_checked()


def test_to_look_ends_a_pull(at_the_start):
    page = at_the_start
    page.get_by_role("button", name="pull").click()
    page.get_by_role("button", name="let go").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="let the STN look").click()
    page.wait_for_timeout(1200)
    assert lab.theta_of(page) == pytest.approx(network_theta(0), abs=1e-4)
    assert page.get_by_role("button", name="let go").is_visible()


def test_at_an_empty_pad_there_is_nothing_to_look_at(at_the_start):
    page = at_the_start
    page.get_by_role("button", name="draw a digit").click()
    page.get_by_role("button", name="let the STN look").click()
    page.wait_for_timeout(700)
    assert lab.theta_of(page) == list(IDENTITY)
    assert "nothing to read" in page.locator(".verdict").inner_text()


def test_a_screen_reader_hears_the_answer_once(at_the_start):
    page = at_the_start
    page.wait_for_timeout(700)
    page.evaluate("""() => {
        window.told = [];
        const live = () => [...document.querySelectorAll("[role=status], output, [aria-live]")];
        const status = () => live().map(e => e.textContent).join("|");
        let before = status();
        setInterval(() => { const now = status(); if (now != before) told.push(now); before = now; }, 20);
    }""")
    page.locator(".handle").first.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(900)
    told = page.evaluate("told")
    assert len(told) == 1
    assert "moved left by 0.40" in told[0]
    assert "% sure" in told[0]
