"""Figures. Each function returns a matplotlib Figure made without pyplot, so nothing global can lose or redraw it."""

import base64
import io

import matplotlib.figure
import torch
from matplotlib.ticker import MaxNLocator

from stncourse import _check
from stncourse.data import denormalize, normalize
from stncourse.grids import affine_grid
from stncourse.sampling import Sampler

#: Colours that stay apart for colour-blind eyes (Okabe and Ito), and the mark of each line besides.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BOX_COLOR = "#FF9F1C"
_MARKS = ("o", "s", "^", "D", "v", "x")
_SCREEN_DPI, _FILE_DPI = 96, 168  # size on the page; sharpness of the picture


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that notebooks show by itself, with the sentence that says what is to be seen on it.

    Args:
        width, height: inches.
        alt: the picture in words, for those who cannot see it and for programs that print it.

    >>> Figure(4, 2, alt="an empty page")
    Figure: an empty page
    """

    def __init__(self, width, height, alt):
        super().__init__(figsize=(width, height), layout="constrained")
        self.alt = alt

    def __repr__(self):
        return f"Figure: {self.alt}"

    __str__ = __repr__

    def _repr_mimebundle_(self, include=None, exclude=None):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_FILE_DPI)
        width, height = (round(inches * _SCREEN_DPI) for inches in self.get_size_inches())
        data = {"image/png": base64.b64encode(_small_png(buffer)).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"width": width, "height": height, "alt": self.alt}}


def _small_png(buffer):
    """A PNG with 256 colours, less than half of the bytes, if that can hardly be seen: else as it is.

    Greys and lines pass; a photograph in colour stays as it is.
    """
    import numpy as np
    from PIL import Image

    picture = Image.open(buffer).convert("RGB")
    reduced = picture.quantize(256)
    difference = np.abs(np.asarray(reduced.convert("RGB"), dtype=np.int16) - np.asarray(picture))
    if difference.mean() > 0.5:
        return buffer.getvalue()
    small = io.BytesIO()
    reduced.save(small, format="PNG", optimize=True)
    return small.getvalue()


def show_digits(images, titles=None, columns=10, alt=None):
    """A contact sheet.

    Args:
        images: ``(N, C, H, W)`` with 1 or 3 channels: uint8, or floating-point in [0, 1] (``denormalize`` yours first).
        titles: N short texts, or None.
        columns: pictures per row.
        alt: the picture in words.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or range above.

    >>> show_digits(torch.zeros(3, 1, 28, 28, dtype=torch.uint8))
    Figure: 3 images side by side
    """
    pictures = as_pictures(images)
    titles = _as_titles(titles, len(pictures))
    columns = min(_check.positive_int("columns", columns), len(pictures))
    rows = -(-len(pictures) // columns)
    cell = 9 / max(columns, 5)
    figure = Figure(
        cell * columns, (cell + 0.25 * (titles is not None)) * rows, alt or f"{len(pictures)} images side by side"
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for number, (ax, picture) in enumerate(zip(axes, pictures, strict=False)):
        draw_image(ax, picture)
        if titles is not None:
            ax.set_title(titles[number], fontsize=10)
    return figure


def show_grid(image, theta, output_size=None, padding_mode="zeros", every=2, title=None):
    """One image, where θ looks on it, and what comes out.

    Left: the input with the sampling points and their box; the box's top edge is thick and the dot marks the output's
    top-left corner. Right: the output.

    Args:
        image: ``(C, H, W)``, uint8 or floating-point in [0, 1].
        theta: ``(2, 3)`` or ``(1, 2, 3)``, output → input.
        output_size: ``(H_out, W_out)``; default: the input's.
        padding_mode: as for :class:`stncourse.Sampler`; zeros are background here, since the image is not normalised.
        every: draw every second (…) sampling point.
        title: over the input; default: θ's six numbers.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> show_grid(torch.zeros(1, 28, 28), torch.tensor([[1.0, 0, 0.4], [0, 1, 0]]))
    Figure: left: the input with the sampling box of θ = [1.00, 0.00, 0.40; 0.00, 1.00, 0.00]; right: the output
    """
    _check.tensor("image", image, "C H W", floating=False)
    _check.positive_int("every", every)
    if isinstance(theta, torch.Tensor) and theta.ndim == 2:
        theta = theta[None]
    _check.tensor("theta", theta, "1 2 3")
    theta = theta.detach().cpu().float()
    pixels = as_unit(image)
    size = _check.image_size("output_size", output_size or tuple(image.shape[-2:]))
    grid = affine_grid(theta, size)
    output = Sampler(padding_mode=padding_mode)(pixels[None], grid)

    words = "; ".join(", ".join(f"{v + 0:.2f}" for v in row) for row in theta[0].tolist())
    figure = Figure(7.6, 4, f"left: the input with the sampling box of θ = [{words}]; right: the output")
    left, right = figure.subplots(1, 2)
    draw_image(left, as_pictures(pixels[None])[0])
    points = to_pixels(grid[0, ::every, ::every], image.shape[-2:]).reshape(-1, 2)
    left.scatter(*points.T, s=5, color=BOX_COLOR, alpha=0.8, linewidths=0)
    draw_box(left, theta[0], image.shape[-2:])
    # Wide enough to see a box that leaves the image, the same margin whatever θ is.
    margin_y, margin_x = (0.45 * side for side in image.shape[-2:])
    left.set(xlim=(-margin_x, image.shape[-1] + margin_x), ylim=(image.shape[-2] + margin_y, -margin_y))
    left.set_facecolor("#E8E8E8")
    left.set_title(title or f"input, and where θ looks\n[{words.replace('; ', ']  [')}]", fontsize=10)
    draw_image(right, as_pictures(output)[0])
    right.set_title("output", fontsize=10)
    return figure


def show_before_after(model, images, labels=None):
    """What a spatial transformer does to digits: the input with the box it looks at, and what it passes on.

    Args:
        model: a model with an ``stn`` (such as :class:`stncourse.STNClassifier`), or a SpatialTransformer itself.
        images: ``(N, C, H, W)`` raw uint8, or floating-point in [0, 1]. They are normalised here.
        labels: ``(N,)``; given a classifier, its answer is printed over each output, with ✗ where it is wrong.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> from stncourse import distort, load_digits, load_pretrained
    >>> crooked = distort(load_digits("test", source="offline").images[:5], "RTS").images
    >>> show_before_after(load_pretrained(), crooked)
    Figure: 5 digits before and after the spatial transformer; the box on each input is where it looks
    """
    stn = getattr(model, "stn", model)
    if not hasattr(stn, "transform"):
        raise TypeError(f"model: expected a SpatialTransformer or a model with an `stn`, got {_check.describe(model)}")
    before = as_pictures(images)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.no_grad():
        inputs = normalize(images).to(device)
        transformed = stn.transform(inputs)
        answers = model(inputs).argmax(1).tolist() if stn is not model and labels is not None else None
    model.train(was_training)
    # Clipped: interpolation and padding can leave [0, 1] by a rounding error.
    after = as_pictures(denormalize(transformed.images.cpu()).clamp(0, 1))

    figure = Figure(
        max(1.05 * len(before), 4),
        2.6,
        f"{len(before)} digits before and after the spatial transformer; the box on each input is where it looks",
    )
    axes = figure.subplots(2, len(before), squeeze=False)
    for number, (top, bottom) in enumerate(axes.T):
        draw_image(top, before[number])
        if transformed.theta is None:
            draw_edge(top, transformed.grid[number].cpu(), images.shape[-2:])
        else:
            draw_box(top, transformed.theta[number].cpu(), images.shape[-2:])
        draw_image(bottom, after[number])
        if labels is not None:
            top.set_title(f"{int(labels[number])}", fontsize=11)
        if answers is not None:
            right = answers[number] == int(labels[number])
            bottom.set_title(f"says {answers[number]}{'' if right else ' ✗'}", fontsize=10)
    _row_label(axes[0, 0], "input")
    _row_label(axes[1, 0], "output")
    return figure


def plot_history(histories):
    """Loss and accuracy over the epochs, of one run or several.

    Args:
        histories: a :class:`stncourse.History`, or a dict from a name to one.

    Returns:
        Figure

    Raises:
        TypeError: not a History or a dict of them. ValueError: an empty one.

    >>> from stncourse import load_recorded
    >>> plot_history(load_recorded())
    Figure: loss (left) and test accuracy (right) over the epochs of tutorial
    """
    if not isinstance(histories, dict):
        histories = {getattr(histories, "recipe", {}).get("name", "run"): histories}
    for name, history in histories.items():
        if not hasattr(history, "epochs"):
            raise TypeError(f"histories: expected a History or a dict of them, got {_check.describe(history)}")
        if not history.epochs:
            raise ValueError(f"histories: expected at least one epoch in {name!r}, got none")
    figure = Figure(9, 3.4, f"loss (left) and test accuracy (right) over the epochs of {' and '.join(histories)}")
    left, right = figure.subplots(1, 2)
    for (name, history), color, mark in zip(histories.items(), COLORS, _MARKS, strict=False):
        epochs = history.column("epoch")
        left.plot(epochs, history.column("train_loss"), color=color, linestyle=":", label=f"{name}: train")
        if history.epochs[0]["test_accuracy"] is None:
            continue
        style = {"color": color, "marker": mark, "markersize": 4}
        left.plot(epochs, history.column("test_loss"), label=f"{name}: test", **style)
        accuracy = [100 * value for value in history.column("test_accuracy")]
        right.plot(epochs, accuracy, label=f"{name} (ends at {accuracy[-1]:.2f} %)", **style)
    left.set(xlabel="epoch", ylabel="loss (negative log-likelihood)", yscale="log")
    right.set(xlabel="epoch", ylabel="test accuracy in %")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        if ax.lines:
            ax.legend(fontsize=9)
    return figure


def plot_theta(history, probe=0):
    """The six numbers of θ for one probe image, over the steps of a training run.

    Args:
        history: a :class:`stncourse.History` of a ``fit(..., probe=images)``.
        probe: which of the probe images.

    Returns:
        Figure

    Raises:
        ValueError: no θ was recorded, or there is no such probe image.
    """
    if not history.theta:
        raise ValueError("history: expected one with recorded θ; call fit(..., probe=images)")
    count = len(history.theta[0]["theta"])
    if not 0 <= probe < count:
        raise ValueError(f"probe: expected 0 to {count - 1}, got {probe}")
    steps = [snapshot["step"] for snapshot in history.theta]
    theta = torch.tensor([snapshot["theta"][probe] for snapshot in history.theta])
    figure = Figure(8, 2.9, f"the six numbers of θ for probe image {probe} over the training steps")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = (("θ₁₁", "θ₁₂", "tx"), ("θ₂₁", "θ₂₂", "ty"))
    marks = iter(zip(COLORS, _MARKS, strict=True))
    for row in range(2):
        for column in range(3):
            color, mark = next(marks)
            ax = right if column == 2 else left
            style = {"color": color, "marker": mark, "markersize": 3, "linewidth": 1.2}
            ax.plot(steps, theta[:, row, column], label=names[row][column], **style)
    left.set(xlabel="training step", ylabel="entry of θ", title="turn, scale and shear")
    right.set(xlabel="training step", ylabel="normalised units", title="shift")
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend(fontsize=9, ncols=2)
    return figure


def draw_image(ax, picture, **options):
    """One picture, grey or RGB, from black 0 to white 1, without ticks."""
    picture = picture.numpy() if isinstance(picture, torch.Tensor) else picture
    ax.imshow(picture, **({"cmap": "gray", "vmin": 0, "vmax": 1} | options))
    ax.set(xticks=[], yticks=[])


def draw_box(ax, theta, size, color=BOX_COLOR):
    """The quadrilateral that θ looks at on an input of this ``(H, W)``; top edge thick, top-left dotted."""
    points = box_corners(theta, size)
    _draw_outline(ax, points, points[:2], size, color)


def draw_edge(ax, grid, size, color=BOX_COLOR):
    """The edge of a sampling grid ``(H_out, W_out, 2)``, for a transform without a matrix; drawn as by draw_box."""
    edge = torch.cat([grid[0], grid[1:, -1], grid[-1, :-1].flip(0), grid[:-1, 0].flip(0)])
    _draw_outline(ax, to_pixels(edge.detach(), size), to_pixels(grid[0].detach(), size), size, color)


def _draw_outline(ax, points, top, size, color):
    ax.plot(*points.T, color=color, linewidth=1.4)
    ax.plot(*top.T, color=color, linewidth=3.2, solid_capstyle="butt")
    ax.plot(*points[0], "o", color=color, markersize=5)
    height, width = size
    # A box far outside must not shrink the image.
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def box_corners(theta, size):
    """The corners of the box that θ ``(2, 3)`` or ``(3, 3)`` looks at, in pixels of an input of this ``(H, W)``.

    ``(5, 2)``: top left, top right, bottom right, bottom left, and the first again. A corner that a projective θ sends
    behind the horizon is NaN: no line is drawn to it.
    """
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1], [-1, -1, 1]])
    points = corners @ theta.detach().float().T
    if theta.shape[0] == 3:
        w = points[:, 2:]
        points = points[:, :2] / torch.where(w > 1e-3, w, torch.nan)
    return to_pixels(points, size)


def to_pixels(points, size):
    """Normalised (x, y) -> pixel coordinates, where pixel (0, 0)'s centre is at 0, for an image of this ``(H, W)``."""
    return ((points + 1) * torch.tensor([size[1], size[0]]) - 1) / 2


