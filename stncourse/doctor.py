"""``python -m stncourse doctor``: is this machine ready for the course, and if not, what to do."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

PACKAGES = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets", "safetensors", "jupyterlab")
_OPTIONAL = {"jupyterlab"}  # Colab and VS Code bring their own


def report(out=None):
    """Print one line per thing checked, and what to do about each that is wrong.

    Args:
        out: a text stream; default: standard output.

    Returns:
        int: 0 if everything the course needs works, else 1: an exit code for scripts.
    """
    problems = 0
    for name, check in CHECKS.items():
        try:
            good, text = check()
        except Exception as error:  # a doctor must not die of the disease it looks for
            good, text = False, f"{type(error).__name__}: {error}"
        problems += not good
        print(f"{'ok   ' if good else 'WRONG'}  {name:<9} {text}", file=out or sys.stdout)
    verdict = "Everything the course needs is here." if not problems else f"{problems} of {len(CHECKS)} checks failed."
    print(verdict, file=out or sys.stdout)
    return int(problems > 0)


def _python():
    good = sys.version_info >= (3, 11)
    return good, platform.python_version() + ("" if good else ": the course needs 3.11 or newer")


def _packages():
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing += [name] * (name not in _OPTIONAL)
    text = ", ".join(found)
    return not missing, text + (f"; missing: {', '.join(missing)}: pip install {' '.join(missing)}" if missing else "")


def _device():
    import torch

    from stncourse.device import resolve_device

    device = resolve_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return True, f"{device} ({name}); the CPU is enough for all of the course"


def _data():
    """Looks only: a doctor does not start a download."""
    from stncourse.data import SPLITS, cached, load_digits

    offline = [len(load_digits(split, source="offline")) for split in SPLITS]
    if all(cached(split) for split in SPLITS):
        return True, "MNIST is in the cache"
    text = f"MNIST is not in the cache: it is downloaded when first used; {sum(offline):,} digits are here offline"
    return True, text


def _cache():
    from stncourse.data import cache_folder

    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**20
    good = existing.is_dir() and os.access(existing, os.W_OK) and free > 100
    advice = "" if good else ": not writable or under 100 MB free; set STNCOURSE_DATA_DIR to another folder"
    return good, f"{_short(folder)} ({free / 1024:.0f} GB free)" + advice


def _widgets():
    import ipywidgets

    slider = ipywidgets.FloatSlider(value=0.5)
    seen = []
    slider.observe(lambda change: seen.append(change["new"]), names="value")
    slider.value = 0.25
    good = seen == [0.25]
    advice = "" if good else ": does not answer; pip install -U ipywidgets"
    return good, f"ipywidgets {ipywidgets.__version__}{advice}"


def _sampler():
    """Our grid and sampler against torch's, on one image."""
    import torch
    import torch.nn.functional as F

    from stncourse import affine_grid, affine_theta, bilinear_sample

    image = torch.rand(1, 1, 20, 40, generator=torch.Generator().manual_seed(0))
    theta = affine_theta(rotation=30, scale=0.8, translation=(0.2, -0.1))
    ours = bilinear_sample(image, affine_grid(theta, (20, 40)))
    theirs = F.grid_sample(image, F.affine_grid(theta, (1, 1, 20, 40), align_corners=False), align_corners=False)
    difference = (ours - theirs).abs().max().item()
    return difference < 1e-5, "grid and sampler agree with torch" if difference < 1e-5 else f"off by {difference:.2g}"


def _short(path):
    """The path as a person writes it, without the name of the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


CHECKS = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "data": _data,
    "cache": _cache,
    "widgets": _widgets,
    "sampler": _sampler,
}
