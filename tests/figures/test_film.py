"""The film: right pictures at the right steps, a player that fetches nothing, files that are whole or not there."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from stncourse import (
    BACKGROUND,
    FAST_RECIPE,
    AffineGrid,
    DigitCNN,
    History,
    SpatialTransformer,
    STNClassifier,
    affine_grid,
    affine_theta,
    animate_training,
    bilinear_sample,
    denormalize,
    fit,
    from_dataset,
    load_digits,
    normalize,
    projective_grid,
)
from stncourse.figures import film as module

DIGITS = load_digits("test", source="offline")


def turning(count=2, moments=5):
    """A history in which every frame turns."""
    theta = [affine_theta(rotation=10.0 * i).expand(count, -1, -1).tolist() for i in range(moments)]
    return History({}, theta=[{"step": 10 * i, "theta": t} for i, t in enumerate(theta)])


@pytest.fixture(scope="module")
def film():
    return animate_training(turning(), DIGITS.images[:2])


@pytest.fixture
def drawn(monkeypatch):
    """What ``_draw`` is given, without drawing it."""
    calls = []

    def note(images, theta, outputs, titles):
        calls.append((images, theta, outputs, titles))
        return [Image.new("RGB", (8, 8))] * len(titles)

    monkeypatch.setattr(module, "_draw", note)
    return calls


# What is on it


def test_a_training_is_all_it_takes():
    torch.manual_seed(0)
    model, probe = STNClassifier(), DIGITS.images[:3]
    recipe = FAST_RECIPE.but(batch_size=128)
    history = fit(model, DIGITS.subset(slice(256)), None, recipe, "cpu", probe=probe, probe_every=1, verbose=False)
    film = animate_training(history, probe, model, probe=(0, 2))
    assert film.titles == ["step 0", "step 1", "step 2"]
    assert repr(film) == f"Film: {film.alt}"
    assert "probe images 0, 2" in film.alt
    assert "step 2" in film.alt


@pytest.mark.parametrize("family", ["attention", "similarity", "affine", "projective"])
@pytest.mark.parametrize("output_size", [None, (9, 14)])
def test_outputs_are_what_the_transformer_passes_on(family, output_size, drawn):
    """Of every family with a θ, on images that are not square, with the model's padding."""
    torch.manual_seed(1)
    images = torch.rand(2, 1, 20, 31)
    stn = SpatialTransformer.for_images(
        (20, 31), family=family, output_size=output_size, padding_mode="zeros", padding_value=BACKGROUND
    )
    with torch.no_grad():
        stn.localization.fc_loc[-1].bias.add_(0.2 * torch.rand(stn.grid_generator.num_parameters))
        theta = stn.transform(normalize(images)).theta
        expected = stn(normalize(images))
    animate_training([{"step": 0, "theta": theta.tolist()}], images, stn, probe=(1, 0))
    _, _, outputs, _ = drawn[0]
    expected = denormalize(expected).clamp(0, 1)
    torch.testing.assert_close(outputs[0], expected.flip(0), atol=1e-5, rtol=0)


def test_without_a_model_the_output_is_as_large_as_the_input_and_black_outside(drawn):
    images = DIGITS.images[:2]
    history = turning()
    animate_training(history, images)
    animate_training(history, images, output_size=(11, 16))
    theta = torch.tensor(history.theta[3]["theta"])[:1]
    for (_, _, outputs, _), size in zip(drawn, [(28, 28), (11, 16)], strict=True):
        torch.testing.assert_close(outputs[3], bilinear_sample(images[:1] / 255, affine_grid(theta, size)))


def test_the_models_own_padding_is_shown(drawn):
    """Zeros after normalisation are grey: the film has to show it."""
    stn = SpatialTransformer.for_images(28, padding_value=0.0)
    animate_training([{"step": 0, "theta": affine_theta(scale=2).tolist()}], DIGITS.images[:1], stn)
    assert drawn[0][2][0, 0, 0, 0, 0].item() == pytest.approx(0.1307, abs=1e-3)


