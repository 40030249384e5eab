"""Trains cells of the paper's experiments, in runs that can be stopped and resumed."""

import time
from dataclasses import asdict, dataclass
from statistics import fmean

import torch
import torch.nn.functional as F

from stncourse import _check
from stncourse._files import check_writable
from stncourse.data.batches import Batches
from stncourse.data.digits import Digits
from stncourse.device import resolve_device
from stncourse.paper.budgets import Budget
from stncourse.paper.cells import cell_path, read_cell, read_results, summary_of, write_json
from stncourse.paper.experiment import Experiment
from stncourse.paper.networks import PRECISIONS
from stncourse.paper.paired import pack
from stncourse.training.checkpoints import save_tensors
from stncourse.training.fit import fit
from stncourse.training.recipes import Recipe

SPLITS = ("test", "validation")
_VALIDATION = 1 / 12  # the last 5,000 of MNIST's training digits


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


# Training


@dataclass(frozen=True)
class Job:
    """One run: a cell with one seed, and all that decides its result."""

    experiment: Experiment
    model: str
    column: str
    seed: int
    budget: Budget
    precision: str
    measured_on: str

    @property
    def name(self):
        """For progress lines."""
        return f"{self.model} on {self.column}, seed {self.seed}"

    @property
    def recipe(self):
        """By which it is trained."""
        return self.budget.recipe(self.column)

    def network(self, data):
        """The untrained network."""
        torch.manual_seed(self.seed)
        return self.experiment.network(self.model, self.column, data, self.precision)

    def same_cell(self, cell, data=None):
        """Check that a cell's earlier runs were made like this one, so that a mean over them means something.

        The recipe's name says of which experiment they are. With ``data``, their digits have to be as many as its.
        """
        own = {
            "budget": self.budget.name,
            "recipe": asdict(self.recipe),
            "precision": self.precision,
            "measured_on": self.measured_on,
        }
        if data is not None:
            _check_same_digits({(self.model, self.column): cell}, {self.column: data})
        # A cell may be older than a setting that recipes have now: then it was made with that setting's default.
        there = cell | {"recipe": asdict(Recipe("")) | cell["recipe"]}
        for name, value in own.items():
            if there[name] != value:
                raise ValueError(
                    f"out: expected runs of {self.model} on {self.column} with {name} {value!r}, those there have "
                    f"{there[name]!r}; give another folder, or remove them"
                )


def run_job(job, data, device, folder, verbose=True):
    """Train one cell with one seed, measure it once, at the end, and write it into the cell's JSON.

    Args:
        job: :class:`Job`.
        data: the :class:`stncourse.paper.experiment.Data` of its column.
        device: where.
        folder: for JSON, checkpoint and the transformer's weights (of seed 0).
        verbose: progress lines.

    Returns:
        The cell, as written.

    Raises:
        KeyboardInterrupt: stopped; the checkpoint in ``folder`` holds the run, and the next call goes on with it.
        ValueError: what lies in ``folder`` is of another kind of run.
    """
    folder, experiment = _check.path("folder", folder), job.experiment
    path = cell_path(folder, job.model, job.column)
    if path.exists():
        job.same_cell(read_cell(path, experiment.paper), data)
    model = job.network(data)
    checkpoint = folder / f"{path.stem}-{job.seed}-{job.precision}-{job.measured_on}.checkpoint"
    history = fit(
        model,
        data.train,
        None,
        job.recipe,
        device,
        seed=job.seed,
        transform=data.transform,
        checkpoint=checkpoint,
        resume=True,
        verbose=verbose,
        **_loss(experiment),
    )
    run = _measured(job, model, data, device, history)
    # Read again: a second process may have added its seed while this one trained.
    others = read_cell(path, experiment.paper)["runs"] if path.exists() else []
    runs = sorted([*(o for o in others if o["seed"] != job.seed), run], key=lambda run: run["seed"])
    cell = _cell(job, model, data, runs)
    if getattr(model, "stn", None) is not None and job.seed == 0:
        facts = {name: cell[name] for name in ("model", experiment.paper.column, "steps", "date")}
        save_tensors(path.with_suffix(".stn.safetensors"), model.stn.state_dict(), facts | {"error": run["error"]})
    write_json(path, cell)
    checkpoint.unlink(missing_ok=True)
    return cell


def _loss(experiment):
    return {} if experiment.loss is None else {"loss": experiment.loss}


def _measured(job, model, data, device, history):
    """What a cell's JSON says of a run."""
    wrong = job.experiment.wrong(model, data.measure, device)
    run = {
        "seed": job.seed,
        "error": round(100 * wrong.double().mean().item(), 4),
        "seconds": round(sum(history.column("seconds")), 1),
        "cpu_seconds": round(sum(history.column("cpu_seconds")), 1),
        "train_loss": history.column("train_loss"),
        "wrong": pack(wrong),
        **{name: history.info[name] for name in ("hardware", "versions", "date")},
    }
    if job.experiment.facts is not None:
        run["facts"] = job.experiment.facts(model, data, device)
    return run


