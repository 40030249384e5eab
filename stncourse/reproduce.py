"""The paper's table 1, trained again: cells that can be stopped and resumed, their JSON, and the table."""

import json
import math
import time
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from importlib import resources
from statistics import fmean, stdev

import torch
import torch.nn.functional as F

from stncourse import _check
from stncourse._files import check_writable, replacing
from stncourse.checkpoints import save_tensors
from stncourse.data import Digits, normalize
from stncourse.device import resolve_device
from stncourse.distortions import KINDS, distort
from stncourse.models import load_weights
from stncourse.paper_models import PAPER_MODELS, PRECISIONS, PaperNetwork
from stncourse.training import Recipe, evaluate, fit

#: Error in %, as in the paper's table 1 (R, RTS, P, E) and its text (TC, where it does not say of which family).
PAPER = {
    "FCN": {"R": 2.1, "RTS": 5.2, "P": 3.1, "E": 3.2, "TC": 13.2},
    "CNN": {"R": 1.2, "RTS": 0.8, "P": 1.5, "E": 1.4, "TC": 3.5},
    "ST-FCN Aff": {"R": 1.2, "RTS": 0.8, "P": 1.5, "E": 2.7, "TC": 2.0},
    "ST-FCN Proj": {"R": 1.3, "RTS": 0.9, "P": 1.4, "E": 2.6},
    "ST-FCN TPS": {"R": 1.1, "RTS": 0.8, "P": 1.4, "E": 2.4},
    "ST-CNN Aff": {"R": 0.7, "RTS": 0.5, "P": 0.8, "E": 1.2, "TC": 1.7},
    "ST-CNN Proj": {"R": 0.8, "RTS": 0.6, "P": 0.8, "E": 1.3},
    "ST-CNN TPS": {"R": 0.7, "RTS": 0.5, "P": 0.8, "E": 1.1},
}
#: Steps of 256 digits each, for every net in the paper.
PAPER_STEPS, PAPER_BATCH = 150_000, 256
#: All cells, (model, distortion), the most telling first.
CELLS = tuple(
    (model, kind)
    for models in (("ST-CNN Aff", "CNN"), ("ST-CNN TPS", "ST-CNN Proj"), PAPER_MODELS)
    for kind in KINDS
    for model in models
    if models is not PAPER_MODELS or "FCN" in model
)
SPLITS = ("test", "validation")
_VALIDATION = 1 / 12  # the last 5,000 of MNIST's training digits
_TEST_SEED = 1234

_RECIPE = Recipe(
    "table1",
    batch_size=256,
    optimizer="adamw",
    learning_rate=0.003,
    localization_factor=0.3,
    weight_decay=0.01,
    schedule="onecycle",
    warm_up=0.15,
    dropout=0.3,
    label_smoothing=0.1,
)


@dataclass(frozen=True)
class Budget:
    """How much to spend on a cell. Every model gets the same on the same distortion."""

    name: str
    epochs: dict  #: distortion -> epochs
    cells: tuple  #: those that are trained unless others are asked for
    seeds: int  #: how many, unless asked otherwise
    batch_size: int = _RECIPE.batch_size
    chosen: str = ""  #: how the hyperparameters were chosen

    def recipe(self, kind):
        """The :class:`stncourse.Recipe` for a distortion."""
        return _RECIPE.but(name=f"table1 {self.name}", epochs=self.epochs[kind], batch_size=self.batch_size)


_CHOSEN = (
    "Batch size, learning rate and label smoothing were chosen on 10,000 held-out training digits with ST-CNN Aff on "
    "P, and the choice was better than the one before on RTS too. More weight decay, more dropout, augmentation, SGD "
    "with momentum and (on R) another rate of the localization network were tried and did worse, or hardly better. "
    "The rest was taken over from earlier trials with smaller networks. {} One recipe for all models."
)
#: Their names, for ``--budget``.
BUDGETS = {
    "quick": Budget(
        "quick",
        dict.fromkeys(KINDS, 3),
        (("CNN", "R"), ("ST-CNN Aff", "R")),
        1,
        batch_size=128,
        chosen=_CHOSEN.format("Epochs, and smaller batches: what a laptop does in minutes."),
    ),
    "standard": Budget(
        "standard",
        {"R": 40, "RTS": 63, "P": 40, "E": 16, "TC": 10},
        CELLS,
        3,
        chosen=_CHOSEN.format("Epochs: what one CPU core does within half an hour a cell."),
    ),
    "full": Budget(
        "full",
        dict.fromkeys(KINDS, 63),
        CELLS,
        3,
        chosen=_CHOSEN.format("Epochs: a tenth of the paper's steps, of the same batch size."),
    ),
}


