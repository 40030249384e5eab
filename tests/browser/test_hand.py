"""The frame in the hand: by mouse, touch and keyboard, in the page; and what the handles do, as script."""

import lab
import pytest
import torch

from stncourse.browser.scripts import joined
from stncourse.playground.parameters import IDENTITY, decompose

ZOOMED = (0.5, 0, 0.1, 0, 0.5, -0.2)
#: Corners and middles of edges on the output's ruler.
PLACES = {
    "top left": (-1, -1), "top right": (1, -1), "bottom right": (1, 1), "bottom left": (-1, 1),
    "top": (0, -1), "right": (1, 0), "bottom": (0, 1), "left": (-1, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def page(path, open_page):
    page = open_page(path)
    lab.load_script(page, joined("playground/handles.js"))
    return page


def dragged(page, theta, handle, by, **keys):
    """θ after a handle was dragged by (x, y) on the input's ruler."""
    code = """([theta, handle, by, keys]) => {
        const from = script.placeOn(theta, script.HANDLES[handle].u);
        return script.dragged(theta, handle, from, from.map((value, i) => value + by[i]), keys);
    }"""
    return page.evaluate(code, [list(theta), handle, list(by), keys])


def place(theta, u):
    a, b, tx, c, d, ty = theta
    return torch.tensor([a * u[0] + b * u[1] + tx, c * u[0] + d * u[1] + ty])


THETAS = [IDENTITY, ZOOMED, (0.4, -0.3, 0.2, 0.35, 0.5, 0.1), (-0.6, 0.1, 0, 0.2, 0.7, 0)]


@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("corner", [name for name in PLACES if " " in name])
def test_a_corner_goes_with_the_hand_and_the_opposite_one_stays(page, theta, corner):
    u, by = PLACES[corner], (0.13, -0.21)
    after = dragged(page, theta, corner, by)
    torch.testing.assert_close(place(after, u), place(theta, u) + torch.tensor(by))
    opposite = (-u[0], -u[1])
    torch.testing.assert_close(place(after, opposite), place(theta, opposite))
    for side in ((0, 3), (1, 4)):  # they keep their directions
        before_, after_ = (torch.tensor([t[i] for i in side]) for t in (theta, after))
        assert abs(float(before_[0] * after_[1] - before_[1] * after_[0])) < 1e-5
    even = dragged(page, theta, corner, by, shift=True)
    ratio = [decompose(t)["scale_x"] / decompose(t)["scale_y"] for t in (theta, even)]
    assert ratio[0] == pytest.approx(ratio[1])
    torch.testing.assert_close(place(even, opposite), place(theta, opposite))


@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("edge", [name for name in PLACES if " " not in name])
def test_an_edge_stretches_or_shears(page, theta, edge):
    u = torch.tensor(PLACES[edge], dtype=torch.float)
    sides = torch.tensor([[theta[0], theta[3]], [theta[1], theta[4]]])
    across, along = (sides[0], sides[1]) if u[0] else (sides[1], sides[0])
    stretched = dragged(page, theta, edge, (0.3 * across).tolist())
    torch.testing.assert_close(place(stretched, u), place(theta, u) + 0.3 * across)
    torch.testing.assert_close(place(stretched, -u), place(theta, -u))
    both = dragged(page, theta, edge, (0.3 * across).tolist(), shift=True)
    torch.testing.assert_close(place(both, (0, 0)), place(theta, (0, 0)))
    torch.testing.assert_close(place(both, u), place(theta, u) + 0.3 * across)
    sheared = dragged(page, theta, edge, (0.4 * along).tolist(), alt=True)
    torch.testing.assert_close(place(sheared, u), place(theta, u) + 0.4 * along)
    torch.testing.assert_close(place(sheared, -u), place(theta, -u))
    kept = [torch.tensor([t[0] * t[4] - t[1] * t[3]]) for t in (theta, sheared)]
    torch.testing.assert_close(*kept)  # a shear keeps the area


def test_turning_keeps_shape_and_place(page):
    for theta in THETAS:
        after = dragged(page, theta, "turn", (0.3, 0.1))
        before = decompose(theta)
        names = ("scale_x", "scale_y", "shear", "shift_x", "shift_y")
        now = decompose(after)
        assert [abs(now[n]) for n in names] == pytest.approx([abs(before[n]) for n in names], abs=1e-6)
        steps = decompose(dragged(page, theta, "turn", (0.3, 0.1), shift=True))["rotation"]
        assert steps / 15 == pytest.approx(round(steps / 15), abs=1e-6)


def test_what_is_moved_inside(page):
    assert dragged(page, ZOOMED, "inside", (0.3, -0.1)) == pytest.approx((0.5, 0, 0.4, 0, 0.5, -0.3))
    assert dragged(page, ZOOMED, "inside", (0.3, -0.1), shift=True) == pytest.approx((0.5, 0, 0.4, 0, 0.5, -0.2))


def test_no_drag_squeezes_the_frame_to_nothing(page):
    for handle, u in PLACES.items():
        a, b, _, c, d, _ = dragged(page, ZOOMED, handle, (-u[0] * 1.0, -u[1] * 1.0))
        assert abs(a * d - b * c) > 1e-5
        assert all(abs(value) > 0.005 for value in (a, d))


# With a hand on the page


def middle(page, handle):
    box = page.locator(f'[data-handle="{handle}"]').bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def by_mouse(page, x, y, dx, dy, key=None):
    if key:
        page.keyboard.down(key)
    lab.drag(page, x, y, by=(dx, dy))
    if key:
        page.keyboard.up(key)


def by_touch(page, x, y, dx, dy):
    lab.by_touch(page, [(x + dx * step / 5, y + dy * step / 5) for step in range(6)])


@pytest.fixture(params=["mouse", "touch", "phone"])
def hand(request, path, new_context):
    """(page, drag, pixels of the panel for half of the image's side)."""
    size = {"width": 360, "height": 740} if request.param == "phone" else lab.VIEWPORT
    context = new_context(viewport=size, has_touch=request.param != "mouse")
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    page.locator(".board").scroll_into_view_if_needed()
    scale = page.locator(".board").bounding_box()["width"] / 336 * 112
    yield page, by_mouse if request.param == "mouse" else by_touch, scale
    assert problems == []
    context.close()


def test_the_frame_goes_with_the_hand(hand):
    page, drag, half = hand
    rotation, shift = page.get_by_label("rotation (°)"), page.get_by_label("shift x (tx)")
    scrolled = page.evaluate("scrollY")
    x, y = middle(page, "bottom right")
    drag(page, x, y, -half, -half)  # to the middle of the image
    assert lab.theta_of(page) == pytest.approx((0.5, 0, -0.5, 0, 0.5, -0.5), abs=0.02)
    x, y = middle(page, "inside")
    drag(page, x + 12, y + 12, 0.3 * half, 0)  # inside the frame, beside its handle
    assert lab.theta_of(page) == pytest.approx((0.5, 0, -0.2, 0, 0.5, -0.5), abs=0.02)
    assert float(shift.input_value()) == pytest.approx(-0.2, abs=0.03)
    x, y = middle(page, "turn")
    centre = middle(page, "inside")
    arm = centre[1] - y
    drag(page, x, y, arm, arm)  # a quarter of a turn
    assert lab.theta_of(page) == pytest.approx((0, -0.5, -0.2, 0.5, 0, -0.5), abs=0.03)
    assert float(rotation.input_value()) == pytest.approx(90, abs=3)
    assert page.evaluate("scrollY") == scrolled  # the finger moved the frame, not the page
    assert (
        "turned 90°" in page.locator(".sentence").inner_text() or "turned 8" in page.locator(".sentence").inner_text()
    )
    cells = [float(cell.replace("−", "-")) for cell in page.locator("table[aria-label=θ] td").all_inner_texts()]
    assert cells == pytest.approx(lab.theta_of(page), abs=0.006)


def test_beside_the_frame_nothing_is_in_hand(hand):
    page, drag, half = hand
    board = page.locator(".board").bounding_box()
    drag(page, board["x"] + 6, board["y"] + board["height"] / 2, half / 2, 0)
    assert lab.theta_of(page) == list(IDENTITY)


def test_a_frame_stays_in_the_panel_and_zooms_out_when_let_go(hand):
    page, drag, half = hand
    board = page.locator(".board").bounding_box()
    for _ in range(3):
        x, y = middle(page, "bottom right")
        drag(page, x, y, 0.9 * half, 0.9 * half)
        places = [middle(page, name) for name in ("top left", "top right", "bottom left", "bottom right")]
        for px, py in places:
            assert board["x"] - 1 <= px <= board["x"] + board["width"] + 1
            assert board["y"] - 1 <= py <= board["y"] + board["height"] + 1
    assert lab.theta_of(page)[0] > 1.5


def test_every_handle_by_keyboard(path, open_page):
    page = open_page(path)
    names = page.locator(".handle").evaluate_all(
        "all => all.map(e => [e.dataset.handle, e.getAttribute('aria-label')])"
    )
    assert len(names) == 10
    assert all(name for _, name in names)
    page.locator(".handle").first.focus()
    page.keyboard.press("ArrowRight")
    assert lab.theta_of(page) == pytest.approx((1, 0, 0.05, 0, 1, 0))
    page.keyboard.press("Shift+ArrowLeft")
    assert lab.theta_of(page) == pytest.approx((1, 0, 0.04, 0, 1, 0))
    page.locator("[data-handle=bottom]").focus()
    page.keyboard.press("ArrowUp")
    assert lab.theta_of(page) == pytest.approx((1, 0, 0.04, 0, 0.975, -0.025))
    page.keyboard.press("Alt+ArrowRight")
    assert lab.theta_of(page)[1] == pytest.approx(0.025)
    page.locator("[data-handle=turn]").focus()
    before = decompose(lab.theta_of(page))["rotation"]
    page.keyboard.press("ArrowRight")
    assert decompose(lab.theta_of(page))["rotation"] == pytest.approx(before + 5, abs=1e-4)
    assert "°" in page.locator("[data-handle=turn]").get_attribute("aria-label")
    for _ in range(20):  # the Tab key reaches every handle
        page.keyboard.press("Shift+Tab")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.handle ?? ''"))
    assert {name for name, _ in names} <= reached


def test_shift_and_alt_constrain_and_shear(path, open_page):
    page = open_page(path)
    x, y = middle(page, "inside")
    by_mouse(page, x + 20, y + 20, 50, 20, key="Shift")
    theta = lab.theta_of(page)
    assert theta[5] == 0
    assert theta[2] > 0.3
    x, y = middle(page, "top")
    by_mouse(page, x, y, 56, 0, key="Alt")
    assert lab.theta_of(page)[1] == pytest.approx(-0.25, abs=0.02)


def test_in_the_other_direction_the_frame_moves_all_the_same(path, open_page):
    page = open_page(path)
    page.get_by_label("θ maps").select_option("input → output")
    x, y = middle(page, "inside")
    by_mouse(page, x + 20, y + 20, 33.6, 0)  # the frame to the right by 0.3
    assert lab.theta_of(page) == pytest.approx((1, 0, -0.3, 0, 1, 0), abs=0.02)
    assert "moved left by 0.3" in page.locator(".sentence").inner_text()


def test_the_handles_of_a_small_frame_do_not_hide_each_other(hand):
    page, drag, _ = hand
    for name in ("scale x", "scale y"):
        page.get_by_label(name).fill("0.1")
    page.locator(".board").scroll_into_view_if_needed()
    x, y = middle(page, "inside")
    drag(page, x, y, 20, 0)
    theta = lab.theta_of(page)
    assert (theta[0], theta[4]) == pytest.approx((0.1, 0.1))
    assert theta[2] > 0.1
