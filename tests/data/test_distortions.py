"""Distorted digits: the θ that comes with each is the θ that made it."""

import math

import kornia
import pytest
import torch
import torch.nn.functional as F
from matrices import inverse
from torch.testing import assert_close

from stncourse import KINDS, Sampler, affine_grid, distort, load_digits, projective_grid
from stncourse.data.distortions import _moved_corners, _sheet

kinds = pytest.mark.parametrize("kind", KINDS)
MATRIX_KINDS = ("R", "RTS", "P", "TC")


def seeded(seed=0):
    return torch.Generator(device="cpu").manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline").images[::20]


def unclutter(images, kind):
    """For TC: options that leave the clutter away, so that the digit alone is there."""
    return {"others": torch.zeros_like(images)} if kind == "TC" else {}


def in_pixels(theta, size_in, size_out):
    """The 2×2 part of θ, from output pixels to input pixels."""
    per_input = torch.tensor([size_in[1] / 2, size_in[0] / 2])
    per_output = torch.tensor([size_out[1] / 2, size_out[0] / 2])
    return theta[:, :, :2] * per_input[:, None] / per_output


def angle(matrix):
    return torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))


def many(kind, size=(28, 28), count=2000, seed=0):
    """θ of many distortions."""
    return distort(torch.zeros(count, 1, *size, dtype=torch.uint8), kind, seeded(seed)).theta


def assert_uniform(values, low, high):
    reach = high - low
    assert low - 1e-4 <= values.min() < low + 0.02 * reach
    assert high - 0.02 * reach < values.max() <= high + 1e-4
    assert abs(values.mean() - (low + high) / 2) < 0.03 * reach
    assert abs(values.std() - reach / 12**0.5) < 0.02 * reach


# All kinds


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("R", (28, 28), (28, 28)),
        ("R", (20, 40), (20, 40)),
        ("R", (1, 1), (1, 1)),
        ("RTS", (28, 28), (42, 42)),
        ("RTS", (20, 40), (30, 60)),
        ("RTS", (5, 7), (8, 11)),
        ("P", (28, 28), (28, 28)),
        ("P", (20, 41), (20, 41)),
        ("P", (1, 1), (1, 1)),
        ("E", (28, 28), (28, 28)),
        ("E", (20, 41), (20, 41)),
        ("E", (1, 3), (1, 3)),
        ("TC", (28, 28), (60, 60)),
        ("TC", (20, 41), (43, 88)),
        ("TC", (1, 2), (3, 5)),
    ],
)
def test_shapes(kind, size, expected):
    images, theta, grid = distort(torch.zeros(3, 2, *size), kind, seeded())
    assert images.shape == (3, 2, *expected)
    assert grid.shape == (3, *expected, 2)
    rows = {"E": None, "P": 3}.get(kind, 2)
    assert theta is None if rows is None else theta.shape == (3, rows, 3)


@kinds
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_the_dtype_is_kept(digits, kind, dtype):
    scale = 1 if dtype == torch.uint8 else 255
    images = distort((digits / scale).to(dtype), kind, seeded()).images
    assert images.dtype == dtype
    assert images.min() == 0
    assert images.max() > 0.8 * 255 / scale


@kinds
def test_uint8_and_float_digits_are_distorted_alike(digits, kind):
    whole, real = distort(digits, kind, seeded()).images, distort(digits.float(), kind, seeded()).images
    assert torch.equal(whole.float(), real.round())


@kinds
def test_the_same_generator_state_gives_the_same_distortions(digits, kind):
    first, again, other = (distort(digits, kind, seeded(seed)) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        assert a is b is None or torch.equal(a, b)
    assert not torch.equal(first.grid, other.grid)
    assert not torch.equal(first.images, other.images)


@pytest.fixture(params=["meta", torch.float64])
def other_default(request):
    """Torch's default device is another one ("meta" plays the GPU), or its default dtype float64."""
    of_dtype = isinstance(request.param, torch.dtype)
    set_default, before = (torch.set_default_dtype, torch.float32) if of_dtype else (torch.set_default_device, None)
    _sheet.cache_clear()
    set_default(request.param)
    yield
    set_default(before)


@kinds
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(28, 28), (9, 14)])
def test_torchs_defaults_change_nothing(kind, dtype, size, other_default):
    with torch.device("cpu"):
        images = (255 * torch.rand(4, 1, *size, generator=seeded(), dtype=torch.float64)).to(dtype)
    ours = distort(images, kind, seeded())
    others = distort(images, kind, seeded(), others=images.flip(0)) if kind == "TC" else ours
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    expected = distort(images, kind, seeded())
    for a, b in zip(ours, expected, strict=True):
        assert a is b is None or ((a.device.type, a.dtype) == ("cpu", b.dtype) and torch.equal(a, b))
    assert torch.equal(others.grid, expected.grid)


