"""Grid generators against torch's affine_grid, and θ against matrices written out by hand."""

import kornia
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matrices import square_matrix
from torch._subclasses.fake_tensor import FakeTensorMode

from stncourse import (
    AffineGrid,
    AttentionGrid,
    ProjectiveGrid,
    RotationGrid,
    Sampler,
    SimilarityGrid,
    ThinPlateSplineGrid,
    TranslationGrid,
    affine_grid,
    affine_theta,
    projective_grid,
    projective_theta,
)
from stncourse.transformer.grids import FAR, pixel_centers
from stncourse.transformer.spatial_transformer import FAMILIES as EVERY_FAMILY

SIZES = [(1, 1), (1, 5), (4, 1), (5, 4), (28, 28), (20, 40), (129, 131)]  # the last is not remembered
IDENTITY = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def random_theta(count, dtype=torch.float64, seed=0):
    return torch.randn(count, 2, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def warp(image, theta):
    """Content of one (H, W) image after the transform, by torch alone."""
    grid = F.affine_grid(theta, (1, 1, *image.shape), align_corners=False)
    return F.grid_sample(image[None, None], grid, align_corners=False)[0, 0]


def center_of_mass(image):
    height, width = image.shape
    x = (image.sum(0) * pixel_centers(width)).sum() / image.sum()
    y = (image.sum(1) * pixel_centers(height)).sum() / image.sum()
    return x.item(), y.item()


def block(rows, columns, size=(40, 40)):
    image = torch.zeros(size)
    image[rows, columns] = 1.0
    return image


# affine_grid


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.filterwarnings("ignore:Since version 1.3.0")  # torch, for one pixel and align_corners=True
def test_affine_grid_equals_torch_in_value_and_gradient(count, size, align_corners):
    theta = random_theta(count).requires_grad_()
    grid = affine_grid(theta, size, align_corners)
    expected = F.affine_grid(theta, (count, 1, *size), align_corners=align_corners)
    torch.testing.assert_close(grid, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad((g * weight).sum(), theta)[0] for g in (grid, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_to_a_grid_agree(align_corners, dtype, monkeypatch):
    """Small outputs meet remembered pixel centres in one product, large ones are put together from rows and columns."""
    theta = random_theta(3, dtype)
    full = torch.cat([theta, 0.1 * random_theta(3, dtype)[:, :1] + torch.tensor([0.0, 0.0, 2.0], dtype=dtype)], 1)
    for size in SIZES[:-1]:
        monkeypatch.setattr("stncourse.transformer.grids._SMALL", 2**14)
        one = affine_grid(theta, size, align_corners), projective_grid(full, size, align_corners)
        monkeypatch.setattr("stncourse.transformer.grids._SMALL", 0)
        other = affine_grid(theta, size, align_corners), projective_grid(full, size, align_corners)
        torch.testing.assert_close(one, other, rtol=0, atol=10 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 4)])
@pytest.mark.parametrize("small", [0, 2**14])
def test_affine_grid_passes_gradcheck(size, align_corners, small, monkeypatch):
    monkeypatch.setattr("stncourse.transformer.grids._SMALL", small)
    theta = random_theta(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: affine_grid(t, size, align_corners), theta)


def test_affine_grid_takes_an_empty_batch():
    assert affine_grid(torch.zeros(0, 2, 3), (5, 4)).shape == (0, 5, 4, 2)


def test_affine_grid_takes_the_size_that_torch_takes():
    theta = random_theta(3)
    expected = affine_grid(theta, (5, 4))
    for size in ([5, 4], (3, 7, 5, 4), torch.zeros(3, 7, 5, 4).shape):
        assert torch.equal(affine_grid(theta, size), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_affine_grid_keeps_the_dtype(dtype):
    assert affine_grid(random_theta(2, dtype), (5, 4)).dtype == dtype


def test_affine_grid_last_axis_is_x_then_y():
    theta = torch.tensor([[[1.0, 0.0, 0.25], [0.0, 1.0, -0.5]]])
    grid = affine_grid(theta, (2, 4))[0]
    assert grid[0, :, 0].tolist() == [-0.5, 0.0, 0.5, 1.0]  # x grows along a row
    assert grid[:, 0, 1].tolist() == [-1.0, 0.0]  # y grows down a column


@pytest.mark.parametrize(
    ("theta", "size", "error", "name"),
    [
        ([[1, 0, 0], [0, 1, 0]], (4, 4), TypeError, "theta"),
        (torch.ones(1, 2, 3, dtype=torch.long), (4, 4), TypeError, "theta"),
        (torch.ones(2, 3), (4, 4), ValueError, "theta"),
        (torch.ones(1, 3, 2), (4, 4), ValueError, "theta"),
        (IDENTITY, 0, ValueError, "size"),
        (IDENTITY, (1, 4, 4), ValueError, "size"),
        (IDENTITY, (4, 0), ValueError, "size"),
        (IDENTITY, (4, 2.0), ValueError, "size"),
    ],
)
def test_affine_grid_errors_name_the_argument(theta, size, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        affine_grid(theta, size)


# pixel_centers


def test_pixel_centers_are_half_a_pixel_inside_the_edges():
    assert pixel_centers(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_pixel_centers_with_align_corners_start_and_end_at_one():
    assert pixel_centers(5, align_corners=True).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("align_corners", [False, True])
def test_pixel_centers_are_exact_to_the_last_bit(align_corners, dtype):
    for count in (1, 2, 3, 28, 49, 1000):
        centers = pixel_centers(count, align_corners, dtype=dtype)
        exact = (np.arange(count) * 2 - (count - 1)) / (max(1, count - 1) if align_corners else count)
        torch.testing.assert_close(centers.double(), torch.from_numpy(exact), rtol=0, atol=torch.finfo(dtype).eps)
        if align_corners:
            assert centers[-1] == -centers[0] == (count > 1)


@pytest.mark.parametrize("align_corners", [False, True])
def test_pixel_center_of_a_lone_pixel_is_the_middle(align_corners):
    assert pixel_centers(1, align_corners, dtype=torch.float64).tolist() == [0.0]


# affine_theta

HALF_ROOT_3 = 3**0.5 / 2


@pytest.mark.parametrize(
    ("arguments", "matrix"),
    [
        ({}, [[1, 0, 0], [0, 1, 0]]),
        ({"rotation": 30}, [[HALF_ROOT_3, -0.5, 0], [0.5, HALF_ROOT_3, 0]]),
        ({"rotation": -90}, [[0, 1, 0], [-1, 0, 0]]),
        ({"scale": 2}, [[2, 0, 0], [0, 2, 0]]),
        ({"scale": (2, 3)}, [[2, 0, 0], [0, 3, 0]]),
        ({"scale": (-1, 1)}, [[-1, 0, 0], [0, 1, 0]]),
        ({"shear": 0.5}, [[1, 0.5, 0], [0, 1, 0]]),
        ({"translation": (0.4, -0.2)}, [[1, 0, 0.4], [0, 1, -0.2]]),
        ({"scale": (2, 3), "shear": 0.5}, [[2, 1.5, 0], [0, 3, 0]]),
        ({"rotation": 90, "scale": (2, 3), "shear": 0.5, "translation": (1, 2)}, [[0, -3, 1], [2, 1.5, 2]]),
        ({"rotation": 90, "size": (20, 40)}, [[0, -0.5, 0], [2, 0, 0]]),
        ({"shear": 1, "size": (20, 40)}, [[1, 0.5, 0], [0, 1, 0]]),
    ],
)
def test_affine_theta_equals_the_matrix_written_by_hand(arguments, matrix):
    torch.testing.assert_close(affine_theta(**arguments), torch.tensor([matrix], dtype=torch.float32))


def test_positive_rotation_turns_the_content_counter_clockwise():
    above = block(slice(4, 8), slice(18, 22))  # a spot at the top
    x, y = center_of_mass(warp(above, affine_theta(rotation=30)))
    assert (x, y) == pytest.approx((-0.7 * 0.5, -0.7 * HALF_ROOT_3), abs=0.01)  # now up and left


def test_positive_tx_moves_the_content_left_and_positive_ty_up():
    middle = block(slice(18, 22), slice(18, 22))
    x, y = center_of_mass(warp(middle, affine_theta(translation=(0.4, 0.2))))
    assert (x, y) == pytest.approx((-0.4, -0.2), abs=1e-4)


def test_scale_two_halves_the_content():
    square = block(slice(10, 30), slice(10, 30))
    assert warp(square, affine_theta(scale=2)).sum().item() == pytest.approx(square.sum().item() / 4, rel=1e-4)


@pytest.mark.parametrize("size", [(20, 40), (40, 20), (28, 28)])
def test_size_makes_a_rotation_rigid_in_pixels(size):
    height, width = size
    pixels = affine_grid(affine_theta(rotation=30, size=size), size)[0] * torch.tensor([width / 2, height / 2])
    right, down = pixels[0, 1] - pixels[0, 0], pixels[1, 0] - pixels[0, 0]
    torch.testing.assert_close(right, torch.tensor([HALF_ROOT_3, 0.5]), atol=1e-5, rtol=0)
    torch.testing.assert_close(down, torch.tensor([-0.5, HALF_ROOT_3]), atol=1e-5, rtol=0)


def test_without_size_a_rotation_skews_a_non_square_image():
    pixels = affine_grid(affine_theta(rotation=30), (20, 40))[0] * torch.tensor([20.0, 10.0])
    right, down = pixels[0, 1] - pixels[0, 0], pixels[1, 0] - pixels[0, 0]
    assert abs(right @ down) > 0.1
    assert right.norm() < 0.95
    assert down.norm() > 1.2


def test_affine_theta_mixes_numbers_and_tensors():
    rotation = torch.tensor([0.0, 90.0, 30.0], dtype=torch.float64)
    shift = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    theta = affine_theta(rotation, scale=(2, torch.tensor(3.0)), translation=(shift, 0.5))
    assert theta.shape == (3, 2, 3)
    assert theta.dtype == torch.float64
    for i in range(3):
        alone = affine_theta(rotation[i].item(), (2, 3), translation=(shift[i].item(), 0.5))
        torch.testing.assert_close(theta[i], alone[0].double(), atol=1e-6, rtol=0)


def test_affine_theta_takes_numbers_of_any_kind():
    expected = affine_theta(30, (2, 3), 0.5, (0.25, -1), size=(20, 40))
    for whole, real, row in (
        (np.int64, np.float32, np.array),
        (np.uint8, np.float64, list),
        (torch.tensor, torch.tensor, torch.tensor),
        (np.array, np.array, tuple),
    ):
        theta = affine_theta(whole(30), (whole(2), real(3.0)), real(0.5), row([0.25, -1.0]), size=row([20, 40]))
        torch.testing.assert_close(theta, expected)


def test_affine_theta_takes_its_dtype_from_the_floating_tensors():
    whole, double = torch.tensor([1, 2]), torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert affine_theta(whole, double).dtype == torch.float64
    assert affine_theta(whole).dtype == torch.float32


def test_affine_theta_passes_gradients_on():
    angle = torch.tensor([10.0, 20.0], requires_grad=True)
    affine_theta(angle, size=(20, 40)).sum().backward()
    assert angle.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"rotation": "30"}, TypeError, "rotation"),
        ({"rotation": True}, TypeError, "rotation"),
        ({"rotation": float("nan")}, ValueError, "rotation"),
        ({"rotation": torch.zeros(2, 2)}, ValueError, "rotation"),
        ({"scale": (1, 2, 3)}, ValueError, "scale"),
        ({"scale": float("inf")}, ValueError, "scale"),
        ({"scale": None}, TypeError, "scale"),
        ({"shear": [1]}, TypeError, "shear"),
        ({"translation": 0.4}, ValueError, "translation"),
        ({"translation": (0.4, None)}, TypeError, "translation"),
        ({"rotation": torch.zeros(3), "shear": torch.zeros(2)}, ValueError, "shear"),
        ({"size": (0, 4)}, ValueError, "size"),
        ({"rotation": torch.tensor([True])}, TypeError, "rotation"),
        ({"shear": torch.tensor(1j)}, TypeError, "shear"),
        ({"scale": np.array([1.0, 2.0])}, TypeError, "scale"),
        ({"rotation": np.float32("nan")}, ValueError, "rotation"),
        ({"translation": torch.zeros(3)}, ValueError, "translation"),
    ],
)
def test_affine_theta_errors_name_the_argument(arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        affine_theta(**arguments)


# AffineGrid


@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid_module_reads_theta_row_by_row(align_corners):
    generator = AffineGrid(align_corners)
    parameters = torch.randn(3, 6)
    theta = generator.theta(parameters)
    assert theta[1].flatten().tolist() == parameters[1].tolist()
    assert torch.equal(generator(parameters, (5, 4)), affine_grid(theta, (5, 4), align_corners))


def test_affine_grid_module_identity_is_the_identity():
    generator = AffineGrid()
    assert generator.identity().shape == (generator.num_parameters,)
    assert torch.equal(generator.theta(generator.identity()[None]), IDENTITY)


def test_affine_grid_module_has_no_weights():
    assert not AffineGrid().state_dict()


def test_affine_grid_module_refuses_another_number_of_parameters():
    with pytest.raises(ValueError, match=r"^parameters: expected"):
        AffineGrid()(torch.zeros(2, 5), (4, 4))


# All families of matrices

FAMILIES = {name: family for name, family in EVERY_FAMILY.items() if hasattr(family, "compose")} | {
    "similarity 20×40": lambda align_corners=False: SimilarityGrid(align_corners, size=(20, 40)),
    "rotation 20×40": lambda align_corners=False: RotationGrid(align_corners, size=(20, 40)),
}


def near_identity(generator, count=4, spread=0.2, seed=0, dtype=torch.float64):
    noise = torch.randn(count, generator.num_parameters, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return generator.identity().to(dtype) + spread * noise


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_identity_is_exact(family, size, align_corners):
    generator = family(align_corners)
    assert generator.identity().shape == (generator.num_parameters,)
    grid = generator(generator.identity()[None], size)
    assert torch.equal(grid, affine_grid(IDENTITY, size, align_corners))
    assert not generator.state_dict()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(5, 4), (20, 40)])