def test_align_corners_is_the_samplers(drawn):
    sampler = module.Sampler(align_corners=True)
    stn = SpatialTransformer(torch.nn.Identity(), AffineGrid(align_corners=True), sampler)
    theta = affine_theta(scale=0.6, translation=(0.1, 0))
    animate_training([{"step": 0, "theta": theta.tolist()}], DIGITS.images[:1] / 255, stn)
    grid = affine_grid(theta, (28, 28), align_corners=True)
    expected = bilinear_sample(DIGITS.images[:1] / 255, grid, align_corners=True)
    torch.testing.assert_close(drawn[0][2][0], expected, atol=1e-5, rtol=0)


def test_the_picture_shows_input_frame_and_output():
    """Pixel by pixel where it matters: the left half of the input is white, and θ looks at exactly that half."""
    image = torch.zeros(1, 1, 20, 20)
    image[..., :10] = 1
    half = affine_theta(scale=(0.5, 1), translation=(-0.5, 0))
    picture = animate_training([{"step": 7, "theta": half.tolist()}], image).frames[0]
    pixels = np.asarray(picture).astype(int)
    middle = pixels[picture.height * 6 // 10]
    left, right = middle[: picture.width // 2], middle[picture.width // 2 :]
    assert (right[40:-40] == 255).all()  # all the output is white, but where it mixes with the padding
    orange = np.argwhere((abs(left - [255, 159, 28]) < 40).all(1)).ravel()
    white = np.argwhere((left == 255).all(1)).ravel()
    inside = white[(white > orange.min()) & (white < orange.max())]
    assert len(inside) > 40
    assert orange.max() - orange.min() == pytest.approx(len(inside), abs=8)
    assert (left[orange.max() + 8 : orange.max() + 40] == 0).all()  # the black half, outside of the frame


def test_the_frame_moves_and_the_input_does_not():
    looks = [affine_theta(scale=0.3, translation=(0.5, y)).tolist() for y in (-0.4, 0.4)]
    film = animate_training([{"step": i, "theta": look} for i, look in enumerate(looks)], DIGITS.images[:1])
    first, last = (np.asarray(frame).astype(int) for frame in film.frames)
    changed = (np.abs(first - last).max(2) > 60)[60:]  # below the words
    input_left, input_right, output, _ = np.array_split(changed, 4, axis=1)
    assert not input_left.any()  # the frame is in the other half
    assert input_right.any()
    assert output.any()


def test_a_corner_behind_the_horizon_and_nan_do_not_stop_the_film():
    theta = torch.eye(3).expand(2, 3, 3).clone()
    theta[0, 2, 0] = 3.0
    theta[1] = torch.nan
    assert projective_grid(theta[:1], (4, 4)).isfinite().all()
    film = animate_training([{"step": 0, "theta": theta.tolist()}], DIGITS.images[:2], probe=(0, 1))
    assert len(film.frames) == 1


def test_colour_images_stay_in_colour():
    image = torch.zeros(1, 3, 8, 8)
    image[:, 0] = 1
    frame = animate_training([{"step": 0, "theta": affine_theta().tolist()}], image).frames[0]
    assert frame.getpixel((frame.width * 3 // 4, frame.height // 2)) == (255, 0, 0)


def test_moments_are_spread_evenly_with_the_first_and_the_last(drawn):
    history = turning(moments=101)
    for frames, count in ((5, 5), (2, 2), (1000, 101)):
        film = animate_training(history, DIGITS.images[:2], frames=frames)
        assert len(film.frames) == count
        assert (film.titles[0], film.titles[-1]) == ("step 0", "step 1000")
    assert drawn[0][3] == ["step 0", "step 250", "step 500", "step 750", "step 1000"]
    assert drawn[0][1].shape == (5, 1, 2, 3)


def test_the_film_goes_slower_where_the_frames_move(drawn):
    """All the turning happens in steps 0 to 120; afterwards, nothing."""
    degrees = [min(i, 12) for i in range(101)]
    history = [{"step": 10 * i, "theta": affine_theta(rotation=5.0 * d).tolist()} for i, d in enumerate(degrees)]
    film = animate_training(history, DIGITS.images[:1], frames=20)
    steps = [int(title.removeprefix("step ")) for title in film.titles]
    assert (steps[0], steps[-1]) == (0, 1000)
    assert len(steps) <= 20
    assert 8 <= sum(step <= 120 for step in steps) <= 13  # of evenly spread ones it would be three
    assert sum(step > 120 for step in steps) >= 7


def test_a_film_in_which_nothing_moves_is_spread_evenly(drawn):
    still = [{"step": step, "theta": affine_theta().tolist()} for step in range(41)]
    assert animate_training(still, DIGITS.images[:1], frames=5).titles == [f"step {i}" for i in (0, 10, 20, 30, 40)]


@pytest.mark.parametrize("scale", [1, 1.7])
def test_no_frame_is_cut_off_at_any_moment(scale):
    """The orange line stays within the picture of the input, even where it reaches far beyond the image."""
    theta = [affine_theta(scale=factor).tolist() for factor in (1, scale)]
    film = animate_training([{"step": i, "theta": one} for i, one in enumerate(theta)], DIGITS.images[:1])
    pixels = np.asarray(film.frames[-1]).astype(int)[42:, : film.frames[-1].width // 2]  # below the words
    orange = np.argwhere(pixels[..., 0] > pixels[..., 2] + 60)
    assert len(orange)
    (top, left), (bottom, right) = orange.min(0), orange.max(0)
    assert bottom - top == pytest.approx(right - left, abs=8)  # a square frame, whole
    assert min(left, pixels.shape[1] - right, pixels.shape[0] - bottom) > 3


# The player


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_player_fetches_nothing(film):
    text = film.html()
    assert "http" not in text
    assert "//" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+|// [A-Z][^\n]*", "", text)
    for tag, attributes in Tags(text).found:
        assert tag not in ("link", "iframe", "object", "embed")
        assert attributes.get("src", "data:").startswith("data:")


def test_the_player_holds_every_picture_and_its_step(film):
    text = film.html()
    pictures = json.loads(re.search(r"const pictures = (\[.*\]);", text)[1])
    titles = json.loads(re.search(r"const titles = (\[.*\]);", text)[1])
    assert titles == film.titles
    assert len(pictures) == len(film.frames)
    for picture, frame in zip(pictures, film.frames, strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(picture.removeprefix("data:image/png;base64,"))))
        difference = np.abs(np.asarray(shown.convert("RGB")).astype(int) - np.asarray(frame)).mean()
        assert difference < 2


def test_the_player_can_be_used_by_keys_and_by_ear(film):
    tags = Tags(film.html()).found
    controls = [(tag, attributes) for tag, attributes in tags if tag in ("button", "input")]
    assert [tag for tag, _ in controls] == ["button"] * 3 + ["input"]  # what the keyboard knows by itself
    assert "tabindex" not in film.html()
    assert controls[-1][1]["aria-label"]
    assert next(attributes["alt"] for tag, attributes in tags if tag == "img") == film.alt
    # Else JupyterLab takes the arrows for its own.
    assert tags[0][1]["data-lm-suppress-shortcuts"] == "true"


def test_the_notebook_gets_the_player_and_the_words(film):
    data = film._repr_mimebundle_()
    assert data["text/html"] == film.html()
    assert data["text/plain"] == repr(film)


def test_titles_cannot_end_the_script():
    film = module.Film([Image.new("RGB", (4, 4))], ["</script><b>"], alt='"><b>')
    tags = [tag for tag, _ in Tags(film.html()).found]
    assert "b" not in tags


# Files


def test_gif_has_every_moment(film, tmp_path):
    film.save(tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == len(film.frames)
        assert gif.size == film.frames[0].size
        gif.seek(gif.n_frames - 1)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - np.asarray(film.frames[-1])).mean() < 3


def test_html_is_a_page_of_its_own(film, tmp_path):
    film.save(str(tmp_path / "film.HTML"))
    page = (tmp_path / "film.HTML").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert film.html() in page
    assert "http" not in page


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_mp4_is_a_video_of_the_right_length(film, tmp_path):
    film.save(tmp_path / "film.mp4")
    probe = [
        shutil.which("ffmpeg"),
        "-v",
        "error",
        "-i",
        tmp_path / "film.mp4",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(probe, capture_output=True, check=True).stdout
    width, height = (side - side % 2 for side in film.frames[0].size)
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    assert len(pictures) == len(film.frames)
    expected = np.asarray(film.frames[-1])[:height, :width]
    assert np.abs(pictures[-1].astype(int) - expected).mean() < 12


def test_without_ffmpeg_an_mp4_is_refused_with_the_remedy(film, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"ffmpeg.*install.*\.gif"):
        film.save(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_what_ffmpeg_says_is_passed_on(film, tmp_path, monkeypatch):
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setattr(module.shutil, "which", lambda name: str(tmp_path / name))
    with pytest.raises(RuntimeError, match="no such codec"):
        film.save(tmp_path / "film.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ffmpeg"]


def test_a_failed_save_leaves_the_old_file(film, tmp_path, monkeypatch):
    path = tmp_path / "film.gif"
    path.write_bytes(b"the old one")

    def full(self, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(module.Film, "_write_gif", full)
    with pytest.raises(OSError, match="disk full"):
        film.save(path)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "error"),
    [("film.avi", ValueError), ("film", ValueError), (7, TypeError), ("no folder/film.gif", FileNotFoundError)],
)
def test_save_refuses_what_it_cannot_write(film, path, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match="path"):
        film.save(path)


# What is refused


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"history": None}, TypeError, "history"),
        ({"history": History({})}, ValueError, "probe=images"),
        ({"history": [{"step": 0, "theta": [[1.0, 0, 0]] * 2}]}, ValueError, "history"),
        ({"history": [{"step": 0, "theta": None}]}, ValueError, "no matrix"),
        ({"images": DIGITS.images[:3]}, ValueError, "images: expected the 2 probe images"),
        ({"images": DIGITS.images[0]}, ValueError, "images"),
        ({"images": DIGITS.images[:2].float() / 255 - 0.5}, ValueError, "denormalize"),
        ({"model": DigitCNN()}, TypeError, "model"),
        ({"probe": 2}, ValueError, "probe: expected one to eight numbers from 0 to 1"),
        ({"probe": ()}, ValueError, "probe"),
        ({"probe": (0, 1) * 5}, ValueError, "probe"),
        ({"output_size": (0, 3)}, ValueError, "output_size"),
        ({"frames": 1}, ValueError, "frames"),
        ({"frames_per_second": 0}, ValueError, "frames_per_second"),
    ],
)
def test_bad_arguments_are_refused(changes, error, message):
    arguments = {"history": turning(), "images": DIGITS.images[:2]} | changes
    with pytest.raises(error, match=message):
        animate_training(**arguments)


# By whose numbers, and what is taken


def own_set(channels):
    images = torch.full((2, channels, 20, 20), 40, dtype=torch.uint8)
    images[:, :, 5:15, 8:12] = torch.tensor([200, 90, 160])[:channels, None, None].byte()
    return from_dataset([(image, label) for label, image in enumerate(images)])


@pytest.mark.parametrize("way", ["the set", "tensor", "array", "its own images"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_pads_by_the_numbers_of_the_set(channels, way, drawn):
    """θ looks at twice the image: around it lies what the model pads with."""
    images = own_set(channels)
    stn = SpatialTransformer.for_images(20, channels, padding_value=images.background(120))
    history = History({}, theta=[{"step": 0, "theta": affine_theta(scale=2).expand(2, -1, -1).tolist()}])
    given, like = {
        "the set": (images, None),
        "tensor": (images.images, images),
        "array": (images.images.numpy(), images),
        "its own images": (images.images[:], None),
    }[way]
    animate_training(history, given, torch.nn.Sequential(stn), like=like, probe=(0, 1))
    outputs = drawn[0][2][0]
    torch.testing.assert_close(outputs[:, :, 0, 0], torch.full((2, channels), 120 / 255), atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs[:, :, 6, 6], torch.full((2, channels), 40 / 255), atol=1e-5, rtol=0)


def test_colours_without_a_set_are_refused_where_a_model_pads_them():
    images, history = own_set(3).images.clone(), turning()
    with pytest.raises(ValueError, match=r"^like: expected the set that the images come from"):
        animate_training(history, images, STNClassifier(20, 3))
    assert animate_training(history, images).frames  # without a model nothing is normalised


@pytest.mark.parametrize(
    "wrap",
    [
        lambda stn: stn,
        lambda stn: torch.nn.Sequential(torch.nn.Sequential(stn), DigitCNN()),
        torch.compile,
        lambda stn: torch.compile(torch.nn.Sequential(stn)).double(),
    ],
)
def test_the_transformer_is_found_wherever_it_is(wrap, drawn):
    stn = SpatialTransformer.for_images(28, output_size=(9, 11), padding_value=BACKGROUND)
    animate_training(turning(), DIGITS.images[:2], wrap(stn))
    assert drawn[0][2].shape[-2:] == (9, 11)


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": np.array([0, 1])},
        {"probe": torch.tensor(1)},
        {"probe": range(2)},
        {"frames": np.int64(3)},
        {"frames": torch.tensor(3)},
        {"frames_per_second": np.float32(2.5)},
        {"frames_per_second": torch.tensor(2.5)},
        {"output_size": np.int64(9)},
        {"output_size": np.array([9, 11])},
    ],
)
def test_numbers_of_any_kind_are_taken(changes, drawn):
    film = animate_training(turning(), DIGITS.images[:2].numpy(), **changes)
    assert len(film.frames) == (3 if "frames" in changes else 5)
    assert film._repr_mimebundle_()["text/html"]


def test_a_film_does_not_depend_on_torchs_defaults(other_defaults):
    with torch.device("cpu"):
        model = STNClassifier()
    theta = [[[0.9, 0.1, 0.0], [-0.1, 0.9, 0.2]]]
    history = History({}, theta=[{"step": i, "theta": theta} for i in range(2)])
    assert len(animate_training(history, DIGITS.subset(slice(1))).frames) == 2
    assert len(animate_training(history, DIGITS.images[:1], model).frames) == 2


@pytest.mark.parametrize(
    ("changes", "error", "name"),
    [
        ({"images": DIGITS.images[:2].to("meta")}, ValueError, "images"),
        ({"images": torch.rand(2, 2, 8, 8)}, ValueError, "images"),
        ({"probe": 1.5}, ValueError, "probe"),
        ({"probe": True}, ValueError, "probe"),
        ({"probe": "0"}, ValueError, "probe"),
        ({"frames": 2.5}, TypeError, "frames"),
        ({"frames_per_second": float("nan")}, ValueError, "frames_per_second"),
        ({"frames_per_second": True}, ValueError, "frames_per_second"),
        ({"model": "model"}, TypeError, "model"),
        ({"like": 3}, TypeError, "like"),
        ({"history": [{"step": 0, "theta": [[[1.0] * 3] * 2]}, {"step": 1, "theta": None}]}, ValueError, "history"),
    ],
)
def test_what_cannot_be_filmed_is_named(changes, error, name):
    arguments = {"history": turning(), "images": DIGITS.images[:2]} | changes
    with pytest.raises(error, match=f"^{name}: expected"):
        animate_training(**arguments)


PICTURE = Image.new("RGB", (4, 4))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([], [], ""), "frames"),
        (([np.zeros((4, 4))], [""], ""), "frames"),
        (([PICTURE, Image.new("RGB", (5, 4))], ["", ""], ""), "frames"),
        (([PICTURE], [], ""), "titles"),
        (([PICTURE], [""], "", 0), "frames_per_second"),
        (([PICTURE], [""], "", 8, 300), "colors"),
    ],
)
def test_frames_that_are_no_film_are_named(arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        module.Film(*arguments)


@pytest.mark.parametrize("text", ["$x$ {b", "\ud800", "50 % \\", "a\nb", "${name}"])
def test_titles_of_any_kind_are_written(text, tmp_path):
    film = module.Film([PICTURE.convert("L"), PICTURE], [text, 7], text)
    film.save(tmp_path / "film.html")
    page = (tmp_path / "film.html").read_text(encoding="utf-8")
    assert json.loads(re.search(r"const titles = (\[.*\]);", page)[1]) == film.titles
    assert film.titles[0] == text.replace("\ud800", "\ufffd")


@pytest.mark.parametrize("ending", [".gif", ".html"])
def test_a_film_goes_home_and_through_links_and_leaves_nothing_else(film, ending, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "real").write_bytes(b"the old one")
    (tmp_path / f"link{ending}").symlink_to(tmp_path / "real")
    film.save(f"~/link{ending}")
    assert (tmp_path / f"link{ending}").is_symlink()
    assert len((tmp_path / "real").read_bytes()) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"link{ending}", "real"]
