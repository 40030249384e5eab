"""A model's weights as files that never run code, and the trained network that ships with the course."""

from importlib import resources

import torch

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


def load_pretrained():
    """The trained STN that ships with the package: an :class:`STNClassifier` for digits distorted by ``"RTS"``.

    It takes 42×42 images (``distort(digits, "RTS")``) and looks at them through a 28×28 window. Made by
    ``make pretrained``; how it was trained and how well it does is in ``model.info`` (a dict).

    Returns:
        STNClassifier in eval mode, on the CPU, in float32, whatever the defaults are.

    >>> model = load_pretrained()
    >>> model.info["distortion"], model.stn.output_size
    ('RTS', (28, 28))
    """
    asset = resources.files("stncourse") / "assets" / "stn_rts.safetensors"
    with resources.as_file(asset) as path, torch.device("cpu"):
        info = read_tensors(path)[1]
        model = STNClassifier(info["image_size"], output_size=info["output_size"]).float()
        model.info = load_weights(model, path)
    return model.eval()
