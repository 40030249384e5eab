"""The control-point playground: drag where a rubber sheet, or four corners, look on the input; the page warps live.

What it shows is a pure function, :func:`stncourse.playground.warping.warp`; ``sheet.js`` does the same in the browser.
"""

import numpy as np
import torch
import traitlets

from stncourse import _check
from stncourse.browser.scripts import joined
from stncourse.browser.spoken import SpokenWidget
from stncourse.data.mnist import load_digits
from stncourse.playground.warping import REACH, SIDES, as_image, home, on_the_cpu, presets, warp
from stncourse.transformer.families import ProjectiveGrid
from stncourse.transformer.splines import spline_weights

_NET_LINES, _NET_POINTS = 7, 25  # the sheet as it is drawn: lines each way, points on a line


@on_the_cpu
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
        As for :func:`stncourse.playground.warping.warp`: the points lie on the *input*, content moves against them.

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
    images = [as_image("pictures", image) for image in pictures.values()]
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


class ControlPointsPlayground(SpokenWidget):
    """See :func:`control_points_playground`."""

    _esm = joined("playground/sheet.js")
    family = traitlets.Enum(list(SIDES)).tag(sync=True)
    points = _Places(traitlets.List(traitlets.Float())).tag(sync=True)
    picture = _Whole().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)  #: all that does not change: names, sizes, homes, presets
    images = traitlets.Bytes().tag(sync=True)  #: grey levels
    base = traitlets.Bytes().tag(sync=True)  #: float32 (x, y): the pixel centres of the output, then the net's points
    weights = traitlets.Bytes().tag(sync=True)  #: float32: how far each of these follows each of the 16 control points

    @on_the_cpu
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
