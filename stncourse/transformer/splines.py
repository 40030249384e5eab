"""Thin-plate splines: a rubber sheet, held at a lattice of control points (Bookstein 1989; the paper, 3.2)."""

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32, without_autocast
from stncourse.transformer.grids import pixel_centers
from stncourse.transformer.memory import is_plain, remembered


def lattice(rows, columns):
    """A regular lattice over the image: ``(rows · columns, 2)``, (x, y) from -1 to 1, row by row; on the CPU.

    >>> lattice(2, 2).tolist()
    [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
    """
    x, y = (torch.linspace(-1, 1, count, dtype=torch.float64, device="cpu") for count in (columns, rows))
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
    points, control = points.double(), control.double()
    with_one = torch.cat([torch.ones_like(control[:, :1]), control], 1)
    if _check.some(torch.linalg.matrix_rank(with_one) < 3) or _check.some(torch.pdist(control) == 0):
        raise ValueError("control: expected three points or more, not on one line, no two at one place")
    return _rows(points, control) @ _solution(control)


def _solution(control):
    """The half of :func:`spline_weights` that does not depend on the points: ``(K + 3, K)``."""
    # Bookstein's system L; its inverse, applied to the points' own rows, gives all weights at once.
    top = _rows(control, control)
    affine = top[:, len(control) :]
    system = torch.cat([top, torch.cat([affine.T, affine.new_zeros(3, 3)], 1)])
    return torch.linalg.inv(system)[:, : len(control)]


def _rows(points, control):
    return torch.cat([_bending(points, control), torch.ones_like(points[:, :1]), points], 1)


def _bending(a, b):
    """r² log r² for all distances r between two sets of points, and its limit 0 at r = 0."""
    squared = (a[:, None] - b).square().sum(-1)
    return squared * squared.masked_fill(squared == 0, 1).log()  # not xlogy: ONNX has no word for it


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
        self.control = _check.counts("control", control, minimum=2)
        self.align_corners = _check.flag("align_corners", align_corners)
        if bound is not None:
            bound = _check.number("bound", bound, "a number of at least 1 or None", lambda b: 1 <= b < float("inf"))
        self.bound = bound
        self.num_parameters = 2 * self.control[0] * self.control[1]
        # No buffers: .half() must not round them, and .to_empty(), after a model was laid out on "meta", not lose them.
        self.lattice = lattice(*self.control)
        self.solution = _solution(self.lattice.double())

    def extra_repr(self):
        bound = "" if self.bound is None else f", bound={self.bound}"
        return f"control={self.control}{bound}" + (", align_corners=True" if self.align_corners else "")

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
        still = self._lattice_for(parameters)
        moves = parameters.reshape(-1, *still.shape) - still
        if self.bound is not None:
            # The way that is left to the bound, on the side of the move. Small moves pass: tanh has slope 1 at 0.
            after, before = self.bound - still, self.bound + still
            room = torch.where(moves > 0, after, torch.where(moves < 0, before, torch.maximum(after, before)))
            moves = torch.where(room > 0, room * torch.tanh(moves / room.clamp(min=1e-6)), 0 * moves)
        return still + moves

    def forward(self, parameters, size):
        """``(N, num_parameters)`` and an output size, as for :func:`affine_grid` -> grid ``(N, H_out, W_out, 2)``."""
        size = _check.image_size("size", size)
        points = self.control_points(parameters)
        like = (size, self.align_corners, points.dtype, points.device)
        if is_plain(points):
            base, weights = _remembered_base_and_weights(self.control, *like)
        else:
            base, weights = _base_and_weights(*self._solved(), *like)
        # From the identity on, so that it is exact.
        with without_autocast(points):
            grid = base + weights @ (points - self._lattice_for(points))
        return grid.reshape(-1, *size, 2)

    def _lattice_for(self, like):
        if is_plain(like):
            return _lattice_on(self.control, like.dtype, like.device)[0]
        return self._solved()[0].to(dtype=like.dtype, device=like.device)

    def _solved(self):
        """The lattice and what :func:`_solution` says of it: constants of a graph; else made for the tensors of now."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return self.lattice, self.solution
        control = lattice(*self.control)
        return control, _solution(control.double())


@remembered(maxsize=32)
def _lattice_on(control, dtype, device):
    return (lattice(*control).to(dtype=dtype, device=device),)


@remembered(maxsize=32)
def _remembered_base_and_weights(control, *like):
    still = lattice(*control).double()
    return _base_and_weights(still, _solution(still), *like)


def _base_and_weights(control, solution, size, align_corners, dtype, device):
    """Pixel centres ``(H·W, 2)`` and their spline weights ``(H·W, K)``: all that does not depend on the parameters."""
    base = _pixels(size, align_corners, torch.float64, control.device)
    weights = _rows(base, control.double()) @ solution
    return _pixels(size, align_corners, dtype, device), weights.to(dtype=dtype, device=device)


def _pixels(size, align_corners, dtype, device):
    """All pixel centres of an output, row by row: ``(H·W, 2)``."""
    y, x = (pixel_centers(count, align_corners, dtype=dtype, device=device) for count in size)
    return torch.stack([x.expand(*size), y[:, None].expand(*size)], -1).reshape(-1, 2)
