"""Grid generators: θ -> where to sample (Jaderberg et al. 2015, section 3.2)."""

import math

import torch
from torch import nn

from stncourse import _check
from stncourse._memory import is_plain, remembered
from stncourse._precision import at_least_float32, without_autocast


def pixel_centers(count, align_corners=False, *, dtype=torch.float32, device=None):
    """Normalised coordinates of ``count`` pixel centres along one axis.

    With ``align_corners=False``, -1 and 1 are the outer *edges* of the first and last pixel, so the centres sit half a
    pixel inside. With ``align_corners=True``, -1 and 1 are the *centres* of the first and last pixel. One lone pixel
    sits at 0 either way.

    Args:
        count: number of pixels, at least 1.
        align_corners: which of the two rulers.

    Returns:
        Tensor of shape ``(count,)``.

    >>> pixel_centers(4)
    tensor([-0.7500, -0.2500,  0.2500,  0.7500])
    >>> pixel_centers(3, align_corners=True)
    tensor([-1.,  0.,  1.])
    """
    steps = 2 * torch.arange(count, dtype=dtype, device=device)
    if not align_corners:
        return (steps + 1) / count - 1
    last = count - 1
    return (steps - last) / (last + (last == 0))  # no "if": the count may be traced


def affine_grid(theta, size, align_corners=False):
    """The sampling grid of an affine θ, from scratch: every output pixel asks "where in the input do I look?".

    Equal to ``torch.nn.functional.affine_grid`` in value and gradient; on a CPU several times faster for batches
    (``benchmarks/sampler.py``), because all the θ of a batch meet the pixel centres at once.

    Args:
        theta: ``(N, 2, 3)`` floating-point, the matrices θ in normalised units.
        size: ``(H_out, W_out)``, one int for a square, or the ``(N, C, H_out, W_out)`` that torch takes (N and C are
            not used).
        align_corners: give the same value to the sampler.

    Returns:
        ``(N, H_out, W_out, 2)``, the last axis is (x, y); float32 at least, also for a θ in half precision.

    Convention:
        θ maps **output → input** (the paper's equation 1): ``(x_in, y_in) = θ (x_out, y_out, 1)``. Coordinates are in
        [-1, 1], x to the right, y down, (0, 0) the centre. θ with tx = +0.4 looks 0.4 further right, so the content
        moves *left*. ``align_corners=False`` puts ±1 on the image's outer edges. Points outside [-1, 1] are left as
        they are: padding is the sampler's business.

    Raises:
        TypeError, ValueError: ``theta`` or ``size`` is not of the kind or shape above.

    >>> identity = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> affine_grid(identity, (1, 2))
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    _check.tensor("theta", theta, "N 2 3")
    height, width = _check.image_size("size", size)
    return _places(theta, height, width, align_corners).permute(0, 2, 3, 1)


def affine_theta(rotation=0, scale=1, shear=0, translation=(0, 0), size=None):
    """Build θ from numbers a person can think in.

    θ = [ R(rotation) · [[1, shear], [0, 1]] · diag(scale) | translation ]

    Args:
        rotation: degrees.
        scale: one number for both axes, or a pair (x, y). Negative mirrors.
        shear: how far x moves per unit of y.
        translation: pair (x, y) in normalised units: 2 is one whole image.
        size: ``(H, W)`` of a non-square image, to rotate and shear in *pixels*. Without it, a rotation happens in the
            square [-1, 1] × [-1, 1] and a 20×40 image comes out skewed.

        Every number may also be a 1-D tensor of length N, to make N matrices at once.

    Returns:
        ``(N, 2, 3)`` tensor: float32, or the dtype of the tensors given. N = 1 when all are plain numbers.

    Convention:
        All parameters describe the *box* that is looked at on the input (θ maps output → input, x right, y down).
        rotation = +30 turns the box 30° clockwise on the screen, so the content comes out turned 30° counter-clockwise.
        scale = 2 looks at twice as much, so the content comes out half as large. translation = (0.4, 0) looks to the
        right, so the content moves left.

    Raises:
        TypeError, ValueError: an argument is not a finite number, a pair or a 1-D tensor as above, or lengths differ.

    >>> affine_theta(rotation=90, translation=(0.4, 0)).round(decimals=3).abs()
    tensor([[[0.0000, 1.0000, 0.4000],
             [1.0000, 0.0000, 0.0000]]])
    """
    scale_x, scale_y = _pair("scale", scale, allow_single=True)
    shift_x, shift_y = _pair("translation", translation)
    angle, sx, sy, k, tx, ty = _broadcast(
        ("rotation", rotation),
        ("scale", scale_x),
        ("scale", scale_y),
        ("shear", shear),
        ("translation", shift_x),
        ("translation", shift_y),
    )
    cos, sin = torch.cos(torch.deg2rad(angle)), torch.sin(torch.deg2rad(angle))
    a, b = cos * sx, (cos * k - sin) * sy
    c, d = sin * sx, (sin * k + cos) * sy
    if size is not None:
        height, width = _check.image_size("size", size)
        b, c = b * (height / width), c * (width / height)
    return torch.stack([torch.stack([a, b, tx], -1), torch.stack([c, d, ty], -1)], -2)


def _pair(name, value, allow_single=False):
    # A tensor is one scale for each θ, not a pair.
    pair = None if allow_single and not isinstance(value, (tuple, list)) else _check.as_pair(value)
    if pair is not None:
        return pair
    if allow_single and not isinstance(value, (tuple, list)):
        return value, value
    expected = "a number, a tensor or a pair (x, y)" if allow_single else "a pair (x, y)"
    raise ValueError(f"{name}: expected {expected}, got {_check.describe(value)}")


def _broadcast(*named):
    """(name, number or 1-D tensor) pairs -> 1-D tensors of one common length, dtype and device."""
    tensors = [value for _, value in named if isinstance(value, torch.Tensor)]
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    device = tensors[0].device if tensors else None
    length = max([_check.sizes_of(t)[0] for t in tensors if t.ndim == 1], default=1)
    columns = []
    for name, value in named:
        if isinstance(value, torch.Tensor) and not value.is_complex() and value.dtype != torch.bool:
            if value.ndim > 1 or (value.ndim == 1 and _check.sizes_of(value)[0] not in (1, length)):
                raise ValueError(f"{name}: expected a number or a 1-D tensor of {length}, got {_check.describe(value)}")
            columns.append(value.to(dtype=dtype, device=device).reshape(-1))
        elif (number := _check.as_real(value)) is not None:
            if not math.isfinite(number):
                raise ValueError(f"{name}: expected a finite number, got {value}")
            columns.append(torch.full((1,), number, dtype=dtype, device=device))
        else:
            raise TypeError(f"{name}: expected a number or a 1-D tensor, got {_check.describe(value)}")
    return torch.broadcast_tensors(*columns)


def projective_grid(theta, size, align_corners=False):
    """The sampling grid of a projective θ (a homography).

    ``(x_in, y_in) = (x', y') / w`` with ``(x', y', w) = θ (x_out, y_out, 1)``.

    Args:
        theta: ``(N, 3, 3)`` floating-point.
        size: as for :func:`affine_grid`.
        align_corners: give the same value to the sampler.

    Returns:
        ``(N, H_out, W_out, 2)``, the last axis is (x, y).

    Convention:
        θ maps **output → input**, x right, y down, [-1, 1] as :func:`affine_grid`. Where w is not above 0.001 an output
        pixel looks at the horizon, or behind it: it gets a place far outside the image (``FAR``), without gradient, so
        that zero padding shows background there. NaN in θ gives NaN.

    Raises:
        TypeError, ValueError: ``theta`` or ``size`` is not of the kind or shape above.

    >>> projective_grid(torch.eye(3)[None], (1, 2))
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    _check.tensor("theta", theta, "N 3 3")
    height, width = _check.image_size("size", size)
    places = _places(theta, height, width, align_corners)
    w = places[:, 2:]
    # Not ~(w > …): a w that is NaN has to stay one.
    beyond = w <= _HORIZON
    grid = (places[:, :2] / w.masked_fill(beyond, 1.0)).masked_fill(beyond, FAR)
    return grid.permute(0, 2, 3, 1)


