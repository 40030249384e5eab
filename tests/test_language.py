"""What the package says, in the student's language; ``tests/browser/test_language.py`` has what a page says."""

import json
import re

import ipywidgets
import matplotlib.text
import pytest
import torch

from stncourse import (
    Film,
    affine_theta,
    check,
    diagnose,
    exercises,
    figures,
    guess,
    progress,
    show_digits,
    theta_playground,
)
from stncourse import _language as spoken
from stncourse.exercises.engine.torch_defaults import as_torch_starts
from stncourse.figures.figure import Figure
from stncourse.playground.parameters import words_for

OTHERS = [name for name in spoken.LANGUAGES if name != "en"]
in_each = pytest.mark.parametrize("name", OTHERS)


@pytest.fixture(params=OTHERS)
def foreign(request, monkeypatch):
    monkeypatch.setenv("STNCOURSE_LANGUAGE", request.param)
    return request.param


def english_in(text):
    """Words in a row that nobody has translated: lower-case ones, outside of code and quotes."""
    plain = re.sub(r"`[^`]*`|“[^”]*”|'[^']*'|\"[^\"]*\"|\([^()]*\)", " ", text)
    return re.findall(r"(?:\b[a-z]{2,}\b[ ,]+){2}[a-z]{2,}\b", plain)


WORDS = spoken.Words(
    {
        "It returns the shape {0} where {1} is asked for.": "要 {1}，得到 {0}。",
        "{0} Axes {1} and {2} are swapped.": "{0}轴 {1} 和轴 {2} 调换了。",
        "The digit comes out {0}.": "数字{0}。",
        "moved {0} by {1}": "向{0}移 {1}",
        "turned {0}° {1}": "{1}转 {0}°",
        "{0} × as wide, {1} × as high": "宽 {0} 倍、高 {1} 倍",
        "right": "右",
        "left": "左",
        "clockwise": "顺时针",
        "Right, on {0} inputs{1}.{2}": "{0} 个输入都对{1}。{2}",
        "its gradient too": "梯度也对",
        "One remark: {0}": "一点意见：{0}",
        "The sign is wrong.": "符号错了。",
        "{0} to {1}": "{0} 到 {1}",
        "left of {0}": "左 of {0}",
        "{0}: right": "{0}：对了",
        "one of {0}": "其中之一：{0}",
        "line {0} of its cell, `{1}`": "第 {0} 行 `{1}`",
        ",": "，",
        "and": "和",
        "its `{0}` is `{1}`: {2}": "它的 `{0}` 是 `{1}`：{2}",
        "x and y *swapped*: `grid[..., 0]` is x.": "x 和 y *调换*了：`grid[..., 0]` 是 x。",
    }
)


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("The sign is wrong.", "符号错了。"),
        ("It returns the shape (3, 2) where (2, 3) is asked for.", "要 (2, 3)，得到 (3, 2)。"),
        # what fills a hole is a message itself
        (
            "It returns the shape (3, 2) where (2, 3) is asked for. Axes 0 and 1 are swapped.",
            "要 (2, 3)，得到 (3, 2)。轴 0 和轴 1 调换了。",
        ),
        # several in a row, as sentences and as items; what is not known stays
        ("The sign is wrong. The sign is wrong.", "符号错了。符号错了。"),
        ("Nobody knows this. The sign is wrong.", "Nobody knows this. 符号错了。"),
        (
            "The digit comes out turned 30° clockwise, moved left by 0.40.",
            "数字顺时针转 30°，向左移 0.40。",
        ),
        (
            "The digit comes out 0.50 × as wide, 0.60 × as high, moved right by 0.40.",
            "数字宽 0.50 倍、高 0.60 倍，向右移 0.40。",
        ),
        ("left and right", "左和右"),
        ("its `left` is `left`: left", "它的 `left` 是 `left`：左"),  # code stays
        ("left of [1.00, 0.00, 2.00], right", "左 of [1.00, 0.00, 2.00]，右"),
        # pieces that are there, or not
        ("Right, on 7 inputs.", "7 个输入都对。"),
        ("Right, on 7 inputs, its gradient too. One remark: left", "7 个输入都对，梯度也对。一点意见：左"),
        # one whole message rather than two in a row; but an item rather than a list in a hole
        ("which_way: right", "which_way：对了"),
        ("one of 'a', 'b', 'c'", "其中之一：'a', 'b', 'c'"),
        ("left + right", "左 + 右"),
        # code is not cut in two
        ("line 3 of its cell, `if left and 1 < right, left: 3 to 4`", "第 3 行 `if left and 1 < right, left: 3 to 4`"),
        # a short message does not take a whole sentence apart
        ("He went to the sea to swim, then he went to bed", None),
        ("  left\n", "  左\n"),
        ("left\nThe sign\nis wrong.\nright", "左\nThe sign\nis wrong.\n右"),
        ("The sign\nis wrong.", "符号错了。"),
        ("left, " * 9999 + "left", None),  # somebody else's text, which takes no time
        ("", None),
        (" ", None),
    ],
)
def test_a_text_is_found_among_the_messages(text, translation):
    assert WORDS.said(text) == (text if translation is None else translation)


