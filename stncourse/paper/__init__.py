"""The paper's experiments, trained again."""

from importlib import import_module

#: Name -> what it trains, in a few words. ``stncourse/paper/NAME.py`` has an ``EXPERIMENT``.
EXPERIMENTS = {
    "table1": "the table of distorted digits (section 4.1)",
    "addition": "the sum of two digits, each in a channel of its own (appendix A.1)",
    "sequences": "rows of one to five digits, transformers inside the network (section 4.2, not its data)",
    "colocalisation": "what images have in common, found without a box (appendix A.2)",
}


def named(name):
    """The :class:`stncourse.paper.experiment.Experiment` of a name in ``EXPERIMENTS``."""
    return import_module(f"stncourse.paper.{name}").EXPERIMENT
