"""The drawings show true numbers."""

import numpy as np
import pytest
import torch

from stncourse import affine_theta, bilinear_sample, load_digits
from stncourse.figures.diagrams import draw_course_map, draw_neighbours, draw_pixel_question, draw_rulers, draw_slope

IMAGE = load_digits("test", source="offline").images[3]


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_the_map_names_every_notebook_and_the_three_parts():
    words = " ".join(texts(draw_course_map())).replace("\n", " ")
    for part in ("01", "02", "03", "04", "05", "06", "localization network", "grid generator", "sampler"):
        assert part in words
    draw_course_map()._repr_mimebundle_()


def test_rulers_show_the_coordinates_of_both_conventions():
    words = texts(draw_rulers(4))
    for number in ("-0.75", "-0.25", "+0.25", "+0.75", "-1.00", "-0.33", "+0.33", "+1.00"):
        assert number in words
    with pytest.raises(ValueError, match="pixels"):
        draw_rulers(9)


def test_the_asking_pixel_points_to_where_theta_says():
    # tx = 0.4 of 28 pixels is 5.6 pixels to the right.
    figure = draw_pixel_question(IMAGE, affine_theta(translation=(0.4, 0)), (14, 5))
    assert figure.alt.endswith("the colour at x = 10.6, y = 14.0")
    figure._repr_mimebundle_()
    with pytest.raises(ValueError, match="pixel"):
        draw_pixel_question(IMAGE, affine_theta(), (28, 0))


def test_the_four_weights_and_their_mix_are_the_samplers():
    x, y = 10.4, 7.8
    figure = draw_neighbours(IMAGE, x, y)
    grid = torch.tensor([[[[(2 * x + 1) / 28 - 1, (2 * y + 1) / 28 - 1]]]])
    mix = bilinear_sample(IMAGE[None] / 255, grid).item()
    assert figure.alt.endswith(f"the mix is {mix:.2f}")
    weights = [float(text.split(" × ")[1]) for text in texts(figure)]
    assert sorted(weights) == pytest.approx([0.08, 0.12, 0.32, 0.48])
    figure._repr_mimebundle_()
    with pytest.raises(ValueError, match="x, y"):
        draw_neighbours(IMAGE, 27.5, 3)


def test_the_tangent_has_the_given_slope():
    positions = torch.linspace(-1, 1, 21)
    figure = draw_slope(positions, positions**2, at=0.5, slope=1.0)
    (x0, x1), (y0, y1) = figure.axes[0].lines[1].get_data()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(1.0)
    assert (y0 + y1) / 2 == pytest.approx(0.25, abs=1e-5)  # and touches the curve


def test_numbers_and_arrays_of_any_kind_are_taken():
    assert draw_rulers(np.int64(4)).alt == draw_rulers(4).alt
    theta = affine_theta(translation=(0.4, 0))
    asked = draw_pixel_question(IMAGE, theta, (14, 5)).alt
    for image, matrix, pixel in ((IMAGE.numpy(), theta[0], [14, 5]), (IMAGE, theta.double(), np.array([14, 5]))):
        assert draw_pixel_question(image, matrix, pixel).alt == asked
    assert (
        draw_neighbours(IMAGE.numpy(), np.float64(10.4), torch.tensor(7.8)).alt == draw_neighbours(IMAGE, 10.4, 7.8).alt
    )
    positions = torch.linspace(-1, 1, 21).requires_grad_()
    expected = draw_slope(positions.detach(), positions.detach() ** 2, 0.5, 1).alt
    assert draw_slope(positions, positions**2, torch.tensor(0.5), np.float32(1)).alt == expected


def test_drawings_do_not_depend_on_torchs_defaults(other_defaults):
    with torch.device("cpu"):
        theta = torch.tensor([[[1.0, 0, 0.4], [0, 1, 0]]], dtype=torch.float32)
        positions = torch.linspace(-1, 1, 21, dtype=torch.float32)
    assert "x = 10.6, y = 14.0" in draw_pixel_question(IMAGE, theta, (14, 5)).alt
    for figure in (draw_rulers(), draw_neighbours(IMAGE, 3.2, 4), draw_slope(positions, positions, 0, 1)):
        figure._repr_mimebundle_()


LINE = torch.linspace(0, 1, 3)
NAN = float("nan")


@pytest.mark.parametrize(
    ("draw", "arguments", "name"),
    [
        (draw_rulers, (2.5,), "pixels"),
        (draw_rulers, (True,), "pixels"),
        (draw_pixel_question, (IMAGE, affine_theta(), (3.5, 4)), "pixel"),
        (draw_pixel_question, (IMAGE, affine_theta(), 3), "pixel"),
        (draw_pixel_question, (IMAGE, affine_theta(), (1, 2, 3)), "pixel"),
        (draw_pixel_question, (IMAGE, affine_theta() * NAN, (3, 4)), "theta"),
        (draw_pixel_question, (torch.rand(2, 8, 8), affine_theta(), (3, 4)), "image"),
        (draw_neighbours, (IMAGE, NAN, 3), "x, y"),
        (draw_neighbours, (IMAGE, "3", 3), "x, y"),
        (draw_neighbours, (torch.rand(1, 1, 1), 0, 0), "x, y"),
        (draw_neighbours, (IMAGE.to("meta"), 3, 3), "image"),
        (draw_slope, (LINE[:0], LINE[:0], 0, 0), "positions"),
        (draw_slope, (LINE, LINE * NAN, 0, 0), "losses"),
        (draw_slope, (LINE, LINE[:2], 0, 0), "losses"),
        (draw_slope, (LINE, LINE, "0", 0), "at"),
        (draw_slope, (LINE, LINE, 0, NAN), "slope"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        draw(*arguments)