def test_grids_agree_with_kornia(family, size, align_corners):
    generator = family(align_corners)
    parameters = near_identity(generator, spread=0.1)
    matrix = torch.eye(3, dtype=torch.float64).repeat(4, 1, 1)
    theta = generator.theta(parameters)
    matrix[:, : theta.shape[1]] = theta
    centers = affine_grid(IDENTITY.double(), size, align_corners).reshape(1, -1, 2).expand(4, -1, -1)
    expected = kornia.geometry.linalg.transform_points(matrix, centers).reshape(4, *size, 2)
    torch.testing.assert_close(generator(parameters, size), expected, atol=1e-12, rtol=0)


def test_grids_have_gradients(family):
    generator = family()
    parameters = near_identity(generator, count=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: generator(p, (3, 4)), parameters)


def test_the_inverse_leads_back(family):
    generator = family()
    parameters = near_identity(generator, count=6)
    back = generator.inverse(parameters)
    assert back.shape == parameters.shape
    product = square_matrix(generator.theta(parameters)) @ square_matrix(generator.theta(back))
    product = product / product[:, 2:, 2:]
    torch.testing.assert_close(product, torch.eye(3, dtype=torch.float64).expand(6, 3, 3), atol=1e-9, rtol=0)
    torch.testing.assert_close(generator.inverse(back), parameters, atol=1e-9, rtol=0)


