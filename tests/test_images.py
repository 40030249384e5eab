"""Own images: folders of pictures, datasets, Fashion-MNIST."""

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FashionMNIST, ImageFolder

from stncourse import (
    Batches,
    Digits,
    ImageSet,
    MNISTUnavailable,
    Recipe,
    STNClassifier,
    evaluate,
    fit,
    from_dataset,
    load_digits,
    load_fashion_mnist,
    load_images,
)


def random_pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes of three 10×14 colour pictures."""
    root = tmp_path / "pictures"
    for number in range(3):
        write(root / "cat" / f"{number}.png", random_pixels(10, 14, 3, seed=number))
        write(root / "dog" / "deeper" / f"{number}.PNG", random_pixels(10, 14, 3, seed=9 + number))
    return root


# Folders


def test_a_folder_is_read_as_torchvision_reads_it(folder):
    images = load_images(folder)
    oracle = ImageFolder(folder)
    assert images.classes == tuple(oracle.classes) == ("cat", "dog")
    assert images.labels.tolist() == oracle.targets
    assert images.images.shape == (6, 3, 10, 14)
    for ours, (theirs, _) in zip(images.images, oracle, strict=True):
        assert torch.equal(ours, torch.from_numpy(np.array(theirs)).permute(2, 0, 1))
    assert repr(images) == "ImageSet(6 images of 3×10×14, 2 classes, source='folder')"


def test_normalised_training_images_have_mean_0_and_std_1(folder):
    images = load_images(folder)
    (batch, _), *_ = Batches(images, 6)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
    assert torch.equal((255 * images.denormalize(batch)).round().byte(), images.images)
    pixels = images.images.double() / 255
    assert images.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert images.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_background_is_what_a_pixel_of_that_colour_becomes(folder):
    images = load_images(folder)
    white = images.normalize(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten()
    assert images.background(255) == pytest.approx(white.tolist(), abs=1e-6)
    coloured = images.normalize(torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None]).flatten()
    assert images.background((10, 20, 30)) == pytest.approx(coloured.tolist(), abs=1e-6)
    for wrong in (256, (1, 2), "white", -1):
        with pytest.raises(ValueError, match=r"^color: expected 0 to 255"):
            images.background(wrong)


def test_a_constant_channel_is_only_moved():
    images = from_dataset([(torch.zeros(2, 4, 4), 0), (torch.zeros(2, 4, 4), 0)])
    assert images.std == (1.0, 1.0)
    assert images.normalize(images.images).abs().max() == 0


def test_subsets_and_splits_keep_the_numbers_of_the_whole(folder):
    images = load_images(folder)
    kept, held_out = images.split(2)
    assert (len(kept), len(held_out)) == (4, 2)
    assert kept.scale == held_out.scale == images.scale
    assert images.subset(images.labels == 1).classes == images.classes


def test_a_test_set_takes_over_classes_and_numbers(folder, tmp_path):
    train = load_images(folder)
    write(tmp_path / "test" / "dog" / "1.png", random_pixels(20, 20, 3, seed=5))
    test = load_images(tmp_path / "test", like=train)
    assert (test.classes, test.scale, test.labels.tolist()) == (train.classes, train.scale, [1])
    assert test.images.shape == (1, 3, 10, 14)
    write(tmp_path / "test" / "cow" / "1.png", random_pixels(10, 14, 3))
    with pytest.raises(ValueError, match=r"^folder: expected the classes of like, cat, dog, got 'cow'"):
        load_images(tmp_path / "test", like=train)


def test_size_covers_and_cuts_without_stretching(tmp_path):
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 10:30] = 200  # the middle half, a square
    write(tmp_path / "a" / "wide.png", pixels)
    write(tmp_path / "a" / "tall.png", np.full((30, 10, 3), 200, dtype=np.uint8))
    images = load_images(tmp_path, size=10).images
    assert images.shape == (2, 3, 10, 10)
    assert (images[..., 1:-1] == 200).all()
    assert (images > 150).all()  # at the cut the resampling mixes in what is beyond
    assert load_images(tmp_path, size=(5, 12)).images.shape == (2, 3, 5, 12)


def test_pictures_of_several_sizes_without_a_size_are_named(folder):
    write(folder / "dog" / "odd.png", random_pixels(11, 14, 3))
    with pytest.raises(
        ValueError, match=r"^size: expected pictures of one size, .*0\.png has 10×14 .*odd\.png has 11×14"
    ):
        load_images(folder)


COLOURS = random_pixels(4, 4, 3, seed=3)
GREY = random_pixels(4, 4, seed=4)
WIDE = np.random.default_rng(5).integers(0, 65536, (4, 4), dtype=np.uint16)
LUMINANCE = (COLOURS @ np.array([0.299, 0.587, 0.114])).round()


@pytest.mark.parametrize(
    ("pixels", "suffix", "channels", "expected"),
    [
        (COLOURS, "png", 3, COLOURS.transpose(2, 0, 1)),
        (COLOURS, "png", 1, LUMINANCE[None]),
        (GREY, "png", 1, GREY[None]),
        (GREY, "bmp", 3, np.stack([GREY] * 3)),
        (WIDE, "png", 1, (WIDE / 257).round()[None]),
        (WIDE, "tiff", 3, np.stack([(WIDE / 257).round()] * 3)),
        (np.dstack([COLOURS, np.full((4, 4), 255, np.uint8)]), "png", 3, COLOURS.transpose(2, 0, 1)),
        (GREY > 127, "png", 1, 255 * (GREY > 127)[None]),
    ],
    ids=["colour", "colour as grey", "grey", "grey as colour", "16 bits", "16 bits as colour", "opaque alpha", "1 bit"],
)
def test_every_kind_of_picture(tmp_path, pixels, suffix, channels, expected):
    write(tmp_path / "a" / f"x.{suffix}", pixels)
    image = load_images(tmp_path, channels=channels).images[0].numpy().astype(int)
    assert np.abs(image - expected).max() <= (1 if channels == 1 and pixels is COLOURS else 0)


def test_a_palette_picture_is_looked_up(tmp_path):
    picture = Image.fromarray(COLOURS).quantize(16)
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "x.gif")
    expected = np.array(picture.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(load_images(tmp_path).images[0].numpy(), expected)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    write(tmp_path / "a" / "x.png", COLOURS[:2], exif=exif)
    expected = np.rot90(COLOURS[:2], -1).transpose(2, 0, 1)
    assert np.array_equal(load_images(tmp_path).images[0].numpy(), expected)


def test_transparent_parts_need_a_background(tmp_path):
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[0] = 0
    write(tmp_path / "a" / "see-through.png", np.dstack([COLOURS, alpha]))
    with pytest.raises(ValueError, match=r"^background: expected a colour .* got None, .*see-through\.png$"):
        load_images(tmp_path)
    image = load_images(tmp_path, background=(1, 2, 3)).images[0]
    assert image[:, 0].T.tolist() == [[1, 2, 3]] * 4
    assert np.array_equal(image[:, 1:].numpy(), COLOURS[1:].transpose(2, 0, 1))


@pytest.mark.parametrize("content", [b"", b"not a picture", "truncated"])
def test_a_broken_picture_is_named(folder, content):
    broken = folder / "cat" / "broken.png"
    broken.write_bytes((folder / "cat" / "0.png").read_bytes()[:200] if content == "truncated" else content)
    with pytest.raises(ValueError, match=r"^folder: expected a picture, .*broken\.png cannot be read"):
        load_images(folder)


def test_floating_point_pictures_are_refused(tmp_path):
    write(tmp_path / "a" / "x.tiff", np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"^images: expected whole numbers for pixels.*x\.tiff$"):
        load_images(tmp_path)


def test_other_files_and_hidden_ones_are_passed_over(folder):
    (folder / "cat" / "notes.txt").write_text("no picture")
    (folder / "cat" / ".hidden.png").write_text("no picture")
    (folder / ".cache").mkdir()
    (folder / "readme.md").write_text("about")
    assert len(load_images(folder)) == 6


def test_folders_that_are_none(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"^folder: expected a folder of pictures, there is none"):
        load_images(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"^folder: .* is a file$"):
        load_images(folder / "cat" / "0.png")
    with pytest.raises(ValueError, match=r"^folder: expected one folder per class in .*, got none"):
        load_images(folder / "cat")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^folder: expected pictures in .*empty"):
        load_images(folder)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"size": 0}, ValueError, "size"),
        ({"channels": 2}, ValueError, "channels"),
        ({"like": "train"}, TypeError, "like"),
        ({"like": Digits(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1).long(), "x")}, TypeError, "like"),
    ],
)
def test_errors_name_the_argument(folder, arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        load_images(folder, **arguments)


# Datasets


def test_an_image_folder_dataset_gives_what_the_folder_gives(folder):
    ours, theirs = load_images(folder), from_dataset(ImageFolder(folder))
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.labels, theirs.labels)
    assert (ours.classes, ours.scale) == (theirs.classes, theirs.scale)


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image,
        lambda image: image.float() / 255,
        lambda image: image.double() / 255,
        lambda image: Image.fromarray(image.permute(1, 2, 0).numpy()),
    ],
    ids=["uint8", "float32", "float64", "PIL"],
)
@pytest.mark.parametrize("label", [int, np.int64, torch.tensor, np.array])
def test_images_and_labels_of_every_kind(convert, label):
    raw = torch.from_numpy(random_pixels(3, 3, 5, 7))
    images = from_dataset([(convert(image), label(number)) for number, image in enumerate(raw)])
    assert torch.equal(images.images, raw)
    assert images.labels.tolist() == [0, 1, 2]
    assert images.classes == ("0", "1", "2")


def test_grey_images_come_with_or_without_a_channel():
    raw = torch.from_numpy(random_pixels(5, 7))
    images = from_dataset([(raw, 0), (raw[None], 0), (Image.fromarray(raw.numpy()), 0)])
    assert torch.equal(images.images, raw.expand(3, 1, 5, 7))


def test_streams_and_subsets_are_datasets_too():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from [(torch.zeros(1, 4, 4), 1)] * 3

    assert len(from_dataset(Stream())) == 3
    items = [(torch.zeros(1, 4, 4), n) for n in range(4)]
    assert from_dataset(torch.utils.data.Subset(items, [3, 1])).labels.tolist() == [3, 1]


GOOD = torch.zeros(1, 4, 4)


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        ([], ValueError, "dataset: expected at least one item"),
        (3, TypeError, "dataset: expected a torch Dataset, got int"),
        (torch.utils.data.DataLoader([(GOOD, 0)]), TypeError, r"dataset: .* got a DataLoader of batches; .*\.dataset"),
        ([GOOD], TypeError, r"dataset: expected pairs \(image, label\), item 0 is"),
        ([(GOOD, 0), (torch.zeros(1, 4, 5), 0)], ValueError, r"dataset: .*item 0 has \(1, 4, 4\) and item 1 has"),
        ([(GOOD, 0), (GOOD, 0.5)], TypeError, "dataset: expected whole numbers as labels, label 1 is float 0.5"),
        ([(GOOD, "cat")], TypeError, "dataset: expected whole numbers as labels, label 0 is str 'cat'"),
        ([(GOOD, True)], TypeError, "dataset: expected whole numbers as labels"),
        ([(GOOD, torch.tensor(1.0))], TypeError, "dataset: expected whole numbers as labels"),
        ([(GOOD, -1)], ValueError, "dataset: expected labels from 0, label 0 is -1"),
        ([(GOOD - 0.4, 0)], ValueError, r"dataset: .* image 0 .* from -0.4 to -0.4; leave out its Normalize"),
        ([(GOOD * torch.nan, 0)], ValueError, "dataset: .* image 0 .* with values from nan"),
        ([(torch.zeros(4), 0)], ValueError, "dataset: expected a PIL picture or a tensor"),
        ([(torch.zeros(1, 4, 4).int(), 0)], TypeError, "dataset: expected a PIL picture or a tensor"),
        ([("cat.png", 0)], TypeError, "dataset: expected a PIL picture or a tensor"),
        ([(Image.new("RGBA", (4, 4)), 0)], ValueError, "dataset: item 0: background: expected"),
    ],
)
def test_a_wrong_dataset_is_told_where(dataset, error, message):
    with pytest.raises(error, match=f"^{message}"):
        from_dataset(dataset)


def test_labels_beyond_the_classes_and_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"^labels: expected 0 to 0, the positions in classes, got 0 to 2"):
        from_dataset([(GOOD, 0), (GOOD, 2)], classes=["only"])
    train = from_dataset([(GOOD, 0), (GOOD, 1)], classes=["a", "b"])
    assert from_dataset([(GOOD, 1)], like=train).classes == ("a", "b")
    with pytest.raises(ValueError, match=r"^classes: expected those of like"):
        from_dataset([(GOOD, 1)], classes=["b", "a"], like=train)
    with pytest.raises(ValueError, match=r"^like: expected images of \(1, 4, 4\)"):
        from_dataset([(torch.zeros(3, 4, 4), 1)], like=train)


def test_numbers_for_another_number_of_channels_are_refused():
    images = from_dataset([(GOOD, 0)])
    with pytest.raises(ValueError, match=r"^mean: expected one number per channel"):
        replace(images, mean=(0.1, 0.2))


@pytest.mark.parametrize("images", ["x", torch.zeros(1, 1, 4, 4).long()])
def test_normalize_refuses_what_are_no_images(images):
    with pytest.raises(TypeError, match=r"^images: expected a uint8 or floating-point tensor"):
        from_dataset([(GOOD, 0)]).normalize(images)


# Training


def coloured_squares(count, seed):
    """Two classes that only colour tells apart: a red or a blue square somewhere on white."""
    generator = torch.Generator().manual_seed(seed)
    items = []
    for number in range(count):
        image, label = torch.ones(3, 20, 24), number % 2
        y, x = (int(torch.randint(0, n, (), generator=generator)) for n in (12, 16))
        image[[1, 2] if label else [0, 1], y : y + 8, x : x + 8] = 0
        items.append((image, label))
    return items


def test_colour_images_train_resume_and_evaluate(tmp_path):
    train = from_dataset(coloured_squares(128, 0), classes=("blue", "red"))
    test = from_dataset(coloured_squares(64, 1), like=train)
    recipe = Recipe("colours", epochs=3, batch_size=16, optimizer="adamw", learning_rate=0.005, dropout=0.0)
    torch.manual_seed(0)
    model = STNClassifier((20, 24), 3, num_classes=2, padding_value=train.background(255))
    options = {"device": "cpu", "verbose": False, "probe": test.images[:2], "checkpoint": tmp_path / "run.safetensors"}
    history = fit(model, train, test, recipe, **options)
    assert history.column("test_accuracy")[-1] > 0.95
    assert evaluate(model, test, "cpu").accuracy == history.column("test_accuracy")[-1]
    assert len(history.theta[0]["theta"]) == 2
    again = fit(STNClassifier((20, 24), 3, 2), train, test, recipe, **options, resume=True)
    assert again.epochs == history.epochs


def test_test_images_with_numbers_of_their_own_are_refused():
    train, test = (from_dataset(coloured_squares(n, n)) for n in (3, 4))
    with pytest.raises(ValueError, match=r"^test: expected images normalised like those of train.*like="):
        fit(STNClassifier((20, 24), 3, 2), train, test, verbose=False)


def test_digits_are_normalised_as_before():
    digits = load_digits("test", source="offline").subset(slice(8))
    assert torch.equal(digits.normalize(digits.images), (digits.images / (255 * 0.3081)) - 0.1307 / 0.3081)
    assert not isinstance(digits, ImageSet)


# Fashion-MNIST


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A made-up Fashion-MNIST of 6 + 3 images, which torchvision takes for the real one."""
    folder, resources = tmp_path / "mirror", []
    folder.mkdir()
    for prefix, count in {"train": 6, "t10k": 3}.items():
        arrays = {"images-idx3": random_pixels(count, 28, 28), "labels-idx1": np.arange(count, dtype=np.uint8)}
        for kind, array in arrays.items():
            content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()
            archive = gzip.compress(content, mtime=0)
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(archive)
            resources.append((f"{prefix}-{kind}-ubyte.gz", hashlib.md5(archive, usedforsecurity=False).hexdigest()))
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("STNCOURSE_FASHION_MIRROR", folder.as_uri())
    monkeypatch.delenv("STNCOURSE_OFFLINE", raising=False)
    return folder


