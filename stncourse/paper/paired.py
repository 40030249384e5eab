"""Two networks, asked about the same digits: which of them each one got wrong, and what the difference is worth."""

import base64
import binascii
import math

import torch

from stncourse import _check
from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.data.digits import check_classes


def wrong_digits(model, digits, device="cpu", batch_size=1000):
    """Which digits a model gets wrong, in eval mode.

    Args:
        model: normalised images -> log-probabilities ``(N, classes)``, on ``device`` already.
        digits: :class:`stncourse.Digits`.
        device: where the images go.
        batch_size: how many at a time.

    Returns:
        bool tensor ``(N,)``, on the CPU.
    """
    check_classes("digits", digits.labels, "a comparison of right and wrong")
    with in_eval(model), torch.no_grad():
        batches = Batches(digits, batch_size, device=device)
        return torch.cat([(model(images).argmax(1) != labels).cpu() for images, labels in batches])


def pack(wrong):
    """A bool tensor ``(N,)`` as text, a bit a digit (1,250 bytes for 10,000 digits), in base64.

    >>> pack(torch.tensor([True, False, False, False, False, False, False, True, True]))
    'gYA='
    """
    wrong = _mask("wrong", wrong, 1)
    padded = torch.zeros(-(-len(wrong) // 8) * 8, dtype=torch.uint8)
    padded[: len(wrong)] = wrong
    bits = (padded.view(-1, 8) << torch.arange(7, -1, -1, dtype=torch.uint8)).sum(1)
    return base64.b64encode(bytes(bits.tolist())).decode("ascii")


def unpack(text, count):
    """The bool tensor ``(count,)`` that :func:`pack` made this text of.

    Raises:
        TypeError, ValueError: it is no such text, or one of another number of digits.

    >>> unpack("gYA=", 9).nonzero().flatten().tolist()
    [0, 7, 8]
    """
    count = _check.positive_int("count", count)
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, got {_check.describe(text)}")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError(f"text: expected base64, got something else ({error})") from None
    bits = torch.tensor(list(data), dtype=torch.uint8)[:, None] >> torch.arange(7, -1, -1, dtype=torch.uint8) & 1
    bits = bits.flatten().bool()
    if len(bits) != -(-count // 8) * 8 or bits[count:].any():
        raise ValueError(f"text: expected the bits of {count} digits, got {len(data)} bytes")
    return bits[:count]


def wrong_of(cell):
    """Which digits each run of a cell got wrong.

    Args:
        cell: as from :func:`stncourse.paper.cells.read_cell`.

    Returns:
        bool tensor ``(runs, digits)``, or None if not every run of the cell noted them.
    """
    if not all("wrong" in run for run in cell["runs"]):
        return None
    return torch.stack([unpack(run["wrong"], cell["test_digits"]) for run in cell["runs"]])


def paired_gap(first, second):
    """How much more often one network errs than another, and the luck of the test digits in that.

    Both were asked about the same digits, and what is hard for one is often hard for the other. So the luck is counted
    where they differ: a digit's difference is the share of the first network's runs that get it wrong, minus the
    second's; the gap is the mean over the digits, and its standard error their standard deviation divided by √N.

    Args:
        first, second: bool tensors ``(runs, N)``: what each run got wrong. ``(N,)`` for a single run.

    Returns:
        ``(gap, standard error)``, in percentage points. The luck of the seeds is not in it.

    Raises:
        TypeError, ValueError: those are no such tensors, or they are of different digits.

    >>> a, b = torch.tensor([True, True, False, False]), torch.tensor([False, True, False, False])
    >>> paired_gap(a, b)
    (25.0, 25.0)
    """
    first, second = (_mask(name, value, 2) for name, value in (("first", first), ("second", second)))
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"second: expected {first.shape[1]} digits, as in first, got {second.shape[1]}")
    if first.shape[1] < 2:
        raise ValueError("first: expected at least two digits, got one")
    difference = first.double().mean(0) - second.double().mean(0)
    return 100 * difference.mean().item(), 100 * difference.std().item() / math.sqrt(len(difference))


def sign_test(only_first, only_second):
    """How often luck alone would share out so unevenly the digits on which two networks differ.

    A digit that both get right, or both wrong, tells nothing apart. Of the others, were the networks equally good, each
    would be as likely to fall to the first as to the second: a fair coin. (McNemar's test, exact.)

    Args:
        only_first, only_second: on how many digits one erred and the other did not.

    Returns:
        float: the probability of heads and tails as unevenly shared as this or more, either way.

    >>> sign_test(9, 1)
    0.021484375
    """
    counts = []
    for name, value in (("only_first", only_first), ("only_second", only_second)):
        counts.append(0 if value == 0 else _check.positive_int(name, value))
    total, fewer = sum(counts), min(counts)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total)


def _mask(name, value, dimensions):
    """A bool tensor with as many axes; for two, a single run gets the first."""
    if not isinstance(value, torch.Tensor) or value.dtype != torch.bool:
        raise TypeError(f"{name}: expected a bool tensor, got {_check.describe(value)}")
    if value.ndim == 1 and dimensions == 2:
        value = value[None]
    if value.ndim != dimensions or not value.numel():
        raise ValueError(f"{name}: expected {dimensions} axes, none of them empty, got shape {tuple(value.shape)}")
    return value
