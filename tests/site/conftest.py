"""The built site, and its pages in a real browser. Run these tests with ``make site-test``, which builds it first."""

import functools
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
sys.path[:0] = [str(PROJECT / name) for name in ("tools/site", "tests/browser", "docs")]

import lab  # noqa: E402

SITE = PROJECT / "build" / "site"
#: Pages that somebody reads, all but the one that shows what a search has found.
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html") if path.name != "search.html")
#: Folder of a language in the site -> the language.
LANGUAGES = {"": "en", "zh": "zh-CN", "ko": "ko"}
ENGLISH = [name for name in PAGES if name.split("/")[0] not in LANGUAGES]


@pytest.fixture(scope="session")
def new_context():
    """Function: options -> a new context, as if in a browser of its own. Playwright can run only once in a process."""
    with lab.chromium() as context:
        yield context.browser.new_context


@pytest.fixture
def open_page(new_context):
    """Function: (a page of the site, options of the context) -> it, open, from its file.

    At the end of the test it must have asked for nothing but files, and complained of nothing.
    """
    problems, contexts = [], []

    def open_it(name, **options):
        context = new_context(**{"viewport": {"width": 1366, "height": 768}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
        page.on("console", lambda said: said.type in ("error", "warning") and problems.append(f"{name}: {said.text}"))
        page.on(
            "request", lambda asked: asked.url.split(":")[0] in ("file", "data", "blob") or problems.append(asked.url)
        )
        page.goto((SITE / name).as_uri() if "://" not in name else name)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def web_server():
    """The site's address on a web server of this machine, below a folder as on GitHub Pages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(SITE.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{SITE.name}"
    server.shutdown()
    server.server_close()
