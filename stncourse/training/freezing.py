"""What does not learn: the layers that came frozen, and the localization network after the recipe's first part."""

from torch import nn

from stncourse.training.model_state import unwrapped
from stncourse.training.optimizer import localization_parameters


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
        self.in_eval = [module for module, mode in self.modes if not mode] if unwrapped(model).training else []

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
        for module, mode in self.modes if as_it_came else ():
            module.training = mode

    def _freeze_localization(self, frozen):
        # Without a gradient to go to them, autograd leaves out all that lies on the way: sampler, grid, and the
        # gradient of the classifier's first convolution with respect to its image.
        for parameter in self.localization:
            parameter.requires_grad_(not frozen)


def notes_on_frozen(model):
    """Which layers of a model in train mode are in eval mode, as a sentence: it may be a mistake."""
    kinds, model = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd), unwrapped(model)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds) and not module.training]
    if not names or not model.training:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"in eval mode, as before the training: {', '.join(names[:3])}{more}"]
