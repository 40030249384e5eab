"""The clinic's patients: ill in the way that they are said to be, and cured by the right treatment only."""

import copy
import json
from importlib.resources import files

import pytest
import torch
import torch.nn.functional as F

from stncourse import BACKGROUND, diagnose, load_pretrained, mystery_patient, normalize
from stncourse.training.patients import AILMENTS, Patient, patient_with

SEEDS = range(5)
RUNS = json.loads((files("stncourse.assets") / "ward.json").read_text(encoding="utf-8"))["runs"]


def examine(patient):
    """What can be tested before the training, as notebook 08 does."""
    model, stn = patient.model, patient.model.stn
    pictures = torch.rand(20, 1, 42, 42, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = stn.transform(pictures)
        resized = F.interpolate(pictures, 28, mode="bilinear", align_corners=False)
        outside = stn.sampler(pictures[:1], torch.full((1, 1, 1, 2), 9.0)).item()
    loss = F.nll_loss(model(normalize(patient.test.images[:64])), patient.test.labels[:64])
    (slope,) = torch.autograd.grad(loss, stn.localization.fc_loc[-1].bias)
    twin = copy.deepcopy(stn)
    torch.nn.init.ones_(twin.localization.fc_loc[-1].weight)
    with torch.no_grad():
        differs = twin.transform(pictures).theta.std(0).max().item()
        answers = load_pretrained()(normalize(patient.digits.images[:200])).argmax(1)
    return {
        "changed": (made.images - resized).abs().max().item(),
        "differs": differs,
        "spread": made.theta.std(0).max().item(),
        "inside": (made.grid.abs() <= 1).all(-1).float().mean().item(),
        "slope": slope.abs().max().item(),
        "outside": outside,
        "labels": (answers == patient.digits.labels[:200]).float().mean().item(),
    }


def found_before_training(patient):
    """The ailments that these tests find."""
    test = examine(patient)
    found = set()
    if test["spread"] > 0.01:
        found.add("random start")
    elif test["inside"] < 0.5:
        found.add("starts beside")
    elif test["slope"] == 0:
        found.add("nearest")
    elif test["changed"] > 1e-3:
        found.add("two rulers")
    if test["differs"] == 0:
        found.add("one θ for all")
    if abs(test["outside"] - BACKGROUND) > 0.01:
        found.add("bright frame")
    if test["labels"] < 0.5:
        found.add("wrong labels")
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ailment", AILMENTS)
def test_an_ailment_is_told_from_health_and_from_the_others(ailment, seed):
    """By the tests that need no training; or, for two, by how θ went in the recorded run."""
    found = found_before_training(patient_with(ailment, seed))
    (run,) = (run for run in RUNS if (run["ailment"], run["seed"]) == (ailment, seed))
    if not found:
        measures = run["measures"]
        if measures["moved"] < 0.01:
            found = {"not trained"}
        elif measures["largest"] > 10 or measures["spread"] < 1e-4:
            found = {"too fast"}
        else:
            found = {"healthy"}
    assert found == {ailment}


def test_the_recorded_ward_is_one_run_of_each_ailment_and_seed():
    assert sorted((run["ailment"], run["seed"]) for run in RUNS) == sorted((a, s) for a in AILMENTS for s in SEEDS)


@pytest.mark.parametrize("ailment", ["healthy", "nearest"])
def test_a_patient_trains_as_recorded(ailment):
    """Not to the digit: another torch, another CPU."""
    history = patient_with(ailment, 0).train()
    (run,) = (run for run in RUNS if (run["ailment"], run["seed"]) == (ailment, 0))
    assert history.column("test_accuracy")[-1] == pytest.approx(run["test_accuracy"][-1], abs=0.12)
    assert diagnose(history).name == run["diagnose"]


@pytest.mark.parametrize("ailment", AILMENTS)
def test_the_right_treatment_makes_the_patient_the_healthy_one(ailment):
    """Weight for weight, setting for setting: what it does from then on is what the healthy one of its seed does."""
    cured, healthy = patient_with(ailment, 3).treat(ailment), patient_with("healthy", 3)
    for name, value in healthy.model.state_dict().items():
        assert torch.equal(cured.model.state_dict()[name], value), name
    assert cured.model.stn.sampler.extra_repr() == healthy.model.stn.sampler.extra_repr()
    assert not cured.model.stn.localization._forward_hooks
    assert torch.equal(cured.digits.labels, healthy.digits.labels)
    assert cured._recipe == healthy._recipe
    assert found_before_training(cured) == set()


@pytest.mark.parametrize("ailment", [name for name in AILMENTS if name != "healthy"])
def test_a_treatment_for_something_else_does_not_help(ailment):
    """But for those that one treatment cures: a start at the identity, and the learning rate."""
    alike = [{"starts beside", "random start"}, {"not trained", "too fast"}]
    ill = patient_with(ailment)
    for other in AILMENTS:
        if other == ailment or {other, ailment} in alike:
            continue
        treated = ill.treat(other)
        same = ill.model.stn.sampler.extra_repr() == treated.model.stn.sampler.extra_repr()
        same &= len(ill.model.stn.localization._forward_hooks) == len(treated.model.stn.localization._forward_hooks)
        same &= torch.equal(ill.digits.labels, treated.digits.labels) and ill._recipe == treated._recipe
        bias = "stn.localization.fc_loc.2.bias"
        same &= torch.equal(ill.model.state_dict()[bias], treated.model.state_dict()[bias])
        assert same, other


def test_mystery_patients_are_always_the_same_and_in_tens_all_different():
    for ward in (0, 3):
        numbers = range(10 * ward, 10 * ward + 10)
        right = [[name for name in AILMENTS if mystery_patient(number).check(name)] for number in numbers]
        assert all(len(names) == 1 for names in right)
        assert sorted(name for names in right for name in names) == sorted(AILMENTS)
    one, other = mystery_patient(4), mystery_patient(4)
    assert all(map(torch.equal, one.model.state_dict().values(), other.model.state_dict().values()))
    assert not torch.equal(one.model.linear.weight, mystery_patient(5).model.linear.weight)


def test_torchs_generator_and_defaults_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    mystery_patient(9)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("number", range(10))
def test_nothing_that_is_printed_names_the_ailment(number):
    patient = mystery_patient(number)
    for text in (repr(patient), str(patient), repr(patient.model), repr(patient.digits), repr(patient.test)):
        assert not any(name in text for name in (*AILMENTS, "mode", "align_corners", "factor", "hook"))


def test_a_wrong_diagnosis_is_told_what_to_test():
    patient = patient_with("nearest")
    verdict = patient.check("wrong labels")
    assert not verdict
    assert "nearest" not in str(verdict)
    assert "the labels are not those of the digits" in str(verdict)
    assert patient.check("nearest")
    assert str(patient.check("nearest")) == "Right: nearest."


def test_a_treated_patient_says_so():
    assert "treated for “nearest”" in repr(mystery_patient(2).treat("nearest"))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: mystery_patient(-1), "number"),
        (lambda: mystery_patient("1"), "number"),
        (lambda: patient_with("flu"), "diagnosis"),
        (lambda: patient_with("nearest", -1), "seed"),
        (lambda: mystery_patient(0).check("flu"), "diagnosis"),
        (lambda: mystery_patient(0).treat("flu"), "diagnosis"),
        (lambda: mystery_patient(0).check(None), "diagnosis"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        call()


def test_a_patient_is_trained_once_and_says_it():
    patient = patient_with("healthy")
    assert isinstance(patient, Patient)
    assert "before the training run" in repr(patient)
    patient.model.eval()
    assert "after the training run" in repr(patient)
