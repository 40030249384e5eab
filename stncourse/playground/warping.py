"""What the control-point playground shows, as a pure function: (picture, points) -> picture."""

import functools
from typing import NamedTuple

import torch

from stncourse import _check
from stncourse.figures.shown import as_tensor
from stncourse.transformer.families import ProjectiveGrid
from stncourse.transformer.grids import FAR
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.splines import ThinPlateSplineGrid, lattice
from stncourse.transformer.theta import affine_theta, projective_theta

#: Control points along each axis.
SIDES = {"tps": 4, "projective": 2}
#: How far out of the image a point can be dragged.
REACH = 1.5


def on_the_cpu(function):
    """What the function makes is made there, whatever ``torch.set_default_device`` says."""

    @functools.wraps(function)
    def there(*arguments, **keywords):
        with torch.device("cpu"):
            return function(*arguments, **keywords)

    return there


@on_the_cpu
def home(family):
    """Where the control points lie on the output, and look at the identity: ``(K, 2)``, row by row."""
    side = SIDES[_check.choice("family", family, SIDES)]
    return lattice(side, side)


@on_the_cpu
def presets(family):
    """Ready-made places for the control points: a dict from a name to ``(K, 2)``.

    >>> list(presets("projective"))
    ['identity', 'turn', 'keystone', 'horizon']
    """
    still = home(family)
    x, y = still.unbind(-1)
    turned = still @ affine_theta(rotation=30)[0, :, :2].T
    if family == "projective":
        keystone = still.new_tensor([[-0.5, -0.8], [0.5, -0.8], [-1.0, 1.0], [1.0, 1.0]])
        horizon = still.new_tensor(
            [[1.4, 1.4], [1.0, -1.0], [-1.0, 1.0], [0.4, 0.4]]
        )  # top left drawn past bottom right
        return {"identity": still, "turn": turned, "keystone": keystone, "horizon": horizon}
    inner = (still.abs() < 1).all(-1, keepdim=True)
    return {
        "identity": still,
        "turn": turned,
        "bend": torch.stack([x, y + 0.4 * (x**2 - 0.5)], -1),
        "bulge": torch.where(inner, 0.35 * still, still),
        "fold": torch.where(inner, still * still.new_tensor([-1.5, 1.0]), still),
    }


class Warped(NamedTuple):
    """What :func:`warp` made."""

    pixels: torch.Tensor  #: (H, W) uint8
    grid: torch.Tensor  #: (H, W, 2), where each output pixel looked, (x, y) in [-1, 1]
    words: str  #: what is going on, as a sentence or two


@on_the_cpu
def warp(image, family, points):
    """Sample one image through control points.

    Args:
        image: ``(H, W)`` raw uint8, a tensor or a NumPy array.
        family: ``"tps"``, a thin-plate spline with 4×4 points, or ``"projective"``, with the 4 corners.
        points: ``(K, 2)`` numbers, where on the input each control point looks, row by row.

    Returns:
        :class:`Warped`.

    Convention:
        The points are places on the *input* (x right, y down, corners of the image at ±1), so the content moves against
        them. Outside the image is 0.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or no projective transform looks at these corners.

    >>> warp(torch.zeros(28, 28, dtype=torch.uint8), "tps", home("tps")).words
    'Every control point looks at its own place: the picture comes out unchanged.'
    """
    image, points = as_image("image", image), _as_points(points, len(home(family)))
    if family == "tps":
        generator, parameters = ThinPlateSplineGrid(SIDES["tps"]), points.reshape(1, -1)
    else:
        generator = ProjectiveGrid()
        parameters = generator.parameters_of(projective_theta(points[None]))
    grid = generator(parameters, tuple(image.shape))
    pixels = Sampler()(image[None, None].double(), grid)[0, 0].round().byte()
    return Warped(pixels, grid[0], words_for(family, points, grid[0]))


def as_image(name, image):
    """``(H, W)`` raw uint8, on the CPU."""
    image = as_tensor(name, image)
    _check.tensor(name, image, "H W", floating=False)
    if image.dtype != torch.uint8 or image.is_meta or 0 in image.shape:
        raise ValueError(f"{name}: expected a raw uint8 image, got {_check.describe(image)} on {image.device}")
    return image.cpu()


def _as_points(points, count):
    """``(count, 2)`` finite float64."""
    try:
        places = torch.as_tensor(points, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise TypeError(f"points: expected {count} pairs (x, y), got {_check.describe(points)}") from error
    if places.shape != (count, 2) or not places.isfinite().all():
        raise ValueError(f"points: expected {count} pairs (x, y) of finite numbers, got {_check.describe(points)}")
    return places


def mirrored(grid):
    """Which cells between four neighbouring points of a grid come out mirrored: where a sheet has folded over.

    Args:
        grid: ``(H, W, 2)``.

    Returns:
        ``(H - 1, W - 1)`` bool. Cells that touch the horizon are not counted.
    """
    height, width = grid.shape[:2]
    right, down = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    far = (grid == FAR).any(-1)
    seen = ~(far[:-1, :-1] | far[:-1, 1:] | far[1:, :-1])
    return seen & (area < -1e-3 * 4 / (height * width))  # of a cell that is not warped


def words_for(family, points, grid):
    """What control points do, as a sentence or two."""
    away = (points - home(family)).norm(dim=-1)
    name = "control point" if family == "tps" else "corner"
    if away.max() < 0.005:
        return f"Every {name} looks at its own place: the picture comes out unchanged."
    count = int((away >= 0.005).sum())
    verb = "looks" if count == 1 else "look"
    parts = [f"{count} of {len(points)} {name}s {verb} elsewhere, the furthest {away.max():.2f} away."]
    folded, beyond = mirrored(grid).double().mean().item(), (grid == FAR).all(-1).double().mean().item()
    if beyond:
        parts.append(f"The horizon runs through the output: {_percent(beyond)} % of it lies behind, and is background.")
    if folded:
        parts.append(f"{_percent(folded)} % of the output is mirrored{': the sheet folds' if family == 'tps' else ''}.")
    if not folded and not beyond:
        parts.append("The sheet does not fold." if family == "tps" else "Straight lines stay straight.")
    return " ".join(parts)


def _percent(fraction):
    return max(1, round(100 * fraction))
