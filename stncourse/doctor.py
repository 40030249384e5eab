"""``python -m stncourse doctor``: is this machine ready for the course, and if not, what to do."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from pathlib import Path

PACKAGES = ("jupyterlab",)  # looked at besides those that the package's own metadata requires
_OPTIONAL = {"jupyterlab"}  # Colab and VS Code bring their own
OK, NOTE, WRONG = "ok", "note", "WRONG"  # a note is of something that the course can do without


def report(out=None):
    """Print one line per thing checked, and what to do about each that is wrong.

    Args:
        out: a text stream; default: standard output.

    Returns:
        int: 0 if everything the course needs works, else 1: an exit code for scripts. A note is no failure.
    """
    problems = 0
    for name, check in CHECKS.items():
        try:
            state, text = check()
        except Exception as error:  # a doctor must not die of the disease it looks for
            state, text = WRONG, f"{type(error).__name__}: {error}"
        problems += state == WRONG
        print(f"{state:<5}  {name:<9} {text}", file=out or sys.stdout)
    verdict = "Everything the course needs is here." if not problems else f"{problems} of {len(CHECKS)} checks failed."
    print(verdict, file=out or sys.stdout)
    return int(problems > 0)


def _python():
    good = sys.version_info >= (3, 11)
    return OK if good else WRONG, platform.python_version() + ("" if good else ": the course needs 3.11 or newer")


def _packages():
    found, notes, wrong = [], [], []
    try:
        required = _required()
    except importlib.metadata.PackageNotFoundError:
        return NOTE, "which ones are needed is not known, as stncourse is not installed: pip install -e . in its folder"
    for name, least in required.items():
        advice, wanted = notes if name in _OPTIONAL else wrong, f'"{name}>={least}"' if least else name
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong += [f"missing: {name}: pip install {wanted}"] * (name not in _OPTIONAL)
            continue
        found.append(f"{name} {version}")
        if _release(version) < _release(least):
            advice.append(f"too old: {name}: pip install -U {wanted}")
    return WRONG if wrong else NOTE if notes else OK, "; ".join([", ".join(found), *wrong, *notes])


def _required():
    """``{package: the oldest version that will do, or ""}``. The bounds are those of pyproject.toml, as installed."""
    required, extras = {}, {}
    for line in importlib.metadata.requires("stncourse") or ():
        requirement, _, marker = line.partition(";")
        name = re.match(r"[\w.-]+", requirement)[0]
        least = re.search(r">=\s*([\w.]+)", requirement)
        (extras if "extra" in marker else required)[name] = least[1] if least else ""
    return required | {name: extras.get(name, required.get(name, "")) for name in PACKAGES}


def _release(version):
    """The numbers of a version, to compare: 2.10.0+cpu -> (2, 10)."""
    numbers = re.match(r"[\d.]*", version)[0].strip(".")
    return tuple(map(int, re.sub(r"(\.0+)+$", "", numbers).split("."))) if numbers else ()


def _device():
    import torch

    from stncourse.device import resolve_device

    device = resolve_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return OK, f"{device} ({name}); the CPU is enough for all of the course"


def _data():
    """Looks only: a doctor does not start a download."""
    from stncourse.data.mnist import SPLITS, cached, load_digits

    offline = [len(load_digits(split, source="offline")) for split in SPLITS]
    if all(cached(split) for split in SPLITS):
        return OK, "MNIST is in the cache"
    text = f"MNIST is not in the cache: it is downloaded when first used; {sum(offline):,} digits are here offline"
    return OK, text


def _cache():
    """Where MNIST is kept. Without such a folder the course has its offline digits."""
    from stncourse.data.cache import cache_folder
    from stncourse.data.mnist import SPLITS, cached

    try:
        folder = cache_folder()
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free / 2**20
    except OSError as error:
        return NOTE, f"{error}; without it the offline digits are used"
    text = f"{_short(folder)} ({free / 1024:.0f} GB free)"
    if existing.is_dir() and os.access(existing, os.W_OK) and free > 100:
        return OK, text
    if all(cached(split) for split in SPLITS):
        return OK, f"{text}: not writable or nearly full, but MNIST is in it"
    return NOTE, f"{text}: not writable or under 100 MB free, so the offline digits are used; to have MNIST, " + (
        "set STNCOURSE_DATA_DIR to another folder"
    )


def _widgets():
    import ipywidgets

    slider = ipywidgets.FloatSlider(value=0.5)
    seen = []
    slider.observe(lambda change: seen.append(change["new"]), names="value")
    slider.value = 0.25
    good = seen == [0.25]
    advice = "" if good else ": does not answer; pip install -U ipywidgets"
    return OK if good else WRONG, f"ipywidgets {ipywidgets.__version__}{advice}"


def _sampler():
    """Our grid and sampler against torch's, on one image."""
    import torch
    import torch.nn.functional as F

    from stncourse import affine_grid, affine_theta, bilinear_sample

    generator = torch.Generator(device="cpu").manual_seed(0)
    image = torch.rand(1, 1, 20, 40, generator=generator, dtype=torch.float32, device="cpu")
    theta = affine_theta(rotation=torch.full((1,), 30.0, device="cpu"), scale=0.8, translation=(0.2, -0.1))
    ours = bilinear_sample(image, affine_grid(theta, (20, 40)))
    theirs = F.grid_sample(image, F.affine_grid(theta, (1, 1, 20, 40), align_corners=False), align_corners=False)
    difference = (ours - theirs).abs().max().item()
    if difference < 1e-5:
        return OK, "grid and sampler agree with torch"
    return WRONG, f"off by {difference:.2g}"


def _short(path):
    """The path as a person writes it, without the name of the home folder, if there is one."""
    try:
        home = Path.home()
    except RuntimeError:
        return str(path)
    return f"~/{path.relative_to(home)}" if home != Path(home.anchor) and path.is_relative_to(home) else str(path)


CHECKS = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "data": _data,
    "cache": _cache,
    "widgets": _widgets,
    "sampler": _sampler,
}
