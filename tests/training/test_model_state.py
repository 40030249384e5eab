"""A model's tensors go by the same names whatever is wrapped around it, or around a part of it."""

import pytest
import torch
from torch import nn

from stncourse import SpatialTransformer, STNClassifier
from stncourse.training.model_state import put_into, remember_buffers, tensors_of, tied, unwrapped


def compiled(module):
    return torch.compile(module, backend="eager")


class Wrapped(STNClassifier):
    """Parts of it are compiled, or in DataParallel."""

    def __init__(self):
        super().__init__()
        self.stn = compiled(nn.DataParallel(self.stn))
        self.classifier.conv1 = compiled(self.classifier.conv1)


WRAPPINGS = {
    "plain": STNClassifier,
    "compiled": lambda: compiled(STNClassifier()),
    "parallel": lambda: nn.DataParallel(STNClassifier()),
    "both": lambda: nn.DataParallel(compiled(STNClassifier())),
    "inside": Wrapped,
    "inside and outside": lambda: compiled(Wrapped()),
}


@pytest.mark.parametrize("make", WRAPPINGS.values(), ids=WRAPPINGS)
def test_names_are_those_without_wrappers(make):
    model = make()
    assert tensors_of(model).keys() == STNClassifier().state_dict().keys()
    assert isinstance(unwrapped(model), STNClassifier)
    plain = STNClassifier()
    put_into(model, plain.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in tensors_of(model).items())


def test_a_part_of_ones_own_may_be_called_module():
    model = nn.ModuleDict({"module": nn.Linear(2, 2), "other": nn.ModuleDict({"module": nn.Linear(1, 1)})})
    names = {"module.weight", "module.bias", "other.module.weight", "other.module.bias"}
    assert tensors_of(model).keys() == names
    assert tensors_of(nn.DataParallel(model)).keys() == names
    assert unwrapped(model) is model


def test_tied_tensors_are_known_by_all_their_names():
    stn = SpatialTransformer.for_images(28)
    model = nn.ModuleDict({"a": stn, "b": SpatialTransformer(stn.localization, stn.grid_generator, stn.sampler)})
    pairs = {tuple(names) for names in tied(model)}
    assert {(f"a.{name}", f"b.{name}") for name in stn.state_dict()} == pairs


def test_state_that_is_no_tensor_is_named():
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"seen": 3}

    with pytest.raises(TypeError, match=r"^model: .*got '0._extra_state': dict"):
        tensors_of(nn.Sequential(Extra(1, 1)))


def test_buffers_of_any_kind_are_put_back():
    model = nn.BatchNorm1d(3)
    model.register_buffer("expanded", torch.ones(1).expand(3))
    model.register_buffer("column", torch.arange(6.0).view(2, 3).T)
    model.register_buffer("not_kept", torch.tensor(True), persistent=False)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    put_back = remember_buffers(model)
    model(torch.rand(8, 3))
    model.column = model.column + 1
    model.not_kept.logical_not_()
    assert not torch.equal(model.running_mean, before["running_mean"])
    put_back()
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    tensors = {name: torch.full_like(value, 7) for name, value in tensors_of(model).items()}
    put_into(model, tensors)
    assert all((value == 7).all() for value in tensors_of(model).values())