@kinds
def test_without_a_generator_torchs_own_is_used(digits, kind):
    torch.manual_seed(0)
    first = distort(digits[:3], kind).images
    second = distort(digits[:3], kind).images
    torch.manual_seed(0)
    assert torch.equal(distort(digits[:3], kind).images, first)
    assert not torch.equal(first, second)


@kinds
def test_every_digit_gets_a_distortion_of_its_own(digits, kind):
    grid = distort(digits, kind, seeded()).grid
    assert len(grid.unique(dim=0)) > 0.9 * len(digits)  # TC has 33² places only


@kinds
def test_what_happens_to_a_digit_does_not_depend_on_the_others(digits, kind):
    changed = digits.clone()
    changed[1:] = 255 - changed[1:]
    first, second = (distort(d, kind, seeded(), **unclutter(d, kind)).images for d in (digits, changed))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@pytest.mark.parametrize("kind", MATRIX_KINDS)
def test_images_are_the_originals_sampled_at_the_grid_of_theta(digits, kind):
    images, theta, grid = distort(digits, kind, seeded(), **unclutter(digits, kind))
    if kind == "P":
        ours = projective_grid(theta, images.shape[-2:])
        assert torch.equal(grid, ours)
        expected_grid = grid
    else:
        expected_grid = F.affine_grid(theta, images.shape, align_corners=False)
    assert_close(grid, expected_grid, atol=1e-5, rtol=0)
    expected = F.grid_sample(digits.float(), expected_grid, align_corners=False)
    assert (images.float() - expected).abs().max() <= 0.51  # uint8: rounded


