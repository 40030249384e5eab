"""The scripts of the package as one text: a widget and a page take one module each."""

import posixpath
import re
from importlib import resources

_IMPORT = re.compile(r'^import \{[^}]*\} from "(?P<file>(?:\.{1,2}/)+[\w/]+\.js)";\n', re.MULTILINE)


def joined(name):
    """A script, named from ``stncourse`` on, and before it the ones it imports from: one module, which imports nothing.

    >>> "export function bilinear" in joined("playground/theta.js")
    True
    """
    return "\n".join(_IMPORT.sub("", _read(file)) for file in _in_order(name))


def _in_order(name):
    """The script and all that it needs, each once, what is needed before what needs it."""
    beside = posixpath.dirname(name)
    imported = [posixpath.normpath(posixpath.join(beside, file)) for file in _IMPORT.findall(_read(name))]
    return list(dict.fromkeys([*(file for each in imported for file in _in_order(each)), name]))


def _read(name):
    return resources.files("stncourse").joinpath(*name.split("/")).read_text(encoding="utf-8")
