"""Command line: ``python -m stncourse train``, ``reproduce``, ``playground``, ``grade`` and ``doctor``."""

import sys

from stncourse._own_path import without_working_folder

# `python -m` looks for modules in the working folder first, and any Python does with an empty entry in PYTHONPATH; but
# a student's argparse.py or torch.py that lies there is not to run here. So this comes before all other imports.
sys.path[:] = without_working_folder(sys.path)

import argparse
import functools
import os
from pathlib import Path

from stncourse import __version__
from stncourse import _arguments as arguments
from stncourse.paper import EXPERIMENTS


def main(words=None):
    _say_all_letters()
    parser = argparse.ArgumentParser(prog="python -m stncourse", description="Spatial transformers from a shell.")
    parser.add_argument("--version", action="version", version=f"stncourse {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for add in (_add_train, _add_reproduce, _add_playground, _add_grade, _add_doctor):
        add(commands)
    try:
        options = parser.parse_args(words)
        return options.run(options)
    except KeyboardInterrupt as interruption:  # while torch is imported, say, which takes seconds
        print(str(interruption) or "interrupted", file=sys.stderr)
        return 130


def _add_train(commands):
    train = commands.add_parser(
        "train",
        help="train the tutorial's network on MNIST",
        description=_train.__doc__ + " In several processes: torchrun --nproc-per-node=N -m stncourse train …",
    )
    train.add_argument("--recipe", choices=("tutorial", "fast", "best"), default="tutorial")
    train.add_argument("--epochs", type=arguments.positive, help="default: the recipe's")
    train.add_argument("--model", choices=("stn", "cnn"), default="stn", help="with or without a transformer")
    train.add_argument("--distortion", type=arguments.distortion, default="none", help="R, RTS, P, E, TC or none")
    train.add_argument("--source", choices=("auto", "mnist", "offline"), default="auto")
    train.add_argument("--device", type=arguments.device, default="auto", help="auto, cpu, cuda, mps")
    train.add_argument("--seed", type=arguments.seed, default=0)
    train.add_argument("--save", type=arguments.writable, metavar="FILE.safetensors", help="write the trained weights")
    train.add_argument(
        "--history", type=arguments.writable, metavar="FILE.json", help="write loss and accuracy per epoch"
    )
    train.add_argument(
        "--checkpoint", type=arguments.writable, metavar="FILE.safetensors", help="save the run after every epoch"
    )
    train.add_argument("--resume", action="store_true", help="go on with the run in --checkpoint, if there is one")
    train.set_defaults(run=_train_together, parser=train)


def _add_reproduce(commands):
    reproduce = commands.add_parser(
        "reproduce", help="train the paper's networks, beside the paper's figures", description=_reproduce.__doc__
    )
    experiments = reproduce.add_subparsers(dest="experiment", required=True, metavar="experiment")
    for name, what in EXPERIMENTS.items():
        _add_experiment(
            experiments.add_parser(name, help=what, description=f"{_reproduce.__doc__} Here: {what}."), name
        )


def _add_experiment(reproduce, name):
    reproduce.add_argument(
        "--cells",
        nargs="+",
        type=functools.partial(arguments.cells, name),
        metavar="CELL",
        help='MODEL/COLUMN of the table, * for anything: "CNN/*" "ST-*"',
    )
    reproduce.add_argument("--budget", choices=("quick", "standard", "full"), default="quick")
    reproduce.add_argument(
        "--seeds", type=arguments.positive, metavar="N", help="seeds 0 to N - 1; default: the budget's"
    )
    reproduce.add_argument("--device", type=arguments.device, default="auto", help="auto, cpu, cuda, mps")
    reproduce.add_argument("--out", type=arguments.folder, default=name, metavar="FOLDER", help="default: %(default)s")
    reproduce.add_argument("--source", choices=("auto", "mnist", "offline"), default="auto")
    reproduce.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the classifiers")
    reproduce.add_argument(
        "--measured-on",
        choices=("test", "validation"),
        default="test",
        help="validation: a twelfth of the training digits, for choosing hyperparameters",
    )
    reproduce.set_defaults(run=_reproduce)


def _add_playground(commands):
    page = commands.add_parser("playground", help="write the θ playground as one HTML page", description=_page.__doc__)
    page.add_argument("file", type=arguments.writable, metavar="FILE.html")
    page.set_defaults(run=_page)


def _add_grade(commands):
    grade = commands.add_parser("grade", help="grade the exercises of students' notebooks", description=_grade.__doc__)
    grade.add_argument(
        "notebooks", nargs="+", type=Path, metavar="NOTEBOOK.ipynb", help="a notebook; or several, or folders of them"
    )
    grade.add_argument(
        "--time-limit", type=arguments.positive, default=600, metavar="S", help="seconds for all of it (600)"
    )
    grade.add_argument(
        "--memory-limit", type=arguments.positive, default=4096, metavar="MB", help="for its kernel (4096)"
    )
    grade.add_argument("--report", type=arguments.writable, metavar="NAME", help="writes NAME.report.json and .txt")
    pile = grade.add_argument_group("a pile of notebooks, graded several at a time; again, it goes on where it was")
    pile.add_argument("--out", type=Path, metavar="FOLDER", help="for the reports and grades.csv (grades)")
    pile.add_argument("--jobs", type=arguments.positive, metavar="N", help="how many at a time (one for each CPU)")
    pile.add_argument("--again", action="store_true", help="grade also what is graded already")
    grade.set_defaults(run=_grade, parser=grade)


def _add_doctor(commands):
    doctor = commands.add_parser("doctor", help="check this machine, and say what to do about what is wrong")
    doctor.set_defaults(run=_doctor)


def _say_all_letters():
    """A terminal or pipe of few letters (cp1252, ASCII) gets the others, θ or ✓, as escapes, and not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def _check_different(parser, files):
    """Two outputs in one file: the second would replace the first."""
    given = {}
    for name, path in files.items():
        if path is None or (path.exists() and not path.is_file()):  # a device takes any number
            continue
        if (other := given.setdefault(path.resolve(), name)) != name:
            parser.error(f"argument --{name}: expected another file than --{other}'s, got {path}")


def _train_together(options):
    """Started by torchrun, train together with the other processes: the same losses, sooner."""
    _check_different(options.parser, {name: getattr(options, name) for name in ("save", "history", "checkpoint")})
    from stncourse.training.distributed import ProcessLost, processes

    with processes(options.device) as (group, options.device):
        try:
            return _train(options, group.rank == 0)
        except ProcessLost as lost:
            print(f"process {group.rank} of {group.size}: {lost}", file=sys.stderr, flush=True)
            return 1


def _train(options, first):
    """Train on MNIST and print loss and accuracy per epoch."""
    import torch

    import stncourse
    from stncourse.data.distortions import Distortion, distorted_test
    from stncourse.networks.weights import save_weights
    from stncourse.training.evaluation import evaluate
    from stncourse.training.fit import fit

    recipes = stncourse.TUTORIAL_RECIPE, stncourse.FAST_RECIPE, stncourse.BEST_RECIPE
    recipe = {recipe.name: recipe for recipe in recipes}[options.recipe]
    recipe = recipe.but(epochs=options.epochs) if options.epochs else recipe
    try:
        digits = [stncourse.load_digits(split, options.source) for split in ("train", "test")]
    except stncourse.MNISTUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    train, test = digits
    transform = None
    if options.distortion != "none":
        # Fresh distortions every epoch to learn from; the same ones every time to measure on.
        transform, test = Distortion(options.distortion, train), distorted_test(test, options.distortion)
    torch.manual_seed(options.seed)
    size = tuple(test.images.shape[-2:])
    model = stncourse.STNClassifier(size) if options.model == "stn" else stncourse.DigitCNN(size)
    if first:
        print(f"{train} · {options.model} · distortion {options.distortion} · recipe {recipe.name}")
    saving = {"checkpoint": options.checkpoint, "resume": options.resume}
    try:
        history = fit(model, train, test, recipe, options.device, seed=options.seed, transform=transform, **saving)
    except KeyboardInterrupt as interruption:
        print(interruption, file=sys.stderr)
        return 130
    except (ValueError, FloatingPointError, OSError) as error:  # another run's checkpoint, a loss of NaN, a full disk
        print(error, file=sys.stderr)
        return 1
    if not first:  # all have the same model and history; one writes
        return 0
    history.info |= {"model": options.model, "distortion": options.distortion}

    def save():
        accuracy = evaluate(model, test, options.device).accuracy
        save_weights(model, {**history.info, "recipe": history.recipe, "test_accuracy": accuracy}, options.save)

    # The weights first; and whatever becomes of one file, the other is written.
    writers = {"save": save, "history": lambda: history.save(options.history)}
    return max(_written(name, getattr(options, name), write) for name, write in writers.items())


def _written(name, path, write):
    """Write one of the outputs, if it was asked for: 0; 1 when it cannot be written, and that is said."""
    try:
        if path is not None:
            write()
    except (OSError, ValueError) as error:
        print(f"--{name}: could not write {path} ({error})", file=sys.stderr)
        return 1
    return 0


def _reproduce(options):
    """Train cells of a table of the paper, one JSON each. Ctrl-C stops it; the same command goes on."""
    import stncourse
    from stncourse.paper import named
    from stncourse.paper.runs import reproduce

    experiment = named(options.experiment)
    cells = options.cells and list(dict.fromkeys(cell for named in options.cells for cell in named))
    try:
        train, test = (stncourse.load_digits(split, options.source) for split in ("train", "test"))
        choices = {name: getattr(options, name) for name in ("budget", "seeds", "device", "precision", "measured_on")}
        results = reproduce(experiment, train, test, options.out, cells, **choices)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "interrupted", file=sys.stderr)
        return 130
    except (ValueError, FloatingPointError, OSError) as error:  # no digits, other runs in the folder, a full disk
        print(error, file=sys.stderr)
        return 1
    print(experiment.paper.text(results))
    return 0


def _page(options):
    """Write the θ playground as one HTML page that needs no Python and no network: to hand out, or for the web."""
    from stncourse._files import replacing
    from stncourse.playground.page import page

    text = page()

    def write():
        with replacing(options.file, text=True) as file:
            file.write(text)
        print(f"{options.file}: {len(text.encode()) / 1000:.0f} kB. Open it in a browser.")

    return _written("file", options.file, write)


def _grade(options):
    """Run a student's notebook in a fresh kernel, judge its exercises, and write a report (JSON and text)."""
    from stncourse.exercises.engine.grade import main as grade

    of_a_pile = {"--out": options.out, "--jobs": options.jobs, "--again": options.again or None}
    if len(options.notebooks) > 1 or options.notebooks[0].is_dir():
        return _grade_pile(options)
    if given := [name for name, value in of_a_pile.items() if value is not None]:
        options.parser.error(f"argument {given[0]}: expected a folder or several notebooks, got one")
    (options.notebook,) = options.notebooks
    if options.report is None and options.notebook.is_file():
        try:
            arguments.writable(options.notebook.with_suffix(".report.json"))
        except argparse.ArgumentTypeError as error:
            options.parser.error(f"no report can be written beside the notebook, give --report NAME: {error}")
    return grade(options)


def _grade_pile(options):
    from stncourse.exercises.engine.pile import main as grade

    if options.report is not None:
        options.parser.error("argument --report: expected one notebook, got a pile, whose reports go into --out")
    options.out = options.out or Path("grades")
    options.jobs = options.jobs or os.cpu_count() or 1
    return grade(options)


def _doctor(options):
    from stncourse.doctor import report

    return report()


if __name__ == "__main__":
    sys.exit(main())