def test_a_transform_without_inverse_is_refused(family):
    generator = family()
    if isinstance(generator, (RotationGrid, TranslationGrid)):
        pytest.skip("each of its transforms has an inverse")
    with pytest.raises(ValueError, match=r"^parameters: expected transforms that can be inverted"):
        generator.inverse(torch.zeros(2, generator.num_parameters))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_singular_but_for_rounding_is_singular_and_a_strong_zoom_is_not(dtype):
    line = torch.tensor([[0.1, 0.3, 0.2, 0.7, 2.1, 0.5]], dtype=dtype)  # 0.1 · 2.1 - 0.3 · 0.7, never quite 0
    for parameters, generator in ((line, AffineGrid()), (torch.cat([line, line[:, :2]], 1), ProjectiveGrid())):
        with pytest.raises(ValueError, match=r"^parameters: expected transforms that can be inverted"):
            generator.inverse(parameters)
    zoom = torch.tensor([[1e-12, 0, 0, 0, 1, 0]], dtype=dtype)
    torch.testing.assert_close(AffineGrid().inverse(zoom)[0, 0].item(), 1e12)


def test_the_inverse_of_nan_is_nan_and_of_the_others_theirs(family):
    generator = family()
    parameters = near_identity(generator)
    parameters[1] = float("nan")
    back = generator.inverse(parameters)
    assert back[1].isnan().all()
    torch.testing.assert_close(back[[0, 2, 3]], generator.inverse(parameters[[0, 2, 3]]))


