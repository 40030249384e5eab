"""A model that the browser runs too: its weights, and how its images are scaled (see ``browser/network.js``)."""

from safetensors.torch import save

from stncourse.networks.digits import DigitCNN, STNClassifier
from stncourse.transformer.families import AffineGrid
from stncourse.transformer.localization import LocalizationNetwork


def for_browser(model, digits):
    """What the browser needs to run a model on digits: ``(weights, scale)``; None for a model that it cannot run.

    It runs the tutorial's layers, on square grey images padded with background; other models sleep in the kernel.

    Returns:
        weights, the bytes of a safetensors file; scale, a dict with the sides of input and output, mean and std.
    """
    if model is None or not _is_tutorials(model, digits):
        return None
    mean, std = (numbers[0] for numbers in digits.scale)
    size, output = digits.images.shape[-1], (model.stn.output_size or digits.images.shape[-2:])[-1]
    return save(model.state_dict()), {"size": size, "outputSize": output, "mean": mean, "std": std}


def _is_tutorials(model, digits):
    stn, sampler, size = model.stn, model.stn.sampler, tuple(digits.images.shape[-2:])
    output = tuple(stn.output_size or size)
    kinds = (model, STNClassifier), (stn.localization, LocalizationNetwork), (model.classifier, DigitCNN)
    exact = all(type(part) is kind for part, kind in kinds) and isinstance(stn.grid_generator, AffineGrid)
    exact = exact and stn.iterations == 1
    square = size[0] == size[1] >= 18 and output[0] == output[1] >= 16  # smaller ones are padded first
    black = (0 - digits.scale[0][0]) / digits.scale[1][0]
    value = sampler.padding_value[0] if isinstance(sampler.padding_value, tuple) else sampler.padding_value
    usual = (sampler.mode, sampler.padding_mode, bool(sampler.align_corners)) == ("bilinear", "zeros", False)
    return exact and square and usual and abs(value - black) < 1e-3
