"""Localization network: image -> the parameters of a transform (Jaderberg et al. 2015, section 3.1)."""

import contextlib
import itertools
import threading

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from stncourse import _check
from stncourse._precision import HALF, at_least_float32, without_autocast
from stncourse.transformer.convolution import FirstConv2d

# Below this a 7×7 convolution, a pooling, a 5×5 convolution and a pooling leave no pixel.
_MINIMUM_SIZE = 18
_SWAPPING = threading.RLock()
_AFFINE_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class LocalizationNetwork(nn.Module):
    """The classic tutorial's localization network, for any image size: two convolutions, two linear layers, θ.

    It starts at the identity: the last layer's weights are 0 and its bias is the identity transform, so that before
    any training every image passes through unchanged. Both are needed: random weights would drown the bias.

    Args:
        image_size: ``(H, W)``, one int for a square, or ``(N, C, H, W)``, of which only H and W count. Smaller than 18
            is padded (by its edge pixels) up to 18.
        in_channels: channels of the images.
        num_parameters: how many numbers the grid generator wants; 6 for affine.
        hidden: width of the first linear layer.
        identity: ``(num_parameters,)``, the parameters to start from. Default: the affine identity, for 6 parameters.

    Convention:
        images ``(N, C, H, W)`` -> parameters ``(N, num_parameters)``; for affine the rows of θ, output → input. Float32
        at least: in half precision, and under autocast, the last layer is called on float32 features, with its
        parameters in float32. So a θ is within 0.001 pixels, on an image of 60, of what the layer says of its features
        in float64; rounded to bfloat16 it would be off by up to 0.1.

    Raises:
        TypeError, ValueError: an argument is not of the kind or size above; in ``forward``, images of another size.

    >>> LocalizationNetwork(28)(torch.zeros(2, 1, 28, 28)).tolist()[0]
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, image_size, in_channels=1, num_parameters=6, hidden=32, identity=None):
        super().__init__()
        self.image_size = _check.image_size("image_size", image_size)
        self.in_channels = in_channels = _check.positive_int("in_channels", in_channels)
        num_parameters = _check.positive_int("num_parameters", num_parameters)
        hidden = _check.positive_int("hidden", hidden)
        if identity is None and num_parameters != len(_AFFINE_IDENTITY):
            raise ValueError("identity: expected the parameters to start from when num_parameters is not 6, got None")
        identity = torch.tensor(_AFFINE_IDENTITY) if identity is None else identity
        _check.tensor("identity", identity, str(num_parameters))

        self.localization = nn.Sequential(
            FirstConv2d(in_channels, 8, kernel_size=7),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(),
            nn.Conv2d(8, 10, kernel_size=5),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(),
        )
        height, width = (((max(size, _MINIMUM_SIZE) - 6) // 2 - 4) // 2 for size in self.image_size)
        self.fc_loc = _WideAtTheEnd(
            nn.Linear(10 * height * width, hidden),
            nn.ReLU(),
            _WideLinear(hidden, num_parameters),
        )
        self.start_at(identity)

    def start_at(self, parameters):
        """Set the last layer so that every image gets these ``(num_parameters,)`` parameters, whatever it shows.

        Raises:
            TypeError, ValueError: ``parameters`` is not of that kind or shape; or the last layer, ``fc_loc[-1]``, is no
                longer a linear layer with a weight and a bias of its own (weight norm, LoRA, a quantized one).
        """
        last = self.fc_loc[-1]
        # A wrapped layer may have a .weight too, made anew in each call: to set it would do nothing, and say nothing.
        names = {name for name, _ in last.named_parameters()}
        if not isinstance(last, nn.Linear) or names != {"weight", "bias"}:
            raise TypeError(
                "fc_loc[-1]: expected a linear layer whose only parameters are a weight and a bias, to set them, got a "
                f"{type(last).__name__} with {sorted(names)}; set the start before the layer is wrapped"
            )
        _check.tensor("parameters", parameters, str(last.out_features))
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(parameters)

    def forward(self, images):
        """``(N, C, H, W)`` images -> ``(N, num_parameters)``."""
        check_image_shape(images, self.in_channels, self.image_size)
        return self.fc_loc(self.localization(pad_to(images, _MINIMUM_SIZE)).flatten(1))


class _WideLinear(nn.Linear):
    """A linear layer that computes in float32 at least, whatever its features and its parameters are in."""

    def forward(self, features):
        bias = None if self.bias is None else at_least_float32(self.bias)
        return F.linear(at_least_float32(features), at_least_float32(self.weight), bias)


class _WideAtTheEnd(nn.Sequential):
    """Layers one after another, of which the last computes in float32 at least, whatever layer has been put there.

    A θ rounded to bfloat16 is off by parts of a pixel, whatever the grid is computed in.
    """

    def forward(self, features):
        *layers, last = self
        for layer in layers:
            features = layer(features)
        with without_autocast(features):
            if type(last) is _WideLinear or features.dtype not in HALF:
                return last(features)
            return _call_in_float32(last, features.float())


def _call_in_float32(layer, features):
    """Call a layer, with all its hooks and wrappers, on float32 features, its half precision tensors widened."""
    # functional_call puts the wide tensors into the layer and takes them out again: one thread at a time.
    with contextlib.nullcontext() if torch.compiler.is_compiling() else _SWAPPING:
        tensors = itertools.chain(layer.named_parameters(), layer.named_buffers())
        wide = {name: tensor.float() for name, tensor in tensors if tensor.dtype in HALF}
        if not wide:  # under autocast, or quantized
            return layer(features)
        output = functional_call(layer, wide, features)
        with torch.no_grad():
            for name, buffer in layer.named_buffers():
                if name in wide:  # running statistics
                    buffer.copy_(wide[name])
        return output


def check_image_shape(images, channels, size):
    """Check for ``(N, channels, *size)`` floating-point images."""
    _check.tensor("images", images, f"N {channels} {size[0]} {size[1]}")


def pad_to(images, minimum):
    """Repeat the edge pixels until height and width are at least ``minimum``; larger images pass untouched."""
    missing = [max(0, minimum - size) for size in _check.sizes_of(images)[-2:]]
    if not any(missing):
        return images
    top, left = (m // 2 for m in missing)
    return F.pad(images, (left, missing[1] - left, top, missing[0] - top), mode="replicate")
