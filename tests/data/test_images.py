"""Own images: folders of pictures, datasets, Fashion-MNIST."""

import gzip
import hashlib
import io
import os
import shutil
import struct
import warnings
import zlib
from dataclasses import replace
from fractions import Fraction

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
    for row in (
        [10, 20, 30],
        np.array([10, 20, 30]),
        torch.tensor([10.0, 20.0, 30.0]),
        (np.uint8(10), Fraction(20), 30),
    ):
        assert images.background(row) == pytest.approx(coloured.tolist(), abs=1e-6)


WRONG_COLOURS = [
    256,
    -1,
    (1, 2),
    (1, 2, 3, 4),
    "white",
    b"abc",
    "255",
    True,
    np.nan,
    (0, 0, 300),
    (0, 0, None),
    {1, 2, 3},
    1j,
]


@pytest.mark.parametrize("color", WRONG_COLOURS, ids=repr)
def test_what_is_no_colour_is_refused_by_one_rule(folder, color):
    with pytest.raises(ValueError, match=r"^background: expected 0 to 255, one number or 3, got "):
        load_images(folder, background=color)
    with pytest.raises(ValueError, match=r"^color: expected 0 to 255, one number or 3, got "):
        load_images(folder).background(color)


@pytest.mark.parametrize(
    "color", [255, 255.0, np.uint8(255), torch.tensor(255), (255, 255, 255), [255.0] * 3, np.full(3, 255)]
)
def test_a_background_is_any_number_or_three(tmp_path, color):
    write(tmp_path / "a" / "see-through.png", np.zeros((2, 3, 4), np.uint8))
    assert (load_images(tmp_path, background=color).images == 255).all()


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


# Depth: either all of a picture that 8 bits can hold is kept, or it is refused.

ALL_8 = np.arange(256).reshape(16, 16)
ALL_12 = np.arange(4096).reshape(64, 64)
ALL_16 = np.arange(0, 65536, 16).reshape(64, 64)


def only_picture(tmp_path, picture, name="x.png", **options):
    """The one image of a folder with this picture, after it has been saved and read."""
    (tmp_path / "a").mkdir(exist_ok=True)
    picture.save(tmp_path / "a" / name, **options)
    return load_images(tmp_path, channels=1).images[0, 0].numpy()


def levels(image):
    return len(np.unique(np.asarray(image)))


def tiff_of_12_bits(pixels):
    """Pillow writes no such file: two pixels in three bytes."""
    height, width = pixels.shape
    even, odd = pixels.reshape(-1, 2).T
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], 1).astype(np.uint8).tobytes()
    entries = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(packed)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    offset = 8 + len(packed)
    return b"II*\0" + struct.pack("<I", offset) + packed + struct.pack("<H", len(entries)) + directory + bytes(4)


@pytest.mark.parametrize(
    ("pixels", "dtype"),
    [(ALL_8, np.int32), (ALL_8, np.uint8), (ALL_16, np.uint16), (ALL_16, np.int32), (ALL_16, ">u2")],
)
def test_a_dataset_of_grey_pictures_keeps_all_levels(pixels, dtype):
    picture = Image.fromarray(pixels.astype(dtype))
    image = from_dataset([(picture, 0)]).images[0, 0].numpy()
    assert np.array_equal(image, pixels if pixels is ALL_8 else (pixels / 257).round())
    assert levels(image) == 256


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_every_16_bit_mode_keeps_all_levels(mode):
    order = ">u2" if mode == "I;16B" else "<u2"
    picture = Image.frombytes(mode, (64, 64), ALL_16.astype(order).tobytes())
    assert np.array_equal(from_dataset([(picture, 0)]).images[0, 0].numpy(), (ALL_16 / 257).round())


@pytest.mark.parametrize("name", ["x.png", "x.tiff", "x.pgm"])
def test_16_bits_in_a_file_keep_all_levels(tmp_path, name):
    image = only_picture(tmp_path, Image.fromarray(ALL_16.astype(np.uint16)), name)
    assert np.array_equal(image, (ALL_16 / 257).round())


