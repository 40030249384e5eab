"""Figures of digits: a sheet of them, a grid on one, before and after a transformer."""

import itertools
from typing import NamedTuple

import torch

from stncourse import _check, _modes
from stncourse.data.digits import Digits
from stncourse.figures.figure import (
    FRAME_COLOR,
    Figure,
    _as_titles,
    _row_label,
    as_picture,
    as_pictures,
    as_text,
    as_theta,
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
from stncourse.figures.shown import as_tensor, denormalize, known, label_name, label_names, shown
from stncourse.transformer.grids import affine_grid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import Transformed, transformers_in


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
        titles = label_names(images)
    pictures = as_pictures(images.images if isinstance(images, Digits) else images)
    columns = min(_check.positive_int("columns", columns), len(pictures))
    rows = -(-len(pictures) // columns)
    cell = 9 / max(columns, 5)
    titles = _as_titles(titles, len(pictures), cell)
    room = 0 if titles is None else 0.25 + _more_lines(titles)
    figure = Figure(cell * columns, (cell + room) * rows, alt or f"{len(pictures)} images side by side")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for number, (ax, picture) in enumerate(zip(axes, pictures, strict=False)):  # the last row may have empty cells
        draw_image(ax, picture)
        if titles is not None:
            _write_title(ax, titles[number], 10)
    return figure


def show_grid(image, theta, output_size=None, padding_mode="zeros", every=2, title=None):
    """One image, where θ looks on it, and what comes out.

    Left: the input on its ruler from −1 to 1, y down, with the sampling points and their frame; the frame's top edge is
    thick and the dot marks the output's top-left corner. Grey is outside of the input. Right: the output, drawn as
    large as the input.

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
    Figure: left: the input with the frame of θ = [1.00, 0.00, 0.40; 0.00, 1.00, 0.00]; right: the output
    """
    image = as_tensor("image", image)
    picture = as_picture(image)
    every = _check.positive_int("every", every)
    theta = as_theta(theta)
    own_size = tuple(image.shape[-2:])
    size = own_size if output_size is None else _check.image_size("output_size", output_size)
    grid = affine_grid(theta, size)
    output = Sampler(padding_mode=padding_mode)(as_unit(image)[None], grid)

    words = "; ".join(", ".join(f"{v + 0:.2f}" for v in row) for row in theta[0].tolist())
    margin = max(_GRID_MARGIN, margin_for(frame_corners(theta[0], own_size), own_size))
    wide, narrow = (1 + 2 * margin) * own_size[1] / own_size[0], 1.1 * size[1] / size[0]  # in heights of the images
    side = min(1.9, 10 / (wide + narrow))  # inches
    alt = f"left: the input with the frame of θ = [{words}]; right: the output"
    figure = Figure(max(side * (wide + narrow) + 0.9, 4.5), side * (1 + 2 * margin) + 0.9, alt)
    left, right = figure.subplots(1, 2, width_ratios=(wide, narrow))
    draw_image(left, picture)
    points = to_pixels(grid[0, ::every, ::every], own_size).reshape(-1, 2)
    left.scatter(*points.T, s=5, color=FRAME_COLOR, alpha=0.8, linewidths=0)
    draw_frame(left, theta[0], own_size, margin=margin)
    _draw_ruler(left, own_size)
    title = f"input, and where θ looks\n[{words.replace('; ', ']  [')}]" if title is None else as_text(title, 3.8)
    left.set_title(title, fontsize=10, parse_math=False)
    draw_image(right, as_pictures(output)[0])
    set_margin(right, size, margin)  # the same scale: what is as large in the picture is as large on the page
    right.set(xlim=(-0.5 - 0.05 * size[1], 1.05 * size[1] - 0.5))
    right.set_axis_off()
    right.set_title("output", fontsize=10, y=1 - margin / (1 + 2 * margin), pad=4)
    return figure


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


def show_before_after(model, images, labels=None, *, like=None):
    """What a spatial transformer does to images: the input with the frame it looks at, and what it passes on.

    Around the inputs there is as much grey as the frames need, and at most as much as one input is wide.

    Args:
        model: a model with a :class:`stncourse.SpatialTransformer` anywhere in it, or one itself. Of several that look
            at pictures, each has its own two rows.
        images: ``(N, C, H, W)`` raw uint8, or floating-point in [0, 1]; a tensor or a NumPy array. They are normalised
            here. Or a set, :class:`stncourse.Digits` or :class:`stncourse.ImageSet`, whose labels are taken as well.
        labels: ``(N,)`` whole numbers; given a classifier, its answer is printed over each output, with ✗ where it is
            wrong.
        like: the set whose numbers normalise the images, and whose names the classes have. Default: ``images``, if it
            is a set. A part of a set's own images (``train.images[:10]``) is recognised; of copies say ``like=``: of
            one channel, they are taken for MNIST's.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above; no transformer looks at the images; images
            of several channels of which no set is known, or of several sets that share them.

    >>> from stncourse import distort, load_digits, load_pretrained
    >>> crooked = distort(load_digits("test", source="offline").images[:5], "RTS").images
    >>> show_before_after(load_pretrained(), crooked)
    Figure: 5 digits before and after the spatial transformer; the frame on each input is where it looks
    """
    transformers = _transformers(model)
    images, labels, like = shown(images, labels, like)
    before = as_pictures(images)
    inputs = known(like, images).normalize(images)
    looks, answers, left_out = _watch(model, transformers, inputs)
    kind = "images" if getattr(like, "classes", ()) else "digits"
    words = f"{len(before)} {kind} before and after the spatial transformer; the frame on each input is where it looks"
    words += f"; not shown: {left_out} more that look at features" if left_out else ""
    width = max(1.05 * len(before), 4)
    over, under = _answers_in_words(labels, answers, like, len(before), width / len(before))
    figure = Figure(width, 2.6 * len(looks) + _more_lines(over) + _more_lines(under), words)
    axes = figure.subplots(2 * len(looks), len(before), squeeze=False)
    for row, look in enumerate(looks):
        which = f" {row + 1}" if len(looks) > 1 else ""
        tops, bottoms = axes[2 * row : 2 * row + 2]
        # Clipped: interpolation and padding can leave [0, 1] by a rounding error.
        seen = before if look.first else as_pictures(denormalize(like, look.images).clamp(0, 1))
        passed_on = as_pictures(denormalize(like, look.made.images).clamp(0, 1))
        margin = max(margin_for(_outline(look, number), look.size) for number in range(len(before)))
        for number, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
            draw_image(top, seen[number])
            _draw_frame(top, look, number, margin)
            draw_image(bottom, passed_on[number])
        _row_label(tops[0], f"input{which}")
        _row_label(bottoms[0], f"output{which}")
    for titles, row, size in ((over, axes[0], 11), (under, axes[-1], 10)):
        for ax, title in zip(row, titles, strict=True):
            _write_title(ax, title, size)
    return figure


def _answers_in_words(labels, answers, like, count, inches):
    """What stands over each input and each output: the class that it is, and the one that the model says."""
    nothing = [""] * count
    if labels is None:
        return nothing, nothing
    over = [as_text(label_name(like, label), inches - 0.1) for label in labels]
    if answers is None:
        return over, nothing
    marks = ["" if answer == label else " ✗" for answer, label in zip(answers, labels, strict=True)]
    says = [as_text(f"says {label_name(like, answer)}", inches - 0.2) for answer in answers]
    return over, [text + mark for text, mark in zip(says, marks, strict=True)]


def _more_lines(titles):
    """Inches that titles of several lines need beyond those of one."""
    return 0.18 * max(title.count("\n") for title in titles)


def _write_title(ax, text, size):
    """A title as it is written: "$" starts no formula."""
    ax.set_title(text, fontsize=size, parse_math=False)
    ax.set_anchor("N")  # the room that is left over goes below the picture, the title needs all above it


def _draw_frame(ax, look, number, margin):
    if look.made.theta is None:
        draw_edge(ax, look.made.grid[number], look.size, margin=margin)
    else:
        draw_frame(ax, look.made.theta[number], look.size, margin=margin)


def _outline(look, number):
    """The corners of a frame, or the edge of a grid, in pixels of the input."""
    if look.made.theta is None:
        return edge_points(look.made.grid[number], look.size)[0]
    return frame_corners(look.made.theta[number], look.size)


class _Look(NamedTuple):
    """A transformer at work."""

    images: torch.Tensor  #: what it got
    made: Transformed  #: what it made of it
    first: bool  #: whether it got the model's own input

    @property
    def size(self):
        """``(H, W)`` of what it got."""
        return tuple(self.images.shape[-2:])


def _transformers(model):
    found = []
    if isinstance(model, torch.nn.Module):
        own = getattr(model, "stn", model)  # may be one of your own making
        found = transformers_in(model) or ([own] if hasattr(own, "transform") else [])
    if not found:
        got = f"a {type(model).__name__}" if isinstance(model, torch.nn.Module) else _check.describe(model)
        raise TypeError(f"model: expected a SpatialTransformer or a model with one in it, got {got} without")
    return found


def _watch(model, transformers, inputs):
    """Run a model in eval mode. Returns what each of its transformers saw and made, and the model's answers or None."""
    weights = next((p for p in itertools.chain(model.parameters(), model.buffers()) if p.is_floating_point()), inputs)
    if weights.is_meta:
        raise ValueError(f"model: expected weights with numbers, got {type(model).__name__} on the meta device")
    inputs = inputs.to(weights.device, weights.dtype)
    calls = []

    def note(stn, arguments, keywords, output):
        calls.append((stn, next(iter((*arguments, *keywords.values())))))

    hooks = [stn.register_forward_hook(note, with_kwargs=True) for stn in transformers]
    try:
        # A compiled model would be compiled once more, for the hooks.
        with _modes.in_eval(model), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            output = model(inputs)
            # A model may call stn.transform itself, past the hooks.
            calls = calls or [(stn, inputs) for stn in transformers]
            looks = [_look(stn, images, inputs) for stn, images in calls if images.shape[:2] == inputs.shape[:2]]
    finally:
        for hook in hooks:
            hook.remove()
    if not looks:
        features = _check.describe(calls[0][1])
        raise ValueError(f"model: expected a transformer that looks at pictures, got one that looks at {features}")
    answers = output.argmax(1).tolist() if isinstance(output, torch.Tensor) and output.ndim == 2 else None
    return looks, answers, len(calls) - len(looks)


def _look(stn, images, inputs):
    made = stn.transform(images)
    if not made.images.isfinite().all():
        raise ValueError("model: expected a transformer that passes on numbers, got NaN or infinite ones")
    first = images.shape == inputs.shape and torch.equal(images, inputs)
    theta = None if made.theta is None else made.theta.cpu().float()
    return _Look(images.cpu().float(), type(made)(made.images.cpu().float(), theta, made.grid.cpu().float()), first)
