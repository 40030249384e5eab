"""The playground's picture as the kernel draws it."""

import io

import torch
from PIL import Image, ImageDraw

PANEL = 224  #: pixels of one panel's side on the page
MARGIN = 0.25  #: of the input's side, shown around it, to see a frame that leaves the image
_GREY, _ORANGE = (200, 200, 200), (255, 159, 28)
# Of the output, in [-1, 1], as columns (x, y, 1) that θ takes.
_CORNERS = ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))
_DOTS = tuple((x / 10, y / 10, 1) for y in range(-9, 10, 2) for x in range(-9, 10, 2))


def draw(images, theta, pixels):
    """One row per digit: the input with the frame that θ ``(2, 3)`` looks through, and the output. PNG bytes."""
    sheet = Image.new("RGB", (2 * PANEL + 16, len(images) * (PANEL + 8) - 8), "white")
    for row, (image, out) in enumerate(zip(images, pixels, strict=True)):
        top = row * (PANEL + 8)
        sheet.paste(_input_panel(image[0], theta), (0, top))
        panel = Image.fromarray(out[0].numpy()).resize((PANEL, PANEL), Image.Resampling.NEAREST)
        sheet.paste(panel, (PANEL + 16, top))
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
    height, width = size
    grey = torch.frombuffer(bytearray(picture.convert("L").tobytes()), dtype=torch.uint8)
    grey = grey.reshape(picture.height, picture.width)
    ys = row * (PANEL + 8) + ((torch.arange(height) + 0.5) * PANEL / height).long()
    xs = PANEL + 16 + ((torch.arange(width) + 0.5) * PANEL / width).long()
    return grey[ys][:, xs]


def _input_panel(image, theta):
    height, width = image.shape
    zoom = PANEL / (1 + 2 * MARGIN) / max(height, width)
    inner = (round(width * zoom), round(height * zoom))
    panel = Image.new("RGB", (PANEL, PANEL), _GREY)
    left, top = ((PANEL - side) // 2 for side in inner)
    panel.paste(Image.fromarray(image.numpy()).resize(inner, Image.Resampling.NEAREST), (left, top))
    pen = ImageDraw.Draw(panel)

    def place(points):
        """[-1, 1] coordinates of the output -> pixels of the panel, kept where a pen can draw."""
        x, y = (theta.new_tensor(points) @ theta.T).clamp(-50, 50).T
        return list(zip(((x + 1) / 2 * inner[0] + left).tolist(), ((y + 1) / 2 * inner[1] + top).tolist(), strict=True))

    for x, y in place(_DOTS):
        pen.rectangle((x - 0.5, y - 0.5, x + 0.5, y + 0.5), fill=_ORANGE)
    corners = place(_CORNERS)
    pen.line([*corners, corners[0]], fill=_ORANGE, width=2)
    pen.line(corners[:2], fill=_ORANGE, width=5)  # the output's top edge
    x, y = corners[0]
    pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_ORANGE)
    return panel
