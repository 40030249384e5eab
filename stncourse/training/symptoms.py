"""The symptoms of a training that goes wrong: what is looked for, where the lines are drawn, what to say and to try.

Each look gets the measures (``measures.py``), the history and the error that ``fit`` raised, or None. It returns what
was seen and what to try, or None. ``LOOKS``, at the end, has them by the symptom's name.
"""

import math

import torch

# Where the lines are drawn, between what was measured on healthy training runs and on runs broken on purpose, of some
# seconds on the shipped digits, upright and distorted. In brackets: the worst healthy one; the mildest broken one.
# tests/training/test_diagnosis.py makes most of them again.
_RANDOM = 0.1  # spread of θ over the images before the first step (0.065, torch's own weights; 0.47, normal ones)
_SPECK = 0.25  # size of the frame before the first step, as a part of the image (1; 0.09, torch's own weights and bias)
_HUGE = 10.0  # largest entry of θ (1.2; 700)
_FAR = 1.4  # size of the frame at the end (1.15; 1.56, padded with 0)
_OUTSIDE = 0.5  # part of the frame that lies on the image (0.83; 0.41)
_THIN = 0.05  # the frame's narrow side (0.55; 0.01, made by hand)
_EQUAL = 2e-5  # spread of θ over the images at the end (0.001; 0)
_STILL = 0.05  # a way that weight decay alone can push θ: 0.0001 in an epoch here; by its formula 0.02 in 4,700 steps
_JITTER = 0.03  # how far θ lies from the middle of the moments before and after; healthy ones may have more, …
_JITTER_RATIO = 1.0  # … but then less than this times its spread over the images (0.8; 1.6)
_BELOW_ZERO = -0.01  # a loss that no probability has (0; −0.1, the probabilities themselves; −77,245, scores)
_POOR = 0.45  # how far the accuracy has come from guessing to 100 %: about half are right (0.48; 0.448)
_CHANCE = 0.97  # loss as a part of log(classes), what guessing costs
_UNTRAINED = 0.6  # the same, for the first epoch of a network that was not trained before


def _no_log_probabilities(m, history, broke):
    if m["lowest_loss"] >= _BELOW_ZERO:
        return None
    return (
        f"The loss went down to {m['lowest_loss']:.2f}. Minus the logarithm of a probability is not below 0: the model "
        f"returned something else. {_accuracy(history)}".strip(),
        "End the model's forward with `F.log_softmax(x, dim=1)`, and not with scores (logits) or `softmax`.",
    )


def _not_a_number(m, history, broke):
    losses_are_finite = all(map(math.isfinite, m["losses"]))
    if broke is None and m.get("finite", True) and losses_are_finite:
        return None
    if m.get("finite", True) and losses_are_finite:
        seen = f"{str(broke).partition(':')[0].capitalize()}."
        if "finite" in m:
            seen += f" θ was finite when it was last recorded, after step {history.theta[-1]['step']}."
    else:
        bad = None
        if not m.get("finite", True):
            bad = next(s["step"] for s in history.theta if not torch.tensor(s["theta"], device="cpu").isfinite().all())
        seen = f"{'A loss' if bad is None else f'θ after step {bad}'} is not a finite number."
    return (
        seen,
        "Look at the data first: `images.isfinite().all()`; a blank image divided by its own maximum is NaN. "
        "Then lower the learning rate.",
    )


def _random_start(m, history, broke):
    if m["losses"] and m["losses"][0] < _UNTRAINED * m["guessing"]:
        return None  # it was trained before, or recovered at once
    spread, size = m.get("spread_at_start", 0.0), m.get("size_at_start", 1.0)
    if spread > _RANDOM:
        seen = f"Before the first step θ differed from image to image, by {spread:.2f} (standard deviation)."
    elif size < _SPECK:
        seen = (
            f"Before the first step the frame was a speck, {size:.2f} times the image's size: all that came out was "
            "streaks."
        )
    else:
        return None
    return (
        seen,
        "Start at the identity: the last layer's weights 0, its bias the identity (`LocalizationNetwork.start_at`).",
    )


def _exploded(m, history, broke):
    if m.get("largest", 0.0) <= _HUGE:
        return None
    return (
        f"At the end θ has entries as large as {m['largest']:.0f}; the image is 2 wide. {_loss(m, history)}",
        _lower(history),
    )


def _zoomed_out(m, history, broke):
    if m.get("size", 0.0) <= _FAR:
        return None
    return (
        f"At the end the frame is {m['size']:.1f} times as large as the image: things come out {1 / m['size']:.2f} "
        f"times as large, and {100 - 100 * m['on_image']:.0f} % of the output is padding.",
        "Pad with what background is after normalisation (`padding_value=BACKGROUND`), not with 0. " + _lower(history),
    )


def _left_the_image(m, history, broke):
    if m.get("on_image", 1.0) >= _OUTSIDE:
        return None
    still = ", and it did not move at all: outside, the gradient is 0" if m.get("moved", 1.0) < _STILL else ""
    return (
        f"At the end {100 * m['on_image']:.0f} % of the frame lies on the image (its middle is at "
        f"tx = {m['tx']:+.2f}, ty = {m['ty']:+.2f}){still}.",
        f'Start at the identity. {_lower(history)} On images whose edges are not flat, padding_mode="border" leaves a '
        "gradient outside.",
    )


