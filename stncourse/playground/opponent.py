"""Digits and the trained model that plays along: taken as they come, checked together; and what it says."""

import copy
from dataclasses import replace

import torch

from stncourse import _check
from stncourse.data.digits import Digits
from stncourse.data.distortions import distort
from stncourse.data.mnist import load_digits
from stncourse.device import one_thread
from stncourse.figures.shown import black, label_name
from stncourse.networks.digits import STNClassifier
from stncourse.networks.weights import load_pretrained


def own_copy(model):
    """A copy of the model on the CPU, in float32 and eval mode: yours stays as it is."""
    if model is None:
        return None
    if isinstance(model, str) and model == "pretrained":
        return load_pretrained().float()
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if not isinstance(model, STNClassifier):
        raise TypeError(f"model: expected an STNClassifier, 'pretrained' or None, got {_check.describe(model)}")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError("model: expected weights with numbers, got a model on the meta device")
    return copy.deepcopy(model).cpu().float().eval()


def grey(digits):
    """Digits of one channel, on the CPU."""
    if not isinstance(digits, Digits) or not len(digits):
        raise TypeError(f"digits: expected Digits, at least one, got {_check.describe(digits)}")
    channels = digits.images.shape[1]
    if channels != 1:
        raise ValueError(f"digits: expected grey images, of one channel, got images of {channels} channels")
    if digits.images.is_meta or 0 in digits.images.shape:
        raise ValueError(f"digits: expected images with pixels, got {_check.describe(digits.images)}")
    return replace(digits, images=digits.images.cpu(), labels=digits.labels.cpu())


def default_digits(model=None):
    """The shipped test digits; for a model of another image size than theirs, distorted by ``"RTS"``."""
    digits = load_digits("test", source="offline")
    if model is None or model.stn.localization.image_size == tuple(digits.images.shape[-2:]):
        return digits
    crooked = distort(digits.images, "RTS", torch.Generator().manual_seed(0)).images
    return Digits(crooked, digits.labels, digits.source)


def sampled_as_by(model, digits):
    """Check that digits and model go together.

    Returns:
        (settings, background): the arguments of :class:`Settings` with which all is sampled as by the model; and what
        it pads with, after normalisation, or None for black.
    """
    _check_together(model, digits)
    sampler = model.stn.sampler
    value = sampler.padding_value[0] if isinstance(sampler.padding_value, tuple) else sampler.padding_value
    padding, background = {"zeros": "background"}.get(sampler.padding_mode, sampler.padding_mode), None
    if padding == "background" and value == 0 != black(digits)[0]:
        padding = "raw 0 (bright frame)"
    elif padding == "background":
        background = value
    return {
        "padding": padding,
        "mode": sampler.mode,
        "grid_align_corners": sampler.align_corners,
        "sampler_align_corners": sampler.align_corners,
        "output_size": model.stn.output_size,
    }, background


def _check_together(model, digits):
    stn, channels = model.stn, getattr(model.stn.localization, "in_channels", 1)
    size, wanted = tuple(digits.images.shape[-2:]), getattr(stn.localization, "image_size", None)
    if wanted not in (None, size):
        raise ValueError(f"digits: expected images of the size that the model takes, {wanted}, got {size}")
    if channels != 1:
        raise ValueError(f"model: expected one for grey images, got one for {channels} channels")
    with torch.no_grad(), torch.device("cpu"):
        example = digits.normalize(digits.images[:1]).float()
        theta, classes = stn.transform(example).theta, model(example).shape[1]
    if theta is None or theta.shape[1:] != (2, 3):
        what = "without a matrix" if theta is None else f"of shape {tuple(theta.shape[1:])}"
        raise ValueError(f"model: expected a transformer with an affine θ, got one with a θ {what}")
    if stn.sampler.antialias:
        raise ValueError("model: expected a sampler without antialias, which the playground does not show")
    if int(digits.labels.max()) >= classes:
        highest = int(digits.labels.max())
        raise ValueError(f"digits: expected labels up to the model's {classes - 1}, got {highest}")


def size_for_classifier(model, digits):
    """``(H, W)`` of the output that the model's classifier takes."""
    return tuple(model.stn.output_size or digits.images.shape[-2:])


def class_names(model, digits):
    """Names of the classes that the model knows; none without a model."""
    count = 0 if model is None else len(probabilities_of(model, _example(model, digits)))
    return [label_name(digits, label) for label in range(count)]


def _example(model, digits):
    return torch.zeros(1, 1, *size_for_classifier(model, digits), dtype=torch.float32, device="cpu")


def theta_of(model, digits, image):
    """The six numbers that the model's STN chooses for one raw image, ``(1, 1, H, W)``."""
    with torch.no_grad(), torch.device("cpu"), one_thread():
        return tuple(model.stn.transform(digits.normalize(image).float()).theta[0].flatten().tolist())


def probabilities_of(model, output):
    """The classifier's probabilities for the first of the sampler's outputs."""
    with torch.no_grad(), torch.device("cpu"), one_thread():
        return model.classifier(output[:1])[0].exp().tolist()
