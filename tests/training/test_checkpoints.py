"""Checkpoints: a run that is stopped anywhere ends as one that never was; a file that is not one is refused."""

import errno
import json
import os
import pickle
import random
import signal
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from run_python import run_python
from safetensors.torch import save_file
from torch import nn

from stncourse import (
    CheckpointError,
    DigitCNN,
    Recipe,
    SpatialTransformer,
    STNClassifier,
    fit,
    load_digits,
    load_weights,
    save_weights,
)
from stncourse.__main__ import main
from stncourse.training.checkpoints import as_bytes, read_tensors, save_tensors
from stncourse.training.model_state import tensors_of

ADAMW = Recipe("test", epochs=3, batch_size=32, optimizer="adamw", schedule="onecycle", localization_factor=0.1)
SGD = Recipe("test", epochs=3, batch_size=32)
AUGMENTED = ADAMW.but(augment=1.0)
FROZEN, FROZEN_HALFWAY = (ADAMW.but(localization_until=until) for until in (0.0, 0.5))
RECIPES = {"adamw": ADAMW, "sgd": SGD, "augmented": AUGMENTED, "frozen": FROZEN, "frozen halfway": FROZEN_HALFWAY}
SCRIPT = Path(__file__).with_name("kill_and_resume.py")


@pytest.fixture(scope="module")
def digits():
    return load_digits("train", source="offline").subset(slice(150))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def new_model(seed=1):
    torch.manual_seed(seed)
    return STNClassifier()


def train(digits, path, model=None, **options):
    """A short run. Its history."""
    options = {"recipe": ADAMW, "seed": 5, "probe": digits.images[:2], "probe_every": 2, "verbose": False} | options
    return fit(new_model() if model is None else model, digits, checkpoint=path, device="cpu", **options)


def interrupted_at(call, times=1):
    """A transform that presses Ctrl-C when it is called for the ``call``-th time."""
    calls = []

    def roll(images, generator):
        calls.append(1)
        if len(calls) == call:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return images.roll(int(torch.randint(-2, 3, (), generator=generator)), -1)

    roll.__qualname__ = "roll"  # the same transform, as far as a checkpoint can tell
    return roll


def without_seconds(history):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in history["epochs"]], history["theta"]


def assert_same_run(one, other):
    """All but the time that it took."""
    (tensors, info), (other_tensors, other_info) = read_tensors(one), read_tensors(other)
    assert tensors.keys() == other_tensors.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []
    assert without_seconds(info["history"]) == without_seconds(other_info["history"])
    assert info["run"] == other_info["run"]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_unchanged(model, before):
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# Stopped and gone on


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_random_moments_ends_as_one_that_never_was(tmp_path, seed):
    ends = run_python(SCRIPT, tmp_path, seed, 9).split("\n")
    assert not [end for end in ends if end.startswith("failed")], ends
    assert (ends.count("killed"), ends.count("interrupted")) == (6, 3)
    assert_same_run(tmp_path / "whole.safetensors", tmp_path / "killed.safetensors")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("call", [1, 3, 5, 6, 14])  # 5 batches an epoch: the first, one inside, the last, …
def test_an_interrupted_run_goes_on_bit_for_bit(digits, tmp_path, recipe, call):
    options = {"recipe": recipe, "transform": interrupted_at(0), "test": digits}
    whole = new_model()
    train(digits, tmp_path / "whole", whole, **options)
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path / "stopped", **options | {"transform": interrupted_at(call)})
    model = new_model(seed=2)  # other weights: they have to come from the file
    history = train(digits, tmp_path / "stopped", model, resume=True, **options)
    assert history.column("epoch") == [1, 2, 3]
    assert_unchanged(model, whole.state_dict())
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_an_interrupted_model_can_be_used_and_the_record_is_there(digits, path):
    model, before = new_model(), signal.getsignal(signal.SIGINT)
    with pytest.raises(
        KeyboardInterrupt, match=r"after 1 of 3 epochs, 2 of 5 batches; the model has .*resume=True"
    ) as e:
        train(digits, path, model, transform=interrupted_at(7))
    assert e.value.history.column("epoch") == [1]
    assert not model.training
    tensors = read_tensors(path)[0]
    assert all(torch.equal(value, tensors[f"model.{name}"]) for name, value in model.state_dict().items())
    assert signal.getsignal(signal.SIGINT) is before  # which is another one in a shell's background


