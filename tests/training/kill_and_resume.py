"""A training run that is killed again and again, for test_checkpoints.py: a program of its own, because it forks.

python tests/training/kill_and_resume.py FOLDER SEED KILLS

It trains once without a stop (FOLDER/whole.safetensors), and once killed at random moments: by SIGKILL, by SIGKILL in
the middle of writing, by Ctrl-C (FOLDER/killed.safetensors). Prints how each of the attempts ended. The moments are
counted in steps, not in seconds: how fast the machine is does not matter.
"""

import functools
import os
import random
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it: once here, and not in every fork
from torch.optim.optimizer import register_optimizer_step_post_hook

from stncourse import Recipe, STNClassifier, fit, load_digits

RECIPE = Recipe("killed", 6, 64, "adamw", schedule="onecycle", localization_factor=0.1, localization_until=0.6)


def shift(images, generator):
    """An augmentation that needs its generator's state."""
    moments.passed("batch")
    return images.roll(int(torch.randint(-2, 3, (), generator=generator)), -1)


class Moments:
    """Sends this process a signal at the ``count``-th moment of a kind from now on."""

    def __init__(self):
        self.kind, self.count, self.number = None, 0, None

    def arm(self, kind, count, number):
        self.kind, self.count, self.number = kind, count, number
        register_optimizer_step_post_hook(lambda *_: self.passed("step"))

    def passed(self, kind):
        if kind == self.kind:
            self.count -= 1
            if self.count == 0:
                os.kill(os.getpid(), self.number)


moments = Moments()


def train(path):
    digits = load_digits("train", source="offline")
    torch.manual_seed(1)
    model = STNClassifier()  # with dropout
    train, test = digits.subset(slice(640)), digits.subset(slice(640, 700))
    options = {"transform": shift, "probe": digits.images[:2], "probe_every": 3, "verbose": False}
    return fit(model, train, test, RECIPE, "cpu", seed=5, checkpoint=path, resume=True, **options)


def attempt(path, prepare=lambda: None):
    """Train in a forked process. Returns its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        prepare()
        train(path)
        status = 0
    except KeyboardInterrupt:
        status = 130
    finally:
        os._exit(status)


def end_of(child):
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "finished", 130: "interrupted", -signal.SIGKILL: "killed"}.get(code, f"failed ({code})")


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
    assert end_of(attempt(folder / "whole.safetensors")) == "finished"
    path, ends = folder / "killed.safetensors", []
    for number in range(kills):
        kind = ("kill", "write", "interrupt")[number % 3]
        if kind == "write":
            prepare = functools.partial(die_while_writing, chance.randrange(2))
        else:
            when = chance.choice(("batch", "step")), chance.randint(1, 10)  # ten are an epoch
            prepare = functools.partial(moments.arm, *when, signal.SIGKILL if kind == "kill" else signal.SIGINT)
        ends.append(end_of(attempt(path, prepare)))
    ends.append(end_of(attempt(path)))
    print("\n".join(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
