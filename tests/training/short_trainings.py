"""What the tests of trainings share: a few hundred digits, and trainings of some seconds on them."""

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from stncourse import FAST_RECIPE, Recipe, STNClassifier, fit, load_digits

TRAIN = load_digits("train", source="offline").subset(slice(None, None, 16))
TEST = load_digits("test", source="offline").subset(slice(None, None, 10))
EMPTY = TRAIN.subset(slice(0))
ONE_STEP = Recipe("one step", epochs=1, batch_size=len(TRAIN), learning_rate=0.1)


def make(model_class=STNClassifier, seed=0):
    torch.manual_seed(seed)
    return model_class()


def quick_fit(model, recipe=FAST_RECIPE, train=TRAIN, **options):
    return fit(model, train, recipe=recipe, device="cpu", verbose=False, **options)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


class StepWatcher(list):
    """Collects (optimizer, learning rates) at every optimizer step made inside ``with``."""

    def __enter__(self):
        self.handle = register_optimizer_step_pre_hook(self.hook)
        return self

    def __exit__(self, *_):
        self.handle.remove()

    def hook(self, optimizer, *_):
        self.append((optimizer, [group["lr"] for group in optimizer.param_groups]))

    def rates(self, group):
        return [rates[group] for _, rates in self]
