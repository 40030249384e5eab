"""What was passed so far, as JSON in the user's data folder."""

import contextlib
import datetime
import html
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

_WIDTH = 12


@dataclass(frozen=True)
class Progress:
    """What is done, per notebook. Shows itself, in a notebook as bars.

    Attributes:
        done: names of the exercises passed.
        notebooks: notebook -> names of its exercises.
        note: a sentence, should the file have been unreadable.
    """

    done: tuple
    notebooks: dict
    note: str = ""

    def counts(self):
        """(notebook, done, all) for each notebook."""
        return [(title, sum(name in self.done for name in own), len(own)) for title, own in self.notebooks.items()]

    def __repr__(self):
        width = max(map(len, self.notebooks), default=0)
        lines = [
            f"{title:<{width}}  {'█' * round(_WIDTH * done / every):░<{_WIDTH}}  {done} of {every}"
            for title, done, every in self.counts()
        ]
        return "\n".join([*lines, self._sentence(), *([self.note] if self.note else [])])

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(title)}</td>"
            f"<td style='text-align:left'><progress value='{done}' max='{every}' "
            f"aria-label='{html.escape(title)}'></progress></td><td style='text-align:left'>{done} of {every}</td></tr>"
            for title, done, every in self.counts()
        )
        note = f"<br>{html.escape(self.note)}" if self.note else ""
        return f"<table>{rows}</table><p>{html.escape(self._sentence())}{note}</p>"

    def _sentence(self):
        done, every = (sum(column) for column in list(zip(*self.counts(), strict=True))[1:])
        return f"{done} of {every} exercises done"


def file():
    """Where it is kept: in ``STNCOURSE_PROGRESS_DIR``, else in this user's data folder."""
    import platformdirs

    folder = os.environ.get("STNCOURSE_PROGRESS_DIR") or platformdirs.user_data_path("stncourse")
    return Path(folder).expanduser() / "progress.json"


def load(notebooks, reset=False):
    """The Progress in these notebooks."""
    note = ""
    if reset:
        try:
            file().unlink(missing_ok=True)
        except OSError as error:
            note = f"The old progress could not be removed: {error.strerror}."
    passed, problem = _read()
    return Progress(tuple(passed), notebooks, note or problem)


def record(name, passed):
    """Keep that ``name`` was passed. Returns a sentence if that failed: a full disk must not spoil a right answer."""
    if not passed:
        return ""
    done, problem = _read()
    if name in done:
        return ""
    path = file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if problem:
            os.replace(path, path.with_suffix(".broken.json"))
        done[name] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        _write(path, {"version": 1, "passed": done})
    except OSError as error:
        return f"(Your progress could not be saved in {path.parent}: {error.strerror or error}.)"
    return problem


def _read():
    """(name -> when, "") or ({}, a sentence)."""
    try:
        passed = json.loads(file().read_text(encoding="utf-8"))["passed"]
        return {str(name): str(when) for name, when in passed.items()}, ""
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return (
            {},
            "The file with your progress could not be read, so this starts anew; the old one will be kept beside it.",
        )


def _write(path, content):
    """All or nothing: a file of its own first, then moved over the old one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".progress-", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            json.dump(content, target, indent=1)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
