"""JupyterLab and a browser, started once for all tests of this folder. Run them with ``make browser-test``."""

import lab
import pytest
from strokes import InkPage

from stncourse.__main__ import main


@pytest.fixture(scope="session")
def requests_made():
    """Every address that the pages have asked for."""
    return []


@pytest.fixture(scope="session")
def new_context():
    """Function: options -> a new context, as if in a browser of its own. Playwright can run only once in a process."""
    with lab.chromium() as context:
        yield context.browser.new_context


@pytest.fixture(scope="session")
def open_notebook(tmp_path_factory, requests_made, new_context):
    """Function: the name of a notebook -> the notebook, open and idle. ``cells``: make it first, of these."""
    folder = lab.copy_notebooks(tmp_path_factory.mktemp("course") / "notebooks")
    with lab.jupyter_lab(folder, tmp_path_factory.mktemp("home")) as address:
        context = new_context(viewport=lab.VIEWPORT)
        context.on("request", lambda request: requests_made.append(request.url))
        # What would leave the machine is noted above, and stopped here: no test needs the network.
        context.route(lab.is_outside, lambda route: route.abort())

        def open_it(name, cells=None, **metadata):
            if cells is not None:
                lab.write_notebook(folder / name, cells, **metadata)
            return lab.Notebook(context, address, folder / name)

        yield open_it


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    """The file of the playground's page."""
    path = tmp_path_factory.mktemp("page") / "theta.html"
    assert main(["playground", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def open_page(new_context):
    """Function: a file of HTML -> its page, open, which notes its ``requests``. Errors in it are the tests' errors."""
    problems = []

    def open_it(path):
        page = new_context(viewport=lab.VIEWPORT).new_page()
        page.requests = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_it
    assert problems == []


@pytest.fixture(scope="module")
def ink(new_context):
    """Function: lists of strokes -> images, as the browser draws them."""
    return InkPage(new_context().new_page())
