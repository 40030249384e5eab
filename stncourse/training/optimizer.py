"""A recipe's optimizer and learning rates, with one of its own for localization networks."""

import math

import torch

from stncourse.transformer.spatial_transformer import transformers_in


def localization_parameters(model):
    """The parameters of all localization networks, each once, in the order that they have in the model."""
    chosen = {id(p) for stn in transformers_in(model) for p in stn.localization.parameters()}
    return [p for p in model.parameters() if id(p) in chosen]


def notes_on(model, recipe):
    """What the recipe asks for and this model does not have, as sentences."""
    asked = [name for name in ("localization_factor", "localization_until") if getattr(recipe, name) != 1]
    if not asked or localization_parameters(model):
        return []
    return [f"without effect, as the model has no SpatialTransformer: the recipe's {' and '.join(asked)}"]


def make_optimizer(model, recipe):
    """The recipe's optimizer, with a learning rate of its own for the localization networks."""
    localization = localization_parameters(model)
    chosen = {id(p) for p in localization}
    groups = [{"params": [p for p in model.parameters() if id(p) not in chosen], "lr": recipe.learning_rate}]
    if localization:
        groups.append({"params": localization, "lr": recipe.learning_rate * recipe.localization_factor})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
    )


def make_scheduler(optimizer, recipe, steps_per_epoch, done=0):
    """A factor on every group's learning rate for each step; ``done``: how many were made before."""
    total = recipe.epochs * steps_per_epoch

    def onecycle(step):
        """Cosine from 1/10 up to 1, then cosine down to 1/1000."""
        warm_up = max(1, recipe.warm_up * total)
        if step < warm_up:
            return _cosine(0.1, 1.0, step / warm_up)
        return _cosine(1.0, 0.001, min(1.0, (step - warm_up) / max(1, total - warm_up)))

    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    factor = onecycle if recipe.schedule == "onecycle" else lambda step: 1.0
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=done - 1)


def _cosine(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