def projective_theta(corners):
    """The projective θ that looks at four given corners: four points fix eight numbers.

    Args:
        corners: ``(N, 4, 2)`` floating-point, where on the input the output's corners look, (x, y), row by row:
            top left, top right, bottom left, bottom right.

    Returns:
        ``(N, 3, 3)``, the ninth entry 1; float32 at least.

    Convention:
        θ maps **output → input**, x right, y down, corners of the image at ±1, as :func:`projective_grid`. Where one
        corner lies inside the triangle of the others, or edges cross, the horizon runs through the output: the part
        of it on the centre's side is seen. NaN corners give NaN.

    Raises:
        TypeError, ValueError: ``corners`` is not of the kind or shape above, three of the four are on one line, or the
            output's centre would look at the horizon.

    >>> projective_theta(torch.tensor([[[-1.0, -1], [1, -1], [-1, 1], [1, 1]]]))
    tensor([[[1., 0., 0.],
             [0., 1., 0.],
             [0., 0., 1.]]])
    """
    _check.tensor("corners", corners, "N 4 2")
    p = torch.cat([corners.double(), torch.ones_like(corners[..., :1], dtype=torch.float64)], -1)
    top_left, top_right, bottom_left, bottom_right = p.unbind(1)
    # Of the output's corners, bottom_right = -top_left + top_right + bottom_left. θ maps each to a multiple of where it
    # looks; the multiples -a, b, c are found from where the fourth one looks.
    basis = torch.stack([top_left, top_right, bottom_left], -1)
    if _check.some(_is_singular(basis, torch.finfo(corners.dtype).eps)):
        raise ValueError("corners: expected no three on one line, got three that are")
    a, b, c = torch.linalg.solve(basis, bottom_right).unsqueeze(-2).unbind(-1)
    # θ's columns are where (1, 0, 0), (0, 1, 0) and (0, 0, 1) go: half the differences and the sum of two corners.
    right, down = b * top_right + a * top_left, c * bottom_left + a * top_left
    theta = torch.stack([right, down, b * top_right + c * bottom_left], -1)
    if _check.some(_is_singular(theta, torch.finfo(corners.dtype).eps)):
        raise ValueError("corners: expected no three on one line, got three that are")
    ninth = theta[:, 2:, 2:]
    if _check.some(ninth.abs() < 1e-9):
        raise ValueError("corners: expected a centre that does not look at the horizon, got one that does")
    return (theta / ninth).to(at_least_float32(corners).dtype)


