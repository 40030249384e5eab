"""The grid generators as modules: parameters of a family of transforms -> a sampling grid."""

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32, without_autocast
from stncourse.transformer.grids import affine_grid, projective_grid
from stncourse.transformer.theta import is_singular


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
        if _check.some(is_singular(matrix, torch.finfo(parameters.dtype).eps)):
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
        θ maps output → input; a positive angle turns the frame clockwise, the content the other way. Grid (x, y) in
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
