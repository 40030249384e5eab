"""A network that finds what its images have in common (Jaderberg et al. 2015, appendix A.2): encoder, frame, loss."""

import math
from importlib import resources
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse.data.digits import BACKGROUND, normalize
from stncourse.data.seeds import cpu_generator
from stncourse.networks.digits import DigitCNN
from stncourse.networks.weights import load_weights
from stncourse.transformer.families import AttentionGrid
from stncourse.transformer.localization import check_image_shape
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import SpatialTransformer

_CROP = 28  # what the encoder was trained on
SCALES = (0.25, 0.45)  #: of the frames, in parts of the image's side; a digit is 1/3
MARGIN = 1.0  #: α of the paper, where the features of a digit have length 1


class Encoder(nn.Module):
    """What a trained classifier makes of a crop: its hidden layer and its scores before the softmax, frozen.

    The features are divided by the root mean square length that they have for whole digits. Then a margin of 1 is a
    distance that a digit has from nothing, whatever the classifier.

    Args:
        classifier: a trained :class:`stncourse.DigitCNN` for 28×28 digits.
        digits: raw uint8 images ``(N, 1, 28, 28)``, by whose features the length is measured; None leaves it at 1.

    Convention:
        normalised crops ``(N, 1, 28, 28)`` -> features ``(N, 60)``.

    >>> Encoder(DigitCNN())(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 60])
    """

    def __init__(self, classifier, digits=None):
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(False)
        self.register_buffer("length", torch.ones(()))
        if digits is not None:
            with torch.no_grad():
                self.length = self(normalize(digits)).square().sum(1).mean().sqrt()

    def forward(self, crops):
        """``(N, 1, 28, 28)`` normalised crops -> ``(N, 60)`` features."""
        cnn = self.classifier
        x = F.relu(F.max_pool2d(cnn.conv1(crops), 2))
        x = F.relu(F.max_pool2d(cnn.conv2(x), 2))
        hidden = F.relu(cnn.fc1(x.flatten(1)))
        return torch.cat([hidden, cnn.fc2(hidden)], 1) / self.length


def load_encoder():
    """The encoder that ships with the course, made by :func:`stncourse.paper.colocalisation.make_encoder`.

    Returns:
        :class:`Encoder`; ``encoder.info`` (a dict) says how its classifier was trained and how well it does.
    """
    encoder = Encoder(DigitCNN(dropout=0.0))
    with resources.as_file(resources.files("stncourse") / "assets" / "colocalisation") as folder:
        encoder.info = load_weights(encoder, folder / "encoder.safetensors")
    return encoder


class HeatMapLocalization(nn.Module):
    """A localization network that marks places: two convolutions, a map of how much each place matters, its mean place.

    The same filters look everywhere, so that what was learned in one corner holds in all of them; and a frame can only
    go where something is seen: no bias sends all frames into an empty corner. Before any training it follows what is
    bright, so that most frames show some of the digit. From a start in the middle of the image some runs fail: too few
    do, and what the crops then agree on is background.

    Args:
        image_size: ``(H, W)``, one int for a square, or ``(N, C, H, W)``; at least 24.
        scales: ``(smallest, largest)`` that a frame can be.
        start: the scale it starts with.
        brightness: how much it counts at first; with 0 all frames start in the middle.

    Convention:
        normalised images ``(N, 1, H, W)`` -> the parameters ``(N, 3)``: s, tx, ty of :class:`stncourse.AttentionGrid`;
        θ maps output → input, (x, y) in [-1, 1], ``align_corners=False``.

    >>> HeatMapLocalization(84)(torch.zeros(2, 1, 84, 84)).shape
    torch.Size([2, 3])
    """

    def __init__(self, image_size, scales=SCALES, start=1 / 3, brightness=0.02):
        super().__init__()
        self.image_size = _check.image_size("image_size", image_size, minimum=_FIELD)
        self.scales = _checked_scales(scales, start)
        self.marks = nn.Sequential(nn.Conv2d(1, 8, 8, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 5), nn.ReLU())
        self.heat = nn.Conv2d(16, 1, 1)
        self.scale = nn.Linear(16, 1)
        share = (start - self.scales[0]) / (self.scales[1] - self.scales[0])
        nn.init.zeros_(self.scale.weight)
        nn.init.constant_(self.scale.bias, torch.logit(torch.tensor(share)).item())
        with torch.no_grad():  # no weight below 0: the map starts as a faint picture of where it is bright
            for convolution in (self.marks[0], self.marks[2]):
                convolution.weight.abs_()
        brightness = _check.number("brightness", brightness, "a number >= 0", lambda number: 0 <= number < math.inf)
        nn.init.constant_(self.heat.weight, brightness)
        for name, side in zip("yx", self.image_size, strict=True):
            self.register_buffer(name, _places(side), persistent=False)

    def heat_map(self, images):
        """``(N, 1, H, W)`` images -> marks ``(N, 16, h, w)`` and how much each place matters ``(N, h, w)``, sum 1."""
        check_image_shape(images, 1, self.image_size)
        marks = self.marks(images)
        return marks, self.heat(marks).flatten(1).softmax(1).reshape(len(marks), *marks.shape[-2:])

    def forward(self, images):
        """``(N, 1, H, W)`` images -> ``(N, 3)``: scale and place."""
        marks, heat = self.heat_map(images)
        x = (heat.sum(1) * self.x).sum(1, keepdim=True)
        y = (heat.sum(2) * self.y).sum(1, keepdim=True)
        low, high = self.scales
        seen = _FAINT * (marks * heat[:, None]).sum((2, 3))  # else the scale runs to an end in a few steps
        return torch.cat([low + (high - low) * torch.sigmoid(self.scale(seen)), x, y], 1)


