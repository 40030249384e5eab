"""θ from numbers a person can think in: a turn, a zoom, a shift, or four corners."""

import math

import torch

from stncourse import _check
from stncourse._precision import at_least_float32


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
        All parameters describe the *frame* that is looked at on the input (θ maps output → input, x right, y down).
        rotation = +30 turns the frame 30° clockwise on the screen, so the content comes out turned 30°
        counter-clockwise.
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
    if _check.some(is_singular(basis, torch.finfo(corners.dtype).eps)):
        raise ValueError("corners: expected no three on one line, got three that are")
    a, b, c = torch.linalg.solve(basis, bottom_right).unsqueeze(-2).unbind(-1)
    # θ's columns are where (1, 0, 0), (0, 1, 0) and (0, 0, 1) go: half the differences and the sum of two corners.
    right, down = b * top_right + a * top_left, c * bottom_left + a * top_left
    theta = torch.stack([right, down, b * top_right + c * bottom_left], -1)
    if _check.some(is_singular(theta, torch.finfo(corners.dtype).eps)):
        raise ValueError("corners: expected no three on one line, got three that are")
    ninth = theta[:, 2:, 2:]
    if _check.some(ninth.abs() < 1e-9):
        raise ValueError("corners: expected a centre that does not look at the horizon, got one that does")
    return (theta / ninth).to(at_least_float32(corners).dtype)


def is_singular(matrices, eps):
    """Which ``(N, 3, 3)`` matrices have a determinant that rounding errors of relative size ``eps`` could have made.

    Measured against the product of the rows' lengths, the largest that a determinant can be: a strong zoom is not
    singular. NaN is not either.
    """
    return matrices.det().abs() <= 4 * eps * matrices.norm(dim=2).prod(1)
