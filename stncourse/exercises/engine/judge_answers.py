"""How answers are judged that are no functions: numbers, words, and a θ by the picture that it makes."""

import math

import torch

from stncourse.exercises.engine.compare import as_list, as_number
from stncourse.exercises.engine.describe import kind_of
from stncourse.exercises.engine.plain import as_tensors
from stncourse.exercises.engine.recognise import named_answer

_DARK = 0.02  # of the picture's brightness: less than that is left of it
_FLAT = 0.02  # the area of a frame, of the picture's


def judge_answer(exercise, observe):
    """The Verdict on the answer to a question. ``observe(None)`` tells what was given."""
    got = observe(None)[0]
    if got["error"]:
        return exercise.verdict(False, got["error"]["message"])
    value = got["value"]
    if value["kind"] == "none":
        return exercise.not_done()
    if not exercise.options:
        value = as_number(value)
    wanted_kind = "text" if exercise.options else "number"
    if value["kind"] != wanted_kind:
        return exercise.verdict(False, _another_kind(exercise, value))
    return _judge_text(exercise, value["value"]) if exercise.options else _judge_number(exercise, value["value"])


def _another_kind(exercise, value):
    wanted = f"one of {', '.join(map(repr, exercise.options))}" if exercise.options else "a number"
    hint = ""
    if value["kind"] == "text":
        hint = " Write it without quotes."
    elif value["kind"] == "list" and value["type"] == "tuple" and len(value["items"]) == 1:
        hint = " Is there a comma at the end of the line?"
    return f"The answer has to be {wanted}; this is {kind_of(value)}.{hint}"


def _judge_text(exercise, text):
    known = {_simple(option): option for option in exercise.options}
    if _simple(text) not in known:
        return exercise.verdict(False, f"{text.strip()!r} is not one of {', '.join(map(repr, exercise.options))}.")
    text = known[_simple(text)]
    if text == exercise.answer():
        return exercise.verdict(True, f"Right. {exercise.explanation}")
    for mistake in exercise.mistakes:
        if text == mistake.wrong:
            return exercise.verdict(False, mistake.message, mistake.name)
    return exercise.verdict(False, "That is not it. Open a hint.")


def _simple(text):
    return " ".join(text.lower().replace("-", " ").replace("_", " ").split())


def _judge_number(exercise, number):
    if not math.isfinite(number):
        return exercise.verdict(False, f"{number} is no answer: a finite number is asked for.")
    answer = exercise.answer()
    if abs(number - answer) <= exercise.tolerance:
        return exercise.verdict(True, f"Right. {exercise.explanation}")

    def off(wrong):
        distance = abs(number - wrong)
        return distance if distance <= exercise.tolerance or _rounded(number, wrong) else None

    if mistake := named_answer(exercise.mistakes, exercise.answer, off):
        return exercise.verdict(False, mistake.message, mistake.name)
    if _rounded(number, answer):
        message = f"{number:g} is right so far, but rounded too much: give more decimals."
        return exercise.verdict(False, message, "rounded")
    if _rounded(-number, answer):
        return exercise.verdict(False, "The sign is wrong.", "sign")
    if _rounded(number, 100 * answer) or abs(number / 100 - answer) <= exercise.tolerance:
        return exercise.verdict(False, "That is 100 times too large: percent?", "percent")
    near = " It is close: was something rounded on the way?" if abs(number - answer) < 0.02 * abs(answer) else ""
    return exercise.verdict(False, f"{number:g} is not it.{near} Open a hint.")


def _rounded(number, exact):
    """Whether ``number`` is ``exact``, rounded or cut off after some decimal, and not to nothing."""
    if number == 0 or abs(number - exact) > 0.2 * abs(exact):
        return False
    for decimals in range(7):
        unit = 10.0**-decimals
        for candidate in (round(exact, decimals), math.trunc(exact / unit) * unit):
            if math.isclose(number, candidate, rel_tol=1e-6):
                return True
    return False


def judge_theta(exercise, observe):
    """The Verdict on a puzzle's θ, by the picture that it makes. ``observe(None)`` tells what was given."""
    got = observe(None)[0]
    if got["error"]:
        return exercise.verdict(False, got["error"]["message"])
    if got["value"]["kind"] == "none":
        return exercise.not_done()
    theta, problem = _as_theta(got["value"])
    if problem:
        return exercise.verdict(False, problem)
    target, seen = exercise.seen_by(exercise.target()), exercise.seen_by(theta)
    drawings = [lambda: exercise.draw(exercise.picture(), target, seen)]
    if (seen - target).abs().mean().item() <= exercise.tolerance:
        return exercise.verdict(True, f"Right. {exercise.explanation}", drawings=drawings)

    def off(wrong):
        """By the numbers; where they differ, by the picture. An empty picture could be any."""
        alike = (exercise.seen_by(wrong) - seen).abs().mean() <= exercise.tolerance / 2 and not _is_dark(exercise, seen)
        distance = (wrong - theta).abs().max().item()
        return distance if alike or distance < 1e-3 else None

    if mistake := named_answer(exercise.mistakes, exercise.target, off):
        return exercise.verdict(False, mistake.message, mistake.name, drawings=drawings)
    return exercise.verdict(False, _what_it_does(exercise, theta, target, seen), drawings=drawings)


