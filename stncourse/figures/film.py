"""The film of a training: where θ looks on some digits, and what comes out, step by step."""

import base64
import hashlib
import html
import io
import json
import shutil
import string
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stncourse import _check, _files
from stncourse._language import language, said, words
from stncourse.figures.curves import recorded_theta
from stncourse.figures.figure import (
    FRAME_COLOR,
    as_pictures,
    as_text,
    as_unit,
    draw_image,
    frame_corners,
    margin_for,
    set_margin,
)
from stncourse.figures.shown import denormalize, known, shown
from stncourse.transformer.grids import affine_grid, projective_grid
from stncourse.transformer.sampling import Sampler
from stncourse.transformer.spatial_transformer import transformers_in

_DPI, _SCREEN_DPI = 90, 72  # sharpness of the pictures; size on the page
_END = 12  # times as long as the others the last picture stays, before the film starts again
_COLORS = {1: 64, 3: 256}  # of a picture in the page and in the GIF, for images with so many channels


class Film:
    """Pictures in a row, which a notebook shows with a player, and :meth:`save` writes to a file.

    The player is one piece of HTML: the pictures are in it, nothing is fetched from anywhere. The film starts by itself
    never, and once started, over and over again until it is paused. All its controls are ordinary buttons and a slider,
    so that keys work: Tab, Space, ← →.

    Args:
        frames: Pillow images, all of one size.
        titles: a short text for each.
        alt: the film in words.
        frames_per_second: how fast it runs, up to 60.
        colors: how many colours a picture keeps in the page and in a GIF, 2 to 256.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.
    """

    def __init__(self, frames, titles, alt, frames_per_second=8, colors=64):
        self.frames, self.titles, self.alt = _as_frames(frames), list(map(as_text, titles)), as_text(alt)
        if len(self.titles) != len(self.frames):
            raise ValueError(f"titles: expected {len(self.frames)}, one per frame, got {len(self.titles)}")
        self.frames_per_second = _as_speed(frames_per_second)
        self.colors = _check.positive_int("colors", colors, minimum=2)
        if self.colors > 256:
            raise ValueError(f"colors: expected 2 to 256, got {colors}")

    def __repr__(self):
        return f"Film: {self.alt}"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html(), "text/plain": repr(self)}

    def html(self):
        """The player, as a piece of HTML. Where scripts are not run, it is the film's last picture."""
        pictures = ["data:image/png;base64," + base64.b64encode(_png(frame)).decode() for frame in self._reduced()]
        name = "film-" + hashlib.sha256("".join(pictures).encode()).hexdigest()[:12]
        player = resources.files("stncourse.figures").joinpath("film.html").read_text(encoding="utf-8")
        player = words(language()).said_html(player)
        titles = list(map(said, self.titles))
        return string.Template(player).substitute(
            name=name,
            alt=html.escape(said(self.alt), quote=True),
            play=said("Play"),
            stop=said("Pause"),
            width=round(self.frames[0].width * _SCREEN_DPI / _DPI),
            last=pictures[-1],
            end=len(pictures) - 1,
            title=html.escape(titles[-1]),
            pictures=_as_script(pictures),
            titles=_as_script(titles),
            pause=round(1000 / self.frames_per_second),
            last_pause=_END * round(1000 / self.frames_per_second),
        )

    def save(self, path):
        """Write the film to a file; one that was there is replaced at once, when the new one is whole.

        Args:
            path: its ending says what is written: ``.gif``; ``.html``, a page with the player; or ``.mp4``, for which
                the program ffmpeg has to be on the machine.

        Raises:
            TypeError, ValueError: no path, or another ending. OSError: it cannot be written.
            FileNotFoundError: its folder is not there, or ffmpeg is not, for an MP4.
            RuntimeError: ffmpeg failed; the message is ffmpeg's.
        """
        path = _files.check_writable("path", path)
        writers = {".gif": self._write_gif, ".html": self._write_html, ".mp4": self._write_mp4}
        writer = writers[_check.choice("the path's ending", path.suffix.lower(), writers)]
        with _files.replacing(path) as file:
            writer(file)

    def _reduced(self):
        """The pictures with few colours: a fifth of the bytes."""
        return [frame.quantize(self.colors) for frame in self.frames]

    def _write_html(self, file):
        page = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(self.alt)}</title>\n'
        file.write((page + self.html() + "</html>\n").encode())

    def _write_gif(self, file):
        first, *others = self._reduced()
        pause = round(1000 / self.frames_per_second)
        pauses = [pause] * len(others) + [_END * pause]
        first.save(file, format="GIF", save_all=True, append_images=others, duration=pauses, loop=0)

    def _write_mp4(self, file):
        program = shutil.which("ffmpeg")
        if program is None:
            raise FileNotFoundError(
                "path: an MP4 is written by the program ffmpeg, which is not on this machine: install it "
                "(`sudo apt-get install ffmpeg`, `brew install ffmpeg`, `conda install ffmpeg`), or save a .gif"
            )
        width, height = self.frames[0].size
        width, height = width - width % 2, height - height % 2  # the usual pixel format takes even sizes only
        raw = b"".join(frame.crop((0, 0, width, height)).tobytes() for frame in self.frames)
        command = [program, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        with tempfile.TemporaryDirectory() as folder:  # ffmpeg goes back and forth in a file of its own
            film = Path(folder) / "film.mp4"
            command += ["-r", str(self.frames_per_second), "-i", "-", "-pix_fmt", "yuv420p", "-f", "mp4", str(film)]
            done = subprocess.run(command, input=raw, capture_output=True)
            if done.returncode != 0:
                raise RuntimeError(f"ffmpeg could not write the film: {done.stderr.decode(errors='replace').strip()}")
            file.write(film.read_bytes())


def _as_frames(frames):
    from PIL import Image

    frames = list(frames)
    if not frames:
        raise ValueError("frames: expected at least one Pillow image, got none")
    for frame in frames:
        if not isinstance(frame, Image.Image):
            raise TypeError(f"frames: expected Pillow images, got {_check.describe(frame)}")
        if frame.size != frames[0].size:
            raise ValueError(f"frames: expected images of one size, got {frames[0].size} and {frame.size}")
    return [frame.convert("RGB") for frame in frames]


def _as_speed(value):
    return _check.number("frames_per_second", value, "a number above 0, up to 60", lambda speed: 0 < speed <= 60)


def animate_training(
    history, images, model=None, *, probe=0, output_size=None, frames=40, frames_per_second=8, like=None
):
    """The film of digits being straightened, as training goes.

    For each digit: left the input with the frame that θ looks at (its top edge is thick, the dot marks the
    output's top-left corner), right the output. What ``fit(model, ..., probe=images)`` recorded is all it takes:

        history = fit(model, train, probe=images)
        animate_training(history, images, model)

    Args:
        history: a :class:`stncourse.History` with recorded θ, or its ``theta`` alone. Every transform that has a matrix
            will do; a thin-plate spline has none.
        images: the probe images, as ``fit`` got them: ``(P, C, H, W)``, raw uint8, or floating-point in [0, 1]; a
            tensor or a NumPy array. Or a set of them, :class:`stncourse.Digits` or :class:`stncourse.ImageSet`.
        model: the model, or its SpatialTransformer, for its output size and its padding; of several the one whose θ
            ``fit`` records. Default: the output is as large as the input, outside the image is black.
        probe: which of the images, by number; or several: up to 8 numbers.
        output_size: ``(H_out, W_out)``, or one int; default: the model's.
        frames: at most so many pictures of the recorded steps, the first and the last among them. Where θ moves most,
            they lie closest: the film goes slower there.
        frames_per_second: how fast it runs, up to 60.
        like: with a model, the set whose numbers normalise the images, for what they are padded with. Default:
            ``images``, if it is a set. A part of a set's own images is recognised; of copies say ``like=``: of one
            channel, they are taken for MNIST's.

    Returns:
        :class:`Film`: a notebook shows it with a player; ``film.save("training.gif")`` (or ``.mp4``, ``.html``) writes
        it to a file.

    Convention:
        θ maps output → input, in [-1, 1], (x, y), ``align_corners=False`` unless the model's sampler has it True. Grey
        around the input is outside of the image.

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above, no θ was recorded, or that of a spline;
            with a model, images of several channels of which no set is known, or of several sets that share them.

    >>> images = load_digits("test", source="offline").images[:1]
    >>> turning = [{"step": 10 * i, "theta": affine_theta(rotation=3 * i).tolist()} for i in range(5)]
    >>> animate_training(History({}, theta=turning), images)
    Film: probe image 0 in training, from step 0 to step 40: the input with the frame that θ looks at, and the output
    """
    steps, theta = recorded_theta(history)
    images, _, like = shown(images, like=like)
    if len(images) != theta.shape[1]:
        raise ValueError(f"images: expected the {theta.shape[1]} probe images whose θ was recorded, got {len(images)}")
    as_pictures(images)  # that they are pictures
    probes = _as_probes(probe, len(images))
    frames, frames_per_second = _check.positive_int("frames", frames, minimum=2), _as_speed(frames_per_second)
    chosen = _moments(steps, theta[:, probes], frames)
    steps, theta, images = [steps[i] for i in chosen], theta[chosen][:, probes], images[probes]
    outputs = _outputs(theta, images, model, output_size, like)

    colors = _COLORS[images.shape[1]]
    which = f"probe image{'s' * (len(probes) > 1)} {', '.join(map(str, probes))}"
    alt = f"{which} in training, from step {steps[0]} to step {steps[-1]}"
    alt += ": the input with the frame that θ looks at, and the output"
    titles = [f"step {step}" for step in steps]
    return Film(_draw(images, theta, outputs, titles), titles, alt, frames_per_second, colors)


def _moments(steps, theta, frames):
    """Which of the recorded moments are shown: half of the film goes by the steps, half by how far the frames move."""
    size = (2, 2)  # of the images, whatever it is: only parts of a whole count
    corners = torch.stack([torch.stack([frame_corners(one, size) for one in moment]) for moment in theta])
    moved = corners.diff(dim=0).nan_to_num(0.0, 0.0, 0.0).norm(dim=-1).mean((1, 2))
    gone = torch.tensor([float(step) for step in steps], dtype=moved.dtype, device="cpu").diff()
    pace = sum(way / way.sum() for way in (gone, moved) if way.sum() > 0)
    if len(steps) <= frames or not isinstance(pace, torch.Tensor):
        return list(range(len(steps)))[:frames]
    film = torch.cat([pace.new_zeros(1), pace.cumsum(0)])
    chosen = [0, len(steps) - 1]
    for pictures in range(frames, 4 * frames):  # several may fall on one moment: then there is room for more
        ideal = torch.linspace(0, 1, pictures, dtype=film.dtype, device="cpu") * film[-1]
        nearest = sorted({(film - time).abs().argmin().item() for time in ideal} | {0, len(steps) - 1})
        if len(nearest) > frames:
            break
        chosen = nearest
    return chosen


def _as_probes(probe, count):
    single = _check.as_integer(probe)
    try:
        probes = [single] if single is not None else [_check.as_integer(number) for number in probe]
    except TypeError:  # not to be iterated over
        probes = []
    if not 1 <= len(probes) <= 8 or not all(p is not None and 0 <= p < count for p in probes):
        raise ValueError(f"probe: expected one to eight numbers from 0 to {count - 1}, got {_check.describe(probe)}")
    return probes


def _outputs(theta, images, model, output_size, like):
    """What the sampler makes of each image at each step: ``(S, P, C, H_out, W_out)``, in [0, 1]."""
    stn = None if model is None else _transformer(model)
    size = tuple(images.shape[-2:]) if stn is None else getattr(stn, "output_size", None) or tuple(images.shape[-2:])
    size = size if output_size is None else _check.image_size("output_size", output_size)
    # Without a model, images stay in [0, 1], where 0 is background.
    sampler = Sampler() if stn is None else stn.sampler
    inputs = as_unit(images) if stn is None else known(like, images).normalize(images).float()
    make_grid = affine_grid if theta.shape[2] == 2 else projective_grid
    with torch.no_grad():
        outputs = [sampler(inputs, make_grid(moment, size, sampler.align_corners)) for moment in theta]
    outputs = torch.stack(outputs if stn is None else [denormalize(like, output) for output in outputs])
    return outputs.nan_to_num(0.0).clamp(0, 1)


def _transformer(model):
    """The transformer whose θ ``fit`` records."""
    own = getattr(model, "stn", model)  # may be one of your own making
    found = transformers_in(model) if isinstance(model, torch.nn.Module) else []
    found = found or ([own] if hasattr(own, "sampler") else [])
    if not found:
        got = f"a {type(model).__name__}" if isinstance(model, torch.nn.Module) else _check.describe(model)
        raise TypeError(f"model: expected a SpatialTransformer or a model with one in it, got {got} without")
    return found[0]


def _draw(images, theta, outputs, titles):
    """One Pillow image for each moment: the figure is made once, and only what moves is drawn anew."""
    from PIL import Image

    count = len(images)
    columns = min(count, 4)
    rows = -(-count // columns)
    side = (2.6, 1.9, 1.6, 1.25)[columns - 1]
    # Without a layout engine, which would move the axes about while the film runs.
    figure = Figure(figsize=(2 * side * columns, side * rows + 0.45))
    axes = figure.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
    figure.subplots_adjust(0.005, 0.01, 0.995, 1 - 0.45 / (side * rows + 0.45), 0.06, 0.06)
    for ax in axes[count:].flat:
        ax.set_axis_off()
    moving = []
    size = tuple(images.shape[-2:])
    corners = torch.stack([torch.stack([frame_corners(one, size) for one in moment]) for moment in theta])
    margin = max(0.2, margin_for(corners, size))  # that no frame is cut off, at any moment
    for (left, right), picture in zip(axes, as_pictures(images), strict=False):
        draw_image(left, picture, interpolation="nearest")
        outline = [
            left.plot([], [], color=FRAME_COLOR, linewidth=1.6)[0],
            left.plot([], [], color=FRAME_COLOR, linewidth=3.6, solid_capstyle="butt")[0],
            left.plot([], [], "o", color=FRAME_COLOR, markersize=6)[0],
        ]
        set_margin(left, size, margin)
        draw_image(right, as_pictures(outputs[:1, len(moving)])[0], interpolation="nearest")
        moving.append((*outline, right.images[0]))
    for (left, right), _ in zip(axes[:columns], range(count), strict=False):
        left.set_title("input", fontsize=10, pad=3)
        right.set_title("output", fontsize=10, pad=3)
    clock = figure.text(0.5, 0.985, "", ha="center", va="top", fontsize=11, parse_math=False)

    canvas = FigureCanvasAgg(figure)
    pictures = []
    for moment, title in enumerate(titles):
        clock.set_text(title)
        for number, (outline, top, corner, output) in enumerate(moving):
            points = corners[moment, number]
            outline.set_data(*points.T)
            top.set_data(*points[:2].T)
            corner.set_data(*points[:1].T)
            output.set_data(as_pictures(outputs[moment, number][None])[0])
        canvas.draw()
        pictures.append(Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB"))
    return pictures


def _png(frame):
    buffer = io.BytesIO()
    frame.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _as_script(texts):
    """A list of texts in JavaScript, that cannot end the script they stand in."""
    return json.dumps(texts, ensure_ascii=False).replace("<", "\\u003c")
