"""Torch's modes and defaults as they are at its start: what an attempt is tried under."""

import contextlib

import torch


@contextlib.contextmanager
def as_torch_starts():
    """Torch's modes and defaults as they are at its start, whatever the notebook has made of them."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.device("cpu"),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