def test_a_projective_inverse_that_eight_numbers_cannot_say_is_refused():
    swaps_centre_and_horizon = torch.tensor([[0.0, 0, 1, 0, 1, 0, 1, 0]])
    with pytest.raises(ValueError, match=r"^parameters: expected transforms whose inverse can be said"):
        ProjectiveGrid().inverse(swaps_centre_and_horizon)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("small", [0, 2**14])
def test_the_identity_is_exact_at_every_size_up_to_64(family, align_corners, small, monkeypatch):
    monkeypatch.setattr("stncourse.transformer.grids._SMALL", small)
    generator = family(align_corners)
    for height in range(1, 65):
        size = (height, 65 - height)
        grid = generator(generator.identity()[None], size)[0]
        assert torch.equal(grid[..., 0], pixel_centers(size[1], align_corners).expand(size))
        assert torch.equal(grid[..., 1], pixel_centers(size[0], align_corners)[:, None].expand(size))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_grids_are_at_least_float32(family, dtype):
    generator = family()
    parameters = near_identity(generator).to(dtype)
    grid = generator(parameters, (60, 60))
    assert grid.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact = generator(parameters.double(), (60, 60))
    torch.testing.assert_close(grid.double(), exact, atol=1e-5, rtol=1e-5)


def test_parameters_that_are_nan_give_a_grid_of_nan_and_the_others_theirs(family):
    generator = family()
    parameters = near_identity(generator)
    parameters[1] = float("nan")
    grid = generator(parameters, (5, 4))
    assert grid[1].isnan().all()
    assert grid[[0, 2, 3]].isfinite().all()


@pytest.mark.parametrize(
    ("parameters", "error"),
    [(torch.zeros(2, 5), ValueError), (torch.zeros(6), ValueError), (None, TypeError), ([1.0] * 6, TypeError)],
)
def test_parameters_of_another_kind_are_refused(family, parameters, error):
    with pytest.raises(error, match=r"^parameters: expected"):
        family()(parameters, (4, 4))


def test_attention_looks_at_a_window():
    grid = AttentionGrid()(torch.tensor([[0.5, 0.3, -0.2]]), (2, 4))
    torch.testing.assert_close(grid[0, 0, :, 0], torch.tensor([-0.375, -0.125, 0.125, 0.375]) + 0.3)
    torch.testing.assert_close(grid[0, :, 0, 1], torch.tensor([-0.25, 0.25]) - 0.2)


def test_similarity_is_rotation_scale_and_translation():
    angle, zoom = torch.tensor(30.0), 1.5
    parameters = torch.stack([zoom * torch.cos(angle.deg2rad()), zoom * torch.sin(angle.deg2rad())])
    for size in (None, (20, 40)):
        theta = SimilarityGrid(size=size).theta(torch.cat([parameters, torch.tensor([0.1, 0.2])])[None])
        torch.testing.assert_close(theta, affine_theta(30, zoom, translation=(0.1, 0.2), size=size))
    with pytest.raises(ValueError, match=r"^size: expected"):
        SimilarityGrid(size=0)


