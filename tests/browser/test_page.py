"""The playground's script in a browser: the same pixels and words as Python's, and the page without Python."""

import re
from pathlib import Path

import lab
import pytest
import torch
import torch.nn.functional as F

import stncourse
from stncourse import load_digits
from stncourse.__main__ import main
from stncourse.browser.scripts import joined
from stncourse.playground.parameters import IDENTITY, LIMITS, compose
from stncourse.playground.picture import output_from_picture
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS, Settings, render, scene

FOLDER = Path(stncourse.__file__).parent
SCRIPTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
IMAGES = load_digits("test", source="offline").images
WARP = """([pixels, scene, theta]) => {
    const matrix = scene.inverse ? script.invert(theta) : theta;
    const output = script.warp(Uint8Array.from(pixels), scene.height, scene.width, matrix, scene);
    return [Array.from(output), script.words(matrix)];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory, open_page):
    path = tmp_path_factory.mktemp("page") / "theta.html"
    assert main(["playground", str(path)]) == 0
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


def test_the_script_composes_and_inverts_as_python_does(page):
    generator = torch.Generator().manual_seed(1)
    for values in (torch.rand(50, 6, generator=generator) * 4 - 2).tolist():
        parameters = dict(zip(LIMITS, [90 * values[0], *values[1:]], strict=True))
        theta = page.evaluate("parameters => script.compose(parameters)", parameters)
        assert theta == pytest.approx(compose(parameters), abs=1e-5)
        assert page.evaluate("theta => script.invert(script.invert(theta))", theta) == pytest.approx(theta, abs=1e-6)
    for singular in ((0,) * 6, (1, 2, 0, 2, 4, 1), (0.3, 0.1, 0, 0.9, 0.3, 0)):
        assert page.evaluate("theta => script.invert(theta)", list(singular)) is None


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


def shown(page):
    """The output's pixels as the page shows them, once it has drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    size = int(page.get_by_label("output px").input_value())
    return output_from_picture(lab.picture_of(page.locator("canvas")), (size, size)).int()


def assert_shows(page, image, **settings):
    expected = render(image[None], Settings(**settings)).pixels[0, 0].int()
    assert (shown(page) - expected).abs().max() <= 1


def test_the_page_by_keyboard(page):
    assert_shows(page, IMAGES[0])
    page.get_by_label("rotation (°)").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    turned = compose(dict(zip(LIMITS, (30, 1, 1, 0, 0, 0), strict=True)))
    assert_shows(page, IMAGES[0], theta=turned)
    assert "turned 30° counter-clockwise" in page.locator("[role=status]").inner_text()
    page.get_by_label("digit no.").fill("7")
    page.get_by_label("outside").select_option("border")
    page.get_by_label("output px").fill("40")
    page.get_by_label("align_corners of the grid").check()
    assert_shows(page, IMAGES[7], theta=turned, padding="border", output_size=40, grid_align_corners=True)
    page.get_by_label("θ maps").select_option("input → output")
    page.get_by_label("preset").select_option("mirror")
    page.get_by_label("align_corners of the grid").uncheck()
    assert_shows(page, IMAGES[7], theta=(-1, 0, 0, 0, 1, 0), padding="border", output_size=40)
    page.get_by_label("digit no.").fill("5000")  # there are 200
    assert_shows(page, IMAGES[199], theta=(-1, 0, 0, 0, 1, 0), padding="border", output_size=40)


def test_the_page_asks_for_nothing_from_anywhere(page):
    assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []
