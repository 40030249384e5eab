"""Networks that read a row of digits: with one transformer in front, with four inside, and one that looks five times.

After Jaderberg et al. 2015, section 4.2 (the house numbers), and Sønderby et al. 2015 (the recurrent one), made small
enough for one CPU core.
"""

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse._precision import at_least_float32
from stncourse.data.digits import BACKGROUND
from stncourse.data.sequences import LONGEST, NONE
from stncourse.paper.networks import PRECISIONS
from stncourse.transformer.convolution import FirstConv2d
from stncourse.transformer.families import AffineGrid, AttentionGrid
from stncourse.transformer.localization import check_image_shape
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import SpatialTransformer, Transformed

SEQUENCE_MODELS = ("CNN", "ST-CNN Single", "ST-CNN Multi", "Recurrent")

_PASSED_ON = 64  # pixels on a side, at most, that a transformer in front passes on
_WIDTHS = (16, 32, 48, 64)  # channels of the four convolutions
_HIDDEN = 256
_LOOK = 24  # pixels on a side of what the recurrent one reads
_SMALLEST = 32  # pixels on a side, below which the convolutions leave nothing


class SequenceNetwork(nn.Module):
    """Reads rows of up to five digits from an image, by one classifier for each place in the row.

    - ``"CNN"``: four convolutions (5×5 to 16 channels, then 3×3 to 32, 48, 64), each with batch norm and pooling (not
      the last), a hidden linear layer, and five classifiers.
    - ``"ST-CNN Single"``: the same behind one transformer, whose localization network has two convolutions and two
      linear layers, as in the paper.
    - ``"ST-CNN Multi"``: the same with a transformer before each of the four convolutions, that is three of them on
      feature maps; each localization network has linear layers of 32 units only, as in the paper, on features that are
      averaged to 16×16 or 7×7.

    All transforms are affine and start at the identity. Outside an image lies background, outside a feature map 0. Of a
    larger image the first transformer passes on 64×64 pixels: it may look at a part of it with all of them.

    Args:
        name: one of ``stncourse.paper.sequence_networks.SEQUENCE_MODELS`` but ``"Recurrent"``.
        image_size: ``(H, W)``, or one int for a square; at least 32.
        channels: of the images.
        padding_value: what lies outside the image, after normalisation.
        dropout: probability, for the hidden layer.
        precision: ``"float32"``, or ``"bfloat16"``: convolutions and classifiers in it, under autocast, which is faster
            where the processor knows it. Localization networks, θ, grids and samplers are float32 always.

    Attributes:
        transformers: what stands before each of the four convolutions: a :class:`stncourse.SpatialTransformer`, or
            ``nn.Identity``.

    Convention:
        normalised images ``(N, C, H, W)`` -> log-probabilities ``(N, 5, 11)``, float32; class 10 is "no digit". θ maps
        output → input.

    Raises:
        TypeError, ValueError: an argument is not of the kind or size above; in ``forward``, images of another size.

    >>> SequenceNetwork("ST-CNN Multi")(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 5, 11])
    """

    def __init__(self, name, image_size=64, channels=1, padding_value=BACKGROUND, dropout=0.0, precision="float32"):
        super().__init__()
        self.name = _check.choice("name", name, SEQUENCE_MODELS[:3])
        self.image_size = size = _check.image_size("image_size", image_size, minimum=_SMALLEST)
        self.channels = _check.positive_int("channels", channels)
        self.precision = _check.choice("precision", precision, PRECISIONS)
        dropout = _check.probability("dropout", dropout)
        self.transformers, self.stages = nn.ModuleList(), nn.ModuleList()
        for number, width in enumerate(_WIDTHS):
            transformer = nn.Identity()
            if name == "ST-CNN Multi" or (name == "ST-CNN Single" and number == 0):
                localization = (_linear if name == "ST-CNN Multi" else _convolutional)(size, channels)
                size = tuple(min(side, _PASSED_ON) for side in size)
                transformer = _transformer(localization, 0.0 if number else padding_value, size)
            self.transformers.append(transformer)
            self.stages.append(_stage(number, channels, width))
            channels, size = width, _after(number, size)
        self.head = _head(channels * size[0] * size[1], LONGEST * (NONE + 1), dropout)

    def forward(self, images):
        """``(N, C, H, W)`` images -> log-probabilities ``(N, 5, 11)``."""
        features = self.features(images)
        with _in_bfloat16(self, features):
            scores = self.head(features)
        return F.log_softmax(at_least_float32(scores).unflatten(1, (LONGEST, NONE + 1)), dim=2)

    def features(self, images):
        """``(N, C, H, W)`` images -> what the last convolution makes of them, ``(N, 64, H', W')``."""
        return self._through(images)[0]

    def look(self, images):
        """``(N, C, H, W)`` images -> what each of the transformers did, a list of :class:`stncourse.Transformed`.

        The first one's ``images`` are images; the others' are feature maps, which their θ tell where to look.
        """
        return self._through(images)[1]

    def _through(self, images):
        """(What the last convolution gives, what each transformer did.)"""
        check_image_shape(images, self.channels, self.image_size)
        x, looks = images, []
        for transformer, stage in zip(self.transformers, self.stages, strict=True):
            if isinstance(transformer, SpatialTransformer):
                looks.append(transformer.transform(x.to(next(transformer.parameters()).dtype)))
                x = looks[-1].images
            with _in_bfloat16(self, x):
                x = stage(x)
        return x, looks

    @property
    def stn(self):
        """The transformer of ``"ST-CNN Single"``, the list of four of ``"ST-CNN Multi"``; None for ``"CNN"``."""
        return (
            None if self.name == "CNN" else self.transformers[0] if self.name == "ST-CNN Single" else self.transformers
        )


