"""The drawings that explain an idea: the map of the course, the two rulers, one pixel's question, four neighbours."""

import math

import torch
from matplotlib.patches import ConnectionPatch, FancyArrowPatch, FancyBboxPatch, Rectangle

from stncourse import _check
from stncourse.figures.figure import (
    COLORS,
    FRAME_COLOR,
    Figure,
    as_picture,
    as_pictures,
    as_theta,
    as_unit,
    draw_frame,
    draw_image,
    frame_corners,
    margin_for,
    set_margin,
    to_pixels,
)
from stncourse.figures.shown import as_tensor
from stncourse.transformer.grids import affine_grid, pixel_centers
from stncourse.transformer.sampling import bilinear_sample

_BLUE, _RED, _GREEN = COLORS[:3]


def draw_course_map():
    """The course on one page: the way of an image through a spatial transformer, with the notebook for each part.

    Returns:
        Figure

    >>> draw_course_map()
    Figure: map of the course: 01 data, then the spatial transformer (02 localization network, 03 grid generator, \
04 sampler), then 05 classifier and training, then 06 what it learned
    """
    figure = Figure(
        9.4,
        3.6,
        "map of the course: 01 data, then the spatial transformer (02 localization network, 03 grid generator, "
        "04 sampler), then 05 classifier and training, then 06 what it learned",
    )
    ax = figure.subplots()
    ax.set(xlim=(0, 100), ylim=(0, 40))
    ax.set_axis_off()
    whole = FancyBboxPatch((18, 3), 49, 34, boxstyle="round,pad=0.6", facecolor="#F4F4F4", edgecolor="#888888")
    ax.add_patch(whole)
    ax.text(42.5, 34.6, "spatial transformer", ha="center", fontsize=11, color="#555555")
    parts = {
        "01": (7, 11, 12, "image\n$U$", "#FFFFFF"),
        "02": (28, 24, 17, "localization\nnetwork", "#D6E6F2"),
        "03": (56, 24, 17, "grid\ngenerator", "#D6E6F2"),
        "04": (42.5, 11, 17, "sampler", "#D6E6F2"),
        "05": (77, 11, 14, "classifier\n+ training", "#FFFFFF"),
        "06": (93, 24, 12, "what it\nlearned", "#FFFFFF"),
    }
    for number, (x, y, width, text, color) in parts.items():
        place = (x - width / 2, y - 4.5)
        ax.add_patch(FancyBboxPatch(place, width, 9, boxstyle="round,pad=0.3", facecolor=color, edgecolor="k"))
        ax.text(x, y - 0.6, text, ha="center", va="center", fontsize=11)
        ax.text(x - width / 2 + 0.2, y + 5.3, number, fontsize=11, color=_RED, weight="bold", va="bottom")
    for start, end, text, where in (
        ((13.5, 13), (19, 24), "", None),
        ((37, 24), (47, 24), "$θ$", (42, 25.3)),
        ((56, 19), (51.7, 13), "grid", (56.3, 14.6)),
        ((13.5, 11), (33.5, 11), "", None),
        ((51.7, 11), (69.5, 11), "warped image $V$", (60.6, 7.2)),
        ((84.5, 13), (90, 19), "", None),
    ):
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color="#333333"))
        if text:
            ax.text(*where, text, ha="center", fontsize=11)
    return figure


def draw_rulers(pixels=4):
    """The two meanings of [-1, 1] along a row of pixels: ``align_corners`` False and True.

    Args:
        pixels: how many pixels in the row, 2 to 8.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: not 2 to 8 pixels.

    >>> draw_rulers(4)
    Figure: two rulers over 4 pixels: with align_corners=False -1 and 1 are the outer edges of the row, with True the \
centres of the first and last pixel
    """
    pixels = _check.positive_int("pixels", pixels, minimum=2)
    if pixels > 8:
        raise ValueError(f"pixels: expected 2 to 8, got {pixels}")
    figure = Figure(
        8.4,
        3.4,
        f"two rulers over {pixels} pixels: with align_corners=False -1 and 1 are the outer edges of the row, "
        "with True the centres of the first and last pixel",
    )
    for ax, align_corners in zip(figure.subplots(2, 1), (False, True), strict=True):
        ax.set_axis_off()
        for index in range(pixels):
            ax.add_patch(Rectangle((index - 0.5, 0), 1, 0.8, facecolor="#DDE8F0", edgecolor="k"))
        centers = pixel_centers(pixels, align_corners, device="cpu").tolist()
        for index, center in enumerate(centers):
            ax.plot(index, 0.4, "ko", markersize=4)
            ax.text(index, -0.16, f"{center:+.2f}", ha="center", va="top", fontsize=11)
        start, end = (0, pixels - 1) if align_corners else (-0.5, pixels - 0.5)
        ax.plot([start, end], [1.05, 1.05], color=_RED, linewidth=2)
        for where, text in ((start, "−1"), (end, "+1")):
            ax.plot([where, where], [0.9, 1.2], color=_RED, linewidth=2)
            ax.text(where, 1.26, text, ha="center", va="bottom", color=_RED, fontsize=12)
        ax.text(-0.75, 0.4, f"align_corners={align_corners}", ha="right", va="center", fontsize=11)
        ax.set(xlim=(-2.9, pixels), ylim=(-0.6, 1.75))
    return figure


