"""Figures: they show what they say, without pyplot, and refuse what would be shown wrongly."""

import base64
import copy
import gc
import io
import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from run_python import run_python

from stncourse import (
    DigitCNN,
    DigitsDataset,
    History,
    SpatialTransformer,
    STNClassifier,
    affine_grid,
    affine_theta,
    bilinear_sample,
    denormalize,
    from_dataset,
    load_digits,
    load_recorded,
    normalize,
    plot_history,
    plot_theta,
    show_before_after,
    show_digits,
    show_grid,
)
from stncourse.data.images import sets_with
from stncourse.figures.figure import Figure, as_pictures, draw_frame, to_pixels
from stncourse.playground.scene import Settings, render

DIGITS = load_digits("test", source="offline")


def shown(ax):
    """The array that imshow was given."""
    return np.asarray(ax.images[0].get_array())


def test_a_figure_shows_itself_in_a_notebook_with_its_words():
    data, metadata = show_digits(DIGITS.images[:3], alt="three digits")._repr_mimebundle_()
    assert data["text/plain"] == "Figure:\nthree digits"  # JupyterLab shows the first line of what is folded
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


def test_the_frame_is_drawn_where_theta_looks():
    ax = Figure(2, 2, "a frame").subplots()
    # Half as wide, shifted right by a quarter of the image: from the middle to the right edge.
    draw_frame(ax, affine_theta(scale=(0.5, 1), translation=(0.5, 0))[0], (10, 20))
    outline = np.stack(ax.lines[0].get_data(), -1)
    np.testing.assert_allclose(outline, [[9.5, -0.5], [19.5, -0.5], [19.5, 9.5], [9.5, 9.5], [9.5, -0.5]], atol=1e-5)
    np.testing.assert_allclose(np.stack(ax.lines[1].get_data(), -1), outline[:2])  # the thick edge is the top


def test_a_frame_is_never_cut_off_and_a_far_one_does_not_shrink_the_image_to_a_dot():
    def limits(*thetas, **options):
        ax = Figure(2, 2, "frames").subplots()
        ax.imshow(np.zeros((10, 20)))
        for theta in thetas:
            draw_frame(ax, theta[0], (10, 20), **options)
        return [*ax.get_xlim(), *ax.get_ylim()]

    large = affine_theta(scale=1.6)  # 30 % of a side beyond every edge
    wide = limits(large)
    assert -8 < wide[0] < -6.5
    assert 25.5 < wide[1] < 27
    assert -4.5 < wide[3] < -3.5
    for both in ((large, affine_theta()), (affine_theta(), large)):  # a frame drawn before stays whole
        assert limits(*both) == pytest.approx(wide)
    assert limits(affine_theta())[0] > -2
    assert limits(affine_theta(scale=50)) == pytest.approx([-20.5, 39.5, 19.5, -10.5])
    assert limits(large, margin=0) == [-0.5, 19.5, 9.5, -0.5]


@pytest.mark.parametrize("family", ["affine", "tps"])
def test_before_after_has_room_for_all_its_frames(family):
    stn = SpatialTransformer.for_images(28, family=family)
    with torch.no_grad():
        bias = stn.localization.fc_loc[-1].bias
        bias.copy_(affine_theta(scale=1.5).flatten() if family == "affine" else bias * 1.5)
    tops = show_before_after(stn, DIGITS.images[:3]).axes[:3]
    for ax in tops:
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        outline = ax.lines[0].get_xydata()
        assert left < outline[:, 0].min() < -4
        assert outline[:, 0].max() < right
        assert top < outline[:, 1].min()
        assert outline[:, 1].max() < bottom
    assert len({ax.get_xlim() for ax in tops}) == 1