def choose_cells(patterns):
    """The cells that patterns name, each once, in the order of the patterns.

    Args:
        patterns: like ``"CNN/R"``, with ``*`` for anything: ``"ST-CNN*/R"``, ``"*/TC"``; a model or a distortion alone
            means all its cells.

    Returns:
        list of (model, distortion).

    Raises:
        ValueError: a pattern names no cell.

    >>> choose_cells(["CNN/R", "ST-CNN*/P"])
    [('CNN', 'R'), ('ST-CNN Aff', 'P'), ('ST-CNN TPS', 'P'), ('ST-CNN Proj', 'P')]
    """
    chosen = []
    for pattern in patterns:
        fitting = [
            (model, kind)
            for model, kind in CELLS
            if any(fnmatchcase(name, pattern) for name in (f"{model}/{kind}", model, kind))
        ]
        if not fitting:
            names = ", ".join(PAPER_MODELS)
            raise ValueError(f"cells: expected MODEL/DISTORTION with {names} and {', '.join(KINDS)}, got {pattern!r}")
        chosen += fitting
    return list(dict.fromkeys(chosen))


class Distortion:
    """A transform for :func:`stncourse.fit`: fresh distortions of one kind for every batch."""

    def __init__(self, kind, digits):
        self.kind = kind
        self.spare = digits.images[:2]  # for the clutter of a last batch that is one single digit
        self.__qualname__ = f"Distortion {kind}"  # a checkpoint of another one is refused

    def __call__(self, images, generator):
        others = None
        if self.kind == "TC" and len(images) == 1:
            others = self.spare.to(images) / 255
        return distort(images, self.kind, generator, others).images


def distorted_test(digits, kind):
    """The digits to measure on: distorted once, the same way for all models and seeds."""
    images = distort(digits.images, kind, torch.Generator().manual_seed(_TEST_SEED)).images
    return Digits(images, digits.labels, digits.source)


def split_digits(train, test, measured_on):
    """What to train and what to measure on: hyperparameters are chosen without a look at the test digits.

    Args:
        measured_on: ``"test"``, or ``"validation"``: the last twelfth of the training digits, not trained on then.

    Returns:
        ``(train, measure)``, two Digits.
    """
    if _check.choice("measured_on", measured_on, SPLITS) == "test":
        return train, test
    last = len(train) - max(1, round(len(train) * _VALIDATION))
    return train.subset(slice(last)), train.subset(slice(last, None))


# A cell as a file


def cell_path(folder, model, kind):
    """Where a cell's JSON lies."""
    return _check.path("folder", folder) / f"{_slug(model, kind)}.json"


def _slug(model, kind):
    return f"{model.replace(' ', '-')}_{kind}".lower()


def read_cell(path):
    """Read a cell's JSON, and refuse what contradicts itself.

    Args:
        path: the file.

    Returns:
        dict: ``model``, ``distortion``, ``error`` (``mean``, ``std`` (None for one seed), ``seeds``, a list of errors
        in %), ``steps``, ``batch``, ``parameters``, ``seconds`` (of one run, the mean), ``hardware``, ``versions``,
        ``date``; and for whoever wants to know exactly ``budget``, ``recipe``, ``precision``, ``measured_on``,
        ``train_digits``, ``test_digits``, ``chosen`` and ``runs``, one dict per seed.

    Raises:
        FileNotFoundError: no such file. ValueError: it is not a whole and sound cell; the message says what is wrong.
    """
    path = _check.path("path", path)
    try:
        cell = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"path: expected a cell's JSON, {path.name} is none, or not a whole one ({error})") from error
    if problem := _problem(cell):
        raise ValueError(f"path: expected a cell's JSON, in {path.name} {problem}")
    return cell


_FIELDS = {
    "model": str,
    "distortion": str,
    "error": dict,
    "steps": int,
    "batch": int,
    "parameters": int,
    "seconds": float,
    "hardware": str,
    "versions": dict,
    "date": str,
    "budget": str,
    "recipe": dict,
    "precision": str,
    "measured_on": str,
    "train_digits": int,
    "test_digits": int,
    "chosen": str,
    "runs": list,
}


