"""Numbers that are wide enough for coordinates: float32 at least, also for images in half precision.

In bfloat16 a coordinate is off by up to 0.17 pixels on an image of 60, and autocast makes all matrix products so.
"""

import contextlib

import torch

HALF = (torch.float16, torch.bfloat16)
_AS_IT_IS = contextlib.nullcontext()


def at_least_float32(tensor):
    """Half precision becomes float32; float32 and float64 pass as they are."""
    return tensor.float() if tensor.dtype in HALF else tensor


def without_autocast(tensor):
    """A context in which autocast leaves the operations on this tensor's device alone."""
    kind = tensor.device.type
    # Only where it is on: torch.export would write the context into the graph, which ONNX has no word for. On "meta",
    # where there are no numbers, torch knows of no autocast.
    on = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else _AS_IT_IS
