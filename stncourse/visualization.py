"""Figures. Each function returns a matplotlib Figure made without pyplot, so nothing global can lose or redraw it."""

import base64
import io
import itertools
import math
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.figure
import numpy as np
import torch
from matplotlib.ticker import MaxNLocator

from stncourse import _check, _modes
from stncourse._shown import as_tensor, denormalize, known, label_name, shown
from stncourse.data import Digits
from stncourse.grids import affine_grid
from stncourse.sampling import Sampler
from stncourse.transformer import Transformed, transformers_in

#: Colours that stay apart for colour-blind eyes (Okabe and Ito), and the mark of each line besides.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BOX_COLOR = "#FF9F1C"
_MARKS = ("o", "s", "^", "D", "v", "x")
_SCREEN_DPI, _FILE_DPI = 96, 168  # size on the page; sharpness of the picture
_LARGEST = (2**16 - 1) / _FILE_DPI  # inches: matplotlib draws no more pixels than that either way
_LEGEND_WIDTH = 3.6  # inches
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
        super().__init__(figsize=_checked_size(width, height), layout="constrained")
        self.alt = as_text(alt)

    def __repr__(self):
        return f"Figure: {self.alt}"

    __str__ = __repr__

    def _repr_mimebundle_(self, include=None, exclude=None):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_FILE_DPI)
        width, height = (round(inches * _SCREEN_DPI) for inches in self.get_size_inches())
        data = {"image/png": base64.b64encode(_small_png(buffer)).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"width": width, "height": height, "alt": self.alt}}


def _checked_size(width, height):
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
    image = as_tensor("image", image)
    picture = as_picture(image)
    every = _check.positive_int("every", every)
    theta = as_theta(theta)
    own_size = tuple(image.shape[-2:])
    size = own_size if output_size is None else _check.image_size("output_size", output_size)
    grid = affine_grid(theta, size)
    output = Sampler(padding_mode=padding_mode)(as_unit(image)[None], grid)

    words = "; ".join(", ".join(f"{v + 0:.2f}" for v in row) for row in theta[0].tolist())
    figure = Figure(7.6, 4, f"left: the input with the sampling box of θ = [{words}]; right: the output")
    left, right = figure.subplots(1, 2)
    draw_image(left, picture)
    points = to_pixels(grid[0, ::every, ::every], own_size).reshape(-1, 2)
    left.scatter(*points.T, s=5, color=BOX_COLOR, alpha=0.8, linewidths=0)
    draw_box(left, theta[0], own_size)
    # Wide enough to see a box that leaves the image, the same margin whatever θ is.
    margin_y, margin_x = (0.45 * side for side in own_size)
    left.set(xlim=(-margin_x, own_size[1] + margin_x), ylim=(own_size[0] + margin_y, -margin_y))
    left.set_facecolor("#E8E8E8")
    title = f"input, and where θ looks\n[{words.replace('; ', ']  [')}]" if title is None else as_text(title, 3.8)
    left.set_title(title, fontsize=10, parse_math=False)
    draw_image(right, as_pictures(output)[0])
    right.set_title("output", fontsize=10)
    return figure


def show_before_after(model, images, labels=None, *, like=None):
    """What a spatial transformer does to images: the input with the box it looks at, and what it passes on.

    Args:
        model: a model with a :class:`stncourse.SpatialTransformer` anywhere in it, or one itself. Of several that look
            at pictures, each has its own two rows.
        images: ``(N, C, H, W)`` raw uint8, or floating-point in [0, 1]; a tensor or a NumPy array. They are normalised
            here. Or a set, :class:`stncourse.Digits` or :class:`stncourse.ImageSet`, whose labels are taken as well.
        labels: ``(N,)`` whole numbers; given a classifier, its answer is printed over each output, with ✗ where it is
            wrong.
        like: the set whose numbers normalise the images, and whose names the classes have. Default: ``images``, if it
            is a set; MNIST, for images of one channel.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above; no transformer looks at the images; images
            of several channels without a set.

    >>> from stncourse import distort, load_digits, load_pretrained
    >>> crooked = distort(load_digits("test", source="offline").images[:5], "RTS").images
    >>> show_before_after(load_pretrained(), crooked)
    Figure: 5 digits before and after the spatial transformer; the box on each input is where it looks
    """
    transformers = _transformers(model)
    images, labels, like = shown(images, labels, like)
    before = as_pictures(images)
    inputs = known(like, images).normalize(images)
    looks, answers, left_out = _watch(model, transformers, inputs)
    kind = "images" if getattr(like, "classes", ()) else "digits"
    words = f"{len(before)} {kind} before and after the spatial transformer; the box on each input is where it looks"
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
        for number, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
            draw_image(top, seen[number])
            _draw_frame(top, look, number)
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