def _cell(job, model, data, runs):
    """A cell as it is written, of its runs; the last date is that of this one."""
    recipe, run = job.recipe, next(run for run in runs if run["seed"] == job.seed)
    return {
        "model": job.model,
        job.experiment.paper.column: job.column,
        "error": summary_of(runs),
        "steps": recipe.epochs * -(-len(data.train) // recipe.batch_size),
        "batch": recipe.batch_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(fmean(run["seconds"] for run in runs), 1),
        **{name: run[name] for name in ("hardware", "versions", "date")},
        "budget": job.budget.name,
        "recipe": asdict(recipe),
        "precision": job.precision,
        "measured_on": job.measured_on,
        "train_digits": len(data.train),
        "test_digits": len(data.measure),
        "chosen": job.budget.chosen,
        "runs": runs,
    }


def reproduce(
    experiment,
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
    """Train cells of an experiment one by one, with progress lines. What is there already is not trained again.

    Interrupted (Ctrl-C), it keeps what it has, and the next call with the same ``out`` goes on in the very step.

    Args:
        experiment: :class:`stncourse.paper.experiment.Experiment`.
        train, test: Digits, not distorted.
        out: folder for the results, made if it is not there.
        cells: list of (model, column); default: the budget's.
        budget: a name in the experiment's budgets, or a :class:`stncourse.paper.budgets.Budget`.
        seeds: how many: 0, 1, …; default: the budget's. All cells get seed 0 before any gets seed 1.
        device: as in :func:`stncourse.device.resolve_device`.
        precision: of the classifiers' layers, as for :class:`stncourse.paper.networks.PaperNetwork`.
        measured_on: ``"test"``, or ``"validation"`` for choosing hyperparameters.
        verbose: progress within a run too, not only between runs.

    Returns:
        dict, (model, column) -> cell, of all that ``out`` holds.

    Raises:
        KeyboardInterrupt: interrupted. TypeError, ValueError: an argument is not of the kind above, or ``out`` holds
            other runs. OSError: ``out`` cannot be written; said before the first run.
    """
    if not isinstance(budget, Budget):
        budget = experiment.budgets[_check.choice("budget", budget, experiment.budgets)]
    _check.choice("precision", precision, PRECISIONS)
    seeds = range(_check.positive_int("seeds", budget.seeds if seeds is None else seeds))
    device = resolve_device(device)
    folder = _made("out", out)
    train, measure = split_digits(train, test, measured_on)
    wanted, there = budget.cells if cells is None else cells, read_results(folder, experiment.paper)
    jobs = [Job(experiment, *key, seed, budget, precision, measured_on) for seed in seeds for key in wanted]
    for job in jobs:
        if (job.model, job.column) in there:
            job.same_cell(there[job.model, job.column])
    data = {column: experiment.data(train, measure, column) for column in dict.fromkeys(job.column for job in jobs)}
    _check_same_digits(there, data)
    done = {(*key, run["seed"]) for key, cell in there.items() for run in cell["runs"]}
    jobs = [job for job in jobs if (job.model, job.column, job.seed) not in done]
    clock = _Clock(jobs, data, device)
    for number, job in enumerate(jobs):
        print(
            f"run {number + 1} of {len(jobs)}: {job.name}: {job.recipe.epochs} epochs, about {clock.left(number, 1)}; "
            f"all that is left: about {clock.left(number)}",
            flush=True,
        )
        start = time.perf_counter()
        cell = run_job(job, data[job.column], device, folder, verbose)
        clock.took(number, time.perf_counter() - start)
        error = next(run["error"] for run in cell["runs"] if run["seed"] == job.seed)
        print(f"{job.name}: error {error:.2f} %", flush=True)
    return read_results(folder, experiment.paper)


def _check_same_digits(there, data):
    """All cells of a folder stand in one table, so they have to be of the same digits, also those not asked for."""
    for own in data.values():
        for (model, column), cell in there.items():
            for name, digits in (("train_digits", own.train), ("test_digits", own.measure)):
                if cell[name] != len(digits):
                    raise ValueError(
                        f"out: expected runs with {name} {len(digits)}, those of {model} on {column} have "
                        f"{cell[name]}; give another folder, or remove them"
                    )


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

    def __init__(self, jobs, data, device):
        self.estimates, self.real, self.expected = [], 0.0, 0.0
        steps = {}
        for job in jobs:
            key = job.model, job.column
            if key not in steps:
                steps[key] = _seconds_per_step(job, data[job.column], device)
            batches = -(-len(data[job.column].train) // job.recipe.batch_size)
            self.estimates.append(steps[key] * job.recipe.epochs * batches)

    def left(self, number, count=None):
        """Time for ``count`` jobs from ``number`` on, in words."""
        factor = self.real / self.expected if self.expected else 1.0
        seconds = factor * sum(self.estimates[number:][:count])
        return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"

    def took(self, number, seconds):
        self.real += seconds
        self.expected += self.estimates[number]


def _seconds_per_step(job, data, device, steps=4):
    loss = job.experiment.loss or F.nll_loss
    count = job.recipe.batch_size * (steps + 1)
    images, labels = data.train.images[:count], data.train.labels[:count]
    images = images.repeat(-(-count // len(images)), 1, 1, 1)[:count]
    some = Digits(images, labels.repeat(-(-count // len(labels)), *[1] * (labels.ndim - 1))[:count], data.train.source)
    model = job.network(data).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batches = Batches(some, job.recipe.batch_size, device=device, transform=data.transform)
    for step, (batch, answers) in enumerate(batches):
        if step == 1:  # the first is always slow
            start = time.perf_counter()
        optimizer.zero_grad()
        loss(model(batch), answers).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / steps