def test_a_tiff_that_declares_12_bits_is_scaled_by_them(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.tif").write_bytes(tiff_of_12_bits(ALL_12))
    expected = (ALL_12 * 255 / 4095).round()
    assert np.array_equal(load_images(tmp_path, channels=1).images[0, 0].numpy(), expected)
    with Image.open(tmp_path / "a" / "x.tif") as picture:
        assert np.array_equal(from_dataset([(picture, 0)]).images[0, 0].numpy(), expected)


@pytest.mark.parametrize("name", ["x.png", "x.tiff", "x.pgm"])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_fewer_bits_stored_in_16_are_refused(tmp_path, name, bits):
    picture = Image.fromarray((ALL_12 * 2**bits // 4096).astype(np.uint16))
    with pytest.raises(ValueError, match=rf"^folder: expected 16-bit pictures .*{name}.* as if they had {bits} bits"):
        only_picture(tmp_path, picture, name)
    for other in (picture, Image.fromarray(np.asarray(picture).astype(np.int32))):
        with pytest.raises(ValueError, match=rf"^dataset: expected 16-bit .*item 1.* as if they had {bits} bits"):
            from_dataset([(Image.new("L", (64, 64)), 0), (other, 0)])


def test_16_bit_colours_are_kept_or_refused(tmp_path):
    write(tmp_path / "a" / "x.png", COLOURS)
    png = (tmp_path / "a" / "x.png").read_bytes()
    for pixels, fits in ((ALL_16, True), (ALL_12, False)):
        (tmp_path / "a" / "x.png").write_bytes(png_of_16_bit_colours(np.stack([pixels] * 3, -1)))
        if fits:
            assert np.abs(load_images(tmp_path).images[0, 0].numpy() - pixels / 257).max() < 1
        else:
            with pytest.raises(ValueError, match=r"^folder: expected 16-bit pictures .*x\.png.* 12 bits"):
                load_images(tmp_path)
    (tmp_path / "a" / "x.png").write_bytes(png)
    assert np.array_equal(load_images(tmp_path).images[0].numpy(), COLOURS.transpose(2, 0, 1))


def test_a_ppm_of_16_bit_colours_is_kept_or_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for pixels, white, bits in (
        (ALL_16, 65535, None),
        (ALL_12, 4095, None),
        (ALL_12, 65535, 12),
        (ALL_12 // 4, 65535, 10),
        (ALL_12 // 8, 65535, 9),
        (ALL_12 * 4, 65535, 14),
    ):
        colours = np.stack([pixels] * 3, -1).astype(">u2").tobytes()
        (tmp_path / "a" / "x.ppm").write_bytes(b"P6\n64 64\n%d\n" % white + colours)
        if bits is None:
            assert np.abs(load_images(tmp_path).images[0, 0].numpy() - pixels * 255 / white).max() < 1
        else:
            with pytest.raises(ValueError, match=rf"^folder: expected 16-bit pictures .*x\.ppm.* {bits} bits"):
                load_images(tmp_path)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_a_tiff_whose_white_is_zero_is_no_negative(tmp_path, options):
    # Of 8 bits Pillow writes the negative, of 16 it does not.
    for pixels, expected in ((ALL_8.astype(np.uint8), ALL_8), (ALL_16.astype(np.uint16), 255 - (ALL_16 / 257).round())):
        image = only_picture(tmp_path, Image.fromarray(pixels), "x.tif", tiffinfo={262: 0}, **options)
        with Image.open(tmp_path / "a" / "x.tif") as picture:
            assert picture.tag_v2[262] == 0
            assert np.array_equal(from_dataset([(picture, 0)]).images[0, 0].numpy(), image)
        assert np.array_equal(image, expected)
    with pytest.raises(ValueError, match=r"^folder: expected 16-bit pictures .* 12 bits"):
        only_picture(tmp_path, Image.fromarray(ALL_12.astype(np.uint16)), "x.tif", tiffinfo={262: 0})


def png_of_16_bit_colours(pixels):
    """Pillow reads such files, but writes none."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


@pytest.mark.parametrize("dark_first", [True, False])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_a_dark_16_bit_picture_is_scaled_as_its_neighbours(tmp_path, dark_first, dtype):
    dark = (ALL_16 // 100 + 300).astype(dtype)
    pictures = [dark, ALL_16.astype(dtype)][:: 1 if dark_first else -1]
    images = from_dataset([(Image.fromarray(pixels), 0) for pixels in pictures]).images[:, 0].numpy()
    assert np.array_equal(images, (np.stack(pictures) / 257).round())
    if dtype == np.uint16:
        for number, pixels in enumerate(pictures):
            write(tmp_path / "a" / f"{number}.png", pixels)
        assert np.array_equal(load_images(tmp_path, channels=1).images[:, 0].numpy(), images)


@pytest.mark.parametrize("dark_first", [True, False])
@pytest.mark.parametrize("bright", [ALL_16.astype(np.int32), ALL_16.astype(np.uint16)], ids=["mode I", "mode I;16"])
def test_a_picture_that_may_have_8_or_16_bits_is_refused(bright, dark_first):
    dark = (ALL_16 % 200).astype(np.int32)
    pictures = [Image.fromarray(dark), Image.fromarray(bright)][:: 1 if dark_first else -1]
    first, second = (0, 1) if dark_first else (1, 0)
    message = rf"^dataset: expected pictures of one depth, item {first} seems to have 8 bits .* item {second} has 16"
    with pytest.raises(ValueError, match=message):
        from_dataset([(picture, 0) for picture in pictures])


def test_black_pictures_have_any_depth():
    black = Image.fromarray(np.zeros((4, 4), np.int32))
    for other in (Image.fromarray(np.full((4, 4), 255, np.int32)), Image.fromarray(np.full((4, 4), 65535, np.uint16))):
        images = from_dataset([(black, 0), (other, 0)]).images
        assert [int(image.max()) for image in images] == [0, 255]
    assert from_dataset([(Image.fromarray(np.zeros((4, 4), np.uint16)), 0)]).images.max() == 0


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_values_beyond_16_bits_are_refused(value):
    pixels = ALL_8.astype(np.int32)
    pixels[0, 0] = value
    with pytest.raises(ValueError, match=r"^dataset: item 0: images: expected 8 or 16 bits per pixel, got values from"):
        from_dataset([(Image.fromarray(pixels), 0)])


def test_a_transparent_level_of_a_16_bit_picture_is_seen(tmp_path):
    picture = Image.fromarray(ALL_16.astype(np.uint16))
    with pytest.raises(ValueError, match=r"^background: expected a colour"):
        only_picture(tmp_path, picture, transparency=0)
    image = load_images(tmp_path, channels=1, background=255).images[0, 0].numpy()
    assert image[0, 0] == 255
    assert np.array_equal(image.flat[1:], (ALL_16.flat[1:] / 257).round())


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("CMYK", 3), ("YCbCr", 3), ("HSV", 3), ("LA", 3), ("PA", 3)],
)
def test_the_other_modes_become_what_pillow_makes_of_them(mode, channels):
    picture = Image.fromarray(np.tile(ALL_8, (4, 4)).astype(np.uint8)).convert("RGB").convert(mode)
    expected = np.array(picture.convert("L" if channels == 1 else "RGB"))
    image = from_dataset([(picture, 0)]).images[0].numpy()
    assert image.shape == (channels, 64, 64)
    assert np.array_equal(image, expected[None] if channels == 1 else expected.transpose(2, 0, 1))


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


TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels),
}
FORMATS = {"png": {}, "webp": {"lossless": True}, "tiff": {}, "jpg": {"quality": 100, "subsampling": 0}}
PHOTOGRAPH = np.repeat(np.repeat(random_pixels(2, 3, 3, seed=6), 8, 0), 8, 1)  # coarse, so that JPEG keeps it


@pytest.mark.parametrize("orientation", [1, *TURNS])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_and_torchvisions_dataset_of_it_turn_photographs_alike(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path / "a" / f"x.{suffix}", PHOTOGRAPH, exif=exif, **FORMATS[suffix])
    ours, theirs = load_images(tmp_path), from_dataset(ImageFolder(tmp_path))
    assert torch.equal(ours.images, theirs.images)
    expected = TURNS.get(orientation, np.asarray)(PHOTOGRAPH).transpose(2, 0, 1).astype(int)
    assert np.abs(ours.images[0].numpy() - expected).max() <= (8 if suffix == "jpg" else 0)


def entry(tag, kind, count, value):
    return struct.pack("<HHI", tag, kind, count) + value


def exif_of(*entries, claimed=None):
    """An EXIF block, byte by byte, so that it can be wrong."""
    count = len(entries) if claimed is None else claimed
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + b"".join(entries) + bytes(4)


ORIENTATION_6 = entry(0x0112, 3, 1, b"\6\0\0\0")
ODD = {
    "a text where numbers belong": entry(0x0131, 5, 1, b"\xff\xff\xff\xff"),
    "far too long": entry(0x0132, 2, 2**31, b"\xff\xff\0\0"),
    "of no known type": entry(0x0132, 77, 1, b"\0\0\0\0"),
    "a folder at no place": entry(0x8769, 4, 1, b"\xff\xff\xff\x7f"),
    "a folder that is a text": entry(0x8769, 2, 4, b"abc\0"),
    "a number too large to write": entry(0x011A, 10, 1, b"\x08\0\0\0"),
}
HEADS = {"jpg": b"Exif\0\0", "png": b"", "webp": b"Exif\0\0"}


@pytest.fixture(params=HEADS)
def photograph(request, tmp_path):
    """``photograph(exif)``: a picture with this EXIF as a folder and as torchvision's dataset of it give it."""

    def load(exif):
        head = HEADS[request.param]
        write(tmp_path / "a" / f"x.{request.param}", PHOTOGRAPH, exif=head + exif, **FORMATS[request.param])
        ours = load_images(tmp_path).images[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision lets Pillow's through
            assert torch.equal(ours, from_dataset(ImageFolder(tmp_path)).images[0])
        return ours.permute(1, 2, 0).numpy().astype(int)

    return load


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_a_photograph_is_turned_whatever_else_its_exif_holds(photograph, odd, place):
    entries = {"before": [ODD[odd], ORIENTATION_6], "after": [ORIENTATION_6, ODD[odd]]}
    entries["both"] = [ODD[odd], ORIENTATION_6, ODD[odd]]
    image = photograph(exif_of(*entries[place]))
    assert np.abs(image - np.rot90(PHOTOGRAPH, -1)).max() <= 8


@pytest.mark.parametrize(
    "exif",
    [
        exif_of(),
        exif_of(claimed=9),
        exif_of(entry(0x0112, 3, 1, b"\0\0\0\0")),
        exif_of(entry(0x0112, 3, 1, b"\x09\0\0\0")),
        exif_of(entry(0x0112, 2, 2, b"6\0\0\0")),
        exif_of(entry(0x0112, 2, 2, b"x\0\0\0")),
        exif_of(entry(0x0112, 5, 1, b"\xff\xff\0\0")),
        exif_of(ORIENTATION_6)[:12],
        b"II*\0",
        b"nonsense, all of it",
        bytes(40),
    ],
    ids=[
        "none",
        "fewer than said",
        "0",
        "9",
        "text 6",
        "text x",
        "fraction",
        "cut",
        "head",
        "text",
        "0s",
    ],
)
def test_a_photograph_without_a_valid_orientation_stays_as_it_is(photograph, exif):
    assert np.abs(photograph(exif) - PHOTOGRAPH).max() <= 8


@pytest.mark.parametrize("odd", ODD)
def test_a_tiff_with_an_odd_entry_is_turned(tmp_path, odd):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x0131] = 6, "Software"
    Image.fromarray(PHOTOGRAPH).save(buffer, "TIFF", exif=exif)
    content = bytearray(buffer.getvalue())
    start = content.index(struct.pack("<HH", 0x0131, 2))
    content[start + 2 : start + 12] = ODD[odd][2:]  # in place of the software's name
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.tif").write_bytes(content)
    image = load_images(tmp_path).images[0].permute(1, 2, 0).numpy()
    assert np.array_equal(image, np.rot90(PHOTOGRAPH, -1))


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


HIDDEN = [
    ".hidden.png",
    "._0.png",
    ".ipynb_checkpoints/0-checkpoint.png",
    ".hidden/deeper/0.png",
    "__MACOSX/0.png",
    "@eaDir/0.png/thumb.jpg",
]
NO_PICTURES = ["notes.txt", "Thumbs.db", "desktop.ini", ".DS_Store", "png", "0.png.part"]


@pytest.mark.parametrize("name", [*HIDDEN, *NO_PICTURES])
@pytest.mark.parametrize("place", ["", "cat", "dog/deeper"])
@pytest.mark.parametrize("content", ["a picture", "no picture"])
def test_other_files_and_hidden_ones_are_passed_over_at_every_depth(folder, name, place, content):
    picture = (folder / "cat" / "0.png").read_bytes()
    path = folder / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture if content == "a picture" else b"no picture")
    images = load_images(folder)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0] * 3 + [1] * 3


def test_pictures_at_several_depths_come_in_torchvisions_order(folder):
    for name in ("z.png", "a/1.png", "a b/1.png", "a/b/1.png", "A/1.png"):
        write(folder / "cat" / name, random_pixels(10, 14, 3, seed=sum(name.encode())))
    assert torch.equal(load_images(folder).images, from_dataset(ImageFolder(folder)).images)


@pytest.fixture
def link():
    """``link(path, target)``, where the system lets one."""

    def make(path, target, **options):
        try:
            path.symlink_to(target, **options)
        except OSError:
            pytest.skip("this user may make no links")

    return make


def test_links_to_pictures_and_folders_are_followed(folder, tmp_path, link):
    write(tmp_path / "elsewhere" / "deep" / "1.png", random_pixels(10, 14, 3, seed=20))
    write(tmp_path / "elsewhere" / "2.png", random_pixels(10, 14, 3, seed=21))
    link(folder / "cat" / "linked", tmp_path / "elsewhere", target_is_directory=True)
    link(folder / "cat" / "linked.png", tmp_path / "elsewhere" / "2.png")
    link(folder / "owl", tmp_path / "elsewhere", target_is_directory=True)
    images = load_images(folder)
    assert images.labels.tolist() == [0] * 6 + [1] * 3 + [2] * 2
    oracle = from_dataset(ImageFolder(folder))
    assert torch.equal(images.images, oracle.images)
    assert torch.equal(images.labels, oracle.labels)


@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
@pytest.mark.parametrize("place", ["back", "cat/back", "dog/deeper/back"])
def test_a_link_back_is_not_followed(folder, link, place, target):
    link(folder / place, target, target_is_directory=True)
    images = load_images(folder)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0] * 3 + [1] * 3


def test_links_in_a_circle_end(folder, tmp_path, link):
    write(tmp_path / "one" / "1.png", random_pixels(10, 14, 3))
    write(tmp_path / "two" / "2.png", random_pixels(10, 14, 3))
    link(tmp_path / "one" / "two", tmp_path / "two", target_is_directory=True)
    link(tmp_path / "two" / "one", tmp_path / "one", target_is_directory=True)
    link(folder / "cat" / "one", tmp_path / "one", target_is_directory=True)
    link(folder / "loop", folder, target_is_directory=True)
    images = load_images(folder)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0] * 5 + [1] * 3


@pytest.mark.parametrize("name", ["cat/dead.png", "cat/deeper/dead.JPG", "cat/dead", "owl", "cat/bird.v2", "more.2024"])
@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_to_nothing_is_named(folder, link, name, target):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    link(path, path.name if target == "itself" else "nowhere.png")
    with pytest.raises(ValueError, match=rf"^folder: expected a picture, .*{path.name} cannot be read \("):
        load_images(folder)


@pytest.mark.parametrize("name", ["cat/notes.txt", "cat/Labels.CSV", "archive.zip"])
def test_a_link_to_nothing_that_is_no_picture_is_passed_over(folder, link, name):
    link(folder / name, "nowhere")
    assert len(load_images(folder)) == 6


def test_a_folder_with_a_pictures_name_is_a_folder(folder):
    write(folder / "cat" / "x.png" / "1.png", random_pixels(10, 14, 3))
    assert torch.equal(load_images(folder).images, from_dataset(ImageFolder(folder)).images)
    (folder / "cat" / "empty.png").mkdir()
    with pytest.raises(ValueError, match=r"^folder: expected a picture, .*empty\.png is a folder without any"):
        load_images(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_with_a_pictures_name_is_named(folder):
    os.mkfifo(folder / "cat" / "pipe.png")
    with pytest.raises(ValueError, match=r"^folder: expected a picture, .*pipe\.png is no file"):
        load_images(folder)


@pytest.mark.parametrize("locked", ["cat/0.png", "dog/deeper", "cat", ""])
def test_what_may_not_be_read_is_named(folder, locked, monkeypatch):
    """Played by a patch, since root may read everything."""

    def refuse(function):
        def call(path, *arguments, **keywords):
            if os.fspath(path) == os.fspath(folder / locked):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments, **keywords)

        return call

    monkeypatch.setattr(os, "listdir", refuse(os.listdir))
    monkeypatch.setattr(Image, "open", refuse(Image.open))
    with pytest.raises(ValueError, match=rf"^folder: expected a .*{(folder / locked).name}.*Permission denied"):
        load_images(folder)


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
        ({"channels": True}, ValueError, "channels"),
        ({"channels": None}, ValueError, "channels"),
        ({"folder": 3}, TypeError, "folder"),
        ({"folder": b"pictures"}, TypeError, "folder"),
        ({"like": "train"}, TypeError, "like"),
        ({"like": Digits(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1).long(), "x")}, TypeError, "like"),
    ],
)
def test_errors_name_the_argument(folder, arguments, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        load_images(**{"folder": folder} | arguments)


@pytest.mark.parametrize("number", [np.int64, torch.tensor, np.array])
def test_sizes_and_channels_from_numpy_or_torch(folder, number):
    plain = load_images(folder, (5, 7), channels=1)
    assert torch.equal(load_images(folder, (number(5), number(7)), channels=number(1)).images, plain.images)
    assert torch.equal(load_images(str(folder), np.array([5, 7]), channels=1).images, plain.images)
    assert load_images(folder, number(6)).images.shape == (6, 3, 6, 6)


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


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("last", [True, False])
def test_numpy_arrays_are_images(dtype, channels, last):
    raw = random_pixels(2, channels, 5, 7)
    arrays = raw if dtype == np.uint8 else (raw / 255).astype(dtype)
    arrays = arrays.transpose(0, 2, 3, 1) if last else arrays
    images = from_dataset(list(zip(arrays, [0, 1], strict=True)))
    assert np.array_equal(images.images.numpy(), raw)
    grey = from_dataset([(raw[0, 0], 0)])
    assert np.array_equal(grey.images.numpy(), raw[:1, :1])


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((3, 9, 3), np.uint8), ValueError),
        (np.zeros((9, 9, 9), np.uint8), ValueError),
        (np.zeros((2, 3, 9, 9), np.uint8), ValueError),
        (np.zeros(9, np.uint8), ValueError),
        (np.zeros((9, 0), np.uint8), ValueError),
        (np.zeros((9, 9), np.uint16), TypeError),
        (np.zeros((9, 9), np.int64), TypeError),
        (np.zeros((9, 9), bool), TypeError),
        (np.zeros((9, 9), complex), TypeError),
        (np.full((9, 9), "x"), TypeError),
        (np.full((9, 9), 255.0), ValueError),
    ],
)
def test_arrays_that_are_no_images_are_told_where(array, error):
    with pytest.raises(error, match=r"^dataset: expected a PIL picture or a tensor .* image 1 is "):
        from_dataset([(np.zeros((9, 9), np.uint8), 0), (array, 0)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_noise_is_no_error(dtype):
    noisy = torch.tensor([[-1e-7, 1.0000002], [0.5, 1.0]], dtype=dtype)
    assert from_dataset([(noisy, 0)]).images.flatten().tolist() == [0, 255, 128, 255]
    for wrong in (1.5, 1.01, -0.01, torch.inf):
        with pytest.raises(ValueError, match=r"^dataset: .* image 0 .* with values from "):
            from_dataset([(torch.full((2, 2), wrong, dtype=dtype), 0)])


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
        ([(Image.new("F", (4, 4)), 0)], ValueError, "dataset: item 0: images: expected whole numbers for pixels"),
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


@pytest.mark.parametrize("labels", [[0, 20240101], [2019, 2020], [0, 0, 5000], [7, 10**30], [1000]])
def test_other_numbers_are_no_labels(labels):
    with pytest.raises(
        ValueError, match=rf"^dataset: expected labels from 0 .* is {max(labels)}, .*renumber them, or give"
    ):
        from_dataset([(GOOD, label) for label in labels])


@pytest.mark.parametrize("labels", [[0, 2], [3, 97], [999], [*range(1500), 2000]])
def test_labels_may_have_gaps(labels):
    images = from_dataset([(GOOD, label) for label in labels])
    assert images.labels.tolist() == labels
    assert len(images.classes) == max(labels) + 1


@pytest.mark.parametrize(
    "classes",
    [10, np.int64(10), torch.tensor(10), np.array(9) + 1, list("0123456789"), map(str, range(10)), np.arange(10)],
)
def test_classes_are_names_or_their_number(classes):
    images = from_dataset([(GOOD, 0), (GOOD, 9)], classes=classes)
    assert images.classes == tuple("0123456789")


@pytest.mark.parametrize(
    "classes", [torch.tensor([0, 1]), np.array([0, 1]), [torch.tensor(0), np.int64(1)], np.array(["0", "1"])], ids=repr
)
def test_classes_are_called_by_what_is_in_a_tensor(classes):
    assert from_dataset([(GOOD, 0), (GOOD, 1)], classes=classes).classes == ("0", "1")


@pytest.mark.parametrize("classes", [np.array([["a", "b"]]), torch.zeros(2, 2), torch.tensor(0.5)], ids=repr)
def test_classes_in_a_table_are_refused(classes):
    with pytest.raises(ValueError, match=r"^classes: expected the names in one row, got"):
        from_dataset([(GOOD, 0)], classes=classes)


def test_a_number_of_classes_settles_sparse_labels():
    labels = torch.tensor([0, 4321])
    images = from_dataset([(GOOD, label) for label in labels], classes=labels.max() + 1)
    assert len(images.classes) == 4322
    with pytest.raises(ValueError, match=r"^labels: expected 0 to 4320, .* got 0 to 4321"):
        from_dataset([(GOOD, label) for label in labels], classes=labels.max())


@pytest.mark.parametrize(
    ("classes", "error"),
    [
        ("cat", TypeError),
        (b"cat", TypeError),
        ({"cat", "dog"}, TypeError),
        ({"cat": 1, "dog": 0}, TypeError),
        (2.0, TypeError),
        (True, TypeError),
        (0, ValueError),
        (-1, ValueError),
        (20240102, ValueError),
        ([], ValueError),
        (["cat", "dog", "cat"], ValueError),
        ([1, "1"], ValueError),
    ],
)
def test_what_are_no_classes_is_refused(classes, error):
    with pytest.raises(error, match=r"^classes: expected "):
        from_dataset([(GOOD, 0), (GOOD, 1)], classes=classes)


def test_as_many_classes_as_the_dataset_says(folder):
    with pytest.raises(ValueError, match=r"^classes: expected 2, as many as dataset.classes, got 3"):
        from_dataset(ImageFolder(folder), classes=["cat", "cow", "dog"])
    assert from_dataset(ImageFolder(folder), classes=["Katze", "Hund"]).classes == ("Katze", "Hund")


def test_a_test_dataset_has_its_training_sets_classes(folder, tmp_path):
    train = from_dataset(ImageFolder(folder))
    assert from_dataset(ImageFolder(folder), like=train).classes == train.classes
    renamed = from_dataset(ImageFolder(folder), classes=["Katze", "Hund"])
    assert from_dataset(ImageFolder(folder), like=renamed).classes == ("Katze", "Hund")
    write(tmp_path / "test" / "dog" / "1.png", random_pixels(10, 14, 3))
    with pytest.raises(ValueError, match=r"^classes: expected those of like"):  # its label 0 is no cat
        from_dataset(ImageFolder(tmp_path / "test"), like=train)


@pytest.mark.parametrize("labels", [[-100], [0, -1]])
def test_negative_labels_are_refused_wherever_they_come(labels):
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"^labels: expected 0 or more, got "):
        ImageSet(images, torch.tensor(labels), "mine", ("a", "b"))
    with pytest.raises(ValueError, match=r"^labels: expected 0 or more, got "):
        replace(from_dataset([(image, 0) for image in images]), labels=labels)
    with pytest.raises(ValueError, match=r"^dataset: expected labels from 0, label "):
        from_dataset([(image, label) for image, label in zip(images, labels, strict=True)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", (0.1, 0.2)),
        ("mean", 0.1),
        ("mean", (None,)),
        ("mean", (torch.nan,)),
        ("std", (0.0,)),
        ("std", (-1,)),
        ("std", "1"),
    ],
)
def test_numbers_that_do_not_normalise_are_refused(name, value):
    images = from_dataset([(GOOD, 0)])
    with pytest.raises(ValueError, match=rf"^{name}: expected one number per channel"):
        replace(images, **{name: value})


def test_numbers_may_come_from_numpy_or_torch():
    images = replace(from_dataset([(GOOD, 0)]), mean=np.array([0.5]), std=torch.tensor([0.25]))
    assert images.scale == ((0.5,), (0.25,))


@pytest.mark.parametrize("images", ["x", torch.zeros(1, 1, 4, 4).long()])
def test_normalize_refuses_what_are_no_images(images):
    with pytest.raises(TypeError, match=r"^images: expected a uint8 or floating-point tensor"):
        from_dataset([(GOOD, 0)]).normalize(images)


@pytest.mark.parametrize(
    "images", ["x", None, np.zeros((1, 1, 4, 4)), torch.zeros(1, 1, 4, 4).byte(), torch.zeros(1).int()]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_denormalize_refuses_what_was_not_normalised(images, channels):
    with pytest.raises(TypeError, match=r"^images: expected a normalised floating-point tensor, got "):
        from_dataset([(torch.zeros(channels, 4, 4), 0)]).denormalize(images)


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), torch.zeros(4, 4), torch.zeros(3)])
@pytest.mark.parametrize("function", [ImageSet.normalize, ImageSet.denormalize])
def test_images_of_other_channels_are_not_stretched_to_these(function, images):
    colours = from_dataset([(torch.zeros(3, 4, 4), 0)])
    with pytest.raises(ValueError, match=r"^images: expected 3 channels"):
        function(colours, images)
    grey = from_dataset([(GOOD, 0)])
    assert function(grey, images).shape == images.shape


