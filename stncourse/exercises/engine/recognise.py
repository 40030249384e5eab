"""Which classic mistake explains an attempt: one, or two at once, or one for each of the things that it returns.

A mistake explains an attempt when the two answer the same on every input where the mistake *can* be seen, that is where
it answers otherwise than what is right. What the attempt does on other inputs does not matter: there something else may
be wrong, too. But most of what is wrong has to be explained.
"""

import itertools
import warnings
from dataclasses import dataclass

import torch

from stncourse.exercises.engine.compare import as_list, difference
from stncourse.exercises.engine.mistakes import Mistake
from stncourse.exercises.engine.plain import as_tensors, copied, plain, value_of
from stncourse.exercises.engine.relations import related, related_numbers

_WHOLE = (torch.int64, torch.int32)


@dataclass(frozen=True)
class Tried:
    """What came of one input.

    Attributes:
        case: the arguments.
        want: what is right, plain.
        got: the observation; its value with NumPy's arrays as tensors, where they will do.
        state: "right", "wrong", "raised", or "silent": a float64 was too much for it, which says nothing.
        problem: (mistake or None, sentence), or None where it is right.
    """

    case: tuple
    want: dict
    got: dict
    state: str
    problem: tuple | None


@dataclass(frozen=True)
class Found:
    """What explains an attempt: a name or None, what to say, and the place of the first input that shows it."""

    name: str | None
    message: str
    place: int


def recognised(exercise, right, tried):
    """What explains an attempt (Found), or None. ``right``: the right function that ``tried`` was compared with."""
    if any(one.got["error"] and one.got["error"]["kind"] not in ("raised", "types") for one in tried):
        return None  # it came to no end, or cannot be called
    single = [_explained_by(mistake, right, tried) for mistake in exercise.mistakes]
    if best := _best(single):
        return best
    if found := _thing_by_thing(exercise, right, tried) or _related(related, exercise, tried):
        return found
    if not any(one.state == "wrong" for one in tried):
        return None  # errors alone show no two mistakes
    pairs = [
        _explained(second(first(right)), tried, *_both(a, b))
        for a, b in itertools.combinations(exercise.mistakes, 2)
        for one, other in itertools.product(a.twists, b.twists)
        for first, second in ((one, other), (other, one))
    ]
    return _best(pairs) or _related(related_numbers, exercise, tried)


def _both(a, b):
    return f"{a.name} + {b.name}", f"Two things at once. {a.message} And: {b.message}"


def _best(found):
    """The one that explains most inputs; of several the first."""
    found = [(len(places), Found(name, message, places[0])) for places, name, message in found if places]
    return max(found, key=lambda one: one[0])[1] if found else None


def _explained_by(mistake, right, tried, pick=lambda value: value):
    """(places, name, message) of the mistake's way that explains most."""
    made = [*mistake.ways, *(change(right) for change in mistake.twists)]
    ways = [_explained(wrong, tried, mistake.name, mistake.message, pick) for wrong in made]
    if mistake.fits:
        ways.append((_looking_like(mistake, tried), mistake.name, mistake.message))
    return max(ways, key=lambda way: len(way[0]), default=([], None, None))


def _explained(wrong, tried, name, message, pick=lambda value: value):
    places = []
    for place, one in enumerate(tried):
        if one.state == "silent":
            continue
        want = pick(one.want)
        made = _made(wrong, one.case)
        made = pick(made) if made else None
        if made and difference(want, made) is None:
            continue  # it cannot be seen here
        if (made is None) != (one.state == "raised"):
            return [], name, message
        if made:
            got = pick(one.got["value"])
            if got is None or not _alike(made, got):
                return [], name, message
        places.append(place)
    return _enough(places, tried, pick), name, message


def _alike(made, got):
    if made["kind"] == "tensor" and got["kind"] == "tensor":
        if made["tensor"].shape != got["tensor"].shape:
            return False
        if got["tensor"].dtype in _WHOLE:  # a mistake of its own, and a smaller one
            got = got | {"tensor": got["tensor"].to(made["tensor"].dtype)}
    return difference(made, got) is None


