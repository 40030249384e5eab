"""The spatial transformer: three parts put together."""

import pytest
import torch
from torch import nn

from stncourse import (
    AffineGrid,
    AttentionGrid,
    LocalizationNetwork,
    RotationGrid,
    Sampler,
    SimilarityGrid,
    SpatialTransformer,
    ThinPlateSplineGrid,
    affine_grid,
    affine_theta,
)
from stncourse.transformer.spatial_transformer import FAMILIES

SIZES = [(1, 1), (5, 40), (20, 40), (28, 28), (42, 31)]


class Fixed(nn.Module):
    """A localization "network" that answers the same for every image."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(theta.flatten())

    def forward(self, images):
        return self.theta.expand(len(images), -1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [{}, {"padding_value": -0.4}, {"padding_mode": "border"}])
def test_untrained_is_the_identity(size, channels, padding):
    images = torch.rand(2, channels, *size)
    output = SpatialTransformer.for_images(size, channels, **padding)(images)
    torch.testing.assert_close(output, images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(1, 1), (20, 40), (31, 28)])
def test_every_family_by_name_starts_at_the_identity_and_gets_gradients(family, size):
    images = torch.rand(2, 3, *size)
    stn = SpatialTransformer.for_images(size, 3, family)
    result = stn.transform(images)
    torch.testing.assert_close(result.images, images, atol=1e-5, rtol=0)
    assert (result.theta is None) == (family == "tps")
    result.images.square().sum().backward()
    gradient = stn.localization.fc_loc[-1].bias.grad
    assert gradient.isfinite().all()
    if size != (1, 1):
        assert (gradient != 0).sum() >= min(3, len(gradient))


def test_a_similarity_keeps_angles_in_pixels():
    stn = SpatialTransformer.for_images((20, 40), family="similarity")
    stn.localization.start_at(torch.tensor([0.6, 0.8, 0.1, 0.2]))
    grid = stn.transform(torch.rand(1, 1, 20, 40)).grid[0] * torch.tensor([40 / 2, 20 / 2])
    across, down = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
    torch.testing.assert_close(across, torch.tensor([0.6, 0.8]), atol=1e-4, rtol=0)
    torch.testing.assert_close(down, torch.tensor([-0.8, 0.6]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("output_size", "shape"), [(None, (20, 40)), (16, (16, 16)), ((7, 50), (7, 50))])
def test_output_size(output_size, shape):
    stn = SpatialTransformer.for_images((20, 40), output_size=output_size)
    transformed = stn.transform(torch.rand(2, 1, 20, 40))
    assert transformed.images.shape == (2, 1, *shape)
    assert transformed.grid.shape == (2, *shape, 2)


def test_the_input_size_itself_is_not_remembered_as_output_size():
    stn = SpatialTransformer(Fixed(affine_theta()), AffineGrid(), Sampler())
    assert stn(torch.rand(1, 1, 5, 9)).shape == (1, 1, 5, 9)
    assert stn(torch.rand(1, 1, 8, 3)).shape == (1, 1, 8, 3)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("output_size", [None, (9, 13)])
def test_transform_returns_a_theta_grid_and_images_that_belong_together(align_corners, output_size):
    torch.manual_seed(0)
    localization = LocalizationNetwork((20, 40), 3)
    nn.init.normal_(localization.fc_loc[-1].weight, std=0.5)
    sampler = Sampler(padding_value=(0.1, 0.2, 0.3), align_corners=align_corners)
    stn = SpatialTransformer(localization, AffineGrid(align_corners), sampler, output_size)
    images = torch.rand(4, 3, 20, 40)
    result = stn.transform(images)
    assert result.theta.shape == (4, 2, 3)
    assert torch.equal(result.theta.flatten(1), localization(images))
    assert not torch.equal(result.theta[0], result.theta[1])
    assert torch.equal(result.grid, affine_grid(result.theta, output_size or (20, 40), align_corners))
    assert torch.equal(result.images, sampler(images, result.grid))
    assert torch.equal(stn(images), result.images)


def test_gradients_reach_the_localization_network():
    stn = SpatialTransformer.for_images(28)
    stn(torch.rand(4, 1, 28, 28)).square().sum().backward()
    last = stn.localization.fc_loc[-1]
    assert last.weight.grad.abs().sum() > 0
    assert (last.bias.grad.abs() > 0).all()


def test_gradients_reach_the_images():
    images = torch.rand(1, 1, 28, 28, requires_grad=True)
    SpatialTransformer.for_images(28)(images).sum().backward()
    torch.testing.assert_close(images.grad, torch.ones_like(images), atol=1e-4, rtol=0)


def test_any_module_can_be_the_localization():
    mirror = SpatialTransformer(Fixed(affine_theta(scale=(-1, 1))), AffineGrid(), Sampler())
    images = torch.rand(2, 3, 6, 8)
    torch.testing.assert_close(mirror(images), images.flip(-1), atol=1e-5, rtol=0)


def test_any_module_with_the_same_interface_can_be_the_grid_generator():
    class ShiftGrid(nn.Module):
        align_corners = False
        num_parameters = 2

        def theta(self, parameters):
            return torch.cat([torch.eye(2).expand(len(parameters), 2, 2), parameters[:, :, None]], 2)

        def forward(self, parameters, size):
            return affine_grid(self.theta(parameters), size)

    stn = SpatialTransformer(Fixed(torch.tensor([0.5, 0.0])), ShiftGrid(), Sampler(padding_value=-1.0))
    images = torch.rand(1, 1, 4, 4)
    expected = torch.cat([images[..., 1:], torch.full((1, 1, 4, 1), -1.0)], -1)  # one pixel of four to the left
    torch.testing.assert_close(stn(images), expected, atol=1e-5, rtol=0)


# A family with options, a localization of one's own


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        AffineGrid,
        AttentionGrid,
        lambda align_corners: SimilarityGrid(align_corners, size=(40, 62)),  # in proportion
        lambda align_corners: RotationGrid(align_corners, size=(20, 31)),
        lambda align_corners: ThinPlateSplineGrid((2, 6), align_corners, bound=1.5),
    ],
)
def test_a_family_may_be_a_grid_generator_with_its_options(make, align_corners):
    generator = make(align_corners)
    stn = SpatialTransformer.for_images((20, 31), 2, generator, output_size=(9, 13))
    assert stn.grid_generator is generator
    assert stn.sampler.align_corners == align_corners
    images = torch.rand(3, 2, 20, 31)
    result = stn.transform(images)
    own = generator.identity()[None].expand(3, -1)
    torch.testing.assert_close(result.grid, generator(own, (9, 13)))
    expected = nn.functional.grid_sample(images, generator(own, (9, 13)), align_corners=align_corners)
    torch.testing.assert_close(result.images, expected)


@pytest.mark.parametrize("make", [SimilarityGrid, RotationGrid])
def test_a_family_that_keeps_angles_has_to_know_the_shape_of_the_images(make):
    name = make.__name__
    for generator, size in ((make(), (20, 40)), (make(size=(40, 20)), (20, 40)), (make(size=(20, 40)), 28)):
        with pytest.raises(ValueError, match=rf"^family: expected {name}\(size=\(.*, got {name}\("):
            SpatialTransformer.for_images(size, family=generator)
    assert SpatialTransformer.for_images((20, 40), family=make.__name__[:-4].lower()).grid_generator.size == (20, 40)
    SpatialTransformer.for_images(28, family=make())


class PixelShifts:
    """A grid generator of somebody else's: no module, no matrix, one shift for each row of the output."""

    num_parameters, align_corners = 4, False

    def identity(self):
        return torch.zeros(4)

    def __call__(self, parameters, size):
        grid = affine_grid(affine_theta(), size).repeat(len(parameters), 1, 1, 1)
        return torch.cat(
            [grid[..., :1] + parameters.repeat_interleave(size[0] // 4, 1)[:, :, None, None], grid[..., 1:]], -1
        )


def test_a_grid_generator_of_ones_own_is_a_family():
    stn = SpatialTransformer.for_images((20, 40), family=PixelShifts())
    images = torch.rand(2, 1, 20, 40)
    result = stn.transform(images)
    assert result.theta is None
    torch.testing.assert_close(result.images, images, atol=1e-5, rtol=0)
    stn.localization.start_at([2 / 40, 0, 0, -2 / 40])
    torch.testing.assert_close(stn(images)[:, :, :5, :-1], images[:, :, :5, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(stn(images)[:, :, 15:, 1:], images[:, :, 15:, :-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_localization_of_ones_own_is_asked(family):
    count = FAMILIES[family]().num_parameters
    localization = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(27, count))
    stn = SpatialTransformer.for_images((20, 24), 3, family, localization=localization, output_size=11)
    assert stn.localization is localization
    images = torch.rand(2, 3, 20, 24)
    result = stn.transform(images)
    torch.testing.assert_close(result.grid, stn.grid_generator(localization(images), (11, 11)))
    result.images.square().sum().backward()
    assert localization[-1].bias.grad.isfinite().all()


def test_a_localization_of_another_size_or_width_fits_too():
    wide = LocalizationNetwork((40, 40), 1, 3, hidden=64, identity=AttentionGrid().identity())
    shrink = nn.Sequential(nn.AvgPool2d(2), wide)
    stn = SpatialTransformer.for_images(80, family="attention", localization=shrink)
    images = torch.rand(2, 1, 80, 80)
    torch.testing.assert_close(stn(images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [LocalizationNetwork, lambda images: images, "standard", 6])
def test_a_localization_that_is_no_module_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^localization: expected a module, images .* \(N, 6\), got"):
        SpatialTransformer.for_images(28, localization=wrong)


class Says(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer


@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize(
    "answer",
    [
        torch.zeros(2, 5),
        torch.zeros(2, 6, 1, 1),
        torch.zeros(1, 6),
        torch.zeros(6),
        affine_theta().expand(2, 2, 3),
        torch.zeros(2, 6, dtype=torch.int64),
        (torch.zeros(2, 6), None),
        None,
    ],
)
def test_a_localization_that_answers_something_else_is_named(answer, iterations):
    stn = SpatialTransformer.for_images((5, 9), localization=Says(answer), iterations=iterations)
    with pytest.raises(ValueError, match=r"^localization: expected it to return .* of shape \(2, 6\), .*, got"):
        stn(torch.rand(2, 1, 5, 9))


def test_what_a_transformer_is_made_of_is_seen():
    sheet = ThinPlateSplineGrid((2, 6), bound=1.5)
    words = repr(SpatialTransformer.for_images((20, 40), 3, sheet, output_size=16, padding_value=-0.5))
    for part in (
        "SpatialTransformer(\n  output_size=(16, 16), iterations=1\n",
        "image_size=(20, 40), in_channels=3\n",
        "(grid_generator): ThinPlateSplineGrid(control=(2, 6), bound=1.5)\n",
        "padding_mode='zeros', padding_value=-0.5, align_corners=False",
    ):
        assert part in words
    assert "output_size=None, iterations=3" in repr(SpatialTransformer.for_images(28, iterations=3))


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_mismatch_of_align_corners_is_refused(align_corners):
    parts = Fixed(affine_theta()), AffineGrid(align_corners), Sampler(align_corners=not align_corners)
    with pytest.raises(ValueError, match=r"^sampler: expected the grid generator's align_corners"):
        SpatialTransformer(*parts)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"size": 0}, "size"),
        ({"channels": 0}, "in_channels"),
        ({"family": "elastic"}, "family"),
        ({"family": ["affine"]}, "family"),
        ({"family": None}, "family"),
        ({"family": AffineGrid}, "family"),
        ({"family": nn.Linear(3, 6)}, "family"),
        ({"output_size": (0, 4)}, "output_size"),
        ({"padding_mode": "wrap"}, "padding_mode"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        SpatialTransformer.for_images(**{"size": 28} | arguments)


def test_images_without_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"^images: expected"):
        SpatialTransformer.for_images(28)(torch.rand(28, 28))
