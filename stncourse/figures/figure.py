"""A matplotlib Figure without pyplot, so that nothing global can lose or redraw it; pictures and frames on it."""

import base64
import io
import textwrap
from collections.abc import Iterable

import matplotlib.figure
import numpy as np
import torch

from stncourse import _check
from stncourse._language import said, wholly
from stncourse.figures.said_on import said_on
from stncourse.figures.shown import as_tensor, shown

#: Colours that stay apart for colour-blind eyes (Okabe and Ito), and the mark of each line besides.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
FRAME_COLOR = "#FF9F1C"
OUTSIDE_COLOR = "#DCDCDC"  # around an image: what is not part of it
_LINE = 0.04  # of an image's side: room for the frame's line and its dot
_SCREEN_DPI, _FILE_DPI = 96, 168  # size on the page; sharpness of the picture
_LARGEST = (2**16 - 1) / _FILE_DPI  # inches: matplotlib draws no more pixels than that either way
_TITLE_LINES = 4  # a longer title would push the picture away


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that notebooks show by itself, with the sentence that says what is to be seen on it.

    Args:
        width, height: inches.
        alt: the picture in words, for those who cannot see it and for programs that print it.

    Raises:
        ValueError: larger than matplotlib can draw.

    >>> Figure(4, 2, alt="an empty page")
    Figure: an empty page
    """

    def __init__(self, width, height, alt):
        super().__init__(figsize=checked_size(width, height), layout="constrained")
        self.alt = as_text(alt)

    def __repr__(self):
        return f"Figure: {self.alt}"

    __str__ = __repr__

    def _repr_mimebundle_(self, include=None, exclude=None):
        buffer = io.BytesIO()
        with said_on(self):
            self.savefig(buffer, format="png", dpi=_FILE_DPI)
        width, height = (round(inches * _SCREEN_DPI) for inches in self.get_size_inches())
        # JupyterLab shows the first line of a folded output: it must not tell what is to be guessed.
        alt, title = wholly(self.alt), said("Figure:")
        data = {"image/png": base64.b64encode(_small_png(buffer)).decode(), "text/plain": f"{title}\n{alt}"}
        return data, {"image/png": {"width": width, "height": height, "alt": alt}}


def checked_size(width, height):
    """The size of a figure, checked to be one that can be drawn."""
    if max(width, height) > _LARGEST:
        got = f"{width:.0f} × {height:.0f}"
        raise ValueError(f"width, height: expected up to {_LARGEST:.0f} inches, got {got}: show fewer at once")
    return width, height


def _small_png(buffer):
    """A PNG with 256 colours, less than half of the bytes, if that can hardly be seen: else as it is.

    Greys and lines pass; a photograph in colour stays as it is.
    """
    from PIL import Image

    picture = Image.open(buffer).convert("RGB")
    reduced = picture.quantize(256)
    difference = np.abs(np.asarray(reduced.convert("RGB"), dtype=np.int16) - np.asarray(picture))
    if difference.mean() > 0.5:
        return buffer.getvalue()
    small = io.BytesIO()
    reduced.save(small, format="PNG", optimize=True)
    return small.getvalue()


def draw_image(ax, picture, **options):
    """One picture, grey or RGB, from black 0 to white 1, without ticks."""
    picture = picture.numpy() if isinstance(picture, torch.Tensor) else picture
    ax.imshow(picture, **({"cmap": "gray", "vmin": 0, "vmax": 1} | options))
    ax.set(xticks=[], yticks=[])


def draw_frame(ax, theta, size, color=FRAME_COLOR, margin=None):
    """Draw θ's frame: the quadrilateral that it looks at. Its top edge is thick, its top-left corner dotted.

    Args:
        ax: matplotlib axes with the input on it.
        theta: ``(2, 3)`` or ``(3, 3)``, output → input.
        size: ``(H, W)`` of the input.
        color: of the frame.
        margin: how much is to be seen around the input, in parts of its side; grey. Default: as far as the frame
            reaches, or a frame drawn before, but not more than one whole side: a frame far outside must not shrink the
            image to a dot.
    """
    points = frame_corners(theta, size)
    _draw_outline(ax, points, points[:2], size, color, margin)


def draw_edge(ax, grid, size, color=FRAME_COLOR, margin=None):
    """The edge of a sampling grid ``(H_out, W_out, 2)``, for a transform without a matrix; drawn as by draw_frame."""
    points, top = edge_points(grid, size)
    _draw_outline(ax, points, top, size, color, margin)


def edge_points(grid, size):
    """The outline of a sampling grid in pixels, closed, and its top edge alone."""
    edge = torch.cat([grid[0], grid[1:, -1], grid[-1, :-1].flip(0), grid[:-1, 0].flip(0)])
    return to_pixels(edge.detach(), size), to_pixels(grid[0].detach(), size)


def _draw_outline(ax, points, top, size, color, margin):
    (left, _), (bottom, _) = ax.get_xlim(), ax.get_ylim()
    height, width = size
    if margin is None:
        margin = max(margin_for(points, size), -(left + 0.5) / width, (bottom + 0.5) / height - 1)
    ax.plot(*points.T, color=color, linewidth=1.4)
    ax.plot(*top.T, color=color, linewidth=3.2, solid_capstyle="butt")
    ax.plot(*points[0], "o", color=color, markersize=5)
    set_margin(ax, size, margin)


def margin_for(points, size):
    """How far points ``(…, 2)``, in pixels, reach beyond an image of this ``(H, W)``, in parts of its side, up to 1."""
    sides = points.new_tensor([size[1], size[0]])
    beyond = torch.maximum(-0.5 - points, points + 0.5 - sides) / sides
    furthest = beyond.nan_to_num(0.0, 0.0, 0.0).amax().item() if points.numel() else 0.0
    return min(max(furthest, 0.0) + _LINE, 1.0)


def set_margin(ax, size, margin):
    """Show an image of this ``(H, W)`` with so much grey around it, in parts of its side."""
    height, width = size
    x, y = margin * width, margin * height
    ax.set(xlim=(-0.5 - x, width - 0.5 + x), ylim=(height - 0.5 + y, -0.5 - y), facecolor=OUTSIDE_COLOR)


def frame_corners(theta, size):
    """The corners of the frame of θ, ``(2, 3)`` or ``(3, 3)``, in pixels of an input of this ``(H, W)``.

    ``(5, 2)``: top left, top right, bottom right, bottom left, and the first again. A corner that a projective θ sends
    behind the horizon is NaN: no line is drawn to it.
    """
    theta = theta.detach().cpu().float()
    corners = theta.new_tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1], [-1, -1, 1]])
    points = corners @ theta.T
    if theta.shape[0] == 3:
        w = points[:, 2:]
        points = points[:, :2] / torch.where(w > 1e-3, w, torch.nan)
    return to_pixels(points, size)


def to_pixels(points, size):
    """Normalised (x, y) -> pixel coordinates, where pixel (0, 0)'s centre is at 0, for an image of this ``(H, W)``."""
    return ((points + 1) * points.new_tensor([size[1], size[0]]) - 1) / 2


