"""For every pytest run here, the notebooks under nbval too."""

import os
import tempfile

# Progress in exercises is not kept in this user's folder.
_folder = tempfile.TemporaryDirectory(prefix="stncourse-progress-")
os.environ["STNCOURSE_PROGRESS_DIR"] = _folder.name
# Nobody looks at the notebooks that nbval runs.
os.environ["STNCOURSE_WATCH"] = "off"


def pytest_addoption(parser):
    parser.addoption(
        "--only-our-warnings",
        action="store_true",
        help="warnings are errors only where our own code is to blame: for old companions, which warn of each other",
    )


def pytest_configure(config):
    if config.getoption("only_our_warnings"):
        for line in ("default", "error:::(stncourse|test_|conftest)"):  # the last one that fits counts
            config.addinivalue_line("filterwarnings", line)
