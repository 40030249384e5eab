"""SpatialTransformer = localization network + grid generator + sampler (Jaderberg et al. 2015, figure 2)."""

from typing import NamedTuple

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32
from stncourse.transformer.families import (
    AffineGrid,
    AttentionGrid,
    ProjectiveGrid,
    RotationGrid,
    SimilarityGrid,
    TranslationGrid,
)
from stncourse.transformer.localization import LocalizationNetwork
from stncourse.transformer.matrix_grid import AngleGrid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.splines import ThinPlateSplineGrid

#: The transforms that ``for_images`` knows by name, from the stiffest to the softest.
FAMILIES = {
    "rotation": RotationGrid,
    "translation": TranslationGrid,
    "attention": AttentionGrid,
    "similarity": SimilarityGrid,
    "affine": AffineGrid,
    "projective": ProjectiveGrid,
    "tps": ThinPlateSplineGrid,
}


class Transformed(NamedTuple):
    """What a :class:`SpatialTransformer` did to a batch."""

    images: torch.Tensor  #: (N, C, H_out, W_out), the warped images
    theta: torch.Tensor | None  #: (N, 2, 3), projective (N, 3, 3), output → input; None where there is no matrix: "tps"
    grid: torch.Tensor  #: (N, H_out, W_out, 2), where each output pixel looked on the input, (x, y) in [-1, 1]


class SpatialTransformer(nn.Module):
    """A layer that chooses where to look: localization network, grid generator, sampler.

    Args:
        localization: module, images ``(N, C, H, W)`` -> parameters ``(N, grid_generator.num_parameters)``.
        grid_generator: module, parameters and a size -> grid, with ``align_corners``; e.g.
            :class:`stncourse.AffineGrid`. One of your own may have ``num_parameters``, by which the localization
            network's answers are checked, and ``theta``, for a transform that is a matrix.
        sampler: :class:`stncourse.Sampler`; its ``align_corners`` has to be the grid generator's.
        output_size: ``(H_out, W_out)``, one int, or ``(N, C, H_out, W_out)``; default: the input's own size.
        iterations: look this many times: the localization network sees what the transforms so far made of the image,
            and says what to change (Lin & Lucey 2017). The θ are multiplied, and the output is sampled once, from the
            input itself. For transforms that are matrices.

    Convention:
        θ maps output → input, in [-1, 1], (x, y), ``align_corners=False``. Outside the image lies the sampler's
        ``padding_value``. Images come out in the dtype they came in; θ and grid are float32 at least, also for images
        in half precision and under autocast.

    Raises:
        TypeError, ValueError: ``output_size`` is not a size; grid generator and sampler differ in ``align_corners``;
            ``iterations`` is not a number from 1, or above it for transforms that are not matrices. In ``forward``:
            ``localization`` returns something else than the grid generator's parameters, one row per image.

    >>> stn = SpatialTransformer.for_images(28, channels=1)
    >>> images = torch.rand(2, 1, 28, 28)
    >>> torch.allclose(stn(images), images, atol=1e-5)  # untrained: the identity
    True
    """

    def __init__(self, localization, grid_generator, sampler, output_size=None, iterations=1):
        super().__init__()
        if grid_generator.align_corners != sampler.align_corners:
            raise ValueError(
                f"sampler: expected the grid generator's align_corners={grid_generator.align_corners}, "
                f"got {sampler.align_corners}; a mismatch moves every pixel"
            )
        iterations = _check.positive_int("iterations", iterations)
        if iterations > 1 and not hasattr(grid_generator, "compose"):
            raise ValueError(
                f"iterations: expected 1 with {type(grid_generator).__name__}, got {iterations}: "
                "only transforms that are matrices can be multiplied into one"
            )
        self.localization = localization
        self.grid_generator = grid_generator
        self.sampler = sampler
        self.output_size = None if output_size is None else _check.image_size("output_size", output_size)
        self.iterations = iterations

    @classmethod
    def for_images(
        cls,
        size,
        channels=1,
        family="affine",
        *,
        output_size=None,
        padding_mode="zeros",
        padding_value=0.0,
        antialias=False,
        iterations=1,
        localization=None,
    ):
        """A ready SpatialTransformer for images of this size, starting at the identity.

        Args:
            size: ``(H, W)``, one int for a square, or the images' shape ``(N, C, H, W)``, of which only H and W count.
            channels: channels of the images.
            family: which transforms: ``"rotation"``, ``"translation"``, ``"attention"`` (zoom and place),
                ``"similarity"`` (and turn), ``"affine"``, ``"projective"``, or ``"tps"``, a thin-plate spline with 4×4
                control points. Or a grid generator, which has options, or is one of your own: anything with
                ``num_parameters``, ``identity()``, ``align_corners`` and ``forward(parameters, size)``.
            output_size: default: ``size``.
            padding_mode, padding_value, antialias: as for :class:`stncourse.Sampler`.
            iterations: how often to look; for all families but ``"tps"``.
            localization: a module of your own, images -> ``(N, num_parameters)``, in place of
                :class:`stncourse.LocalizationNetwork`; then ``channels`` says nothing. It starts where you let it.

        Raises:
            TypeError, ValueError: an argument is not of the kind above; a grid generator that keeps angles was made for
                images of another shape.

        >>> SpatialTransformer.for_images((20, 40), channels=3, output_size=16)(torch.rand(1, 3, 20, 40)).shape
        torch.Size([1, 3, 16, 16])

        In front of any module, and several side by side, one to start at the left, one at the right:

        >>> network = torch.nn.Sequential(SpatialTransformer.for_images((96, 40)), torch.nn.Conv2d(1, 8, 3))
        >>> views = torch.nn.ModuleList(SpatialTransformer.for_images(32, 3, "attention", output_size=16) for _ in "ab")
        >>> views[0].localization.start_at([0.5, -0.5, 0.0])  # zoom, tx, ty
        >>> views[1].localization.start_at([0.5, 0.5, 0.0])
        >>> torch.cat([view(torch.rand(5, 3, 32, 32)) for view in views], 1).shape
        torch.Size([5, 6, 16, 16])

        A family with options, and a localization network of one's own that starts at the identity:

        >>> from stncourse import ThinPlateSplineGrid
        >>> sheet = ThinPlateSplineGrid(control=(2, 6), bound=1.5)
        >>> small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 84, sheet.num_parameters))
        >>> _ = torch.nn.init.zeros_(small[1].weight)
        >>> small[1].bias.data = sheet.identity()
        >>> stn = SpatialTransformer.for_images((28, 84), family=sheet, localization=small)
        """
        size = _check.image_size("size", size)
        generator = grid_generator_of(family, size)
        if localization is None:
            identity = generator.identity()
            localization = LocalizationNetwork(size, channels, generator.num_parameters, identity=identity)
        elif not isinstance(localization, nn.Module):
            expected = f"a module, images (N, C, H, W) -> parameters (N, {generator.num_parameters})"
            raise TypeError(f"localization: expected {expected}, got {_check.describe(localization)}")
        sampler = Sampler(
            padding_mode=padding_mode,
            padding_value=padding_value,
            align_corners=generator.align_corners,
            antialias=antialias,
        )
        return cls(localization, generator, sampler, output_size, iterations)

    def transform(self, images):
        """``(N, C, H, W)`` images -> :class:`Transformed` ``(images, theta, grid)``."""
        _check.tensor("images", images, "N C H W")
        own_size = tuple(images.shape[-2:])
        parameters = self._localize(images)
        for _ in range(self.iterations - 1):
            seen = self.sampler(images, self.grid_generator(parameters, own_size))
            parameters = self.grid_generator.compose(parameters, self._localize(seen))
        parameters = at_least_float32(parameters)
        grid = self.grid_generator(parameters, self.output_size or own_size)
        theta = self.grid_generator.theta(parameters) if hasattr(self.grid_generator, "theta") else None
        return Transformed(self.sampler(images, grid), theta, grid)

    def _localize(self, images):
        """What the localization network says of the images, checked to be parameters."""
        parameters = self.localization(images)
        wanted = getattr(self.grid_generator, "num_parameters", None)
        if wanted is not None:
            shape = _check.sizes_of(images)[0], wanted
            is_floating = isinstance(parameters, torch.Tensor) and parameters.is_floating_point()
            if not is_floating or _check.sizes_of(parameters) != shape:
                raise ValueError(
                    f"localization: expected it to return a floating-point tensor of shape {shape}, the parameters of "
                    f"each image, got {_check.describe(parameters)}"
                )
        return parameters

    def forward(self, images):
        """``(N, C, H, W)`` images -> warped ``(N, C, H_out, W_out)``."""
        return self.transform(images).images

    def extra_repr(self):
        return f"output_size={self.output_size}, iterations={self.iterations}"