def test_the_time_before_an_interruption_counts(digits, path):
    with pytest.raises(KeyboardInterrupt):
        train(digits, path, transform=interrupted_at(4))
    now = read_tensors(path)[1]["now"]
    history = train(digits, path, resume=True, transform=interrupted_at(0))
    assert history.epochs[0]["cpu_seconds"] > now["cpu_seconds"] > 0
    assert history.epochs[0]["seconds"] > now["seconds"] > 0


def test_interrupting_works_without_a_checkpoint_too(digits):
    model = new_model()
    with pytest.raises(KeyboardInterrupt, match="after 0 of 3 epochs, 1 of 5 batches"):
        fit(model, digits, recipe=SGD, device="cpu", transform=interrupted_at(1), verbose=False)
    assert not model.training


def test_a_second_interruption_stops_at_once(digits, path):
    with pytest.raises(KeyboardInterrupt) as error:
        train(digits, path, transform=interrupted_at(7, times=2))
    assert str(error.value) == ""
    assert read_tensors(path)[1]["now"] | {"seconds": 0, "cpu_seconds": 0} == {
        "epoch": 1, "batch": 0, "loss": 0.0, "seconds": 0, "cpu_seconds": 0,
    }  # fmt: skip


def test_resume_starts_when_there_is_none_yet_and_ends_when_it_is_done(digits, path, capsys):
    model = new_model()
    history = train(digits, path, model, resume=True)
    assert history.column("epoch") == [1, 2, 3]
    written = path.read_bytes()
    other = new_model(seed=3)
    again = train(digits, path, other, resume=True, verbose=True)
    assert capsys.readouterr().out == "going on after 3 of 3 epochs, 0 of 5 batches\n"
    assert again == history
    assert_unchanged(other, weights(model))
    assert not other.training
    assert path.read_bytes() == written


def test_a_run_that_is_there_is_not_overwritten(digits, path):
    train(digits, path)
    written, model = path.read_bytes(), new_model()
    before = weights(model)
    with pytest.raises(ValueError, match=r"^checkpoint: expected a new file, .* resume=True goes on"):
        train(digits, path, model)
    assert path.read_bytes() == written
    assert_unchanged(model, before)


OTHER = {
    "recipe": {"recipe": ADAMW.but(learning_rate=0.02)},
    "seed": {"seed": 6},
    "transform": {"transform": interrupted_at(0)},
    "probe": {"probe": None},
    "probe_every": {"probe_every": 3},
    "test": {"test": load_digits("test", source="offline").subset(slice(10))},
}


@pytest.mark.parametrize("name", OTHER)
def test_another_run_is_refused_by_name_and_changes_nothing(digits, path, name):
    train(digits, path)
    model = new_model(seed=3)
    before = weights(model)
    with pytest.raises(
        ValueError, match=f"^{'learning_rate' if name == 'recipe' else name}: the run in .* has another"
    ):
        train(digits, path, model, resume=True, **OTHER[name])
    assert_unchanged(model, before)


def test_other_digits_and_another_model_are_refused(digits, path):
    train(digits, path, probe=None)
    with pytest.raises(ValueError, match=r"^train: the run in"):
        train(digits.subset(slice(149)), path, resume=True, probe=None)
    with pytest.raises(ValueError, match=r"^model: the run in"):
        train(digits, path, DigitCNN(), resume=True, probe=None)


def test_resume_without_a_checkpoint_is_refused(digits):
    with pytest.raises(ValueError, match=r"^resume: expected a checkpoint"):
        train(digits, None, resume=True)


def test_a_loss_that_is_nan_leaves_the_last_good_checkpoint(digits, path):
    def broken_in_the_second_epoch(images, generator):
        broken_in_the_second_epoch.calls += 1
        return images * (float("nan") if broken_in_the_second_epoch.calls == 8 else 1)

    broken_in_the_second_epoch.calls = 0
    model = new_model()
    with pytest.raises(FloatingPointError, match=r"epoch 2, batch 3 of 5, .*: try a learning rate below 0.01") as error:
        train(digits, path, model, transform=broken_in_the_second_epoch)
    assert error.value.history.column("epoch") == [1]
    assert not model.training
    assert read_tensors(path)[1]["now"]["epoch"] == 1


