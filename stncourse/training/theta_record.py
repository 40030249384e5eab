"""The record of θ during a training, for some probe images."""

import contextlib

import numpy as np
import torch

from stncourse import _check
from stncourse._modes import in_eval
from stncourse.data.digits import Digits
from stncourse.training import contract
from stncourse.transformer.spatial_transformer import transformers_in


def probe_images(name, value, model):
    """The raw images that an argument of ``fit`` named ``name`` gives, a tensor ``(P, C, H, W)``."""
    if isinstance(value, Digits):
        value = value.images
    elif isinstance(value, np.ndarray) and value.dtype.kind in "uif":
        value = torch.from_numpy(value.copy())  # it may be read-only, or run backwards
    _check.tensor(name, value, "P C H W", floating=False)
    if not len(value):
        raise ValueError(f"{name}: expected at least one image, got {_check.describe(value)}")
    if not transformers_in(model):
        raise ValueError(f"{name}: expected a model with a SpatialTransformer, whose θ can be seen, got one without")
    return value


def theta_recorder(run):
    """A function that writes θ of the run's probe images, as it is now, into its history; does nothing without any."""
    if run.probe is None:
        return lambda: None
    name = "watch" if run.watched is not None and run.probe is run.watched.images else "probe"
    stn = transformers_in(run.model)[0]
    with blamed_on(name, run.probe):
        images = run.train.normalize(run.probe).to(run.device, run.dtype)

    def record():
        # A rehearsal: a localization network that draws random numbers must not change the training by being asked.
        with contract.rehearsal(run.model, run.device), in_eval(run.model), blamed_on(name, run.probe):
            theta = stn.transform(images).theta
        if theta is not None:  # a spline has no matrix
            theta = [[[round(v, 5) for v in row] for row in matrix] for matrix in theta.tolist()]
        run.history.theta.append({"step": run.steps_done, "theta": theta})

    return record


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
