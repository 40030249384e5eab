"""The control-point playground: what it shows is torch's, its words are true, and nothing set breaks it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import traitlets

from stncourse import AffineGrid, ThinPlateSplineGrid, affine_theta, control_points_playground, projective_theta
from stncourse.playground.sheet import pictures_to_warp
from stncourse.playground.warping import home, mirrored, presets, warp
from stncourse.transformer.grids import FAR, projective_grid

DIGIT = pictures_to_warp()["a 3"]
ALL_PRESETS = [(family, name) for family in ("tps", "projective") for name in presets(family)]


def at_random(family, seed, spread=0.2):
    noise = torch.randn(home(family).shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return home(family).double() + spread * noise


# What it shows


@pytest.mark.parametrize("family", ["tps", "projective"])
def test_warp_is_the_grid_and_torchs_sampler(family):
    for seed in range(5):
        points = at_random(family, seed)
        image = torch.randint(256, (20, 27), generator=torch.Generator().manual_seed(seed)).byte()
        if family == "tps":
            grid = ThinPlateSplineGrid(4)(points.reshape(1, -1), (20, 27))
        else:
            grid = projective_grid(projective_theta(points[None]), (20, 27))
        expected = F.grid_sample(image[None, None].double(), grid, align_corners=False).round().byte()
        made = warp(image, family, points)
        assert torch.equal(made.grid, grid[0])
        assert torch.equal(made.pixels, expected[0, 0])


@pytest.mark.parametrize(("family", "name"), ALL_PRESETS)
def test_every_preset_can_be_shown_and_changes_the_picture(family, name):
    points = presets(family)[name]
    assert points.shape == home(family).shape
    assert points.abs().max() <= 1.5  # it can be dragged there
    assert torch.equal(warp(DIGIT, family, points).pixels, DIGIT) == (name == "identity")


@pytest.mark.parametrize("family", ["tps", "projective"])
def test_turned_points_are_an_affine_turn(family):
    grid = AffineGrid()(affine_theta(rotation=30).reshape(1, 6), tuple(DIGIT.shape))
    made = warp(DIGIT, family, presets(family)["turn"]).grid.float()
    torch.testing.assert_close(made, grid[0], atol=1e-5, rtol=0)


def test_mirrored_cells():
    def grid(points, family="tps"):
        return warp(DIGIT, family, points).grid

    still = home("tps")
    assert not mirrored(grid(still)).any()
    assert mirrored(grid(still * torch.tensor([-1.0, 1.0]))).all()
    assert not mirrored(grid(-still)).any()  # half a turn mirrors nothing
    assert not mirrored(grid(0 * still)).any()  # all on one point: no cell has a side
    folded = mirrored(grid(presets("tps")["fold"]))
    assert folded[13, 13]  # where the points have changed sides
    assert not folded[0].any()
    beyond = grid(presets("projective")["horizon"], "projective")
    assert (beyond[0, 0] == FAR).all()
    assert not mirrored(beyond)[0, 0]  # not seen


@pytest.mark.parametrize(
    ("family", "points", "words"),
    [
        ("tps", home("tps"), "Every control point looks at its own place: the picture comes out unchanged."),
        ("projective", home("projective"), "Every corner looks at its own place: the picture comes out unchanged."),
        (
            "tps",
            home("tps") + torch.eye(16)[:, 5:6] * 0.2,
            "1 of 16 control points looks elsewhere, the furthest 0.28 away. The sheet does not fold.",
        ),
        (
            "projective",
            home("projective") * torch.tensor([-1.0, 1.0]),
            "4 of 4 corners look elsewhere, the furthest 2.00 away. 100 % of the output is mirrored.",
        ),
    ],
)
def test_words(family, points, words):
    assert warp(DIGIT, family, points).words == words


def test_words_tell_of_folds_and_the_horizon_with_their_share():
    folded = warp(DIGIT, "tps", presets("tps")["fold"])
    share = 100 * mirrored(folded.grid).double().mean()
    assert f" {share:.0f} % of the output is mirrored: the sheet folds." in folded.words
    beyond = warp(DIGIT, "projective", presets("projective")["horizon"])
    share = 100 * (beyond.grid[..., 0] == FAR).double().mean()
    assert f" {share:.0f} % of it lies behind, and is background." in beyond.words
    assert beyond.pixels[beyond.grid[..., 0] == FAR].max() == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((DIGIT.float().tolist(), "tps", home("tps")), "image"),
        ((DIGIT[None], "tps", home("tps")), "image"),
        ((DIGIT, "affine", home("tps")), "family"),
        ((DIGIT, "projective", home("tps")), "points"),
        ((DIGIT, "projective", torch.zeros(4, 2)), "corners"),
    ],
)
def test_warp_errors_name_the_argument(arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        warp(*arguments)


# The widget


def test_the_page_gets_what_it_needs_to_make_the_same_grid():
    playground = control_points_playground()
    base = torch.frombuffer(bytearray(playground.base), dtype=torch.float32).reshape(-1, 2).double()
    weights = torch.frombuffer(bytearray(playground.weights), dtype=torch.float32).reshape(-1, 16).double()
    points = at_random("tps", 0)
    places = base + weights @ (points - home("tps").double())
    torch.testing.assert_close(places[: 28 * 28].reshape(28, 28, 2), warp(DIGIT, "tps", points).grid, atol=1e-6, rtol=0)
    lines, steps = playground.scene["net"]
    net = base[28 * 28 :].reshape(lines, steps, 2)
    assert (net.diff(dim=1).abs().amin(-1) < 1e-6).all()  # each line goes across or down
    assert net.abs().amax() == 1
    assert len(playground.images) == 28 * 28 * len(playground.scene["names"])
    assert playground.images[28 * 28 * 3 : 28 * 28 * 4] == DIGIT.numpy().tobytes()


def test_the_widget_shows_what_it_is_set_to():
    playground = control_points_playground(picture=3)
    assert torch.equal(playground.warped.pixels, DIGIT)
    playground.points = presets("tps")["bend"].tolist()
    assert torch.equal(playground.warped.pixels, warp(DIGIT, "tps", presets("tps")["bend"]).pixels)
    playground.family = "projective"  # other points: they start at home
    assert playground.points == home("projective").tolist()
    playground.points = presets("projective")["keystone"].tolist()
    playground.picture = 10
    board = pictures_to_warp()["checkerboard"]
    expected = warp(board, "projective", presets("projective")["keystone"])
    assert torch.equal(playground.warped.pixels, expected.pixels)
    assert playground.warped.words == expected.words


@pytest.mark.parametrize(
    ("name", "value"),
    [("points", [[0, 0]] * 4), ("points", [[0.0]] * 16), ("points", [[0.0, float("nan")]] * 16), ("points", None),
     ("picture", 11), ("picture", -1), ("family", "affine")],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(name, value):
    playground = control_points_playground()
    before = getattr(playground, name)
    with pytest.raises(traitlets.TraitError):
        setattr(playground, name, value)
    assert getattr(playground, name) == before


def test_corners_on_one_line_are_said():
    playground = control_points_playground(family="projective")
    playground.points = [[0.0, 0.0]] * 4
    with pytest.raises(ValueError, match=r"^corners: expected no three on one line"):
        _ = playground.warped


def test_pictures_of_your_own():
    playground = control_points_playground({"noise": DIGIT.new_full((20, 41), 9), "more": DIGIT.new_zeros(20, 41)})
    assert playground.scene["names"] == ["noise", "more"]
    assert playground.warped.pixels.shape == (20, 41)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"pictures": DIGIT}, "pictures"),
        ({"pictures": {}}, "pictures"),
        ({"pictures": {"a": DIGIT.float()}}, "pictures"),
        ({"pictures": {"a": DIGIT, "b": DIGIT[1:]}}, "pictures"),
        ({"pictures": {"a": DIGIT[:1]}}, "pictures"),
        ({"family": "affine"}, "family"),
        ({"picture": 11}, "picture"),
        ({"picture": 1.0}, "picture"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        control_points_playground(**arguments)


# Colab's ipywidgets, and ours

SCRIPT = """
from stncourse import control_points_playground
from stncourse.playground.warping import home, presets

