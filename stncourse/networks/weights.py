"""A model's weights as files that never run code, and the trained network that ships with the course."""

from importlib import resources

import torch

from stncourse import _check
from stncourse.networks.digits import STNClassifier
from stncourse.training.checkpoints import load_into, read_tensors, save_tensors
from stncourse.training.model_state import tensors_of


def save_weights(model, info, path):
    """Write a model's weights as safetensors, with ``info`` beside them. Loading such a file never runs code.

    Args:
        model: a torch module.
        info: dict that JSON can hold: what it is, how it was trained, how well it does.
        path: the file to write, atomically.

    Names are those without wrappers: weights of ``torch.compile(model)`` or ``DataParallel(model)`` are the model's.
    Weights that are tied are written under each of their names.

    Raises:
        TypeError: ``info``, or a module's extra state, is nothing that such a file can hold.
        OSError: it cannot be written; what was there before is still there.
    """
    save_tensors(path, tensors_of(model), info)


def load_weights(model, path):
    """Load into ``model`` what :func:`save_weights` wrote.

    Args:
        model: a torch module with the same names and shapes, compiled or not.
        path: the file.

    Returns:
        dict, the ``info`` that was saved.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError (a ValueError): the file is truncated, damaged, of another kind, or another model's; ``model``
            is as it was before.

    >>> save_weights(DigitCNN(), {"epochs": 2}, "cnn.safetensors")
    >>> load_weights(DigitCNN(), "cnn.safetensors")
    {'epochs': 2}
    """
    tensors, info = read_tensors(path)
    load_into(model, path, tensors)
    return info


def load_pretrained(distortion="RTS", customer="linear"):
    """A trained STN that ships with the package: an :class:`STNClassifier` for distorted digits.

    Args:
        distortion: what its digits went through (see :func:`stncourse.distort`). ``"RTS"``: it takes 42×42 images and
            passes on 28×28. ``"R"``: it takes 28×28 images.
        customer: what the transformer learned to please. ``"linear"``: one linear layer, which cannot read a digit in
            any pose but one; the CNN behind it came later, to read what such a transformer passes on. ``"CNN"``: the
            CNN that is behind it, both trained together from the start. For ``"R"`` only this one ships.

    Made by ``make pretrained``; how it was trained and how well it does is in ``model.info`` (a dict).

    Returns:
        STNClassifier in eval mode, on the CPU, in float32, whatever the defaults are.

    Raises:
        ValueError: an argument is none of these.

    >>> model = load_pretrained()
    >>> model.info["distortion"], model.info["customer"], model.stn.output_size
    ('RTS', 'linear', (28, 28))
    """
    _check.choice("distortion", distortion, ("RTS", "R"))
    _check.choice("customer", customer, ("linear", "CNN") if distortion == "RTS" else ("CNN",))
    name = f"stn_{distortion}_{customer}.safetensors".lower()
    with resources.as_file(resources.files("stncourse") / "assets" / name) as path, torch.device("cpu"):
        info = read_tensors(path)[1]
        model = STNClassifier(info["image_size"], output_size=info["output_size"]).float()
        model.info = load_weights(model, path)
    return model.eval()
