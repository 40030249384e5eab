"""What the package says to a student, collected from its sources: the messages of translations/LANG/stncourse.po.

A message is a sentence, or a few, as it stands in the code; what is filled in is {0}, {1}, … Errors stay English.
"""

import ast
import json
import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
_PACKAGE = PROJECT / "stncourse"
#: Where Python speaks to students, in words of its own.
PYTHON = (
    *(
        f"exercises/engine/{name}.py"
        for name in ("compare", "describe", "functions", "judge", "judge_answers", "kernel_answers", "killable_copy")
    ),
    *(f"exercises/engine/{name}.py" for name in ("observe", "plain", "progress", "puzzles", "questions", "raised")),
    *(f"exercises/engine/{name}.py" for name in ("recognise", "relations", "show", "time_limit")),
    *("exercises/__init__.py", "exercises/pictures.py"),
    *(
        f"playground/{name}.py"
        for name in ("controls", "game", "parameters", "pull_controls", "readout", "scene", "sheet")
    ),
    *("playground/theta_widget.py", "playground/warping.py"),
    *(f"figures/{name}.py" for name in ("figure", "before_after", "confusion", "curves", "diagrams", "digits", "film")),
    *(f"training/{name}.py" for name in ("diagnosis", "symptoms", "watch")),
)
#: Of these, what is shown in a page as well.
_IN_PAGES = ("playground/parameters.py", "playground/scene.py")
#: Where a page does; the text of a page in HTML is found as that of Python is, between its tags.
SCRIPTS = ("exercises/*.js", "exercises/guesses/*.js", "playground/*.js", "training/watch.js", "browser/*.js")
_NOTEBOOKS = PROJECT / "notebooks"
_HOLE = "\0"  # stands for what is filled in
#: Words that are said alone, and what joins others; any other single word is a name in the code.
_ALONE = """
, . : ; accuracy affine after and angle answer any attention become before bend blue both browser bulge class
clear clockwise column columns corner counter-clockwise difference digit digits direction down drawing eight end
epoch eraser expected family fold follow got horizon identity image input inputs it keystone large left
left-right line linear loss medium mirror mirrored more neither nine none note off on or orange output outputs
outside paper pen picture point points position preset printed projective pull reset right row rows ruler
sampling select shape shear shift similarity six size small start step steps stop table target thick thin
top-bottom transform truth turn unchanged undo up verdict weight weights you yours – Clinic Pause Play
Playground Sampler Training Visualization
"""
#: What only the code reads.
_CODE = re.compile(
    r"""[{}]\s | ^;?[\w-]+:[^\s;]+; | [:;]\s*[\d#]+px | ^[\w./-]+$ | ^[.#\[:] | => | ^-- | &\w+;$ | ^change: | tabindex
    | text-anchor | ^\$ | ^&minus | px\b.*sans-serif | ^\S+px$ | ^arc3 | ^round, | ^/proc | \\ | ^rgba?\( | ^https?:
    | ^data: | ^color: | ^row[ ]wrap | ^(upper|lower)[ ] | ^(check|guess|min)\( | ^stncourse | NotImplementedError$
    | =[ ]\.\.\. | ^button, | \.(png|gif)$ | ^< | ^import[ ] | ^\(prefers | \.(bias|weight)$ | expected[ ]F32
    | ^git | ^os\^ | ^stn- | ^test_ | ^'?Tensor'?[ ]and | torch\. | \|""",
    re.VERBOSE,
)


def all_messages():
    """Message -> where it is said: "page: …", where a browser says it. Some cannot be found by their looks."""
    found = {}
    elsewhere = (
        ("page: stncourse/browser/language.js", [".", ",", ";", ":", "–", "and"]),
        ("page: stncourse/playground/drawing.js", ["thin", "medium", "thick"]),  # not in quotes there
        ("stncourse/exercises/tasks", ["a digit, the target", "what your θ makes of it", "the difference"]),
        ("stncourse/exercises/tasks", ["yours", "difference"]),
        ("stncourse/_check.py", [f"{_HOLE} tensor of shape {_HOLE}"]),
    )
    for place, texts in (*elsewhere, _of_exercises(), *_of_python(), *_of_notebooks(), *_of_scripts()):
        for text in texts:
            for message in pieces(text):
                found.setdefault(message, []).append(place)
    return {message: sorted(set(places)) for message, places in found.items()}


def pieces(text):
    """The messages in a text of the code: what stands between the tags of HTML, with its holes numbered."""
    text = re.sub("</?em>", "*", re.sub("</?code>", "`", text))
    spoken = re.findall(r'(?:aria-label|alt|title)="([^"$]+)"', text)
    for piece in (*re.split(r"<[^<>]*>", text), *spoken):
        piece = re.sub(f"{_HOLE}+", _HOLE, " ".join(piece.split()))
        piece = re.sub(r"^[,;:–] ?(?=.)", "", piece)  # it is said behind something else
        if _is_said(piece):
            yield _numbered(piece)