def as_unit(images):
    """uint8, or floats that already are in [0, 1], -> float32 in [0, 1]. Refuses what looks normalised."""
    if images.dtype == torch.uint8:
        return images / 255
    if not images.is_floating_point():
        raise TypeError(f"images: expected uint8 or floating-point images, got {_check.describe(images)}")
    images = images.detach().cpu().float()
    if images.numel() and not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3):
        raise ValueError(
            f"images: expected pixels in [0, 1], got {images.min():.2f} to {images.max():.2f}; "
            "if they are normalised, call denormalize first"
        )
    return images


def as_pictures(images):
    """``(N, C, H, W)`` -> a list of arrays ``(H, W)`` or ``(H, W, 3)`` in [0, 1], for imshow."""
    _check.tensor("images", images, "N C H W", floating=False)
    if not len(images) or images.shape[1] not in (1, 3):
        raise ValueError(f"images: expected at least one, of 1 or 3 channels, got {_check.describe(images)}")
    return [image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy() for image in as_unit(images.cpu())]


def _as_titles(titles, count):
    if titles is None:
        return None
    titles = [str(title) for title in (titles.tolist() if isinstance(titles, torch.Tensor) else titles)]
    if len(titles) != count:
        raise ValueError(f"titles: expected {count}, one per image, got {len(titles)}")
    return titles


def _row_label(ax, text):
    ax.set_ylabel(text, fontsize=11)