def draw_pixel_question(image, theta, pixel):
    """One output pixel asks the input for its colour: why θ maps output → input.

    Args:
        image: ``(C, H, W)``, uint8 or floating-point in [0, 1].
        theta: ``(2, 3)`` or ``(1, 2, 3)``, output → input.
        pixel: ``(row, column)`` of the output pixel that asks; the output has the input's size.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above, or no such pixel.

    >>> draw_pixel_question(torch.zeros(1, 28, 28), torch.tensor([[[1.0, 0, 0.4], [0, 1, 0]]]), (14, 8))
    Figure: output pixel (14, 8) on the right asks the input on the left for the colour at x = 13.6, y = 14.0
    """
    picture, theta = as_picture(image), as_theta(theta)
    height, width = picture.shape[:2]
    row, column = map(_check.as_integer, _check.as_pair(pixel) or (None, None))
    if row is None or column is None or not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"pixel: expected a (row, column) inside {height}×{width}, got {_check.describe(pixel)}")
    pixels = as_unit(as_tensor("image", image))[None]
    grid = affine_grid(theta, (height, width))
    x, y = to_pixels(grid[0, row, column], (height, width)).tolist()
    figure = Figure(
        8.4,
        4.2,
        f"output pixel ({row}, {column}) on the right asks the input on the left "
        f"for the colour at x = {x:.1f}, y = {y:.1f}",
    )
    left, right = figure.subplots(1, 2)
    draw_image(left, picture)
    draw_image(right, as_pictures(bilinear_sample(pixels, grid).clamp(0, 1))[0])
    margin = margin_for(frame_corners(theta[0], (height, width)), (height, width))
    draw_frame(left, theta[0], (height, width), margin=margin)
    set_margin(right, (height, width), margin)  # as large as the input
    right.set_facecolor("none")
    for ax, title in ((left, "input"), (right, "output")):
        _draw_two_rulers(ax, width)
        ax.set_title(title, fontsize=12)
    right.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="none", edgecolor=COLORS[5], linewidth=2.5))
    left.plot(x, y, "+", color=COLORS[5], markersize=14, markeredgewidth=2.5)
    style = {"arrowstyle": "-|>", "mutation_scale": 18, "connectionstyle": "arc3,rad=0.25", "shrinkA": 6, "shrinkB": 9}
    arrow = ConnectionPatch((column, row), (x, y), "data", "data", axesA=right, axesB=left, **style)
    arrow.set(color=COLORS[5], linewidth=2)
    figure.add_artist(arrow)
    asks, answers = ((2 * place + 1) / width - 1 for place in (column, x))
    left.set_xlabel(f"“the colour at ({x:.1f}, {y:.1f}), please”\ncolumn {x:.1f} is x = {answers:.2f}", fontsize=11)
    right.set_xlabel(f"output pixel at column {column}, row {row}\ncolumn {column} is x = {asks:.2f}", fontsize=11)
    return figure


def _draw_two_rulers(ax, width):
    """Below an image its columns, above it −1 to 1."""
    ax.set_xticks(range(0, width, 5), map(str, range(0, width, 5)), fontsize=9)
    ruler = ax.secondary_xaxis(
        "top", functions=(lambda p: (2 * p + 1) / width - 1, lambda x: ((x + 1) * width - 1) / 2)
    )
    ruler.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"], fontsize=9)


