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
    any training every image passes through unchanged. Both are needed for that: with random weights, the bias alone
    bends each image a little. (From a random start it learns, too, only more slowly: notebook 02.)

    Args:
        image_size: ``(H, W)``, one int for a square, or ``(N, C, H, W)``, of which only H and W count. Smaller than 18
            is padded (by its edge pixels) up to 18.
        in_channels: channels of the images.
        num_parameters: how many numbers the grid generator wants; 6 for affine.
        hidden: width of the first linear layer.
        identity: ``(num_parameters,)``, the parameters to start from: a tensor, an array or a list. Default: the
            affine identity, for 6 parameters.

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
        identity = _as_parameters("identity", _AFFINE_IDENTITY if identity is None else identity, num_parameters)

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
        """Set the last layer so that every image gets these parameters, whatever it shows.

        Args:
            parameters: ``(num_parameters,)``: a tensor, an array or a list.

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
        parameters = _as_parameters("parameters", parameters, last.out_features)
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(parameters)

    def extra_repr(self):
        return f"image_size={self.image_size}, in_channels={self.in_channels}"

    def forward(self, images):
        """``(N, C, H, W)`` images -> ``(N, num_parameters)``."""
        check_image_shape(images, self.in_channels, self.image_size)
        return self.fc_loc(self.localization(pad_to(images, _MINIMUM_SIZE)).flatten(1))


def _as_parameters(name, value, count):
    """A row of numbers, in whatever form, as a tensor."""
    if not isinstance(value, torch.Tensor):
        numbers = [_check.as_real(number) for number in _check.as_row(value) or (None,)]
        if None in numbers:
            raise TypeError(f"{name}: expected {count} numbers, got {_check.describe(value)}")
        value = torch.tensor(numbers, dtype=torch.get_default_dtype())
    _check.tensor(name, value, str(count))
    if _check.some(~value.isfinite()):
        raise ValueError(f"{name}: expected finite numbers, got {value.tolist()}")
    return value


class _WideLinear(nn.Linear):
    """A linear layer that computes in float32 at least, whatever its features and its parameters are in."""

    def forward(self, features):
        bias = None if self.bias is None else at_least_float32(self.bias)
        return F.linear(at_least_float32(features), at_least_float32(self.weight), bias)


class _WideAtTheEnd(nn.Sequential):
    """Layers one after another, computed in float32 at least from the last one on, whatever layer has been put there.

    What is appended to it is computed so too. A θ rounded to bfloat16 is off by parts of a pixel, whatever the grid is
    computed in.
    """

    def forward(self, features):
        last, narrow, wide = len(self) - 1, False, False
        for number, layer in enumerate(self):
            narrow = narrow or features.dtype in HALF
            widened = narrow and features.dtype not in HALF  # by a layer before this one
            wide = wide or number == last or widened or type(layer) is _WideLinear
            if not wide:
                features = layer(features)
                continue
            with without_autocast(features):
                as_it_is = type(layer) is _WideLinear
                features = layer(features) if as_it_is else _call_in_float32(layer, at_least_float32(features))
        return features


#: Where torch's wrappers that compute a layer anew in the backward pass keep it.
_RECOMPUTED = "_checkpoint_wrapped_module"


class _Widened(nn.Module):
    """Stands for a layer within such a wrapper: by the time it is computed anew, wide tensors are out of it again."""

    def __init__(self, layer):
        super().__init__()
        self.layer = (layer,)  # in a tuple, its tensors are not this module's

    def forward(self, features):
        return _call_in_float32(self.layer[0], features)


def _call_in_float32(layer, features):
    """Call a layer, with all its hooks and wrappers, on float32 features, its half precision tensors widened."""
    # functional_call puts the wide tensors into the layer and takes them out again: one thread at a time.
    with contextlib.nullcontext() if torch.compiler.is_compiling() else _SWAPPING:
        if any(tensor.dtype in HALF for _, tensor in _tensors(layer)):
            wrappers = [(module, module._modules[_RECOMPUTED]) for module in _with_recomputed(layer)]
            for wrapper, inner in wrappers:
                wrapper._modules[_RECOMPUTED] = _Widened(inner)
            try:
                return _call_with_wide_tensors(layer, features)
            finally:
                for wrapper, inner in wrappers:
                    wrapper._modules[_RECOMPUTED] = inner
    return layer(features)  # in float32 already: under autocast, or quantized


def _call_with_wide_tensors(layer, features):
    wide = {name: tensor.float() for name, tensor in _tensors(layer) if tensor.dtype in HALF}
    output = functional_call(layer, wide, features) if wide else layer(features)
    with torch.no_grad():
        for name, buffer in layer.named_buffers():
            if name in wide:  # running statistics
                buffer.copy_(wide[name])
    return output


def _tensors(layer):
    # Module's own: a wrapper may tell names without the part that is its own.
    return itertools.chain(nn.Module.named_parameters(layer), layer.named_buffers())


def _with_recomputed(layer):
    return [module for module in layer.modules() if _RECOMPUTED in module._modules]


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
