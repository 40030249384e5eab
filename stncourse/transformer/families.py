"""The grid generators as modules: parameters of a family of transforms -> a sampling grid."""

import torch

from stncourse._precision import at_least_float32
from stncourse.transformer.grids import projective_grid
from stncourse.transformer.matrix_grid import AngleGrid, MatrixGrid


class AffineGrid(MatrixGrid):
    """Grid generator for affine transforms: six numbers -> sampling grid. Parallels stay parallel.

    The paper's equation 1. The six parameters are θ's entries, row by row.

    Convention:
        θ maps output → input; the grid's last axis is (x, y) in [-1, 1]; ``align_corners`` as given, False by default.

    >>> generator = AffineGrid()
    >>> generator(generator.identity()[None], (28, 28)).shape
    torch.Size([1, 28, 28, 2])
    """

    num_parameters = 6
    _has_every_theta = True

    def identity(self):
        """The parameters, shape ``(6,)``, that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 6)`` parameters -> ``(N, 2, 3)`` matrices."""
        return self._check(parameters).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """θ, also as ``(N, 3, 3)`` -> ``(N, 6)`` parameters."""
        return matrix[:, :2].flatten(1)


class AttentionGrid(MatrixGrid):
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
        """θ, also as ``(N, 3, 3)`` -> ``(N, 3)`` parameters."""
        return torch.stack([matrix[:, 0, 0], matrix[:, 0, 2], matrix[:, 1, 2]], -1)


class RotationGrid(AngleGrid):
    """Grid generator for turns about the centre: one number -> sampling grid. It keeps angles and lengths.

    θ = [[cos, -sin, 0], [sin, cos, 0]] of the one parameter, the angle in *radians*: then a step of one moves what lies
    on the image's edge by one unit, as it does in the other families, and one learning rate fits all. An angle jumps
    where the circle closes, and a network is continuous: for images that may be turned all the way round take
    :class:`SimilarityGrid`, whose two numbers do not jump.

    Args:
        align_corners: give the same value to the sampler.
        size: ``(H, W)`` of images that are not square: then they turn in *pixels*, as in :func:`affine_theta`.
            Default: square.

    Convention:
        θ maps output → input; a positive angle turns the frame clockwise, the content the other way. Grid (x, y) in
        [-1, 1]. ``compose`` adds angles, ``inverse`` changes the sign; what they return lies between -π and π.

    Raises:
        ValueError: ``size`` is not a size.

    >>> import math
    >>> RotationGrid().theta(torch.tensor([[math.pi / 2]])).round(decimals=3)  # a quarter turn
    tensor([[[-0., -1.,  0.],
             [ 1., -0.,  0.]]])
    >>> RotationGrid().compose(torch.tensor([[0.5]]), torch.tensor([[0.25]]))
    tensor([[0.7500]])
    """

    num_parameters = 1

    def identity(self):
        """The parameter, shape ``(1,)``, that leaves an image as it is."""
        return torch.tensor([0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 1)`` parameters -> ``(N, 2, 3)`` matrices; float32 at least: a cosine in half precision is far off."""
        angle = at_least_float32(self._check(parameters))[:, 0]
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        return torch.stack([cos, -sin * self.aspect, zero, sin / self.aspect, cos, zero], -1).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """θ, also as ``(N, 3, 3)`` -> ``(N, 1)`` parameters, from -π to π."""
        return torch.atan2(matrix[:, 1, 0] * self.aspect, matrix[:, 0, 0])[:, None]


class TranslationGrid(MatrixGrid):
    """Grid generator for shifts: two numbers -> sampling grid. All it changes is the place.

    θ = [[1, 0, tx], [0, 1, ty]] for the parameters (tx, ty), in normalised units: 2 is one whole image.

    Convention:
        θ maps output → input: tx = +0.4 looks further right, so the content moves *left*. Grid (x, y) in [-1, 1];
        ``align_corners`` as given, False by default.

    >>> TranslationGrid().theta(torch.tensor([[0.4, 0.0]]))
    tensor([[[1.0000, 0.0000, 0.4000],
             [0.0000, 1.0000, 0.0000]]])
    """

    num_parameters = 2

    def identity(self):
        """The parameters, shape ``(2,)``, that leave an image as it is."""
        return torch.tensor([0.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 2)`` parameters -> ``(N, 2, 3)`` matrices."""
        tx, ty = self._check(parameters).unbind(-1)
        zero, one = torch.zeros_like(tx), torch.ones_like(tx)
        return torch.stack([one, zero, tx, zero, one, ty], -1).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """θ, also as ``(N, 3, 3)`` -> ``(N, 2)`` parameters."""
        return matrix[:, :2, 2]


class SimilarityGrid(AngleGrid):
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

    def identity(self):
        """The parameters, shape ``(4,)``, that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float32)

    def theta(self, parameters):
        """``(N, 4)`` parameters -> ``(N, 2, 3)`` matrices."""
        a, b, tx, ty = self._check(parameters).unbind(-1)
        return torch.stack([a, -b * self.aspect, tx, b / self.aspect, a, ty], -1).reshape(-1, 2, 3)

    def parameters_of(self, matrix):
        """θ, also as ``(N, 3, 3)`` -> ``(N, 4)`` parameters."""
        return torch.stack([matrix[:, 0, 0], matrix[:, 1, 0] * self.aspect, matrix[:, 0, 2], matrix[:, 1, 2]], -1)


class ProjectiveGrid(MatrixGrid):
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
    _rows = 3
    _has_every_theta = True

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
        Its sign counts as part of the factor. So where the centre of a product would look *behind* the horizon, what
        ``compose`` gives shows what lies behind as if it lay in front.
        """
        return (matrix / matrix[:, 2:, 2:]).flatten(1)[:, :8]

    def forward(self, parameters, size):
        """``(N, 8)`` parameters, or their θ, and an output size -> grid ``(N, H_out, W_out, 2)``, as the others do."""
        return projective_grid(self._theta_of("parameters", parameters), size, self.align_corners)