@pytest.mark.parametrize(("shape", "output_size"), [((28, 28), None), ((28, 28), (14, 14)), ((20, 40), (9, 12))])
@pytest.mark.parametrize("scale", [1, 1.9])
def test_show_grid_draws_input_and_output_equally_high_with_a_ruler(shape, output_size, scale):
    figure = show_grid(torch.zeros(1, *shape), affine_theta(scale=scale), output_size)
    FigureCanvasAgg(figure).draw()
    heights = []
    for ax, rows in zip(figure.axes, (shape[0], (output_size or shape)[0]), strict=True):
        (_, low), (_, high) = ax.transData.transform([[0, -0.5], [0, rows - 0.5]])
        heights.append(low - high)
    assert heights[1] == pytest.approx(heights[0], rel=0.03)
    left = figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["−1", "−0.5", "0", "0.5", "1"]
    assert left.get_yticks()[[0, 2, 4]].tolist() == [-0.5, shape[0] / 2 - 0.5, shape[0] - 0.5]  # y points down
    assert left.get_ylim()[0] > left.get_ylim()[1]


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


# By whose numbers


def own_set(channels, classes=("cat", "dog"), count=6):
    """Pictures whose mean and standard deviation are far from MNIST's, and a model that pads with their background."""
    generator = torch.Generator().manual_seed(channels)
    images = torch.randint(0, 60, (count, channels, 28, 28), generator=generator).byte()
    images[:, -1] += 150
    images = from_dataset([(image, number % len(classes)) for number, image in enumerate(images)], classes=classes)
    torch.manual_seed(1)
    model = STNClassifier(28, channels, len(classes), padding_value=images.background(150)).eval()
    with torch.no_grad():
        model.stn.localization.fc_loc[-1].bias.copy_(affine_theta(rotation=30, scale=1.5).flatten())
        # Right about each of them, by a hair: with other numbers it would be wrong about some.
        model.classifier.fc2.bias.zero_()
        sure = model(images.normalize(images.images))
        # Between the two in the middle: exactly on one of them, the answer would hang on rounding.
        middle = (sure[:, 0] - sure[:, 1]).sort().values[count // 2 - 1 : count // 2 + 1].mean()
        model.classifier.fc2.bias.copy_(torch.tensor([0.0, middle]))
        answers = model(images.normalize(images.images)).argmax(1)
    assert len(answers.unique()) == 2
    return replace(images, labels=answers), model


def given(images, way):
    return {
        "the set": ((images,), {}),
        "tensors": ((images.images, images.labels), {"like": images}),
        "arrays": ((images.images.numpy(), images.labels.numpy()), {"like": images}),
        "floats": ((images.images / 255, images.labels.tolist()), {"like": images}),
        "another set": ((replace(images, mean=(0.5,) * len(images.mean)),), {"like": images}),
    }[way]


@pytest.mark.parametrize("way", ["the set", "tensors", "arrays", "floats", "another set"])
@pytest.mark.parametrize("channels", [1, 3])
def test_before_after_asks_the_model_by_the_numbers_of_the_set(channels, way):
    images, model = own_set(channels)
    arguments, keywords = given(images, way)
    figure = show_before_after(model, *arguments, **keywords)
    count = len(images)
    names = [images.classes[label] for label in images.labels]
    assert [ax.get_title() for ax in figure.axes] == names + [f"says {name}" for name in names]  # and no ✗
    with torch.no_grad():
        made = images.denormalize(model.stn(images.normalize(images.images))).clamp(0, 1)
    for ax, raw, output in zip(figure.axes[:count], images.images, made, strict=False):
        np.testing.assert_allclose(shown(ax), as_pictures(raw[None])[0])
        np.testing.assert_allclose(
            shown(figure.axes[count + figure.axes.index(ax)]), as_pictures(output[None])[0], atol=1e-5
        )


PARTS = {
    "some": lambda images: (images.images[1:5], images.labels[1:5]),
    "all": lambda images: (images.images, images.labels.tolist()),
    "an array": lambda images: (images.images.numpy()[::2], images.labels[::2].numpy()),
    "of a set that is gone": lambda images: (images.subset([0, 3]).images[:], images.labels[[0, 3]]),
    "of a copied set": lambda images: (copy.deepcopy(images).images[2:], images.labels[2:]),
    "of another set with the same numbers": lambda images: (
        from_dataset(DigitsDataset(images), like=images).images[:3],
        images.labels[:3],
    ),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_part_of_a_sets_own_images_is_recognised(channels, part):
    images, model = own_set(channels)
    pixels, labels = part(images)
    names = [images.classes[label] for label in labels]
    titles = [ax.get_title() for ax in show_before_after(model, pixels, labels).axes]
    assert titles == names + [f"says {name}" for name in names]  # and no ✗
    other = replace(images, images=images.images.clone(), mean=(0.5,) * channels, classes=("x", "y"))
    assert show_before_after(model, pixels, labels, like=other).axes[0].get_title() in "xy"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_sets_of_other_numbers_share_are_refused(channels):
    images, model = own_set(channels)
    other = replace(images, mean=(0.5,) * channels)
    for pixels in (images.images[:2], other.images[:2]):
        with pytest.raises(ValueError, match=r"^like: expected the set that the images come from"):
            show_before_after(model, pixels)
        assert show_before_after(model, pixels, like=other)
    with pytest.raises(ValueError, match=r"^(like|images): expected"):
        render(images.images[:2], Settings())


def test_a_sets_memory_is_not_kept_for_its_being_known():
    images, _ = own_set(1)
    memory = weakref.ref(images.images.untyped_storage())
    assert sets_with(images.images[:2])[0].classes == images.classes
    del images
    gc.collect()
    assert memory() is None


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_tensors_of_several_channels_are_not_taken_for_mnist(channels):
    model = STNClassifier(28, channels)
    with pytest.raises(ValueError, match=r"^(like|images): expected"):
        show_before_after(model, torch.rand(2, channels, 28, 28))


@pytest.mark.parametrize(
    ("like", "error"), [(5, TypeError), (STNClassifier, TypeError), (own_set(3)[0], ValueError), ("mnist", TypeError)]
)
def test_numbers_of_something_else_are_refused(like, error):
    with pytest.raises(error, match=r"^like: expected"):
        show_before_after(STNClassifier(), DIGITS.images[:2], like=like)


def test_digits_are_named_by_their_numbers_and_a_class_without_a_name_too():
    figure = show_before_after(STNClassifier(), DIGITS.subset(slice(3)))
    assert [ax.get_title() for ax in figure.axes[:3]] == [str(label) for label in DIGITS.labels[:3].tolist()]
    images, model = own_set(1)
    with torch.no_grad():
        model.classifier.fc2 = torch.nn.Linear(50, 9)  # it knows more classes than the set
        model.classifier.fc2.bias.copy_(torch.eye(9)[7] * 1000)
    assert show_before_after(model, images).axes[-1].get_title() == "says 7 ✗"


@pytest.mark.parametrize("labels", [[3], [[1, 2]], ["a", "b"], [1.0, 2.0], 3, torch.tensor(3), "ab"])
def test_labels_that_do_not_go_with_the_images(labels):
    with pytest.raises((TypeError, ValueError), match=r"^labels: expected 2 whole numbers"):
        show_before_after(STNClassifier(), DIGITS.images[:2], labels)


def test_a_contact_sheet_of_a_set_has_its_names():
    images, _ = own_set(3)
    assert [ax.get_title() for ax in show_digits(images).axes[:6]] == [images.classes[i] for i in images.labels]
    assert show_digits(images, list("uvwxyz")).axes[5].get_title() == "z"
    assert show_digits(images.images).axes[0].get_title() == ""


# Any model with a transformer in it


def turned(degrees, **options):
    stn = SpatialTransformer.for_images(28, **options)
    with torch.no_grad():
        stn.localization.fc_loc[-1].bias.copy_(affine_theta(rotation=degrees).flatten())
    return stn


class CallsTransform(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.look, self.read = turned(20), DigitCNN()

    def forward(self, images):
        return self.read(self.look.transform(images).images)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: torch.nn.Sequential(turned(20), DigitCNN()),
        lambda: torch.nn.Sequential(torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(turned(20)))),
        lambda: torch.compile(torch.nn.Sequential(turned(20), DigitCNN())),
        lambda: torch.nn.Sequential(torch.compile(turned(20)), DigitCNN()),
        lambda: torch.nn.DataParallel(turned(20)),
        lambda: turned(20).double(),
        lambda: torch.nn.Sequential(turned(20), DigitCNN()).bfloat16(),
        CallsTransform,
    ],
)
def test_before_after_finds_the_transformer_wherever_it_is(wrap):
    figure = show_before_after(wrap(), DIGITS.images[:2], DIGITS.labels[:2])
    assert len(figure.axes) == 4
    outline = np.stack(figure.axes[0].lines[0].get_data(), -1)
    expected = to_pixels(affine_theta(rotation=20)[0] @ torch.tensor([-1.0, -1, 1]), (28, 28))
    np.testing.assert_allclose(outline[0], expected, atol=0.1)
    with torch.no_grad():
        output = denormalize(turned(20)(normalize(DIGITS.images[:2]))).clamp(0, 1)
    np.testing.assert_allclose(shown(figure.axes[2]), output[0, 0], atol=0.02)


