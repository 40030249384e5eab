"""Every experiment of the paper: a description that is whole, and the command that trains it."""

import pytest
import torch
import torch.nn.functional as F

from stncourse import load_digits
from stncourse.data.digits import Digits
from stncourse.paper import EXPERIMENTS, named
from stncourse.paper.budgets import Budget
from stncourse.paper.experiment import Data, Experiment
from stncourse.paper.paper_table import PaperTable
from stncourse.paper.runs import reproduce
from stncourse.training.recipes import Recipe

experiments = pytest.mark.parametrize("name", EXPERIMENTS)


@pytest.fixture(scope="module")
def digits():
    return [load_digits(split, "offline").subset(slice(None, None, 40)) for split in ("train", "test")]


@experiments
def test_its_description_is_whole(name):
    experiment = named(name)
    assert experiment.name == name
    assert set(experiment.budgets) == {"quick", "standard", "full"}
    assert set(experiment.paper.cells) >= {
        (model, column) for model, errors in experiment.paper.errors.items() for column in errors
    }
    for key, budget in experiment.budgets.items():
        assert budget.name == key
        assert set(budget.cells) <= set(experiment.paper.cells)
        assert {column for _, column in budget.cells} <= set(budget.epochs)


@experiments
def test_its_data_are_the_same_again_and_never_of_the_other_digits(name, digits):
    experiment = named(name)
    for column in experiment.paper.columns:
        first, again = (experiment.data(*digits, column) for _ in range(2))
        assert torch.equal(first.train.images, again.train.images)
        assert torch.equal(first.measure.images, again.measure.images)
        assert torch.equal(first.measure.labels, again.measure.labels)


@experiments
def test_its_first_cell_is_trained_measured_and_read(name, digits, tmp_path, capsys):
    experiment = named(name)
    model, column = experiment.budgets["quick"].cells[0]
    base = experiment.budgets["quick"].base
    budget = Budget("tiny", {column: 1}, ((model, column),), 1, batch_size=64, base=base)
    results = reproduce(experiment, *digits, tmp_path, budget=budget, device="cpu", verbose=False)
    assert results.keys() == {(model, column)}
    assert 0 <= results[model, column]["error"]["mean"] <= 100
    text = experiment.paper.text(results)
    assert model in text
    assert "not run" in text
    assert capsys.readouterr().out.startswith(f"run 1 of 1: {model} on {column}, seed 0: 1 epochs, about")


# One of our own, with all that may be different


def _two_labels(train, measure, column):
    def doubled(digits):
        return Digits(digits.images, torch.stack([digits.labels, digits.labels], 1), digits.source)

    return Data(doubled(train), doubled(measure), lambda images, generator: images[:, :, ::2, ::2])


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stn = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
        self.last = torch.nn.Linear(14 * 14, 10)

    def forward(self, images):
        return self.last(images[..., :14, :14].flatten(1)).log_softmax(1)


def test_what_an_experiment_may_say_for_itself_is_done(digits, tmp_path):
    seen = []

    def facts(model, data, device):
        seen.append((type(model), data.measure.images.shape[1:], device.type))
        return {"answer": 42}

    def loss(output, labels):
        assert labels.shape == (len(output), 2)
        return F.nll_loss(output, labels[:, 1])

    def wrong(model, measure, device):
        return torch.arange(len(measure)) % 4 == 0  # a quarter

    paper = PaperTable({"Small": {"halved": 80.0}}, ("halved", "other"), column="size", right=True)
    experiment = Experiment(
        "own",
        paper,
        {},
        _two_labels,
        lambda model, column, data, precision: Small(),
        loss=loss,
        wrong=wrong,
        facts=facts,
    )
    budget = Budget("tiny", {"halved": 1}, (("Small", "halved"),), 1, batch_size=16, base=Recipe("own"))
    cell = reproduce(experiment, *digits, tmp_path, budget=budget, device="cpu")["Small", "halved"]
    assert cell["size"] == "halved"
    assert "distortion" not in cell
    share = 100 * len(range(0, cell["test_digits"], 4)) / cell["test_digits"]
    assert cell["error"]["mean"] == pytest.approx(share, abs=1e-3)
    assert cell["runs"][0]["facts"] == {"answer": 42}
    assert seen == [(Small, (1, 28, 28), "cpu")]
    assert (tmp_path / "small_halved.stn.safetensors").exists()
    row = paper.text({("Small", "halved"): cell}).splitlines()[2]
    assert row.split("|")[2].strip() == f"80.0 / {100 - share:.2f}"
    assert row.split("|")[3].strip() == "– / not run"


def test_a_cell_is_refused_by_another_table(digits, tmp_path):
    with pytest.raises(ValueError, match=r"^cells: expected MODEL/SIZE with Small and halved, got 'CNN/R'"):
        PaperTable({"Small": {}}, ("halved",), column="size").choose(["CNN/R"])


@pytest.fixture
def trained(digits, tmp_path):
    """Function: options -> the addition's FCN, one epoch, in one and the same folder."""

    def train(name="addition", label="tiny", some=digits, **options):
        experiment = named(name)
        base = experiment.budgets["quick"].base
        key = next(key for key in experiment.paper.cells if key[0] == "FCN" and key[1] == "RTS")
        budget = Budget(label, {"RTS": 1}, (key,), 1, batch_size=64, base=base)
        return reproduce(experiment, *some, tmp_path, budget=budget, device="cpu", verbose=False, **options)

    return train


def test_what_is_there_is_of_the_same_experiment(trained):
    """Table 1 and the addition both have an FCN on RTS."""
    trained("table1")
    with pytest.raises(ValueError, match=r"^out: expected runs of FCN on RTS with recipe"):
        trained("addition")


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"measured_on": "validation"}, {"label": "other"}])
def test_other_settings_are_refused_though_nothing_is_left_to_train(trained, options):
    trained()
    trained()
    with pytest.raises(ValueError, match=r"^out: expected runs of FCN on RTS with"):
        trained(**options)


OTHER_DIGITS = r"^out: expected runs with train_digits \d+, those of FCN on RTS have \d+"


def test_a_seed_of_other_digits_does_not_join(trained, digits, tmp_path):
    trained()
    before = (tmp_path / "fcn_rts.json").read_bytes()
    fewer = [some.subset(slice(len(some) - 5)) for some in digits]
    for seeds in (1, 2):  # with one, nothing is left to train
        with pytest.raises(ValueError, match=OTHER_DIGITS):
            trained(some=fewer, seeds=seeds)
    assert (tmp_path / "fcn_rts.json").read_bytes() == before


def test_one_table_is_of_the_same_digits_in_all_its_fields(trained, digits):
    trained("table1")
    fewer = [some.subset(slice(len(some) - 5)) for some in digits]
    with pytest.raises(ValueError, match=OTHER_DIGITS):
        trained("table1", some=fewer, cells=[("FCN", "R")])
