"""Inside the kernel of the grader: which attempts the notebook checks, and what they do.

Two kinds of calls are noted. The course's ``check``, whatever it is called by: it is wrapped before the notebook
starts. And anything that is *named* check, for a notebook with a check of its own: IPython rewrites such calls in
every cell.
"""

import ast
import builtins
import functools
import json

import torch

from stncourse import exercises
from stncourse.exercises.engine.observe import nothing, observe_answer
from stncourse.exercises.engine.torch_defaults import as_torch_starts

_NOTING = "__stncourse_noting__"
_now = {}  # name -> attempt, of the cell that runs
_last = {}  # of the cell before


def listen(shell):
    """Note all checks from now on that this IPython shell runs."""
    exercises.check = functools.wraps(exercises.check)(noting(exercises.check))
    setattr(builtins, _NOTING, noting)
    shell.ast_transformers.append(_Rewritten())


def noting(function):
    """``function``, whose calls with an exercise's name and an attempt are noted."""

    def noted(*arguments, **named):
        given = dict(zip(("name", "attempt"), arguments, strict=False)) | named
        fits = len(arguments) + len(named) == 2 and set(given) == {"name", "attempt"}
        if fits and issubclass(type(given["name"]), str):
            _now[str.__str__(given["name"])] = given["attempt"]
        return function(*arguments, **named)

    return noted


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


def write_names(target):
    """Write the names that were noted since the last time."""
    global _now, _last
    _last, _now = _now, {}
    with open(target, "w", encoding="ascii") as file:
        json.dump(list(_last), file)


def attempt(name):
    """The attempt noted under this name."""
    return _last[name]


def write_answers(source, target, make_attempt):
    """Read calls from ``source``, make them, and write what was seen to ``target``."""
    with as_torch_starts():
        task = torch.load(source, weights_only=True)
        try:
            attempt = make_attempt()
        except BaseException as error:
            problem = f"The cell's answer could not be read: {type(error).__name__}."
            seen = [nothing({"kind": "raised", "message": problem})]
        else:
            seen = observe_answer(attempt, task["calls"], task["signature"], task["seconds"])
        torch.save(seen, target)
