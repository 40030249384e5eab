"""Adding two digits: the networks, and what is measured of them."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import stncourse
from stncourse import BACKGROUND, SpatialTransformer, load_digits, normalize
from stncourse.__main__ import main
from stncourse.paper.addition import (
    EXPERIMENT,
    PAPER,
    load_adding_transformers,
    load_addition,
    look,
    measured_pairs,
)
from stncourse.paper.addition_networks import ADDITION_MODELS, AdditionNetwork
from stncourse.paper.budgets import Budget
from stncourse.paper.taken import who_took_which
from stncourse.training.optimizer import localization_parameters

models = pytest.mark.parametrize("model", ADDITION_MODELS)


@pytest.fixture(scope="module")
def digits():
    return [load_digits(split, "offline").subset(slice(None, None, 20)) for split in ("train", "test")]


@models
@pytest.mark.parametrize("size", [42, (31, 44)])
def test_every_network_says_log_probabilities_of_19_sums(model, size):
    network = AdditionNetwork(model, size)
    images = torch.rand(3, 2, *network.image_size)
    log_probabilities = network(images)
    assert log_probabilities.shape == (3, 19)
    assert torch.allclose(log_probabilities.exp().sum(1), torch.ones(3), atol=1e-5)
    assert abs(sum(p.numel() for p in network.parameters()) - 400_000) < 4000
    assert len(network.stn or ()) == ADDITION_MODELS[model][1]


@models
def test_the_classifier_may_be_in_bfloat16(model):
    images = torch.rand(3, 2, 42, 42)
    outputs = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        outputs.append(AdditionNetwork(model, 42, precision=precision).eval()(images))
    assert outputs[1].dtype == torch.float32
    assert not torch.equal(*outputs)
    assert torch.allclose(*outputs, atol=0.05)


def test_both_transformers_warp_both_channels_and_the_classifier_gets_four():
    network = AdditionNetwork("2xST-FCN", 42).eval()
    for number, stn in enumerate(network.stn):
        assert isinstance(stn, SpatialTransformer)
        with torch.no_grad():  # one looks at twice as much, the other turns by a right angle
            stn.localization[-1].bias.copy_(torch.tensor([[2.0, 0, 0, 0], [0, -1, 0, 0]][number]))
    seen = []
    network.classifier.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    images = torch.rand(5, 2, 42, 42)
    network(images)
    assert seen[0].shape == (5, 4, 28, 28)
    seen, whole = seen[0], F.interpolate(images, (28, 28), mode="bilinear")
    # Twice as much is seen: every third pixel of the image, and around the image is background.
    assert torch.allclose(seen[:, :2, 7:21, 7:21], images[:, :, 1::3, 1::3], atol=1e-4)
    assert torch.allclose(seen[:, :2, :6], torch.tensor(BACKGROUND))
    # θ sends output (x, y) to input (y, -x): what lies on top comes out on the right.
    assert torch.allclose(seen[:, 2:], torch.rot90(whole, -1, (2, 3)), atol=1e-4)


def test_the_recipes_localization_rate_reaches_all_transformers():
    assert len(localization_parameters(AdditionNetwork("2xST-FCN", 42))) == 2 * 14


def test_untrained_transformers_look_at_the_whole_image_and_have_taken_nothing(digits):
    data = EXPERIMENT.data(*digits, "RTS")
    network = EXPERIMENT.network("2xST-FCN", "RTS", data, "float32")
    facts = EXPERIMENT.facts(network, data, torch.device("cpu"))
    spread = torch.tensor(facts["spread"])
    assert spread.shape == (2, 2)
    # The same frame on all images: it strays as much as the digits lie apart.
    assert torch.equal(spread[0], spread[1])
    assert (spread > 5).all()
    assert EXPERIMENT.facts(EXPERIMENT.network("CNN", "RTS", data, "float32"), data, "cpu") == {}


def test_where_each_transformer_looks_is_told_in_the_order_of_the_pairs(digits):
    pairs, each, theta = measured_pairs(digits[1])
    assert torch.equal(pairs.labels, each.sum(1))
    assert theta.shape == (len(pairs), 2, 2, 3)
    network = AdditionNetwork("2xST-FCN", 42)
    torch.nn.init.normal_(network.stn[1].localization[-1].weight, std=0.1)
    grids = look(network, pairs, batch_size=7)
    assert grids.shape == (2, len(pairs), 28, 28, 2)
    network.eval()
    with torch.no_grad():
        alone = network.stn[1].transform(normalize(pairs.images[10:11])).grid
    assert torch.allclose(grids[1, 10], alone[0], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(("RNN", 42), "name"), (("ST-FCN", 20), "image_size"), (("ST-FCN", 42, "elastic"), "family")],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        AdditionNetwork(*arguments)
    with pytest.raises(ValueError, match=r"^images: expected"):
        AdditionNetwork("FCN", 42)(torch.rand(3, 1, 42, 42))


def test_the_command_trains_a_cell_and_prints_the_table(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stncourse, "load_digits", lambda split, source: digits[split == "test"])
    base = EXPERIMENT.budgets["quick"].base
    tiny = Budget("quick", {"RTS": 1}, (("2xST-FCN", "RTS"),), 1, batch_size=40, base=base)
    monkeypatch.setitem(EXPERIMENT.budgets, "quick", tiny)
    assert main(["reproduce", "addition", "--device", "cpu", "--out", str(tmp_path)]) == 0
    table = capsys.readouterr().out.splitlines()[-4:]
    cell = json.loads((tmp_path / "2xst-fcn_rts.json").read_text(encoding="utf-8"))
    assert [row.split("|")[1].strip() for row in table] == list(PAPER)
    assert table[-1].split("|")[2].strip() == f"5.8 / {cell['error']['mean']:.2f}"
    assert table[0].split("|")[2].strip() == "47.7 / not run"
    assert cell["recipe"]["name"] == "addition quick"
    assert set(cell["runs"][0]["facts"]) == {"spread", "digit", "share"}
    weights = load_file(tmp_path / "2xst-fcn_rts.stn.safetensors")
    assert weights.keys() == AdditionNetwork("2xST-FCN", 42).stn.state_dict().keys()


# What ships


def test_the_cells_that_ship_say_what_notebook_13_says_of_them():
    cells = load_addition()
    error = {model: cell["error"]["mean"] for (model, _), cell in cells.items()}
    assert error["2xST-FCN"] < error["ST-FCN"] / 3 < error["FCN"] / 6
    assert error["CNN"] < error["2xST-FCN"] < PAPER["2xST-FCN"]["RTS"]
    spent = {
        model: sum(run["cpu_seconds"] for run in cell["runs"]) / len(cell["runs"]) for (model, _), cell in cells.items()
    }
    assert spent["CNN"] > 3 * spent["2xST-FCN"]
    recipes = [cell["recipe"] | {"steps": cell["steps"]} for cell in cells.values()]
    assert recipes.count(recipes[0]) == len(cells)  # equal budgets
    assert all(cell["measured_on"] == "test" for cell in cells.values())


def test_the_transformers_that_ship_have_shared_out_the_digits():
    """On the digits that ship, and as their cell says of MNIST's."""
    pairs, _, theta = measured_pairs(load_digits("test", "offline"))
    with torch.no_grad():
        grids = [stn.transform(normalize(pairs.images)).grid for stn in load_adding_transformers()]
    taken = who_took_which(grids, theta)
    (run,) = [run for run in load_addition()["2xST-FCN", "RTS"]["runs"] if run["seed"] == 0]
    assert taken.digit.tolist() == run["facts"]["digit"]
    assert sorted(run["facts"]["digit"]) == [0, 1]
    assert torch.allclose(taken.spread, torch.tensor(run["facts"]["spread"]), atol=0.7)
    assert taken.share.min() > 0.9
    with pytest.raises(ValueError, match=r"^name: expected"):
        load_adding_transformers("three")
