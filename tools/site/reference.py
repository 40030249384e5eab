"""The reference: a page for each room of the package, every public name of it by its docstring."""

import inspect
from importlib import import_module

from sphinx.pycode import ModuleAnalyzer

import stncourse

#: From the bottom of the house up: the way of the data.
ROOMS = {
    "transformer": "The transformer: localization, grid, sampler",
    "data": "Data: digits, images, distortions",
    "training": "Training",
    "networks": "Networks",
    "figures": "Figures",
    "playground": "Playgrounds",
    "paper": "The paper's experiments",
    "exercises": "Exercises and guesses",
}


def names_by_room():
    """Room -> its public names, in the order of ``stncourse/__init__.py``."""
    rooms = {room: [] for room in ROOMS}
    for name, module in stncourse._MODULE_OF.items():
        rooms[module.partition(".")[0]].append(name)
    return rooms


def pages():
    """Name of a page -> its text (MyST)."""
    rooms = names_by_room()
    lines = ["# Reference", "", "Every public name is importable from `stncourse`. The rooms, from the bottom up:", ""]
    lines += [f"- [{title}]({room}.md): {_said(rooms[room])}" for room, title in ROOMS.items()]
    tree = ["```{toctree}", ":hidden:", "", *ROOMS, "```"]
    index = "\n".join([*lines, "", *tree, ""])
    return {"index": index, **{room: _page(room, names) for room, names in rooms.items()}}


def _said(names):
    return ", ".join(f"`{name}`" for name in names)


def _page(room, names):
    intro = inspect.getdoc(import_module(f"stncourse.{room}")).partition("\n\n")[0]
    parts = [f"# {ROOMS[room]}", intro, *map(_entry, names)]
    return "\n\n".join(parts) + "\n"


def _entry(name):
    """The heading of a name and what Sphinx has to do for it."""
    value = getattr(stncourse, name)
    full = f"stncourse.{name}"
    if inspect.isclass(value):
        # Of a Figure matplotlib makes a method anew, in words of its own; a tuple has two that nobody needs.
        directive = f".. autoclass:: {full}\n   :members:\n   :exclude-members: set, count, index"
    elif callable(value):
        directive = f".. autofunction:: {full}"
    else:
        directive = f".. py:data:: {full}\n\n   {_words(name)}"
    return f"## {name}\n\n```{{eval-rst}}\n{directive}\n```"


def _words(name):
    """What the source says of a constant, in its ``#:`` comment."""
    analyzer = ModuleAnalyzer.for_module(f"stncourse.{stncourse._MODULE_OF[name]}")
    analyzer.analyze()
    return " ".join(analyzer.attr_docs[("", name)]).strip()
