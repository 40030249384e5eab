"""Fixtures that several test files share."""

import os
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

# Read here, once: tests that must not see this mirror take it out of the environment.
MIRROR = os.environ.get("STNCOURSE_MNIST_MIRROR", "")


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder with the four original MNIST archives. Tests that use it carry the mark ``mnist``."""
    if not MIRROR.startswith("file:"):
        pytest.skip("needs the original MNIST files: set STNCOURSE_MNIST_MIRROR to a file:// folder that holds them")
    return Path(urllib.request.url2pathname(urllib.parse.urlparse(MIRROR).path))
