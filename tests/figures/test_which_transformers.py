"""show_before_after: of several transformers which are shown, of features, of other numbers of channels."""

import numpy as np
import pytest
import torch

from stncourse import (
    AffineGrid,
    SpatialTransformer,
    STNClassifier,
    affine_theta,
    from_dataset,
    load_digits,
    normalize,
    show_before_after,
    to_pixels,
)

DIGITS = load_digits("test", source="offline")


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def turned(degrees, size=28, **options):
    stn = SpatialTransformer.for_images(size, **options)
    stn.localization.start_at(affine_theta(rotation=degrees).flatten())
    return stn


def corner(degrees, size=(28, 28)):
    return to_pixels(affine_theta(rotation=degrees)[0] @ torch.tensor([-1.0, -1, 1]), size).numpy()


def test_of_features_the_mean_is_shown():
    torch.manual_seed(0)
    features = torch.nn.Sequential(torch.nn.Conv2d(1, 8, (3, 5)), turned(20, (26, 24), channels=8, output_size=9))
    figure = show_before_after(torch.nn.Sequential(features, torch.nn.ReLU(inplace=True)), DIGITS.images[:3])
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["features", "output"]
    assert "the mean over their channels" in figure.alt
    with torch.no_grad():
        maps = features[0](normalize(DIGITS.images[:3]))
        means, read = maps.mean(1), features[1](maps).mean(1)
    for index in range(3):
        low, high = means[index].min(), means[index].max()
        np.testing.assert_allclose(shown(figure.axes[index]), (means[index] - low) / (high - low), atol=1e-5)
        expected = ((read[index] - low) / (high - low)).clamp(0, 1)
        np.testing.assert_allclose(shown(figure.axes[3 + index]), expected, atol=1e-5)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xydata()[0], corner(20, (26, 24)), atol=1e-4)


def test_features_without_any_contrast_are_shown_too():
    flat = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), turned(0, channels=2))
    flat[0].weight.data.zero_()
    show_before_after(flat, DIGITS.images[:1])._repr_mimebundle_()


class Several(torch.nn.Module):
    """Two look at the image, the second twice and by ``transform``; one looks at features; one never looks."""

    def __init__(self):
        super().__init__()
        self.left, self.twice, self.deep, self.idle = turned(10), turned(-20), turned(30, channels=2), turned(40)

    def forward(self, images):
        left = self.left(images)
        once = self.twice.transform(images).images
        return self.deep(torch.cat([left, self.twice.transform(images=once).images], 1))


WHICH = [
    (None, [10, -20, -20]),
    (0, [10]),
    (1, [-20, -20]),
    (2, [30]),
    ([2, 0], [30, 10]),
    (np.array([0, 1]), [10, -20, -20]),
    (torch.tensor(2), [30]),
]


@pytest.mark.parametrize(("which", "degrees"), WHICH, ids=repr)
def test_which_transformers_are_shown_can_be_said(which, degrees):
    model = Several()
    figure = show_before_after(model, DIGITS.images[:2], which=which)
    assert len(figure.axes) == 4 * len(degrees)
    corners = [ax.lines[0].get_xydata()[0] for ax in figure.axes[::4]]
    np.testing.assert_allclose(corners, [corner(d) for d in degrees], atol=1e-4)
    assert all("transform" not in vars(stn) for stn in model.children())


@pytest.mark.parametrize("which", [-1, 4, 3, [], [0, 9], [0, None], 0.0, True, "left"], ids=repr)
def test_a_transformer_that_is_not_there_or_does_not_look_is_refused(which):
    with pytest.raises(ValueError, match=r"^which: expected"):
        show_before_after(Several(), DIGITS.images[:2], which=which)


def test_a_transform_of_ones_own_comes_back_also_after_an_error():
    stn = turned(10)
    mine = stn.transform = stn.transform
    show_before_after(stn, DIGITS.images[:1])
    with pytest.raises(RuntimeError):
        show_before_after(torch.nn.Sequential(stn, torch.nn.Conv2d(3, 1, 1)), DIGITS.images[:1])
    assert vars(stn)["transform"] is mine


class WritesIntoItsInput(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stn = turned(0)

    def forward(self, images):
        return self.stn(images.neg_())


def test_what_a_model_writes_into_its_input_is_seen():
    figure = show_before_after(WritesIntoItsInput(), DIGITS.images[:1])
    assert not np.array_equal(shown(figure.axes[0]), DIGITS.images[0, 0] / 255)  # what the transformer got


class Crops(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stn = turned(0, size=14)

    def forward(self, images):
        return self.stn(torch.cat([images[..., :14, :14], images[..., 14:, 14:]]))


def test_pictures_that_are_not_one_for_each_image_are_refused():
    message = r"^model: expected a transformer that looks at 2 pictures, got .* \(4, 1, 14, 14"
    with pytest.raises(ValueError, match=message):
        show_before_after(Crops(), DIGITS.images[:2])


def test_images_of_two_channels_are_shown_as_their_mean():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 2, 28, 28), generator=generator).byte()
    images = from_dataset([(image, i % 2) for i, image in enumerate(pixels)], classes=("cat", "dog"))
    model = STNClassifier(28, 2, 2)
    model.stn.localization.start_at(affine_theta(30).flatten())
    figure = show_before_after(model, images)
    np.testing.assert_allclose(shown(figure.axes[0]), images.images[0].double().mean(0) / 255, atol=1e-6)
    with torch.no_grad():
        made = images.denormalize(model.stn(images.normalize(images.images))).clamp(0, 1)
    np.testing.assert_allclose(shown(figure.axes[len(images)]), made[0].mean(0), atol=1e-5)


def test_a_transformer_with_aligned_corners_looks_where_its_points_lie():
    stn = SpatialTransformer.for_images(28, family=AffineGrid(align_corners=True))
    outline = show_before_after(stn, DIGITS.images[:1]).axes[0].lines[0].get_xydata()
    assert [outline.min(), outline.max()] == pytest.approx([0, 27], abs=1e-4)  # the centres of the outer pixels