# Where it cannot be written


def test_a_file_that_cannot_be_written_is_said_before_the_training(digits, tmp_path):
    for path, error in [(tmp_path, IsADirectoryError), (tmp_path / "none" / "run", FileNotFoundError), (3, TypeError)]:
        model = new_model()
        before = weights(model)
        with pytest.raises(error, match=r"^checkpoint: "):
            train(digits, path, model)
        assert_unchanged(model, before)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_old_file_and_the_training(digits, path, monkeypatch):
    save_tensors(path, {"a": torch.ones(1)}, {})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_tensors(path, {"a": torch.zeros(1)}, {})
    assert read_tensors(path)[0]["a"] == 1
    assert os.listdir(path.parent) == [path.name]
    with pytest.warns(UserWarning, match=r"^checkpoint: could not write .*No space.*; the training goes on"):
        history = train(digits, path.with_name("other"))
    assert history.column("epoch") == [1, 2, 3]


# Files that are something else


class Bomb:
    """A pickle that runs code when it is loaded."""

    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('exploded').touch()",))


def header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


def hostile_files(folder):
    """Name -> a file that is no checkpoint."""
    contents = {
        "empty": b"",
        "text": b"hello, I am a checkpoint",
        "pickle": pickle.dumps(Bomb()),
        "huge header": struct.pack("<Q", 2**62) + b"{}",
        "no JSON": header(b"{]"),
        "deep JSON": header(b'{"__metadata__":{"info":"' + b"[" * 100_000 + b'"}}'),
        "info that is a list": header(b'{"__metadata__":{"info":"[1]"}}'),
        "no info": header(b"{}"),
        "data that is not there": header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
        "offsets that lie": header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}', b"1234"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    torch.save({"a": Bomb()}, folder / "torch.save")
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("a", "b")
    return [*contents, "torch.save", "zip"]


def test_files_of_another_kind_are_refused_and_never_run(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in hostile_files(tmp_path):
        model = new_model()
        before = weights(model)
        with pytest.raises(CheckpointError, match=r"^path: expected a (safetensors )?file"):
            train(digits, tmp_path / name, model, resume=True)
        with pytest.raises(CheckpointError, match=r"^path: expected a (safetensors )?file"):
            load_weights(model, tmp_path / name)
        assert_unchanged(model, before)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("length", [0, 7, 8, 100, 5000, -1])
def test_a_truncated_checkpoint_is_refused(digits, path, length):
    train(digits, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=f"^path: expected a safetensors file, {path} is not one"):
        train(digits, path, resume=True)


def spoilt(name):
    """Function (tensors, info) that makes a checkpoint wrong in one place."""
    first = "model.classifier.conv1.weight"
    return {
        "missing": lambda tensors, info: tensors.pop(first),
        "unknown": lambda tensors, info: tensors.update({"model.extra": torch.ones(1)}),
        "shape": lambda tensors, info: tensors.update({first: torch.ones(3)}),
        "dtype": lambda tensors, info: tensors.update({first: tensors[first].double()}),
        "memory": lambda tensors, info: tensors.pop("optimizer.3.exp_avg"),
        "generator": lambda tensors, info: tensors.update({"random.torch": torch.zeros(5056, dtype=torch.uint8)}),
        "no position": lambda tensors, info: info.pop("now"),
        "no run": lambda tensors, info: info.pop("run"),
        "negative": lambda tensors, info: info["now"].update(epoch=-1),
        "text": lambda tensors, info: info["now"].update(batch="1"),
        "too far": lambda tensors, info: info["now"].update(epoch=9),
        "nan": lambda tensors, info: info["now"].update(loss=float("nan")),
        "history": lambda tensors, info: info["history"].update(epochs=[]),
        "foreign history": lambda tensors, info: info["history"].update(code="import os"),
        "history of text": lambda tensors, info: info["history"].update(epochs="abc"),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["missing", "unknown", "shape", "dtype", "memory", "generator", "no position", "no run", "negative", "text",
     "too far", "nan", "history", "foreign history", "history of text"],
)  # fmt: skip
def test_a_checkpoint_that_contradicts_itself_is_refused_and_changes_nothing(digits, path, name):
    train(digits, path)
    tensors, info = read_tensors(path)
    spoilt(name)(tensors, info)
    save_tensors(path, tensors, info)
    model = new_model(seed=3)
    before = weights(model)
    with pytest.raises(CheckpointError, match=r"^path: expected "):
        train(digits, path, model, resume=True)
    assert_unchanged(model, before)


# Damaged files


def flips(data, seed):
    """Every byte of the header, 300 of the content; each changed in one bit, and in another way."""
    chance = random.Random(seed)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for place in [*range(header), *chance.sample(range(header, len(data)), min(300, len(data) - header))]:
        for change in (1 << chance.randrange(8), chance.randrange(1, 256)):
            yield place, data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


@pytest.mark.parametrize("info", [{"epoch": 3}, {"sha256": "0" * 64, "θ": '"sha256":"' + "0" * 64 + '"'}])
def test_a_file_with_one_changed_byte_is_refused(path, info):
    tensors = {"a": torch.rand(70), "sha256": torch.ones(3, dtype=torch.int64), "empty": torch.ones(0)}
    save_tensors(path, tensors, info)
    data = path.read_bytes()
    damaged = path.with_name("damaged")
    taken = []
    for place, changed in flips(data, seed=len(data)):
        damaged.write_bytes(changed)
        try:
            read_tensors(damaged)
            taken.append(place)
        except CheckpointError:
            pass
    assert taken == []
    read, told = read_tensors(path)
    assert told == info
    assert all(torch.equal(read[name], value) for name, value in tensors.items())


@pytest.mark.parametrize("change", [lambda d: d + b"\0", lambda d: d[:-1], lambda d: d[:-4] + d[-3:] + b"\0"])
def test_a_file_with_more_or_fewer_bytes_is_refused(path, change):
    save_tensors(path, {"a": torch.rand(70)}, {})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError):
        read_tensors(path)


