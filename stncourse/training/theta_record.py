"""The record of θ during a training, for some probe images."""

import contextlib

import torch

from stncourse import _check
from stncourse._modes import in_eval
from stncourse.transformer.spatial_transformer import transformers_in


def theta_recorder(run):
    """A function that writes θ of the run's probe images, as it is now, into its history; does nothing without any."""
    if run.probe is None:
        return lambda: None
    stn = transformers_in(run.model)[0]
    with _blamed_on_probe(run.probe):
        images = run.train.normalize(run.probe).to(run.device, run.dtype)

    def record():
        with in_eval(run.model), torch.no_grad(), _blamed_on_probe(run.probe):
            theta = stn.transform(images).theta
        if theta is not None:  # a spline has no matrix
            theta = [[[round(v, 5) for v in row] for row in matrix] for matrix in theta.tolist()]
        run.history.theta.append({"step": run.steps_done, "theta": theta})

    return record


@contextlib.contextmanager
def _blamed_on_probe(probe):
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error) is not RuntimeError:  # no memory, for example
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"probe: expected raw images that the model's transformer takes, got {_check.describe(probe)} ({reason})"
        ) from error