def test_a_rotation_is_its_angle_in_radians_in_pixels():
    degrees = torch.tensor([-170.0, -30, 0, 45, 90, 200], dtype=torch.float64)
    for size in (None, (20, 40), (41, 20)):
        theta = RotationGrid(size=size).theta(degrees.deg2rad()[:, None])
        torch.testing.assert_close(theta, affine_theta(degrees, size=size), atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match=r"^size: expected"):
        RotationGrid(size=(0, 4))


def test_rotations_add_up_and_come_back_between_minus_pi_and_pi():
    generator = RotationGrid(size=(20, 40))
    first, second = torch.tensor([[0.5], [3.0], [-3.0]]).double(), torch.tensor([[0.25], [1.0], [-1.0]]).double()
    turn = 2 * torch.pi
    expected = torch.tensor([[0.75], [4 - turn], [turn - 4]]).double()
    torch.testing.assert_close(generator.compose(first, second), expected)
    torch.testing.assert_close(generator.inverse(first), -first)
    torch.testing.assert_close(generator.inverse(first + turn), -first)


def test_a_translation_changes_nothing_but_the_place():
    parameters = torch.tensor([[0.4, -0.2], [-1.0, 3.0]], dtype=torch.float64)
    generator = TranslationGrid()
    shifts = parameters[:, 0], parameters[:, 1]
    torch.testing.assert_close(generator.theta(parameters), affine_theta(translation=shifts))
    torch.testing.assert_close(generator.compose(parameters, parameters), 2 * parameters)
    torch.testing.assert_close(generator.inverse(parameters), -parameters)


# θ in place of parameters


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_theta_is_taken_wherever_parameters_are_and_comes_back(family, dtype):
    generator = family()
    first, second = (near_identity(generator, 4, 0.1, seed, dtype) for seed in (1, 2))
    theta, other = generator.theta(first), generator.theta(second)
    near = {"atol": 1e-12 if dtype == torch.float64 else 2e-6, "rtol": 0}
    torch.testing.assert_close(generator(theta, (5, 4)), generator(first, (5, 4)), **near)
    both, back = generator.compose(theta, other), generator.inverse(theta)
    assert (both.shape, back.shape) == (theta.shape, theta.shape)
    product = square_matrix(theta) @ square_matrix(other)
    torch.testing.assert_close(square_matrix(both), product / product[:, 2:, 2:], **near)
    inverse = torch.linalg.inv(square_matrix(theta).double())
    torch.testing.assert_close(square_matrix(back).double(), inverse / inverse[:, 2:, 2:], **near)
    torch.testing.assert_close(both, generator.theta(generator.compose(first, second)), **near)


def test_parameters_of_undoes_theta(family):
    generator = family()
    parameters = near_identity(generator)
    theta = generator.theta(parameters)
    for matrix in (theta, square_matrix(theta)):
        torch.testing.assert_close(generator.parameters_of(matrix), parameters)


def test_theta_may_be_of_any_precision_and_of_no_image_at_all(family):
    generator = family()
    theta = generator.theta(near_identity(generator, spread=0.1, dtype=torch.float32))
    for dtype in (torch.float16, torch.bfloat16):
        assert generator.compose(theta.to(dtype), theta.to(dtype)).dtype == torch.float32
        assert generator(theta.to(dtype), 4).dtype == torch.float32
    assert generator.compose(theta[:0], theta[:0]).shape == theta[:0].shape
    assert generator.inverse(theta.to("meta")).shape == theta.shape
    theta[1] = float("nan")
    assert generator.inverse(theta).isnan().flatten(1).any(1).tolist() == [False, True, False, False]
    assert generator(theta, 4).isnan().flatten(1).all(1).tolist() == [False, True, False, False]


def test_theta_has_gradients(family):
    generator = family()
    theta = generator.theta(near_identity(generator, count=2))
    directions = near_identity(generator, count=2, seed=3).requires_grad_()

    def undone(parameters):
        mine = generator.theta(parameters)
        return generator(generator.inverse(generator.compose(mine, theta)), (2, 3))

    assert torch.autograd.gradcheck(undone, directions)


SHEARED = affine_theta(shear=0.3)
OTHERS = {
    "rotation": [SHEARED, affine_theta(30, 1.2), affine_theta(translation=(0.1, 0)), affine_theta(30, size=(20, 40))],
    "translation": [SHEARED, affine_theta(5), affine_theta(scale=1.1)],
    "attention": [SHEARED, affine_theta(5), affine_theta(scale=(1, 1.1)), affine_theta(scale=(-1, 1))],
    "similarity": [SHEARED, affine_theta(scale=(1, 1.1)), affine_theta(scale=(-1, 1)), affine_theta(30, size=(20, 40))],
    "similarity 20×40": [SHEARED, affine_theta(30)],
    "rotation 20×40": [SHEARED, affine_theta(30)],
}


