"""Where a training step's time goes, against the tutorial's step and against what the convolutions need.

python benchmarks/training_step.py            (on a CPU: one thread)
python benchmarks/training_step.py --device cuda

CPU milliseconds (on a GPU: wall) of a step on 64 digits, best of several rounds; the two networks, and the parts, take
turns, so that a busy moment of the machine hits all. The parts are measured each by itself, forward and backward, on
inputs like those they get in the network.
"""

import argparse
import time

import torch
import torch.nn.functional as F
import tutorial
from torch import nn

from stncourse import FAST_RECIPE, STNClassifier, load_digits, normalize
from stncourse.convolution import FirstConv2d
from stncourse.paper_models import PRECISIONS, PaperNetwork
from stncourse.training import describe_hardware, make_optimizer

BATCH, ROUNDS, REPEAT = 64, 9, 10


class Stopwatch:
    """Milliseconds of functions, the best of several rounds in which they take turns."""

    def __init__(self, device):
        self.device = device
        self.functions, self.best = {}, {}

    def now(self):
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def add(self, name, function):
        self.functions[name], self.best[name] = function, float("inf")
        function()  # warm-up

    def run(self):
        for _ in range(ROUNDS):
            for name, function in self.functions.items():
                start = self.now()
                for _ in range(REPEAT):
                    function()
                self.best[name] = min(self.best[name], 1000 * (self.now() - start) / REPEAT)
        return self.best


def both_ways(function, *inputs):
    """A function that runs ``function`` forward, and backward to all that wants a gradient."""
    gradient = torch.randn_like(function(*inputs))
    return lambda: function(*inputs).backward(gradient)


def training_step(model, optimizer, images, labels):
    def step():
        optimizer.zero_grad()
        loss = F.nll_loss(model(images), labels)
        loss.item()
        loss.backward()
        optimizer.step()

    return step


def with_ordinary_convolutions(model):
    """The network without our own convolution."""
    for module in model.modules():
        if isinstance(module, FirstConv2d):
            module.__class__ = nn.Conv2d
    return model


def convolution_flops(model, images):
    """Floating-point operations of all convolutions of one step, forward and backward.

    Two per weight and output pixel, and as many again for each gradient that is needed: by the weights, and by the
    input, but for the localization network's first layer, whose input is data.
    """
    flops = []

    def count(module, inputs, output):
        forward = 2 * module.weight.numel() * output[0, 0].numel() * len(output)
        flops.append(forward * (3 if inputs[0].requires_grad else 2))

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d)]
    model(images)
    for hook in hooks:
        hook.remove()
    return sum(flops)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = parser.parse_args().device
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits("train", source="offline").subset(slice(BATCH))
    images, labels = normalize(digits.images).to(device), digits.labels.to(device)
    model, frozen, ordinary = (STNClassifier(dropout=FAST_RECIPE.dropout).to(device).train() for _ in range(3))
    frozen.stn.localization.requires_grad_(False)
    ordinary, net = with_ordinary_convolutions(ordinary), tutorial.Net().to(device).train()

    watch = Stopwatch(device)
    optimizer = make_optimizer(model, FAST_RECIPE)
    watch.add("our step", training_step(model, optimizer, images, labels))
    watch.add("frozen", training_step(frozen, make_optimizer(frozen, FAST_RECIPE), images, labels))
    watch.add("ordinary", training_step(ordinary, make_optimizer(ordinary, FAST_RECIPE), images, labels))
    watch.add("tutorial", training_step(net, torch.optim.SGD(net.parameters(), lr=0.01), images, labels))

    for precision in PRECISIONS:
        for name, change in (("ordinary", with_ordinary_convolutions), ("ours", lambda paper: paper)):
            paper = change(PaperNetwork("ST-CNN Aff", precision=precision).to(device).train())
            watch.add(
                f"paper {name} {precision}", training_step(paper, make_optimizer(paper, FAST_RECIPE), images, labels)
            )

    stn = model.stn
    theta = stn.localization(images).detach().requires_grad_()
    grid = stn.grid_generator(theta, (28, 28)).detach().requires_grad_()
    warped = stn.sampler(images, grid).detach().requires_grad_()
    parts = {
        "localization": (stn.localization, images),
        "grid": (lambda theta: stn.grid_generator(theta, (28, 28)), theta),
        "sampler": (stn.sampler, images, grid),
        "classifier": (model.classifier, warped),
    }
    for name, (function, *inputs) in parts.items():
        with torch.no_grad():
            watch.add(f"{name} forward", lambda function=function, inputs=inputs: function(*inputs))
        watch.add(name, both_ways(function, *inputs))
    watch.add("optimizer", optimizer.step)

    side = torch.randn(1024, 1024, device=device)
    watch.add("product", lambda: side @ side)
    x, weight = torch.randn(BATCH, 64, 28, 28, device=device), torch.randn(64, 64, 3, 3, device=device)
    watch.add("convolution", lambda: F.conv2d(x, weight))
    report(watch.run(), list(parts), convolution_flops(model, images), device)


def row(text, reference, milliseconds):
    print(f"{text:<42} {milliseconds:7.2f} {1000 * BATCH / milliseconds:9.0f} {reference / milliseconds:5.1f}×")


def report(best, parts, flops, device):
    where = describe_hardware(device)
    kind = "CPU" if device == "cpu" else "wall"
    print(f"{where}, torch {torch.__version__}; {kind} ms per step of {BATCH} digits, best of {ROUNDS}\n")
    print(f"{'step':<42} {'ms':>7} {'images/s':>9} {'ratio':>6}")
    names = {
        "tutorial": "the tutorial's (network and SGD)",
        "ordinary": "ours, with nn.Conv2d in all places",
        "our step": "ours (FAST_RECIPE, first half)",
        "frozen": "ours, localization network frozen",
    }
    for name, text in names.items():
        row(text, best["tutorial"], best[name])
    for precision in PRECISIONS:
        ordinary = best[f"paper ordinary {precision}"]
        row(f"the paper's ST-CNN Aff, {precision}, nn.Conv2d", ordinary, ordinary)
        row("  with our first convolutions", ordinary, best[f"paper ours {precision}"])

    print(f"\n{'part of our step, nothing frozen':<42} {'forward':>8} {'backward':>8} {'share':>6}")
    whole = best["our step"]
    for name in parts:
        forward, both = best[f"{name} forward"], best[name]
        print(f"{name:<42} {forward:8.2f} {both - forward:8.2f} {both / whole:6.0%}")
    rest = whole - sum(best[name] for name in parts) - best["optimizer"]
    print(f"{'optimizer':<42} {best['optimizer']:8.2f} {'':>8} {best['optimizer'] / whole:6.0%}")
    print(f"{'all the rest (loss, zeroing, …)':<42} {rest:8.2f} {'':>8} {rest / whole:6.0%}")

    product = 2 * 1024**3 / best["product"] / 1e6
    convolution = 2 * BATCH * 26 * 26 * 64 * 64 * 9 / best["convolution"] / 1e6
    print(f"\nThe convolutions of a step need {flops / 1e6:.0f} million floating-point operations.")
    for speed, text in ((product, "a 1024² matrix product"), (convolution, "a 64-channel 3×3 convolution")):
        least = flops / speed / 1e6
        print(
            f"At {speed:5.0f} GFLOP/s, as {text} runs here, that is {least:6.2f} ms: {least / whole:.0%} of our step."
        )


if __name__ == "__main__":
    main()
