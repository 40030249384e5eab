"""How Sphinx builds the course's website. `make site` prepares the sources first: tools/site/make_site.py."""

import re
import sys
import tomllib
from html import escape
from importlib import metadata
from pathlib import Path

from docutils import nodes
from sphinx.search import languages

sys.path.insert(0, str(Path(__file__).parent))
from search_by_pairs import SearchByPairs

languages |= {"zh": SearchByPairs, "ko": SearchByPairs}

_SETTINGS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))

project = "Spatial Transformer Networks"
author = "The authors of the course"
release = version = _SETTINGS["project"]["version"]
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_codeautolink",
]

# The notebooks' stored outputs are the truth.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables too
myst_enable_extensions = ["attrs_block", "dollarmath", "substitution"]
myst_heading_anchors = 3

napoleon_custom_sections = ["Convention"]
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
codeautolink_concat_default = True  # a notebook's imports count for all of its cells

toc_object_entries = False  # each name of the reference has a heading of its own
html_theme = "sphinx_book_theme"
html_title = "Spatial Transformer Networks, a course"
html_static_path = ["_static"]
html_context = {"default_mode": "auto"}
html_css_files = ["site.css"]
html_js_files = [("page.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_use_index = False  # the search finds every name
html_show_search_summary = False  # it would have to fetch pages, which a browser refuses from file://
html_favicon = "_static/icon.svg"
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands beside the contents
    "logo": {"alt_text": "Spatial Transformer Networks, a course: home"},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
# One file with its glyphs in it: nothing is fetched from anywhere.
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

#: Where the site is published, with a slash at its end; nothing as long as nobody has said it.
_PUBLISHED = "OWNER" not in _SETTINGS["tool"]["stncourse"]["repository"]
#: Where the commands of a page are typed.
_FOLDER = f"in the folder that `git clone {_SETTINGS['project']['urls']['Homepage']}` makes"
myst_substitutions = {"in_the_folder": _FOLDER if _PUBLISHED else "in the course's folder"}
_ADDRESS = _SETTINGS["project"]["urls"]["Website"] if _PUBLISHED else ""


#: Language -> the folder of its pages in the site, its own name, … Front page and notebooks are in all of them.
_LANGUAGES = tomllib.loads((Path(__file__).parents[1] / "translations" / "site.toml").read_text(encoding="utf-8"))


def _description(doctree):
    """The first paragraph that is text, in one line."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = re.sub(r"\s+", " ", paragraph.astext()).strip()
        if len(text) > 40:
            return text if len(text) <= 200 else text[:197].rsplit(" ", 1)[0] + " …"
    return ""


def _other_languages(language, pagename):
    """The same page in every language, as links for search engines, and for page.js, which shows them."""
    up = "../" * (pagename.count("/") + bool(_LANGUAGES[language]["folder"]))
    links = []
    for own, words in _LANGUAGES.items():
        place = up + (words["folder"] + "/" if words["folder"] else "") + pagename + ".html"
        code, name = own.replace("_", "-"), words["name"]
        links.append(f'<link rel="alternate" hreflang="{code}" title="{name}" href="{place}">')
    return links


def _about_page(app, pagename, templatename, context, doctree):
    """What a search engine and the preview of a link are told; and the scripts of a page that lives."""
    if doctree is None:
        return
    home = app.config.html_title
    title = re.sub("<[^>]*>", "", context.get("title") or home)
    told = {
        "og:title": title,
        "og:description": _description(doctree) or home,
        "og:type": "article",
        "og:site_name": home,
    }
    told["og:image"] = (_ADDRESS or "../" * pagename.count("/")) + "_static/front_page.png"
    told["og:image:alt"] = "The front page: a digit drawn by hand, and the frame through which the network looks at it"
    if _ADDRESS:
        folder = _LANGUAGES[app.config.language]["folder"]
        told["og:url"] = _ADDRESS + (f"{folder}/" if folder else "") + app.builder.get_target_uri(pagename)
    tags = [f'<meta property="{name}" content="{escape(text)}">' for name, text in told.items()]
    tags += [f'<meta name="description" content="{escape(told["og:description"])}">']
    tags += ['<meta name="twitter:card" content="summary_large_image">']
    if pagename == "index" or pagename.startswith("notebooks/"):
        tags += _other_languages(app.config.language, pagename)
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(tags)
    living = [node.astext() for node in doctree.findall(nodes.raw) if "stn-live" in node.astext()]
    if living:
        networks = sorted(set(re.findall(r'"network": "(\w+)"', "".join(living))))
        language = app.config.language
        words = [] if language == "en" else [f"words-{language}.js"]
        for script in ("playground.js", *words, *(f"network-{name}.js" for name in networks), "site.js"):
            app.add_js_file(script, loading_method="defer", priority=800)


def _keep_whole(app, what, name, obj, options, lines):
    """Napoleon takes what stands before the first colon of an attribute's comment for its type: a dash is safe."""
    if what == "attribute":
        lines[:] = [line.replace(": ", " – ") for line in lines]


def _formulas(app):
    (file,) = [f for f in metadata.files("sphinx-mathjax-offline") if f.name == "tex-svg.js"]
    target = Path(app.outdir) / "_static" / "tex-svg.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.locate().read_bytes())


def _name_home(app, config):
    config.html_theme_options["logo"]["text"] = config.project


def setup(app):
    app.connect("config-inited", _name_home)
    app.connect("autodoc-process-docstring", _keep_whole, priority=400)  # before napoleon
    app.connect("html-page-context", _about_page)
    app.connect("build-finished", lambda app, error: error or _formulas(app))