def test_of_several_transformers_each_is_shown_with_what_it_got():
    first, second = turned(30), turned(-30, output_size=14)
    figure = show_before_after(torch.nn.Sequential(first, second), DIGITS.images[:3])
    assert len(figure.axes) == 4 * 3
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["input 1", "output 1", "input 2", "output 2"]
    np.testing.assert_allclose(shown(figure.axes[3]), shown(figure.axes[6]), atol=1e-6)
    assert shown(figure.axes[9]).shape == (14, 14)


def test_beside_pictures_a_transformer_of_features_is_named_and_not_shown():
    features = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), SpatialTransformer.for_images(28, 8))
    figure = show_before_after(torch.nn.Sequential(turned(5), features), DIGITS.images[:1])
    assert len(figure.axes) == 2
    assert "1 more that look at features" in figure.alt


@pytest.mark.parametrize("model", [None, "model", DigitCNN(), torch.nn.Sequential(), STNClassifier])
def test_a_model_without_a_transformer_is_refused(model):
    with pytest.raises(TypeError, match=r"^model: expected a SpatialTransformer"):
        show_before_after(model, DIGITS.images[:2])


def test_a_model_whose_output_is_no_picture_is_refused():
    broken = turned(0)
    broken.localization.fc_loc[-1].bias.data.fill_(torch.nan)
    broken.sampler.padding_mode = "border"
    with pytest.raises(ValueError, match=r"^model: expected a transformer that passes on numbers"):
        show_before_after(broken, DIGITS.images[:2])
    with pytest.raises(ValueError, match=r"^model: expected weights with numbers"):
        show_before_after(STNClassifier().to("meta"), DIGITS.images[:2])


