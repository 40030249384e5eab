"""What a spatial transformer does to images, wherever it is in a model: before and after."""

import contextlib
import itertools
from typing import NamedTuple

import torch

from stncourse import _check, _modes
from stncourse.figures.digits import draw_outline, more_lines, on_edges, outline_of, write_title
from stncourse.figures.figure import Figure, _row_label, as_pictures, as_text, as_unit, draw_image, margin_for
from stncourse.figures.shown import denormalize, known, label_name, shown
from stncourse.transformer.spatial_transformer import Transformed, transformers_in


def show_before_after(model, images, labels=None, *, like=None, which=None):
    """What a spatial transformer does to images: the input with the frame it looks at, and what it passes on.

    Around the inputs there is as much grey as the frames need, and at most as much as one input is wide.

    Args:
        model: a model with a :class:`stncourse.SpatialTransformer` anywhere in it, or one itself.
        images: ``(N, C, H, W)`` raw uint8, or floating-point in [0, 1]; a tensor or a NumPy array. They are normalised
            here. Or a set, :class:`stncourse.Digits` or :class:`stncourse.ImageSet`, whose labels are taken as well.
        labels: ``(N,)`` whole numbers; given a classifier, its answer is printed over each output, with ✗ where it is
            wrong.
        like: the set whose numbers normalise the images, and whose names the classes have. Default: ``images``, if it
            is a set. A part of a set's own images (``train.images[:10]``) is recognised; of copies say ``like=``: of
            one channel, they are taken for MNIST's.
        which: the number of a transformer, or several of them, counted from 0 in the order of the model's modules. Each
            has two rows, and two more for each further look in the same pass. Default: all that look at pictures, that
            is at as many channels as the images have; where none does, all that look at features.

    Of features, and of images with neither one channel nor three, the mean over the channels is shown; of features from
    the darkest to the brightest of each image.

    Returns:
        Figure

    Raises:
        TypeError, ValueError: an argument is not of the kind or shape above; no transformer looks at the images, or not
            at one for each; images of several channels of which no set is known, or of several sets that share them.

    >>> from stncourse import SpatialTransformer, distort, load_digits, load_pretrained
    >>> crooked = distort(load_digits("test", source="offline").images[:5], "RTS").images
    >>> show_before_after(load_pretrained(), crooked)
    Figure: 5 digits before and after the spatial transformer; the frame on each input is where it looks
    >>> deep = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5), SpatialTransformer.for_images(38, channels=8))
    >>> show_before_after(deep, crooked)
    Figure: 5 digits before and after the spatial transformer; the frame on each input is where it looks; of features, \
the mean over their channels
    """
    transformers = _transformers(model)
    chosen = _as_numbers(which, len(transformers))
    images, labels, like = shown(images, labels, like)
    before = as_pictures(_visible(images))
    inputs = known(like, images).normalize(images)
    looks, answers = _watch(model, transformers, inputs)
    looks, left_out = _choose(looks, chosen, inputs)
    kind = "images" if getattr(like, "classes", ()) else "digits"
    words = f"{len(before)} {kind} before and after the spatial transformer; the frame on each input is where it looks"
    words += "" if all(look.pictures for look in looks) else "; of features, the mean over their channels"
    words += f"; not shown: {left_out} more that look at features" if left_out else ""
    width = max(1.05 * len(before), 4)
    over, under = _answers_in_words(labels, answers, like, len(before), width / len(before))
    figure = Figure(width, 2.6 * len(looks) + more_lines(over) + more_lines(under), words)
    axes = figure.subplots(2 * len(looks), len(before), squeeze=False)
    for row, look in enumerate(looks):
        tops, bottoms = axes[2 * row : 2 * row + 2]
        _draw_look(look, before, like, tops, bottoms)
        count = f" {row + 1}" if len(looks) > 1 else ""
        _row_label(tops[0], ("input" if look.pictures else "features") + count)
        _row_label(bottoms[0], f"output{count}")
    for titles, row, size in ((over, axes[0], 11), (under, axes[-1], 10)):
        for ax, title in zip(row, titles, strict=True):
            write_title(ax, title, size)
    return figure


def _draw_look(look, before, like, tops, bottoms):
    """Above what it got, with the frame on it; below what it made of it."""
    seen, passed_on = _pictures_of(look, like)
    seen = before if look.first else seen
    margin = max(margin_for(look.outline(number), look.size) for number in range(len(before)))
    for number, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        draw_image(top, seen[number])
        draw_outline(top, look.theta_of(number), look.made.grid[number], look.size, margin)
        draw_image(bottom, passed_on[number])