def work(folder):
    images = load_images(folder)
    items = [(np.zeros((4, 6, 3), np.uint8), 0), (Image.new("RGB", (6, 4)), 1), (np.zeros((3, 4, 6)), np.int32(1))]
    train = from_dataset(items)
    test = from_dataset(items[:1], like=train)
    back = images.denormalize(images.normalize(images.images))
    return [
        images.images,
        images.labels,
        back,
        train.normalize(train.images),
        test.images,
        *next(iter(Batches(images, 4))),
    ]


@pytest.mark.parametrize("default", ["meta", torch.float64])
def test_torchs_defaults_change_nothing(folder, default):
    """Its default device is another one ("meta" plays the GPU), or its default dtype float64."""
    expected = work(folder)
    of_dtype = isinstance(default, torch.dtype)
    set_default, before = (torch.set_default_dtype, torch.float32) if of_dtype else (torch.set_default_device, None)
    set_default(default)
    try:
        found = work(folder)
    finally:
        set_default(before)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.device.type, ours.dtype) == ("cpu", theirs.dtype)
        assert torch.equal(ours, theirs)


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


DAMAGE = {
    "labels overwritten": lambda content: content[:-3] + bytes(3),
    "cut": lambda content: content[:-2],
    "cut in its head": lambda content: content[:6],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"x",
    "missing": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "train-images-idx3-ubyte"])