#: Coordinate of a place that is outside every image.
FAR = 1e4
_HORIZON = 1e-3


# Up to here, 128 × 128, the pixel centres of an output are remembered whole. Above they would take much memory, and the
# way without them is the faster one.
_SMALL = 2**14


def _places(theta, height, width, align_corners):
    """The matrices θ ``(N, R, 3)`` applied to all pixel centres: ``(N, R, H, W)``, float32 at least."""
    theta = at_least_float32(theta)
    rows = theta.reshape(-1, 3)
    if is_plain(rows) and rows.is_cpu and height * width <= _SMALL:
        # (R·N, 3) @ (3, H·W): one product for the whole batch, where N small ones would take 15 times as long.
        with without_autocast(rows):
            places = rows @ _centers(height, width, bool(align_corners), rows.dtype)[0]
        return places.reshape(-1, theta.shape[1], height, width)
    # x's share, one for each column, and the rest, one for each row. No product that a GPU might round to TF32.
    x, y = (pixel_centers(count, align_corners, dtype=theta.dtype, device=theta.device) for count in (width, height))
    columns, rows = theta[..., :1] * x, theta[..., 1:2] * y + theta[..., 2:]
    return columns[..., None, :] + rows[..., None]


@remembered(maxsize=16)
def _centers(height, width, align_corners, dtype):
    """The pixel centres as columns (x, y, 1): ``(3, H·W)``, on the CPU."""
    y, x = (pixel_centers(count, align_corners, dtype=dtype, device="cpu") for count in (height, width))
    y, x = torch.meshgrid(y, x, indexing="ij")
    return (torch.stack([x, y, torch.ones_like(x)]).reshape(3, -1),)


def _is_singular(matrices, eps):
    """Which ``(N, 3, 3)`` matrices have a determinant that rounding errors of relative size ``eps`` could have made.

    Measured against the product of the rows' lengths, the largest that a determinant can be: a strong zoom is not
    singular. NaN is not either.
    """
    return matrices.det().abs() <= 4 * eps * matrices.norm(dim=2).prod(1)


