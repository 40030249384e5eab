"""What axe finds: nothing serious, in light and dark, on a laptop and on a phone, with every tool in hand."""

import lab
import pytest
from axe_playwright_python.sync_playwright import Axe


def found(page, context=None):
    """What axe finds serious or critical, in the page or in what ``context`` selects: sentences."""
    violations = Axe().run(page, context=context).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:120]} {node.get('failureSummary', '')[:200]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_axe_sees_faults(open_page, path):
    """The test would see one."""
    page = open_page(path)
    page.evaluate("document.querySelector('.sentence').style.color = '#ccc'")
    page.evaluate("document.querySelector('.looks button').textContent = ''")
    assert {fault.split(":")[0] for fault in found(page)} == {"color-contrast", "button-name"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1366])
def test_the_page_is_accessible(new_context, path, scheme, width):
    context = new_context(viewport={"width": width, "height": 768}, color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri())
    for tool in page.locator(".tools button").all():
        tool.click()
        page.wait_for_timeout(100)
        assert found(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing is cut off
    canvases = page.locator("canvas").all()
    assert len(canvases) >= 2
    for canvas in canvases:
        assert canvas.get_attribute("role") == "img"
        assert len(canvas.get_attribute("aria-label")) > 15
    context.close()


def test_the_page_at_twice_the_size(new_context, path):
    """Zoomed to 200 %, a screen of 1280 pixels has 640."""
    context = new_context(viewport={"width": 640, "height": 360}, device_scale_factor=2)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_playground_in_a_notebook_is_accessible(open_notebook, theme):
    notebook = open_notebook(
        f"{theme.split()[1].lower()}.ipynb",
        ["from stncourse import theta_playground\ntheta_playground(model='pretrained')"],
    )
    lab.choose_theme(notebook.page, theme)
    notebook.run_all()
    playground = notebook.playground()
    page = notebook.page
    page.wait_for_timeout(500)
    assert page.locator(".stn-theta.stn-dark").count() == (theme == "JupyterLab Dark")
    for tool in playground.root.locator(".tools button").all():
        tool.click()
        page.wait_for_timeout(100)
        assert found(page, context=".stn-theta") == []
    lab.choose_theme(page, "JupyterLab Light")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_control_points_in_a_notebook_are_accessible(open_notebook, theme):
    notebook = open_notebook(
        f"points_{theme.split()[1].lower()}.ipynb",
        ["from stncourse import control_points_playground\ncontrol_points_playground()"],
    )
    page = notebook.page
    lab.choose_theme(page, theme)
    notebook.run_all()
    page.locator(".stn-points canvas").first.wait_for()
    page.wait_for_timeout(500)
    assert page.locator(".stn-points.stn-dark").count() == (theme == "JupyterLab Dark")
    assert found(page, context=".stn-points") == []
    lab.choose_theme(page, "JupyterLab Light")
