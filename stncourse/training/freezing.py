"""What does not learn: the layers that came frozen, and the localization network after the recipe's first part."""

import weakref

from torch import nn

from stncourse.training.model_state import unwrapped
from stncourse.training.optimizer import localization_parameters

# fit leaves a model in eval mode, in which nothing tells the modules that its owner froze from all others: they are
# remembered here, for the next fit.
_LEFT_FROZEN = weakref.WeakSet()


def frozen_modules(model):
    """The modules that stay in eval mode: those that are, in a model in train mode; else those that did in a fit."""
    in_eval = [module for module in model.modules() if not module.training]
    return in_eval if unwrapped(model).training else [module for module in in_eval if module in _LEFT_FROZEN]


class Freezing:
    """The modes of a model's modules during a training, and which of its parameters learn.

    Args:
        model: as it comes from the user.
        until: the number of steps after which the localization network learns no more.
        steps: of the whole training.
    """

    def __init__(self, model, until, steps):
        self.model, self.until = model, until
        self.localization = [p for p in localization_parameters(model) if p.requires_grad]
        #: Whether there is a step in which the localization network learns no more.
        self.will_freeze = bool(self.localization) and steps - 1 >= until
        self.modes = [(module, module.training) for module in model.modules()]
        self.in_eval = frozen_modules(model)

    def set_modes(self):
        """Train mode, but for what was frozen."""
        self.model.train()
        for module in self.in_eval:
            module.training = False

    def before_step(self, steps_done):
        """Let the localization network learn, or learn no more."""
        self._freeze_localization(steps_done >= self.until)

    def leave(self, as_it_came):
        """Eval mode, or the modes that the modules had at the beginning; and everything can learn again."""
        self._freeze_localization(False)
        self.model.eval()
        if not as_it_came:
            _LEFT_FROZEN.difference_update(self.model.modules())
            _LEFT_FROZEN.update(self.in_eval)
            return
        for module, mode in self.modes:
            module.training = mode

    def _freeze_localization(self, frozen):
        # Without a gradient to go to them, autograd leaves out all that lies on the way: sampler, grid, and the
        # gradient of the classifier's first convolution with respect to its image.
        for parameter in self.localization:
            parameter.requires_grad_(not frozen)


def notes_on_frozen(model):
    """Which layers of a model stay in eval mode, as a sentence: it may be a mistake."""
    kinds, frozen = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd), set(frozen_modules(model))
    named = unwrapped(model).named_modules()
    names = [name for name, module in named if isinstance(module, kinds) and module in frozen]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"in eval mode, as before the training: {', '.join(names[:3])}{more}"]