@pytest.mark.parametrize("joint", [" and ", ", ", ". ", ": ", " to ", " of "])
def test_a_text_of_somebody_elses_is_not_taken_apart_for_ever(joint, foreign):
    """Whatever is in it: a verdict has to come at once."""
    words = spoken.Words(spoken._catalogue(foreign)["page"] | spoken._catalogue(foreign)["python"])
    for text in (joint.join(f"w{i}" for i in range(90)), joint.join(f"at x {i}" for i in range(70))):
        words.said(f"line 3 of its cell, `{text}`")
        words.said(text)
    assert len(words._known) < 2000, "the texts that were looked up; without a limit they grow with the cube"


def test_a_text_that_may_be_somebody_elses_is_said_wholly_or_not_at_all():
    assert WORDS.wholly("left") == "左"
    assert WORDS.wholly("left, moved right by 0.40") == "左，向右移 0.40"
    for text in ("left, and mine", "mine to left", "0.40", "", "left " * 900):
        assert WORDS.wholly(text) == text


def test_html_keeps_its_tags():
    text = (
        '<p title="left" class="left">The sign is wrong.<br>right<img alt="The sign is wrong."></p><style>left</style>'
    )
    told = '<p title="左" class="left">符号错了。<br>右<img alt="符号错了。"></p><style>left</style>'
    assert WORDS.said_html(text) == told
    code = "x and y <em>swapped</em>: <code>grid[..., 0]</code> is x."
    assert WORDS.said_html(code) == "x 和 y <em>调换</em>了：<code>grid[..., 0]</code> 是 x。"
    assert WORDS.said_html("nothing <em>of</em> it &lt; is known") == "nothing <em>of</em> it &lt; is known"


