"""The playground's picture as the kernel draws it; ``panels.js`` does the same in the browser."""

import io

import torch
from PIL import Image, ImageDraw

INPUT, IMAGE = 336, 224  #: pixels on the page: the input's panel; the longer side of the output, and of the input in it
GAP, BETWEEN = 16, 8  #: pixels between the two panels, and between two digits
_OUTSIDE, _ORANGE, _FIRST, _SECOND = (220, 220, 220), (255, 159, 28), (0, 104, 163), (156, 56, 115)
# Of the output, in [-1, 1], as columns (x, y, 1) that θ takes.
_CORNERS = ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))
_MIDDLES = ((0, 0, 1), (1, 0, 1), (0, 1, 1))
_DOTS = tuple((x / 10, y / 10, 1) for y in range(-9, 10, 2) for x in range(-9, 10, 2))


def draw(images, theta, pixels):
    """One row per digit: the input with the frame that θ ``(2, 3)`` looks through, and the output. PNG bytes."""
    sheet = Image.new("RGB", (INPUT + GAP + IMAGE, len(images) * (INPUT + BETWEEN) - BETWEEN), "white")
    for row, (image, out) in enumerate(zip(images, pixels, strict=True)):
        top = row * (INPUT + BETWEEN)
        sheet.paste(_input_panel(image[0], theta), (0, top))
        panel = Image.fromarray(out[0].numpy()).resize(_sides(out.shape[-2:]), Image.Resampling.NEAREST)
        sheet.paste(panel, (INPUT + GAP, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def output_from_picture(picture, size, row=0):
    """Read the output's pixels back out of a drawn picture, to compare what is shown with what was meant.

    Args:
        picture: PIL image of what :func:`draw` made.
        size: ``(H_out, W_out)``.
        row: which digit.

    Returns:
        uint8 tensor of shape ``size``.
    """
    wide, high = _sides(size)
    left, top = INPUT + GAP, row * (INPUT + BETWEEN)
    return pixels_of(picture.crop((left, top, left + wide, top + high)), size)


def pixels_of(panel, size):
    """The pixels of an image that is shown enlarged, from the middle of each: uint8 tensor of shape ``size``."""
    height, width = size
    grey = torch.frombuffer(bytearray(panel.convert("L").tobytes()), dtype=torch.uint8)
    grey = grey.reshape(panel.height, panel.width)
    ys = ((torch.arange(height) + 0.5) * panel.height / height).long()
    xs = ((torch.arange(width) + 0.5) * panel.width / width).long()
    return grey[ys][:, xs]


def reach_for(corners):
    """How much of the input's surroundings is shown, by steps: from the middle to the panel's side, the image being 1.

    Args:
        corners: of the frame, ``(4, 2)``, in halves of the image's longer side.
    """
    needed, reach, further = 1.04 * max(1.0, float(corners.abs().max())), 1.5, 2.0
    while reach < needed:
        reach, further = further, 2 * reach
    return reach


def _sides(size):
    """(width, height) on the page of an output of ``size``."""
    height, width = size
    return tuple(max(1, int(IMAGE * side / max(height, width) + 0.5)) for side in (width, height))


def _input_panel(image, theta):
    height, width = image.shape
    shape = theta.new_tensor([width, height]) / max(height, width)
    reach = reach_for(theta.new_tensor(_CORNERS) @ theta.T * shape)

    def place(points):
        """[-1, 1] coordinates of the output -> pixels of the panel."""
        places = (1 + theta.new_tensor(points) @ theta.T * shape / reach) * INPUT / 2
        return [tuple(place) for place in places.tolist()]

    inner = [max(1, round(side * INPUT / reach)) for side in shape.tolist()]
    panel = Image.new("RGB", (INPUT, INPUT), _OUTSIDE)
    picture = Image.fromarray(image.numpy()).resize(inner, Image.Resampling.NEAREST)
    panel.paste(picture, tuple((INPUT - side) // 2 for side in inner))
    pen = ImageDraw.Draw(panel)
    for x, y in place(_DOTS):
        pen.rectangle((x - 0.5, y - 0.5, x + 0.5, y + 0.5), fill=_ORANGE)
    corners = place(_CORNERS)
    pen.line([*corners, corners[0]], fill=_ORANGE, width=2)
    pen.line(corners[:2], fill=_ORANGE, width=5)  # the output's top edge
    centre, right, bottom = place(_MIDDLES)
    for end, color in ((right, _FIRST), (bottom, _SECOND)):  # θ's columns
        pen.line([centre, end], fill="white", width=5)
        pen.line([centre, end], fill=color, width=3)
    for (x, y), radius in ((corners[0], 4), (centre, 5)):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_ORANGE)
    return panel
