"""The networks of the paper's table 1, about 400,000 parameters each (Jaderberg et al. 2015, section 4.1)."""

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse.data.digits import BACKGROUND
from stncourse.transformer.convolution import FirstConv2d
from stncourse.transformer.localization import check_image_shape
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import FAMILIES, SpatialTransformer

#: name in the table -> (with convolutions?, family of transforms or None)
PAPER_MODELS = {
    "FCN": (False, None),
    "CNN": (True, None),
    "ST-FCN Aff": (False, "affine"),
    "ST-FCN Proj": (False, "projective"),
    "ST-FCN TPS": (False, "tps"),
    "ST-CNN Aff": (True, "affine"),
    "ST-CNN Proj": (True, "projective"),
    "ST-CNN TPS": (True, "tps"),
}
PRECISIONS = ("float32", "bfloat16")

_PARAMETERS = 400_000
_DIGIT = 28
# Below this the localization network's half resolution, 5×5 convolution, pooling and 5×5 convolution leave no pixel.
_MINIMUM_SIZE = 28


class PaperNetwork(nn.Module):
    """One of the networks of the paper's table: a classifier, with or without a spatial transformer in front.

    - Convolutional: 9×9 convolution to 32 channels, pooling, 7×7 to 64, pooling, a hidden linear layer, 10 classes.
    - Fully connected: two hidden linear layers.
    - The transformer of an ST-CNN: the input at half the resolution, two 5×5 convolutions to 20 channels with a pooling
      between, a linear layer to 20. Of an ST-FCN: three linear layers to 32.
    - Images larger than a digit (RTS, TC): the transformer's output is 56×56, averaged ×2 to 28×28 before the
      classifier, so that shrinking does not alias.

    The hidden layers are as wide as it takes to have 400,000 parameters in all. The paper gives that number, and the
    kinds and sizes of the layers; how it fills up the number is not known, this is our way.

    Args:
        name: one of ``stncourse.paper.networks.PAPER_MODELS``.
        image_size: ``(H, W)``, or one int for a square; convolutions need at least 28.
        dropout: probability, for the hidden layers of the classifier.
        precision: ``"float32"``, or ``"bfloat16"``: the classifier's layers in it, under autocast, which is faster
            where the processor knows it. θ, grid and sampler are float32 always.

    Attributes:
        stn: the :class:`stncourse.SpatialTransformer`, or None.
        classifier: the rest.

    Convention:
        normalised images ``(N, 1, H, W)`` -> log-probabilities ``(N, 10)``, float32. θ, in ``model.stn.transform(x)``,
        maps output → input; outside the image lies background.

    Raises:
        TypeError, ValueError: an argument is not of the kind or size above; in ``forward``, images of another size.

    >>> sum(p.numel() for p in PaperNetwork("ST-CNN Aff", 42).parameters())
    399952
    """

    def __init__(self, name, image_size=_DIGIT, dropout=0.3, precision="float32"):
        super().__init__()
        convolutional, family = PAPER_MODELS[_check.choice("name", name, PAPER_MODELS)]
        minimum = _MINIMUM_SIZE if convolutional else 1
        self.image_size = _check.image_size("image_size", image_size, minimum=minimum)
        self.precision = _check.choice("precision", precision, PRECISIONS)
        dropout = _check.probability("dropout", dropout)
        seen, budget = self.image_size, _PARAMETERS
        self.stn, self.average = None, False
        if family:
            self.average = max(seen) > _DIGIT
            seen = (_DIGIT, _DIGIT) if self.average else seen
            output_size = tuple(2 * side for side in seen) if self.average else None
            self.stn = _transformer(self.image_size, convolutional, family, output_size)
            budget -= sum(p.numel() for p in self.stn.parameters())
        self.classifier = (_convolutional if convolutional else _fully_connected)(seen, budget, dropout)

    def forward(self, images):
        """``(N, 1, H, W)`` images -> log-probabilities ``(N, 10)``."""
        check_image_shape(images, 1, self.image_size)
        x = images if self.stn is None else self.stn(images)
        if self.average:
            x = F.avg_pool2d(x, 2)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            x = self.classifier(x)
        return F.log_softmax(x.float(), dim=1)


class _ChannelsLast(nn.Module):
    """The same numbers in another order in memory: on a CPU what follows is faster so, pooling several times."""

    def forward(self, x):
        return x.contiguous(memory_format=torch.channels_last)


def enough_for(size, hidden):
    """How many hidden units the parameters that are left are enough for: one at least."""
    if round(hidden) < 1:
        raise ValueError(
            f"image_size: expected images that {_PARAMETERS:,} parameters are enough for, got {size[0]}×{size[1]}"
        )
    return round(hidden)


def _convolutional(size, budget, dropout):
    height, width = (((side - 8) // 2 - 6) // 2 for side in size)
    features = 64 * height * width
    convolutions = [
        FirstConv2d(1, 32, kernel_size=9),
        _ChannelsLast(),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=7),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
    ]
    rest = budget - sum(p.numel() for layer in convolutions for p in layer.parameters()) - 10
    hidden = enough_for(size, rest / (features + 11))
    return nn.Sequential(
        *convolutions,
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, 10),
    )


def _fully_connected(size, budget, dropout):
    pixels = size[0] * size[1]
    # h² + (pixels + 12) h + 10 parameters for two hidden layers of h.
    half = (pixels + 12) / 2
    hidden = enough_for(size, max(half**2 + budget - 10, 0) ** 0.5 - half)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, 10),
    )


def _transformer(size, convolutional, family, output_size):
    generator = FAMILIES[family]()
    if convolutional:
        height, width = (((side // 2 - 4) // 2) - 4 for side in size)
        layers = [
            nn.AvgPool2d(2),
            FirstConv2d(1, 20, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(20, 20, kernel_size=5),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * height * width, 20),
            nn.ReLU(),
            nn.Linear(20, generator.num_parameters),
        ]
    else:
        layers = [nn.Flatten(), nn.Linear(size[0] * size[1], 32), nn.ReLU()]
        layers += [nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
        layers += [nn.Linear(32, generator.num_parameters)]
    # At first every image passes unchanged.
    nn.init.zeros_(layers[-1].weight)
    with torch.no_grad():
        layers[-1].bias.copy_(generator.identity())
    sampler = Sampler(padding_value=BACKGROUND)
    return SpatialTransformer(nn.Sequential(*layers), generator, sampler, output_size)
