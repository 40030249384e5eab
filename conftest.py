"""For every pytest run here, the notebooks under nbval too: progress in exercises is not kept in this user's folder."""

import os
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="stncourse-progress-")
os.environ["STNCOURSE_PROGRESS_DIR"] = _folder.name