def test_a_damaged_checkpoint_or_weights_file_changes_nothing(digits, path):
    train(digits, path)
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    model = new_model(seed=3)
    before = weights(model)
    with pytest.raises(CheckpointError, match="not what was written"):
        train(digits, path, model, resume=True)
    save_weights(new_model(), {}, path)
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="not what was written"):
        load_weights(model, path)
    assert_unchanged(model, before)


def test_the_same_content_makes_the_same_bytes():
    content = {"b": torch.ones(2), "a": torch.zeros(3)}, {"x": 1, "y": 2}
    assert len({as_bytes(*content) for _ in range(20)}) == 1


def test_files_from_before_there_was_a_digest_are_read(path):
    save_file(new_model().state_dict(), path, {"info": '{"accuracy": 0.5}'})
    model = new_model(seed=2)
    assert load_weights(model, path) == {"accuracy": 0.5}
    assert_unchanged(model, new_model().state_dict())


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_files_from_before_names_were_plain_are_read(path, prefix):
    state = {prefix + name.replace("stn.", "stn._orig_mod."): value for name, value in new_model().state_dict().items()}
    save_file(state, path, {"info": "{}"})
    model = new_model(seed=2)
    load_weights(model, path)
    assert_unchanged(model, new_model().state_dict())


# What a file can hold


class Pair(nn.Module):
    """Two transformers with one localization network, tied weights, and buffers of all kinds."""

    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images(28)
        self.again = SpatialTransformer(self.stn.localization, self.stn.grid_generator, self.stn.sampler)
        self.classifier = DigitCNN()
        self.first, self.second = nn.Linear(10, 10), nn.Linear(10, 10)
        self.second.weight = self.first.weight
        rows = torch.arange(12.0).view(3, 4)
        buffers = {"number": torch.tensor(3), "truth": torch.tensor(True), "expanded": torch.ones(1).expand(5)}
        buffers |= {"column": rows.T, "part": rows[1:, ::2], "same_part": rows[1:], "wide": torch.zeros(2).bfloat16()}
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, images):
        x = self.second(self.first(self.classifier(self.again(self.stn(images)))).relu())
        return nn.functional.log_softmax(x, 1)


def new_pair(seed=1):
    torch.manual_seed(seed)
    return Pair()


