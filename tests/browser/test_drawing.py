"""Drawing a digit: the ink, the pad in a page by mouse, touch and keys, and in JupyterLab, where Python gets it."""

import math
import statistics

import lab
import numpy as np
import pytest
import torch
from strokes import DIGITS, MIDDLE, SHOWN, close, digit_at, draw_by_mouse, draw_by_touch, screen_places

from stncourse import load_digits, load_pretrained, normalize
from stncourse.__main__ import main
from stncourse.browser.scripts import joined
from stncourse.playground.opponent import default_digits

SIZE = 42
INK = """([drawings, size]) => drawings.map((strokes) => Array.from(script.inkOf(strokes, {height: size, width: size})))"""
SPOIL = """([strokes, numbers]) => {
    const random = () => numbers.shift();
    return script.spoiled(strokes, { height: 42, width: 42 }, random);
}"""


@pytest.fixture(scope="module")
def model():
    model = load_pretrained().eval()
    model.stn.sampler.padding_value = -0.1307 / 0.3081
    return model


@pytest.fixture(scope="module")
def ink(new_context):
    """Function: lists of strokes -> images, as the browser draws them."""
    page = new_context().new_page()
    lab.load_script(page, joined("playground/ink.js"))

    def draw(drawings, size=SIZE):
        return torch.tensor(page.evaluate(INK, [drawings, size]), dtype=torch.uint8).reshape(-1, 1, size, size)

    draw.page = page
    return draw


def stroke(places, width=3.3, erases=False):
    return {"places": places, "width": width, "erases": erases}


def levels_of_a_line(start, end, width, size=SIZE):
    """A straight line's grey levels by its definition: from white to black over one pixel across its border."""
    start, end = torch.tensor([start, end], dtype=torch.float64)
    ys, xs = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    points = torch.stack([xs, ys], -1)
    along = (((points - start) @ (end - start)) / (end - start).square().sum().clamp(min=1e-12)).clamp(0, 1)
    apart = (points - start - along[..., None] * (end - start)).norm(dim=-1)
    return (width / 2 - apart + 0.5).clamp(0, 1)


def to_bytes(levels):
    return (255 * levels + 0.5).floor().byte()


def test_a_line_is_white_with_a_soft_edge(ink):
    lines = [((5, 20), (30, 20), 3.3), ((3.2, 4.7), (35.1, 38.3), 2.4), ((0, 41), (41, 41), 3)]
    lines.append(((20.5, 20.5), (20.5, 20.5), 4.5))  # a dot
    images = ink([[stroke([a, b] if a != b else [a], width)] for a, b, width in lines])
    for image, line in zip(images, lines, strict=True):
        assert (image[0].int() - to_bytes(levels_of_a_line(*line)).int()).abs().max() <= 1
    across = images[0, 0, 16:25, 15].tolist()
    assert across == across[::-1]
    assert across[:5] == [0, 0, 38, 255, 255]  # 2 pixels off the middle, 0.15 of a pixel


def test_strokes_lie_on_each_other_and_an_eraser_takes_away(ink):
    first, second = ((5, 10), (35, 30), 3.3), ((30, 5), (10, 36), 2.4)
    pens = [stroke([a, b], width) for a, b, width in (first, second)]
    rubber = ((20, 2), (20, 40), 4.5)
    together = torch.maximum(levels_of_a_line(*first), levels_of_a_line(*second))
    rubbed = together * (1 - levels_of_a_line(*rubber))
    drawn, erased, last = ink(
        [pens, [*pens, stroke(rubber[:2], rubber[2], True)], [pens[0], stroke(rubber[:2], rubber[2], True), pens[1]]]
    )
    assert (drawn[0].int() - to_bytes(together).int()).abs().max() <= 1
    assert (erased[0].int() - to_bytes(rubbed).int()).abs().max() <= 1
    assert drawn[0, :, 20].max() > 0 == erased[0, :, 20].max()
    assert last[0, :, 20].max() > 0  # what is drawn after it stays


