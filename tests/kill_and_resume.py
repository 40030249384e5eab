"""A training run that is killed again and again, for test_checkpoints.py: a program of its own, because it forks.

python tests/kill_and_resume.py FOLDER SEED KILLS

It trains once without a stop (FOLDER/whole.safetensors), and once killed at random moments: by SIGKILL, by SIGKILL in
the middle of writing, by Ctrl-C (FOLDER/killed.safetensors). Prints how each of the attempts ended.

A moment is a number of calls of functions, not of seconds: it is the same on a slow or busy machine.
"""

import os
import random
import signal
import sys
from pathlib import Path

import torch

from stncourse import Recipe, STNClassifier, fit, load_digits

RECIPE = Recipe("killed", 6, 64, "adamw", schedule="onecycle", localization_factor=0.1, localization_until=0.6)


def shift(images, generator):
    """An augmentation that needs its generator's state."""
    return images.roll(int(torch.randint(-2, 3, (), generator=generator)), -1)


def train(path):
    digits = load_digits("train", source="offline")
    torch.manual_seed(1)
    model = STNClassifier()  # with dropout
    train, test = digits.subset(slice(640)), digits.subset(slice(640, 700))
    options = {"transform": shift, "probe": digits.images[:2], "probe_every": 3, "verbose": False}
    return fit(model, train, test, RECIPE, "cpu", seed=5, checkpoint=path, resume=True, **options)


def attempt(path, prepare):
    """Train in a forked process; how it ended."""
    child = os.fork()
    if not child:
        status = 1
        try:
            prepare()
            train(path)
            status = 0
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "finished", 130: "interrupted", -signal.SIGKILL: "killed"}.get(code, f"failed ({code})")


def calls_in(function):
    """How many functions, Python's and C's, are called while ``function()`` runs."""
    count = [0]

    def on_event(frame, event, argument):
        count[0] += event in ("call", "c_call")

    sys.setprofile(on_event)
    function()
    sys.setprofile(None)
    return count[0]


def signal_at_call(number, kind):
    """This process gets the signal when it calls a function for the ``number``-th time from here on."""
    left = [number]

    def on_event(frame, event, argument):
        left[0] -= event in ("call", "c_call")
        if left[0] <= 0:
            sys.setprofile(None)
            os.kill(os.getpid(), kind)

    sys.setprofile(on_event)


def die_while_writing(after):
    """The process dies while it writes its next file, or ``after`` that many more, with half of it on the disk."""
    real, count = os.replace, [after]

    def replace(source, target):
        count[0] -= 1
        if count[0] < 0:
            Path(source).write_bytes(Path(source).read_bytes()[:5000])
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)

    os.replace = replace


def main(folder, seed, kills):
    torch.set_num_threads(1)  # threads do not survive a fork
    chance = random.Random(seed)
    train(folder / "whole.safetensors")
    whole = calls_in(lambda: train(folder / "counted.safetensors"))  # the first one has imported what it needs
    path, ends = folder / "killed.safetensors", []
    for number in range(kills):
        kind = ("kill", "write", "interrupt")[number % 3]
        if kind == "write":
            after = chance.randrange(2)
            ends.append(attempt(path, lambda after=after: die_while_writing(after)))
        else:
            moment = int(chance.uniform(0.02, 0.15) * whole)
            what = signal.SIGKILL if kind == "kill" else signal.SIGINT
            ends.append(attempt(path, lambda moment=moment, what=what: signal_at_call(moment, what)))
    ends.append(attempt(path, lambda: None))
    print("\n".join(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