def test_shared_weights_are_trained_once_saved_and_gone_on_with(digits, tmp_path):
    whole = new_pair()
    train(digits, tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path / "stopped", new_pair(), transform=interrupted_at(7))
    rolled = new_pair()
    train(digits, tmp_path / "rolled", rolled, transform=interrupted_at(0))
    model = new_pair(seed=2)
    train(digits, tmp_path / "stopped", model, resume=True, transform=interrupted_at(0))
    assert_unchanged(model, weights(rolled))
    assert_same_run(tmp_path / "stopped", tmp_path / "rolled")
    save_weights(whole, {}, tmp_path / "weights")
    load_weights(model, tmp_path / "weights")
    assert_unchanged(model, weights(whole))
    for pair in (whole, model):
        assert pair.second.weight is pair.first.weight
        assert pair.again.localization is pair.stn.localization


def test_a_file_in_which_tied_weights_differ_is_refused(path):
    model = new_pair()
    model.second.weight = nn.Parameter(model.second.weight + 1)
    save_weights(model, {}, path)
    tied = new_pair()
    before = weights(tied)
    with pytest.raises(CheckpointError, match=r"^path: expected 'first.weight' and 'second.weight' in .* to be equal"):
        load_weights(tied, path)
    assert_unchanged(tied, before)
    tied.first.weight.data.fill_(float("nan"))
    save_weights(tied, {}, path)
    load_weights(new_pair(), path)


class Extra(DigitCNN):
    """A model with state that is no tensor."""

    def get_extra_state(self):
        return {"seen": 3}

    def set_extra_state(self, state):
        pass


