"""SpatialTransformer = localization network + grid generator + sampler (Jaderberg et al. 2015, figure 2)."""

from typing import NamedTuple

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32
from stncourse.transformer.families import AffineGrid, AttentionGrid, ProjectiveGrid, SimilarityGrid
from stncourse.transformer.localization import LocalizationNetwork
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.splines import ThinPlateSplineGrid

#: The transforms that ``for_images`` knows by name, from the stiffest to the softest.
FAMILIES = {
    "attention": AttentionGrid,
    "similarity": SimilarityGrid,
    "affine": AffineGrid,
    "projective": ProjectiveGrid,
    "tps": ThinPlateSplineGrid,
}


class Transformed(NamedTuple):
    """What a :class:`SpatialTransformer` did to a batch."""

    images: torch.Tensor  #: (N, C, H_out, W_out), the warped images
    theta: torch.Tensor | None  #: (N, 2, 3), projective (N, 3, 3), output → input; None for "tps", which has no matrix
    grid: torch.Tensor  #: (N, H_out, W_out, 2), where each output pixel looked on the input, (x, y) in [-1, 1]


class SpatialTransformer(nn.Module):
    """A layer that chooses where to look: localization network, grid generator, sampler.

    Args:
        localization: module, images ``(N, C, H, W)`` -> parameters ``(N, grid_generator.num_parameters)``.
        grid_generator: e.g. :class:`stncourse.AffineGrid`.
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
            ``iterations`` is not a number from 1, or above it for transforms that are not matrices.

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
    ):
        """A ready SpatialTransformer for images of this size, starting at the identity.

        Args:
            size: ``(H, W)``, one int for a square, or the images' shape ``(N, C, H, W)``, of which only H and W count.
            channels: channels of the images.
            family: which transforms: ``"attention"`` (zoom and place), ``"similarity"`` (and turn), ``"affine"``,
                ``"projective"``, or ``"tps"``, a thin-plate spline with 4×4 control points.
            output_size: default: ``size``.
            padding_mode, padding_value, antialias: as for :class:`stncourse.Sampler`.
            iterations: how often to look; for all families but ``"tps"``.

        >>> SpatialTransformer.for_images((20, 40), channels=3, output_size=16)(torch.rand(1, 3, 20, 40)).shape
        torch.Size([1, 3, 16, 16])

        In front of any module, and several side by side:

        >>> network = torch.nn.Sequential(SpatialTransformer.for_images((96, 40)), torch.nn.Conv2d(1, 8, 3))
        >>> views = torch.nn.ModuleList(SpatialTransformer.for_images(32, 3, "attention", output_size=16) for _ in "ab")
        >>> torch.cat([view(torch.rand(5, 3, 32, 32)) for view in views], 1).shape
        torch.Size([5, 6, 16, 16])
        """
        family = FAMILIES[_check.choice("family", family, FAMILIES)]
        # A similarity keeps angles in pixels, so it has to know how far from square they lie.
        generator = family(size=_check.image_size("size", size)) if family is SimilarityGrid else family()
        localization = LocalizationNetwork(size, channels, generator.num_parameters, identity=generator.identity())
        sampler = Sampler(padding_mode=padding_mode, padding_value=padding_value, antialias=antialias)
        return cls(localization, generator, sampler, output_size, iterations)

    def transform(self, images):
        """``(N, C, H, W)`` images -> :class:`Transformed` ``(images, theta, grid)``."""
        _check.tensor("images", images, "N C H W")
        own_size = tuple(images.shape[-2:])
        parameters = self.localization(images)
        for _ in range(self.iterations - 1):
            seen = self.sampler(images, self.grid_generator(parameters, own_size))
            parameters = self.grid_generator.compose(parameters, self.localization(seen))
        parameters = at_least_float32(parameters)
        grid = self.grid_generator(parameters, self.output_size or own_size)
        return Transformed(self.sampler(images, grid), self.grid_generator.theta(parameters), grid)

    def forward(self, images):
        """``(N, C, H, W)`` images -> warped ``(N, C, H_out, W_out)``."""
        return self.transform(images).images


def transformers_in(model):
    """Every :class:`SpatialTransformer` in a model, however deep it lies or is wrapped; each once, in order."""
    return [module for module in model.modules() if isinstance(module, SpatialTransformer)]
