"""Thin-plate splines: a rubber sheet, held at a lattice of control points (Bookstein 1989; the paper, 3.2)."""

import functools

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32, without_autocast
from stncourse.grids import pixel_centers


def lattice(rows, columns):
    """A regular lattice over the image: ``(rows · columns, 2)``, (x, y) from -1 to 1, row by row.

    >>> lattice(2, 2).tolist()
    [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
    """
    x, y = torch.linspace(-1, 1, columns, dtype=torch.float64), torch.linspace(-1, 1, rows, dtype=torch.float64)
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], -1).float()


def spline_weights(points, control):
    """How far each point follows each control point of a thin-plate spline.

    The sheet that bends least of all that pass through the moved control points (Bookstein 1989). Moving them by ``d``
    ``(K, 2)`` moves the points by ``spline_weights(points, control) @ d``, so that the equations are solved once.

    Args:
        points: ``(P, 2)`` floating-point.
        control: ``(K, 2)``, at least three, not all on one line, no two at one place.

    Returns:
        ``(P, K)`` float64; every row sums to 1.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> spline_weights(torch.tensor([[0.0, 0.0]]), lattice(2, 2))
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
    """
    _check.tensor("points", points, "P 2")
    _check.tensor("control", control, "K 2")
    return _rows(points.double(), control.double()) @ _solution(control.double())


def _solution(control):
    """The half of :func:`spline_weights` that does not depend on the points: ``(K + 3, K)``."""
    affine = torch.cat([torch.ones_like(control[:, :1]), control], 1)
    if torch.linalg.matrix_rank(affine) < 3 or torch.pdist(control).min() == 0:
        raise ValueError("control: expected three points or more, not on one line, no two at one place")
    # Bookstein's system L; its inverse, applied to the points' own rows, gives all weights at once.
    top = torch.cat([_bending(control, control), affine], 1)
    system = torch.cat([top, torch.cat([affine.T, affine.new_zeros(3, 3)], 1)])
    return torch.linalg.inv(system)[:, : len(control)]


def _rows(points, control):
    return torch.cat([_bending(points, control), torch.ones_like(points[:, :1]), points], 1)


def _bending(a, b):
    """r² log r² for all distances r between two sets of points, and its limit 0 at r = 0."""
    squared = (a[:, None] - b).square().sum(-1)
    return torch.special.xlogy(squared, squared)


class ThinPlateSplineGrid(nn.Module):
    """Grid generator for thin-plate splines: a place on the input for each control point -> sampling grid.

    The control points are a regular lattice over the *output*, row by row; the parameters say where on the input each
    of them looks: (x, y), (x, y), … In between the sheet bends as little as it can. It keeps neighbours neighbours, and
    nothing else; far moves fold it. Control points may look at one and the same place: all between them then does too.

    Args:
        control: how many control points along each axis, or a pair (rows, columns); at least 2.
        align_corners: give the same value to the sampler.
        bound: if given, at least 1: however far the parameters go, control points look no further than ±bound, which
            they approach smoothly. 1 keeps them in the image; the sheet between them can still swing out of it.

    Convention:
        The grid maps output → input, the last axis is (x, y) in [-1, 1]. ``theta`` is None: a spline has no matrix, and
        in general no inverse. NaN parameters give a grid of NaN.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> generator = ThinPlateSplineGrid()
    >>> generator.num_parameters
    32
    >>> grid = generator(generator.identity()[None], (28, 28))  # the identity, exactly
    >>> torch.equal(grid[0, 0, :, 0], pixel_centers(28))
    True
    """

    def __init__(self, control=4, align_corners=False, bound=None):
        super().__init__()
        self.control = _check.image_size("control", control, minimum=2)
        self.align_corners = align_corners
        if bound is not None and not (isinstance(bound, (int, float)) and 1 <= bound < float("inf")):
            raise ValueError(f"bound: expected a number of at least 1 or None, got {_check.describe(bound)}")
        self.bound = bound
        self.num_parameters = 2 * self.control[0] * self.control[1]
        self.register_buffer("lattice", lattice(*self.control), persistent=False)
        self.solution = _solution(lattice(*self.control).double())  # no buffer: .half() must not touch it

    def identity(self):
        """The parameters, shape ``(num_parameters,)``, that leave an image as it is: every point looks at itself."""
        return lattice(*self.control).flatten()

    def theta(self, parameters):
        """None: a spline has no matrix."""
        return None

    def control_points(self, parameters):
        """Where the control points look: ``(N, num_parameters)`` -> ``(N, rows · columns, 2)``, within the bound."""
        _check.tensor("parameters", parameters, f"N {self.num_parameters}")
        parameters = at_least_float32(parameters)
        still = self.lattice.to(parameters)
        moves = parameters.reshape(-1, *still.shape) - still
        if self.bound is not None:
            # The way that is left to the bound, on the side of the move. Small moves pass: tanh has slope 1 at 0.
            after, before = self.bound - still, self.bound + still
            room = torch.where(moves > 0, after, torch.where(moves < 0, before, torch.maximum(after, before)))
            moves = torch.where(room > 0, room * torch.tanh(moves / room.clamp(min=1e-6)), 0 * moves)
        return still + moves

    def forward(self, parameters, size):
        """``(N, num_parameters)`` and an output size ``(H_out, W_out)`` -> grid ``(N, H_out, W_out, 2)``."""
        size = _check.image_size("size", size)
        points = self.control_points(parameters)
        like = (size, self.align_corners, points.dtype, points.device)
        if torch.compiler.is_compiling():  # what a compiler passes through is not to be remembered
            base, weights = _base_and_weights(self.control, self.solution, *like)
        else:
            base, weights = _remembered(self.control, *like)
        # From the identity on, so that it is exact.
        with without_autocast(points):
            grid = base + weights @ (points - self.lattice.to(points))
        return grid.reshape(-1, *size, 2)


@functools.lru_cache(maxsize=32)
def _remembered(control, *like):
    with torch.inference_mode(False):  # or a training after it could not use them
        return _base_and_weights(control, _solution(lattice(*control).double()), *like)


def _base_and_weights(control, solution, size, align_corners, dtype, device):
    """Pixel centres ``(H·W, 2)`` and their spline weights ``(H·W, K)``: all that does not depend on the parameters."""
    x, y = (pixel_centers(count, align_corners, dtype=torch.float64) for count in (size[1], size[0]))
    base = torch.stack([x.repeat(size[0]), y.repeat_interleave(size[1])], -1)
    weights = _rows(base, lattice(*control).double()) @ solution
    exact = [pixel_centers(count, align_corners, dtype=dtype, device=device) for count in (size[1], size[0])]
    base = torch.stack([exact[0].repeat(size[0]), exact[1].repeat_interleave(size[1])], -1)
    return base, weights.to(dtype=dtype, device=device)
