"""Thin-plate splines against a slow solution written out point by point."""

import math

import kornia
import numpy as np
import pytest
import torch

from stncourse import Sampler, ThinPlateSplineGrid, affine_grid, affine_theta
from stncourse.transformer.splines import lattice, spline_weights

SIZES = [(1, 1), (1, 5), (4, 1), (5, 4), (28, 28), (20, 41)]


def moved(generator, count=3, spread=0.15, seed=0, dtype=torch.float64):
    noise = torch.randn(count, generator.num_parameters, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return generator.identity().to(dtype) + spread * noise


def slow_spline(control, targets, points):
    """Bookstein's spline through ``control`` -> ``targets``, at ``points``. Kornia evaluates what is solved here."""
    count = len(control)
    system, right = torch.zeros(count + 3, count + 3).double(), torch.zeros(count + 3, 2).double()
    for i, p in enumerate(control.tolist()):
        for j, q in enumerate(control.tolist()):
            r = math.dist(p, q)
            system[i, j] = r**2 * math.log(r) if r else 0.0  # kornia's kernel: half of ours, so its weights are twice
        for j, value in enumerate((1.0, *p)):
            system[i, count + j] = system[count + j, i] = value
        right[i] = targets[i]
    solution = torch.linalg.solve(system, right)
    return kornia.geometry.transform.warp_points_tps(
        points[None], control[None].double(), solution[None, :count], solution[None, count:]
    )[0]


@pytest.mark.parametrize("control", [2, 4, (3, 5)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_grid_is_the_slow_solutions(control, align_corners):
    generator = ThinPlateSplineGrid(control, align_corners)
    parameters = moved(generator)
    size = (6, 9)
    centers = affine_grid(affine_theta().double(), size, align_corners).reshape(-1, 2)
    for row, grid in zip(parameters, generator(parameters, size), strict=True):
        expected = slow_spline(lattice(*generator.control).double(), row.reshape(-1, 2), centers)
        torch.testing.assert_close(grid.reshape(-1, 2), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("options", [{}, {"bound": 1}, {"control": (2, 5), "bound": 1.5}])
def test_the_identity_is_exact(size, align_corners, options):
    generator = ThinPlateSplineGrid(align_corners=align_corners, **options)
    grid = generator(generator.identity()[None], size)
    assert torch.equal(grid, affine_grid(affine_theta(), size, align_corners))


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_identity_is_exact_at_every_size_up_to_48(align_corners):
    generator = ThinPlateSplineGrid(align_corners=align_corners)
    for height in range(1, 49):
        size = (height, 49 - height)
        grid = generator(generator.identity()[None], size)
        assert torch.equal(grid, affine_grid(affine_theta(), size, align_corners))


def test_the_sheet_goes_through_the_control_points():
    generator = ThinPlateSplineGrid(4, align_corners=True)  # pixel centres of 4×4 are the lattice
    parameters = moved(generator)
    torch.testing.assert_close(generator(parameters, (4, 4)).reshape(3, -1), parameters, atol=1e-6, rtol=0)


def test_control_points_moved_by_an_affine_map_make_that_map():
    theta = affine_theta(rotation=30, scale=(0.8, 1.3), shear=0.2, translation=(0.1, -0.3)).double()
    points = torch.cat([lattice(4, 4), torch.ones(16, 1)], 1).double() @ theta[0].T
    grid = ThinPlateSplineGrid()(points.reshape(1, -1), (5, 8))
    torch.testing.assert_close(grid, affine_grid(theta, (5, 8)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("bound", [None, 1.2])
def test_the_grid_has_gradients(bound):
    generator = ThinPlateSplineGrid((2, 3), bound=bound)
    parameters = moved(generator, count=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: generator(p, (3, 4)), parameters)


def test_bounded_control_points_stay_inside_and_small_moves_pass():
    generator = ThinPlateSplineGrid(bound=1)
    for spread in (0.01, 1, 100, 1e30):
        points = generator.control_points(moved(generator, spread=spread, dtype=torch.float32))
        assert points.abs().max() <= 1
        assert points.isfinite().all()
    inner = [10, 11, 12, 13]  # two of the inner points
    small = generator.identity().double()
    small[inner] += 0.01
    points = generator.control_points(small[None]).flatten()
    torch.testing.assert_close(points[inner], small[inner], atol=1e-5, rtol=0)
    parameters = generator.identity()[None].requires_grad_()
    generator.control_points(parameters).sum().backward()
    assert (parameters.grad == 1).all()  # also at the rim, where the room is on one side only


def test_coinciding_targets_and_nan_are_defined_and_crash_nothing():
    generator = ThinPlateSplineGrid()
    parameters = moved(generator, dtype=torch.float32)
    parameters[0], parameters[1] = 0.25, float("nan")
    grid = generator(parameters, (5, 6))
    torch.testing.assert_close(grid[0], torch.full((5, 6, 2), 0.25))
    assert grid[1].isnan().all()
    assert grid[2].isfinite().all()
    for padding_mode in ("zeros", "border", "reflection"):
        Sampler(padding_mode=padding_mode)(torch.rand(3, 1, 5, 6), grid)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_grid_is_at_least_float32(dtype):
    generator = ThinPlateSplineGrid()
    parameters = moved(generator).to(dtype)
    grid = generator(parameters, (60, 60))
    assert grid.dtype == torch.float32
    torch.testing.assert_close(grid.double(), generator(parameters.double(), (60, 60)), atol=1e-5, rtol=0)


def test_it_has_no_matrix_and_no_weights_to_save():
    generator = ThinPlateSplineGrid()
    assert generator.theta(generator.identity()[None]) is None
    assert not generator.state_dict()


# The weights


def test_weights_are_those_of_a_sheet():
    points = torch.rand(7, 2).double() * 2 - 1
    control = lattice(3, 4)
    weights = spline_weights(points, control)
    torch.testing.assert_close(weights.sum(1), torch.ones(7).double())
    torch.testing.assert_close(weights @ control.double(), points)  # a sheet that is not bent lies where it lay
    at_control = spline_weights(control, control)
    torch.testing.assert_close(at_control, torch.eye(12).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "control",
    [lattice(1, 4), torch.tensor([[0.0, 0], [1, 1], [2, 2]]), torch.cat([lattice(2, 2), lattice(2, 2)[:1]]),
     torch.zeros(3, 3), torch.zeros(2, 2)],
)  # fmt: skip
def test_control_points_that_hold_no_sheet_are_refused(control):
    with pytest.raises(ValueError, match=r"^control: expected"):
        spline_weights(torch.zeros(1, 2), control)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"control": 1}, "control"), ({"control": (4, 1)}, "control"), ({"control": "4"}, "control"),
     ({"control": (1, 1, 4, 4)}, "control"), ({"control": 4.0}, "control"), ({"bound": np.nan}, "bound"),
     ({"bound": True}, "bound"), ({"bound": torch.tensor([1.0])}, "bound"),
     ({"bound": 0.5}, "bound"), ({"bound": "1"}, "bound"), ({"bound": float("inf")}, "bound")],
)  # fmt: skip
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        ThinPlateSplineGrid(**arguments)


@pytest.mark.parametrize("number", [np.int64, np.float32, torch.tensor, np.array])
def test_control_and_bound_are_numbers_of_any_kind(number):
    generator = ThinPlateSplineGrid(bound=number(2))
    assert generator.bound == 2
    assert isinstance(generator.bound, (int, float))
    if number is not np.float32:
        assert ThinPlateSplineGrid(number(3)).control == (3, 3)
        assert ThinPlateSplineGrid((number(3), 2)).num_parameters == 12


def test_a_spline_laid_out_without_numbers_gets_its_own_back():
    """Buffers would be left as whatever lay in the memory."""
    generator = ThinPlateSplineGrid(bound=1.5).to("meta").to_empty(device="cpu")
    parameters = moved(generator)
    assert torch.equal(generator(parameters, (7, 9)), ThinPlateSplineGrid(bound=1.5)(parameters, (7, 9)))


@pytest.mark.parametrize("parameters", [torch.zeros(2, 6), torch.zeros(32), None, torch.ones(1, 32).int()])
def test_parameters_of_another_kind_are_refused(parameters):
    with pytest.raises((TypeError, ValueError), match=r"^parameters: expected"):
        ThinPlateSplineGrid()(parameters, (4, 4))
