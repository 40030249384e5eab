"""The tool "pull": the browser's descents are autograd's, and all of it works by mouse, touch and keyboard."""

import functools

import lab
import pytest
import torch

from stncourse import affine_theta, load_pretrained
from stncourse.browser.scripts import joined
from stncourse.playground.opponent import default_digits
from stncourse.playground.parameters import IDENTITY
from stncourse.playground.pull import pull, slopes

DESCEND = """([number, theta, label, stepSize, steps]) => {
    const descent = script.descentFrom(network, images[number], theta, label);
    for (let i = 0; i < steps; i++) script.stepDown(descent, stepSize);
    return [descent.path, descent.losses];
}"""
SLOPES = """([number, theta, label]) => {
    const { byTheta, byPlace } = script.slopes(network, images[number], theta, label);
    const strong = script.strongest(byPlace, script.placesOf(theta, 28), 120);
    return { byTheta: Array.from(byTheta), byPlace: Array.from(byPlace), strong,
             corners: [[-1, -1], [1, -1], [1, 1], [-1, 1]].map((u) => script.pulledAt(byTheta, u)) };
}"""
CROOKED = tuple(affine_theta(17, 0.71, 0.13, (0.1234, -0.0678)).flatten().tolist())
#: Through this frame every output pixel looks a hair beside the centre of an input pixel.
BESIDE = (0.666667, 0, 0, 0, 0.666667, 0)
STARTS = (IDENTITY, CROOKED, (0.83, 0.1, -0.05, -0.1, 0.83, 0.1), (1, 0, -0.4, 0, 1, 0), BESIDE)
KINKS = (2 / 3, 0, 0, 0, 2 / 3, 0)  # through this one at the centre itself: there the slope jumps


@functools.cache
def model():
    return load_pretrained()


@functools.cache
def digits():
    """Those of the page."""
    return default_digits(model()).subset(slice(100))


def by_autograd(number, theta, target=None, step_size=0.002, steps=50):
    target = int(digits().labels[number]) if target is None else target
    return pull(model(), digits(), digits().images[number : number + 1], theta, target, step_size, steps)


# The script


@pytest.fixture(scope="module")
def script(new_context):
    page = new_context().new_page()
    for name in ("playground/descent.js", "browser/network.js"):
        lab.load_script(page, joined(name))
        page.evaluate("window.parts = { ...window.parts, ...script }")
    page.evaluate("window.script = parts")
    lab.load_network(page, digits().images)
    return page


@pytest.mark.parametrize("theta", STARTS)
def test_a_descent_is_that_of_autograd(script, theta):
    for number in (1, 2, 5, 10):
        label = int(digits().labels[number])
        path, losses = script.evaluate(DESCEND, [number, list(theta), label, 0.002, 50])
        expected = by_autograd(number, theta)
        torch.testing.assert_close(torch.tensor(path).reshape(-1, 2, 3), expected.theta.float(), rtol=0, atol=1e-3)
        torch.testing.assert_close(torch.tensor(losses), expected.loss.float(), rtol=1e-3, atol=1e-3)
        assert (expected.theta[-1] - expected.theta[0]).abs().max() > 0.003  # it did go somewhere


@pytest.mark.parametrize("theta", STARTS)
def test_small_pulls_add_up_to_six_numbers_and_these_move_the_corners(script, theta):
    got = script.evaluate(SLOPES, [2, list(theta), 4])
    by_place = torch.tensor(got["byPlace"], dtype=torch.float64).reshape(28, 28, 2)
    centres = (2 * torch.arange(28, dtype=torch.float64) + 1) / 28 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    summed = torch.einsum("ijk,ijl->kl", by_place, torch.stack([x, y, torch.ones_like(x)], -1))
    by_theta = torch.tensor(got["byTheta"], dtype=torch.float64).reshape(2, 3)
    torch.testing.assert_close(summed, by_theta, rtol=0, atol=1e-9)
    expected = slopes(model(), digits(), digits().images[2:3], theta, 4)
    torch.testing.assert_close(by_theta, expected.by_theta, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(by_place, expected.by_place, rtol=1e-3, atol=1e-6)
    corners = torch.tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(got["corners"], dtype=torch.float64), -corners @ by_theta.T)
    lengths = by_place.norm(dim=-1).flatten().sort(descending=True).values[:120]
    lengths = lengths[lengths > 0]
    shown = torch.tensor([arrow["pull"] for arrow in got["strong"]], dtype=torch.float64).norm(dim=-1)
    torch.testing.assert_close(shown, lengths)


