"""Somebody else's text as text: nothing in it moves the reader's cursor, colours, hides or reorders what is printed."""

import sys
import unicodedata


def readable(text, keep=""):
    r"""``text`` with all that is not a visible character or a space written out, such as ``\x1b`` or ``\u202e``.

    Args:
        text: anything that a student could choose: an error, a name, a printed line.
        keep: characters that stay as they are, such as ``"\n"``.
    """
    return "".join(c if c in keep or _is_visible(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_visible(character):
    return character.isprintable() or unicodedata.category(character) == "Zs"


def say(text, stream=None):
    """Print ``text``, whatever the encoding of the stream: what it does not know is written out.

    Args:
        text: what to print.
        stream: ``sys.stdout`` where it is None.
    """
    stream = sys.stdout if stream is None else stream
    print(encodable(text, stream), file=stream, flush=True)


def encodable(text, stream):
    """``text``, with what the stream's encoding does not know written out."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
