"""The paper's table 1 as an experiment: distorted digits, eight networks (Jaderberg et al. 2015, section 4.1)."""

from stncourse.data.distortions import Distortion, distorted_test
from stncourse.paper import runs
from stncourse.paper.budgets import BUDGETS
from stncourse.paper.cells import TABLE1
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.networks import PaperNetwork


def _data(train, measure, kind):
    """Fresh distortions to learn from in every epoch, the same ones every time to measure on."""
    return Data(train, distorted_test(measure, kind), Distortion(kind, train))


def _network(model, kind, data, precision):
    return PaperNetwork(model, tuple(data.measure.images.shape[-2:]), precision=precision)


EXPERIMENT = Experiment("table1", TABLE1, BUDGETS, _data, _network)


def reproduce(train, test, out, cells=None, budget="quick", seeds=None, device="auto", **options):
    """Train cells of table 1: :func:`stncourse.paper.runs.reproduce` of it; the other options are its."""
    return runs.reproduce(EXPERIMENT, train, test, out, cells, budget, seeds, device, **options)
