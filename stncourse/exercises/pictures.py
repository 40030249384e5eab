"""Pictures that a check shows: what is expected beside what came."""

import torch

_WRITE_UP_TO = 49  # pixels: small pictures have their numbers written in
_FAR = 1e6  # a place further away, or infinitely so, is drawn there


def pictures(panels, alt):
    """Grey pictures side by side.

    Args:
        panels: title -> ``(H, W)`` tensor, or None to leave it away.
        alt: in words.
    """
    from stncourse.figures.figure import Figure, draw_image

    panels = {title: picture.detach().double() for title, picture in panels.items() if picture is not None}
    low = min(picture.nan_to_num().min().item() for picture in panels.values())
    high = max(picture.nan_to_num().max().item() for picture in panels.values())
    low, high = (min(low, 0.0), max(high, 1.0))
    figure = Figure(2.3 * len(panels), 2.5, alt)
    for ax, (title, picture) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        draw_image(ax, picture, vmin=low, vmax=high)
        ax.set_title(title, fontsize=10)
        if picture.numel() <= _WRITE_UP_TO:
            _write_numbers(ax, picture, (low + high) / 2)
    return figure


def warped(arguments, expected, got):
    """The ``draw`` of exercises whose answer is images, and whose first argument is the ``(N, C, H, W)`` input.

    It shows one image of the batch: the input, what is expected, what came.
    """
    index = 0
    if got is not None:  # the first image of the batch that differs
        off = (got.double() - expected.double()).abs().flatten(1).amax(1).nan_to_num(torch.inf)
        index = int((off > 1e-6).int().argmax())
    panels = {"input": arguments[0][index, 0], "expected": expected[index, 0]}
    if got is not None:
        panels["got"] = got[index, 0]
    words = "the input, what is expected, what came" if got is not None else "the input and what is expected"
    return pictures(panels, words)


def places(arguments, expected, got):
    """The ``draw`` of exercises whose answer is a grid, and whose last argument is its size ``(H, W)``.

    It shows the places over the outline of the image.
    """
    from stncourse.figures.figure import FRAME_COLOR, Figure

    height, width = arguments[-1]
    figure = Figure(
        4.2, 4.2, "where the output's pixels look: expected" + (", and what came" if got is not None else "")
    )
    ax = figure.subplots()
    ax.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], color="#777777", linewidth=1)
    points = [grid[0].detach().double().clamp(-_FAR, _FAR) for grid in (expected, got) if grid is not None]
    looks = ({"color": FRAME_COLOR, "label": "expected"}, {"color": "#0072B2", "marker": "x", "label": "got"})
    for grid, look in zip(points, looks, strict=False):
        ax.scatter(*grid.reshape(-1, 2).T, s=42, **look)
    reach = max(1.0, *(grid.abs().nan_to_num().max().item() for grid in points))
    ax.set(xlim=(-1.15 * reach, 1.15 * reach), ylim=(1.15 * reach, -1.15 * reach), xlabel="x", ylabel="y")
    ax.set_title(f"a grid of {height}×{width} places; the frame is the input image", fontsize=10)
    ax.set_aspect("equal")
    ax.legend(loc="best", fontsize=9)
    return figure


def _write_numbers(ax, picture, middle):
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            value = picture[row, column].item()
            color = "black" if value > middle else "white"
            text = f"{value:.2f}" if abs(value) < 1000 else f"{value:.0e}"
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