def _problem(cell):
    """What is wrong with a cell, in words; None if nothing is."""
    if not isinstance(cell, dict):
        return f"is {_check.describe(cell)}"
    for name, kind in _FIELDS.items():
        if name not in cell:
            return f"{name!r} is missing"
        if not isinstance(cell[name], kind) or isinstance(cell[name], bool):
            return f"{name!r} is {_check.describe(cell[name])}"
    if (cell["model"], cell["distortion"]) not in CELLS:
        return f"there is no cell {cell['model']!r} on {cell['distortion']!r}"
    for name in ("steps", "batch", "parameters", "train_digits", "test_digits"):
        if cell[name] < 1:
            return f"{name!r} is {cell[name]}"
    runs = cell["runs"]
    numbers = [(run.get("seed"), run.get("error"), run.get("seconds")) if isinstance(run, dict) else () for run in runs]
    sound = runs and all(
        len(row) == 3 and type(row[0]) is int and all(type(value) in (int, float) for value in row[1:])
        for row in numbers
    )
    if not sound or not all(0 <= error <= 100 and 0 <= seconds < math.inf for _, error, seconds in numbers):
        return "'runs' are not runs"
    if len({seed for seed, _, _ in numbers}) < len(runs):
        return "a seed comes twice"
    if cell["error"] != _summary(runs):
        return f"'error' is {cell['error']}, and its runs say {_summary(runs)}"
    return None


def _summary(runs):
    errors = [run["error"] for run in runs]
    return {
        "mean": round(fmean(errors), 4),
        "std": round(stdev(errors), 4) if len(errors) > 1 else None,
        "seeds": errors,
    }


def read_results(folder):
    """All cells in a folder.

    Returns:
        dict, (model, distortion) -> cell as in :func:`read_cell`.

    Raises:
        ValueError: a JSON file in it is no sound cell, or lies under another cell's name.
    """
    results = {}
    for path in sorted(_check.path("folder", folder).glob("*.json")):
        cell = read_cell(path)
        key = cell["model"], cell["distortion"]
        if path.name != cell_path(folder, *key).name:
            raise ValueError(f"path: expected a cell's JSON under its own name, {path.name} holds {key}")
        results[key] = cell
    return results


def load_table1():
    """The cells that were trained for the course, as they ship with it: (model, distortion) -> cell.

    How they were trained is in each cell; see :func:`stncourse.reproduce.read_cell`. Made by ``make table1``.

    >>> load_table1()["CNN", "R"]["measured_on"]
    'test'
    """
    with resources.as_file(resources.files("stncourse") / "assets" / "table1") as folder:
        return read_results(folder)


def load_transformer(model, kind):
    """The spatial transformer of a cell that ships with the course (seed 0), without the classifier behind it.

    Args:
        model, kind: for example ``"ST-CNN Aff"``, ``"RTS"``.

    Returns:
        :class:`stncourse.SpatialTransformer` in eval mode, on the CPU: normalised images -> what the classifier saw
        (on RTS and TC before it was averaged ×2).

    Raises:
        FileNotFoundError: that one does not ship.

    >>> load_transformer("ST-CNN Aff", "RTS").output_size
    (56, 56)
    """
    size = distort(torch.zeros(2, 1, 28, 28), kind).images.shape[-2:]
    network = PaperNetwork(model, tuple(size))
    with resources.as_file(resources.files("stncourse") / "assets" / "table1") as folder:
        load_weights(network.stn, cell_path(folder, model, kind).with_suffix(".stn.safetensors"))
    return network.stn.eval()


def _write_json(path, value):
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    with replacing(path, text=True) as file:
        file.write(text)


# Training


