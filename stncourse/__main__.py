"""Command line: ``python -m stncourse train``, ``reproduce``, ``playground``, ``grade`` and ``doctor``."""

import os
import sys

# `python -m` looks for modules in the working folder first, but a student's argparse.py or torch.py that lies there is
# not to run here. os and sys are there from the start. The course's own folder, where it is not installed, stays.
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != os.path.dirname(os.path.dirname(__file__)):
    sys.path.pop(0)

import argparse
from pathlib import Path


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m stncourse", description="Spatial transformers from a shell.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    train = commands.add_parser(
        "train",
        help="train the tutorial's network on MNIST",
        description=_train.__doc__ + " In several processes: torchrun --nproc-per-node=N -m stncourse train …",
    )
    train.add_argument("--recipe", choices=("tutorial", "fast", "best"), default="tutorial")
    train.add_argument("--epochs", type=_positive, help="default: the recipe's")
    train.add_argument("--model", choices=("stn", "cnn"), default="stn", help="with or without a transformer")
    kinds = ("none", "R", "RTS", "P", "E", "TC")
    train.add_argument("--distortion", choices=kinds, default="none", help="distort all digits")
    train.add_argument("--source", choices=("auto", "mnist", "offline"), default="auto")
    train.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda, mps")
    train.add_argument("--seed", type=_seed, default=0)
    train.add_argument("--save", type=_writable, metavar="FILE.safetensors", help="write the trained weights")
    train.add_argument("--history", type=_writable, metavar="FILE.json", help="write loss and accuracy per epoch")
    train.add_argument(
        "--checkpoint", type=_writable, metavar="FILE.safetensors", help="save the run after every epoch"
    )
    train.add_argument("--resume", action="store_true", help="go on with the run in --checkpoint, if there is one")
    train.set_defaults(run=_train_together)

    reproduce = commands.add_parser(
        "reproduce", help="train the paper's networks, beside the paper's figures", description=_reproduce.__doc__
    )
    reproduce.add_argument("what", choices=("table1",))
    reproduce.add_argument(
        "--cells",
        nargs="+",
        type=_cells,
        metavar="CELL",
        help='MODEL/DISTORTION, * for anything: "CNN/R" "ST-CNN*/RTS"',
    )
    reproduce.add_argument("--budget", choices=("quick", "standard", "full"), default="quick")
    reproduce.add_argument("--seeds", type=_positive, metavar="N", help="seeds 0 to N - 1; default: the budget's")
    reproduce.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda, mps")
    reproduce.add_argument("--out", type=Path, default=Path("table1"), metavar="FOLDER", help="default: %(default)s")
    reproduce.add_argument("--source", choices=("auto", "mnist", "offline"), default="auto")
    reproduce.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the classifiers")
    reproduce.add_argument(
        "--measured-on",
        choices=("test", "validation"),
        default="test",
        help="validation: a twelfth of the training digits, for choosing hyperparameters",
    )
    reproduce.set_defaults(run=_reproduce)

    page = commands.add_parser("playground", help="write the θ playground as one HTML page", description=_page.__doc__)
    page.add_argument("file", type=_writable, metavar="FILE.html")
    page.set_defaults(run=_page)

    grade = commands.add_parser("grade", help="grade the exercises of a student's notebook", description=_grade.__doc__)
    grade.add_argument("notebook", type=Path, metavar="NOTEBOOK.ipynb")
    grade.add_argument("--time-limit", type=_positive, default=600, metavar="S", help="seconds for all of it (600)")
    grade.add_argument("--memory-limit", type=_positive, default=4096, metavar="MB", help="for its kernel (4096)")
    grade.add_argument("--report", type=_writable, metavar="NAME", help="writes NAME.report.json and .txt")
    grade.set_defaults(run=_grade)

    doctor = commands.add_parser("doctor", help="check this machine, and say what to do about what is wrong")
    doctor.set_defaults(run=_doctor)

    options = parser.parse_args(arguments)
    return options.run(options)


def _positive(text):
    return _whole_number(text, 1)


def _seed(text):
    return _whole_number(text, 0)


def _whole_number(text, minimum):
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least {minimum}, got {text!r}")
    return int(text)


def _cells(text):
    """The cells that a pattern names."""
    from stncourse.reproduce import choose_cells

    try:
        return choose_cells([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("cells: ")) from error


def _device(text):
    """A device that works here: better to know before the digits are loaded."""
    from stncourse.device import resolve_device

    try:
        return resolve_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("device: ")) from error


def _writable(text):
    """A path in a folder that exists: better to know before an hour of training than after."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {path.parent} does not exist")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder, not a file")
    return path


def _train_together(options):
    """Started by torchrun, train together with the other processes: the same losses, sooner."""
    from stncourse.distributed import ProcessLost, processes

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
    from stncourse.models import save_weights
    from stncourse.reproduce import Distortion, distorted_test
    from stncourse.training import evaluate, fit

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
    except (ValueError, FloatingPointError) as error:  # a checkpoint of another run, or a loss that is NaN
        print(error, file=sys.stderr)
        return 1
    if not first:  # all have the same model and history; one writes
        return 0
    history.info |= {"model": options.model, "distortion": options.distortion}
    if options.history:
        history.save(options.history)
    if options.save:
        accuracy = evaluate(model, test, options.device).accuracy
        save_weights(model, {**history.info, "recipe": history.recipe, "test_accuracy": accuracy}, options.save)
    return 0


def _reproduce(options):
    """Train cells of the paper's table 1, one JSON each. Ctrl-C stops it; the same command goes on."""
    import stncourse
    from stncourse.reproduce import reproduce, table

    cells = options.cells and list(dict.fromkeys(cell for named in options.cells for cell in named))
    try:
        train, test = (stncourse.load_digits(split, options.source) for split in ("train", "test"))
        choices = {name: getattr(options, name) for name in ("budget", "seeds", "device", "precision", "measured_on")}
        results = reproduce(train, test, options.out, cells, **choices)
    except KeyboardInterrupt as interruption:
        print(interruption or "interrupted", file=sys.stderr)
        return 130
    except (ValueError, FloatingPointError, OSError) as error:  # no digits, other runs in the folder, a full disk
        print(error, file=sys.stderr)
        return 1
    print(table(results))
    return 0


def _page(options):
    """Write the θ playground as one HTML page that needs no Python and no network: to hand out, or for the web."""
    from stncourse.data import load_digits
    from stncourse.playground import page

    text = page(load_digits("test", source="offline").images[:200])
    options.file.write_text(text, encoding="utf-8")
    print(f"{options.file}: {len(text) / 1000:.0f} kB. Open it in a browser.")
    return 0


def _grade(options):
    """Run a student's notebook in a fresh kernel, judge its exercises, and write a report (JSON and text)."""
    from stncourse.exercises._grade import main as grade

    return grade(options)


def _doctor(options):
    from stncourse.doctor import report

    return report()


if __name__ == "__main__":
    sys.exit(main())
