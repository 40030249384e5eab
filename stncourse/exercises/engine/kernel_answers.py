"""Reads what the student's kernel wrote about an attempt, and believes it only in the form that the judge expects."""

import torch

from stncourse.exercises.engine.observe import nothing


def read_answers(target, calls):
    """The observations of ``calls`` in a file.

    Raises:
        Exception: of any kind. There is no file, half a file, or anything that a notebook put in its place.
    """
    if not target.is_file():  # a pipe would have us wait for ever
        raise FileNotFoundError(target)
    return checked(torch.load(target, weights_only=True), calls)


def checked(seen, calls):
    """What a kernel wrote, if it has the right form.

    Raises:
        KeyError, TypeError, ValueError: it has not.
    """
    keys = set(nothing(None))
    if not (isinstance(seen, list) and 1 <= len(seen) <= len(calls or [None])):
        raise ValueError("not a list of observations")
    for one in seen:
        if set(one) != keys or not isinstance(one["printed"], str) or not isinstance(one["changed"], bool):
            raise ValueError("not an observation")
        if not (isinstance(one["used"], list) and all(isinstance(name, str) for name in one["used"])):
            raise ValueError("not names")
        if one["error"] is None and one["value"] is None:
            raise ValueError("an observation of nothing")
        if one["error"] is not None:
            one["error"] = {"kind": str(one["error"]["kind"]), "message": str(one["error"]["message"])[:500]}
        if one["value"] is not None:
            _checked_value(one["value"])
        if one["gradients"] is not None and not all(isinstance(slope, torch.Tensor) for slope in one["gradients"]):
            raise ValueError("not gradients")
    ended_early = seen[-1]["error"] is not None
    if len(seen) < len(calls or [None]) and not ended_early:
        raise ValueError("too few observations")
    return seen


def _checked_value(value):
    fields = {
        "tensor": {"tensor": torch.Tensor, "device": str, "attached": bool},
        "none": {},
        "bool": {"value": bool},
        "number": {"value": float},
        "text": {"value": str},
        "list": {"items": list, "type": str},
        "numpy": {"text": str, "type": str, "tensor": (torch.Tensor, type(None))},
        "other": {"text": str, "type": str},
    }[value["kind"]]
    if set(value) != {"kind", *fields} or not all(isinstance(value[name], kind) for name, kind in fields.items()):
        raise ValueError("not a value")
    for item in value.get("items", ()):
        _checked_value(item)
