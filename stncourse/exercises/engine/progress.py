"""What was passed and guessed so far, as JSON in the user's data folder."""

import contextlib
import datetime
import html
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from stncourse._files import replacing
from stncourse._language import said
from stncourse.exercises.engine.safe_text import encodable, readable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_WIDTH = 12
_PATIENCE = 10.0  # seconds for the others that wait for the file


@dataclass(frozen=True)
class Progress:
    """What is done, per notebook. Shows itself, in a notebook as bars.

    Attributes:
        done: names of the exercises passed.
        notebooks: notebook -> names of its exercises.
        note: a sentence, should the file have been unreadable.
        guesses: name of a prediction -> whether the guess was right.
    """

    done: tuple
    notebooks: dict
    note: str = ""
    guesses: dict = field(default_factory=dict)

    def counts(self):
        """(notebook, done, all) for each notebook."""
        return [(title, sum(name in self.done for name in own), len(own)) for title, own in self.notebooks.items()]

    def __repr__(self):
        lines = [(said(title), done, every) for title, done, every in self.counts()]
        width = max((len(title) for title, _, _ in lines), default=0)
        full, empty = "█░" if encodable("█░", sys.stdout) == "█░" else "#."
        bars = [f"{full * round(_WIDTH * done / every):{empty}<{_WIDTH}}" for _, done, every in lines]
        rows = [
            f"{title:<{width}}  {bar}  {said(f'{done} of {every}')}"
            for bar, (title, done, every) in zip(bars, lines, strict=True)
        ]
        return encodable("\n".join([*rows, *self._sentences()]), sys.stdout)

    def _repr_html_(self):
        left = "<td style='text-align:left'>"
        rows = ""
        for title, done, every in self.counts():
            name = html.escape(said(title))
            bar = f"<progress value='{done}' max='{every}' aria-label='{name}'></progress>"
            count = said(f"{done} of {every}")
            rows += f"<tr>{left}{name}</td>{left}{bar}</td>{left}{count}</td></tr>"
        return f"<table>{rows}</table><p>{'<br>'.join(map(html.escape, self._sentences()))}</p>"

    def _sentences(self):
        done, every = (sum(column) for column in list(zip(*self.counts(), strict=True))[1:])
        sentences = [f"{done} of {every} exercises done"]
        if self.guesses:
            made, right = len(self.guesses), sum(self.guesses.values())
            sentences.append(f"{made} guess{'es' * (made > 1)} made, {right} of them right")
        return [said(sentence) for sentence in (*sentences, self.note) if sentence]


def file():
    """Where it is kept: in ``STNCOURSE_PROGRESS_DIR``, else in this user's data folder.

    Raises:
        OSError: this user has no home folder, and the variable names none.
    """
    import platformdirs

    try:
        folder = os.environ.get("STNCOURSE_PROGRESS_DIR") or platformdirs.user_data_path("stncourse")
        return Path(folder).expanduser() / "progress.json"
    except RuntimeError as error:
        raise OSError("this user has no home folder; set STNCOURSE_PROGRESS_DIR to a folder") from error


def load_progress(notebooks, reset=False):
    """The Progress in these notebooks."""
    note = ""
    if reset:
        try:
            with _alone(file()) as path:
                path.unlink(missing_ok=True)
        except OSError as error:
            note = f"The old progress could not be removed: {error.strerror or error}."
    kept, problem = _read()
    guesses = {name: entry["right"] for name, entry in kept["guesses"].items()}
    return Progress(tuple(kept["passed"]), notebooks, note or problem, guesses)


def record(name, passed):
    """Keep that ``name`` was passed. Returns a sentence if that failed: a full disk must not spoil a right answer."""
    return _keep("passed", name, _now()) if passed else ""


def record_guess(name, asked, guess, right):
    """Keep the first guess (a JSON value) at a prediction: after it the truth is known. Returns as :func:`record`.

    ``asked`` is the question as a text. A guess at another question of the same name gives way.
    """
    return _keep("guesses", name, {"asked": asked, "guess": guess, "right": right, "when": _now()})