def test_english_is_what_is_said_where_nobody_asks(monkeypatch):
    monkeypatch.delenv("STNCOURSE_LANGUAGE", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert (spoken.language(), spoken.said("The sign is wrong."), spoken.for_page()) == ("en", "The sign is wrong.", {})


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        *(
            ("zh", "zh_CN"),
            ("zh-CN", "zh_CN"),
            ("zh_CN.UTF-8", "zh_CN"),
            ("ZH", "zh_CN"),
            ("ko", "ko"),
            ("ko_KR", "ko"),
        ),
        *(("en", "en"), ("fr", "en"), ("x", "en"), ("", "en")),
    ],
)
def test_the_language_is_named_by_a_variable(asked, name, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setenv("STNCOURSE_LANGUAGE", asked)
    assert spoken.language() == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"metadata": {"language": "ko"}}', "ko"),
        ('{"metadata": {}}', "en"),
        ('{"metadata": {"language": 7}}', "en"),
        ('{"metadata": []}', "en"),
        ("[]", "en"),
        ("no JSON", "en"),
        (None, "en"),
    ],
)
def test_else_by_the_notebook_that_is_open(text, name, tmp_path, monkeypatch):
    path = tmp_path / f"{abs(hash(text))}.ipynb"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    monkeypatch.delenv("STNCOURSE_LANGUAGE", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert spoken.language() == name
    monkeypatch.setenv("STNCOURSE_LANGUAGE", "zh")  # is stronger
    assert spoken.language() == "zh_CN"


# Verdicts


def verdicts(exercise):
    """All that a check of an exercise may say of its classic mistakes, of a right answer and of none."""
    from stncourse.exercises.engine.observe import observe_answer

    def judged(attempt):
        with as_torch_starts():
            return exercise.judge(lambda calls: observe_answer(attempt, calls, getattr(exercise, "signature", None)))

    right = exercise.right or exercise.answer()
    attempts = [right() if exercise.right and not hasattr(exercise, "solution") else right, ...]
    for mistake in exercise.mistakes:
        wrong = mistake.wrong
        attempts.append(wrong() if callable(wrong) and not hasattr(exercise, "solution") else wrong)
    return [judged(attempt).result for attempt in [*attempts, "a text", 7.5, None]]


@in_each
@pytest.mark.parametrize("notebook", exercises.NOTEBOOKS)
def test_verdicts_are_said_in_each_language(notebook, name):
    words = spoken.words(name)
    for exercise in exercises.exercises_of(notebook):
        for result in verdicts(exercise):
            said, mistake = words.said(result.message), words.said(result.mistake or "")
            assert english_in(said) == english_in(mistake) == [], (exercise.name, result, said)
            assert said != result.message
            numbers = [sorted(re.findall(r"\d+", text)) for text in (result.message, said)]
            assert numbers[0] == numbers[1], (result.message, said)


def wrong_size(theta, size):
    return torch.zeros(len(theta), *size)


def slow(theta, size):
    raise RuntimeError("Float, Double")


@pytest.mark.parametrize("attempt", [wrong_size, slow, 7, None, lambda theta, size: None])
def test_what_else_a_check_says(attempt, foreign, capsys):
    check("affine_grid", attempt)
    printed = capsys.readouterr().out
    details = printed.partition("\n  ")[2].split("\n")[0]
    assert english_in(printed.split("\n")[0]) == english_in(details) == []
    assert re.search("[一-鿿가-힣]", printed.split("\n")[0])
    assert re.search("[一-鿿가-힣]", details)


def test_the_api_of_a_check_is_english(foreign, capsys):
    result = check("which_way", "down")
    assert result.mistake == "translation sign"
    assert result.message.startswith("ty = +0.4 moves the *frame* down.")
    assert "translation sign" not in capsys.readouterr().out


def test_progress(foreign):
    shown = progress()
    for text in (repr(shown), shown._repr_html_()):
        assert english_in(re.sub("<[^>]*>", " ", text)) == []
        assert "exercises done" not in text
        assert re.search("[一-鿿가-힣]", text)


def test_a_diagnosis(foreign):
    from stncourse import History

    far_away = [affine_theta(translation=(3, 0)).tolist() * 2] * 2
    found = diagnose(History({}, theta=[{"step": 50 * i, "theta": theta} for i, theta in enumerate(far_away)]))
    seen, advice = str(found).partition("\ntry")[::2]
    assert found.name == "left the image"
    assert found.advice.startswith("Start at the identity.")
    assert english_in(seen.partition("seen")[2]) == english_in(advice) == []


# Figures


def test_a_figure_says_its_words_where_a_font_has_the_signs(foreign, monkeypatch):
    monkeypatch.setattr(figures.said_on, "font_for", lambda name: "DejaVu Sans")
    figure = Figure(4, 2, "the input and what is expected")
    ax = figure.subplots()
    ax.set(title="expected", xlabel="nobody knows this word")
    seen = []
    monkeypatch.setattr(figure, "savefig", lambda *_, **__: seen.extend(words_on(figure)) or draw_nothing(*_))
    data, metadata = figure._repr_mimebundle_()
    said = spoken.said("expected")
    assert said != "expected"
    assert {said, "nobody knows this word"} <= set(seen)
    assert {"expected", "nobody knows this word"} <= set(words_on(figure))  # it is as it was
    alt = metadata["image/png"]["alt"]
    assert alt == spoken.said(figure.alt) != figure.alt
    assert data["text/plain"].endswith(f"\n{alt}")


def test_without_such_a_font_they_stay_english(foreign, monkeypatch):
    monkeypatch.setattr(figures.said_on, "font_for", lambda name: None)
    figure = show_digits(torch.zeros(1, 1, 28, 28), titles=["expected"])
    seen = []
    monkeypatch.setattr(figure, "savefig", lambda *_, **__: seen.extend(words_on(figure)) or draw_nothing(*_))
    alt = figure._repr_mimebundle_()[1]["image/png"]["alt"]
    assert "expected" in seen
    assert alt != figure.alt


def words_on(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def draw_nothing(buffer):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(buffer, "png")


def test_a_font_is_looked_for_by_its_signs(monkeypatch, tmp_path):
    from matplotlib import font_manager

    figures.said_on.font_for.cache_clear()
    try:
        assert figures.said_on.font_for("en") is None
        broken = tmp_path / "NotoSansCJK-Regular.ttf"
        broken.write_bytes(b"no font")
        latin = font_manager.findfont("DejaVu Sans")
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(broken), latin])
        assert [figures.said_on.font_for(name) for name in OTHERS] == [None, None]
        figures.said_on.font_for.cache_clear()
        monkeypatch.setattr(figures.said_on, "_SIGNS", {"ko": "abc"})  # which it has
        assert figures.said_on.font_for("ko") == "DejaVu Sans"
    finally:
        figures.said_on.font_for.cache_clear()


