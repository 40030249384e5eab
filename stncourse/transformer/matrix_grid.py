"""What all families of transforms that are matrices have in common: numbers -> θ -> grid, and back."""

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32, without_autocast
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.theta import is_singular

# In normalised units: half a hundredth of a pixel on an image of 100. Products of float32 matrices are nearer.
_ROUNDING = 1e-4


class MatrixGrid(nn.Module):
    """A family of transforms that are matrices: numbers -> θ -> grid.

    A family says ``theta`` and ``parameters_of``. In place of parameters, ``forward``, ``compose`` and ``inverse`` take
    their θ, as ``SpatialTransformer.transform`` returns it; what comes back is then a θ too. A θ that the family does
    not have is refused.
    """

    num_parameters: int
    _rows = 2  # of θ
    _has_every_theta = False  # of this many rows

    def __init__(self, align_corners=False):
        super().__init__()
        self.align_corners = _check.flag("align_corners", align_corners)

    def identity(self):
        """The parameters, shape ``(num_parameters,)``, that leave an image as it is."""
        raise NotImplementedError

    def theta(self, parameters):
        """``(N, num_parameters)`` parameters -> the matrices θ, output → input."""
        raise NotImplementedError

    def parameters_of(self, matrix):
        """θ of this family, also as ``(N, 3, 3)`` -> their ``(N, num_parameters)`` parameters.

        It does not ask whether they are of this family.
        """
        raise NotImplementedError

    def inverse(self, parameters):
        """``(N, num_parameters)`` parameters, or their θ -> those of the transforms that go the other way.

        NaN parameters give NaN.

        Raises:
            TypeError, ValueError: ``parameters`` is neither, or a θ of another family.
            ValueError: one of the transforms has no inverse, as far as the parameters' precision lets it tell: it
                squeezes the image to a line or a point; or, projective, the inverse's centre looks at the horizon,
                which no eight numbers say.
        """
        matrix = _square(self._theta_of("parameters", parameters)).double()
        if _check.some(is_singular(matrix, torch.finfo(parameters.dtype).eps)):
            raise ValueError("parameters: expected transforms that can be inverted, got a singular one")
        inverse = self.parameters_of(torch.linalg.inv_ex(matrix).inverse).to(parameters.dtype)
        if _check.some(inverse.isinf().any(1) & parameters.flatten(1).isfinite().all(1)):
            raise ValueError("parameters: expected transforms whose inverse can be said, got one with an infinite one")
        return self.theta(inverse) if _is_theta(parameters) else inverse

    def compose(self, first, second):
        """Parameters of the transform that looks through ``second`` at what ``first`` made of an image.

        Both are ``(N, num_parameters)``, or both their θ; so is the result, float32 at least. As matrices θ = θ_first
        θ_second: the output asks ``second`` where to look, and that place asks ``first``.

        Raises:
            TypeError, ValueError: an argument is neither, or a θ of another family; one is a θ and the other is not.
        """
        matrices = [
            _square(at_least_float32(self._theta_of(name, given)))
            for name, given in (("first", first), ("second", second))
        ]
        if _is_theta(first) != _is_theta(second):
            kind = "θ" if _is_theta(first) else "parameters"
            raise ValueError(f"second: expected {kind}, as first is, got {_check.describe(second)}")
        if matrices[0].dtype != matrices[1].dtype or _check.sizes_of(first)[0] != _check.sizes_of(second)[0]:
            raise ValueError(
                f"second: expected as many as first, and of its precision, {_check.describe(first)}, got "
                f"{_check.describe(second)}"
            )
        with without_autocast(matrices[0]):
            composed = self.parameters_of(matrices[0] @ matrices[1])
        return self.theta(composed) if _is_theta(first) else composed

    def forward(self, parameters, size):
        """Parameters and an output size, as for :func:`stncourse.affine_grid` -> grid ``(N, H_out, W_out, 2)``.

        Args:
            parameters: ``(N, num_parameters)``, or their θ.
            size: ``(H_out, W_out)``, one int, or ``(N, C, H_out, W_out)``.
        """
        return affine_grid(self._theta_of("parameters", parameters), size, self.align_corners)

    def extra_repr(self):
        return "align_corners=True" if self.align_corners else ""

    def _check(self, parameters):
        _check.tensor("parameters", parameters, f"N {self.num_parameters}")
        return parameters

    def _theta_of(self, name, given):
        """θ of parameters; or the θ that was given, checked to be one of this family."""
        if not _is_theta(given):
            _check.tensor(name, given, f"N {self.num_parameters}")
            return self.theta(given)
        _check.tensor(name, given, f"N {self._rows} 3")
        if not (self._has_every_theta or torch.compiler.is_compiling()):
            self._refuse_others(name, given.detach())
        return given

    def _refuse_others(self, name, theta):
        rounding = max(_ROUNDING, 2 * torch.finfo(theta.dtype).eps)
        theta = at_least_float32(theta)
        off = (self.theta(self.parameters_of(_square(theta))) - theta).abs()
        # Not ~(off <= …): a θ that is NaN passes, and gives NaN.
        others = off > rounding * theta.abs().amax((1, 2), keepdim=True).clamp(min=1)
        if _check.some(others):
            raise ValueError(
                f"{name}: expected θ of {self!r}, got one that it does not have: "
                f"an entry is {off[others].max().item():.2g} off"
            )


class AngleGrid(MatrixGrid):
    """A family that keeps angles; in pixels, where the size of the images is known.

    Args:
        align_corners: give the same value to the sampler.
        size: ``(H, W)`` of the images, or whatever else says how far from square they are; None: square.
    """

    def __init__(self, align_corners=False, size=None):
        super().__init__(align_corners)
        self.size = None if size is None else _check.image_size("size", size)
        height, width = self.size or (1, 1)
        self.aspect = height / width

    def extra_repr(self):
        size = "" if self.size is None else f"size={self.size}"
        return ", ".join(filter(None, (super().extra_repr(), size)))


def _is_theta(given):
    return isinstance(given, torch.Tensor) and given.ndim == 3


def _square(theta):
    """θ as ``(N, 3, 3)``."""
    if _check.known(theta.shape[1]) == 3:
        return theta
    zero = torch.zeros_like(theta[:, :1])
    return torch.cat([theta, torch.cat([zero[..., :2], zero[..., 2:] + 1], -1)], 1)
