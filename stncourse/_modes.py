"""A model's modes: train or eval, of each of its modules."""

import contextlib


@contextlib.contextmanager
def in_eval(model):
    """While it lasts, ``model`` is in eval mode; then each of its modules is put back into the mode it was in.

    ``model.train()`` would put all of them into one: a BatchNorm that its owner froze would learn again.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, mode in modes:
            module.training = mode
