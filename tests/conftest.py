"""Fixtures that several test files share."""

import os
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import torch

# Read here, once: tests that must not see this mirror take it out of the environment.
MIRROR = os.environ.get("STNCOURSE_MNIST_MIRROR", "")


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
