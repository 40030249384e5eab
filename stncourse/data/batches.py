"""Digits in batches, or one by one."""

import numpy as np
import torch

from stncourse import _check
from stncourse.data.digits import Digits, are_classes
from stncourse.data.seeds import cpu_generator
from stncourse.device import resolve_device


class Batches:
    """Mini-batches of normalised digits out of one tensor in memory: no files, no workers, no per-image Python.

    Iterate over it for one epoch; every further pass is the next epoch, in another order. The same seed gives the same
    epochs in the same order.

    Args:
        digits: :class:`Digits`.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        shuffle: a new order every epoch.
        seed: for the order and for ``transform``.
        device: where the batches are; ``"auto"`` as in :func:`stncourse.device.resolve_device`.
        transform: ``(images, generator) -> images`` on float images in [0, 1] *before* normalisation, so that 0 is
            background; for augmentation or distortion.

    Yields:
        ``(images, labels)``: float32 ``(B, C, H, W)`` normalised, and the labels of these digits, int64 ``(B,)`` where
        they are classes.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> batches = Batches(load_digits("test", source="offline"), batch_size=64)
    >>> images, labels = next(iter(batches))
    >>> len(batches), images.shape, images.dtype
    (16, torch.Size([64, 1, 28, 28]), torch.float32)
    """

    def __init__(self, digits, batch_size=64, shuffle=False, seed=0, device="cpu", transform=None):
        if not isinstance(digits, Digits):
            raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
        _check.flag("shuffle", shuffle)
        if transform is not None and not callable(transform):
            raise TypeError(f"transform: expected a function or None, got {_check.describe(transform)}")
        self.batch_size = _check.positive_int("batch_size", batch_size)
        self.shuffle, self.transform = shuffle, transform
        self.seed = _check.seed("seed", seed)
        self.epoch = 0  #: which epoch comes next
        self.generator = None  #: the epoch's own: of the order, then of ``transform``
        self._skip = (0, None)
        self.normalize = digits.normalize
        device = resolve_device(device)
        self.images, self.labels = digits.images.to(device), digits.labels.to(device)

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __iter__(self):
        # One generator per epoch, so that an epoch can be repeated without having run those before it.
        self.generator = cpu_generator(self.seed * 1_000_003 + self.epoch)
        self.epoch += 1
        n = len(self.images)
        on_cpu = {"device": "cpu"}  # where the generator is, whatever torch's default device
        order = torch.randperm(n, generator=self.generator, **on_cpu) if self.shuffle else torch.arange(n, **on_cpu)
        order = order.to(self.images.device)
        (first, state), self._skip = self._skip, (0, None)
        if state is not None:
            self.generator.set_state(state)
        for start in range(first * self.batch_size, n, self.batch_size):
            index = order[start : start + self.batch_size]
            images = self.images[index]
            if self.transform is not None:
                images = _checked(self.transform(images.float() / 255, self.generator), len(index))
            yield self.normalize(images), self.labels[index]

    def skip_to(self, epoch, batch, state):
        """Make the next pass the rest of an epoch, as if its first batches had been drawn.

        Args:
            epoch: which epoch, from 0.
            batch: how many of its batches to leave out.
            state: ``self.generator.get_state()`` after these batches.
        """
        self.epoch, self._skip = epoch, (batch, state)


def _checked(images, count):
    """What ``transform`` returned, if it can go with as many labels."""
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"transform: expected a function that returns images, got {_check.describe(images)} from it")
    if not images.ndim or len(images) != count:
        raise ValueError(f"transform: expected {count} images, as many as it is given, got {_check.describe(images)}")
    return images


class DigitsDataset(torch.utils.data.Dataset):
    """Digits one by one as ``(image, label)``, for torch's ``DataLoader``: what ``torchvision.datasets.MNIST`` gives.

    A label is an int where it is a class; others are a tensor, the image's row of the labels.

    Args:
        digits: :class:`Digits` of one channel (grey pictures) or three (colour).
        transform: PIL image -> anything, for example torchvision's ``ToTensor``; None leaves the PIL image.

    >>> image, label = DigitsDataset(load_digits("test", source="offline"))[0]
    >>> image.size, type(label)
    ((28, 28), <class 'int'>)
    """

    def __init__(self, digits, transform=None):
        if not isinstance(digits, Digits):
            raise TypeError(f"digits: expected Digits, got {_check.describe(digits)}")
        if digits.images.shape[1] not in (1, 3):
            raise ValueError(f"digits: expected 1 or 3 channels, got {digits!r}")
        self.digits, self.transform = digits, transform

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        from PIL import Image

        pixels = self.digits.images[index].cpu().numpy()
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        label = self.digits.labels[index]
        label = int(label) if are_classes(self.digits.labels) else label
        return (image if self.transform is None else self.transform(image)), label