def test_before_after_puts_back_the_mode_of_every_module():
    model = torch.nn.Sequential(turned(0), torch.nn.BatchNorm2d(1), torch.nn.Dropout(), DigitCNN()).train()
    model[1].eval()
    model[3].conv2_drop.eval()
    modes = [module.training for module in model.modules()]
    statistics = model[1].running_mean.clone()
    show_before_after(model, DIGITS.images[:2], DIGITS.labels[:2])
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model[1].running_mean, statistics)
    model[3].fc2 = torch.nn.Linear(3, 3)  # and when it fails
    with pytest.raises(RuntimeError):
        show_before_after(model, DIGITS.images[:2])
    assert [module.training for module in model.modules()] == modes
    assert not model[0]._forward_hooks


# Nothing is left out


def run(epochs=3, **changes):
    rows = [
        {"epoch": i, "train_loss": 1 / i, "test_loss": 2 / i, "test_accuracy": 1 - 0.5 / i}
        for i in range(1, epochs + 1)
    ]
    for name, values in changes.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return History({"name": "x"}, rows)


def look(line):
    return line.get_color(), line.get_marker(), line.get_linestyle(), line._unscaled_dash_pattern, line.get_fillstyle()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("count", [1, 2, 6, 7, 8, 40, 90])
def test_every_run_is_drawn_with_lines_of_its_own(count):
    figure = plot_history({f"run {i}": run(2) for i in range(count)})
    loss, accuracy = figure.axes
    assert (len(loss.lines), len(accuracy.lines)) == (2 * count, count)
    assert len({look(line) for line in loss.lines}) == 2 * count
    assert len({look(line) for line in accuracy.lines}) == count
    assert legend(loss) == [f"run {i}: {part}" for i in range(count) for part in ("train", "test")]
    assert legend(accuracy) == [f"run {i} (ends at 75.00 %)" for i in range(count)]
    assert f"run {count - 1}" in figure.alt
    if count in (8, 90):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        for ax in figure.axes:
            box = ax.get_legend().get_window_extent(renderer)
            assert 0 <= box.y0 < box.y1 < ax.get_window_extent(renderer).y0  # below, and on the page