def _made(wrong, case):
    """The plain answer that a mistake makes; None where it raises."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return as_tensors(plain(wrong(*copied(case))))
    except Exception:  # some mistakes do
        return None


def _enough(places, tried, pick):
    """``places`` where they are most of what is wrong, those that raise last; else none."""
    wrong = [
        place
        for place, one in enumerate(tried)
        if one.state == "raised" or (one.state == "wrong" and _is_wrong(pick(one.want), pick(one.got["value"])))
    ]
    if not places or 2 * len(places) < len(wrong):
        return []
    return sorted(places, key=lambda place: tried[place].state == "raised")


def _is_wrong(want, got):
    return got is None or difference(want, got) is not None


def _looking_like(mistake, tried):
    places = [
        place
        for place, one in enumerate(tried)
        if one.state == "wrong" and _looks(mistake, one.case, value_of(one.want), value_of(one.got["value"]))
    ]
    wrong = sum(one.state == "wrong" for one in tried)
    return places if places and len(places) == wrong else []


def _looks(mistake, case, want, got):
    try:
        return bool(mistake.fits(copied(case), want, got))
    except Exception:  # an answer of another kind
        return False


def _thing_by_thing(exercise, right, tried):
    """Several things are returned: a mistake for each that is wrong."""
    wants = [one.want for one in tried]
    if wants[0]["kind"] != "list" or any(one.state in ("raised", "silent") for one in tried):
        return None
    count = len(wants[0]["items"])
    if any(_items(one.got["value"], count) is None for one in tried):
        return None
    found = []
    for number in range(count):

        def pick(value, number=number):
            items = _items(value, count)
            return items[number] if items else None

        if all(difference(pick(one.want), pick(one.got["value"])) is None for one in tried):
            continue
        best = _best([_explained_by(mistake, right, tried, pick) for mistake in exercise.mistakes if not mistake.fits])
        if best is None:
            return None
        if best not in found:
            found.append(best)
    names, messages = [one.name for one in found], [one.message for one in found]
    if not found:
        return None
    return Found(" + ".join(names), "Two things at once. " * (len(found) > 1) + " And: ".join(messages), found[0].place)


def _items(value, count):
    value = as_list(value)
    return value["items"] if value["kind"] == "list" and len(value["items"]) == count else None


def _related(relation, exercise, tried):
    told = [one for one in tried if one.state in ("right", "wrong")]
    wrong = [place for place, one in enumerate(tried) if one.state == "wrong"]
    if not wrong or len(told) + sum(one.state == "silent" for one in tried) < len(tried):
        return None
    if found := relation([(one.want, one.got["value"]) for one in told], exercise.axes):
        return Found(*found, wrong[0])
    return None


def named_answer(mistakes, right, fits):
    """The mistake, one or two at once, of an answer that is no function.

    Args:
        mistakes: of the exercise.
        right: () -> the right answer, of which mistakes may be twists.
        fits: wrong answer -> how far the given one is from it, or None where it is another.
    """
    candidates = []
    for mistake in mistakes:
        made = mistake.twists or mistake.ways or (mistake.wrong,)
        for way in made:
            wrong = way(right)() if mistake.twists else way() if callable(way) else way
            candidates.append((fits(wrong), mistake))
    if close := [one for one in candidates if one[0] is not None]:
        return min(close, key=lambda one: one[0])[1]
    for a, b in itertools.combinations(mistakes, 2):
        for one, other in itertools.product(a.twists, b.twists):
            for first, second in ((one, other), (other, one)):
                if (off := fits(second(first(right))())) is not None:
                    name, message = _both(a, b)
                    candidates.append((off, Mistake(name, None, message)))
    if close := [one for one in candidates if one[0] is not None]:
        return min(close, key=lambda one: one[0])[1]
    return None