playground, seen = control_points_playground(picture=3), []
playground.observe(lambda change: seen.append(change["name"]), names=["family", "points"])
playground.set_state({"points": presets("tps")["fold"].tolist()})  # as the page does
assert "the sheet folds" in playground.warped.words
playground.set_state({"family": "projective", "points": home("projective").tolist()})
assert playground.warped.words.startswith("Every corner")
assert seen.count("family") == 1 and playground.points == home("projective").tolist()
state = playground.get_state()
assert {"family", "points", "picture", "scene", "images", "base", "weights", "_esm"} <= set(state)
"""


def test_it_works_with_ipywidgets(run_with_ipywidgets):
    run_with_ipywidgets(SCRIPT)


def test_arrays_lists_and_numbers_of_any_kind_are_taken():
    points = presets("tps")["bend"]
    expected = warp(DIGIT, "tps", points)
    for image, places in ((DIGIT.numpy(), points.numpy()), (DIGIT, points.tolist()), (DIGIT, points.double())):
        made = warp(image, "tps", places)
        assert torch.equal(made.pixels, expected.pixels)
        assert made.words == expected.words
    playground = control_points_playground({"a": DIGIT.numpy(), "b": DIGIT}, picture=np.int64(1))
    for places in (points, points.numpy()):
        playground.points = home("tps").tolist()
        playground.points = places
        assert playground.warped.words == expected.words
    playground.picture = torch.tensor(0)
    assert type(playground.picture) is int


def test_control_points_do_not_depend_on_torchs_defaults(other_defaults):
    for family in ("tps", "projective"):
        playground = control_points_playground(family=family)
        for points in presets(family).values():
            playground.points = points.tolist()
            assert playground.warped.pixels.shape == (28, 28)
    assert playground.warped.words.startswith("2 of 4 corners")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((DIGIT / 255, "tps", home("tps")), "image"),
        ((DIGIT.to("meta"), "tps", home("tps")), "image"),
        ((DIGIT[:0], "tps", home("tps")), "image"),
        ((DIGIT, "tps", home("tps") * float("nan")), "points"),
        ((DIGIT, "tps", home("tps").to("meta")), "points"),
        ((DIGIT, "tps", "points"), "points"),
        ((DIGIT, "tps", None), "points"),
    ],
)
def test_what_cannot_be_warped_is_named(arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        warp(*arguments)