def _is_said(piece):
    piece = re.sub("`[^`]*`", "`", piece)  # what is code in a sentence makes no code of it
    words = re.findall(r"[A-Za-z]{2,}", piece.replace(_HOLE, " "))
    return piece in _ALONE.split() or (bool(words) and not _CODE.search(piece))


def _numbered(piece):
    count = iter(range(99))
    return re.sub(_HOLE, lambda _: f"{{{next(count)}}}", piece)


# Python


def _of_exercises():
    from stncourse import exercises

    texts = []
    for notebook in exercises.NOTEBOOKS:
        for exercise in exercises.exercises_of(notebook):
            own = [getattr(exercise, "explanation", ""), *getattr(exercise, "without", ())[1:]]
            texts += [*own, *(part for mistake in exercise.mistakes for part in (mistake.name, mistake.message))]
    return "stncourse/exercises/tasks", [*texts, *exercises.NOTEBOOKS.values()]


def _of_python():
    for name in PYTHON:
        place = "page: stncourse/" if name in _IN_PAGES else "stncourse/"
        yield f"{place}{name}", _texts(ast.parse((_PACKAGE / name).read_text(encoding="utf-8")))


def _texts(tree):
    """All that a program says, in its order: not its docstrings, nor its errors."""
    own = [*_silent(tree)]
    waiting, texts = [tree], []
    while waiting:
        node = waiting.pop()
        if any(node is silent for silent in own):
            continue
        if isinstance(node, ast.JoinedStr):
            text, holes = _joined(node)
            texts.append(text)
            waiting += holes[::-1]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            text, holes = _joined(node)
            if text.replace(_HOLE, "").strip():
                texts.append(text)
            waiting += holes[::-1]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(re.sub(r"\{\w*\}", _HOLE, node.value))
        else:
            waiting += [*ast.iter_child_nodes(node)][::-1]
    return texts


def _joined(node):
    """A text that is put together of several: with holes, and the parts of the program that fill them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\w*\}", _HOLE, node.value), []
    parts = getattr(node, "values", None) if isinstance(node, ast.JoinedStr) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    if parts is None:
        return _HOLE, [node.value if isinstance(node, ast.FormattedValue) else node]
    joined = [_joined(part) for part in parts]
    return "".join(text for text, _ in joined), [hole for _, holes in joined for hole in holes]


def _silent(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            yield node
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("_check.", "print", "re.")):
            yield node


def _of_notebooks():
    """What the code cells have the package say: guesses, titles, alt texts. What they print is their own."""
    for path in sorted(_NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = []
        for cell in cells:
            if cell["cell_type"] == "code":
                own = _texts(ast.parse("".join(cell["source"])))
                texts += [text for text in own if re.search(r"[A-Za-z]{2,}", text)]
        yield f"notebooks/{path.name}", texts


# JavaScript

_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')


def _of_scripts():
    for name in ("playground/page.html", "figures/film.html"):
        page = (_PACKAGE / name).read_text(encoding="utf-8")
        page = re.sub(r"(?s)<(style|script|title).*?</\1>|<!--.*?-->", "", page)
        yield f"stncourse/{name}", [page]
    site = PROJECT / "docs" / "_static" / "site.js"
    yield "page: docs/_static/site.js", _texts_of_script(site.read_text(encoding="utf-8"))
    for pattern in SCRIPTS:
        for path in sorted(_PACKAGE.glob(pattern)):
            if "style" not in path.name:
                yield (
                    f"page: stncourse/{path.relative_to(_PACKAGE).as_posix()}",
                    _texts_of_script(path.read_text(encoding="utf-8")),
                )


def _texts_of_script(source):
    source = re.sub(r"(?m)^\s*//.*$|(?<=[\s;{,])//\s.*$", "", source)
    source = re.sub(r"\"\s*\+\s*\"|`\s*\+\s*`", "", source)  # one text in two lines
    texts, place = [], 0
    while place < len(source):
        if source[place] == "`":
            text, place, inner = _template(source, place + 1)
            texts += [text, *(found for code in inner for found in _texts_of_script(code))]
        elif match := _STRING.match(source, place):
            texts.append(match[0][1:-1].replace('\\"', '"'))
            place = match.end()
        else:
            place += 1
    return texts


def _template(source, place):
    """A template from behind its backtick: its text with holes, the place behind it, and the code in the holes."""
    text, inner = "", []
    while source[place] != "`":
        if source.startswith("${", place):
            start, depth = place + 2, 1
            place = start
            while depth:
                if source[place] == "`":
                    _, place, _ = _template(source, place + 1)
                    continue
                depth += {"{": 1, "}": -1}.get(source[place], 0)
                place += 1
            inner.append(source[start : place - 1])
            text += _HOLE
        else:
            text += source[place]
            place += 1
    return text, place + 1, inner