def test_a_freehand_line_is_smooth_and_keeps_its_ends(ink):
    zigzag = [[6 + i, 20 + (i % 2)] for i in range(30)]
    image = ink([[stroke(zigzag, 3)]])[0, 0].double()
    middle = (image * torch.arange(SIZE).double()[:, None]).sum(0) / image.sum(0)
    assert middle[8:34].std() < 0.15  # of a hand that shakes by half a pixel
    assert image[20, 6] == image[20:22, 35].max() == 255
    slow = [[6 + 0.1 * i, 20] for i in range(291)]
    assert (ink([[stroke(slow, 3)]]) == ink([[stroke([slow[0], slow[-1]], 3)]])).all()


def test_mnist_has_lines_as_these(ink):
    """Of the shipped digits, in an image of their size: as thick, and as much of them grey."""
    digits = load_digits("test", source="offline").images[:300].float()
    own = ink([digit_at(k, 19, (13.5, 13.5), width=2.2) for k in DIGITS], size=28).float()

    def greyness(images):
        return float(((images > 25) & (images < 230)).sum() / (images > 25).sum())

    assert greyness(own) == pytest.approx(greyness(digits), abs=0.05)
    assert own.mean() == pytest.approx(float(digits.mean()), rel=0.1)
    assert own.max() == 255


@pytest.mark.parametrize("seed", range(40))
def test_spoiling_turns_shrinks_and_moves_and_all_stays_on_the_image(ink, seed):
    generator = torch.Generator().manual_seed(seed)
    height = (14, 22, 30, 40)[seed % 4]
    before = digit_at(seed % 10, height, (20.5, 20.5), width=3.3)
    after = ink.page.evaluate(SPOIL, [before, torch.rand(4, generator=generator).tolist()])
    old, new = (
        torch.tensor([place for line in strokes for place in line["places"]], dtype=torch.float64)
        for strokes in (before, after)
    )
    scale = after[0]["width"] / before[0]["width"]
    torch.testing.assert_close(torch.cdist(new, new), scale * torch.cdist(old, old), rtol=1e-4, atol=1e-4)
    assert scale <= 1
    assert scale >= 0.7 or height == 40
    (a, b), (c, d) = old[[0, -1]], new[[0, -1]]
    (x, y), (u, v) = b - a, d - c
    assert abs(math.degrees(math.atan2(x * v - y * u, x * u + y * v))) <= 45.001
    assert new.min() >= scale * 3.3 / 2 - 1e-6
    assert new.max() <= 41 - scale * 3.3 / 2 + 1e-6
    further = [s | {"places": [[x + 30, y + 30] for x, y in s["places"]]} for s in after]
    assert ink([after]).sum() == ink([further], 102).sum()  # nothing of it is cut off


def accuracy(model, images, labels):
    with torch.no_grad():
        return float((model(normalize(images)).argmax(1) == labels).float().mean())


def test_the_network_reads_what_a_beginner_draws(ink, model):
    """Digits in a few strokes, from small to as large as the canvas. Outside of what it was trained on, it may err."""
    right = {}
    for height in (12, 14, 18, 22, 26, 30, 34, 38):
        centres = [(20.5, 20.5)] if height > 26 else [(20.5, 20.5), (14, 14), (27, 15), (26, 28)]
        for name, width in (("thin", 2.4), ("medium", 3.3), ("thick", 4.5)):
            drawings = [digit_at(k, height, centre, width) for centre in centres for k in DIGITS]
            right[name, height] = accuracy(model, ink(drawings), torch.arange(10).repeat(len(centres)))
        print(f"{height} pixels high:", {name: f"{right[name, height]:.0%}" for name in ("thin", "medium", "thick")})
    assert min(value for (_, height), value in right.items() if 14 <= height <= 34) >= 0.8
    assert statistics.mean(value for (_, height), value in right.items() if 14 <= height <= 34) >= 0.95
    big_and_small = ink([digit_at(7, 36, (20.5, 20.5), 3.3), digit_at(7, 14, (33, 31), 3.3)])
    assert accuracy(model, big_and_small, torch.tensor([7, 7])) == 1


