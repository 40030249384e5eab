"""What several test files share: fixtures, and what the mark ``gpu`` does."""

import importlib.metadata
import os
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import torch
from run_python import run_python

# Read here, once: tests that must not see this mirror take it out of the environment.
MIRROR = os.environ.get("STNCOURSE_MNIST_MIRROR", "")
COLABS_IPYWIDGETS = Path(sys.prefix) / "ipywidgets-7"


def pytest_runtest_setup(item):
    """What the mark ``gpu`` says is needed."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder with the four original MNIST archives. Tests that use it carry the mark ``mnist``."""
    if not MIRROR.startswith("file:"):
        pytest.skip("needs the original MNIST files: set STNCOURSE_MNIST_MIRROR to a file:// folder that holds them")
    return Path(urllib.request.url2pathname(urllib.parse.urlparse(MIRROR).path))


@pytest.fixture(params=["float64", "meta"])
def other_defaults(request):
    """torch's defaults for what is made without saying of which dtype, or where: others than usual."""
    torch.set_default_dtype(torch.float64 if request.param == "float64" else torch.float32)
    torch.set_default_device("meta" if request.param == "meta" else None)
    yield request.param
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.fixture(params=["Colab's", "installed"])
def run_with_ipywidgets(request):
    """Function: code, arguments -> runs it in a process of its own, with the ipywidgets of Colab, and with ours."""
    environment, version = dict(os.environ), importlib.metadata.version("ipywidgets")
    if request.param == "Colab's":
        version = "7.7.1"
        if not COLABS_IPYWIDGETS.is_dir():
            pytest.skip(f"no ipywidgets 7.7.1 in {COLABS_IPYWIDGETS}: `make test` puts it there")
        environment["PYTHONPATH"] = os.pathsep.join([str(COLABS_IPYWIDGETS), os.environ.get("PYTHONPATH", "")])

    def run(code, *arguments):
        code += "\nimport ipywidgets\nprint(ipywidgets.__version__)"
        assert run_python("-c", code, *arguments, env=environment).strip() == version

    return run
