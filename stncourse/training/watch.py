"""``fit(…, watch=digits)``: what the network does with a few images, shown live while a cell trains.

Here: which images, what is to be seen of them, and when. What the page shows is ``panel.py`` and ``watch.js``.
"""

import contextlib
import math
import os
import sys
import time
from typing import NamedTuple

import torch

from stncourse import _check
from stncourse._modes import in_eval
from stncourse._precision import at_least_float32
from stncourse.data.digits import Digits
from stncourse.training import contract
from stncourse.training.theta_record import blamed_on, probe_images
from stncourse.transformer.spatial_transformer import transformers_in

_MOST = 10  # images: what fits beside one another
_PAUSE = 0.1  # seconds between two pictures, at least
_SHARE = 30  # a picture is followed by so many times its own CPU time of training: some 3 % is paid for pictures
_LONGEST = 400  # points of the curve, an even number


class Watched(NamedTuple):
    """The images to watch, raw ``(P, C, H, W)``, and their labels, a list, where they are known."""

    images: torch.Tensor
    labels: list | None


def watched_images(value, model, train, own_loss):
    """What ``fit`` was given as ``watch``, checked: :class:`Watched`. With a loss of one's own no label has a tick."""
    images = probe_images("watch", value, model)
    if images.dtype != torch.uint8:
        raise TypeError(f"watch: expected raw uint8 images, got {_check.describe(images)}")
    if len(images) > _MOST or images.shape[1] not in (1, 3):
        raise ValueError(
            f"watch: expected up to {_MOST} images of 1 or 3 channels, got {_check.describe(images)}; "
            "more can be recorded with probe="
        )
    with blamed_on("watch", images):
        train.normalize(images)
    classes, own = getattr(train, "classes", None), getattr(value, "classes", None)
    if classes and own and own != classes:
        raise ValueError(f"watch: expected images of train's classes {classes}, in this order, got {own}")
    if not isinstance(value, Digits) or own_loss:
        return Watched(images, None)
    contract.check_labels("watch", value.labels)
    return Watched(images, value.labels.tolist())


class Picture(NamedTuple):
    """What is to be seen of the watched images at one moment."""

    outputs: torch.Tensor  #: (P, H_out, W_out, C) uint8, what comes out of the transformer
    outlines: torch.Tensor  #: (P, K, 2) float32, where it looks on the input: (x, y) in [-1, 1], round the frame
    top: int  #: how many points of an outline are the output's top edge; they come first
    #: P classes, what the classifier says; None where its probabilities are no numbers. None where nobody asks it.
    answers: list | None
    sure: list | None  #: P probabilities that it gives to its answer; 0.0 where there is none


def picture_of(model, images, scale, classifies=True):
    """Look at the model as it is now, and leave no trace: modes, buffers and random numbers are put back.

    Args:
        model: with a SpatialTransformer; it has kept the contract already.
        images: ``(P, C, H, W)``, normalised, where the model is.
        scale: by what they are normalised, as :attr:`stncourse.Digits.scale`.
        classifies: whether the model says log-probabilities, to be asked for.

    Returns:
        :class:`Picture`, on the CPU.
    """
    with contract.rehearsal(model, images.device), in_eval(model):
        seen = transformers_in(model)[0].transform(images)
        answers, sure = _answers(model, images) if classifies else (None, None)
    mean, std = (seen.images.new_tensor(numbers)[:, None, None] for numbers in scale)
    points, top = _outlines(seen)
    return Picture(levels(seen.images * std + mean), points.float().cpu(), top, answers, sure)


def _answers(model, images):
    """What a classifier says, and how sure it is: two lists."""
    probabilities = at_least_float32(model(images)).exp()
    sure, answers = probabilities.nan_to_num(0.0, 0.0).max(1)
    sound = probabilities.isfinite().all(1).tolist()
    answers = [answer if fine else None for answer, fine in zip(answers.tolist(), sound, strict=True)]
    return answers, [value if fine else 0.0 for value, fine in zip(sure.tolist(), sound, strict=True)]


def levels(images):
    """``(P, C, H, W)`` pixels, uint8 or in [0, 1] -> grey levels or colours ``(P, H, W, C)`` uint8, on the CPU."""
    if images.dtype != torch.uint8:
        images = (255 * images.nan_to_num(0.0)).round().clamp(0, 255).byte()
    return images.permute(0, 2, 3, 1).contiguous().cpu()


def _outlines(seen):
    """Each frame's outline, from the output's top left corner clockwise, and how many points its top edge has."""
    theta, grid = seen.theta, seen.grid
    if theta is None:  # no matrix, no straight lines: the grid's own edge
        right, bottom, left = grid[:, 1:, -1], grid[:, -1, :-1].flip(1), grid[:, 1:-1, 0].flip(1)
        return torch.cat([grid[:, 0], right, bottom, left], 1), grid.shape[2]
    corners = theta.new_tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) @ theta.mT
    if theta.shape[1] == 3:  # a corner behind the horizon is NaN: no line is drawn to it
        w = corners[:, :, 2:]
        corners = corners[:, :, :2] / torch.where(w > 1e-3, w, torch.nan)
    return corners, 2