class _MatrixGrid(nn.Module):
    """A family of transforms that are matrices: numbers -> θ -> grid."""

    num_parameters: int

    def __init__(self, align_corners=False):
        super().__init__()
        self.align_corners = align_corners

    def identity(self):
        """The parameters, shape ``(num_parameters,)``, that leave an image as it is."""
        raise NotImplementedError

    def theta(self, parameters):
        """``(N, num_parameters)`` parameters -> the matrices θ, output → input."""
        raise NotImplementedError

    def parameters_of(self, matrix):
        """``(N, 3, 3)`` matrices of this family -> their ``(N, num_parameters)`` parameters."""
        raise NotImplementedError

    def inverse(self, parameters):
        """``(N, num_parameters)`` parameters -> those of the transforms that go the other way.

        NaN parameters give NaN.

        Raises:
            ValueError: one of the transforms has no inverse, as far as the parameters' precision lets it tell: it
                squeezes the image to a line or a point; or, projective, the inverse's centre looks at the horizon,
                which no eight numbers say.
        """
        matrix = self._square(parameters).double()
        if _check.some(_is_singular(matrix, torch.finfo(parameters.dtype).eps)):
            raise ValueError("parameters: expected transforms that can be inverted, got a singular one")
        inverse = self.parameters_of(torch.linalg.inv_ex(matrix).inverse).to(parameters.dtype)
        if _check.some(inverse.isinf().any(1) & parameters.isfinite().all(1)):
            raise ValueError("parameters: expected transforms whose inverse can be said, got one with an infinite one")
        return inverse

    def compose(self, first, second):
        """Parameters of the transform that looks through ``second`` at what ``first`` made of an image.

        Both are ``(N, num_parameters)``; so is the result, float32 at least. As matrices θ = θ_first θ_second: the
        output asks ``second`` where to look, and that place asks ``first``.
        """
        first, second = at_least_float32(first), at_least_float32(second)
        with without_autocast(first):
            return self.parameters_of(self._square(first) @ self._square(second))

    def _square(self, parameters):
        """θ as ``(N, 3, 3)``."""
        matrix = self.theta(parameters)
        if _check.known(matrix.shape[1]) == 3:
            return matrix
        zero = torch.zeros_like(matrix[:, :1])
        return torch.cat([matrix, torch.cat([zero[..., :2], zero[..., 2:] + 1], -1)], 1)

    def forward(self, parameters, size):
        """``(N, num_parameters)`` and an output size, as for :func:`affine_grid` -> grid ``(N, H_out, W_out, 2)``."""
        return affine_grid(self.theta(parameters), size, self.align_corners)

    def _check(self, parameters):
        _check.tensor("parameters", parameters, f"N {self.num_parameters}")
        return parameters


class AffineGrid(_MatrixGrid):
    """Grid generator for affine transforms: six numbers -> sampling grid. Parallels stay parallel.

    The paper's equation 1. The six parameters are θ's entries, row by row.

    Convention:
        θ maps output → input; the grid's last axis is (x, y) in [-1, 1]; ``align_corners`` as given, False by default.

    >>> generator = AffineGrid()
    >>> generator(generator.identity()[None], (28, 28)).shape
    torch.Size([1, 28, 28, 2])
    """

    num_parameters = 6

    def identity(self):
        """The parameters, shape ``(6,)``, that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 6)`` parameters -> ``(N, 2, 3)`` matrices."""
        return self._check(parameters).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """``(N, 3, 3)`` matrices -> ``(N, 6)`` parameters."""
        return matrix[:, :2].flatten(1)


