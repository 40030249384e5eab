"""What ``fit`` and ``evaluate`` ask of a model and of digits: looked at before the first step, named when broken."""

import contextlib

import torch
from torch import nn

from stncourse import _check
from stncourse._precision import HALF, at_least_float32
from stncourse.data.digits import check_classes
from stncourse.training.model_state import is_expanded, remember_buffers

# How far from 0 the logarithm of an image's summed probabilities may lie. bfloat16 rounds log(1/classes) by up to 0.016
# for 1,000 classes, 0.03 for 100,000. Scores and probabilities are off by log(classes) or so.
_TOLERANCE, _TOLERANCE_HALF = 0.02, 0.05
_TAKEN = (torch.float32, torch.float64, *HALF)


def check_model(model):
    """A module whose weights are all there."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {_check.describe(model)}")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise ValueError(f"model: expected one that has seen images, {name!r} is not made yet: model(images) once")
        if tensor.is_meta:
            raise ValueError(f"model: expected weights, {name!r} is on the meta device, where there are none")


def check_can_learn(model, localization, until):
    """Something is left to learn, also when the localization network (its parameters) is frozen.

    Args:
        until: the recipe's ``localization_until`` if the training gets that far, else None.
    """
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not learning:
        raise ValueError("model: expected parameters that can learn (requires_grad), it has none")
    for name, parameter in learning.items():
        if is_expanded(parameter):  # torch.optim would write beyond its memory
            raise ValueError(f"model: expected parameters with memory of their own, {name!r} is expanded: clone() it")
    if any(parameter.dtype == torch.float16 for parameter in learning.values()):
        raise ValueError(
            "model: expected weights of float32, float64 or bfloat16 to learn, got float16, in which small steps are "
            "lost: model.float(), and torch.autocast in its forward for speed"
        )
    if until is not None and len(learning) == len(localization):
        raise ValueError(
            f"localization_until: expected 1.0 where only the localization network can learn, got {until}: nothing "
            "would be left to learn once it is frozen"
        )


def check_labels(name, labels):
    """Labels that are classes, and can be positions. torch leaves out those of -100 without a word."""
    check_classes(name, labels, "the default loss (loss=None)")
    if (lowest := int(labels.min())) < 0:
        raise ValueError(f"{name}: expected labels from 0 on, got {lowest}")


def answer(model, images, dtype, check):
    """What the model says of normalised images, a tensor or a tuple of them.

    Args:
        dtype: what the model is given, see :func:`dtype_for`.
        check: a function of the output and the number of images that raises an error for what is not asked for.
    """
    try:
        output = model(images.to(dtype))
    except (RuntimeError, ValueError, IndexError) as error:
        if not _said_by_torch(error):
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(f"model: expected one that takes {_check.describe(images)}, got an error: {reason}") from error
    check(output, len(images))
    return output


def reason_of(error):
    """What torch said, where :func:`answer` put it into its words; else the whole message."""
    return str(error).rpartition("got an error: ")[2]


def _said_by_torch(error):
    """Whether an error is torch's own complaint about what it was given; a model's own words are its owner's."""
    if type(error) is RuntimeError:
        return True
    if isinstance(error, RuntimeError):  # no memory, for example
        return False
    if isinstance(error, IndexError) and "dimension" in str(error).lower():
        return True  # out of its C++: the last line of Python is the model's
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "torch"


def check_depends(loss, own):
    """There is a way from the loss, the default or the user's own, back to parameters that learn."""
    if not loss.requires_grad:
        what = "loss: expected one that depends" if own else "model: expected log-probabilities that depend"
        raise ValueError(
            f"{what} on a parameter that can learn, {'this does' if own else 'these do'} not: is something detached, "
            "or computed under torch.no_grad?"
        )


def check_depends_on_more(loss, model, localization, recipe):
    """The loss has something to learn from also when the localization network, by its parameters, learns no more."""
    own = set(localization)
    others = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter not in own]
    slopes = torch.autograd.grad(loss, others, retain_graph=True, allow_unused=True) if others else ()
    if all(slope is None for slope in slopes):
        raise ValueError(
            "localization_until: expected 1.0 for a loss that depends on the localization network only, got "
            f"{recipe.localization_until}: nothing would be left to learn once it is frozen"
        )


@contextlib.contextmanager
def rehearsal(model, device):
    """While it lasts, the model may be called in train mode: its buffers and the random numbers are put back."""
    put_back = remember_buffers(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        try:
            yield
        finally:
            put_back()


def dtype_for(model):
    """Images come to a model in the dtype of its weights; in float32 where these have several."""
    dtypes = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    return dtypes.pop() if len(dtypes) == 1 and dtypes <= set(_TAKEN) else torch.float32


def check_tensors(output, count):
    """A tensor or a tuple of tensors: what a loss of one's own may take."""
    for part in output if isinstance(output, tuple) else (output,):
        if not isinstance(part, torch.Tensor):
            among = " in a tuple" if isinstance(output, tuple) else ""
            raise TypeError(f"model: expected a tensor or a tuple of tensors, got a {type(part).__name__}{among}")


def check_log_probabilities(output, count, labels):
    """Log-probabilities for ``count`` images, of enough classes for the labels.

    Args:
        labels: dict, the name of a set of digits -> the largest label in it.
    """
    expected = f"model: expected log-probabilities, a tensor of shape ({count}, classes)"
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"{expected}, got a {type(output).__name__}")
    if not output.is_floating_point():
        raise TypeError(f"{expected}, got {_check.describe(output)}")
    if output.ndim != 2 or len(output) != count:
        raise ValueError(f"{expected}, got {_check.describe(output)}")
    for name, largest in labels.items():
        if largest >= output.shape[1]:
            raise ValueError(
                f"model: expected at least {largest + 1} classes, as the labels of {name} go up to {largest}, got "
                f"{output.shape[1]}"
            )
    if problem := _not_log_probabilities(output.detach()):
        raise ValueError(
            f"model: expected log-probabilities, whose exponentials sum to 1 for each image, got {problem}"
        )


def _not_log_probabilities(output):
    """What they are instead, in words; None for log-probabilities, and for what is not finite: the loss tells that."""
    off = at_least_float32(output).logsumexp(1).abs()
    if not (off[off.isfinite()] > (_TOLERANCE_HALF if output.dtype in HALF else _TOLERANCE)).any():
        return None
    if output.min() >= 0 and ((at_least_float32(output).sum(1) - 1).abs() < _TOLERANCE_HALF).all():
        return "probabilities: end with F.log_softmax(x, dim=1) instead of softmax"
    return "other numbers (scores, logits?): end with F.log_softmax(x, dim=1)"
