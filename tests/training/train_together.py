"""One training in one process and in several, for test_distributed.py: a program of its own, because it forks.

python tests/training/train_together.py FOLDER

Writes FOLDER/said.json: the histories, and how the processes ended of which one was killed.
"""

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import Digits, Recipe, STNClassifier, distort, evaluate, fit, load_digits
from stncourse.training.distributed import ProcessLost, processes

PATIENCE = 600  # seconds, on a busy machine
# The last batch of an epoch has one digit: fewer than processes.
RECIPE = Recipe("together", epochs=3, batch_size=50, learning_rate=0.1, localization_factor=0.2, dropout=0.0)
ADAMW = RECIPE.but(
    optimizer="adamw", learning_rate=0.002, schedule="onecycle", localization_until=0.5, label_smoothing=0.1
)


class Turn:
    """An augmentation; in one process and at one call it is the end."""

    def __init__(self, fatal_call=None):
        self.fatal_call, self.calls = fatal_call, 0

    def __call__(self, images, generator):
        self.calls += 1
        if self.calls == self.fatal_call and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return distort(images, "R", generator).images


def train(device, recipe=RECIPE, checkpoint=None, fatal_call=None, model_seed=1, seed=5):
    digits = load_digits("train", source="offline")
    torch.manual_seed(model_seed)
    model = STNClassifier()
    train, test = digits.subset(slice(101)), digits.subset(slice(101, 172))
    options = {"transform": Turn(fatal_call), "probe": digits.images[:2], "probe_every": 1, "verbose": False}
    history = fit(
        model, train, test, recipe, device, seed=seed, checkpoint=checkpoint, resume=bool(checkpoint), **options
    )
    weights = [round(p.double().sum().item(), 4) for p in model.parameters()]
    return {"epochs": history.epochs, "theta": history.theta, "weights": weights, "after": list(evaluate(model, test))}


def normed(device, count, model_seed):
    """BatchNorm, and batches of 32 shared by all processes."""
    middle = nn.BatchNorm1d(8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), middle, nn.Linear(8, 10), nn.LogSoftmax(1))
    digits = load_digits("train", source="offline").subset(slice(count))
    fit(model, digits, None, RECIPE.but(epochs=1, batch_size=32), device, verbose=False)
    return int(middle.num_batches_tracked)


class TwoHeads(nn.Module):
    """Scores of the class, and how bright the image is, as a tuple."""

    def __init__(self):
        super().__init__()
        self.body, self.scores, self.brightness = nn.Linear(784, 16), nn.Linear(16, 10), nn.Linear(16, 1)

    def forward(self, images):
        features = self.body(images.flatten(1)).relu()
        return self.scores(features), self.brightness(features).flatten()


def two_losses(output, labels):
    return F.cross_entropy(output[0], labels[:, 0].long()) + F.mse_loss(output[1], labels[:, 1])


METRICS = {
    "right": lambda output, labels: output[0].argmax(1) == labels[:, 0],
    "off": lambda output, labels: (output[1] - labels[:, 1]).abs(),
    "label": lambda output, labels: labels[:, 1].double(),
}


def own(device, checkpoint=None, fails_after=None, model_seed=1):
    """A loss of one's own, metrics, labels (N, 2), and a function that is called after every epoch."""
    digits, called = load_digits("train", source="offline"), []
    bright = (digits.images.float().mean((1, 2, 3)) / 16).round()
    digits = Digits(digits.images, torch.stack([digits.labels, bright], 1), "offline")
    torch.manual_seed(model_seed)
    model = TwoHeads()

    def after(row, model):
        called.append(row["epoch"])
        evaluate(model, digits.subset(slice(3)), "cpu", loss=two_losses)  # of this process alone
        if row["epoch"] == fails_after:
            raise LookupError("mine")

    train, test = digits.subset(slice(101)), digits.subset(slice(101, 172))
    options = {"checkpoint": checkpoint, "resume": bool(checkpoint), "verbose": False, "after_epoch": after}
    recipe = RECIPE.but(learning_rate=0.02, localization_factor=1.0)
    try:
        history = fit(model, train, test, recipe, device, loss=two_losses, metrics=METRICS, **options)
    except (LookupError, RuntimeError) as error:
        return repr(error)
    weights = [round(p.double().sum().item(), 4) for p in model.parameters()]
    return {"epochs": history.epochs, "weights": weights, "called": called, "label": test.labels[:, 1].mean().item()}


def scores(device, count, model_seed):
    """A model that breaks the contract; where there are fewer digits than processes, some do not see it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    fit(model, load_digits("train", source="offline").subset(slice(count)), None, RECIPE, device, verbose=False)


def alone(**arguments):
    return train("cpu", **arguments)


def together(folder, size, **arguments):
    """The histories of all processes, and how they ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            signal.alarm(PATIENCE)  # the end of a process that hangs
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": str(size)}
            os.environ |= where
            os._exit(one_of_several(folder / f"{rank}.json", arguments))
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    results = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size) if codes[rank] != -9]
    for rank in range(size):
        (folder / f"{rank}.json").unlink(missing_ok=True)
    return codes, results


def one_of_several(path, arguments):
    try:
        with processes("cpu") as (group, device):
            try:
                # Only the first one's weights count.
                arguments |= {"model_seed": 1 if group.rank == 0 else 99}
                if arguments.pop("other_seeds", False):
                    arguments["seed"] = group.rank
                result, code = arguments.pop("task", train)(device, **arguments), 0
            except (ProcessLost, ValueError) as error:
                result, code = f"{type(error).__name__}: {error}", 3
            path.write_text(json.dumps(result))
    except BaseException:  # a forked process must not go on in its parent's code
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    return code


def main(folder):
    torch.set_num_threads(1)  # threads do not survive a fork
    said = {"alone": alone(), "alone, adamw": alone(recipe=ADAMW)}
    for size in (2, 3):
        said[f"{size}"] = together(folder, size)
    said["2, adamw"] = together(folder, 2, recipe=ADAMW)

    # Killed in the last of three epochs; then two processes, then one, go on.
    path = str(folder / "run.safetensors")
    said["killed"] = together(folder, 3, checkpoint=path, fatal_call=8)
    two = str(folder / "two.safetensors")
    Path(two).write_bytes(Path(path).read_bytes())
    said["resumed by 2"] = together(folder, 2, checkpoint=two)
    said["resumed by 1"] = alone(checkpoint=path)
    said["another recipe"] = together(folder, 2, checkpoint=two, recipe=RECIPE.but(learning_rate=0.3))
    said["other seeds"] = together(folder, 2, other_seeds=True)
    for count in (34, 36):
        said[f"normed {count}"] = together(folder, 2, task=normed, count=count)
    for count in (1, 40):
        said[f"scores {count}"] = together(folder, 2, task=scores, count=count)
    said["own, alone"] = own("cpu")
    for size in (2, 3):
        said[f"own {size}"] = together(folder, size, task=own)
    path = str(folder / "own.safetensors")
    said["own, after_epoch fails"] = together(folder, 2, task=own, checkpoint=path, fails_after=2)
    said["own, resumed"] = together(folder, 3, task=own, checkpoint=path)
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