def draw_neighbours(image, x, y):
    """The four pixels that bilinear sampling mixes for the point (x, y), and the weight of each.

    Args:
        image: ``(1, H, W)``, uint8 or floating-point in [0, 1].
        x, y: pixel coordinates, where pixel (0, 0)'s centre is at 0; inside the image.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above, or the point has no four neighbours.

    >>> draw_neighbours(torch.ones(1, 9, 9), x=3.4, y=7.8)
    Figure: the four pixels around x = 3.4, y = 7.8 with their weights; the mix is 1.00
    """
    image = as_tensor("image", image)
    _check.tensor("image", image, "1 H W", floating=False)
    pixels = torch.from_numpy(as_picture(image))
    height, width = pixels.shape
    point = x, y
    x, y = map(_check.as_real, point)
    if x is None or y is None or not (0 <= x < width - 1 and 0 <= y < height - 1):
        raise ValueError(f"x, y: expected a point between the pixel centres of a {height}×{width} image, got {point}")
    left, top = math.floor(x), math.floor(y)
    weights = {}
    for column, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
        for row, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
            weights[row, column] = weight_x * weight_y
    mix = sum(weight * pixels[place].item() for place, weight in weights.items())
    figure = Figure(
        8.8, 4.2, f"the four pixels around x = {x:.1f}, y = {y:.1f} with their weights; the mix is {mix:.2f}"
    )
    whole, close = figure.subplots(1, 2, width_ratios=(1, 1.25))
    draw_image(whole, pixels)
    whole.add_patch(Rectangle((left - 0.5, top - 0.5), 2, 2, facecolor="none", edgecolor=FRAME_COLOR, linewidth=2))
    whole.set_title("the image", fontsize=12)
    draw_image(close, pixels)
    # A square as large as a pixel, laid on the place: what lies on each neighbour is that neighbour's weight.
    close.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="none", edgecolor=FRAME_COLOR, linewidth=3))
    for middle, line in ((left + 0.5, close.axvline), (top + 0.5, close.axhline)):
        line(middle, color=_BLUE, linewidth=1.5, linestyle="--")
    for (row, column), weight in weights.items():
        value = pixels[row, column].item()
        close.text(
            left - 0.42 if column == left else left + 1.42,
            top - 0.4 if row == top else top + 1.4,
            f"{value:.2f} × {weight:.2f}",
            ha="left" if column == left else "right",
            va="top" if row == top else "bottom",
            fontsize=12,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2},
        )
    close.plot(x, y, "+", color=_RED, markersize=18, markeredgewidth=3)
    close.set(xlim=(left - 0.5, left + 1.5), ylim=(top + 1.5, top - 0.5))
    close.set(xticks=[left, left + 1], yticks=[top, top + 1], xlabel="x in pixels", ylabel="y in pixels")
    close.set_title(f"value × area; the sum is {mix:.2f}", fontsize=12)
    return figure


def draw_slope(positions, losses, at, slope):
    """A loss against one number of θ, and the slope that autograd reports at one place.

    Args:
        positions, losses: 1-D tensors of the same length, finite, at least one number.
        at: where the slope was taken; one of the positions is nearest.
        slope: the derivative there.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> draw_slope(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 4.0]), at=1.0, slope=2.0)
    Figure: the loss against tx, with the tangent of slope +2.00 at tx = 1.00
    """
    positions = _as_numbers("positions", positions, "N")
    losses = _as_numbers("losses", losses, str(len(positions)))
    at, slope = (_check.number(name, v, "a finite number", math.isfinite) for name, v in (("at", at), ("slope", slope)))
    figure = Figure(6.4, 3.2, f"the loss against tx, with the tangent of slope {slope:+.2f} at tx = {at:.2f}")
    ax = figure.subplots()
    ax.plot(positions, losses, color=_BLUE, label="loss")
    here = losses[(positions - at).abs().argmin()].item()
    reach = 0.15 * (positions.max() - positions.min()).item()
    ends = positions.new_tensor([at - reach, at + reach])
    ax.plot(ends, here + slope * (ends - at), color=_RED, linewidth=2.5, label=f"autograd's slope {slope:+.2f}")
    ax.plot(at, here, "o", color=_RED)
    ax.set(xlabel="tx", ylabel="loss")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)  # above, off the curve
    return figure


def _as_numbers(name, values, shape):
    values = as_tensor(name, values)
    _check.tensor(name, values, shape)
    if not len(values) or values.is_meta or not values.isfinite().all():
        raise ValueError(f"{name}: expected finite numbers, at least one, got {_check.describe(values)}")
    return values.detach().cpu()
