"""Figures of digits: a sheet of them, a grid on one."""

import torch

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.figures.figure import (
    FRAME_COLOR,
    Figure,
    _as_titles,
    as_picture,
    as_pictures,
    as_text,
    as_unit,
    draw_edge,
    draw_frame,
    draw_image,
    edge_points,
    frame_corners,
    margin_for,
    set_margin,
    to_pixels,
)
from stncourse.figures.shown import as_tensor, label_name
from stncourse.transformer.grids import affine_grid, projective_grid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import grid_generator_of


def show_digits(images, titles=None, columns=10, alt=None):
    """A contact sheet.

    Args:
        images: ``(N, C, H, W)`` with 1 or 3 channels: uint8, or floating-point in [0, 1] (``denormalize`` yours first);
            a tensor or a NumPy array. Or a set, :class:`stncourse.Digits` or :class:`stncourse.ImageSet`.
        titles: N short texts, or None. Default for a set: what its labels are called.
        columns: pictures per row.
        alt: the picture in words.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or range above, or there are more rows than can be drawn.

    >>> show_digits(torch.zeros(3, 1, 28, 28, dtype=torch.uint8))
    Figure: 3 images side by side
    """
    if isinstance(images, Digits) and titles is None:
        titles = [label_name(images, label) for label in images.labels.tolist()]
    pictures = as_pictures(images.images if isinstance(images, Digits) else images)
    columns = min(_check.positive_int("columns", columns), len(pictures))
    rows = -(-len(pictures) // columns)
    cell = 9 / max(columns, 5)
    titles = _as_titles(titles, len(pictures), cell)
    room = 0 if titles is None else 0.25 + more_lines(titles)
    figure = Figure(cell * columns, (cell + room) * rows, alt or f"{len(pictures)} images side by side")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for number, (ax, picture) in enumerate(zip(axes, pictures, strict=False)):  # the last row may have empty cells
        draw_image(ax, picture)
        if titles is not None:
            write_title(ax, titles[number], 10)
    return figure


def show_grid(image, theta, output_size=None, padding_mode="zeros", every=2, title=None, *, family=None):
    """One image, where θ looks on it, and what comes out.

    Left: the input on its ruler from −1 to 1, y down, with the sampling points and their frame; the frame's top edge is
    thick and the dot marks the output's top-left corner. Grey is outside of the input. Right: the output, drawn as
    large as the input.

    Args:
        image: ``(C, H, W)``, uint8 or floating-point in [0, 1].
        theta: θ, output → input: ``(2, 3)``, or projective ``(3, 3)``. Or, for transforms without a matrix, a grid
            ``(H_out, W_out, 2)``, as :class:`stncourse.Transformed` has one per image. Or, with ``family=``, parameters
            ``(num_parameters,)``. Each may have a 1 in front, a batch of one.
        output_size: ``(H_out, W_out)``; default: the grid's or the input's.
        padding_mode: as for :class:`stncourse.Sampler`; zeros are background here, since the image is not normalised.
        every: draw every second (…) sampling point.
        title: over the input; default: the numbers of θ.
        family: whose parameters ``theta`` has: a name or a grid generator, as for
            :meth:`stncourse.SpatialTransformer.for_images`.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> show_grid(torch.zeros(1, 28, 28), torch.tensor([[1.0, 0, 0.4], [0, 1, 0]]))
    Figure: left: the input with the frame of θ = [1.00, 0.00, 0.40; 0.00, 1.00, 0.00]; right: the output
    >>> from stncourse import ThinPlateSplineGrid
    >>> sheet = ThinPlateSplineGrid(control=(2, 3))
    >>> show_grid(torch.zeros(1, 20, 40), 0.8 * sheet.identity(), family=sheet)
    Figure: left: the input with the outline of a grid of 20×40 points; right: the output
    """
    image = as_tensor("image", image)
    picture = as_picture(image)
    every = _check.positive_int("every", every)
    own_size = tuple(image.shape[-2:])
    size = None if output_size is None else _check.image_size("output_size", output_size)
    theta, grid, align_corners = _as_places(theta, family, own_size, size)
    size = tuple(grid.shape[1:3])
    output = Sampler(padding_mode=padding_mode, align_corners=align_corners)(as_unit(image)[None], grid)

    theta, grid = None if theta is None else theta[0], grid[0]
    if align_corners:
        theta, grid = None, on_edges(grid, own_size)
    outline = outline_of(theta, grid, own_size)
    margin = max(_GRID_MARGIN, margin_for(outline, own_size))
    wide, narrow = (1 + 2 * margin) * own_size[1] / own_size[0], 1.1 * size[1] / size[0]  # in heights of the images
    side = min(1.9, 10 / (wide + narrow))  # inches
    what, numbers = _in_words(theta, size)
    alt = f"left: the input with the {what}; right: the output"
    figure = Figure(max(side * (wide + narrow) + 0.9, 4.5), side * (1 + 2 * margin) + 0.9, alt)
    left, right = figure.subplots(1, 2, width_ratios=(wide, narrow))
    draw_image(left, picture)
    points = to_pixels(grid[::every, ::every], own_size).reshape(-1, 2)
    left.scatter(*points.T, s=5, color=FRAME_COLOR, alpha=0.8, linewidths=0)
    draw_outline(left, theta, grid, own_size, margin)
    _draw_ruler(left, own_size)
    title = f"input, and where {numbers}" if title is None else as_text(title, 3.8)
    left.set_title(title, fontsize=10, parse_math=False)
    draw_image(right, as_pictures(output)[0])
    set_margin(right, size, margin)  # the same scale: what is as large in the picture is as large on the page
    right.set(xlim=(-0.5 - 0.05 * size[1], 1.05 * size[1] - 0.5))
    right.set_axis_off()
    right.set_title("output", fontsize=10, y=1 - margin / (1 + 2 * margin), pad=4)
    return figure


def _as_places(theta, family, own_size, size):
    """θ ``(1, R, 3)`` or None, the grid ``(1, H_out, W_out, 2)``, and which ruler both are on."""
    theta = as_tensor("theta", theta)
    if family is not None:
        return _places_of_family(theta, grid_generator_of(family, own_size), size or own_size)
    shape = tuple(theta.shape) if isinstance(theta, torch.Tensor) and theta.is_floating_point() else ()
    if shape[:1] == (1,) and (len(shape) == 4 or shape[2:] == (3,)):
        theta, shape = theta[0], shape[1:]
    if shape not in ((2, 3), (3, 3)) and not (len(shape) == 3 and shape[2] == 2 and theta.numel()):
        expected = "one floating-point θ, (2, 3) or (3, 3), or one grid (H_out, W_out, 2), or family= beside parameters"
        kind = ValueError if isinstance(theta, torch.Tensor) and theta.is_floating_point() else TypeError
        raise kind(f"theta: expected {expected}, got {_check.describe(theta)}")
    theta = _finite(theta)[None]
    if len(shape) == 3:
        if size not in (None, shape[:2]):
            raise ValueError(f"output_size: expected the grid's own {shape[:2]}, or None, got {size}")
        return None, theta, False
    return theta, (affine_grid if shape == (2, 3) else projective_grid)(theta, size or own_size), False


def _places_of_family(parameters, generator, size):
    if isinstance(parameters, torch.Tensor) and parameters.ndim == 1:
        parameters = parameters[None]
    _check.tensor("theta", parameters, f"1 {generator.num_parameters}")
    parameters = _finite(parameters)
    theta = generator.theta(parameters) if hasattr(generator, "theta") else None
    return theta, generator(parameters, size), bool(generator.align_corners)


def _finite(numbers):
    if numbers.is_meta or not numbers.isfinite().all():
        got = _check.describe(numbers) if numbers.is_meta or numbers.numel() > 9 else numbers.flatten().tolist()
        raise ValueError(f"theta: expected finite numbers, got {got}")
    return numbers.detach().cpu().float()


def _in_words(theta, size):
    """What is drawn, for the picture's text, and for its title."""
    if theta is None:
        return f"outline of a grid of {size[0]}×{size[1]} points", "the grid looks"
    rows = [", ".join(f"{round(v, 2) + 0:.2f}" for v in row) for row in theta.tolist()]
    return f"frame of θ = [{'; '.join(rows)}]", "θ looks\n" + "  ".join(f"[{row}]" for row in rows)


def on_edges(grid, size):
    """A grid made with ``align_corners=True`` as one with ``align_corners=False``, for an image of this ``(H, W)``."""
    return grid * grid.new_tensor([(size[1] - 1) / size[1], (size[0] - 1) / size[0]])


def outline_of(theta, grid, size):
    """The corners of θ's frame, or without θ the edge of the grid, in pixels of an input of this ``(H, W)``."""
    return edge_points(grid, size)[0] if theta is None else frame_corners(theta, size)


def draw_outline(ax, theta, grid, size, margin):
    """Draw it, with so much grey around the input."""
    if theta is None:
        draw_edge(ax, grid, size, margin=margin)
    else:
        draw_frame(ax, theta, size, margin=margin)


_GRID_MARGIN = 0.45  # wide enough to see most frames that leave the image: the same whatever θ is


def _draw_ruler(ax, size):
    """−1 to 1 along both sides of an image of this ``(H, W)``, y down, and lines through its centre."""
    marks = torch.tensor([-1, -0.5, 0, 0.5, 1], device="cpu", dtype=torch.float32)
    x, y = to_pixels(marks[:, None].expand(-1, 2), size).T.tolist()
    names = ["−1", "−0.5", "0", "0.5", "1"]
    ax.set_xticks(x, names, fontsize=9)
    ax.set_yticks(y, names, fontsize=9)
    ax.set_xlabel("x →", fontsize=10)
    ax.set_ylabel("← y", fontsize=10)  # it is turned by 90°: the arrow points down
    for line in (ax.axvline, ax.axhline):
        line((x if line == ax.axvline else y)[2], color="#56B4E9", linewidth=0.7, alpha=0.7, zorder=1)


def more_lines(titles):
    """Inches that titles of several lines need beyond those of one."""
    return 0.18 * max(title.count("\n") for title in titles)


def write_title(ax, text, size):
    """A title as it is written: "$" starts no formula."""
    ax.set_title(text, fontsize=size, parse_math=False)
    ax.set_anchor("N")  # the room that is left over goes below the picture, the title needs all above it
