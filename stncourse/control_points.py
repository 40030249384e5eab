"""The control-point playground: drag where a rubber sheet, or four corners, look on the input; the page warps live.

What it shows is a pure function, :func:`warp`; ``assets/control_points.js`` does the same in the browser.
"""

import functools
from importlib import resources
from typing import NamedTuple

import anywidget
import numpy as np
import torch
import traitlets

from stncourse import _check
from stncourse._shown import as_tensor
from stncourse.data import load_digits
from stncourse.grids import FAR, ProjectiveGrid, affine_theta, projective_theta
from stncourse.sampling import Sampler
from stncourse.splines import ThinPlateSplineGrid, lattice, spline_weights

#: Control points along each axis.
SIDES = {"tps": 4, "projective": 2}
#: How far out of the image a point can be dragged.
REACH = 1.5
_NET_LINES, _NET_POINTS = 7, 25  # the sheet as it is drawn: lines each way, points on a line


def _on_the_cpu(function):
    """What the function makes is made there, whatever ``torch.set_default_device`` says."""

    @functools.wraps(function)
    def there(*arguments, **keywords):
        with torch.device("cpu"):
            return function(*arguments, **keywords)

    return there


@_on_the_cpu
def home(family):
    """Where the control points lie on the output, and look at the identity: ``(K, 2)``, row by row."""
    side = SIDES[_check.choice("family", family, SIDES)]
    return lattice(side, side)


@_on_the_cpu
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


@_on_the_cpu
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
    image, points = _as_image("image", image), _as_points(points, len(home(family)))
    if family == "tps":
        generator, parameters = ThinPlateSplineGrid(SIDES["tps"]), points.reshape(1, -1)
    else:
        generator = ProjectiveGrid()
        parameters = generator.parameters_of(projective_theta(points[None]))
    grid = generator(parameters, tuple(image.shape))
    pixels = Sampler()(image[None, None].double(), grid)[0, 0].round().byte()
    return Warped(pixels, grid[0], words_for(family, points, grid[0]))


def _as_image(name, image):
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


@_on_the_cpu
def pictures_to_warp():
    """One shipped test digit of each class, and a checkerboard: a dict from a name to ``(H, W)`` raw uint8.

    >>> list(pictures_to_warp())[::5]
    ['a 0', 'a 5', 'checkerboard']
    """
    digits = load_digits("test", source="offline")
    rows, columns = torch.arange(28)[:, None] // 4, torch.arange(28) // 4
    board = 70 + 150 * ((rows + columns) % 2)
    first = {f"a {label}": digits.images[digits.labels == label][0, 0] for label in range(10)}
    return first | {"checkerboard": board.byte()}


def control_points_playground(pictures=None, family="tps", picture=0):
    """Drag control points and watch a picture warp, live: a thin-plate spline, or a projective transform by corners.

    Args:
        pictures: dict from a name to an image, ``(H, W)`` raw uint8, all of one size. Default: a checkerboard and
            digits.
        family: what to start with: ``"tps"`` or ``"projective"``.
        picture: the number of the picture to start with.

    Returns:
        ControlPointsPlayground: a widget that shows itself as the last value of a cell. ``.points`` is where the points
        are, ``.family`` and ``.picture`` what is chosen; each may be set. ``.warped`` is what it shows.

    Convention:
        As for :func:`stncourse.control_points.warp`: the points lie on the *input*, content moves against them.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> sheet = control_points_playground(family="projective")
    >>> sheet.points = presets("projective")["keystone"].tolist()
    >>> sheet.warped.words
    '2 of 4 corners look elsewhere, the furthest 0.54 away. Straight lines stay straight.'
    """
    pictures = pictures_to_warp() if pictures is None else pictures
    if not isinstance(pictures, dict) or not pictures:
        raise TypeError(f"pictures: expected a dict of images, at least one, got {_check.describe(pictures)}")
    images = [_as_image("pictures", image) for image in pictures.values()]
    for image in images:
        if image.shape != images[0].shape or min(image.shape) < 2:
            expected = "raw uint8 images, all of one size and of 2×2 at least"
            raise ValueError(f"pictures: expected {expected}, got {_check.describe(image)}")
    picture = _check.positive_int("picture", picture, minimum=0)
    if picture >= len(images):
        raise ValueError(f"picture: expected 0 to {len(images) - 1}, got {picture}")
    _check.choice("family", family, SIDES)
    return ControlPointsPlayground(torch.stack(images), list(map(str, pictures)), family, picture)


