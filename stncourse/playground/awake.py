"""A model that the browser runs too: its weights, and how its images are scaled (see ``browser/network.js``)."""

import torch
from safetensors.torch import save

from stncourse.networks.digits import STNClassifier
from stncourse.transformer.families import AffineGrid


def for_browser(model, digits):
    """What the browser needs to run a model on digits: ``(weights, scale)``; None for a model that it cannot run.

    It runs the tutorial's layers, on square grey images padded with background; other models sleep in the kernel.

    Returns:
        weights, the bytes of a safetensors file; scale, a dict with the sides of input and output, mean and std.
    """
    if model is None or not _has_the_tutorials_layers(model) or not _samples_as_usual(model.stn, digits):
        return None
    size, output = digits.images.shape[-2:], model.stn.output_size or digits.images.shape[-2:]
    if size[0] != size[1] or output[0] != output[1] or size[0] < 18 or output[0] < 16:  # smaller ones are padded first
        return None
    mean, std = (numbers[0] for numbers in digits.scale)
    return save(model.state_dict()), {"size": size[0], "outputSize": output[0], "mean": mean, "std": std}


def _has_the_tutorials_layers(model):
    """Whether nothing was added to them, changed or taken away."""
    with torch.device("meta"):  # no weights, and no random numbers drawn
        usual = STNClassifier()
    stn = model.stn
    return _layers(model) == _layers(usual) and type(stn.grid_generator) is AffineGrid and stn.iterations == 1


def _layers(model):
    """Names and kinds of all layers; whatever the dropouts' shares are."""
    return [(name, type(layer)) for name, layer in model.named_modules()]


def _samples_as_usual(stn, digits):
    sampler = stn.sampler
    value = sampler.padding_value[0] if isinstance(sampler.padding_value, tuple) else sampler.padding_value
    black = (0 - digits.scale[0][0]) / digits.scale[1][0]
    how = (sampler.mode, sampler.padding_mode, bool(sampler.align_corners))
    return how == ("bilinear", "zeros", False) and abs(value - black) < 1e-3