@pytest.mark.parametrize(("name", "theta"), [(name, theta) for name, row in OTHERS.items() for theta in row])
def test_a_theta_that_the_family_does_not_have_is_refused(name, theta):
    generator = FAMILIES[name]()
    theta = torch.cat([affine_theta(), theta])
    message = rf"expected θ of {type(generator).__name__}\(.*\), got one that it does not have: an entry is [\d.]+ off"
    for call in (lambda: generator(theta, 4), lambda: generator.inverse(theta)):
        with pytest.raises(ValueError, match="^parameters: " + message):
            call()
    with pytest.raises(ValueError, match="^second: " + message):
        generator.compose(affine_theta(), theta)


def test_a_theta_far_away_or_multiplied_often_is_still_one_of_its_family():
    generator = SimilarityGrid(size=(20, 40))
    theta = affine_theta(30, 1.01, translation=(0.3, -5), size=(20, 40))
    product = torch.linalg.matrix_power(square_matrix(theta), 200)[:, :2]
    torch.testing.assert_close(generator(product, 4), affine_grid(product, 4))


def test_a_projective_theta_counts_up_to_a_factor():
    theta = ProjectiveGrid().theta(near_identity(ProjectiveGrid(), spread=0.1))
    for factor in (3.0, -0.5):
        torch.testing.assert_close(
            ProjectiveGrid().compose(factor * theta, theta), ProjectiveGrid().compose(theta, theta)
        )
        torch.testing.assert_close(ProjectiveGrid().inverse(factor * theta), ProjectiveGrid().inverse(theta))


def test_kinds_that_do_not_go_together_are_refused():
    generator, theta = AffineGrid(), affine_theta()
    for first, second in ((theta, generator.identity()[None]), (generator.identity()[None], theta)):
        with pytest.raises(ValueError, match=r"^second: expected (θ|parameters), as first is, got"):
            generator.compose(first, second)
    with pytest.raises(ValueError, match=r"^second: expected a floating-point tensor of shape \(N, 6\), got"):
        generator.compose(torch.zeros(2, 6), torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"^parameters: expected a floating-point tensor of shape \(N, 2, 3\), got"):
        generator(torch.eye(3)[None], 4)
    with pytest.raises(ValueError, match=r"^first: expected a floating-point tensor of shape \(N, 3, 3\), got"):
        ProjectiveGrid().compose(theta, theta)


# In words

WORDS = {
    "AffineGrid()": AffineGrid(),
    "ProjectiveGrid(align_corners=True)": ProjectiveGrid(True),
    "SimilarityGrid(size=(20, 40))": SimilarityGrid(size=(20, 40)),
    "RotationGrid(align_corners=True, size=(3, 3))": RotationGrid(True, 3),
    "ThinPlateSplineGrid(control=(4, 4))": ThinPlateSplineGrid(),
    "ThinPlateSplineGrid(control=(2, 6), bound=1.5, align_corners=True)": ThinPlateSplineGrid((2, 6), True, 1.5),
}


@pytest.mark.parametrize(("words", "generator"), WORDS.items(), ids=WORDS)
def test_a_grid_generator_says_what_it_was_made_of(words, generator):
    assert repr(generator) == words
    assert repr(eval(words)) == words


# Sizes, devices, defaults: the same for all grids

GRIDS = {
    "affine_grid": lambda size: affine_grid(IDENTITY.expand(2, 2, 3), size),
    "projective_grid": lambda size: projective_grid(torch.eye(3).expand(2, 3, 3), size),
    **{
        name: lambda size, make=make: make()(make().identity().expand(2, -1), size)
        for name, make in (FAMILIES | {"tps": ThinPlateSplineGrid}).items()
    },
}
all_grids = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
SQUARES = [
    6, np.int64(6), np.uint8(6), np.array(6), torch.tensor(6), (6, 6), [6, 6], np.array([6, 6]), torch.tensor([6, 6]),
    (np.int32(6), torch.tensor(6)), (2, 3, 6, 6), torch.zeros(2, 3, 6, 6).shape, [9, 0, 6, 6],
    torch.tensor([2, 3, 6, 6]),
]  # fmt: skip


@all_grids
@pytest.mark.parametrize("size", SQUARES, ids=repr)
def test_every_grid_takes_every_form_of_a_size(grid, size):
    assert torch.equal(grid(size), grid((6, 6)))


@all_grids
@pytest.mark.parametrize(
    "size", [0, -1, 6.0, True, None, "66", (6,), (1, 6, 6), (6, 0), (6, 2.5), (-1, 3, 6, 6), (2, True, 6, 6)], ids=repr
)
def test_every_grid_refuses_what_is_no_size(grid, size):
    with pytest.raises(ValueError, match=r"^size: expected an int >= 1 or a pair"):
        grid(size)


@pytest.fixture(params=FAMILIES | {"tps": ThinPlateSplineGrid})
def any_family(request):
    return (FAMILIES | {"tps": ThinPlateSplineGrid})[request.param]