@pytest.mark.parametrize("kind", ["R", "RTS", "TC"])
def test_the_inverse_theta_puts_the_digit_back(digits, kind):
    images, theta, _ = distort(digits / 255, kind, seeded(), **unclutter(digits / 255, kind))
    restored = Sampler()(images, affine_grid(inverse(theta), (28, 28)))
    assert (restored - digits / 255).abs().mean() < 0.03
    both = torch.stack([restored.flatten(), (digits / 255).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.95
    if kind == "R":  # without undoing, it is another picture
        assert torch.corrcoef(torch.stack([images.flatten(), both[1]]))[0, 1] < 0.7


@kinds
def test_background_stays_background(kind):
    assert distort(torch.zeros(5, 1, 28, 28, dtype=torch.uint8), kind, seeded()).images.count_nonzero() == 0
    white = distort(torch.full((50, 1, 28, 28), 255, dtype=torch.uint8), kind, seeded()).images
    assert (white[:, 0, 0, 0] == 0).any()  # a corner that the square has left
    assert (white.flatten(1).max(1).values == 255).all()


@kinds
def test_channels_are_distorted_together(digits, kind):
    colored = digits.expand(-1, 3, -1, -1)
    images = distort(colored, kind, seeded()).images
    assert torch.equal(images[:, 0], images[:, 2])
    assert torch.equal(images[:, :1], distort(digits, kind, seeded()).images)


@kinds
def test_an_empty_batch_is_fine(kind):
    assert len(distort(torch.zeros(0, 1, 28, 28), kind).images) == 0


@kinds
def test_the_input_is_not_touched(digits, kind):
    before = digits.clone()
    distort(digits, kind, seeded())
    assert torch.equal(digits, before)


@pytest.mark.gpu
@kinds
def test_a_gpu_distorts_alike(digits, kind):
    there, here = distort(digits.float().cuda(), kind, seeded()).images, distort(digits.float(), kind, seeded()).images
    assert there.device.type == "cuda"
    assert_close(there.cpu(), here, atol=0.5, rtol=0)


# R


@pytest.mark.parametrize("size", [(28, 28), (4, 8)])
def test_r_is_a_rotation_in_pixels_uniform_within_90_degrees(size):
    theta = many("R", size)
    matrix = in_pixels(theta, size, size)
    assert_close(matrix @ matrix.mT, torch.eye(2).expand(len(matrix), 2, 2), atol=1e-5, rtol=0)
    assert (torch.linalg.det(matrix) > 0).all()
    assert theta[:, :, 2].count_nonzero() == 0
    assert_uniform(angle(matrix), -90, 90)


def test_r_shows_a_positive_rotation_counter_clockwise():
    """A spot at the top goes left where the rotation in θ is positive."""
    spot = torch.zeros(200, 1, 29, 29)
    spot[:, :, 2:5, 13:16] = 1
    images, theta, _ = distort(spot, "R", seeded())
    turned = angle(theta[:, :, :2])
    x = (images.sum((1, 2)) * torch.arange(-14.0, 15)).sum(1) / images.sum((1, 2, 3))
    assert_close(x, -11 * torch.sin(torch.deg2rad(turned)), atol=0.2, rtol=0)


# RTS


@pytest.mark.parametrize(("size", "canvas"), [((28, 28), (42, 42)), ((1, 2), (2, 3))])
def test_rts_rotation_and_magnification_are_uniform_in_their_ranges(size, canvas):
    matrix = in_pixels(many("RTS", size), size, canvas)
    magnification = torch.linalg.det(matrix) ** -0.5
    assert_uniform(magnification, 0.7, 1.2)
    assert_uniform(angle(matrix), -45, 45)
    rigid = matrix * magnification[:, None, None]
    assert_close(rigid @ rigid.mT, torch.eye(2).expand(len(rigid), 2, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "canvas"), [((28, 28), (42, 42)), ((1, 2), (2, 3))])
def test_rts_keeps_the_magnified_square_inside_and_uses_all_the_room(size, canvas):
    theta = many("RTS", size)
    magnification = torch.linalg.det(in_pixels(theta, size, canvas)) ** -0.5
    center = inverse(theta)[:, :, 2] * torch.tensor([canvas[1] / 2, canvas[0] / 2])  # of the digit, in canvas pixels
    for axis, (small, large) in enumerate(zip(size[::-1], canvas[::-1], strict=True)):
        room = (large - magnification * small) / 2
        assert (center[:, axis].abs() <= room + 1e-3).all()
        assert_uniform(center[:, axis] / room, -1, 1)
    assert torch.corrcoef(center.T)[0, 1].abs() < 0.1


def test_rts_shows_the_digit_where_theta_says():
    spot = torch.zeros(100, 1, 28, 28)
    spot[:, :, 10:18, 10:18] = 1  # its middle is the middle of the image
    images, theta, _ = distort(spot, "RTS", seeded())
    ruler = (2 * torch.arange(42) + 1) / 42 - 1
    x = (images.sum((1, 2)) * ruler).sum(1) / images.sum((1, 2, 3))
    y = (images.sum((1, 3)) * ruler).sum(1) / images.sum((1, 2, 3))
    assert_close(torch.stack([x, y], 1), inverse(theta)[:, :, 2], atol=0.01, rtol=0)


# P


@pytest.mark.parametrize("size", [(28, 28), (20, 40)])
def test_p_moves_the_corners_where_it_was_told(size):
    corners = _moved_corners(500, seeded(1))
    theta = distort(torch.zeros(500, 1, *size), "P", seeded(1)).theta
    # distorted → original: from the corners to those of the square, clockwise from the upper left
    expected = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).expand(500, 4, 2)
    there = kornia.geometry.transform_points(theta.double(), corners)
    assert_close(there.float(), expected, atol=1e-3, rtol=0)


def test_p_is_kornias_warp():
    """In pixels, from corners to corners, forward: another route to the same picture."""
    images = torch.rand(200, 1, 28, 28, generator=seeded(3)).double()
    images = F.avg_pool2d(images, 5, 1, 2)  # smooth, so that a thousandth of a pixel is not seen
    corners = _moved_corners(200, seeded(1))
    to_pixels = lambda places: (places + 1) * 14 - 0.5  # noqa: E731
    source = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).double().expand(200, 4, 2)
    matrix = kornia.geometry.get_perspective_transform(to_pixels(source), to_pixels(corners))
    expected = kornia.geometry.warp_perspective(images, matrix, (28, 28), align_corners=True)
    ours = distort(images, "P", seeded(1)).images
    assert_close(ours, expected, atol=1e-4, rtol=0)
    assert expected.flatten(1).std(1).min() > 0


def test_p_corners_are_normal_along_the_diagonals_around_those_of_the_shrunken_square():
    square = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).double()
    theta = many("P", count=6000).double()
    pixels = 14 * kornia.geometry.transform_points(torch.linalg.inv(theta), square.expand(6000, 4, 2))
    outwards = pixels * square  # x and y, where both are positive outside the centre
    assert_close(outwards[..., 0], outwards[..., 1], atol=1e-3, rtol=0)  # on the diagonal
    from_centre = outwards.sum(2) / 2**0.5
    # Half a diagonal is 14 √2 · (0.75 to 1); its own spread is 14 √2 · 0.25 / √12 = 1.43 pixels.
    assert abs(from_centre.mean() - 14 * 2**0.5 * 0.875) < 0.2
    assert abs(from_centre.std() - math.hypot(5, 1.43)) < 0.15
    # Each corner moves by itself: what two share is the magnification.
    shared = torch.corrcoef(from_centre.T) - torch.eye(4)
    assert (shared - (1 - torch.eye(4)) * 1.43**2 / (25 + 1.43**2)).abs().max() < 0.05


