"""Build the course's website.

python tools/site/make_site.py                 (into build/site)

From docs/, the notebooks as they are stored, and the package's docstrings. What a notebook's cell opens, a playground
or a guess, is made here once, without a kernel (living.py); nothing else of a notebook is run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tools"))

import translate  # noqa: E402
from words import WORDS  # noqa: E402

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
#: A notebook's first line: "# 03 · Grid generator: which way does θ point?"
_TITLE = re.compile(r"(?m)^# (?:(\d+) · )?(.+?)[:：]\s*(.+)")
SOURCES, SITE = PROJECT / "build" / "site-sources", PROJECT / "build" / "site"


def prepare(sources, nobodys):
    """Write all that Sphinx needs into a folder. ``nobodys``: an empty one, for nobody's digits and progress."""
    # And without the network: so it is the same site wherever it is built.
    os.environ["STNCOURSE_OFFLINE"] = "1"
    os.environ["STNCOURSE_DATA_DIR"] = os.environ["STNCOURSE_PROGRESS_DIR"] = nobodys
    import nbformat
    import reference
    from living import Living, scripts
    from pages import page_of

    from stncourse import theta_playground

    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", sources, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(PROJECT / "CHANGELOG.md", sources / "changelog.md")
    shutil.copy(PROJECT / "benchmarks" / "RESULTS.md", sources / "results.md")
    living, static = Living(), sources / "_static"
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    published = "OWNER" not in settings["tool"]["stncourse"]["repository"]
    front = living.of(theta_playground(model="pretrained", controls=("model", "draw"), tool="draw", follow=True))
    for language, words in WORDS.items():
        folder = sources_of(words)
        (folder / "notebooks").mkdir(parents=True, exist_ok=True)
        for path in NOTEBOOKS:
            notebook = translate.read(path)
            if words.folder:
                catalogue = translate.opened(translate.catalogue_of(language, path.stem), language)
                notebook = translate.translated(notebook, catalogue, language)
            page = page_of(nbformat.reads(json.dumps(notebook), as_version=4), path.stem, living, published, words)
            nbformat.write(page, folder / "notebooks" / path.name)
        index = folder / "index.md"
        if words.folder:
            shutil.copy(PROJECT / "translations" / language / "index.md", index)
        text = (
            index.read_text(encoding="utf-8")
            .replace("{{ draw }}", front.replace(WORDS["en"].waiting, words.waiting))
            .replace("{{ map }}", _map(folder))
        )
        index.write_text(text, encoding="utf-8")
    for name, text in reference.pages().items():
        (sources / "reference").mkdir(exist_ok=True)
        (sources / "reference" / f"{name}.md").write_text(text, encoding="utf-8")
    (static / "playground.js").write_text(scripts(), encoding="utf-8")
    for language in translate.LANGUAGES:
        said = translate.shipped(language)
        said = json.dumps(said["python"] | said["page"], ensure_ascii=False)
        (static / f"words-{language}.js").write_text(f"STN.words = {said};\n", encoding="utf-8")
    for name, weights in living.networks.items():
        (static / f"network-{name}.js").write_text(f'STN.weights["{name}"] = "{weights}";\n', encoding="utf-8")


def sources_of(words):
    """The folder for all that Sphinx needs of a language."""
    return SOURCES.with_name(f"{SOURCES.name}-{words.folder}") if words.folder else SOURCES


def _map(folder):
    """The notebooks of a folder as the front page lists them: number and title, and the question below."""
    lines = ["{.stn-map}"]
    for path in sorted((folder / "notebooks").glob("*.ipynb")):
        title = translate.read(path)["cells"][0]["source"]
        number, name, question = _TITLE.search("".join(title)).groups()
        lines.append(f"- [**{number or '00'} {name}**](notebooks/{path.name}) \\\n  {question}")
    return "\n".join(lines)


def add_downloads(folder):
    """The notebooks themselves, and each as a Python program."""
    from nbconvert import PythonExporter

    folder.mkdir()
    for path in NOTEBOOKS:
        shutil.copy(path, folder)
        (folder / f"{path.stem}.py").write_text(PythonExporter().from_filename(str(path))[0], encoding="utf-8")


def build(language, words):
    """Have Sphinx build a language's pages; its warnings are errors. Returns its exit status.

    In a process of its own: in one process the words of the theme would stay those of the language before.
    """
    sources, site = sources_of(words), SITE / words.folder
    shutil.rmtree(site, ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-c", str(PROJECT / "docs"), "-d", f"{sources}-doctrees"]
    settings = {"html_static_path": SOURCES / "_static", "language": language, "html_title": words.title}
    for name, value in (settings | {"project": words.home}).items():
        options += ["-D", f"{name}={value}"]
    command = [sys.executable, "-m", "sphinx", *options, "-E", "-b", "html", str(sources), str(site)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as nobodys:
        prepare(SOURCES, nobodys)
    status = max(build(language, words) for language, words in WORDS.items())
    if status == 0:
        shutil.rmtree(SITE / "jupyter_execute", ignore_errors=True)  # of MyST-NB, beside a language's pages
        for leftover in SITE.rglob("_static/*webpack-macros.html"):  # of the themes' own making
            leftover.unlink()
        add_downloads(SITE / "files")
        size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) / 1e6
        print(f"The site is in {SITE.relative_to(PROJECT)} ({size:.0f} MB): open its index.html in a browser.")
    sys.exit(status)