_FAINT = 0.02  # how much what is seen counts for the scale
_STRIDE, _FIELD = 4, 24  # one place of the map from the next, and how much of the image it sees, in pixels


def _places(side):
    """The middles of what the places of the heat map see, in [-1, 1]."""
    count = (side - _FIELD) // _STRIDE + 1
    return (torch.arange(count) * _STRIDE + _FIELD / 2) / side * 2 - 1


def _checked_scales(scales, start):
    pair = _check.as_pair(scales)
    low, high = (None, None) if pair is None else map(_check.as_real, pair)
    if low is None or high is None or not 0 < low < high:
        raise ValueError(f"scales: expected (smallest, largest), both above 0, got {_check.describe(scales)}")
    _check.number("start", start, f"a scale between {low} and {high}", lambda scale: low < scale < high)
    return low, high


class Located(NamedTuple):
    """What a :class:`CoLocaliser` says of a batch."""

    found: torch.Tensor  #: (N, F), the features of the crop that the transformer chose
    random: torch.Tensor  #: (N, F), the features of a crop at a random place of the same image
    theta: torch.Tensor  #: (N, 2, 3), the frame, output → input


class CoLocaliser(nn.Module):
    """A spatial transformer that crops, and a frozen encoder that says what the crop, and a random one, look like.

    The random crop is as large as a digit, at a place drawn evenly from all where it lies inside. In train mode it is
    drawn from torch's own random numbers, as dropout is; in eval mode always alike.

    Args:
        encoder: :class:`Encoder`.
        image_size: ``(H, W)``, one int for a square, or ``(N, C, H, W)``.
        localization: images -> ``(N, 3)``; default: :class:`HeatMapLocalization`.

    Attributes:
        transformer: the :class:`stncourse.SpatialTransformer`, attention: a scale and a place.

    Convention:
        normalised images ``(N, 1, H, W)`` -> :class:`Located`.

    >>> CoLocaliser(Encoder(DigitCNN()), 84)(torch.zeros(2, 1, 84, 84)).found.shape
    torch.Size([2, 60])
    """

    def __init__(self, encoder, image_size, localization=None):
        super().__init__()
        self.encoder = encoder
        self.image_size = _check.image_size("image_size", image_size, minimum=_CROP)
        localization = HeatMapLocalization(image_size) if localization is None else localization
        sampler = Sampler(padding_value=BACKGROUND)
        self.transformer = SpatialTransformer(localization, AttentionGrid(), sampler, _CROP)

    def train(self, mode=True):
        """As ever, but the encoder stays as it was trained."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images):
        """``(N, 1, H, W)`` normalised images -> :class:`Located`."""
        crops = self.transformer.transform(images)
        with torch.no_grad():
            random = self.encoder(self._random_crops(images))
        return Located(self.encoder(crops.images), random, crops.theta)

    def _random_crops(self, images):
        """Squares of 28 pixels, whole ones, one of each image ``(N, 1, 28, 28)``."""
        generator = None if self.training else cpu_generator(0)
        height, width = (side - _CROP + 1 for side in self.image_size)
        top = torch.randint(height, (len(images), 1, 1), generator=generator, device="cpu").to(images.device)
        left = torch.randint(width, (len(images), 1, 1), generator=generator, device="cpu").to(images.device)
        along = torch.arange(_CROP, device=images.device)
        number = torch.arange(len(images), device=images.device)[:, None, None]
        return images[number, 0, top + along[:, None], left + along][:, None]


def triplet_hinge(found, random, margin=MARGIN, hold_others=True):
    """Two crops that the transformer chose are to be nearer to each other than to a random crop (the paper's A.2).

    The mean over all ordered pairs n ≠ m of the batch of max(0, ‖e_n - e_m‖² - ‖e_n - r_n‖² + α), with e the features
    of the chosen crops, r those of the random ones.

    Args:
        found: ``(N, F)``, e; at least two.
        random: ``(N, F)``, r: of a random crop of the same image.
        margin: α, at least 0.
        hold_others: let e_m stand still while e_n is drawn to it. The paper does not say so. Both terms pull at e_n
            then with the same strength; else what all crops share pulls twice as hard as what sets them apart from the
            rest of their image. What crops share most easily is background: there such runs ended, that started with
            frames that did not follow what is bright.

    Returns:
        scalar.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above.

    >>> triplet_hinge(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [1.5]]), margin=0.5)
    tensor(0.6250)
    """
    _check.tensor("found", found, "N F")
    _check.tensor("random", random, f"{len(found)} {found.shape[1]}")
    margin = _check.number("margin", margin, "a number >= 0", lambda number: number >= 0)
    if len(found) < 2:
        raise ValueError(f"found: expected the features of at least two images, got {_check.describe(found)}")
    others = found.detach() if _check.flag("hold_others", hold_others) else found
    near = (found[:, None] - others).square().sum(2)
    far = (found - random).square().sum(1, keepdim=True)
    pairs = ~torch.eye(len(found), dtype=torch.bool, device=found.device)
    return F.relu(near - far + margin)[pairs].mean()


def colocalisation_loss(output, labels):
    """:func:`triplet_hinge` of a :class:`Located`, for :func:`stncourse.fit`. It looks at no label."""
    return triplet_hinge(output.found, output.random)