class AttentionGrid(_MatrixGrid):
    """Grid generator for attention: one zoom and a place, three numbers -> sampling grid. The paper's equation 2.

    θ = [[s, 0, tx], [0, s, ty]] for the parameters (s, tx, ty): a window of s times the image's size around (tx, ty).
    It keeps directions: nothing turns, nothing is stretched.

    Convention:
        θ maps output → input: s = 0.5 looks at the middle half, which comes out twice as large. Grid (x, y) in [-1, 1];
        ``align_corners`` as given, False by default.

    >>> AttentionGrid().theta(torch.tensor([[0.5, 0.2, 0.0]]))
    tensor([[[0.5000, 0.0000, 0.2000],
             [0.0000, 0.5000, 0.0000]]])
    """

    num_parameters = 3

    def identity(self):
        """The parameters, shape ``(3,)``, that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 3)`` parameters -> ``(N, 2, 3)`` matrices."""
        s, tx, ty = self._check(parameters).unbind(-1)
        zero = torch.zeros_like(s)
        return torch.stack([s, zero, tx, zero, s, ty], -1).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """``(N, 3, 3)`` matrices -> ``(N, 3)`` parameters."""
        return torch.stack([matrix[:, 0, 0], matrix[:, 0, 2], matrix[:, 1, 2]], -1)


class SimilarityGrid(_MatrixGrid):
    """Grid generator for similarities: turn, zoom, place; four numbers -> sampling grid. It keeps angles.

    θ = [[a, -b, tx], [b, a, ty]] for the parameters (a, b, tx, ty), with a = zoom · cos(angle), b = zoom · sin(angle):
    two numbers without the jump that an angle has at 360°.

    Args:
        align_corners: give the same value to the sampler.
        size: ``(H, W)`` of images that are not square: then it is in *pixels* that angles are kept, as in
            :func:`affine_theta`. Default: square.

    Convention:
        θ maps output → input; a positive angle turns the box clockwise, the content the other way. Grid (x, y) in
        [-1, 1].

    Raises:
        ValueError: ``size`` is not a size.

    >>> SimilarityGrid().theta(torch.tensor([[0.0, 1.0, 0.0, 0.0]]))  # a quarter turn
    tensor([[[ 0., -1.,  0.],
             [ 1.,  0.,  0.]]])
    """

    num_parameters = 4

    def __init__(self, align_corners=False, size=None):
        super().__init__(align_corners)
        height, width = (1, 1) if size is None else _check.image_size("size", size)
        self.aspect = height / width

    def identity(self):
        """The parameters, shape ``(4,)``, that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 4)`` parameters -> ``(N, 2, 3)`` matrices."""
        a, b, tx, ty = self._check(parameters).unbind(-1)
        return torch.stack([a, -b * self.aspect, tx, b / self.aspect, a, ty], -1).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """``(N, 3, 3)`` matrices -> ``(N, 4)`` parameters."""
        return torch.stack([matrix[:, 0, 0], matrix[:, 1, 0] * self.aspect, matrix[:, 0, 2], matrix[:, 1, 2]], -1)


class ProjectiveGrid(_MatrixGrid):
    """Grid generator for projective transforms: eight numbers -> sampling grid. Straight lines stay straight.

    The eight parameters are θ's entries, row by row; the ninth is 1. What a plane looks like from another place.

    Convention:
        θ maps output → input; see :func:`projective_grid` for points on the horizon. Grid (x, y) in [-1, 1];
        ``align_corners`` as given, False by default.

    >>> ProjectiveGrid().theta(torch.tensor([[1.0, 0, 0, 0, 1, 0, 0.2, 0]]))
    tensor([[[1.0000, 0.0000, 0.0000],
             [0.0000, 1.0000, 0.0000],
             [0.2000, 0.0000, 1.0000]]])
    """

    num_parameters = 8

    def identity(self):
        """The parameters, shape ``(8,)``, that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 8)`` parameters -> ``(N, 3, 3)`` matrices."""
        self._check(parameters)
        return torch.cat([parameters, torch.ones_like(parameters[:, :1])], 1).reshape(-1, 3, 3)

    def parameters_of(self, matrix):
        """``(N, 3, 3)`` matrices, up to a factor each -> ``(N, 8)`` parameters.

        Where the ninth entry is 0 the output's centre looks at the horizon; no eight numbers say so: they are infinite.
        """
        return (matrix / matrix[:, 2:, 2:]).flatten(1)[:, :8]

    def forward(self, parameters, size):
        """``(N, 8)`` parameters and an output size, as for :func:`affine_grid` -> grid ``(N, H_out, W_out, 2)``."""
        return projective_grid(self.theta(parameters), size, self.align_corners)
