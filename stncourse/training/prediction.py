"""What a model says of images."""

import numpy as np
import torch

from stncourse import _check
from stncourse._modes import in_eval
from stncourse._precision import at_least_float32
from stncourse.data.digits import Digits, normalize
from stncourse.data.images import sets_with
from stncourse.device import resolve_device
from stncourse.training import contract
from stncourse.training.objective import on_parts


def predict(model, images, device="auto", batch_size=1000, *, like=None):
    """What ``model`` says of raw images, in eval mode; each of its modules is put back into its own mode.

    Args:
        model: normalised images -> a tensor or a tuple of tensors with one row per image. It gets the images in the
            dtype of its weights.
        images: raw uint8 ``(N, C, H, W)``: :class:`stncourse.Digits` (an ImageSet is one), a tensor or a NumPy array.
        device: the model is moved there, as by ``model.to``.
        batch_size: how many at a time.
        like: the set by whose numbers the images are normalised. Default: ``images`` itself, else the set of whose
            images they are a part, else MNIST for one channel.

    Returns:
        The model's output for all images, on the CPU, without a gradient; half precision as float32.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, there are no images, the model does not take them,
            or returns something else.

    >>> digits = load_digits("test", source="offline")
    >>> log_probabilities = predict(DigitCNN(), digits, device="cpu")
    >>> log_probabilities.shape
    torch.Size([1000, 10])
    """
    contract.check_model(model)
    device, batch_size = resolve_device(device), _check.positive_int("batch_size", batch_size)
    images, to_numbers = _images_and_numbers(images, like)
    model.to(device)
    dtype, outputs = contract.dtype_for(model), []
    with in_eval(model), torch.no_grad():
        for batch in images.split(batch_size):
            output = contract.answer(model, to_numbers(batch.to(device)), dtype, _check_rows)
            outputs.append(on_parts(lambda part: at_least_float32(part.detach()).cpu(), output))
    if isinstance(outputs[0], torch.Tensor):
        return torch.cat(outputs)
    columns = iter(zip(*outputs, strict=True))
    return on_parts(lambda _: torch.cat(next(columns)), outputs[0])


def _images_and_numbers(images, like):
    """Raw images, checked, as a tensor, and the function that normalises them."""
    if isinstance(images, Digits):
        like = images if like is None else like
        images = images.images
    sets = sets_with(images) if like is None else []
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8:
            raise TypeError(f"images: expected raw uint8 images, got {_check.describe(images)}")
        images = torch.from_numpy(np.array(images, order="C"))  # copied: it may be read-only, or run backwards
    _check.tensor("images", images, "N C H W", floating=False)
    if images.dtype != torch.uint8 or images.is_meta:
        raise TypeError(f"images: expected raw uint8 images in memory, got {_check.describe(images)}")
    if not len(images):
        raise ValueError(f"images: expected at least one image, got {_check.describe(images)}")
    if like is not None:
        if not isinstance(like, Digits):
            raise TypeError(f"like: expected the set that the images come from, got {_check.describe(like)}")
        return images, like.normalize
    if len(sets) == 1:
        return images, sets[0].normalize
    if not sets and images.shape[1] == 1:  # several sets, of one memory, say different things
        return images, normalize
    raise ValueError(
        f"like: expected the set that the images come from, since {_check.describe(images)} does not say by what it is "
        "normalised; give the set itself in place of images, or like=the set"
    )


def _check_rows(output, count):
    contract.check_tensors(output, count)
    for part in output if isinstance(output, tuple) else (output,):
        if not part.ndim or len(part) != count:
            raise ValueError(f"model: expected one row for each of {count} images, got {_check.describe(part)}")
