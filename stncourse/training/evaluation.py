"""How a model does on a set of digits."""

import torch

from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.device import resolve_device
from stncourse.training import contract
from stncourse.training.history import Metrics
from stncourse.training.objective import float32_at_least, objective_for


def evaluate(model, digits, device="auto", batch_size=1000, *, loss=None, metrics=None):
    """Loss and accuracy of ``model`` on ``digits``, in eval mode; each of its modules is put back into its own mode.

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``; with a ``loss`` of your own, what that takes. It
            gets the images in the dtype of its weights.
        digits: :class:`stncourse.Digits`.
        device: the model is moved there, as by ``model.to``.
        batch_size: how many at a time.
        loss: as for :func:`stncourse.fit`; None is the mean negative log-likelihood. A loss that compares the images of
            a batch with one another depends on ``batch_size``.
        metrics: as for :func:`stncourse.fit`.

    Returns:
        :class:`Metrics` ``(loss, accuracy)``. With a loss or metrics of your own a dict of numbers: ``"loss"``,
        ``"accuracy"`` with the default loss, then the metrics by their names.

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
    objective = objective_for(loss, metrics, {"digits": digits.labels})
    model.to(device)
    means = _means(sums_of(model, batches, objective), len(digits))
    return Metrics(**means) if objective.is_default else means


def evaluate_together(model, digits, device, group, objective):
    """The same by all processes of a training, each on its share: a dict, in every process that of all digits.

    Args:
        group: as from :func:`stncourse.training.distributed.current`.
        objective: as from :func:`stncourse.training.objective.objective_for`.
    """
    share = digits.subset(group.share(len(digits)))
    sums = sums_of(model, Batches(share, 1000, device=device), objective)
    return _means(dict(zip(sums, group.sum(*sums.values()), strict=True)), len(digits))


def sums_of(model, batches, objective):
    """What the objective measures, added up over all images: dict, name -> number."""
    sums = dict.fromkeys(objective.names, 0.0)
    dtype = contract.dtype_for(model)
    with in_eval(model), torch.no_grad():
        for images, labels in batches:
            output = float32_at_least(contract.answer(model, images, dtype, objective.check))
            for name, value in objective.measure(output, labels).items():
                sums[name] += value
    return sums


def _means(sums, count):
    return {name: value / count for name, value in sums.items()}