def kept_guess(name, asked):
    """The guess that was kept at the prediction ``name``, if this question was asked; else None."""
    entry = _read()[0]["guesses"].get(name)
    return entry["guess"] if entry and _same_question(entry, asked) else None


def _same_question(entry, asked):
    """Whether an entry is a guess at this question. Older files do not tell: they had one question for each name."""
    return entry.get("asked", asked) == asked


def _stays(old, new):
    """Whether what is kept already stays: what was passed, and the first guess at a question."""
    return old is not None and (isinstance(old, str) or _same_question(old, new["asked"]))


def _keep(part, name, value):
    """Write ``value`` under ``name``, unless what is kept there stays."""
    if _stays(_read()[0][part].get(name), value):
        return ""
    try:
        with _alone(file()) as path:
            kept, problem = _read()  # once more: another process may have been quicker
            if problem:
                os.replace(path, _free_name(path))
            if not _stays(kept[part].get(name), value):
                kept[part][name] = value
            with replacing(path, text=True) as target:
                json.dump({"version": 1, **kept}, target, indent=1)
    except OSError as error:
        return f"(Your progress could not be saved: {_in_words(error)}.)"
    return problem


def _now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _read():
    """({"passed": name -> when, "guesses": name -> what is kept of it}, ""), with whatever else the file holds.

    What cannot be read is left out, and instead of "" there is a sentence.
    """
    nothing = {"passed": {}, "guesses": {}}
    try:
        content = json.loads(file().read_text(encoding="utf-8"))
        passed = {str(name): str(when) for name, when in content["passed"].items()}
        guesses, problem = _guesses(content.get("guesses", {}))
        return {**content, "passed": passed, "guesses": guesses}, problem
    except FileNotFoundError:
        return nothing, ""
    except OSError as error:
        return nothing, f"Your progress cannot be kept: {_in_words(error)}."
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return (
            nothing,
            "The file with your progress could not be read, so this starts anew; the old one will be kept beside it.",
        )


def _guesses(entries):
    """Those of the file's entries that are guesses, and a sentence should there be others."""
    whole = {name: e for name, e in entries.items() if _is_guess(e)} if isinstance(entries, dict) else {}
    if whole == entries:
        return whole, ""
    return whole, "Some of your guesses could not be read, so they are left out; the old file will be kept beside it."


def _is_guess(entry):
    kinds = {"right": bool, "when": str, "asked": str}
    return (
        isinstance(entry, dict)
        and {"guess", "right", "when"} <= set(entry)
        and all(isinstance(entry[key], kind) for key, kind in kinds.items() if key in entry)
    )


def _in_words(error):
    return readable(f"{error.filename}: {error.strerror}" if error.strerror and error.filename else str(error))


def _free_name(path):
    """A name for a broken file, beside it."""
    names = (path.with_suffix(f".broken{number}.json") for number in ("", *range(2, 1000)))
    return next((name for name in names if not name.exists()), path.with_suffix(".broken.json"))


@contextlib.contextmanager
def _alone(path):
    """Hold the lock on ``path``, whose folder is made; no other process that waits for it holds it meanwhile.

    The lock is a file that is there only as long. Should its process be killed, the system lets go of it.

    Raises:
        OSError: it cannot be had.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + _PATIENCE
    while (handle := _locked(lock)) is None:
        if time.monotonic() > until:
            raise OSError(f"another process holds {lock}")
        time.sleep(0.01)
    try:
        yield path
    finally:
        if fcntl:
            lock.unlink(missing_ok=True)
        os.close(handle)


def _locked(lock):
    """A handle of the lock, or None while another process has it."""
    if not fcntl:
        try:
            # O_TEMPORARY: Windows removes the file when its process closes it, or ends.
            return os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_TEMPORARY)
        except (FileExistsError, PermissionError):
            return None
    handle = os.open(lock, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:  # else its holder has removed it since it was opened: it locks nobody out
            return handle
    except BlockingIOError:
        pass
    except OSError:  # a file system without locks: better two writers than none
        return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