class RecurrentReader(nn.Module):
    """Reads a row of digits look by look: a recurrent transformer (Sønderby et al. 2015).

    Convolutions see the whole image once. A GRU is told what they saw, five times, and says each time where to look: an
    attention transform, zoom and place. What it looks at, 24×24 pixels, a small CNN reads: a digit, or "none". Nobody
    says where the digits are. But untrained it looks five times at half of the image, each time a little further to the
    right: with five looks that start alike it takes much longer until they part.

    Args:
        image_size, channels, padding_value, dropout, precision: as for :class:`SequenceNetwork`.

    Attributes:
        stn: the :class:`stncourse.SpatialTransformer`; its localization network is the convolutions and the GRU.
        classifier: reads one look.

    Convention: as for :class:`SequenceNetwork`.
    """

    def __init__(self, image_size=64, channels=1, padding_value=BACKGROUND, dropout=0.0, precision="float32"):
        super().__init__()
        self.image_size = _check.image_size("image_size", image_size, minimum=_SMALLEST)
        self.channels = _check.positive_int("channels", channels)
        self.precision = _check.choice("precision", precision, PRECISIONS)
        dropout = _check.probability("dropout", dropout)
        localization = _Looks(self.image_size, channels)
        sampler = Sampler(padding_value=padding_value)
        self.stn = SpatialTransformer(localization, AttentionGrid(), sampler, output_size=_LOOK)
        self.classifier = nn.Sequential(
            FirstConv2d(channels, 32, kernel_size=5),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=5),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            _head(64 * 3 * 3, NONE + 1, dropout, hidden=128),
        )

    def forward(self, images):
        """``(N, C, H, W)`` images -> log-probabilities ``(N, 5, 11)``."""
        looks = self.look(images).images
        with _in_bfloat16(self, looks):
            scores = self.classifier(looks.flatten(0, 1))
        return F.log_softmax(at_least_float32(scores).unflatten(0, (-1, LONGEST)), dim=2)

    def look(self, images):
        """``(N, C, H, W)`` images -> :class:`stncourse.Transformed`, of each the five looks: ``(N, 5, …)``."""
        check_image_shape(images, self.channels, self.image_size)
        looks = self.stn.transform(images.repeat_interleave(LONGEST, 0))
        return Transformed(*(part.unflatten(0, (-1, LONGEST)) for part in looks))


class _Looks(nn.Module):
    """Localization network of the recurrent one: each image five times -> the parameters of its five looks."""

    def __init__(self, size, channels, hidden=128):
        super().__init__()
        seen, features = _seen(size, channels)
        self.encoder = nn.Sequential(*seen, nn.Linear(features, 64), nn.ReLU())
        self.gru = nn.GRU(64, hidden, batch_first=True)
        self.last = nn.Linear(hidden, AttentionGrid.num_parameters, bias=False)
        nn.init.zeros_(self.last.weight)
        self.start = nn.Parameter(torch.tensor([[0.5, 0.3 * (k - LONGEST // 2), 0.0] for k in range(LONGEST)]))

    def forward(self, images):
        """``(5 N, C, H, W)`` images, each five times in a row -> ``(5 N, 3)``."""
        seen = self.encoder(images[::LONGEST])
        states, _ = self.gru(seen[:, None].expand(-1, LONGEST, -1))
        return (self.start + self.last(states)).flatten(0, 1)


def _in_bfloat16(network, x):
    """The context for layers that may be in bfloat16, if the network is to be."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=network.precision == "bfloat16")


def _stage(number, channels, width):
    first = FirstConv2d(channels, width, kernel_size=5) if number == 0 else nn.Conv2d(channels, width, 3, padding=1)
    pooling = [nn.MaxPool2d(2)] if number < 3 else []
    return nn.Sequential(first, *pooling, nn.BatchNorm2d(width), nn.ReLU())  # in this order: a quarter of the pixels


def _after(number, size):
    size = [side - 4 for side in size] if number == 0 else size
    return [side // 2 for side in size] if number < 3 else size


def _head(features, classes, dropout, hidden=_HIDDEN):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
    )


def _transformer(localization, padding_value, output_size):
    stn = SpatialTransformer(localization, AffineGrid(), Sampler(padding_value=padding_value), output_size)
    return to_identity(stn)


def to_identity(stn):
    """Set a transformer of a :class:`SequenceNetwork` so that everything passes it unchanged; returns it."""
    last = stn.localization[-1]
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(stn.grid_generator.identity())
    return stn


def _convolutional(size, channels):
    seen, features = _seen(size, channels)
    return nn.Sequential(*seen, nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, AffineGrid.num_parameters))


def _seen(size, channels):
    """Two convolutions over the whole image, shrunk to 32 pixels or so: the layers, and how many numbers they give."""
    shrink = max(2, min(size) // 32)
    height, width = (((side // shrink - 4) // 2 - 2) // 2 for side in size)
    layers = [nn.AvgPool2d(shrink), FirstConv2d(channels, 16, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, kernel_size=3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return layers, 32 * height * width


def _linear(size, channels):
    shrink = max(1, min(size) // (16 if channels <= 3 else 7))
    features = channels * (size[0] // shrink) * (size[1] // shrink)
    layers = [nn.AvgPool2d(shrink), nn.Flatten(), nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, AffineGrid.num_parameters))
