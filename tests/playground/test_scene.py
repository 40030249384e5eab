"""The θ playground without its widgets: the picture is what grid_sample makes, and the words are true of it."""

import io
import json
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matrices import inverse
from PIL import Image

from stncourse import BACKGROUND, STNClassifier, affine_theta, denormalize, from_dataset, load_digits, normalize
from stncourse.playground.page import page
from stncourse.playground.parameters import IDENTITY, LIMITS, PRESETS, compose, decompose, invert, words_for
from stncourse.playground.picture import GAP, IMAGE, INPUT, output_from_picture
from stncourse.playground.scene import DIRECTIONS, MODES, PADDINGS, Settings, render, scene

FORWARD, BACKWARD = DIRECTIONS
ORANGE = torch.tensor([255, 159, 28])


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline").images[[0, 300, 700]]


def random_theta(seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple((torch.tensor(IDENTITY) + 0.5 * torch.randn(6, generator=generator)).tolist())


def picture(frame):
    image = Image.open(io.BytesIO(frame.png))
    image.load()
    assert image.format == "PNG"
    return image


def panel(frame):
    """The first input panel's pixels, ``(INPUT, INPUT, 3)``."""
    data = torch.frombuffer(bytearray(picture(frame).crop((0, 0, INPUT, INPUT)).tobytes()), dtype=torch.uint8)
    return data.reshape(INPUT, INPUT, 3)


def orange(frame):
    """(x, y) of the pixels that the frame is drawn with."""
    return (panel(frame) == ORANGE).all(-1).nonzero().flip(-1).float()


# What is sampled


@pytest.mark.parametrize("sampler_align", [False, True])
@pytest.mark.parametrize("grid_align", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_output_is_what_torch_makes(digits, padding, mode, grid_align, sampler_align):
    padding_mode = {"border": "border", "reflection": "reflection"}.get(padding, "zeros")
    outside = BACKGROUND if padding == "background" else 0.0
    for seed, (images, output_size) in enumerate(
        [(digits, None), (digits, 7), (digits[:1], 28), (digits, 40), (digits[:, :, 3:23], None)]
    ):
        theta = random_theta(seed)
        frame = render(images, Settings(theta, padding, mode, grid_align, sampler_align, output_size))
        height, width = (output_size, output_size) if output_size else images.shape[-2:]
        size = (len(images), 1, height, width)
        grid = F.affine_grid(torch.tensor(theta).reshape(1, 2, 3).expand(len(images), 2, 3), size, grid_align)
        expected = F.grid_sample(normalize(images) - outside, grid, mode, padding_mode, sampler_align) + outside
        assert frame.output.shape == size
        torch.testing.assert_close(frame.output, expected, atol=1e-4, rtol=0)
        assert torch.equal(frame.pixels, (255 * denormalize(frame.output)).clamp(0, 255).round().byte())


@pytest.mark.parametrize(("padding", "value"), [("background", BACKGROUND), ("raw 0 (bright frame)", 0.0)])
def test_padding_far_outside(digits, padding, value):
    output = render(digits, Settings((1, 0, 5, 0, 1, 0), padding)).output
    torch.testing.assert_close(output, torch.full_like(output, value), atol=1e-6, rtol=0)


def test_border_repeats_the_edge_and_reflection_mirrors():
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    images[..., -1] = 255
    assert (render(images, Settings((1, 0, 4, 0, 1, 0), "border")).pixels == 255).all()
    mirrored = render(images, Settings((1, 0, 2, 0, 1, 0), "reflection")).pixels
    assert torch.equal(mirrored, images.flip(-1))


@pytest.mark.parametrize("seed", range(5))
def test_input_to_output_uses_the_inverse(digits, seed):
    theta = random_theta(seed)
    back = tuple(inverse(torch.tensor(theta).reshape(1, 2, 3)).flatten().tolist())
    torch.testing.assert_close(
        render(digits, Settings(theta, direction=BACKWARD)).output, render(digits, Settings(back)).output,
        atol=1e-3, rtol=0,
    )  # fmt: skip
    assert "moved right by 0.40" in render(digits, Settings((1, 0, 0.4, 0, 1, 0), direction=BACKWARD)).words


SINGULAR = [(0,) * 6, (1, 2, 0.3, 2, 4, 0), (0, 1, 0, 0, 1, 0), (1.3, 0.3, 0, 3.9, 0.9, 0), (1e6, 1e6, 0, 1e6, 1e6, 0)]


@pytest.mark.parametrize("theta", SINGULAR)
def test_a_singular_theta_renders_one_way_and_is_refused_the_other_way(digits, theta):
    assert render(digits, Settings(theta)).words.startswith("θ is singular")
    with pytest.raises(ValueError, match=r"^theta: .*inverted"):
        render(digits, Settings(theta, direction=BACKWARD))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("theta", [(1e6, -1e6, 1e6, 1e6, 1e6, -1e6), (1e-10, 0, 1e6, 0, 1e6, 0), (2e-5, 0, 1, 0, 1, 0)])
def test_extreme_theta_renders(digits, theta, padding, direction):
    frame = render(digits, Settings(theta, padding, direction=direction))
    assert frame.output.isfinite().all()
    assert picture(frame).width == INPUT + GAP + IMAGE


# The picture


@pytest.mark.parametrize("size", [None, 1, 7, 28, 33, 40, 100, 224])
def test_the_picture_shows_exactly_the_output_of_every_digit(digits, size):
    frame = render(digits, Settings(random_theta(3), "border", output_size=size))
    for row, pixels in enumerate(frame.pixels):
        assert torch.equal(output_from_picture(picture(frame), pixels.shape[-2:], row), pixels[0])


def test_the_picture_shows_the_output_of_a_non_square_digit(digits):
    frame = render(digits[:, :, 3:23], Settings(random_theta(4)))
    for row in range(3):
        assert torch.equal(output_from_picture(picture(frame), (20, 28), row), frame.pixels[row, 0])


def test_the_input_panel_shows_the_digit(digits):
    frame = render(digits, Settings((0.01, 0, -0.99, 0, 0.01, -0.99)))  # a frame in the corner, where nothing else is
    at = ((INPUT - IMAGE) / 2 + (torch.arange(28) + 0.5) * IMAGE / 28).long()
    at = at[1:]
    assert torch.equal(panel(frame)[at][:, at], digits[0, 0, 1:, 1:, None].expand(27, 27, 3))
    assert (panel(frame)[:40] == 220).all()


@pytest.mark.parametrize("theta", [(1, 0, 10, 0, 1, 0), (1, 1, 0.8, -1, 2, -0.5), (1e6, -1e6, 1e6, 1e6, 1e6, -1e6)])
def test_a_frame_is_never_outside_the_panel(digits, theta):
    """It zooms out instead: all four sides are there, with room around them."""
    for images in (digits, digits[:, :, 3:23]):
        drawn = orange(render(images, Settings(theta)))
        assert drawn.min() > 0
        assert drawn.max() < INPUT - 1
        corners = torch.tensor(theta, dtype=torch.float32).reshape(2, 3) @ torch.tensor(
            [[-1.0, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]]
        )
        wide, high = corners.max(1).values - corners.min(1).values
        seen = drawn.max(0).values - drawn.min(0).values
        aspect = images.shape[-1] / images.shape[-2]
        assert float(seen[0] / seen[1]) == pytest.approx(float(wide * aspect / high), rel=0.25)


@pytest.mark.parametrize(("tx", "ty"), [(0.4, 0.0), (-0.3, 0.2)])
def test_the_frame_moves_with_theta(digits, tx, ty):
    here, there = (orange(render(digits, Settings((0.5, 0, x, 0, 0.5, y)))) for x, y in [(0, 0), (tx, ty)])
    moved = there.mean(0) - here.mean(0)
    torch.testing.assert_close(moved, torch.tensor([tx, ty]) * IMAGE / 2, atol=1, rtol=0)


def test_the_frame_grows_with_theta_and_marks_the_first_corner(digits):
    spans = [orange(render(digits, Settings((s, 0, 0, 0, s, 0)))) for s in (0.4, 0.8)]
    small, large = (float(points[:, 0].max() - points[:, 0].min()) for points in spans)
    assert large / small == pytest.approx(2, abs=0.15)
    for mirror, corner in [(1, -1), (-1, 1)]:
        points = orange(render(digits, Settings((0.5 * mirror, 0, 0, 0, 0.5, 0))))
        near = [(points - INPUT / 2 - torch.tensor([x, -1]) * IMAGE / 4).norm(dim=1) < 6 for x in (corner, -corner)]
        assert near[0].sum() > near[1].sum() + 10  # the dot


@pytest.mark.parametrize("images", [torch.zeros(1, 1, 28, 28), torch.zeros(1, 3, 28, 28, dtype=torch.uint8), "digit"])
def test_render_names_images_it_cannot_take(images):
    with pytest.raises((TypeError, ValueError), match=r"^images: expected"):
        render(images, Settings())


# The words


MIRROR_THEN_TURN = affine_theta(rotation=30)[0, :, :2] @ torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
SEEN = {  # θ -> the words, and where they put a dot that is at (0.5, 0.25) on the input
    IDENTITY: ("unchanged", (0.5, 0.25)),
    (1, 0, 0.4, 0, 1, 0): ("moved left by 0.40", (0.1, 0.25)),
    (1, 0, 0, 0, 1, -0.4): ("moved down by 0.40", (0.5, 0.65)),
    tuple(affine_theta(rotation=30).flatten().tolist()): ("turned 30° counter-clockwise", (0.558, -0.0335)),
    tuple(affine_theta(rotation=-60).flatten().tolist()): ("turned 60° clockwise", (0.0335, 0.558)),
    (2, 0, 0, 0, 2, 0): ("0.50 × as large", (0.25, 0.125)),
    (1, 0, 0, 0, 0.5, 0): ("1.00 × as wide, 2.00 × as high", (0.5, 0.5)),
    (-1, 0, 0, 0, 1, 0): ("mirrored left-right", (-0.5, 0.25)),
    (1, 0, 0, 0, -1, 0): ("mirrored top-bottom", (0.5, -0.25)),
    (-1, 0, 0, 0, -1, 0): ("turned 180° clockwise", (-0.5, -0.25)),
    (1, 0.5, 0, 0, 1, 0): ("leaning by −0.50", (0.375, 0.25)),
    tuple(invert(torch.cat([MIRROR_THEN_TURN, torch.zeros(2, 1)], 1)[None]).flatten().tolist()): (
        "mirrored left-right, turned 30° clockwise",
        (-0.558, -0.0335),
    ),
}


@pytest.mark.parametrize(
    ("theta", "words", "place"), [(t, *seen) for t, seen in SEEN.items()], ids=lambda v: str(v)[:30]
)
def test_words_say_what_happens_to_the_picture(theta, words, place):
    dot = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    dot[..., 38:42, 46:50] = 255  # its middle is at pixel edge (48, 40): x = 0.5, y = 0.25
    frame = render(dot, Settings(theta))
    assert frame.words == f"The digit comes out {words}."
    weight = frame.pixels[0, 0].double()
    axis = (2 * torch.arange(64) + 1) / 64 - 1
    centre = torch.stack([(weight.sum(0) * axis).sum(), (weight.sum(1) * axis).sum()]) / weight.sum()
    torch.testing.assert_close(centre, torch.tensor(place).double(), atol=0.01, rtol=0)


def test_words_for_zooming_in():
    assert words_for(affine_theta(scale=0.5)) == "The digit comes out 2.00 × as large."


# θ <-> parameters


def parameters(turn):
    mirrored = st.floats(0.1, 2) | st.floats(-2, -0.1)
    ranges = (st.floats(-turn, turn), st.floats(0.1, 2), mirrored, st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2))
    return st.fixed_dictionaries(dict(zip(LIMITS, ranges, strict=True)))


@settings(deadline=None)
@given(parameters(turn=89))
def test_parameters_come_back_from_the_theta_they_make(wanted):
    assert decompose(compose(wanted)) == pytest.approx(wanted, abs=2e-3)


@settings(deadline=None)
@given(parameters(turn=180))
def test_a_mirrored_theta_comes_back_by_the_smaller_turn_and_others_without_a_mirror(wanted):
    theta = compose(wanted)
    found = decompose(theta)
    if wanted["scale_y"] < 0:
        assert abs(found["rotation"]) <= 90 + 1e-3
        assert found["scale_x"] * found["scale_y"] < 0
    else:
        assert min(found["scale_x"], found["scale_y"]) > 0
    assert compose(found) == pytest.approx(theta, abs=1e-5)


@settings(deadline=None)
@given(st.tuples(*[st.floats(-2, 2)] * 6))
def test_any_theta_that_is_not_singular_comes_back(theta):
    a, b, _, c, d, _ = theta
    assume(math.hypot(a, c) > 0.1 and abs(a * d - b * c) > 0.1)
    assert compose(decompose(theta)) == pytest.approx(theta, abs=1e-5)


@pytest.mark.parametrize("theta", PRESETS.values(), ids=PRESETS)
def test_presets_come_back(theta):
    assert compose(decompose(theta)) == pytest.approx(theta, abs=1e-6)


def test_a_mirror_is_a_scale_and_not_a_turn():
    found = decompose(PRESETS["mirror"])
    assert (found["rotation"], found["scale_x"], found["scale_y"]) == (0, -1, 1)


def test_without_scale_x_there_is_no_rotation():
    assert decompose((0, 1, 0.5, 0, 1, 0.5)) is None


def test_a_scale_y_of_zero_has_no_shear():
    assert decompose((2, 0, 0, 0, 0, 0)) == dict(zip(LIMITS, (0, 2, 0, 0, 0, 0), strict=True))


# Settings


NAN, INF = math.nan, math.inf
WRONG = {
    "theta": [
        (1, 0, 0, 0, NAN, 0),
        (INF, 0, 0, 0, 1, 0),
        (1, 0, 1e40, 0, 1, 0),
        (1,) * 5,
        (),
        None,
        "sixsix",
        ("1",) * 6,
    ],
    "padding": ["zeros", [], None],
    "mode": ["cubic", None],
    "direction": ["output -> input"],
    "output_size": [0, -1, 2.5, "28", True],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_settings_name_the_wrong_argument(name, value):
    for make in (Settings, Settings().but):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}: expected"):
            make(**{name: value})


# For the browser


@pytest.mark.parametrize(("padding", "value"), [("background", 0), ("raw 0 (bright frame)", 255 * 0.1307)])
def test_a_scene_holds_raw_grey_levels_and_sizes(padding, value):
    told = scene(torch.zeros(2, 1, 20, 28, dtype=torch.uint8), Settings(padding=padding, output_size=7))
    assert told["padding_value"] == pytest.approx(value, abs=1e-3)
    assert [told[name] for name in ("height", "width", "out_height", "out_width")] == [20, 28, 7, 7]
    json.dumps(told)


@pytest.mark.parametrize(
    "images",
    [
        "digits",
        torch.zeros(2, 1, 28, 28),
        torch.zeros(28, 28, dtype=torch.uint8),
        torch.zeros(0, 1, 28, 28, dtype=torch.uint8),
    ],
)
def test_a_page_of_something_else_is_refused(images):
    with pytest.raises((TypeError, ValueError), match=r"^images: expected "):
        page(images)


# By whose numbers, and what is taken


@pytest.fixture(scope="module")
def grey_set():
    """Grey pictures whose numbers are far from MNIST's."""
    images = torch.full((3, 1, 20, 28), 90, dtype=torch.uint8)
    images[:, :, 4:12, 6:20] = 140
    return from_dataset([(image, label) for label, image in enumerate(images)])


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_set_is_normalised_by_its_own_numbers(grey_set, padding):
    theta = random_theta(2)
    size = (3, 1, 20, 28)
    grid = F.affine_grid(torch.tensor(theta).reshape(1, 2, 3).expand(3, 2, 3), size, align_corners=False)
    black = grey_set.background()[0] if padding == "background" else 0.0
    mode = padding if padding in ("border", "reflection") else "zeros"
    inputs = grey_set.normalize(grey_set.images)
    expected = F.grid_sample(inputs - black, grid, padding_mode=mode, align_corners=False) + black
    for images, like in ((grey_set, None), (grey_set.images, grey_set), (grey_set.images.numpy(), grey_set)):
        frame = render(images, Settings(theta, padding), like=like)
        torch.testing.assert_close(frame.output, expected, atol=1e-4, rtol=0)
        assert torch.equal(frame.pixels, (255 * grey_set.denormalize(frame.output)).clamp(0, 255).round().byte())
        outside = 255 * float(grey_set.denormalize(torch.full((1, 1, 1), black)))
        assert scene(images, Settings(theta, padding), like=like)["padding_value"] == pytest.approx(outside, abs=1e-3)


def test_the_background_can_be_another_one(grey_set):
    white = grey_set.background(255)[0]
    far = Settings((1, 0, 5, 0, 1, 0))
    assert (render(grey_set, far, background=white).pixels == 255).all()
    assert scene(grey_set, far, background=white)["padding_value"] == pytest.approx(255)
    assert (render(grey_set, far).pixels == 0).all()


def test_a_class_may_be_called_what_ends_a_script():
    images = [(torch.zeros(1, 28, 28, dtype=torch.uint8) + 40 * label, label) for label in (0, 1)]
    images = from_dataset(images, classes=("a", "</script><b>"))
    text = page(images, STNClassifier(28, num_classes=2, padding_value=images.background()))
    assert text.count("</script>") == 1


def test_a_page_of_a_set_has_its_paddings(grey_set):
    data = json.loads(re.search(r'pageIn\(document.querySelector\("main"\), (.*)\);', page(grey_set))[1])
    assert data["paddings"]["background"]["padding_value"] == pytest.approx(0, abs=1e-9)
    assert data["paddings"]["raw 0 (bright frame)"]["padding_value"] == pytest.approx(255 * grey_set.mean[0])
    assert data["scene"]["height"] == 20


@pytest.mark.parametrize(
    "theta",
    [
        affine_theta(rotation=30),
        affine_theta(rotation=30)[0].numpy(),
        list(affine_theta(rotation=30).numpy().flatten()),
    ],
)
def test_theta_of_any_kind_is_taken(theta):
    assert Settings(theta=theta).theta == tuple(affine_theta(rotation=30).flatten().tolist())


@pytest.mark.parametrize("size", [np.int64(7), torch.tensor(7), (7, 7), np.array([7, 7])])
def test_output_sizes_of_any_kind_are_taken(digits, size):
    assert Settings(output_size=size) == Settings(output_size=7)
    assert render(digits, Settings(output_size=(7, 9))).pixels.shape == (3, 1, 7, 9)


def test_the_playground_does_not_depend_on_torchs_defaults(digits, other_defaults):
    for direction in DIRECTIONS:
        frame = render(digits, Settings((0.9, 0.1, 0.2, -0.1, 0.9, 0), direction=direction))
        assert frame.output.dtype == torch.float32
        assert picture(frame).width == INPUT + GAP + IMAGE
    assert compose(decompose(PRESETS["rotate 45°"])) == pytest.approx(PRESETS["rotate 45°"], abs=1e-6)
    assert page(digits).startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "keywords", "name"),
    [
        ((torch.zeros(0, 1, 8, 8, dtype=torch.uint8), Settings()), {}, "images"),
        ((torch.zeros(1, 1, 8, 8, dtype=torch.uint8, device="meta"), Settings()), {}, "images"),
        ((torch.zeros(1, 1, 8, 8, dtype=torch.uint8), None), {}, "settings"),
        ((torch.zeros(1, 1, 8, 8, dtype=torch.uint8), Settings(), "gpu"), {}, "device"),
        ((torch.zeros(1, 1, 8, 8, dtype=torch.uint8), Settings()), {"like": 5}, "like"),
    ],
)
def test_what_cannot_be_rendered_is_named(arguments, keywords, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        render(*arguments, **keywords)


@pytest.mark.parametrize(
    "changes",
    [
        {"theta": torch.eye(3)},
        {"theta": (True,) * 6},
        {"theta": torch.zeros(1, 2, 3, device="meta")},
        {"grid_align_corners": "no"},
        {"sampler_align_corners": 1},
        {"output_size": (3, 0)},
    ],
)
def test_settings_of_another_kind_are_named(changes):
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(changes))}: expected"):
        Settings(**changes)