def test_at_a_kink_each_place_takes_one_of_its_sides(script):
    """Autograd does, too; but where rounding puts a place a hair from the centre, they may take different ones."""
    got = torch.tensor(script.evaluate(SLOPES, [2, list(KINKS), 4])["byPlace"], dtype=torch.float64)
    hair = 1e-9
    sides = [
        slopes(model(), digits(), digits().images[2:3], (2 / 3, 0, dx, 0, 2 / 3, dy), 4).by_place.flatten()
        for dx in (-hair, hair)
        for dy in (-hair, hair)
    ]
    apart = torch.stack([(got - side).abs() for side in sides])
    wrong = apart > 1e-4
    # Windows of plain background tie in the poolings, and a hair decides these as well: a few places are on no side.
    assert wrong.all(0).sum() < 0.05 * (got != 0).sum()
    assert all(side.sum() > 0.1 * (got != 0).sum() for side in wrong)  # no side is right for all: the choice matters


# The page


@pytest.fixture
def open_tool(path, new_context):
    """Function: number of a digit, options of a browser -> the page, with the tool in hand."""
    contexts, problems = [], []

    def open_it(number=2, **options):
        contexts.append(new_context(**{"viewport": lab.VIEWPORT} | options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        page.get_by_label("digit no.").fill(str(number))
        button(page, "pull").click()
        lab.drawn(page)
        return page

    yield open_it
    assert problems == []
    for context in contexts:
        context.close()


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def ending(page, seconds=60):
    return lab.until(lambda: page.locator(".pull .ending").inner_text(), "it ends", seconds)


def move(page, **sliders):
    for name, value in sliders.items():
        page.get_by_label(f"shift {name}").fill(str(value))
    lab.drawn(page)


def blue(page):
    """How many pixels of the input's panel have the colour of small arrows."""
    picture = lab.picture_of(page.locator(".board canvas")).convert("RGB")
    return sum(count for count, color in picture.getcolors(1_000_000) if color == (0x20, 0x88, 0xC8))


@pytest.mark.parametrize("hand", ["mouse", "touch", "keyboard"])
def test_one_step_and_back(open_tool, hand):
    page = open_tool(2, has_touch=hand == "touch", viewport={"width": 360, "height": 740})

    def press(name):
        if hand == "keyboard":
            button(page, name).focus()
            page.keyboard.press("Enter")
        else:
            button(page, name).tap() if hand == "touch" else button(page, name).click()

    expected = by_autograd(2, IDENTITY, steps=3)
    cells = page.get_by_label("slopes of the loss by θ").locator("td").all_inner_texts()
    first = (expected.theta[0] - expected.theta[1]).flatten() / 0.002
    assert [float(cell.replace("−", "-")) for cell in cells] == pytest.approx(first.tolist(), abs=0.006)
    assert f"= {expected.loss[0]:.3f}" in page.locator(".pull .loss").inner_text()
    assert button(page, "back to the start").is_disabled()
    assert blue(page) > 100
    for step in (1, 2, 3):
        press("one step")
        assert lab.theta_of(page) == pytest.approx(expected.theta[step].flatten().tolist(), abs=2e-6)
        assert f"{100 * expected.probability[step]:.0f} % sure of “4”" in page.locator(".pull .now").inner_text()
    assert "after 3 steps" in page.get_by_role("img", name="How sure of “4”").get_attribute("aria-label")
    slider = float(page.get_by_label("shift y (ty)").input_value())
    assert slider == pytest.approx(expected.theta[3][1, 2].item(), abs=0.03)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    press("back to the start")
    assert lab.theta_of(page) == list(IDENTITY)
    page.locator("select.step-size").select_option("0.02")
    press("one step")
    longer = by_autograd(2, IDENTITY, step_size=0.02, steps=1).theta[1].flatten().tolist()
    assert lab.theta_of(page) == pytest.approx(longer, abs=2e-6)


def test_let_go_it_arrives(open_tool):
    page = open_tool(1)
    button(page, "let go").click()
    lab.until(button(page, "stop").is_visible, "it goes")
    assert ending(page) == "Arrived: the classifier is 99 % sure of “0”."
    assert "“0”, 99." in page.locator(".verdict").inner_text()
    assert button(page, "let go").is_visible()
    assert lab.theta_of(page) != list(IDENTITY)
    move(page, x=-0.4)
    assert lab.theta_of(page)[2] == pytest.approx(-0.4)
    assert page.locator(".pull .now").inner_text().startswith("At the start")  # another start: another curve
    assert page.locator(".pull .ending").inner_text() == ""


def test_stuck_and_in_the_dark(open_tool):
    """From 0.4 further left the same digit is not found; and from far out nothing is seen at all."""
    page = open_tool(1)
    move(page, x=-0.4)
    button(page, "let go").click()
    assert ending(page).startswith("Stuck: the last steps went only to and fro")
    assert "only 6 % sure of “0”" in ending(page)
    move(page, x=2, y=-2)
    assert page.locator(".pull .arrows").inner_text() == "No arrows: no slope."
    assert blue(page) == 0
    before = lab.theta_of(page)
    for name in ("let go", "one step"):
        button(page, name).click()
        assert ending(page) == "The frame sees only black: no slope, no step."
        assert lab.theta_of(page) == pytest.approx(before, abs=1e-9)


def test_another_digit_pulls_elsewhere(open_tool):
    page = open_tool(5)
    assert page.locator("select.target").input_value() == "9"
    ends = {}
    for target in ("9", "0"):
        page.locator("select.target").select_option(target)
        button(page, "let go").click()
        assert ending(page) == f"Arrived: the classifier is 99 % sure of “{target}”."
        ends[target] = lab.theta_of(page)
        button(page, "back to the start").click()
        assert lab.theta_of(page) == list(IDENTITY)
    assert max(abs(a - b) for a, b in zip(*ends.values(), strict=True)) > 0.2
    page.get_by_label("digit no.").fill("2")
    lab.until(lambda: page.locator("select.target").input_value() == "4", "another image, another truth")


def test_who_moves_the_frame_ends_the_descent(open_tool):
    page = open_tool(2)
    page.locator("select.target").select_option("6")  # a long way, wherever it begins
    lab.theta_of(page)
    follow = page.get_by_label("follow").element_handle()
    # The frame glides off, and is let go on its way.
    glides = "async (go, follow) => { follow.click(); await new Promise((on) => setTimeout(on, 150)); go.click(); }"
    button(page, "let go").evaluate(glides, follow)
    assert not page.get_by_label("follow").is_checked()
    lab.until(button(page, "stop").is_visible, "it goes, from where the frame was")
    page.wait_for_timeout(200)
    assert button(page, "stop").is_visible()  # nothing else moves it
    move(page, x=0.5)
    lab.until(button(page, "let go").is_visible, "it stops")
    assert lab.theta_of(page)[2] == pytest.approx(0.5)
    button(page, "let go").click()
    button(page, "stop").click()
    stopped = lab.theta_of(page)
    page.wait_for_timeout(200)
    assert lab.theta_of(page) == stopped
    button(page, "let go").click()
    button(page, "move the frame").click()
    moved = lab.theta_of(page)
    page.wait_for_timeout(200)
    assert lab.theta_of(page) == moved


def test_other_sampling_than_the_networks(open_tool):
    page = open_tool(2)
    page.get_by_label("sampling").select_option("nearest")
    page.get_by_label("output px").fill("14")
    page.get_by_label("align_corners of the grid").check()
    needs = page.locator(".pull .needs")
    lab.until(needs.inner_text, "it says what it needs")
    assert needs.inner_text().endswith("Please set: sampling bilinear; align_corners off; output px 28.")
    assert button(page, "let go").is_disabled()
    assert not page.locator(".pull .lesson").is_visible()
    page.get_by_label("sampling").select_option("bilinear")
    page.get_by_label("output px").fill("28")
    page.get_by_label("align_corners of the grid").uncheck()
    lab.until(button(page, "let go").is_enabled, "it works again")
    assert needs.inner_text() == ""


def test_who_prefers_no_motion_sees_the_end_at_once(open_tool):
    page = open_tool(1, reduced_motion="reduce")
    lab.theta_of(page)
    page.evaluate("""() => {
        window.seen = new Set();
        const canvas = document.querySelector("canvas[data-theta]");
        new MutationObserver(() => seen.add(canvas.dataset.theta)).observe(canvas, { attributeFilter: ["data-theta"] });
    }""")
    button(page, "let go").click()
    assert ending(page).startswith("Arrived")
    lab.theta_of(page)
    assert page.evaluate("seen.size") <= 2  # the start, drawn once more, and the end


# In JupyterLab


def test_in_a_notebook(open_notebook):
    """In the browser, whose kernel hears of it; and in the kernel, for whoever has no such browser."""
    controls = "controls=('sliders', 'theta', 'model', 'pull')"
    start = "theta_playground(model='pretrained', index=1, device='{}', " + controls + "{})"
    notebook = open_notebook(
        "pull.ipynb",
        ["from stncourse import *", start.format("browser", ", tool='pull'"), start.format("cpu", "")],
    )  # fmt: skip
    assert lab.errors_in(notebook.run_all()) == []
    awake = notebook.playground(0)
    awake.root.get_by_role("button", name="let go", exact=True).locator("visible=true").click()
    said = awake.root.locator(".pull .ending")
    assert lab.until(said.inner_text, "it ends") == "Arrived: the classifier is 99 % sure of “0”."
    drawn = awake.root.locator("canvas[data-theta]")

    def boxes_right():
        theta = [float(value) for value in drawn.get_attribute("data-theta").split(",")]
        return awake.theta() == pytest.approx(theta, abs=1e-5)

    lab.until(boxes_right, "the kernel has heard of it")
    assert awake.theta() != IDENTITY
    kernel = notebook.playground(1)
    kernel.button("one step").click()
    first = by_autograd(1, IDENTITY, steps=1).theta[1].flatten().tolist()
    lab.until(lambda: kernel.theta() == pytest.approx(first, abs=1e-5), "one step")
    kernel.button("let go").click()
    lab.until(lambda: "Arrived: the classifier is 99 % sure of “0”." in kernel.message(), "it ends")
    assert kernel.theta() == pytest.approx(awake.theta(), abs=1e-3)  # they went the same way
