"""Training in several processes is training in one; and what happens when one of them is killed."""

import contextlib
import json
import os
import signal
import socket
import sys
import weakref
from pathlib import Path

import pytest
import torch
from run_python import run_python
from torch import nn

from stncourse import History, STNClassifier, load_weights
from stncourse.training.distributed import Alone, ProcessLost, Together, current, processes

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or sys.platform != "linux", reason="forks, and needs gloo"
)


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node=2"


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    program = Path(__file__).parent / "train_together.py"
    folder = tmp_path_factory.mktemp("together")
    run_python(program, folder, env=ONE_THREAD, timeout=900)
    return json.loads((folder / "said.json").read_text())


def torchrun(*arguments, environment=(), **options):
    """What two processes print."""
    return run_python(*TORCHRUN.split(), *arguments, env=ONE_THREAD | dict(environment), **options)


def curve(result):
    return [epoch[name] for epoch in result["epochs"] for name in ("train_loss", "test_loss", "test_accuracy")]


def assert_same_run(result, alone):
    assert len(result["epochs"]) == len(alone["epochs"]) == 3
    assert curve(result) == pytest.approx(curve(alone), abs=1e-5)
    ours, theirs = (torch.tensor([snapshot["theta"] for snapshot in run["theta"]]) for run in (result, alone))
    torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=0)  # they are rounded to 1e-5
    assert result["weights"] == pytest.approx(alone["weights"], abs=1e-3)
    assert result["after"] == pytest.approx(alone["after"], abs=1e-5)


def test_the_run_is_one_in_which_something_is_learned(said):
    theta = torch.tensor([snapshot["theta"] for snapshot in said["alone"]["theta"]])
    assert (theta[-1] - theta[0]).abs().max() > 1e-3
    losses = [epoch["train_loss"] for epoch in said["alone"]["epochs"]]
    assert max(losses) - min(losses) > 1e-3


@pytest.mark.parametrize("size", ["2", "3"])
def test_several_processes_have_the_losses_of_one(said, size):
    """Shares of unequal size, and a last batch with fewer digits than processes."""
    codes, results = said[size]
    assert codes == [0] * int(size)
    for result in results:
        assert_same_run(result, said["alone"])
        assert result["weights"] == results[0]["weights"]


def test_also_with_adamw(said):
    codes, results = said["2, adamw"]
    assert codes == [0, 0]
    for result in results:
        assert_same_run(result, said["alone, adamw"])


def test_a_killed_process_ends_all_of_them_and_they_say_why(said):
    codes, messages = said["killed"]
    assert codes == [3, -9, 3]
    for message in messages:
        assert message.startswith("ProcessLost: another process of this training has ended")
        assert "after 2 of 3 epochs, 1 of 3 batches" in message
        assert "run.safetensors, if there is one, holds the last whole epoch: go on with resume=True" in message


@pytest.mark.parametrize("size", ["2", "1"])
def test_the_checkpoint_of_three_processes_is_gone_on_with_by_fewer(said, size):
    codes, results = said["resumed by 2"] if size == "2" else ([0], [said["resumed by 1"]])
    assert codes == [0] * int(size)
    for result in results:
        assert_same_run(result, said["alone"])


def test_a_checkpoint_of_another_run_is_refused_by_all(said):
    codes, messages = said["another recipe"]
    assert codes == [3, 3]
    assert all("learning_rate: the run in" in message for message in messages)


def test_other_arguments_in_one_process_are_refused(said):
    codes, messages = said["other seeds"]
    assert codes == [3, 3]
    assert any(message.startswith("ValueError: seed: expected the same in every process") for message in messages)


def test_a_share_of_one_that_batchnorm_cannot_learn_from_is_said_by_all_before_the_first_step(said):
    """34 digits in batches of 32: of the last two, each process gets one."""
    codes, messages = said["normed 34"]
    assert codes == [3, 3]
    for message in messages:
        assert message.startswith("ValueError: batch_size: ")
        assert "got 32 for 34 images in 2 processes; 33" not in message  # where one is left too
        assert "got 32 for 34 images in 2 processes; 34 would do" in message
    assert said["normed 36"] == [[0, 0], [2, 2]]


@pytest.mark.parametrize("count", [1, 40])
def test_a_model_that_breaks_the_contract_is_left_by_all_processes_together(said, count):
    codes, messages = said[f"scores {count}"]
    assert codes == [3, 3]
    assert any("expected log-probabilities" in message for message in messages)
    assert all(message.startswith("ValueError: model: ") for message in messages)


@pytest.mark.parametrize("name", ["own 2", "own 3", "own, resumed"])
def test_own_losses_and_metrics_are_those_of_one_process(said, name):
    """Shares of unequal size; the mean of what is a whole number is exact."""
    codes, results = said[name]
    alone = said["own, alone"]
    assert codes == [0] * len(results)
    for rank, result in enumerate(results):
        assert len(result["epochs"]) == 3
        for ours, theirs in zip(result["epochs"], alone["epochs"], strict=True):
            assert ours.keys() == theirs.keys()
            for column in ("train_loss", "test_loss", "test_off"):
                assert ours[column] == pytest.approx(theirs[column], abs=1e-5)
            assert ours["test_right"] == theirs["test_right"]
            assert ours["test_label"] == theirs["test_label"] == pytest.approx(alone["label"])
        assert result["weights"] == pytest.approx(alone["weights"], abs=1e-3)
        assert result["weights"] == results[0]["weights"]
        expected = [3] if name == "own, resumed" else [1, 2, 3]
        assert result["called"] == (expected if rank == 0 else [])  # in the first process only
    assert alone["called"] == [1, 2, 3]