@pytest.mark.parametrize("size", [(5, 9), (130, 131)])
def test_grids_have_a_shape_where_there_are_no_numbers(any_family, size):
    generator = any_family()
    parameters = near_identity(generator, dtype=torch.float32)
    grid = generator(parameters.to("meta").requires_grad_(), size)
    assert grid.is_meta
    assert (grid.shape, grid.dtype) == ((4, *size, 2), torch.float32)
    grid.sum().backward()
    with FakeTensorMode() as mode:
        assert generator(mode.from_tensor(parameters), size).shape == (4, *size, 2)
        assert any_family()(mode.from_tensor(parameters), size).shape == (4, *size, 2)


def test_inverse_and_compose_have_a_shape_where_there_are_no_numbers(family):
    generator = family()
    parameters = near_identity(generator).to("meta")
    assert generator.inverse(parameters).shape == parameters.shape
    assert generator.compose(parameters, parameters).shape == parameters.shape
    assert projective_theta(torch.zeros(2, 4, 2, device="meta")).shape == (2, 3, 3)


def test_nothing_of_a_mode_is_remembered(any_family):
    """Each size is seen first in inference mode, among fake tensors, or with another default device."""
    generator = any_family()
    parameters = near_identity(generator, dtype=torch.float32)
    fake = FakeTensorMode()
    on_another_device = torch.device("meta")
    for count, mode in enumerate((torch.inference_mode(), fake, on_another_device), start=31):
        with mode:
            grid = generator(fake.from_tensor(parameters) if mode is fake else parameters, (count, 17))
            assert mode is fake or not grid.is_meta
        mine = parameters.clone().requires_grad_()
        again = generator(mine, (count, 17))
        again.square().sum().backward()
        assert type(again.detach()) is torch.Tensor
        assert mine.grad.isfinite().all()
        torch.testing.assert_close(again, any_family()(mine.double(), (count, 17)).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, when it first differentiates so
def test_nothing_of_a_transform_of_functions_is_remembered(any_family):
    """Each size is seen first by the transform, which puts wrappers in the place of what is made in it."""
    generator = any_family()
    parameters = near_identity(generator, count=3)

    def total(parameters, size):
        return generator(parameters[None], size).square().sum()

    def by_autograd(size):
        return torch.autograd.functional.jacobian(lambda p: total(p, size), parameters[0])

    for count, derivative in enumerate((torch.func.grad, torch.func.jacrev, torch.func.jacfwd), start=41):
        size = (count, 15)
        first, again = (derivative(total)(parameters[0], size) for _ in "ab")
        torch.testing.assert_close(first, by_autograd(size))
        torch.testing.assert_close(again, first)
    first, again = (torch.func.hessian(total)(parameters[0], (44, 15)) for _ in "ab")
    torch.testing.assert_close(again, first)
    together = torch.func.vmap(lambda p: total(p, (45, 15)))(parameters)
    torch.testing.assert_close(together, torch.stack([total(p, (45, 15)) for p in parameters]))
    for count in range(41, 46):
        assert by_autograd((count, 15)).isfinite().all()


def test_another_default_device_or_dtype_changes_no_grid(any_family):
    parameters = near_identity(any_family(), dtype=torch.float32)
    expected = any_family()(parameters, (21, 13))
    with torch.device("meta"):
        generator = any_family()
        assert torch.equal(generator(parameters, (21, 13)), expected)
    assert torch.equal(generator(parameters, (21, 13)), expected)
    torch.set_default_dtype(torch.float64)
    try:
        generator = any_family()
        assert torch.equal(generator(parameters, (21, 13)), expected)
        assert generator.identity().dtype == torch.float32
        generator(generator.identity()[None], (21, 13))
        assert affine_theta(30, size=(20, 40)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


# Projective


def test_a_projective_grid_without_perspective_is_affine():
    theta = random_theta(3)
    full = square_matrix(theta)
    torch.testing.assert_close(projective_grid(full, (5, 4)), affine_grid(theta, (5, 4)), atol=1e-12, rtol=0)
    torch.testing.assert_close(projective_grid(2.5 * full, (5, 4)), affine_grid(theta, (5, 4)), atol=1e-12, rtol=0)


def test_straight_lines_stay_straight():
    grid = ProjectiveGrid()(near_identity(ProjectiveGrid()), (6, 9))
    along = grid - grid[:, :, :1]
    cross = along[:, :, 1:-1, 0] * along[:, :, -1:, 1] - along[:, :, 1:-1, 1] * along[:, :, -1:, 0]
    assert cross.abs().max() < 1e-12


def test_what_lies_at_or_behind_the_horizon_is_far_outside_and_has_no_gradient():
    parameters = torch.tensor([[1.0, 0, 0, 0, 1, 0, -2.0, 0]], dtype=torch.float64, requires_grad=True)
    grid = ProjectiveGrid()(parameters, (3, 8))  # w = 1 - 2 x: 0 at x = 0.5
    behind = affine_grid(IDENTITY.double(), (3, 8))[..., 0] > 0.5
    assert behind.sum() == 6
    assert (grid[behind] == FAR).all()
    assert (grid[~behind].abs() < 10).all()
    (gradient,) = torch.autograd.grad(grid[behind].sum(), parameters)
    assert (gradient == 0).all()
    shown = Sampler(padding_value=-0.5)(torch.ones(1, 1, 3, 8, dtype=torch.float64), grid.detach())
    assert (shown[0, 0][behind[0]] == -0.5).all()
    (gradient,) = torch.autograd.grad(ProjectiveGrid()(parameters, (3, 8)).sum(), parameters)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_wild_projective_parameters_never_crash_the_sampler(padding_mode):
    generator = torch.Generator().manual_seed(0)
    for scale in (1, 1e3, 1e30, float("inf")):
        parameters = torch.randn(20, 8, generator=generator) * scale
        grid = ProjectiveGrid()(parameters, (5, 6))
        Sampler(padding_mode=padding_mode)(torch.rand(20, 1, 5, 6), grid)


SQUARE = torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]], dtype=torch.float64)