NAMES = [
    "_hidden",
    "__",
    "$",
    "$x$",
    "$x_{$",
    "\\frac{1",
    "50 %",
    "%s",
    "a & b #1 ~ ^",
    "",
    "x" * 300,
    "naïve θ",
    7,
    None,
]


def test_no_legend_lies_on_the_lines():
    snapshots = [{"step": s, "theta": [[[1 + s, 0, 0.1 * s], [0, 1, -0.1 * s]]]} for s in range(3)]
    for figure in (plot_history({"a": run(), "b": run()}), plot_theta(History({}, theta=snapshots))):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for ax in figure.axes:
            words = ax.get_legend().get_window_extent(canvas.get_renderer())
            assert 0 <= words.y0 < words.y1 < ax.get_window_extent(canvas.get_renderer()).y0


@pytest.mark.parametrize("name", NAMES)
def test_names_are_written_as_they_are(name):
    figure = plot_history({name: run(1), "other": run(1)})
    written = "".join(legend(figure.axes[0])[0].split("\n"))
    assert written == f"{name}: train" or (len(str(name)) > 100 and written.startswith("xxx") and "…" in written)
    figure._repr_mimebundle_()
    sheet = show_digits(DIGITS.images[:2], [name, name])
    assert str(name).startswith(sheet.axes[0].get_title().split("\n")[0].rstrip("…"))
    sheet._repr_mimebundle_()
    grid = show_grid(DIGITS.images[0], affine_theta(), title="" if name is None else name)
    assert not grid.axes[0].title.get_parse_math()
    grid._repr_mimebundle_()
    images, model = own_set(1, (str(name), "dog"))
    before_after = show_before_after(model, images)
    assert len(before_after.axes) == 12
    before_after._repr_mimebundle_()


@pytest.mark.parametrize("text", ["a\tb", "a\rb", "\x00", "\ud800", "\u200b", "a\nb"])
def test_what_no_font_has_does_not_stop_a_figure(text):
    figure = show_digits(DIGITS.images[:1], [text], alt=text)
    figure._repr_mimebundle_()
    json.dumps(figure.alt).encode()
    plot_history({text: run(1), "a b": run(1)})._repr_mimebundle_()


def test_names_that_become_the_same_are_still_two_runs():
    assert len(plot_history({"a\t": run(), "a ": run(), 1: run(), "1": run()}).axes[1].lines) == 4


def test_what_cannot_be_drawn_is_said():
    nan, inf = float("nan"), float("inf")
    figure = plot_history({"a": run(3, train_loss=[1, nan, inf], test_loss=[nan] * 3, test_accuracy=[None, 0.5, None])})
    loss, accuracy = figure.axes
    assert legend(loss) == ["a: train (2 of 3 not drawn)", "a: test (3 of 3 not drawn)"]
    assert legend(accuracy) == ["a (ends at 50.00 %) (2 of 3 not drawn)"]
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), [nan, 50, nan])
    figure._repr_mimebundle_()