class Watching:
    """While it lasts, ``look`` after every step shows a picture when one is due; the last one comes at the end."""

    def __init__(self, run):
        self.run, self.panel = run, None
        self.picture, self.problem = None, ""  # the last one that could be made, and why there is none of this step
        self.curve, self.loss, self.steps = [], 0.0, 0  # the curve's points, and the steps that are not in it yet
        self.due = (0.0, 0.0)  # the next picture, in seconds of the wall's clock and of the CPU's
        self.images = run.train.normalize(run.watched.images).to(run.device, run.dtype)

    def __enter__(self):
        return self

    def look(self):
        """After a step."""
        self.loss += self.run.loss_of_step
        self.steps += 1
        # The wall's clock keeps the page from drowning, the CPU's the training from being slowed down.
        if time.perf_counter() >= self.due[0] and time.process_time() >= self.due[1]:
            self._show(ended="")

    def __exit__(self, kind, error, traceback):
        if self.panel is None:  # it never came to a step
            return
        self._show(ended="stopped" if kind else "finished")

    def _show(self, ended):
        start = time.process_time()
        self._make_picture()
        self._lengthen_curve()
        if self.panel is None:
            start += self._open_panel()  # that happens once, and is not what a picture costs
        news = news_of(self.run, self.picture, self.curve)
        self.panel.now = news | {"problem": self.problem, "ended": ended}
        end = time.process_time()
        self.due = (time.perf_counter() + _PAUSE, end + _SHARE * (end - start))

    def _make_picture(self):
        """A new one; where the model cannot be asked, the training goes on, and the panel says why."""
        try:
            classifies = self.run.objective.loss_name is None
            self.picture = picture_of(self.run.model, self.images, self.run.train.scale, classifies)
            self.problem = ""
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(": ")

    def _open_panel(self):
        """Put the panel on the page. Returns the CPU seconds that it took."""
        start = time.process_time()
        from stncourse.training.panel import Panel  # only where it is shown: ipywidgets takes its time

        self.panel = Panel(scene=scene_of(self.run))
        self.panel.display()
        return time.process_time() - start

    def _lengthen_curve(self):
        """Add a point: the step, the mean loss since the last one, and how many answers are right, NaN if not known."""
        if not self.steps:
            return
        if len(self.curve) == _LONGEST:  # every second point, each the mean of two: what is sent stays small
            pairs = zip(self.curve[::2], self.curve[1::2], strict=True)
            self.curve = [(step, (a + c) / 2, (b + d) / 2) for (_, a, b), (step, c, d) in pairs]
        answers, labels = (self.picture and self.picture.answers) or (), self.run.watched.labels or ()
        right = math.nan if self.problem else sum(a == b for a, b in zip(answers, labels, strict=False))
        self.curve.append((self.run.steps_done, self.loss / self.steps, right))
        self.loss, self.steps = 0.0, 0


def scene_of(run):
    """What the panel is told once."""
    inputs = levels(run.watched.images)
    count, height, width, channels = inputs.shape
    return {
        "inputs": inputs.numpy().tobytes(),
        "count": count,
        "channels": channels,
        "size": [height, width],
        "align_corners": transformers_in(run.model)[0].sampler.align_corners,
        "labels": run.watched.labels,
        "names": list(getattr(run.train, "classes", ())),
        "first_step": run.steps_done - 1,
        "steps": run.steps,
    }


def news_of(run, picture, curve):
    """What the panel is told every time; ``picture`` is None as long as none could be made."""
    tests = [(row["epoch"] * len(run.batches), row.get("test_accuracy")) for row in run.history.epochs]
    seen = (
        {}
        if picture is None
        else {
            "outputs": picture.outputs.numpy().tobytes(),
            "output_size": list(picture.outputs.shape[1:3]),
            "outlines": picture.outlines.numpy().tobytes(),
            "points": picture.outlines.shape[1],
            "top": picture.top,
            "answers": picture.answers,
            "sure": picture.sure and [round(value, 4) for value in picture.sure],
        }
    )
    return seen | {
        "curve": torch.tensor(curve, dtype=torch.float32, device="cpu").numpy().tobytes(),
        "tests": [test for test in tests if test[1] is not None],
        "step": run.steps_done,
        "epoch": min(run.now["epoch"] + 1, run.recipe.epochs),
        "epochs": run.recipe.epochs,
    }


@contextlib.contextmanager
def watching(run):
    """A function to call after every step: it shows a picture where one is due, where somebody watches at all."""
    if run.watched is None or not can_be_shown(run):
        yield lambda: None
        return
    with Watching(run) as watch:
        yield watch.look


def can_be_shown(run):
    """Whether this is a cell of a notebook, whose kernel may have a page that shows a widget.

    A kernel cannot know whether somebody looks at its page while a cell runs: what the page says has to wait. So
    programs that run notebooks unseen get the panel as well; what it leaves in the notebook is no text that a
    comparison (nbval) could stumble over. ``STNCOURSE_WATCH=off`` in the environment spares them the pictures.
    """
    if run.group.size > 1 or os.environ.get("STNCOURSE_WATCH") == "off":
        return False
    ipython = sys.modules.get("IPython")  # in a notebook it is there
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None
