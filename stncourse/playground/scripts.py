"""The JavaScript beside these modules as one text: a widget and a page take one module each."""

import re
from importlib import resources

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(?P<file>\w+\.js)";\n', re.MULTILINE)


def joined(name):
    """A script of this folder, and before it the ones it imports from: one module, which imports nothing.

    >>> "export function bilinear" in joined("theta.js")
    True
    """
    return "\n".join(_IMPORT.sub("", _read(file)) for file in _in_order(name))


def _in_order(name):
    """The script and all that it needs, each once, what is needed before what needs it."""
    needed = [file for imported in _IMPORT.findall(_read(name)) for file in _in_order(imported)]
    return list(dict.fromkeys([*needed, name]))


def _read(name):
    return (resources.files("stncourse.playground") / name).read_text(encoding="utf-8")