@pytest.mark.parametrize("losses", [[1.0, 0.0, 2.0], [1.0, -77.2, 3.0], [-1, -2, -3]])
def test_a_loss_that_a_logarithm_would_drop_is_drawn(losses):
    assert plot_history(run(3, train_loss=losses)).axes[0].get_yscale() == "linear"
    assert plot_history(run(3)).axes[0].get_yscale() == "log"


def test_a_run_of_one_epoch_is_seen():
    for line in plot_history(run(1)).axes[0].lines:
        assert line.get_marker() not in ("", "None", None)


@pytest.mark.parametrize("rows", [[{}], [{"epoch": 1}], [None], "rows"])
def test_rows_that_fit_did_not_record_are_refused(rows):
    with pytest.raises((TypeError, ValueError), match=r"^histories: expected"):
        plot_history(History({}, rows))
    with pytest.raises(ValueError, match=r"^histories: expected"):
        plot_history({})


def drawn_theta(matrices, probe=0):
    snapshots = [{"step": 10 * i, "theta": [matrix]} for i, matrix in enumerate(matrices)]
    figure = plot_theta(History({}, theta=snapshots), probe)
    figure._repr_mimebundle_()
    return figure, {line.get_label(): line.get_ydata().tolist() for ax in figure.axes for line in ax.lines}


def test_every_number_of_a_projective_theta_is_drawn():
    matrices = torch.arange(27.0).reshape(3, 3, 3)
    matrices[:, 2, 2] = 1
    figure, lines = drawn_theta(matrices.tolist())
    names = ("θ₁₁", "θ₁₂", "tx", "θ₂₁", "θ₂₂", "ty", "θ₃₁", "θ₃₂")
    assert lines == {name: matrices.flatten(1)[:, place].tolist() for place, name in enumerate(names)}
    assert "eight numbers" in figure.alt
    matrices[1, 2, 2] = 2  # the ninth, where it says something
    figure, lines = drawn_theta(matrices.tolist())
    assert lines["θ₃₃"] == [1, 2, 1]
    assert "nine numbers" in figure.alt
    looks = [(line.get_color(), line.get_marker()) for line in figure.axes[-1].lines]
    assert len(set(looks)) == 3


def test_a_theta_that_is_nan_is_said():
    figure, _ = drawn_theta([[[1.0, 0, 0], [0, 1, 0]], [[float("nan"), 0, 0], [0, 1, 0]]])
    assert "θ₁₁ (1 of 2 not drawn)" in legend(figure.axes[0])


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ([{"step": 0, "theta": None}], "no matrix, such as a spline"),
        ([{"step": 0, "theta": [[[1.0] * 3] * 2]}, {"step": 1, "theta": None}], "no matrix"),
        ([{"step": 0, "theta": [[[1.0] * 3] * 2]}, {"step": 1, "theta": [[[1.0] * 3] * 3]}], "at every step"),
        ([{"step": 0, "theta": [1.0]}], "of shape"),
        ([{"step": 0, "theta": []}], "of shape"),
        ([{"step": 0}], "snapshots"),
        ([], "call fit"),
    ],
)
def test_a_history_without_a_matrix_to_draw(theta, message):
    with pytest.raises(ValueError, match=f"^history: expected.*{message}"):
        plot_theta(History({}, theta=theta))


# What is taken, and what is not


