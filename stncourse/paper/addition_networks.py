"""The networks that add two digits: with no spatial transformer, with one, with two (the paper's appendix A.1)."""

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse.data.digits import BACKGROUND
from stncourse.paper.networks import PRECISIONS, enough_for
from stncourse.transformer.localization import check_image_shape
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import FAMILIES, SpatialTransformer

#: name in the table -> (with convolutions?, how many transformers)
ADDITION_MODELS = {"FCN": (False, 0), "CNN": (True, 0), "ST-FCN": (False, 1), "2xST-FCN": (False, 2)}

_CHANNELS, _SUMS, _PARAMETERS = 2, 19, 400_000
_DIGIT = 28
_MINIMUM_SIZE = 26  # below, the localization network's layers leave no pixel


class AdditionNetwork(nn.Module):
    """One of the networks for two digits in two channels, of which only the sum is told.

    - Convolutional: 9×9 convolution to 32 channels, pooling, 7×7 to 64, pooling, a hidden linear layer, 19 sums.
    - Fully connected: two hidden linear layers.
    - A transformer sees both channels and warps both, to 28×28. Two of them look independently, and their outputs are
      concatenated to four channels. A localization network: the input at half the resolution, two 5×5 convolutions to
      16 channels, each at every second place, a linear layer to 32. (That is half the work of convolutions at every
      place with a pooling between.)

    Before every ReLU the features are normalised over the batch (BatchNorm): the networks without it that were tried
    hardly began to learn in four epochs (``benchmarks/RESULTS.md``). The hidden layers are as wide as it takes to have
    400,000 parameters in all, as the networks of the paper's table 1 have. Layers and sizes are ours.

    Args:
        name: one of ``stncourse.paper.addition_networks.ADDITION_MODELS``.
        image_size: ``(H, W)``, or one int for a square; at least 26, but for the plain FCN.
        family: of the transforms, by its name in :meth:`stncourse.SpatialTransformer.for_images`.
        dropout: probability, for the hidden layers of the classifier.
        precision: as for :class:`stncourse.PaperNetwork`: of the classifier's layers.

    Attributes:
        stn: a ``ModuleList`` of :class:`stncourse.SpatialTransformer`, or None.
        classifier: the rest.

    Convention:
        normalised images ``(N, 2, H, W)`` -> log-probabilities ``(N, 19)`` of the sums 0 to 18, float32. θ maps output
        → input; outside the image lies background.

    Raises:
        TypeError, ValueError: an argument is not of the kind or size above; in ``forward``, images of another size.

    >>> AdditionNetwork("2xST-FCN", 42)(torch.zeros(5, 2, 42, 42)).shape
    torch.Size([5, 19])
    """

    def __init__(self, name, image_size, family="similarity", dropout=0.0, precision="float32"):
        super().__init__()
        convolutional, count = ADDITION_MODELS[_check.choice("name", name, ADDITION_MODELS)]
        minimum = _MINIMUM_SIZE if convolutional or count else 1
        self.image_size = _check.image_size("image_size", image_size, minimum=minimum)
        _check.choice("family", family, FAMILIES)
        self.precision = _check.choice("precision", precision, PRECISIONS)
        dropout = _check.probability("dropout", dropout)
        self.stn = nn.ModuleList(_transformer(self.image_size, family) for _ in range(count)) if count else None
        budget = _PARAMETERS - sum(p.numel() for p in self.parameters())
        seen = (_DIGIT, _DIGIT) if count else self.image_size
        classifier = _convolutional if convolutional else _fully_connected
        self.classifier = classifier(_CHANNELS * max(1, count), seen, budget, dropout)

    def forward(self, images):
        """``(N, 2, H, W)`` images -> log-probabilities ``(N, 19)``."""
        check_image_shape(images, _CHANNELS, self.image_size)
        x = images
        if self.stn is not None:
            x = torch.cat([stn(images) for stn in self.stn], 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            x = self.classifier(x)
        return F.log_softmax(x.float(), dim=1)


class _ChannelsLast(nn.Module):
    """The same numbers in another order in memory: on a CPU what follows is faster so."""

    def forward(self, x):
        return x.contiguous(memory_format=torch.channels_last)


def _convolutional(channels, size, budget, dropout):
    height, width = (((side - 8) // 2 - 6) // 2 for side in size)
    features = 64 * height * width
    convolutions = [
        _ChannelsLast(),
        nn.Conv2d(channels, 32, kernel_size=9),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=7),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Flatten(),
    ]
    rest = budget - sum(p.numel() for layer in convolutions for p in layer.parameters()) - _SUMS
    hidden = enough_for(size, rest / (features + 3 + _SUMS))
    return nn.Sequential(
        *convolutions,
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, _SUMS),
    )


def _fully_connected(channels, size, budget, dropout):
    pixels = channels * size[0] * size[1]
    # h² + (pixels + 6 + sums) h + sums parameters for two hidden layers of h, each with its BatchNorm.
    half = (pixels + 6 + _SUMS) / 2
    hidden = enough_for(size, max(half**2 + budget - _SUMS, 0) ** 0.5 - half)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, _SUMS),
    )


def _transformer(size, family):
    generator = FAMILIES[family](size=size) if family == "similarity" else FAMILIES[family]()
    height, width = (((side // 2 - 3) // 2 - 3) // 2 for side in size)
    localization = nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(_CHANNELS, 16, kernel_size=5, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, kernel_size=5, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * height * width, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, generator.num_parameters),
    )
    # At first every image passes unchanged.
    nn.init.zeros_(localization[-1].weight)
    with torch.no_grad():
        localization[-1].bias.copy_(generator.identity())
    return SpatialTransformer(localization, generator, Sampler(padding_value=BACKGROUND), _DIGIT)
