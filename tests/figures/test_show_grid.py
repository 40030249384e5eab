"""show_grid: of every family, by θ, by its parameters, by a grid."""

import numpy as np
import pytest
import torch

from stncourse import (
    ThinPlateSplineGrid,
    affine_grid,
    affine_theta,
    bilinear_sample,
    projective_grid,
    show_grid,
    to_pixels,
)

IMAGE = torch.rand(1, 20, 31, generator=torch.Generator().manual_seed(0))
PROJECTIVE = torch.tensor([[0.9, 0.2, 0.1], [-0.1, 0.8, -0.2], [0.2, 0.1, 1.0]])


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def dots(figure):
    return figure.axes[0].collections[0].get_offsets()


def near(some, others):
    np.testing.assert_allclose(some, others, atol=1e-4)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("kind", [torch.Tensor.numpy, torch.Tensor.double])
def test_a_projective_theta(batch, kind):
    figure = show_grid(IMAGE, kind(PROJECTIVE[None] if batch else PROJECTIVE), (9, 14), every=1)
    grid = projective_grid(PROJECTIVE[None], (9, 14))
    near(shown(figure.axes[1]), bilinear_sample(IMAGE[None], grid)[0, 0])
    near(dots(figure), to_pixels(grid.reshape(-1, 2), (20, 31)))
    x, y, w = PROJECTIVE @ torch.tensor([1.0, -1, 1])
    near(figure.axes[0].lines[0].get_xydata()[1], to_pixels(torch.stack([x / w, y / w]), (20, 31)))
    assert "θ = [0.90, 0.20, 0.10; -0.10, 0.80, -0.20; 0.20, 0.10, 1.00]" in figure.alt
    figure._repr_mimebundle_()


def test_a_theta_with_the_horizon_in_the_output():
    show_grid(IMAGE, torch.tensor([[1.0, 0, 0], [0, 1, 0], [1.5, 0, 1]]))._repr_mimebundle_()


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_parameters_of_a_family(batch, align_corners):
    generator = ThinPlateSplineGrid((2, 3), align_corners)
    parameters = generator.identity() + 0.2 * torch.randn(12, generator=torch.Generator().manual_seed(0))
    image = IMAGE.expand(3, -1, -1)
    figure = show_grid(image, parameters[None] if batch else parameters, (9, 14), every=3, family=generator)
    grid = generator(parameters[None], (9, 14))
    output = bilinear_sample(image[None], grid, align_corners=align_corners)
    near(shown(figure.axes[1]), output[0].permute(1, 2, 0))
    pixels = (grid[0] + 1) / 2 * torch.tensor([30, 19]) if align_corners else to_pixels(grid[0], (20, 31))
    near(dots(figure), pixels[::3, ::3].reshape(-1, 2))
    near(figure.axes[0].lines[1].get_xydata(), pixels[0])  # the thick top edge
    assert "9×14 points" in figure.alt


def test_a_family_by_name_keeps_angles_in_pixels():
    image = IMAGE[:, :, :30]
    figure = show_grid(image, torch.tensor([0.0, 0.5, 0.1, 0.2]), family="similarity")
    assert figure.alt == show_grid(image, affine_theta(90, 0.5, translation=(0.1, 0.2), size=(20, 30))).alt
    assert "14×14 points" in show_grid(image, ThinPlateSplineGrid().identity(), 14, family="tps").alt


@pytest.mark.parametrize("shape", [(9, 14), (1, 3), (2, 3), (3, 3), (1, 1)])
@pytest.mark.parametrize("batch", [False, True])
def test_a_grid(shape, batch):
    grid = affine_grid(affine_theta(20, 0.7), shape)
    figure = show_grid(IMAGE, grid if batch else grid[0], every=1)
    near(shown(figure.axes[1]), bilinear_sample(IMAGE[None], grid)[0, 0])
    near(dots(figure), to_pixels(grid.reshape(-1, 2), (20, 31)))
    assert show_grid(IMAGE, grid, shape).alt == figure.alt
    with pytest.raises(ValueError, match=r"^output_size: expected the grid's own"):
        show_grid(IMAGE, grid, (9, 15))


WRONG = [
    (torch.rand(2, 2, 3), None, "theta"),
    (torch.rand(2, 9, 9, 2), None, "theta"),
    (torch.rand(9, 0, 2), None, "theta"),
    (torch.rand(32), None, "theta"),
    (torch.full((9, 9, 2), torch.nan), None, "theta"),
    (torch.zeros(9, 9, 2, dtype=torch.int64), None, "theta"),
    ([[1.0, 0, 0], [0, 1, 0]], None, "theta"),
    (None, "tps", "theta"),
    (torch.rand(6), "tps", "theta"),
    (torch.rand(2, 32), "tps", "theta"),
    (torch.full((32,), torch.inf), "tps", "theta"),
    (torch.rand(6), "elastic", "family"),
    (torch.rand(32), ThinPlateSplineGrid, "family"),
]


@pytest.mark.parametrize(("theta", "family", "name"), WRONG)
def test_what_is_no_transform_is_named(theta, family, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        show_grid(IMAGE, theta, family=family)
