"""SVHN, out of made-up files of its format: from a mirror, from the cache, and not at all."""

import hashlib
import struct
import zlib

import numpy as np
import pytest
import torch
from torchvision.datasets import SVHN

from stncourse import MNISTUnavailable, STNClassifier, evaluate, load_svhn
from stncourse.data.matlab import read_arrays

# A MATLAB 5 file, written by the book ("MAT-File Format", MathWorks)

_CLASS = {"float64": 6, "uint8": 9, "int16": 10}
_TYPE = {"int8": 1, "uint8": 2, "int16": 3, "int32": 5, "uint32": 6, "float64": 9}


def element(kind, data):
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(name, array, stored=None, flags=0):
    parts = struct.pack("<II", _CLASS[str(array.dtype)] | flags, 0)
    shape = np.array(array.shape, "<i4").tobytes()
    stored = str(stored or array.dtype)
    body = element(6, parts) + element(5, shape) + element(1, name.encode())
    return element(14, body + element(_TYPE[stored], array.astype(stored).tobytes(order="F")))


def packed(content):
    data = zlib.compress(content)
    return struct.pack("<II", 15, len(data)) + data  # without padding


def mat_file(*elements):
    return b"MATLAB 5.0 MAT-file, made up".ljust(124, b" ") + struct.pack("<H", 0x0100) + b"IM" + b"".join(elements)


def made_up(count, seed=0):
    """Pixels (N, 32, 32, 3), labels (N,) from 1 to 10, and the file that holds them as SVHN's do."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(count) % 10 + 1
    x = packed(matrix("X", np.ascontiguousarray(pixels.transpose(1, 2, 3, 0))))
    return pixels, labels, mat_file(x, packed(matrix("y", labels[:, None].astype(float), stored="uint8")))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder with made-up SVHN files, of which torchvision's MD5 are."""
    folder, splits = tmp_path / "mirror", {}
    folder.mkdir()
    for split, count in {"train": 23, "test": 7}.items():
        content = made_up(count)[2]
        name = f"{split}_32x32.mat"
        (folder / name).write_bytes(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        splits[split] = [f"http://127.0.0.1:9/{name}", name, md5]
    monkeypatch.setattr(SVHN, "split_list", splits)
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("STNCOURSE_SVHN_MIRROR", folder.as_uri() + "/")
    monkeypatch.delenv("STNCOURSE_OFFLINE", raising=False)
    return folder


def test_svhn_from_a_mirror_then_from_the_cache(mirror, monkeypatch, tmp_path):
    pixels, labels, _ = made_up(23)
    train = load_svhn("train")
    assert torch.equal(train.images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert train.labels.tolist() == [label % 10 for label in labels.tolist()]  # its 10 is a 0
    assert train.classes == tuple("0123456789")
    assert train.source == "svhn"
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    again = load_svhn("train", tmp_path / "cache")
    assert torch.equal(again.images, train.images)
    assert [path.name for path in (tmp_path / "cache" / "SVHN").iterdir()] == ["train_32x32.mat"]


def test_each_channel_is_normalised_by_its_own_numbers_and_the_test_set_by_the_training_sets(mirror):
    train = load_svhn("train")
    test = load_svhn("test", like=train)
    shown = train.images.double() / 255
    assert train.mean == pytest.approx(shown.mean((0, 2, 3)).tolist())
    assert train.std == pytest.approx(shown.std((0, 2, 3), correction=0).tolist())
    assert (test.mean, test.std) == (train.mean, train.std)
    assert len(test) == 7


def test_a_network_takes_it(mirror):
    train = load_svhn("train")
    assert 0 <= evaluate(STNClassifier(32, 3), train, "cpu").accuracy <= 1


def test_a_damaged_file_in_the_cache_is_noticed_and_downloaded_again(mirror, monkeypatch, tmp_path):
    good = load_svhn("train")
    path = tmp_path / "cache" / "SVHN" / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    with pytest.raises(MNISTUnavailable, match=r"^STNCOURSE_OFFLINE is set, and SVHN is not in the cache"):
        load_svhn("train")
    monkeypatch.delenv("STNCOURSE_OFFLINE")
    assert torch.equal(load_svhn("train").images, good.images)


def test_svhn_that_cannot_be_had(mirror, monkeypatch, tmp_path):
    (mirror / "train_32x32.mat").write_bytes(b"something else")
    with pytest.raises(MNISTUnavailable, match=r"could not be downloaded \(file://.*known MD5.*STNCOURSE_SVHN_MIRROR"):
        load_svhn()
    monkeypatch.delenv("STNCOURSE_SVHN_MIRROR")
    with pytest.raises(MNISTUnavailable, match=r"could not be downloaded \(http://127.0.0.1:9/train_32x32.mat: "):
        load_svhn()
    assert not list((tmp_path / "cache" / "SVHN").iterdir())
    with pytest.raises(ValueError, match=r"^split: expected one of 'train', 'test', got str 'extra'"):
        load_svhn("extra")


def test_an_endless_svhn_is_given_up(mirror, monkeypatch):
    monkeypatch.setattr("stncourse.data.svhn._LARGEST", 1000)
    with pytest.raises(MNISTUnavailable, match=r"train_32x32.mat has more than 1,000 bytes"):
        load_svhn()


def test_a_cache_that_cannot_be_written(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MNISTUnavailable, match=r"could not be downloaded \(.*file/SVHN: "):
        load_svhn(root=tmp_path / "file")


# MATLAB's files


@pytest.mark.parametrize("pack", [packed, bytes], ids=["packed", "plain"])
def test_arrays_have_matlabs_shape_and_class(pack):
    first = np.arange(-3, 27, dtype=np.int16).reshape(2, 3, 5)
    second = np.array([[0.5, -1e300]])
    third = np.array([[200.0], [1.0], [3.0]])
    content = mat_file(*map(pack, (matrix("a", first), matrix("longer", second), matrix("c", third, "uint8"))))
    arrays = read_arrays(content)
    for name, expected in {"a": first, "longer": second, "c": third}.items():
        assert arrays[name].dtype == expected.dtype
        assert np.array_equal(arrays[name], expected)


def test_scipy_writes_the_same(tmp_path):
    io = pytest.importorskip("scipy.io")
    arrays = {"X": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "y": np.array([[1.0], [10.0]])}
    for compressed in (False, True):
        io.savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
        read = read_arrays((tmp_path / "a.mat").read_bytes())
        assert all(
            np.array_equal(read[name], array) and read[name].dtype == array.dtype for name, array in arrays.items()
        )


def test_complex_numbers_are_left_out():
    assert read_arrays(mat_file(matrix("z", np.zeros((1, 9)), flags=0x0800))) == {}


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", bytes(200)])
def test_another_file_is_refused(content):
    with pytest.raises(ValueError, match=r"^content: expected a MATLAB 5 file, got \d+ bytes"):
        read_arrays(content)


@pytest.mark.parametrize("cut", [1, 9, 100])
@pytest.mark.parametrize("pack", [packed, bytes], ids=["packed", "plain"])
def test_a_cut_file_is_refused(pack, cut):
    with pytest.raises(ValueError, match=r"^content: expected a whole MATLAB 5 file, got a broken one"):
        read_arrays(mat_file(pack(matrix("a", np.arange(64.0).reshape(8, 8))))[:-cut])