def _collapsed(m, history, broke):
    if m.get("narrow", 1.0) >= _THIN:
        return None
    shape = "point" if m["size"] < _THIN else "line"
    return (
        f"At the end the frame is a {shape}: its narrow side is {m['narrow']:.3f} times the image's. All that comes "
        f"out is {'one colour' if shape == 'point' else 'stripes'}.",
        f'{_lower(history)} Or take a family that cannot become a line: "attention" or "similarity".',
    )


def _frozen(m, history, broke):
    still = m.get("moved", 1.0) < _STILL and m.get("spread", 0.0) < _EQUAL
    if "spread" not in m:
        still = m.get("moved", 1.0) < _EQUAL
    if not still:
        return None
    factor = history.recipe.get("localization_factor")
    cause = "The recipe's localization_factor is 0: give it 0.1. " if factor == 0 else ""
    if history.recipe.get("localization_until") == 0:
        cause += "The recipe's localization_until is 0: give it 1. "
    return (
        f"In {history.theta[-1]['step']} steps θ moved by {m['moved']:.4f}, the same for every image: no gradient came "
        f"through to the localization network. {_loss(m, history)}",
        f'{cause}Is the sampler\'s mode "nearest"? Its gradient is 0. Is something detached, in `torch.no_grad`, or '
        "not among the optimizer's parameters?",
    )


def _same_for_all(m, history, broke):
    if m.get("spread", 1.0) >= _EQUAL or m.get("moved", 0.0) < _STILL:
        return None
    return (
        f"θ moved by {m['moved']:.2f}, but at the end it is the same for every image: only the last layer's bias "
        f"speaks, the units before it are dead. {_loss(m, history)}",
        f"{_lower(history)} And start anew: dead units do not revive.",
    )


def _jumping(m, history, broke):
    jitter = m.get("jitter", 0.0)
    if jitter <= _JITTER or jitter <= _JITTER_RATIO * m.get("spread", 0.0):
        return None
    seen = f"θ jumps to and fro by {jitter:.2f} between two records"
    if "spread" in m:
        seen += f"; from image to image it differs by only {m['spread']:.2f}"
    return (
        f"{seen}. {_loss(m, history)}",
        _lower(history),
    )


def _standing_loss(m, history, broke):
    if m.get("part_of_guessing", 0.0) < _CHANCE:
        return None
    return (
        f"The loss stands at {m['losses'][-1]:.2f}; guessing costs log(classes) = {m['guessing']:.2f}. "
        + f"{_accuracy(history)} θ shows no reason.".strip(),
        "Is it only the beginning? Train longer. Else take the transformer away: does the classifier learn alone? Then "
        "look at the labels, the normalisation and the learning rate.",
    )


def _poor_answers(m, history, broke):
    accuracy = history.epochs[-1].get("test_accuracy") if history.epochs else None
    if accuracy is None or accuracy - m["guessing_accuracy"] >= _POOR * (1 - m["guessing_accuracy"]):
        return None
    return (
        f"Only {100 * accuracy:.0f} % of the test digits are right; guessing gets "
        f"{100 * m['guessing_accuracy']:.0f} %. " + ("θ shows no reason." if "size" in m else "θ was not recorded."),
        "Is the loss still falling? Train longer. Is it low? Then the test images differ from the training images. "
        "Else order the tests that need no training run: does the identity change nothing, does a gradient arrive, is "
        "background outside, are the labels right?",
    )


def _healthy(m, history, broke):
    if "size" not in m:
        return (
            f"{_loss(m, history)} θ was not recorded, so that is all there is to see.",
            "fit(..., probe=images) records θ.",
        )
    seen = f"{100 * m['on_image']:.0f} % of the frame lies on the image, it is {m['size']:.2f} times its size"
    if "spread" in m:
        seen += f", and θ differs from image to image by {m['spread']:.3f}"
    return f"{seen}. {_loss(m, history)}", "Nothing. Look at the pictures all the same."


# Sentences that several of them say


def _loss(m, history):
    if not m["losses"]:
        return "No epoch was finished."
    way = f"from {m['losses'][0]:.2f} to {m['losses'][-1]:.2f}" if len(m["losses"]) > 1 else f"{m['losses'][0]:.2f}"
    return f"The loss is {way}. {_accuracy(history)}".strip()


def _accuracy(history):
    accuracy = history.epochs[-1].get("test_accuracy") if history.epochs else None
    return "" if accuracy is None else f"{100 * accuracy:.0f} % of the test digits are right."


def _lower(history):
    factor = history.recipe.get("localization_factor")
    now = f" (the recipe's localization_factor is {factor:g})" if factor else ""
    return f"Lower the localization network's learning rate{now}."


#: Symptom -> its look, in the order in which they are asked; the last one always finds something.
LOOKS = {
    "no log-probabilities": _no_log_probabilities,
    "not a number": _not_a_number,
    "random start": _random_start,
    "exploded": _exploded,
    "zoomed out": _zoomed_out,
    "left the image": _left_the_image,
    "collapsed": _collapsed,
    "frozen": _frozen,
    "same for all": _same_for_all,
    "jumping": _jumping,
    "standing loss": _standing_loss,
    "poor answers": _poor_answers,
    "healthy": _healthy,
}