def test_fashion_mnist_from_a_mirror_then_from_the_cache(mirror, monkeypatch):
    train = load_fashion_mnist("train")
    assert torch.equal(train.images[:, 0], torch.from_numpy(random_pixels(6, 28, 28)))
    assert train.labels.tolist() == list(range(6))
    assert train.classes[9] == "ankle boot"
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")  # now it is in the cache
    test = load_fashion_mnist("test", like=train)
    assert (len(test), test.scale) == (3, train.scale)


def test_fashion_mnist_that_cannot_be_had(mirror, monkeypatch, tmp_path):
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(MNISTUnavailable, match=r"could not be downloaded .*known MD5.*STNCOURSE_FASHION_MIRROR"):
        load_fashion_mnist()
    assert not list((tmp_path / "cache" / "FashionMNIST" / "raw").iterdir())
    monkeypatch.delenv("STNCOURSE_FASHION_MIRROR")
    with pytest.raises(MNISTUnavailable, match=r"could not be downloaded \(http://127.0.0.1:9/: "):
        load_fashion_mnist()
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    with pytest.raises(MNISTUnavailable, match=r"^STNCOURSE_OFFLINE is set"):
        load_fashion_mnist()
    with pytest.raises(ValueError, match=r"^split: expected"):
        load_fashion_mnist("validation")
