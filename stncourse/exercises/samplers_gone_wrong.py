"""Samplers that go wrong, each in one of the ways that students meet: what ``tasks/04_sampler`` recognises.

Of one colour, at (x, y) in pixels, and of a whole grid on the ruler from −1 to 1.
"""

import math

import torch


def color_of_all(image, x, y):
    """All pixels, those without weight too."""
    rows = (1 - (y - torch.arange(image.shape[0])).abs()).clamp(min=0)
    columns = (1 - (x - torch.arange(image.shape[1])).abs()).clamp(min=0)
    return (image * rows[:, None] * columns).sum().item()


def color_of_four(floor=math.floor, pick=None, weigh=lambda left, x: (left + 1 - x, x - left)):
    """Four neighbours, in one of the ways that go wrong.

    Args:
        floor: x -> the left neighbour's column.
        pick: (image, row, column) -> colour; None: 0 outside.
        weigh: (left neighbour, x) -> the weights of the left and the right one.
    """

    def zero_outside(image, n, m):
        return image[n, m] if 0 <= m < image.shape[1] and 0 <= n < image.shape[0] else 0.0

    def color(image, x, y):
        left, top = floor(x), floor(y)
        total = 0.0
        for m, weight_x in zip((left, left + 1), weigh(left, x), strict=True):
            for n, weight_y in zip((top, top + 1), weigh(top, y), strict=True):
                total += float((pick or zero_outside)(image, n, m)) * weight_x * weight_y
        return total

    return color


def color_of_floor_and_ceil(image, x, y):
    """On a pixel's centre both are the same pixel, and it is counted twice."""
    height, width = image.shape
    total = 0.0
    for m in (math.floor(x), math.ceil(x)):
        for n in (math.floor(y), math.ceil(y)):
            if 0 <= m < width and 0 <= n < height:
                total += image[n, m].item() * (1 - abs(x - m)) * (1 - abs(y - n))
    return total


def last_for_minus_1(image, n, m):
    """An index below 0 counts from the end, and what cannot be read is 0."""
    try:
        return image[n, m]
    except IndexError:
        return 0.0


def clamped_before_weighed(image, x, y):
    """The neighbours are moved inside first, and weighed by where they are then: both may be the same."""
    height, width = image.shape
    m0, n0 = math.floor(x), math.floor(y)
    m0, m1 = (min(max(m, 0), width - 1) for m in (m0, m0 + 1))
    n0, n1 = (min(max(n, 0), height - 1) for n in (n0, n0 + 1))
    return sum(
        image[n, m].item() * weight_x * weight_y
        for m, weight_x in ((m0, m1 - x), (m1, x - m0))
        for n, weight_y in ((n0, n1 - y), (n1, y - n0))
    )


def only_inside(right):
    """0 outside of the outer centres, where one pixel alone would fade out."""

    def color(image, x, y):
        inside = 0 <= x <= image.shape[1] - 1 and 0 <= y <= image.shape[0] - 1
        return right(image, x, y) if inside else 0.0

    return color


def sample_by_four(floor=torch.floor, outside="zero", far=False):
    """By four neighbours, in one of the ways that go wrong.

    Args:
        floor: x in pixels -> the left neighbour.
        outside: "zero"; "read": an index of −1 is the last, and further out is an error; "wrap".
        far: a neighbour is weighed by its distance.
    """

    def sample(images, grid):
        count, _, height, width = images.shape
        x, y = ((grid[..., i] + 1) * side / 2 - 0.5 for i, side in ((0, width), (1, height)))
        left, top = floor(x), floor(y)
        image = torch.arange(count).view(-1, 1, 1)
        total = 0
        for m, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
            for n, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
                inside = (m >= 0) & (m < width) & (n >= 0) & (n < height)
                column, row = m.long(), n.long()
                if outside == "zero":
                    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
                elif outside == "wrap":
                    column, row = column % width, row % height
                weight = (1 - weight_x) * (1 - weight_y) if far else weight_x * weight_y
                weight = weight * inside if outside == "zero" else weight
                total = total + images[image, :, row, column] * weight[..., None]
        return total.permute(0, 3, 1, 2)

    return sample


def places_off_the_image(limit):
    """Where x or y is beyond ``limit(side)``, as (N, 1, H_out, W_out)."""

    def off(images, grid):
        return (grid.abs() > limit(sides_of(images))).any(-1)[:, None]

    return off


def blank(off):
    """Places that are off the image are 0, all of them."""
    return lambda right: lambda images, grid, **options: right(images, grid, **options) * ~off(images, grid)


def sides_of(images):
    """(width, height), as the grid has them."""
    return torch.tensor(images.shape[:1:-1], dtype=images.dtype)
