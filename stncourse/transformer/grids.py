"""Grid generators: θ -> where to sample (Jaderberg et al. 2015, section 3.2)."""

import torch

from stncourse import _check
from stncourse._precision import at_least_float32, without_autocast
from stncourse.transformer.memory import is_plain, remembered


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

    Raises:
        TypeError, ValueError: ``count`` is not a whole number of at least 1.

    >>> pixel_centers(4)
    tensor([-0.7500, -0.2500,  0.2500,  0.7500])
    >>> pixel_centers(3, align_corners=True)
    tensor([-1.,  0.,  1.])
    """
    count = _check.positive_int("count", count)
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
    _check.flag("align_corners", align_corners)
    return _places(theta, height, width, align_corners).permute(0, 2, 3, 1)


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
    _check.flag("align_corners", align_corners)
    places = _places(theta, height, width, align_corners)
    w = places[:, 2:]
    # Not ~(w > …): a w that is NaN has to stay one.
    beyond = w <= _HORIZON
    grid = (places[:, :2] / w.masked_fill(beyond, 1.0)).masked_fill(beyond, FAR)
    return grid.permute(0, 2, 3, 1)


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