def test_a_damaged_fashion_mnist_in_the_cache_is_never_taken_for_good_and_repaired(
    mirror, monkeypatch, tmp_path, damage, name
):
    good = load_fashion_mnist("train")
    path = tmp_path / "cache" / "FashionMNIST" / "raw" / name
    path.unlink() if DAMAGE[damage] is None else path.write_bytes(DAMAGE[damage](path.read_bytes()))
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    with pytest.raises(MNISTUnavailable, match=r"^STNCOURSE_OFFLINE is set, and Fashion-MNIST is not in the cache"):
        load_fashion_mnist("train")
    assert len(load_fashion_mnist("test")) == 3  # the other split is whole
    monkeypatch.delenv("STNCOURSE_OFFLINE")
    again = load_fashion_mnist("train")
    assert torch.equal(again.images, good.images)
    assert torch.equal(again.labels, good.labels)
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    load_fashion_mnist("train")


@pytest.mark.parametrize("record", [None, "", "[]", "{}", "null", '{"train-labels-idx1-ubyte": 3}', "{"])
def test_files_of_which_nothing_is_known_are_downloaded_again(mirror, monkeypatch, tmp_path, record):
    good = load_fashion_mnist("train")
    folder = tmp_path / "cache" / "FashionMNIST" / "raw"
    (folder / "train-labels-idx1-ubyte").write_bytes(b"what an older release left")
    (folder / "md5.json").unlink()
    if record is not None:
        (folder / "md5.json").write_text(record)
    assert torch.equal(load_fashion_mnist("train").labels, good.labels)


def test_archives_that_torchvision_kept_do_without_a_download(mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("STNCOURSE_OFFLINE", "1")
    folder = tmp_path / "cache" / "FashionMNIST" / "raw"
    shutil.copytree(mirror, folder)
    assert len(load_fashion_mnist("train")) == 6
    for archive in folder.glob("*.gz"):
        archive.unlink()
    assert len(load_fashion_mnist("train")) == 6


def test_fashion_mnists_own_mirror_comes_before_torchvisions(mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("STNCOURSE_FASHION_MIRROR", (tmp_path / "nowhere").as_uri())
    monkeypatch.setattr(FashionMNIST, "mirrors", [mirror.as_uri() + "/"])
    assert len(load_fashion_mnist("train")) == 6


def test_an_endless_fashion_mnist_is_given_up(mirror, monkeypatch, tmp_path):
    monkeypatch.setattr("stncourse.data.download._LARGEST", 1000)
    with pytest.raises(MNISTUnavailable, match=r"train-images-idx3-ubyte.gz has more than 1,000 bytes"):
        load_fashion_mnist()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["FashionMNIST"]


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