def _draw_frame(ax, look, number):
    size = look.images.shape[-2:]
    if look.made.theta is None:
        draw_edge(ax, look.made.grid[number], size)
    else:
        draw_box(ax, look.made.theta[number], size)


class _Look(NamedTuple):
    """A transformer at work."""

    images: torch.Tensor  #: what it got
    made: Transformed  #: what it made of it
    first: bool  #: whether it got the model's own input


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


def plot_history(histories):
    """Loss and accuracy over the epochs, of one run or several.

    Args:
        histories: a :class:`stncourse.History`, or a dict from a name to one. However many there are, each has lines of
            its own.

    Returns:
        Figure. What was not measured, or is NaN or infinite, is left out of a line, and the legend says of how many
        epochs.

    Raises:
        TypeError: not a History or a dict of them. ValueError: an empty one, or one whose epochs are not those of
            ``fit``.

    >>> from stncourse import load_recorded
    >>> plot_history(load_recorded())
    Figure: loss (left) and test accuracy (right) over the epochs of tutorial
    """
    histories = _as_histories(histories)
    words = " and ".join(name for name, _ in histories)
    figure = Figure(9, 3.4, f"loss (left) and test accuracy (right) over the epochs of {words}")
    left, right = figure.subplots(1, 2)
    entries = {left: [], right: []}  # of the legends
    for (name, history), (style, dotted, solid) in zip(histories, _styles(), strict=False):  # styles never end
        epochs, train, test, accuracy = (_column(history, column) for column in _COLUMNS)
        hollow, filled = style | {"linestyle": dotted, "markerfacecolor": "none"}, style | {"linestyle": solid}
        entries[left].append(_curve(left, epochs, train, f"{name}: train", hollow))
        if measured := [value for value in accuracy if value is not None]:
            entries[left].append(_curve(left, epochs, test, f"{name}: test", filled))
            percent = [None if value is None else 100 * value for value in accuracy]
            label = f"{name} (ends at {100 * measured[-1]:.2f} %)"
            entries[right].append(_curve(right, epochs, percent, label, filled))
    losses = [value for line in left.lines for value in line.get_ydata() if math.isfinite(value)]
    scale = "log" if losses and min(losses) > 0 else "linear"  # a logarithmic axis would drop what is not above 0
    left.set(xlabel="epoch", ylabel="loss (negative log-likelihood)", yscale=scale)
    right.set(xlabel="epoch", ylabel="test accuracy in %")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
    _write_legends(figure, entries)
    return figure


_COLUMNS = ("epoch", "train_loss", "test_loss", "test_accuracy")


def _as_histories(histories):
    """[(name, History with epochs), …]"""
    if not isinstance(histories, dict):
        recipe = getattr(histories, "recipe", None)
        histories = {(recipe.get("name", "run") if isinstance(recipe, dict) else "run"): histories}
    if not histories:
        raise ValueError("histories: expected at least one, got an empty dict")
    for name, history in histories.items():
        if not isinstance(getattr(history, "epochs", None), list):
            raise TypeError(f"histories: expected a History or a dict of them, got {_check.describe(history)}")
        if not history.epochs:
            raise ValueError(f"histories: expected at least one epoch in {name!r}, got none")
        for row in history.epochs:
            if not isinstance(row, dict) or not {"epoch", "train_loss"} <= row.keys():
                raise ValueError(f"histories: expected epochs as fit records them in {name!r}, got {row!r}")
    return [(as_text(name), history) for name, history in histories.items()]


def _column(history, name):
    """One quantity over the epochs; None where it was not measured."""
    return [_check.as_real(row.get(name)) for row in history.epochs]