def test_a_film(foreign):
    from PIL import Image

    film = Film([Image.new("RGB", (8, 8))] * 2, ["step 0", "step 7"], "the input and what is expected")
    player = film.html()
    assert spoken.said("step 7") in player
    assert spoken.said(film.alt) in player
    assert 'aria-label="moment of the training"' not in player
    assert ">Play<" not in player
    assert '"Pause"' not in player
    assert film.titles == ["step 0", "step 7"]


# Widgets


def labels(widget):
    """All that the widgets of a tree say by themselves."""
    for each in getattr(widget, "children", ()):
        yield from labels(each)
    if getattr(widget, "description", ""):
        yield widget.description
    if isinstance(widget, ipywidgets.Dropdown):
        yield from widget._options_labels


def test_a_playground_has_its_controls_named(foreign):
    playground = theta_playground(model="pretrained", device="cpu")
    named = [text for text in labels(playground) if re.search("[a-z]{3,}", text)]
    same = {"zeros", "border", "reflection", "background", "bilinear", "nearest", "bicubic", "cpu", "cuda", "mps"}
    kept = [text for text in named if text not in same and not re.search("[一-鿿가-힣]", text)]
    assert kept == []
    playground.preset.value = "mirror"  # values are what they were
    assert playground.settings.theta == (-1, 0, 0, 0, 1, 0)
    assert playground.direction.value == "output → input"
    assert english_in(re.sub("<[^>]*>", " ", playground.readout.value)) == []
    playground.boxes[0].value = "x"
    assert re.search("[一-鿿가-힣]", playground.message.value)
    assert "expected" not in playground.message.value


@pytest.mark.parametrize(
    "theta",
    [
        affine_theta(),
        affine_theta(rotation=-30, scale=0.5, translation=(0.2, -0.3)),
        affine_theta(scale=(-0.5, 0.8), shear=0.3, translation=(-0.2, 0.3)),
        torch.zeros(1, 2, 3),
    ],
)
def test_what_theta_does(theta, foreign):
    said = spoken.said(words_for(theta))
    assert not re.search("[a-z]{2,}", said)
    assert re.findall(r"\d+\.\d+", said).sort() == re.findall(r"\d+\.\d+", words_for(theta)).sort()


def test_a_guess_takes_its_words_along(foreign):
    asked = guess("Who wins over the ten digits?", name="x", choices=("the STN", "you"), truth="you")
    assert asked.question == "Who wins over the ten digits?"
    assert asked.truth == "you"
    for text in (asked.question, "the STN", "you", "Guess again"):
        assert asked.words[text] == spoken.said(text) != text


# What is shipped


@in_each
def test_what_is_shipped_is_of_the_kind_that_words_take(name):
    from importlib import resources

    file = resources.files("stncourse") / "assets" / "languages" / f"{name}.json"
    shipped = json.loads(file.read_text(encoding="utf-8"))
    assert set(shipped) == {"page", "python"}
    for messages in shipped.values():
        assert all(isinstance(text, str) and text for pair in messages.items() for text in pair)