def test_p_corners_are_those_of_a_projection_of_the_square():
    """Convex, and no part of the digit on the horizon."""
    theta = many("P", count=6000).double()
    lattice = torch.cartesian_prod(*2 * [torch.linspace(-1, 1, 5).double()])
    forward = torch.linalg.inv(theta)
    forward = forward / forward[:, 2:, 2:]
    w = forward[:, 2] @ torch.cat([lattice, torch.ones(25, 1)], 1).double().T
    assert w.min() > 0
    corners = kornia.geometry.transform_points(forward, lattice[[0, 4, 24, 20]].expand(6000, 4, 2))
    for a, b, c in ((0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1)):
        first, second = corners[:, b] - corners[:, a], corners[:, c] - corners[:, b]
        turn = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
        assert (turn < 0).all()  # x is drawn first here, so the other way round


# E


def slow_sheet(size):
    """Weights of 16 control points at the pixel centres of an image, point by point."""
    control = [(-1 + 2 * x / 3, -1 + 2 * y / 3) for y in range(4) for x in range(4)]

    def bending(p, q):
        r = math.dist(p, q)
        return r * r * math.log(r) if r else 0.0

    system = torch.zeros(19, 19).double()
    for i, p in enumerate(control):
        system[i, :16] = torch.tensor([bending(p, q) for q in control])
        system[i, 16:] = system[16:, i] = torch.tensor([1.0, *p])
    height, width = size
    centers = [((2 * x + 1) / width - 1, (2 * y + 1) / height - 1) for y in range(height) for x in range(width)]
    rows = torch.tensor([[bending(c, q) for q in control] + [1.0, *c] for c in centers]).double()
    return torch.tensor(control).double(), (rows @ torch.linalg.inv(system))[:, :16]


@pytest.mark.parametrize("size", [(28, 28), (9, 14)])
def test_e_is_a_thin_plate_spline_of_16_control_points(size):
    """Where the control points look is solved for out of the grid; then the grid has to be theirs, and they as said."""
    grid = distort(torch.zeros(2000, 1, *size), "E", seeded()).grid.reshape(2000, -1, 2).double()
    control, weights = slow_sheet(size)
    looks = torch.linalg.lstsq(weights.expand(2000, -1, -1), grid).solution
    assert (weights @ looks - grid).abs().max() < 1e-5
    affine = torch.cat([control, torch.ones(16, 1).double()], 1)
    linear = torch.linalg.pinv(affine) @ looks
    # 1 / magnification, uniform in 0.75 to 1: its mean is ln(4/3) / 0.25
    zoom = (linear[:, 0, 0] + linear[:, 1, 1]) / 2
    assert abs(zoom.mean() - math.log(4 / 3) / 0.25) < 0.01
    assert linear[:, 0, 1].mean().abs() < 0.01
    assert linear[:, 2].mean(0).abs().max() < 0.01
    # What is left has 13 of 16 degrees of freedom, and is divided by the magnification: mean of 1/m² is 4/3.
    bent = 14 * (looks - affine @ linear)
    assert abs(bent.square().mean().sqrt() - 1.5 * math.sqrt(13 / 16 * 4 / 3)) < 0.03


def test_e_is_the_original_sampled_at_the_grid(digits):
    images, _, grid = distort(digits.float(), "E", seeded())
    assert_close(images, F.grid_sample(digits.float(), grid, align_corners=False), atol=1e-3, rtol=0)


# TC


@pytest.mark.parametrize("size", [(28, 28), (14, 42)])
def test_tc_puts_the_digit_at_a_random_place_in_whole_pixels(size):
    images = torch.rand(1500, 1, *size, generator=seeded(1)) + 0.5
    canvases, theta, _ = distort(images, "TC", seeded(), others=torch.zeros(1, 1, *size))
    height, width = canvases.shape[-2:]
    # θ puts the digit's left edge, -1, at the canvas' pixel edge `left`: -1 = width/size · (2 left / width - 1) + tx
    left = ((width - (theta[:, 0, 2] + 1) * size[1]) / 2).round().long()
    top = ((height - (theta[:, 1, 2] + 1) * size[0]) / 2).round().long()
    for image, canvas, y, x in zip(images[:50], canvases[:50], top[:50].tolist(), left[:50].tolist(), strict=True):
        expected = torch.zeros(1, height, width)
        expected[:, y : y + size[0], x : x + size[1]] = image
        assert_close(canvas, expected, atol=1e-4, rtol=0)
    for place, room in ((left, width - size[1]), (top, height - size[0])):
        assert place.unique().tolist() == list(range(room + 1))
        assert abs(place.float().mean() - room / 2) < 0.04 * room