class Sparse(DigitCNN):
    """A model with a buffer that safetensors does not know."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sparse", torch.eye(3).to_sparse())


@pytest.mark.parametrize("model_class", [Extra, Sparse])
def test_what_a_file_cannot_hold_is_said_before_the_training(digits, path, model_class):
    model = model_class()
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises((TypeError, ValueError), match=r"^(model|tensors): expected"):
        train(digits, path, model, probe=None)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    with pytest.raises((TypeError, ValueError), match=r"^(model|tensors): expected"):
        save_weights(model, {}, path)
    assert not path.exists()
    assert fit(model, digits, recipe=SGD.but(epochs=1), device="cpu", verbose=False).column("epoch") == [1]


@pytest.mark.parametrize("info", [{"a": {1}}, {"a": torch.ones(1)}, {"a": Path("x")}, {"a": b"x"}])
def test_facts_that_json_cannot_hold_are_named(path, info):
    with pytest.raises(TypeError, match=r"^info: expected a dict that JSON can hold"):
        save_weights(DigitCNN(), info, path)
    assert not path.exists()


def test_numbers_of_any_kind_can_be_saved(digits, path):
    train(digits, path, seed=np.int64(5), probe_every=np.int32(2))
    history = train(digits, path, seed=torch.tensor(5), probe_every=torch.tensor(2), resume=True)
    history.save(path.with_suffix(".json"))


def test_a_home_folder_is_understood(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = new_model()
    save_weights(model, {}, "~/weights")
    load_weights(model, "~/weights")
    train(digits, "~/run", model)
    train(digits, Path("~/run"), model, resume=True)
    assert sorted(os.listdir(tmp_path)) == ["run", "weights"]


# Compiled and wrapped models


def compiled(model):
    return torch.compile(model, backend="eager")


def partly_compiled(model):
    model.stn.localization = compiled(model.stn.localization)
    model.classifier = nn.DataParallel(model.classifier)
    return model


WRAPS = {"plain": lambda model: model, "compiled": compiled, "parallel": nn.DataParallel, "partly": partly_compiled}


@pytest.mark.parametrize("second", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("first", WRAPS.values(), ids=WRAPS)
def test_a_run_and_its_weights_go_from_any_wrapper_to_any_other(digits, path, first, second):
    model = first(new_model())
    with pytest.raises(KeyboardInterrupt):
        train(digits, path, model, transform=interrupted_at(7))
    save_weights(model, {}, path.with_name("weights"))
    run = read_tensors(path)[1]["run"]
    assert run["model"] == "STNClassifier"
    other = second(new_model(seed=2))
    load_weights(other, path.with_name("weights"))
    assert_same_values(other, model)
    history = train(digits, path, other, resume=True, transform=interrupted_at(0))
    assert history.column("epoch") == [1, 2, 3]
    plain = new_model()
    load_weights(plain, path.with_name("weights"))
    expected = train(digits, path.with_name("whole"), new := new_model(), transform=interrupted_at(0))
    assert history.column("train_loss") == pytest.approx(expected.column("train_loss"), rel=1e-3)
    assert {name.count("_orig_mod") + name.count("module.") for name in read_tensors(path)[0]} == {0}
    assert tensors_of(other).keys() == new.state_dict().keys()


def assert_same_values(one, other):
    one, other = tensors_of(one), tensors_of(other)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


# Two writers


def test_writers_of_one_file_at_once_all_succeed_and_readers_see_whole_files(path):
    errors = []

    def work(number):
        try:
            for _ in range(20):
                save_tensors(path, {"a": torch.full((5000,), number)}, {"number": number})
                tensors, info = read_tensors(path)
                assert (tensors["a"] == info["number"]).all()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_checkpoint_that_is_a_link_stays_one_and_a_planted_link_is_not_followed(digits, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, victim = tmp_path / "run", tmp_path / "victim"
    link.symlink_to(tmp_path / "elsewhere" / "run")
    victim.write_text("precious")
    (tmp_path / ".run.new").symlink_to(victim)
    (tmp_path / "elsewhere" / ".run.new").symlink_to(victim)
    train(digits, link)
    assert link.is_symlink()
    assert read_tensors(tmp_path / "elsewhere" / "run")[1]["now"]["epoch"] == 3
    assert victim.read_text() == "precious"


# Weights


def test_weights_come_back_with_what_was_said_of_them(tmp_path):
    model, other = new_model(), new_model(seed=2)
    save_weights(model, {"accuracy": 0.5}, tmp_path / "w")
    assert load_weights(other, tmp_path / "w") == {"accuracy": 0.5}
    assert_unchanged(other, weights(model))


def test_weights_of_another_model_are_refused_and_nothing_is_changed(tmp_path):
    save_weights(DigitCNN(), {}, tmp_path / "w")
    model = new_model()
    before = weights(model)
    with pytest.raises(CheckpointError, match=r"^path: expected '.*' in .*, it is missing"):
        load_weights(model, tmp_path / "w")
    assert_unchanged(model, before)
    with pytest.raises(FileNotFoundError, match=r"^path: expected a safetensors file, there is none"):
        load_weights(model, tmp_path / "x")
    save_file({"a": torch.ones(1)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="lacks its description"):
        load_weights(model, tmp_path / "foreign")


def test_the_header_is_json_that_other_tools_can_read(path):
    save_tensors(path, {"a": torch.ones(2)}, {"epoch": 3})
    raw = path.read_bytes()
    told = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    assert json.loads(told["__metadata__"]["info"]) == {"epoch": 3}


# Command line

COMMAND = ["train", "--source", "offline", "--recipe", "fast", "--device", "cpu", "--checkpoint"]


def test_the_command_goes_on_where_it_was(path, capsys):
    assert main([*COMMAND, str(path), "--resume"]) == 0
    assert main([*COMMAND, str(path), "--resume"]) == 0
    assert "going on after 1 of 1 epochs" in capsys.readouterr().out
    assert main([*COMMAND, str(path)]) == 1
    assert "resume" in capsys.readouterr().err


def test_the_weights_of_an_averaged_model_are_the_models(path):
    averaged, plain = torch.optim.swa_utils.AveragedModel(DigitCNN()), DigitCNN()
    save_weights(averaged, {}, path)
    load_weights(plain, path)
    assert all(map(torch.equal, plain.parameters(), averaged.module.parameters()))
    save_weights(plain, {}, path)
    with pytest.raises(CheckpointError, match=r"^path: expected .* it is missing$"):
        load_weights(averaged, path)


@pytest.mark.parametrize("info", [None, [1], "x", 3])
def test_a_description_that_is_no_dict_is_refused(tmp_path, info):
    with pytest.raises(TypeError, match=r"^info: expected a dict that JSON can hold, got"):
        save_tensors(tmp_path / "x.safetensors", {}, info)
    assert not list(tmp_path.iterdir())