def _styles():
    """For one run after the other: what its lines have in common, and the dashes of two. No run is like another."""
    for number in itertools.count():
        color, mark = COLORS[number % len(COLORS)], _MARKS[(number + number // len(COLORS)) % len(_MARKS)]
        again = number // (len(COLORS) * len(_MARKS))  # all pairs are used up: wider gaps
        dotted, solid = ((0, (1, 2 + 2 * again)), (0, (6, 1 + 2 * again))) if again else (":", "-")
        yield {"color": color, "marker": mark, "markersize": 4}, dotted, solid


def _curve(ax, x, y, name, style):
    """Draw a line. Returns it with its words for the legend, which tell what of it cannot be seen."""
    y = [math.nan if value is None else value for value in y]
    (line,) = ax.plot(x, y, label=name, **style)
    lost = sum(not math.isfinite(value) for value in y)
    return line, f"{name} ({lost} of {len(y)} not drawn)" if lost else name


def _write_legends(figure, entries, ncols=1):
    """The legend of each axes: inside of it, or below where it would cover the lines."""
    texts = {ax: [as_text(text, _LEGEND_WIDTH) for _, text in lines] for ax, lines in entries.items()}
    longest = {
        ax: max((len(line) for text in some for line in text.split("\n")), default=0) for ax, some in texts.items()
    }
    below = max(map(len, texts.values())) > 6 or max(longest.values()) > 40
    rows = 0
    for ax, lines in entries.items():
        if not lines:
            continue
        # Of a width in points, not in parts of an axes that may be of any height.
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4.5} if below else {}
        columns = (1 if longest[ax] > 20 else 2) if below else ncols
        # Given to matplotlib at once, a text that begins with "_" would be left out, and "$" would start a formula.
        legend = ax.legend([line for line, _ in lines], ["line"] * len(lines), fontsize=9, ncols=columns, **place)
        for text, words in zip(legend.get_texts(), texts[ax], strict=True):
            text.set(text=words, parse_math=False)
        rows = max(rows, sum(text.count("\n") + 1 for text in texts[ax]) / columns)
    if below:
        width, height = figure.get_size_inches()
        figure.set_size_inches(_checked_size(width, height + 0.22 * rows + 0.2))


def plot_theta(history, probe=0):
    """The numbers of θ for one probe image, over the steps of a training run: six, or of a projective θ eight.

    Args:
        history: a :class:`stncourse.History` of a ``fit(..., probe=images)``.
        probe: which of the probe images.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: no θ was recorded, or that of a transform without a matrix, such as a spline; or there is
            no such probe image.
    """
    steps, theta = recorded_theta(history)
    probe, count = _check.positive_int("probe", probe, minimum=0), theta.shape[1]
    if probe >= count:
        raise ValueError(f"probe: expected 0 to {count - 1}, got {probe}")
    theta = theta[:, probe]
    panels = dict(_PANELS)
    if theta.shape[1] == 2:
        panels.pop("perspective")
    elif (theta[:, 2, 2] != 1).any():  # of a matrix that is not as our grid generators write it
        panels["perspective"] = (*panels["perspective"], (2, 2, "θ₃₃"))
    numbers = {6: "six", 8: "eight", 9: "nine"}[sum(map(len, panels.values()))]
    words = f"the {numbers} numbers of θ for probe image {probe} over the training steps"
    figure = Figure(8 if len(panels) == 2 else 11, 2.9, words)
    axes = figure.subplots(1, len(panels), width_ratios=(3, 2, 2)[: len(panels)])
    entries = {}
    for ax, (title, places) in zip(axes, panels.items(), strict=True):
        entries[ax] = []
        for row, column, name in places:
            place = 3 * row + column
            style = {"color": COLORS[place % len(COLORS)], "marker": _MARKS[place % len(_MARKS)], "markersize": 3}
            curve = _curve(ax, steps, theta[:, row, column].tolist(), name, style | {"linewidth": 1.2})
            entries[ax].append(curve)
        ax.set(xlabel="training step", ylabel="normalised units" if title == "shift" else "entry of θ", title=title)
        ax.grid(alpha=0.3)
    _write_legends(figure, entries, ncols=2)
    return figure


#: Where the numbers of θ stand: row, column, name.
_PANELS = {
    "turn, scale and shear": ((0, 0, "θ₁₁"), (0, 1, "θ₁₂"), (1, 0, "θ₂₁"), (1, 1, "θ₂₂")),
    "shift": ((0, 2, "tx"), (1, 2, "ty")),
    "perspective": ((2, 0, "θ₃₁"), (2, 1, "θ₃₂")),
}


def recorded_theta(history):
    """The steps, and θ as ``(S, P, 2 or 3, 3)``, of a :class:`stncourse.History` or of its ``theta`` alone.

    Raises:
        TypeError: no History. ValueError: no θ was recorded, or that of a transform that has no matrix.
    """
    snapshots = history if isinstance(history, list) else getattr(history, "theta", None)
    if not isinstance(snapshots, list):
        raise TypeError(f"history: expected a History, got {_check.describe(history)}")
    if not snapshots:
        raise ValueError("history: expected one with recorded θ; call fit(..., probe=images)")
    if not all(isinstance(snapshot, dict) and {"step", "theta"} <= snapshot.keys() for snapshot in snapshots):
        raise ValueError('history: expected snapshots {"step": …, "theta": …}, as fit records them')
    if any(snapshot["theta"] is None for snapshot in snapshots):
        raise ValueError("history: expected one with θ, got one of a transform that has no matrix, such as a spline")
    try:
        theta = torch.tensor([snapshot["theta"] for snapshot in snapshots], dtype=torch.float32, device="cpu")
    except (TypeError, ValueError) as error:
        raise ValueError(f"history: expected the same numbers of θ at every step ({error})") from error
    if theta.ndim != 4 or theta.shape[2:] not in ((2, 3), (3, 3)):
        raise ValueError(f"history: expected θ of shape (P, 2, 3) or (P, 3, 3) per step, got {tuple(theta.shape[1:])}")
    return [snapshot["step"] for snapshot in snapshots], theta


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