def test_the_network_reads_what_was_spoiled(ink, model):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(100, 4, generator=generator).tolist()
    drawings = [digit_at(i % 10, 24, (20.5, 20.5), 3.3) for i in range(100)]
    spoiled = [ink.page.evaluate(SPOIL, list(pair)) for pair in zip(drawings, numbers, strict=True)]
    right = accuracy(model, ink(spoiled), torch.arange(10).repeat(10))
    print(f"spoiled: {right:.0%}")
    assert right >= 0.9


# In a page


class Pad:
    """The playground in a page, with the tool that draws."""

    def __init__(self, page):
        self.page, self.board = page, page.locator(".board")
        self.page.get_by_role("button", name="draw a digit").click()
        self.wait()

    def wait(self):
        """Until what was done is drawn."""
        self.page.evaluate("() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")

    def click(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()
        self.wait()

    def draw(self, digit, height=22, centre=MIDDLE, by=draw_by_mouse):
        for line in DIGITS[digit]:
            by(self.page, screen_places(self.board, line, height, centre))
        self.wait()

    def image(self):
        """The image, read off the output: through θ = the identity, its pixels are the input's."""
        self.page.get_by_label("follow").uncheck()
        self.page.get_by_label("preset").select_option("identity")
        self.page.get_by_label("output px").fill(str(SIZE))
        self.wait()
        pixels = output_pixels(self.page.locator("canvas.output").first)
        self.page.get_by_label("output px").fill("28")
        self.wait()
        return pixels

    def shown(self):
        return torch.tensor(self.page.locator("canvas.input").first.evaluate(SHOWN))

    def theta(self):
        return [
            float(value) for value in self.page.locator("canvas.output").first.get_attribute("data-theta").split(",")
        ]

    def bars(self):
        bars = self.page.locator("ol.answers li").evaluate_all("all => all.map((e) => Number(e.dataset.p))")
        return torch.tensor(bars, dtype=torch.float32)


def output_pixels(canvas, size=SIZE):
    picture = np.asarray(lab.picture_of(canvas).convert("L"))
    at = ((np.arange(size) + 0.5) * len(picture) / size).astype(int)
    return torch.tensor(picture[at][:, at].copy())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "theta.html"
    assert main(["playground", str(path)]) == 0
    return path


@pytest.fixture
def pad(open_page, path):
    pad = Pad(open_page(path))
    yield pad
    pad.page.context.close()


def asked(model, image):
    with torch.no_grad():
        theta = model.stn.transform(normalize(image)).theta[0].flatten()
        return theta, model(normalize(image))[0].exp()


def test_frame_and_bars_follow_while_the_mouse_draws(pad, model):
    assert not pad.page.get_by_label("follow").is_checked()
    places = screen_places(pad.board, DIGITS[3][0], 24, MIDDLE)
    pad.page.mouse.move(*places[0])
    pad.page.mouse.down()
    seen = []
    for place in places[1:]:
        pad.page.mouse.move(*place, steps=2)
        pad.wait()
        seen.append((pad.theta(), pad.bars().argmax().item()))
    assert len({tuple(theta) for theta, _ in seen}) > len(seen) / 2  # before the button is let go
    assert pad.page.get_by_label("follow").is_checked()
    pad.page.mouse.up()
    pad.wait()
    assert seen[-1][1] == 3
    theta, bars, image = pad.theta(), pad.bars(), pad.image()
    expected, probabilities = asked(model, image[None, None])
    torch.testing.assert_close(torch.tensor(theta), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(bars, probabilities, rtol=0, atol=1e-3)


def test_what_is_on_the_canvas_is_the_ink_of_the_strokes(pad, ink):
    """Bit for bit, by the mouse: its places are whole pixels of the screen."""
    pad.page.locator("select", has_text="medium").select_option("thick")
    box = pad.board.bounding_box()
    places = [(round(box["x"]) + 120 + 20 * i, round(box["y"]) + 130 + 9 * i * (5 - i)) for i in range(6)]
    draw_by_mouse(pad.page, places, steps=1)
    pad.wait()
    scale, middle = 224 / SIZE, (SIZE - 1) / 2
    pixels = [[(x - box["x"] - 168) / scale + middle, (y - box["y"] - 168) / scale + middle] for x, y in places]
    expected = ink([[stroke(pixels, 4.5)]])[0, 0].int()
    shown, image = pad.shown().reshape(SIZE, SIZE), pad.image().int()
    assert (image - expected).abs().max() <= 1
    seen = shown >= 0
    assert seen.sum() > 0.8 * SIZE**2
    assert (shown[seen] == image[seen]).all()


def test_by_touch(new_context, path, model):
    page = new_context(viewport={"width": 360, "height": 740}, has_touch=True, device_scale_factor=2).new_page()
    page.goto(path.as_uri())
    pad = Pad(page)
    pad.board.scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    pad.draw(7, 24, by=draw_by_touch)
    assert page.evaluate("scrollY") == top  # the finger draws, it does not scroll
    assert pad.bars().argmax() == 7
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    image = pad.image()
    assert 200 < (image > 127).sum() * 7 < 1500
    assert asked(model, image[None, None])[1].argmax() == 7
    page.context.close()


def test_by_keyboard(pad):
    pad.page.set_viewport_size({"width": 1366, "height": 500})  # there is something to scroll
    pad.page.locator(".pad").focus()
    keys, place = pad.page.keyboard, pad.page.evaluate("[scrollX, scrollY]")

    def press(key, times):
        for _ in range(times):
            keys.press(key)

    press("ArrowUp", 10)
    press("ArrowLeft", 6)
    assert pad.shown().max() < 255  # the pen is up: only the invitation
    keys.press("Space")
    press("ArrowRight", 11)
    for _ in range(10):
        press("ArrowDown", 2)
        keys.press("Shift+ArrowLeft")
    assert pad.page.locator(".drawing [role=status]").inner_text() == "The pen is down."
    keys.press("Space")
    press("ArrowDown", 5)
    pad.wait()
    assert pad.bars().argmax() == 7
    assert pad.page.evaluate("[scrollX, scrollY]") == place
    before = pad.image()
    pad.page.locator(".pad").focus()
    keys.press("Space")
    press("ArrowLeft", 5)
    keys.press("Escape")  # lifts
    press("ArrowUp", 3)
    after = pad.image()
    assert (after.int() - before.int()).min() == 0 < (after.int() - before.int()).max()
    pad.page.locator(".pad").focus()
    keys.press("Backspace")
    assert (pad.image() == before).all()
    pad.page.locator(".pad").focus()
    keys.press("Space")
    keys.press("Tab")  # who leaves the pad has lifted the pen
    assert pad.page.locator(".pad.down").count() == 0
    pad.page.locator(".pad").focus()
    press("ArrowLeft", 60)  # the pen stays on the image
    keys.press("Space")
    press("ArrowRight", 3)
    assert pad.image()[:, :3].max() == 255


def test_undo_clear_eraser_and_spoil(pad):
    pad.draw(4)
    first = pad.image()
    pad.click("eraser")
    draw_by_mouse(pad.page, screen_places(pad.board, [[0, 0.55], [1, 0.55]], 22, MIDDLE))
    erased = pad.image()
    assert (erased <= first).all()
    assert 30 < (first.int() - erased.int()).sum() / 255
    pad.click("undo")
    assert (pad.image() == first).all()
    pad.click("pen")
    pad.click("spoil it")
    spoiled = pad.image()
    assert (spoiled != first).sum() > 50
    for _ in range(20):  # again and again: always the drawing itself
        pad.click("spoil it")
    again = pad.image().double().sum() / first.double().sum()
    assert 0.4 < again < 1.1
    for _ in range(20):
        pad.click("undo")
    assert (pad.image() == spoiled).all()
    pad.click("undo")
    assert (pad.image() == first).all()
    pad.click("clear")
    assert pad.image().max() == 0
    pad.click("undo")
    assert (pad.image() == first).all()
    pad.click("undo")  # the second stroke of the 4
    pad.click("undo")
    assert pad.image().max() == 0
    assert pad.page.get_by_role("button", name="undo").is_disabled()


def test_a_drawing_stays_until_another_digit_is_chosen(pad):
    digits = default_digits(load_pretrained()).images[:, 0]
    assert pad.shown().max() < 255  # an empty pad
    pad.click("move the frame")
    assert (pad.image() == digits[0]).all()  # nothing was drawn: the digit again
    pad.click("draw a digit")
    pad.draw(5)
    drawn = pad.image()
    pad.click("move the frame")
    assert (pad.image() == drawn).all()
    pad.click("draw a digit")
    assert (pad.image() == drawn).all()
    pad.page.get_by_label("digit no.").fill("7")
    assert (pad.image() == digits[7]).all()
    assert pad.page.get_by_role("button", name="undo").is_disabled()
    draw_by_mouse(pad.page, screen_places(pad.board, [[0.3, 0], [0.3, 1]], 22, MIDDLE))  # on an empty pad, not on the 7
    assert 30 < (pad.image() > 127).sum() < 100


def test_the_network_follows_by_itself_only_once(pad):
    follow = pad.page.get_by_label("follow")
    pad.draw(1)
    assert follow.is_checked()
    follow.uncheck()
    pad.wait()
    theta = pad.theta()
    pad.draw(1, centre=(30, 25))
    assert not follow.is_checked()
    assert pad.theta() == theta


def test_a_line_ends_at_the_edge_and_none_begins_outside(pad):
    box = pad.board.bounding_box()
    x, y = box["x"], box["y"]
    draw_by_mouse(pad.page, [(x + 20, y + 20), (x + 168, y + 168), (x + 300, y + 168)])
    pad.wait()
    assert pad.image().max() == 0
    draw_by_mouse(pad.page, [(x + 168, y + 168), (x + 330, y + 168)])
    image = pad.image()
    assert image[20:22, 21:].min() == 255
    assert image[:18].max() == 0 == image[24:].max()


MEASURE = """async (places) => {
    const pad = document.querySelector(".pad"), took = [], task = () => new Promise((done) => setTimeout(done));
    pad.setPointerCapture = () => {};
    const move = (type, [x, y]) =>
        pad.dispatchEvent(new PointerEvent(type, { pointerId: 1, bubbles: true, clientX: x, clientY: y }));
    move("pointerdown", places[0]);
    for (const place of places.slice(1)) {
        await new Promise(requestAnimationFrame);
        await task();
        const start = performance.now();
        move("pointermove", place); // asks for a drawing: those that were asked for in a frame are drawn one after another
        const drawn = await new Promise((done) => requestAnimationFrame((now) => done([now, performance.now()])));
        took.push(performance.now() - start - Math.max(0, drawn[0] - start));
    }
    move("pointerup", places[0]);
    return took;
}"""


def test_each_move_of_the_pen_is_quick(pad):
    """From the pointer's event to the picture: ink, the network's θ, output and bars; without the wait for a frame."""
    places = screen_places(pad.board, close(DIGITS[8][0]), 24, MIDDLE)
    took = sorted(pad.page.evaluate(MEASURE, places))
    assert pad.bars().argmax() == 8
    print(f"a move of the pen: {statistics.median(took):.1f} ms, nine of ten under {took[len(took) * 9 // 10]:.1f} ms")
    assert statistics.median(took) < 50
