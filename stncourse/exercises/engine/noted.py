"""Inside the kernel of the grader: which attempts the notebook checks, and what they do.

An attempt is observed at the call of ``check``: a moment later its helpers may be others, or gone. The calls are the
grader's, and so is the verdict: who forges here what an attempt answers has to know what is right.

Two kinds of calls are noted. The course's ``check``, whatever it is called by: it is wrapped before the notebook
starts. And anything that is *named* check, for a notebook with a check of its own: IPython rewrites such calls in
every cell.
"""

import ast
import builtins
import contextlib
import functools
import json
from dataclasses import dataclass, field

import torch

from stncourse import exercises
from stncourse.exercises.engine.observe import nothing, observe_answer
from stncourse.exercises.engine.torch_defaults import as_torch_starts

_NOTING = "__stncourse_noting__"
_tasks = {}  # name -> what the grader will ask of an attempt
_now = {}  # name -> Noted, of the cell that runs
_last = {}  # of the cell before
_own = None  # the course's check, as the notebook gets it


@dataclass(frozen=True)
class Noted:
    """An attempt, and what was seen of it when it was checked: a list for each round of calls, as far as it came."""

    attempt: object
    seen: list = field(default_factory=list)


def listen(shell):
    """Note all checks from now on that this IPython shell runs."""
    global _own
    exercises.check = _own = functools.wraps(exercises.check)(noting(exercises.check))
    setattr(builtins, _NOTING, noting)
    shell.ast_transformers.append(_Rewritten())


def noting(function):
    """``function``, whose calls with an exercise's name and an attempt are noted."""
    if function is _own:  # does so already
        return function

    def noted(*arguments, **named):
        given = dict(zip(("name", "attempt"), arguments, strict=False)) | named
        fits = len(arguments) + len(named) == 2 and set(given) == {"name", "attempt"}
        if fits and issubclass(type(given["name"]), str):
            _note(str.__str__(given["name"]), given["attempt"])
        return function(*arguments, **named)

    return noted


def _note(name, attempt):
    """Note an attempt, and what it does now."""
    _now[name] = noted = Noted(attempt)
    task = _tasks.get(name)
    # What cannot be observed now, whatever the notebook has done to torch, is left for after the cell.
    with contextlib.suppress(Exception), as_torch_starts():
        for calls in task["rounds"] if task else ():
            noted.seen.append(observe_answer(attempt, calls, task["signature"], task["seconds"]))
            if noted.seen[-1][-1]["error"]:  # seldom is there a next round then
                break


class _Rewritten(ast.NodeTransformer):
    """``check(…)`` becomes ``noting(check)(…)``, ``x.check(…)`` likewise."""

    def visit_Call(self, node):
        self.generic_visit(node)
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
        if called == "check":
            node.func = ast.Call(ast.Name(_NOTING, ast.Load()), [node.func], [])
            ast.fix_missing_locations(ast.copy_location(node.func, node))
        return node


# What the grader runs


def expect(source):
    """Read from ``source`` what attempts will be asked."""
    _tasks.update(torch.load(source, weights_only=True))


def write_names(target):
    """Write the names that were noted since the last time."""
    global _now, _last
    _last, _now = _now, {}
    with open(target, "w", encoding="ascii") as file:
        json.dump(list(_last), file)


def attempt(name):
    """What was Noted under this name."""
    return _last[name]


def write_answers(source, target, make_attempt, number):
    """Write to ``target`` what was seen in the round of this number; else read its calls from ``source``, make them."""
    with as_torch_starts():
        task = torch.load(source, weights_only=True)
        try:
            attempt = make_attempt()
        except BaseException as error:
            problem = f"The cell's answer could not be read: {type(error).__name__}."
            seen = [nothing({"kind": "raised", "message": problem})]
        else:
            seen = _seen(attempt, task, number)
        torch.save(seen, target)


def _seen(attempt, task, number):
    if type(attempt) is Noted:
        if number < len(attempt.seen):
            return attempt.seen[number]
        attempt = attempt.attempt
    return observe_answer(attempt, task["calls"], task["signature"], task["seconds"])