def test_four_corners_make_kornias_homography():
    generator = torch.Generator().manual_seed(0)
    corners = SQUARE + 0.4 * torch.randn(20, 4, 2, dtype=torch.float64, generator=generator)
    theta = projective_theta(corners)
    expected = kornia.geometry.transform.get_perspective_transform(SQUARE.expand(20, -1, -1), corners)
    torch.testing.assert_close(theta, expected / expected[:, 2:, 2:], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(
        kornia.geometry.linalg.transform_points(theta, SQUARE.expand(20, -1, -1)), corners, atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_images_own_corners_make_the_identity(dtype):
    theta = projective_theta(SQUARE[None].to(dtype))
    assert theta.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(theta[0], torch.eye(3, dtype=theta.dtype))
    assert projective_theta(SQUARE[None][:0]).shape == (0, 3, 3)


def test_corners_have_gradients_and_nan_stays_with_its_own():
    corners = SQUARE + 0.1 * torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(projective_theta, corners.clone().requires_grad_())
    corners[1] = float("nan")
    theta = projective_theta(corners)
    assert theta[1].isnan().any()
    assert theta[[0, 2]].isfinite().all()


def test_a_corner_inside_the_triangle_of_the_others_puts_the_horizon_into_the_output():
    corners = SQUARE.clone()
    corners[3] = torch.tensor([-0.6, -0.6])  # bottom right
    grid = projective_grid(projective_theta(corners[None]), (40, 40))[0]
    beyond = (grid == FAR).all(-1)
    assert beyond[0, 0]  # the opposite corner is behind
    assert not beyond[-1, -1]
    assert not beyond[20, 20]
    assert 0 < beyond.float().mean() < 0.5


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ([[-1, -1], [0, 0], [1, 1], [1, -1]], "no three on one line"),  # the first three
        ([[-1, -1], [1, -1], [-1, 1], [0, -1]], "no three on one line"),  # the fourth and two others
        ([[-1, -1], [1, -1], [-1, 1], [-1, 1]], "no three on one line"),  # two at one place
        ([[-1, -1], [1, 1], [1, -1], [-1, 1]], "a centre that does not look at the horizon"),
    ],
)
def test_corners_that_no_theta_looks_at_are_refused(corners, message):
    with pytest.raises(ValueError, match=f"^corners: expected {message}"):
        projective_theta(torch.tensor([corners], dtype=torch.float32))


@pytest.mark.parametrize("corners", [torch.zeros(4, 2), torch.zeros(1, 3, 2), None, torch.ones(1, 4, 2).int()])
def test_corners_of_another_kind_are_refused(corners):
    with pytest.raises((TypeError, ValueError), match=r"^corners: expected"):
        projective_theta(corners)


@pytest.mark.parametrize("theta", [torch.zeros(1, 2, 3), torch.zeros(3, 3), None, torch.ones(1, 3, 3).int()])
def test_projective_grid_errors_name_the_argument(theta):
    with pytest.raises((TypeError, ValueError), match=r"^theta: expected"):
        projective_grid(theta, (4, 4))
    with pytest.raises(ValueError, match=r"^size: expected"):
        projective_grid(torch.eye(3)[None], "large")


@pytest.mark.parametrize("wrong", ["false", 8, None, (20, 40)])
def test_align_corners_is_true_or_false(wrong):
    """A size or a number of control points that slips into its place is said, not taken for True."""
    made = [
        AffineGrid,
        RotationGrid,
        lambda align: ThinPlateSplineGrid(8, align),
        lambda align: Sampler(align_corners=align),
    ]
    for make in made:
        with pytest.raises(TypeError, match=r"^align_corners: expected True or False, got"):
            make(wrong)
    assert AffineGrid(np.True_).align_corners is True


def test_transforms_that_do_not_go_together_are_named():
    generator = AffineGrid()
    two = generator.identity().expand(2, -1)
    for second in (two[:1], two.double()):
        with pytest.raises(ValueError, match=r"^second: expected as many as first, and of its precision, .* got"):
            generator.compose(two, second)