def test_figures_do_not_depend_on_torchs_defaults(other_defaults):
    with torch.device("cpu"):
        theta, model = torch.tensor([[0.9, 0.1, 0.0], [-0.1, 0.9, 0.2]], dtype=torch.float32), STNClassifier()
        float32 = STNClassifier().float()
    history = History({"name": "x"}, run().epochs, [{"step": i, "theta": [theta.tolist()]} for i in range(2)])
    for figure in (
        show_digits(DIGITS.images[:2]),
        show_grid(DIGITS.images[3], theta),
        show_before_after(model, DIGITS.subset(slice(2))),
        show_before_after(float32, DIGITS.images[:2]),
        plot_history(history),
        plot_theta(history),
    ):
        figure._repr_mimebundle_()
    expected = bilinear_sample(DIGITS.images[3:4].float() / 255, affine_grid(theta[None], (28, 28)))[0, 0]
    np.testing.assert_allclose(shown(show_grid(DIGITS.images[3], theta).axes[1]), expected, atol=1e-6)


@pytest.mark.parametrize("size", [np.int64(9), torch.tensor(9), np.array([9, 9]), [9, 9]])
@pytest.mark.parametrize("every", [np.int32(3), torch.tensor(3)])
def test_arrays_and_numbers_of_any_kind_are_taken(size, every):
    theta = affine_theta(rotation=20)
    expected = show_grid(DIGITS.images[3], theta, 9, every=3)
    figure = show_grid(DIGITS.images[3].numpy(), theta[0].numpy(), size, every=every)
    np.testing.assert_array_equal(shown(figure.axes[1]), shown(expected.axes[1]))
    assert figure.alt == expected.alt
    backwards = show_digits(DIGITS.images.numpy()[4::-1], np.arange(5), columns=every)
    np.testing.assert_allclose(shown(backwards.axes[4]), DIGITS.images[0, 0] / 255)


META = DIGITS.images[:2].to("meta")
NAN = affine_theta() * float("nan")


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (show_digits, (META,), "images"),
        (show_digits, (torch.zeros(2, 1, 5, 0),), "images"),
        (show_digits, (torch.zeros(1, 1, 4, 4).to_sparse(),), "images"),
        (show_digits, (DIGITS.images[:2] > 3,), "images"),
        (show_digits, (np.array([["a"]], dtype=object),), "images"),
        (show_digits, (DIGITS.images[:2], "ab"), "titles"),
        (show_digits, (DIGITS.images[:2], 5), "titles"),
        (show_digits, (DIGITS.images[:1], torch.tensor(5)), "titles"),
        (show_digits, (DIGITS.images[:2], None, 2.0), "columns"),
        (show_digits, (DIGITS.images[:2], None, True), "columns"),
        (show_digits, (DIGITS.images, None, 1), "width, height"),
        (show_grid, (META[0], NAN), "image"),
        (show_grid, (torch.rand(2, 8, 8), NAN), "image"),
        (show_grid, (normalize(DIGITS.images[0]), NAN), "image"),
        (show_grid, (DIGITS.images[0], NAN), "theta"),
        (show_grid, (DIGITS.images[0], NAN.to("meta")), "theta"),
        (show_grid, (DIGITS.images[0], torch.eye(4)), "theta"),
        (show_grid, (DIGITS.images[0], affine_theta(), 0), "output_size"),
        (show_grid, (DIGITS.images[0], affine_theta(), None, "zeros", 0.5), "every"),
        (show_before_after, (STNClassifier(), META), "images"),
        (show_before_after, (STNClassifier(), DIGITS.images[:0]), "images"),
        (show_before_after, (STNClassifier(), DIGITS.subset(slice(500))), "width, height"),
        (plot_history, ([],), "histories"),
        (plot_history, (History(None, None),), "histories"),
        (plot_theta, (None,), "history"),
        (plot_theta, (History({}, theta=[{"step": 0, "theta": [[[1.0] * 3] * 2]}]), 0.5), "probe"),
        (plot_theta, (History({}, theta=[{"step": 0, "theta": [[[1.0] * 3] * 2]}]), -1), "probe"),
        (plot_theta, (History({}, theta=[{"step": 0, "theta": [[[1.0] * 3] * 2]}]), True), "probe"),
    ],
)
def test_what_cannot_be_shown_is_named(function, arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        function(*arguments)