def test_tc_clutter_is_six_patches_of_other_digits():
    """Every pixel of the digits to cut from has a number of its own, so that each patch can be told, pixel by pixel."""
    others = torch.arange(1.0, 1 + 50 * 28 * 28).reshape(50, 1, 28, 28).double()
    canvases = distort(torch.zeros(300, 1, 28, 28).double(), "TC", seeded(), others=others).images
    corners, whole = [], 0
    for canvas in canvases[:, 0]:
        patches = {}
        for y, x in canvas.nonzero().tolist():
            number, pixel = divmod(round(canvas[y, x].item()) - 1, 28 * 28)
            patches.setdefault((number, y - pixel // 28, x - pixel % 28), []).append((y, x))
        assert 1 <= len(patches) <= 6
        for pixels in patches.values():
            ys, xs = zip(*pixels, strict=True)
            assert max(ys) - min(ys) <= 5
            assert max(xs) - min(xs) <= 5
            if len(pixels) == 36:
                corners.append((min(ys), min(xs)))
        whole += len(patches) == 6
    assert whole > 0.9 * len(canvases)  # six, but where one lies under another
    places = torch.tensor(corners).float()
    assert places.min(0).values.tolist() == [0, 0]
    assert places.max(0).values.tolist() == [54, 54]
    assert (places.mean(0) - 27).abs().max() < 2


def test_tc_clutter_is_cut_from_everywhere_in_the_other_images_of_the_batch_and_never_from_ones_own():
    """Image number i is i + 1 all over: outside its own square no pixel has that number."""
    images = torch.arange(1.0, 6).reshape(5, 1, 1, 1).expand(5, 1, 28, 28)
    generator, met = seeded(), set()
    for _ in range(60):
        canvases, _, grid = distort(images, "TC", generator)
        outside = (grid.abs() > 1).any(-1)
        for number in range(5):
            values = set(canvases[number, 0][outside[number]].round().int().tolist()) - {0}
            assert number + 1 not in values
            met |= {(number + 1, value) for value in values}
    assert len(met) == 5 * 4


def test_tc_shows_the_brighter_pixel_where_things_overlap(digits):
    alone = distort(digits, "TC", seeded(), others=torch.zeros_like(digits)).images
    white = distort(digits, "TC", seeded(), others=torch.full_like(digits, 100)).images
    cluttered = white != alone
    assert (white[cluttered] == 100).all()
    assert (alone[cluttered] < 100).all()
    assert (cluttered.flatten(1).sum(1) <= 6 * 36).all()
    assert cluttered.flatten(1).sum(1).float().mean() > 150


# Wrong arguments


@pytest.mark.parametrize(
    ("images", "kind", "generator", "error", "name"),
    [
        ([[0]], "R", None, TypeError, "images"),
        (torch.zeros(28, 28), "R", None, ValueError, "images"),
        (torch.zeros(1, 1, 4, 4), "T", None, ValueError, "kind"),
        (torch.zeros(1, 1, 4, 4), None, None, ValueError, "kind"),
        (torch.zeros(1, 1, 4, 4), "R", 0, TypeError, "generator"),
        (torch.zeros(1, 1, 4, 4), "TC", None, ValueError, "others"),
    ],
)
def test_errors_name_the_argument(images, kind, generator, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        distort(images, kind, generator)


@pytest.mark.parametrize(
    ("kind", "others", "error"),
    [
        ("TC", [1], TypeError),
        ("TC", torch.zeros(2, 1, 5, 4), ValueError),
        ("TC", torch.zeros(2, 4, 4), ValueError),
        ("TC", torch.zeros(2, 1, 4, 4, dtype=torch.uint8), ValueError),
        ("TC", torch.zeros(0, 1, 4, 4), ValueError),
        ("P", torch.zeros(2, 1, 4, 4), ValueError),
    ],
)
def test_wrong_others_are_refused(kind, others, error):
    with pytest.raises(error, match=r"^others: expected"):
        distort(torch.zeros(2, 1, 4, 4), kind, None, others)
