"""The sampler: read an image at the grid's coordinates (Jaderberg et al. 2015, section 3.3)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse._precision import HALF, at_least_float32, without_autocast

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")
_UNSHRUNK = 1.001  # points this many pixels apart count as one pixel apart: rounding is no shrinking
_FAR = 10_000.0  # in images: further out than any θ that means something, and still a float16


def bilinear_sample(images, grid, padding_mode="zeros", align_corners=False):
    """Bilinear sampling from scratch: each output pixel mixes the four input pixels around its point.

    The paper's equation 5, equal to ``torch.nn.functional.grid_sample`` in value and in the gradient by images and by
    grid (equations 6 and 7, which autograd derives from these lines). Made to be read; :class:`Sampler` is fast.

    Args:
        images: ``(N, C, H, W)`` floating-point.
        grid: ``(N, H_out, W_out, 2)``, last axis (x, y), same dtype and device as ``images``.
        padding_mode: what lies outside the image. ``"zeros"``: 0. ``"border"``: the nearest edge pixel.
            ``"reflection"``: the image mirrored at its edges.
        align_corners: the value given to the grid generator.

    Returns:
        ``(N, C, H_out, W_out)``.

    Convention:
        Coordinates in [-1, 1], x right, y down. ``align_corners=False``: ±1 are the image's outer edges; True: ±1 are
        the centres of the edge pixels. A grid point that is NaN reads nothing: 0.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> image = torch.tensor([[[[0.0, 10.0]]]])  # two pixels, centres at x = -0.5 and 0.5
    >>> bilinear_sample(image, torch.tensor([[[[0.25, 0.0]]]]))
    tensor([[[[7.5000]]]])
    """
    _check_images_and_grid(images, grid)
    _check.choice("padding_mode", padding_mode, PADDING_MODES)
    _check.flag("align_corners", align_corners)
    n, channels, height, width = images.shape
    x = _to_pixels(grid[..., 0], width, padding_mode, align_corners)
    y = _to_pixels(grid[..., 1], height, padding_mode, align_corners)
    left, top = x.detach().floor(), y.detach().floor()

    output = 0
    for column, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
        for row, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            # Integers before the product: float16 cannot count the pixels of a 64×64 image, float32 not those of 4100².
            index = torch.where(inside, row, 0).long() * width + torch.where(inside, column, 0).long()
            index = index.flatten(1)[:, None]
            pixels = images.flatten(2).gather(2, index.expand(-1, channels, -1))
            weight = torch.where(inside, weight_x * weight_y, 0)
            output = output + pixels.reshape(n, channels, *x.shape[1:]) * weight[:, None]
    return output


def _to_pixels(coordinate, size, padding_mode, align_corners):
    """Normalised coordinate -> pixel index, with the points outside folded back as ``padding_mode`` says."""
    if align_corners:
        pixel, low, high = (coordinate + 1) / 2 * (size - 1), 0.0, size - 1.0
    else:
        pixel, low, high = ((coordinate + 1) * size - 1) / 2, -0.5, size - 0.5
    if padding_mode == "reflection":
        pixel = _reflect(pixel, low, high)
    if padding_mode != "zeros":
        # Not clamp(): its gradient at the very edge is 0 or 1, as torch's version has it; grid_sample has 0 there.
        nearest = pixel.detach().clamp(min=0).clamp(max=size - 1)
        pixel = torch.where((pixel > 0) & (pixel < size - 1), pixel, nearest)
    return pixel


def _reflect(pixel, low, high):
    """Mirror at ``low`` and ``high`` as often as it takes to land between them."""
    span = high - low
    if _check.known(span) == 0:  # one pixel between two corners that are the same point
        return pixel.clamp(min=low).clamp(max=high)
    distance = torch.where(pixel < low, low - pixel, pixel - low)
    bounces = (distance.detach() / span).floor()
    rest = torch.fmod(distance, span)
    return torch.where(bounces % 2 == 0, low + rest, high - rest)


class Sampler(nn.Module):
    """Sampler on ``torch.nn.functional.grid_sample``, with a padding value that means what you say.

    Args:
        mode: ``"bilinear"``, ``"nearest"`` (no gradient to the grid: it is 0 everywhere) or ``"bicubic"``.
        padding_mode: ``"zeros"``, ``"border"`` or ``"reflection"``.
        padding_value: what lies outside the image when ``padding_mode="zeros"``: a number, or one per channel (a tuple,
            a list, an array or a tensor of them). Give the value of *background after normalisation*
            (``stncourse.BACKGROUND`` for MNIST). The 0 of ``grid_sample`` is a grey there, which
            surrounds the picture like a bright frame.
        align_corners: the value given to the grid generator.
        antialias: where the grid shrinks the image, average over what lies between its points; see below.

    Convention:
        images ``(N, C, H, W)``, grid ``(N, H_out, W_out, 2)`` with (x, y) in [-1, 1], output ``(N, C, H_out, W_out)``
        of the images' dtype. It computes in float32 at least: for images in half precision the grid may, and should,
        be float32.

    Anti-aliasing:
        Where neighbouring grid points lie wide apart, an output pixel becomes the mean over a box around its point, of
        w_x × w_y input pixels, w_x = max(1, √((∂x/∂column)² + (∂x/∂row)²) / 1.001) and w_y likewise, by the differences
        to the next grid point (a lone row or column has none: 0). Out of a summed-area table (Crow 1984), so that a
        large box costs what a small one does. Outside the image the box sees background; with ``"border"`` and
        ``"reflection"`` only its part inside counts. A box of 1 × 1 *is* bilinear sampling; where both are 1, the
        output is bit for bit that of ``antialias=False``. Differentiable by images and grid. The table adds up whole
        images: a pixel that is NaN or infinite makes every mean of its channel NaN.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> outside = torch.full((1, 1, 1, 2), 5.0)
    >>> Sampler(padding_value=-0.5)(torch.ones(1, 1, 4, 4), outside)
    tensor([[[[-0.5000]]]])
    """

    def __init__(self, mode="bilinear", padding_mode="zeros", padding_value=0.0, align_corners=False, antialias=False):
        super().__init__()
        self.mode = _check.choice("mode", mode, MODES)
        self.padding_mode = _check.choice("padding_mode", padding_mode, PADDING_MODES)
        self.padding_value = padding_value
        self.align_corners = _check.flag("align_corners", align_corners)  # NumPy's True is none for torch
        self.antialias = _check.flag("antialias", antialias)

    @property
    def padding_value(self):
        """What lies outside the image: a float, or a tuple with one float per channel."""
        return self._padding_value

    @padding_value.setter
    def padding_value(self, value):
        single = _check.as_real(value)
        values = (single,) if single is not None else tuple(map(_check.as_real, _check.as_row(value) or (None,)))
        if any(number is None for number in values):
            raise TypeError(f"padding_value: expected a number or one number per channel, got {_check.describe(value)}")
        if not all(map(math.isfinite, values)):
            raise ValueError(f"padding_value: expected finite numbers, got {_check.describe(value)}")
        self._padding_value = tuple(map(float, values)) if single is None else float(single)

    def forward(self, images, grid):
        """Read ``images`` at ``grid``."""
        _check_images_and_grid(images, grid, wide=True)
        dtype = images.dtype
        images, grid = at_least_float32(images), at_least_float32(grid)
        with without_autocast(images):
            output = self._pad_and_sample(images, grid)
        return output if output.dtype == dtype else output.to(dtype)

    def extra_repr(self):
        return (
            f"mode={self.mode!r}, padding_mode={self.padding_mode!r}, padding_value={self.padding_value}, "
            f"align_corners={self.align_corners}" + (", antialias=True" if self.antialias else "")
        )

    def _pad_and_sample(self, images, grid):
        sample = self._sample_smoothly if self.antialias else self._sample
        if self.padding_mode != "zeros" or not self._pads_with_something():
            return sample(images, grid)
        # grid_sample pads with 0. Move the padding value to 0, sample, move it back.
        value = self._value_like(images)
        return sample(images - value, grid) + value

    def _sample(self, images, grid):
        if self.padding_mode == "zeros":
            return F.grid_sample(images, grid, self.mode, self.padding_mode, self.align_corners)
        # With these paddings torch's CPU kernel ends the whole process at a point that is NaN or infinite
        # (pytorch/pytorch#24823). Keep it away from them; NaN still comes out as NaN, so that a loss shows it.
        broken = grid.isnan().any(-1)[:, None]
        grid = grid.nan_to_num(nan=0.0).clamp(-_FAR, _FAR)
        images = F.grid_sample(images, grid, self.mode, self.padding_mode, self.align_corners)
        return images.masked_fill(broken, math.nan)

    def _sample_smoothly(self, images, grid):
        points = _edge_ruler(grid, images.shape[-2:], self.align_corners)
        boxes = _box_sizes(points)
        shrinks = (boxes > 1).any(-1)[:, None]
        means = _box_means(images, points, boxes, self.padding_mode)
        if self.padding_mode != "zeros":
            means = means.masked_fill(grid.isnan().any(-1)[:, None], math.nan)
        return torch.where(shrinks, means, self._sample(images, grid))

    def _pads_with_something(self):
        return any(self.padding_value) if isinstance(self.padding_value, tuple) else self.padding_value != 0

    def _value_like(self, images):
        if isinstance(self.padding_value, float):
            return self.padding_value
        if len(self.padding_value) != (channels := _check.sizes_of(images)[1]):
            raise ValueError(
                f"padding_value: expected one number per channel, {channels} in all, got {self.padding_value}"
            )
        return images.new_tensor(self.padding_value)[:, None, None]


def _edge_ruler(grid, size, align_corners):
    """Normalised coordinates -> pixels from the image's left and upper edge. NaN is far away."""
    height, width = size
    grid = (grid.nan_to_num(nan=_FAR).clamp(-_FAR, _FAR) + 1) / 2
    if align_corners:
        return grid * _pair_like(grid, width - 1, height - 1) + 0.5
    return grid * _pair_like(grid, width, height)