def as_unit(images, name="images"):
    """uint8, or floats that already are in [0, 1], -> float32 in [0, 1], on the CPU. Refuses what looks normalised."""
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise TypeError(f"{name}: expected uint8 or floating-point pixels, got {_check.describe(images)}")
    images = images.float()
    if images.numel() and not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3):
        raise ValueError(
            f"{name}: expected pixels in [0, 1], got {images.min():.2f} to {images.max():.2f}; "
            "if they are normalised, call denormalize first"
        )
    return images


def as_pictures(images, name="images"):
    """``(N, C, H, W)`` -> a list of arrays ``(H, W)`` or ``(H, W, 3)`` in [0, 1], for imshow."""
    images = shown(images, name=name).images
    if not len(images) or images.shape[1] not in (1, 3):
        raise ValueError(f"{name}: expected at least one, of 1 or 3 channels, got {_check.describe(images)}")
    images = as_unit(images, name)
    return [image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy() for image in images]


def as_picture(image):
    """The same for one image ``(C, H, W)``."""
    image = as_tensor("image", image)
    _check.tensor("image", image, "C H W", floating=False)
    return as_pictures(image[None], "image")[0]


def as_theta(theta):
    """One affine θ, ``(2, 3)`` or ``(1, 2, 3)`` -> ``(1, 2, 3)`` float32 on the CPU.

    Raises:
        TypeError, ValueError: it is not of this kind or shape, or not finite.
    """
    theta = as_tensor("theta", theta)
    if isinstance(theta, torch.Tensor) and theta.ndim == 2:
        theta = theta[None]
    _check.tensor("theta", theta, "1 2 3")
    if theta.is_meta or not theta.isfinite().all():
        got = _check.describe(theta) if theta.is_meta else theta.flatten().tolist()
        raise ValueError(f"theta: expected finite numbers, got {got}")
    return theta.detach().cpu().float()


def as_text(text, inches=None):
    """A text as matplotlib can draw it; with ``inches``, in lines of this width, and not too many of them."""
    drawn = "".join(c if c.isprintable() or c == "\n" else " " if c.isspace() else "\ufffd" for c in str(text))
    if inches is None:
        return drawn
    width = max(6, int(inches / 0.08))
    lines = [part for line in drawn.split("\n") for part in textwrap.wrap(line, width) or [""]]
    if len(lines) > _TITLE_LINES:
        lines[_TITLE_LINES - 1 :] = [lines[_TITLE_LINES - 1][:-1] + "…"]
    return "\n".join(lines)


def _as_titles(titles, count, inches):
    """None, or ``count`` texts that fit above pictures of this width."""
    if titles is None:
        return None
    texts = titles.tolist() if isinstance(titles, (torch.Tensor, np.ndarray)) else titles
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise TypeError(f"titles: expected {count} texts, got {_check.describe(titles)}")
    titles = [as_text(text, inches) for text in texts]
    if len(titles) != count:
        raise ValueError(f"titles: expected {count}, one per image, got {len(titles)}")
    return titles


def _row_label(ax, text):
    ax.set_ylabel(text, fontsize=11)
