"""How a model does on a set of digits."""

import torch
import torch.nn.functional as F

from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.device import resolve_device
from stncourse.training import contract
from stncourse.training.history import Metrics


def evaluate(model, digits, device="auto", batch_size=1000):
    """Loss and accuracy of ``model`` on ``digits``, in eval mode; each of its modules is put back into its own mode.

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``. It gets the images in the dtype of its weights.
        digits: :class:`stncourse.Digits`.
        device: the model is moved there, as by ``model.to``.
        batch_size: how many at a time.

    Returns:
        :class:`Metrics` ``(loss, accuracy)``.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, there are no digits, a label is negative or beyond
            the model's classes, or what the model returns are no log-probabilities.

    >>> metrics = evaluate(DigitCNN(), load_digits("test", source="offline"), device="cpu")
    >>> 0 <= metrics.accuracy <= 1
    True
    """
    contract.check_model(model)
    device = resolve_device(device)
    batches = Batches(digits, batch_size, device=device)
    if not len(digits):
        raise ValueError("digits: expected at least one digit to evaluate on, got none")
    contract.check_labels("digits", digits)
    model.to(device)
    dtype, largest = contract.dtype_for(model), {"digits": int(digits.labels.max())}
    loss = correct = 0.0
    with in_eval(model), torch.no_grad():
        for images, labels in batches:
            log_probabilities = contract.answer(model, images, dtype, largest)
            loss += F.nll_loss(log_probabilities, labels, reduction="sum").item()
            correct += (log_probabilities.argmax(1) == labels).sum().item()
    return Metrics(loss / len(digits), correct / len(digits))


def evaluate_together(model, digits, device, group):
    """The same by all processes of a training, each on its share: :class:`Metrics` of all digits in every process.

    Args:
        group: as from :func:`stncourse.training.distributed.current`.
    """
    share = digits.subset(group.share(len(digits)))
    mine = evaluate(model, share, device) if len(share) else Metrics(0.0, 0.0)
    if group.size == 1:
        return mine
    sums = group.sum(mine.loss * len(share), mine.accuracy * len(share))
    return Metrics(*(value / len(digits) for value in sums))