@dataclass(frozen=True)
class Job:
    """One run: a cell with one seed, and all that decides its result."""

    model: str
    kind: str
    seed: int
    budget: Budget
    precision: str
    measured_on: str

    @property
    def name(self):
        """For progress lines."""
        return f"{self.model} on {self.kind}, seed {self.seed}"

    def network(self, size):
        """The untrained network, for distorted images of this size."""
        torch.manual_seed(self.seed)
        return PaperNetwork(self.model, size, precision=self.precision)

    def same_cell(self, cell):
        """Check that a cell's earlier runs were made like this one, so that a mean over them means something."""
        own = {
            "budget": self.budget.name,
            "recipe": asdict(self.budget.recipe(self.kind)),
            "precision": self.precision,
            "measured_on": self.measured_on,
        }
        # A cell may be older than a setting that recipes have now: then it was made with that setting's default.
        there = cell | {"recipe": asdict(Recipe("")) | cell["recipe"]}
        for name, value in own.items():
            if there[name] != value:
                raise ValueError(
                    f"out: expected runs of {self.model} on {self.kind} with {name} {value!r}, those there have "
                    f"{there[name]!r}; give another folder, or remove them"
                )


def run_job(job, train, measure, device, folder, verbose=True):
    """Train one cell with one seed, measure it once, at the end, and write it into the cell's JSON.

    Args:
        job: :class:`Job`.
        train, measure: Digits, not distorted.
        device: where.
        folder: for JSON, checkpoint and the transformer's weights (of seed 0).
        verbose: progress lines.

    Returns:
        The cell, as written.

    Raises:
        KeyboardInterrupt: stopped; the checkpoint in ``folder`` holds the run, and the next call goes on with it.
        ValueError: what lies in ``folder`` is of another kind of run.
    """
    folder, recipe = _check.path("folder", folder), job.budget.recipe(job.kind)
    path = cell_path(folder, job.model, job.kind)
    if path.exists():
        job.same_cell(read_cell(path))
    measure = distorted_test(measure, job.kind)
    model = job.network(tuple(measure.images.shape[-2:]))
    checkpoint = folder / f"{path.stem}-{job.seed}-{job.precision}-{job.measured_on}.checkpoint"
    history = fit(
        model,
        train,
        None,
        recipe,
        device,
        seed=job.seed,
        transform=Distortion(job.kind, train),
        checkpoint=checkpoint,
        resume=True,
        verbose=verbose,
    )
    error = round(100 * (1 - evaluate(model, measure, device).accuracy), 4)
    info = history.info
    run = {
        "seed": job.seed,
        "error": error,
        "seconds": round(sum(history.column("seconds")), 1),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "train_loss": history.column("train_loss"),
        **{name: info[name] for name in ("hardware", "versions", "date")},
    }
    # Read again: a second process may have added its seed while this one trained.
    others = [other for other in read_cell(path)["runs"] if other["seed"] != job.seed] if path.exists() else []
    runs = sorted([*others, run], key=lambda run: run["seed"])
    cell = {
        "model": job.model,
        "distortion": job.kind,
        "error": _summary(runs),
        "steps": recipe.epochs * -(-len(train) // recipe.batch_size),
        "batch": recipe.batch_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(fmean(run["seconds"] for run in runs), 1),
        **{name: info[name] for name in ("hardware", "versions", "date")},
        "budget": job.budget.name,
        "recipe": asdict(recipe),
        "precision": job.precision,
        "measured_on": job.measured_on,
        "train_digits": len(train),
        "test_digits": len(measure),
        "chosen": job.budget.chosen,
        "runs": runs,
    }
    if model.stn is not None and job.seed == 0:
        facts = {name: cell[name] for name in ("model", "distortion", "steps", "date")} | {"error": error}
        save_tensors(path.with_suffix(".stn.safetensors"), model.stn.state_dict(), facts)
    _write_json(path, cell)
    checkpoint.unlink(missing_ok=True)
    return cell


def reproduce(
    train,
    test,
    out,
    cells=None,
    budget="quick",
    seeds=None,
    device="auto",
    precision="float32",
    measured_on="test",
    verbose=True,
):
    """Train cells of the paper's table one by one, with progress lines. What is there already is not trained again.

    Interrupted (Ctrl-C), it keeps what it has, and the next call with the same ``out`` goes on in the very step.

    Args:
        train, test: Digits, not distorted.
        out: folder for the results, made if it is not there.
        cells: list of (model, distortion); default: the budget's.
        budget: a name in ``BUDGETS``, or a :class:`Budget`.
        seeds: how many: 0, 1, …; default: the budget's. All cells get seed 0 before any gets seed 1.
        device: as in :func:`stncourse.device.resolve_device`.
        precision: of the classifiers' layers, as for :class:`stncourse.paper_models.PaperNetwork`.
        measured_on: ``"test"``, or ``"validation"`` for choosing hyperparameters.
        verbose: progress within a run too, not only between runs.

    Returns:
        dict, (model, distortion) -> cell, of all that ``out`` holds.

    Raises:
        KeyboardInterrupt: interrupted. TypeError, ValueError: an argument is not of the kind above, or ``out`` holds
            other runs. OSError: ``out`` cannot be written; said before the first run.
    """
    budget = budget if isinstance(budget, Budget) else BUDGETS[_check.choice("budget", budget, BUDGETS)]
    _check.choice("precision", precision, PRECISIONS)
    seeds = range(_check.positive_int("seeds", budget.seeds if seeds is None else seeds))
    device = resolve_device(device)
    folder = _made("out", out)
    train, measure = split_digits(train, test, measured_on)
    done = {key: {run["seed"] for run in cell["runs"]} for key, cell in read_results(folder).items()}
    jobs = [
        Job(*key, seed, budget, precision, measured_on)
        for seed in seeds
        for key in (budget.cells if cells is None else cells)
        if seed not in done.get(key, ())
    ]
    clock = _Clock(jobs, train, device)
    for number, job in enumerate(jobs):
        recipe = budget.recipe(job.kind)
        print(
            f"run {number + 1} of {len(jobs)}: {job.name}: {recipe.epochs} epochs, about {clock.left(number, 1)}; "
            f"all that is left: about {clock.left(number)}",
            flush=True,
        )
        start = time.perf_counter()
        cell = run_job(job, train, measure, device, folder, verbose)
        clock.took(number, time.perf_counter() - start)
        error = next(run["error"] for run in cell["runs"] if run["seed"] == job.seed)
        print(f"{job.name}: error {error:.2f} %", flush=True)
    return read_results(folder)


def _made(name, value):
    """A folder that is there and can be written into."""
    folder = _check.path(name, value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"{name}: expected a folder, {folder} cannot be made ({error.strerror or error})") from error
    check_writable(name, folder / "cell.json")
    return folder


class _Clock:
    """Estimates how long runs take: by a few steps of each kind, corrected by the runs that are done."""

    def __init__(self, jobs, train, device):
        self.estimates, self.real, self.expected = [], 0.0, 0.0
        steps = {}
        for job in jobs:
            key = job.model, job.kind
            if key not in steps:
                steps[key] = _seconds_per_step(job, train, device)
            recipe = job.budget.recipe(job.kind)
            self.estimates.append(steps[key] * recipe.epochs * -(-len(train) // recipe.batch_size))

    def left(self, number, count=None):
        """Time for ``count`` jobs from ``number`` on, in words."""
        factor = self.real / self.expected if self.expected else 1.0
        seconds = factor * sum(self.estimates[number:][:count])
        return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"

    def took(self, number, seconds):
        self.real += seconds
        self.expected += self.estimates[number]


def _seconds_per_step(job, train, device, steps=4):
    recipe = job.budget.recipe(job.kind)
    images = (train.images[: recipe.batch_size] / 255).to(device)
    labels = train.labels[: recipe.batch_size].to(device)
    transform, generator = Distortion(job.kind, train), torch.Generator().manual_seed(0)
    model = job.network(tuple(transform(images[:2], generator).shape[-2:])).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for step in range(steps + 1):
        if step == 1:  # the first is always slow
            start = time.perf_counter()
        optimizer.zero_grad()
        F.nll_loss(model(normalize(transform(images, generator))), labels).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / steps


# The table


def table(results):
    """The paper's table and ours, as text (Markdown): error in %, mean ± std over the seeds.

    Args:
        results: dict, (model, distortion) -> cell.

    Returns:
        str. A cell that was not run says so.

    >>> print(table({}).splitlines()[2])
    | FCN         | 2.1 / not run | 5.2 / not run | 3.1 / not run | 3.2 / not run | 13.2 / not run |
    """
    rows = [["paper / ours", *KINDS], ["---"] * (1 + len(KINDS))]
    for model in PAPER_MODELS:
        ours = [_ours(results.get((model, kind))) for kind in KINDS]
        rows.append([model, *(f"{PAPER[model].get(kind, '–')} / {o}" for kind, o in zip(KINDS, ours, strict=True))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def _ours(cell):
    if cell is None:
        return "not run"
    error = cell["error"]
    spread = "" if error["std"] is None else f" ± {error['std']:.2f}"
    return f"{error['mean']:.2f}{spread}"