def _is_dark(exercise, seen):
    return seen.abs().mean() < _DARK * exercise.picture().abs().mean()


def _what_it_does(exercise, theta, target, seen):
    """What can be said of a θ that is wrong in its own way."""
    area = (theta[0, 0] * theta[1, 1] - theta[0, 1] * theta[1, 0]).item()
    if abs(area) < _FLAT:
        return (
            "Not yet: the frame has shrunk to a line or a point, so every output pixel sees nearly the same. "
            "The left block of θ must not be 0: on the identity it is 1 0, 0 1."
        )
    if _is_dark(exercise, seen):
        return (
            "Not yet: nothing of the digit is left. The frame lies beside it. "
            "tx and ty are on the ruler, where the whole picture is 2 wide; they are not pixels."
        )
    if area < 0:
        return "Not yet: the picture comes out mirrored. Check the signs in θ's left block."
    want = exercise.target()
    right = [name for name, same in _parts(theta, want).items() if same]
    wrong = [name for name, same in _parts(theta, want).items() if not same]
    if right and wrong:
        names, others = " and the ".join(right), " and the ".join(wrong)
        return (
            f"Not yet: the {names} is right, the {others} not."
            if len(right) == 1
            else f"Not yet: the {names} are right, the {others} not."
        )
    before, after = ((picture - target).abs().mean().item() for picture in (exercise.picture(), seen))
    closer = "closer to" if after < before else "no closer to"
    return f"Not yet: what comes out is {closer} the target than the input is."


def _parts(theta, want):
    """Which of angle, size and position are as they should be."""

    def angle(t):
        return math.atan2((t[1, 0] - t[0, 1]).item(), (t[0, 0] + t[1, 1]).item())

    def sides(t):
        return t[:, :2].norm(dim=0)

    turned = abs(math.remainder(angle(theta) - angle(want), 2 * math.pi))
    return {
        "angle": turned < 0.03,
        "size": torch.allclose(sides(theta), sides(want), atol=0.03),
        "position": torch.allclose(theta[:, 2], want[:, 2], atol=0.03),
    }


def _as_theta(value):
    """Six numbers in whatever form they came -> a ``(2, 3)`` tensor, or a sentence."""
    problem = f"A θ is two rows of three numbers: [[θ11, θ12, tx], [θ21, θ22, ty]]; this is {kind_of(value)}"
    tensor = as_tensors(value).get("tensor")
    shape = tuple(tensor.shape) if tensor is not None else None
    if value["kind"] == "list":
        shape, flat = _numbers_in(value)
        if flat is None:
            return None, problem + " with something else in it."
        tensor = torch.tensor(flat, dtype=torch.float64)
    if tensor is None or tensor.is_complex():
        return None, problem + "."
    if shape[-2:] == (3, 2) and tensor.numel() == 6:
        return None, problem + " of three rows of two."
    if tensor.numel() == 9 and torch.equal(tensor.reshape(3, 3)[2].double(), torch.tensor([0.0, 0, 1]).double()):
        tensor = tensor.reshape(3, 3)[:2]  # the whole matrix; its last row says nothing
    if tensor.numel() != 6:
        return None, f"{problem} with {tensor.numel()} numbers."
    theta = tensor.float().reshape(2, 3)
    if not theta.isfinite().all():
        return None, "A θ of finite numbers is asked for."
    return theta, None


def _numbers_in(value):
    """(shape, the numbers in a row) of a list of lists; (None, None) where there is something else in it."""
    if value["kind"] == "numpy":
        value = as_tensors(value)
    if value["kind"] == "tensor" and value["tensor"].numel() > 1:
        return _numbers_in(as_list(value)) if value["tensor"].ndim == 1 else (None, None)
    value = as_number(value)
    if value["kind"] == "number":
        return (), [value["value"]]
    if value["kind"] != "list":
        return None, None
    inner = [_numbers_in(item) for item in value["items"]]
    if not inner or any(flat is None for _, flat in inner):
        return None, None
    return (len(inner), *inner[0][0]), [number for _, flat in inner for number in flat]
