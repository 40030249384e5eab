"""The real JupyterLab in a real browser, for the browser tests, the latency benchmark and the screenshot."""

import base64
import contextlib
import io
import math
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from PIL import Image
from playwright.sync_api import Error, expect, sync_playwright

from stncourse.playground.picture import output_from_picture, pixels_of

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
VIEWPORT = {"width": 1400, "height": 1000}
THETA = ("θ11", "θ12", "tx", "θ21", "θ22", "ty")
#: A playground's output, drawn by the page; or its whole picture, sent by the kernel.
PICTURE = "canvas[data-theta], img.widget-image"
#: A canvas, or an <img> as the browser has decoded it, as a PNG.
AS_PNG = """async img => {
    if (img.tagName == "CANVAS") return img.toDataURL("image/png").split(",")[1];
    await img.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
    canvas.getContext("2d").drawImage(img, 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
}"""

LOAD_SCRIPT = """async text => {
    window.script = await import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})));
}"""

LOAD_NETWORK = """([weights, images]) => {
    const from = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    window.network = script.networkOf(from(weights), { size: 42, outputSize: 28, mean: 0.1307, std: 0.3081 });
    const all = from(images), size = 42 * 42;
    window.images = Array.from({ length: all.length / size }, (_, i) => all.subarray(i * size, (i + 1) * size));
}"""


def find_browser():
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"No browser found (looked for: {', '.join(BROWSERS)}). Install Chromium: `sudo apt-get install chromium` on "
        "Debian and Ubuntu (Ubuntu: chromium-browser), `brew install --cask google-chrome` on macOS."
    )


def until(question, what, seconds=60, pause=0.05):
    """Ask until the answer is true; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(pause)
    return answer


def picture_of(locator):
    """The picture that the browser shows: of a canvas, or of an <img>."""
    return Image.open(io.BytesIO(base64.b64decode(locator.evaluate(AS_PNG))))


def load_script(page, text):
    """A module of JavaScript, as ``script`` in the page."""
    page.evaluate(LOAD_SCRIPT, text)


def drag(page, x, y, by, steps=5):
    """Press the mouse's button at a place, move it, and let go."""
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=steps)
    page.mouse.up()


def by_mouse(page, places, steps=3):
    """From place to place of the window with the button held."""
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=steps)
    page.mouse.up()


def by_touch(page, places):
    """The same with a finger, through Chromium's own input: it makes pointer events of kind touch, and would scroll."""
    session = page.context.new_cdp_session(page)
    for kind, place in [("Start", places[0]), *(("Move", place) for place in places[1:]), ("End", None)]:
        points = [] if place is None else [{"x": place[0], "y": place[1]}]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    session.detach()


def drawn(page):
    """Wait until the page has drawn what was done."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def theta_of(root):
    """The six numbers with which the playground in ``root``, a page or a part of one, is drawn now."""
    drawn(getattr(root, "page", root))
    return [float(value) for value in root.locator("canvas[data-theta]").first.get_attribute("data-theta").split(",")]


def load_network(page, images):
    """The shipped network as ``network`` in a page that has the script of it, and raw images as ``images``."""
    weights = (resources.files("stncourse") / "assets" / "stn_rts_linear.safetensors").read_bytes()
    page.evaluate(LOAD_NETWORK, [base64.b64encode(data).decode() for data in (weights, images.numpy().tobytes())])


def choose_theme(page, theme):
    """One of JupyterLab's themes, by its menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(theme, exact=True).click()
    is_light = "true" if theme == "JupyterLab Light" else "false"
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light, timeout=20_000)


def is_outside(url):
    """Whether an address leaves the machine."""
    address = urlsplit(url)
    # attachment: is JupyterLab's name for an image inside the notebook.
    return address.scheme not in ("data", "blob", "attachment") and address.hostname not in ("127.0.0.1", "localhost")


def copy_notebooks(folder):
    """The course's notebooks, not yet run."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / path.name)
    return folder


def write_notebook(path, sources, **metadata):
    """A notebook of these code cells, with this metadata. Its path."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata.update(metadata)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


@contextlib.contextmanager
def jupyter_lab(folder, home):
    """JupyterLab on ``folder``, with no settings of the user's. Yields (notebook name -> its address)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    own = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    environment = os.environ | own | {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "STNCOURSE_WATCH": ""}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--IdentityProvider.token={token}"]
    command += ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    address = f"http://127.0.0.1:{port}"
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lab.log", "w+") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

        def answers():
            assert server.poll() is None, (home / "lab.log").read_text()[-3000:]
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                return urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=5).status == 200

        try:
            until(answers, "JupyterLab starts", 120, pause=0.2)
            yield lambda name: f"{address}/lab/tree/{name}?token={token}"
        finally:
            server.terminate()  # asked kindly, it stops its kernels
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@contextlib.contextmanager
def chromium(**options):
    """A browser context of Chromium. ``options``: as for Playwright's ``new_context``."""
    executable = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(BROWSER_OPTIONS))
        try:
            yield browser.new_context(**({"viewport": VIEWPORT} | options))
        finally:
            browser.close()


