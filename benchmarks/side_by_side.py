"""What the benchmarks share: things that take turns on one clock, and how their tables are written."""

import argparse
import time

import torch

from stncourse.training.history import describe_hardware


def start(description):
    """The device that the command line asks for. From here on: one thread, and the same random numbers in every run."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = parser.parse_args().device
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return device


def now(device):
    """Milliseconds: on a CPU those that this process has had of it, for a GPU the wall's, once its work is done."""
    if device == "cpu":
        return 1000 * time.process_time()
    torch.cuda.synchronize()
    return 1000 * time.perf_counter()


def best_of(rounds, functions, repeat, device):
    """Milliseconds of a call of each function, by name: the best of several rounds in which all take turns.

    So a busy moment of the machine hits all of them. In a round each is called ``repeat`` times, and once before the
    first round, to warm up.
    """
    for function in functions.values():
        function()
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            begin = now(device)
            for _ in range(repeat):
                function()
            best[name] = min(best[name], (now(device) - begin) / repeat)
    return best


def where(device="cpu"):
    """The hardware and the torch that a table was made with."""
    return f"{describe_hardware(device)}, torch {torch.__version__}"


def what(device):
    """The name of what :func:`now` counts."""
    return "CPU ms" if device == "cpu" else "wall ms"


def line(widths, *cells):
    """A line of a table: its first cell flush left, the others flush right."""
    aligned = zip("<" + ">" * (len(cells) - 1), widths, cells, strict=True)
    return " ".join(f"{cell:{side}{width}}" for side, width, cell in aligned)
