"""The record of θ during a training, for some probe images."""

import torch

from stncourse._modes import in_eval
from stncourse.transformer.spatial_transformer import transformers_in


def theta_recorder(run):
    """A function that writes θ of the run's probe images, as it is now, into its history; does nothing without any."""
    if run.probe is None:
        return lambda: None
    images, stn = run.train.normalize(run.probe).to(run.device, run.dtype), transformers_in(run.model)[0]

    def record():
        with in_eval(run.model), torch.no_grad():
            theta = stn.transform(images).theta
        if theta is not None:  # a spline has no matrix
            theta = [[[round(v, 5) for v in row] for row in matrix] for matrix in theta.tolist()]
        run.history.theta.append({"step": run.steps_done, "theta": theta})

    return record