def _pair_like(points, x, y):
    """Two numbers, which may be traced sizes, as a tensor to reckon with ``(…, 2)`` points."""
    one = points.new_ones(())
    return torch.stack([one * x, one * y])


def _box_sizes(points):
    """How many input pixels, along x and y, belong to each of the ``(N, H, W, 2)`` points; at least 1."""
    squared = torch.zeros_like(points)
    for axis in (1, 2):
        if _check.known(points.shape[axis]) > 1:
            rows = points.movedim(axis, 1)
            # The last has no next one: it takes the step before. Not diff(), ONNX has no word for it.
            steps = torch.cat([rows[:, 1:], rows[:, -1:]], 1) - torch.cat([rows[:, :-1], rows[:, -2:-1]], 1)
            squared = squared + steps.square().movedim(1, axis)
    return (squared / _UNSHRUNK**2).clamp(min=1).sqrt()


def _box_means(images, points, boxes, padding_mode):
    """The mean of the images over boxes around points, both in pixels: ``(N, C, H, W)``."""
    height, width = images.shape[-2:]
    # A sum over thousands of pixels, minus another one: float32 would leave noise. mps knows nothing wider.
    dtype, wide = images.dtype, torch.float32 if images.device.type == "mps" else torch.float64
    images, points, boxes = images.to(wide), points.to(wide), boxes.to(wide)
    size = _pair_like(points, width, height)
    if padding_mode == "reflection":
        x, y = points.unbind(-1)
        points = torch.stack([_reflect(x, 0.0, width), _reflect(y, 0.0, height)], -1)
    low, high = points - boxes / 2, points + boxes / 2
    if padding_mode != "zeros":
        zero = torch.zeros_like(size)
        low, high = low.clamp(zero, size - 1), high.clamp(zero + 1, size)
    # sums[i, j]: all pixels above row i and left of column j.
    sums = F.pad(images, (1, 0, 1, 0)).cumsum(-1).cumsum(-2)
    corners = [low, torch.stack([high[..., 0], low[..., 1]], -1), torch.stack([low[..., 0], high[..., 1]], -1), high]
    # Beyond the edge there is nothing to add: the table stays at its last value.
    corners = [2 * corner.clamp(torch.zeros_like(size), size) / size - 1 for corner in corners]
    a, b, c, d = F.grid_sample(sums, torch.cat(corners, 1), align_corners=True).unflatten(2, (4, -1)).unbind(2)
    return ((a - b - c + d) / (high - low).prod(-1)[:, None]).to(dtype)


def _check_images_and_grid(images, grid, wide=False):
    """``wide``: a float32 grid for images in half precision is fine."""
    _check.tensor("images", images, "N C H W")
    _check.tensor("grid", grid, "N H_out W_out 2")
    count, grids = _check.sizes_of(images)[0], _check.sizes_of(grid)[0]
    if count != grids:
        raise ValueError(f"grid: expected one grid per image, {count} in all, got {grids}")
    dtype = torch.float32 if wide and images.dtype in HALF else images.dtype
    if grid.dtype not in (images.dtype, dtype) or images.device != grid.device:
        raise ValueError(
            f"grid: expected {dtype} on {images.device} for images of {images.dtype}, got {grid.dtype} on {grid.device}"
        )
