"""The record of θ during a training, for some probe images."""

import contextlib

import numpy as np
import torch

from stncourse import _check
from stncourse._modes import in_eval
from stncourse.data.digits import Digits
from stncourse.training import contract
from stncourse.training.model_state import unwrapped
from stncourse.transformer.spatial_transformer import transformers_in


def probe_images(name, value, model):
    """The raw images that an argument of ``fit`` named ``name`` gives, a tensor ``(P, C, H, W)``."""
    if isinstance(value, Digits):
        value = value.images
    elif isinstance(value, np.ndarray) and value.dtype.kind in "uif":
        value = torch.from_numpy(value.copy())  # it may be read-only, or run backwards
    _check.tensor(name, value, "P C H W", floating=False)
    if value.is_floating_point():
        raise TypeError(f"{name}: expected raw uint8 images, got {_check.describe(value)}")
    if value.is_meta:
        raise ValueError(f"{name}: expected images with pixels, got {_check.describe(value)} on the meta device")
    if not len(value):
        raise ValueError(f"{name}: expected at least one image, got {_check.describe(value)}")
    if not transformers_in(model):
        raise ValueError(f"{name}: expected a model with a SpatialTransformer, whose θ can be seen, got one without")
    return value


def theta_recorder(run):
    """A function that writes θ of the recorded images, as it is now, into the history; does nothing without any."""
    if run.recorded is None:
        return lambda: None
    name = "watch" if run.probe is None else "probe"
    stn = transformers_in(run.model)[0]
    with blamed_on(name, run.recorded):
        images = run.train.normalize(run.recorded).to(run.device, run.dtype)
    _check_looks_at_the_input(name, run, images[:2])

    def record():
        try:
            # A rehearsal: a localization network that draws random numbers must not change the training by being asked.
            with contract.rehearsal(run.model, run.device), in_eval(run.model), blamed_on(name, run.recorded):
                theta = stn.transform(images).theta
        except Exception:
            if run.checked and name == "watch":  # who only watches does not end a training; the panel says it
                return
            _try_training_set(run)
            raise
        if theta is not None:  # a spline has no matrix
            theta = [[[round(v, 5) for v in row] for row in matrix] for matrix in theta.tolist()]
        run.history.theta.append({"step": run.steps_done, "theta": theta})

    return record


class _Seen(Exception):
    """What comes to a transformer."""


def _check_looks_at_the_input(name, run, images):
    """θ is asked of the images themselves: behind another layer the transformer has never seen such."""

    def tell(module, inputs):
        raise _Seen(*inputs)

    seen = None
    hook = transformers_in(run.model)[0].register_forward_pre_hook(tell)
    try:
        with contract.rehearsal(run.model, run.device), in_eval(run.model):
            unwrapped(run.model)(images)  # what is compiled must not be so with this hook
    except _Seen as here:
        seen = here.args[0] if here.args else None
    except Exception:  # whatever is wrong, the first batch tells it in the usual words
        return
    finally:
        hook.remove()
    if seen is None:
        return
    if seen.shape != images.shape or not torch.allclose(seen.to(images.dtype), images, atol=1e-4, equal_nan=True):
        raise ValueError(
            f"{name}: expected a model whose first SpatialTransformer looks at the input images, got one where it "
            f"looks at what other layers make of them, {_check.describe(seen)}: its θ says nothing of the images"
        )


def _try_training_set(run):
    """Should the model not take the training images either, that is the error to tell."""
    if run.checked or run.transform is not None:  # what the batches will be like, only the transform knows
        return
    images = run.train.normalize(run.train.images[:2]).to(run.device)
    with contract.rehearsal(run.model, run.device), in_eval(run.model):
        run.answer(images)


@contextlib.contextmanager
def blamed_on(name, images):
    """Errors that come of these images, in words that name the argument they came by."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error) is not RuntimeError:  # no memory, for example
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{name}: expected raw images that the model takes, got {_check.describe(images)} ({reason})"
        ) from error