def grid_generator_of(family, size):
    """The grid generator that a family's name, or the generator itself, says for images of size ``(H, W)``.

    Raises:
        TypeError, ValueError: ``family`` is neither; or it keeps angles in pixels of images of another shape.
    """
    if isinstance(family, str):
        kind = FAMILIES[_check.choice("family", family, FAMILIES)]
        return kind(size=size) if issubclass(kind, AngleGrid) else kind()
    lacks = [name for name in ("num_parameters", "identity", "align_corners") if not hasattr(family, name)]
    if isinstance(family, type) or lacks or not callable(family):
        expected = f"one of {', '.join(map(repr, FAMILIES))}, or a grid generator such as AffineGrid()"
        without = f", which has no {lacks[0]}" if lacks else ""
        raise ValueError(f"family: expected {expected}, got {_check.describe(family)}{without}")
    # It keeps angles in pixels, so it has to know how far from square they lie.
    if isinstance(family, AngleGrid) and family.aspect != size[0] / size[1]:
        fitting = f"{type(family).__name__}(size={size})"
        raise ValueError(
            f"family: expected {fitting}, which keeps the angles of {size[0]}×{size[1]} images, got {family!r}"
        )
    return family


def transformers_in(model):
    """Every :class:`SpatialTransformer` in a model, however deep it lies or is wrapped; each once, in order."""
    return [module for module in model.modules() if isinstance(module, SpatialTransformer)]