def test_where_after_epoch_fails_all_processes_end(said):
    codes, messages = said["own, after_epoch fails"]
    assert codes == [0, 0]  # the error was caught
    assert messages[0] == "LookupError('mine')"
    assert "after_epoch: it failed in the first process" in messages[1]


THREADS = """
import os
from stncourse import FAST_RECIPE, STNClassifier, fit, load_digits
from stncourse import processes

def threads():
    return set(os.listdir("/proc/self/task"))

digits = load_digits("train", source="offline").subset(slice(64))
fit(STNClassifier(), digits, None, FAST_RECIPE, "cpu", verbose=False)  # now all others are there
before = threads()
with processes("cpu") as (group, device):
    fit(STNClassifier(), digits, None, FAST_RECIPE, device, verbose=False)
    assert threads() - before
assert not threads() - before
"""


def test_no_thread_outlives_the_processes(tmp_path):
    """Such a thread aborts Python's exit now and then ("terminate called without an active exception")."""
    (tmp_path / "mine.py").write_text(THREADS)
    torchrun("mine.py", cwd=tmp_path)


def test_torchrun_trains_and_one_process_writes(tmp_path):
    command = "-m stncourse train --recipe fast --epochs 1 --source offline --device cpu"
    where = ["--history", tmp_path / "history.json", "--save", tmp_path / "weights.safetensors"]
    assert torchrun(*command.split(), *where, environment={"PYTHONIOENCODING": "ascii"}).count("epoch 1/1") == 1
    history = History.load(tmp_path / "history.json")
    assert history.epochs[0]["test_accuracy"] > 0.6
    info = load_weights(STNClassifier(), tmp_path / "weights.safetensors")
    assert info["test_accuracy"] == pytest.approx(history.epochs[0]["test_accuracy"], abs=1e-3)


# Without other processes


def test_without_torchrun_it_does_nothing(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with processes("cpu") as (group, device):
        assert type(group) is Alone
        assert (group.rank, group.size, device.type) == (0, 1, "cpu")
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 101])
def test_shares_are_all_items_once_and_as_even_as_can_be(size, count):
    group = Together.__new__(Together)
    group.size, shares = size, []
    for group.rank in range(size):
        shares.append(list(range(count))[group.share(count)])
    assert [item for share in shares for item in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@contextlib.contextmanager
def one_process(monkeypatch):
    """A group of one, that all the same speaks through gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with processes("cpu") as (group, _):
        yield group
    assert type(current()) is Alone


@pytest.fixture
def single(monkeypatch):
    with one_process(monkeypatch) as group:
        yield group


def test_gradients_keep_their_dtype_and_none_stays_none(single):
    model = nn.ModuleDict({"used": nn.Linear(3, 2).double(), "unused": nn.Linear(3, 2), "frozen": nn.Linear(3, 2)})
    model["frozen"].requires_grad_(False)
    images = torch.rand(4, 3, dtype=torch.float64)
    loss = model["used"](images).square().sum()
    expected = torch.autograd.grad(loss, model["used"].parameters(), retain_graph=True)
    single.backward(loss, model)
    for parameter, gradient in zip(model["used"].parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)
    assert model["unused"].weight.grad is None
    assert model["frozen"].weight.grad is None


def test_tensors_of_any_kind_are_sent(single):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[1].weight = model[0].weight
    buffers = {"truth": torch.tensor([True, False]), "b16": torch.ones(2).bfloat16(), "f16": torch.ones(2).half()}
    buffers |= {"expanded": torch.ones(1).expand(4), "column": torch.arange(6).view(2, 3).T, "empty": torch.ones(0)}
    buffers |= {"complex": torch.ones(2, dtype=torch.complex64), "number": torch.tensor(3.0)}
    for name, buffer in buffers.items():
        model.register_buffer(name, buffer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    single.start_alike(model, {"a": 1})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[1].weight is model[0].weight


def test_messages_outlive_the_group(monkeypatch):
    """In torch 2.6 closing it waits for ever for a thread of gloo that frees the last message's tensor."""
    alive = []
    real = torch.distributed.destroy_process_group

    def destroy():
        alive.append([reference() is not None for reference in references])
        real()

    monkeypatch.setattr(torch.distributed, "destroy_process_group", destroy)
    with one_process(monkeypatch) as group:
        sent = [torch.ones(3, dtype=torch.float64) for _ in range(3)]
        references = [weakref.ref(group._reduce(tensor)) for tensor in sent]
        del sent
    assert alive == [[True] * 3]
    assert [reference() for reference in references] == [None] * 3


@pytest.mark.parametrize(("platform", "expected"), [("win32", "0"), ("linux", None)])
def test_windows_is_told_that_there_is_no_libuv(monkeypatch, platform, expected):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("USE_LIBUV", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    with processes("cpu"):
        assert os.environ.get("USE_LIBUV") == expected
    monkeypatch.setenv("USE_LIBUV", "1")
    with processes("cpu"):
        assert os.environ["USE_LIBUV"] == "1"
    monkeypatch.delenv("USE_LIBUV")


def test_an_error_of_the_first_process_is_everyones(single):
    with pytest.raises(FileNotFoundError, match="nothing there"):
        single.first(lambda: (_ for _ in ()).throw(FileNotFoundError("nothing there")))
    assert single.first(lambda: {"a": torch.ones(2)})["a"].tolist() == [1, 1]


def test_a_sigterm_says_that_another_one_failed(single):
    with pytest.raises(ProcessLost, match="told to end"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"^device: expected a GPU for each process, this machine has 2"):
        processes("cuda").__enter__()