def _pictures_of(look, like):
    """What it got and what it made, as pictures."""
    both = look.images, look.made.images
    if look.pictures:
        # Clipped: interpolation and padding can leave [0, 1] by a rounding error.
        return [as_pictures(_visible(denormalize(like, images).clamp(0, 1))) for images in both]
    means = [images.mean(1, keepdim=True) for images in both]
    low, high = (ends(means[0], (1, 2, 3))[:, None, None, None] for ends in (torch.amin, torch.amax))
    return [as_pictures(((mean - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)) for mean in means]


def _visible(images):
    """Images of neither one channel nor three as the mean of all; the others as they are."""
    if images.shape[1] in (1, 3):
        return images
    return as_unit(images).mean(1, keepdim=True)


def _answers_in_words(labels, answers, like, count, inches):
    """What stands over each input and each output: the class that it is, and the one that the model says."""
    nothing = [""] * count
    if labels is None:
        return nothing, nothing
    over = [as_text(label_name(like, label), inches - 0.1) for label in labels]
    if answers is None:
        return over, nothing
    marks = ["" if answer == label else " ✗" for answer, label in zip(answers, labels, strict=True)]
    says = [as_text(f"says {label_name(like, answer)}", inches - 0.2) for answer in answers]
    return over, [text + mark for text, mark in zip(says, marks, strict=True)]


class _Look(NamedTuple):
    """A transformer at work."""

    number: int  #: of the transformer
    images: torch.Tensor  #: what it got
    made: Transformed  #: what it made of it
    first: bool  #: whether it got the model's own input
    pictures: bool  #: whether it got as many channels as the model did

    @property
    def size(self):
        """``(H, W)`` of what it got."""
        return tuple(self.images.shape[-2:])

    def theta_of(self, number):
        return None if self.made.theta is None else self.made.theta[number]

    def outline(self, number):
        return outline_of(self.theta_of(number), self.made.grid[number], self.size)


def _transformers(model):
    found = []
    if isinstance(model, torch.nn.Module):
        own = getattr(model, "stn", model)  # may be one of your own making
        found = transformers_in(model) or ([own] if hasattr(own, "transform") else [])
    if not found:
        got = f"a {type(model).__name__}" if isinstance(model, torch.nn.Module) else _check.describe(model)
        raise TypeError(f"model: expected a SpatialTransformer or a model with one in it, got {got} without")
    return found


def _as_numbers(which, count):
    """The numbers of the transformers to be shown; None for all."""
    if which is None:
        return None
    row = _check.as_row(which)
    numbers = list(map(_check.as_integer, (which,) if row is None else row))
    if not numbers or any(number is None or not 0 <= number < count for number in numbers):
        expected = "0, the only transformer" if count == 1 else f"numbers of transformers, from 0 to {count - 1}"
        raise ValueError(f"which: expected {expected}, got {_check.describe(which)}")
    return list(map(int, numbers))


def _choose(looks, chosen, inputs):
    """The looks to be shown, and how many of features are not."""
    fitting = [look for look in looks if len(look.images) == len(inputs)]
    if chosen is not None:
        missing = [number for number in chosen if all(look.number != number for look in fitting)]
        if missing:
            raise ValueError(
                f"which: expected transformers that look at {len(inputs)} images when the model is given as many, got "
                f"number {missing[0]}, which does not"
            )
        return [look for number in dict.fromkeys(chosen) for look in fitting if look.number == number], 0
    shown = [look for look in fitting if look.pictures] or fitting
    if not shown:
        got = _check.describe(looks[0].images)
        raise ValueError(f"model: expected a transformer that looks at {len(inputs)} pictures, got one that gets {got}")
    return shown, len(looks) - len(shown)


def _watch(model, transformers, inputs):
    """Run a model in eval mode. Returns what its transformers saw and made, look by look, and its answers or None."""
    weights = next((p for p in itertools.chain(model.parameters(), model.buffers()) if p.is_floating_point()), inputs)
    if weights.is_meta:
        raise ValueError(f"model: expected weights with numbers, got {type(model).__name__} on the meta device")
    inputs = inputs.to(weights.device, weights.dtype)
    looks = []

    def note(number, images, made):
        looks.append(_look(number, transformers[number], images, made, inputs))

    # A compiled model would be compiled once more, to be watched.
    with _modes.in_eval(model), torch.no_grad(), torch.compiler.set_stance("force_eager"):
        with _noted(transformers, note):
            output = model(inputs.clone())  # it may write into them
        if not looks:  # one of your own making
            for number, stn in enumerate(transformers):
                note(number, inputs, stn.transform(inputs))
    answers = output.argmax(1).tolist() if isinstance(output, torch.Tensor) and output.ndim == 2 else None
    return looks, answers


@contextlib.contextmanager
def _noted(transformers, note):
    """While it lasts, all that they transform is noted: by ``forward``, or where a model calls ``transform`` itself."""

    def noting(number, transform):
        def transform_and_note(images, *others, **more):
            made = transform(images, *others, **more)
            note(number, images, made)
            return made

        return transform_and_note

    # Not by setattr: it would ask whether it is a module.
    before = [vars(stn).get("transform") for stn in transformers]
    for number, stn in enumerate(transformers):
        vars(stn)["transform"] = noting(number, stn.transform)
    try:
        yield
    finally:
        for stn, own in zip(transformers, before, strict=True):
            del vars(stn)["transform"]
            if own is not None:
                vars(stn)["transform"] = own


def _look(number, stn, images, made, inputs):
    if not made.images.isfinite().all():
        raise ValueError("model: expected a transformer that passes on numbers, got NaN or infinite ones")
    first = images.shape == inputs.shape and torch.equal(images, inputs)
    # Copies: what comes after may write into them.
    kept, output, grid = (tensor.detach().cpu().float().clone() for tensor in (images, made.images, made.grid))
    theta = None if made.theta is None else made.theta.detach().cpu().float().clone()
    if getattr(getattr(stn, "sampler", None), "align_corners", False):
        theta, grid = None, on_edges(grid, images.shape[-2:])
    pictures = images.shape[1] == inputs.shape[1]
    return _Look(number, kept, Transformed(output, theta, grid), first, pictures)
