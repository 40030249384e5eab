"""Build the course's website.

python tools/site/make_site.py                 (into build/site)

From docs/, the notebooks as they are stored, and the package's docstrings. What a notebook's cell opens, a playground
or a guess, is made here once, without a kernel (living.py); nothing else of a notebook is run.
"""

import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
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
    shutil.copytree(PROJECT / "docs", sources, ignore=shutil.ignore_patterns("conf.py", "__pycache__"))
    shutil.copy(PROJECT / "CHANGELOG.md", sources / "changelog.md")
    shutil.copy(PROJECT / "benchmarks" / "RESULTS.md", sources / "results.md")
    living, static = Living(), sources / "_static"
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    published = "OWNER" not in settings["tool"]["stncourse"]["repository"]
    (sources / "notebooks").mkdir()
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(page_of(notebook, path.stem, living, published), sources / "notebooks" / path.name)
    for name, text in reference.pages().items():
        (sources / "reference").mkdir(exist_ok=True)
        (sources / "reference" / f"{name}.md").write_text(text, encoding="utf-8")
    front = theta_playground(model="pretrained", controls=("model", "draw"), tool="draw", follow=True)
    index = sources / "index.md"
    index.write_text(index.read_text(encoding="utf-8").replace("{{ draw }}", living.of(front)), encoding="utf-8")
    (static / "playground.js").write_text(scripts(), encoding="utf-8")
    for name, weights in living.networks.items():
        (static / f"network-{name}.js").write_text(f'STN.weights["{name}"] = "{weights}";\n', encoding="utf-8")


def add_downloads(folder):
    """The notebooks themselves, and each as a Python program."""
    from nbconvert import PythonExporter

    folder.mkdir()
    for path in NOTEBOOKS:
        shutil.copy(path, folder)
        (folder / f"{path.stem}.py").write_text(PythonExporter().from_filename(str(path))[0], encoding="utf-8")


def build(sources, site):
    """Have Sphinx build the site; its warnings are errors. Returns its exit status."""
    from sphinx.cmd.build import main

    shutil.rmtree(site, ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-c", str(PROJECT / "docs"), "-d", str(sources.parent / "site-doctrees")]
    options += ["-D", f"html_static_path={sources / '_static'}"]
    return main([*options, "-E", "-b", "html", str(sources), str(site)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as nobodys:
        prepare(SOURCES, nobodys)
    status = build(SOURCES, SITE)
    if status == 0:
        for leftover in (SITE / "_static").glob("*webpack-macros.html"):  # of the themes' own making
            leftover.unlink()
        add_downloads(SITE / "files")
        size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) / 1e6
        print(f"The site is in {SITE.relative_to(PROJECT)} ({size:.0f} MB): open its index.html in a browser.")
    sys.exit(status)
