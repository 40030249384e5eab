"""Figures: they show what they say, without pyplot, and refuse what would be shown wrongly."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from run_python import run_python

from stncourse import (
    DigitCNN,
    History,
    SpatialTransformer,
    STNClassifier,
    affine_grid,
    affine_theta,
    bilinear_sample,
    load_digits,
    load_recorded,
    normalize,
    plot_history,
    plot_theta,
    show_before_after,
    show_digits,
    show_grid,
)
from stncourse.visualization import Figure, as_pictures, draw_box, to_pixels

DIGITS = load_digits("test", source="offline")


def shown(ax):
    """The array that imshow was given."""
    return np.asarray(ax.images[0].get_array())


def test_a_figure_shows_itself_in_a_notebook_with_its_words():
    data, metadata = show_digits(DIGITS.images[:3], alt="three digits")._repr_mimebundle_()
    assert data["text/plain"] == "Figure: three digits"
    assert metadata["image/png"]["alt"] == "three digits"
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    # Sharper than its size on the page, in the same proportions.
    width, height = metadata["image/png"]["width"], metadata["image/png"]["height"]
    assert picture.width / width == pytest.approx(picture.height / height, rel=0.02)
    assert picture.width > 1.5 * width


def png_of(figure):
    return Image.open(io.BytesIO(base64.b64decode(figure._repr_mimebundle_()[0]["image/png"])))


def test_a_figure_has_few_colours_where_that_cannot_be_seen():
    digits = show_digits(DIGITS.images[:3])
    assert png_of(digits).mode == "P"
    whole = io.BytesIO()
    digits.savefig(whole, format="png", dpi=168)
    whole = np.asarray(Image.open(whole).convert("RGB")).astype(int)
    assert np.abs(np.asarray(png_of(digits).convert("RGB")) - whole).max() <= 8
    torch.manual_seed(0)
    photo = show_digits(torch.rand(2, 3, 40, 40))
    assert png_of(photo).mode != "P"


def test_no_figure_needs_pyplot():
    program = (
        "import sys, torch; from stncourse import show_digits, load_recorded, plot_history; "
        "show_digits(torch.zeros(2, 1, 8, 8))._repr_mimebundle_(); plot_history(load_recorded())._repr_mimebundle_(); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    run_python("-c", program)


@pytest.mark.parametrize("function", [show_digits, show_grid, show_before_after, plot_history])
def test_every_figure_can_be_drawn(function):
    arguments = {
        show_digits: (DIGITS.images[:12],),
        show_grid: (DIGITS.images[0], affine_theta(rotation=20)),
        show_before_after: (STNClassifier(), DIGITS.images[:2], DIGITS.labels[:2]),
        plot_history: (load_recorded(),),
    }
    figure = function(*arguments[function])
    assert isinstance(figure, Figure)
    assert figure.alt
    figure._repr_mimebundle_()


def test_show_digits_shows_the_pixels_with_their_titles():
    figure = show_digits(DIGITS.images[:5], DIGITS.labels[:5], columns=3)
    assert len(figure.axes) == 6
    for index in range(5):
        np.testing.assert_allclose(shown(figure.axes[index]), DIGITS.images[index, 0].numpy() / 255)
        assert figure.axes[index].get_title() == str(DIGITS.labels[index].item())
        assert figure.axes[index].images[0].get_clim() == (0, 1)  # black is black, whatever the digit


def test_colour_images_are_shown_in_colour():
    images = torch.rand(2, 3, 6, 4)
    pictures = as_pictures(images)
    assert pictures[0].shape == (6, 4, 3)
    np.testing.assert_allclose(pictures[1][2, 3], images[1, :, 2, 3])


def test_normalised_images_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="denormalize"):
        show_digits(normalize(DIGITS.images[:2]))


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (None, TypeError),
        (torch.zeros(28, 28), ValueError),
        (torch.zeros(2, 2, 8, 8), ValueError),
        (torch.zeros(0, 1, 8, 8), ValueError),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), TypeError),
        (torch.full((1, 1, 2, 2), float("nan")), ValueError),
    ],
)
def test_show_digits_refuses_what_is_no_picture(images, error):
    with pytest.raises(error, match="images"):
        show_digits(images)


def test_titles_have_to_match_the_images():
    with pytest.raises(ValueError, match="titles: expected 3"):
        show_digits(DIGITS.images[:3], ["a", "b"])


def test_show_grid_shows_what_the_sampler_makes():
    theta = affine_theta(rotation=25, scale=0.7, translation=(0.3, -0.2))
    image = DIGITS.images[3]
    figure = show_grid(image, theta, output_size=(14, 20))
    expected = bilinear_sample(image[None] / 255, affine_grid(theta, (14, 20)))[0, 0]
    np.testing.assert_allclose(shown(figure.axes[1]), expected, atol=1e-6)
    dots = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(dots[0], to_pixels(affine_grid(theta, (14, 20))[0, 0, 0], (28, 28)), atol=1e-5)


def test_the_box_is_drawn_where_theta_looks():
    ax = Figure(2, 2, "box").subplots()
    # Half as wide, shifted right by a quarter of the image: from the middle to the right edge.
    draw_box(ax, affine_theta(scale=(0.5, 1), translation=(0.5, 0))[0], (10, 20))
    outline = np.stack(ax.lines[0].get_data(), -1)
    np.testing.assert_allclose(outline, [[9.5, -0.5], [19.5, -0.5], [19.5, 9.5], [9.5, 9.5], [9.5, -0.5]], atol=1e-5)
    np.testing.assert_allclose(np.stack(ax.lines[1].get_data(), -1), outline[:2])  # the thick edge is the top


def test_before_after_shows_input_and_output_and_marks_mistakes():
    torch.manual_seed(0)
    model = STNClassifier(padding_value=0.0).train()
    with torch.no_grad():
        model.stn.localization.fc_loc[-1].bias.copy_(affine_theta(scale=0.5).flatten())
    figure = show_before_after(model, DIGITS.images[:4], DIGITS.labels[:4])
    assert model.training  # left as it was
    assert len(figure.axes) == 8
    expected = bilinear_sample(
        DIGITS.images[:4] / 255, affine_grid(affine_theta(scale=0.5).expand(4, -1, -1), (28, 28))
    )
    for index in range(4):
        np.testing.assert_allclose(shown(figure.axes[index]), DIGITS.images[index, 0].numpy() / 255)
        np.testing.assert_allclose(shown(figure.axes[4 + index]), expected[index, 0], atol=1e-5)
    with torch.no_grad():
        answers = model.eval()(normalize(DIGITS.images[:4])).argmax(1)
    for ax, answer, label in zip(figure.axes[4:], answers, DIGITS.labels, strict=False):
        assert ax.get_title() == f"says {answer}" + ("" if answer == label else " ✗")


@pytest.mark.parametrize("family", ["projective", "tps"])
def test_before_after_draws_the_frame_of_every_family(family):
    figure = show_before_after(SpatialTransformer.for_images(28, family=family), DIGITS.images[:1])
    outline = np.stack(figure.axes[0].lines[0].get_data(), -1)
    assert [outline.min(), outline.max()] == pytest.approx([-0.5, 27.5], abs=0.51)  # the identity: the whole image
    np.testing.assert_allclose(outline[0], outline[-1], atol=1e-4)  # closed


def test_before_after_takes_a_bare_transformer_and_refuses_a_network_without_one():
    assert show_before_after(SpatialTransformer.for_images(28), DIGITS.images[:2], DIGITS.labels[:2]).axes
    with pytest.raises(TypeError, match="model"):
        show_before_after(DigitCNN(), DIGITS.images[:2])


def test_history_curves_are_the_recorded_numbers():
    history = load_recorded()
    figure = plot_history({"ours": history, "again": history})
    loss, accuracy = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), history.column("train_loss"))
    np.testing.assert_allclose(loss.lines[1].get_ydata(), history.column("test_loss"))
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [100 * a for a in history.column("test_accuracy")])
    assert len(accuracy.lines) == 2
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)


def test_history_without_test_digits_shows_the_training_loss():
    row = {"epoch": 1, "train_loss": 1.0, "test_loss": None, "test_accuracy": None}
    assert len(plot_history(History({"name": "x"}, [row])).axes[0].lines) == 1


@pytest.mark.parametrize(("wrong", "error"), [(None, TypeError), ({"a": 3}, TypeError), (History({}), ValueError)])
def test_plot_history_refuses_what_is_no_history(wrong, error):
    with pytest.raises(error, match="histories"):
        plot_history(wrong)


def test_theta_curves_are_the_recorded_numbers():
    snapshots = [{"step": s, "theta": [[[1 + s, 0, 0.1 * s], [0, 1, -0.1 * s]]] * 2} for s in range(3)]
    figure = plot_theta(History({}, theta=snapshots), probe=1)
    lines = {line.get_label(): line.get_ydata().tolist() for ax in figure.axes for line in ax.lines}
    assert set(lines) == {"θ₁₁", "θ₁₂", "tx", "θ₂₁", "θ₂₂", "ty"}
    assert lines["θ₁₁"] == [1, 2, 3]
    np.testing.assert_allclose(lines["ty"], [0, -0.1, -0.2], atol=1e-6)
    with pytest.raises(ValueError, match="probe: expected 0 to 1"):
        plot_theta(History({}, theta=snapshots), probe=2)
    with pytest.raises(ValueError, match="history"):
        plot_theta(History({}))