class _Whole(traitlets.Int):
    """A whole number in any of its forms."""

    def validate(self, owner, value):
        whole = _check.as_integer(value)
        return super().validate(owner, value if whole is None else whole)


class _Places(traitlets.List):
    """Pairs of numbers: a list of lists, a tensor or an array."""

    def validate(self, owner, value):
        return super().validate(owner, value.tolist() if isinstance(value, (torch.Tensor, np.ndarray)) else value)


class ControlPointsPlayground(anywidget.AnyWidget):
    """See :func:`control_points_playground`."""

    _esm = (resources.files("stncourse") / "assets" / "control_points.js").read_text(encoding="utf-8")
    family = traitlets.Enum(list(SIDES)).tag(sync=True)
    points = _Places(traitlets.List(traitlets.Float())).tag(sync=True)
    picture = _Whole().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)  #: all that does not change: names, sizes, homes, presets
    images = traitlets.Bytes().tag(sync=True)  #: grey levels
    base = traitlets.Bytes().tag(sync=True)  #: float32 (x, y): the pixel centres of the output, then the net's points
    weights = traitlets.Bytes().tag(sync=True)  #: float32: how far each of these follows each of the 16 control points

    @_on_the_cpu
    def __init__(self, images, names, family, picture):
        self._images = images
        height, width = images.shape[-2:]
        base = torch.cat([_centers(height, width), _net()])
        scene = {
            "names": names,
            "height": height,
            "width": width,
            "net": [2 * _NET_LINES, _NET_POINTS],
            "reach": REACH,
            "home": {name: home(name).tolist() for name in SIDES},
            "presets": {name: {key: value.tolist() for key, value in presets(name).items()} for name in SIDES},
        }
        super().__init__(
            family=family,
            points=home(family).tolist(),
            picture=picture,
            scene=scene,
            images=images.numpy().tobytes(),
            base=base.float().numpy().tobytes(),
            weights=spline_weights(base, home("tps")).float().numpy().tobytes(),
        )

    @traitlets.validate("points")
    def _points_fit(self, proposal):
        places = proposal["value"]
        count = len(home(self.family))
        if len(places) != count or any(len(place) != 2 or not all(abs(v) <= 1e6 for v in place) for place in places):
            raise traitlets.TraitError(
                f"points: expected {count} pairs (x, y) of numbers, got {_check.describe(places)}"
            )
        return places

    @traitlets.validate("picture")
    def _picture_fits(self, proposal):
        if not 0 <= proposal["value"] < len(self._images):
            raise traitlets.TraitError(f"picture: expected 0 to {len(self._images) - 1}, got {proposal['value']}")
        return proposal["value"]

    @traitlets.observe("family")
    def _another_family(self, change):
        if len(self.points) != len(home(self.family)):
            self.points = home(self.family).tolist()

    @property
    def warped(self):
        """What it shows now: :class:`Warped`. ValueError where no projective transform looks at these corners."""
        return warp(self._images[self.picture], self.family, self.points)


def _centers(height, width):
    grid = ProjectiveGrid()(ProjectiveGrid().identity()[None].double(), (height, width))
    return grid.reshape(-1, 2)


def _net():
    """Points along the lines of the sheet, first those across, then those down: ``(2 · lines · points, 2)``."""
    along, across = torch.linspace(-1, 1, _NET_POINTS).double(), torch.linspace(-1, 1, _NET_LINES).double()
    lines = torch.stack(torch.broadcast_tensors(along, across[:, None]), -1)
    return torch.cat([lines, lines.flip(-1)]).reshape(-1, 2)
