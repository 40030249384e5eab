"""The tutorial's network: a small digit classifier, alone and with a spatial transformer in front."""

import math
from collections.abc import Mapping

import torch.nn.functional as F
from torch import nn

from stncourse import _check
from stncourse.data.digits import BACKGROUND
from stncourse.transformer.convolution import FirstConv2d
from stncourse.transformer.localization import check_image_shape, pad_to
from stncourse.transformer.spatial_transformer import SpatialTransformer

# Below this a 5×5 convolution, a pooling, a 5×5 convolution and a pooling leave no pixel.
_MINIMUM_SIZE = 16


class DigitCNN(nn.Module):
    """The classic tutorial's classifier: two convolutions, two linear layers, log-probabilities.

    Args:
        image_size: ``(H, W)``, one int for a square, or ``(N, C, H, W)``, of which only H and W count. Smaller than 16
            is padded (by its edge pixels) up to 16.
        in_channels: channels of the images.
        num_classes: number of classes.
        dropout: probability, for both dropouts (the channels after the second convolution, the hidden layer).
        width: a factor on the 10 and 20 channels and the 50 hidden units, each rounded: for comparisons at a like
            number of parameters.

    Convention:
        normalised images ``(N, C, H, W)`` -> log-probabilities ``(N, num_classes)``.

    Raises:
        TypeError, ValueError: an argument is not of the kind or size above; in ``forward``, images of another size.

    >>> sum(p.numel() for p in DigitCNN().parameters())
    21840
    """

    def __init__(self, image_size=28, in_channels=1, num_classes=10, dropout=0.5, width=1.0):
        super().__init__()
        self.image_size = _check.image_size("image_size", image_size)
        self.in_channels = in_channels = _check.positive_int("in_channels", in_channels)
        rows, columns = (((max(size, _MINIMUM_SIZE) - 4) // 2 - 4) // 2 for size in self.image_size)
        width = _check.number("width", width, "a number > 0", lambda number: 0 < number < math.inf)
        dropout = _check.probability("dropout", dropout)
        first, second, hidden = (max(1, round(width * size)) for size in (10, 20, 50))
        self.conv1 = FirstConv2d(self.in_channels, first, kernel_size=5)
        self.conv2 = nn.Conv2d(first, second, kernel_size=5)
        self.conv2_drop = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(second * rows * columns, hidden)
        self.fc1_drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, _check.positive_int("num_classes", num_classes))

    def forward(self, images):
        """``(N, C, H, W)`` images -> log-probabilities ``(N, num_classes)``."""
        check_image_shape(images, self.in_channels, self.image_size)
        x = F.relu(F.max_pool2d(self.conv1(pad_to(images, _MINIMUM_SIZE)), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = self.fc1_drop(F.relu(self.fc1(x.flatten(1))))
        return F.log_softmax(self.fc2(x), dim=1)


class STNClassifier(nn.Module):
    """The classic tutorial's network: a spatial transformer looks, a small CNN classifies. 27,360 parameters at 28×28.

    Unlike the tutorial's it takes any image size and channel count, and pads with background.

    Args:
        image_size: ``(H, W)``, one int for a square, or ``(N, C, H, W)``, of which only H and W count.
        in_channels: channels of the images.
        num_classes: number of classes.
        output_size: what the transformer hands to the CNN; default: ``image_size``.
        padding_value: what lies outside the image, *after normalisation*. Default: MNIST's background, -0.4242.
        dropout: of the CNN.

    Attributes:
        stn: the :class:`stncourse.SpatialTransformer`.
        classifier: the :class:`DigitCNN`.

    Convention:
        normalised images ``(N, C, H, W)`` -> log-probabilities ``(N, num_classes)``. θ, in
        ``model.stn.transform(x)``, maps output → input.

    Raises:
        TypeError, ValueError: as for :class:`DigitCNN`.

    >>> sum(p.numel() for p in STNClassifier().parameters())
    27360
    """

    def __init__(
        self, image_size=28, in_channels=1, num_classes=10, output_size=None, padding_value=BACKGROUND, dropout=0.5
    ):
        super().__init__()
        image_size = _check.image_size("image_size", image_size)
        self.stn = SpatialTransformer.for_images(
            image_size, in_channels, output_size=output_size, padding_value=padding_value
        )
        seen = image_size if output_size is None else output_size
        self.classifier = DigitCNN(seen, in_channels, num_classes, dropout)

    def forward(self, images):
        """``(N, C, H, W)`` images -> log-probabilities ``(N, num_classes)``."""
        return self.classifier(self.stn(images))

    def load_tutorial_state_dict(self, state_dict):
        """Take over the weights of the classic tutorial's ``Net``, and its padding.

        The tutorial pads with 0 after normalisation, so the padding value becomes 0 and the outputs are the tutorial's.

        Args:
            state_dict: ``Net().state_dict()``, with the keys ``localization.0.weight`` … ``fc2.bias``.

        Raises:
            TypeError: not a mapping. ValueError: a key is missing or unknown, or a shape differs; nothing is changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: expected the tutorial's state dict, got {_check.describe(state_dict)}")
        own = self.state_dict()
        names = {_tutorial_key(key): key for key in own}
        if missing := names.keys() - state_dict.keys():
            raise ValueError(f"state_dict: expected the tutorial's keys, {sorted(missing)[0]!r} is missing")
        if unknown := state_dict.keys() - names.keys():
            raise ValueError(f"state_dict: expected the tutorial's keys, got the unknown key {sorted(unknown)[0]!r}")
        for key, value in state_dict.items():
            _check.tensor(f"state_dict[{key!r}]", value, " ".join(map(str, own[names[key]].shape)))
        self.load_state_dict({names[key]: value for key, value in state_dict.items()})
        self.stn.sampler.padding_value = 0.0


def _tutorial_key(key):
    """``stn.localization.fc_loc.0.weight`` -> ``fc_loc.0.weight``; ``classifier.conv1.bias`` -> ``conv1.bias``."""
    return key.removeprefix("stn.localization.").removeprefix("classifier.")