@contextlib.contextmanager
def open_alone(write, **options):
    """A notebook in a JupyterLab and a browser of its own. ``write``: an empty folder -> the notebook's path in it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home, course = Path(folder) / "home", Path(folder) / "course"
        course.mkdir()
        path = write(course)
        with jupyter_lab(course, home) as address, chromium(**options) as context:
            yield Notebook(context, address, path)


class Notebook:
    """A notebook open in JupyterLab."""

    def __init__(self, context, address, path):
        self.path = Path(path)
        self.page = context.new_page()
        self.page.goto(address(self.path.name))
        self.wait_idle()

    def wait_idle(self, seconds=90):
        """Until a kernel is there and idle. (The notebook's own indicator says idle before there is one.)"""
        expect(self.page.locator("#jp-main-statusbar").get_by_text("| Idle")).to_be_visible(timeout=1000 * seconds)

    def busy(self):
        return self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").count() == 1

    def unsaved(self):
        return self.page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")

    def menu(self, *names):
        for name in names[:-1]:
            self.page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(names[-1], exact=True).click()

    def start_all(self):
        self.menu("Run", "Run All Cells")
        expect(self.unsaved()).to_have_count(1)  # it has begun

    def run_all(self, seconds=180):
        """Run all cells, to the end of the last or to an error. Returns the notebook as it is then."""
        self.start_all()
        return until(self.finished, f"{self.path.name} runs to its end", seconds, pause=0.5)

    def finished(self):
        """The notebook as JupyterLab saves it now, or None while some cell has not run."""
        if self.busy():  # and no second save while one is under way: JupyterLab would ask which one to keep
            return None
        self.page.keyboard.press("Control+s")
        expect(self.unsaved()).to_have_count(0, timeout=20_000)
        try:
            notebook = nbformat.read(self.path, as_version=4)
        except nbformat.reader.NotJSONError:  # half written
            return None
        done = all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
        return notebook if done or errors_in(notebook) else None

    def playground(self, number=0):
        """The ``number``-th playground of the page, brought into view."""
        pictures = self.page.locator(".jp-OutputArea-output").filter(has=self.page.locator(PICTURE))
        self.show(pictures.nth(number))
        return Playground(self.page, pictures.nth(number))

    def show(self, locator):
        """Scroll to an element. JupyterLab takes cells that are far away out of the page."""
        outer = self.page.locator(".jp-WindowedPanel-outer").first
        for step in range(200):
            if locator.count():
                return locator.scroll_into_view_if_needed()
            outer.evaluate("(e, first) => { e.scrollTop = first ? 0 : e.scrollTop + 400; }", step == 0)
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not on the page: {locator}")


class Playground:
    """A θ playground on a page, as a student sees and moves it."""

    def __init__(self, page, root):
        self.page, self.root = page, root
        self.image = root.locator(PICTURE)

    def control(self, kind, name):
        label = self.page.locator(".widget-label").get_by_text(name, exact=True)
        label = label.or_(self.page.locator(f'.widget-label:text-is("{name}")'))
        return self.root.locator(f".widget-{kind}").filter(has=label)

    def slider(self, name):
        """The slider's handle, in focus: what the keys go to."""
        handle = self.control("hslider", name).locator(".noUi-handle")
        handle.focus()
        return handle

    def slider_value(self, name):
        return float(self.control("hslider", name).locator(".widget-readout").inner_text().replace("−", "-"))

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, name, text):
        """Click one of θ's boxes and type into it."""
        self.control("text", name).locator("input").click()
        self.press("ControlOrMeta+a", "Delete")
        self.page.keyboard.type(text)
        self.press("Enter")

    def button(self, name):
        return self.root.get_by_role("button", name=name)

    def choose(self, name, option):
        self.control("dropdown", name).locator("select").select_option(option)

    def theta(self):
        """The six boxes; NaN where there is no number (yet)."""
        texts = [self.control("text", name).locator("input").input_value() for name in THETA]
        return tuple(float(text) if re.fullmatch(r"-?[\d.]+(e[-+]\d+)?", text) else math.nan for text in texts)

    def message(self):
        return " ".join(self.root.locator("[role=alert]").all_inner_texts())

    def output(self, size):
        """The output's pixels as the browser shows them; None at a moment in which they are changing."""
        picture = self.picture()
        if picture is None:
            return None
        read = pixels_of if self.image.evaluate("e => e.tagName") == "CANVAS" else output_from_picture
        return read(picture, size)

    def picture(self):
        """The picture that the browser shows, or None at a moment in which it is changing."""
        try:
            return picture_of(self.image)
        except Error as error:
            if "decode" in str(error):
                return None
            raise


def errors_in(notebook):
    return [
        f"{output.ename}: {output.evalue}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
