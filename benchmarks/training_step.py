"""Where a training step's time goes, against the tutorial's step and against what the convolutions need.

python benchmarks/training_step.py            (on a CPU: one thread)
python benchmarks/training_step.py --device cuda

CPU milliseconds (on a GPU: wall) of a step on 64 digits, best of several rounds; the two networks, and the parts, take
turns, so that a busy moment of the machine hits all. The parts are measured each by itself, forward and backward, on
inputs like those they get in the network.
"""

import copy
from functools import partial

import torch
import torch.nn.functional as F
import tutorial
from side_by_side import best_of, line, start, what, where
from torch import nn

from stncourse import FAST_RECIPE, STNClassifier, load_digits, normalize
from stncourse.paper.networks import PRECISIONS, PaperNetwork
from stncourse.training.optimizer import make_optimizer
from stncourse.transformer.convolution import FirstConv2d

BATCH, ROUNDS, REPEAT = 64, 9, 10
STEPS, PARTS = (42, 7, 9, 6), (42, 8, 8, 6)  # the widths of the two tables


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


def whole_steps(model, images, labels):
    """By name: our training step, and those that it is compared with."""
    device = images.device
    frozen, ordinary = copy.deepcopy(model), with_ordinary_convolutions(copy.deepcopy(model))
    frozen.stn.localization.requires_grad_(False)
    networks = {"our step": model, "frozen": frozen, "ordinary": ordinary}
    for precision in PRECISIONS:
        for name, change in (("ordinary", with_ordinary_convolutions), ("ours", lambda paper: paper)):
            paper = change(PaperNetwork("ST-CNN Aff", precision=precision).to(device).train())
            networks[f"paper {name} {precision}"] = paper
    optimizers = {name: make_optimizer(network, FAST_RECIPE) for name, network in networks.items()}
    networks["tutorial"] = net = tutorial.Net().to(device).train()
    optimizers["tutorial"] = torch.optim.SGD(net.parameters(), lr=0.01)
    return {name: training_step(network, optimizers[name], images, labels) for name, network in networks.items()}


def parts_of(model, images):
    """The parts of a step, by name: each with inputs like those that it gets in the network."""
    stn = model.stn
    theta = stn.localization(images).detach().requires_grad_()
    grid = stn.grid_generator(theta, (28, 28)).detach().requires_grad_()
    warped = stn.sampler(images, grid).detach().requires_grad_()
    return {
        "localization": (stn.localization, images),
        "grid": (lambda theta: stn.grid_generator(theta, (28, 28)), theta),
        "sampler": (stn.sampler, images, grid),
        "classifier": (model.classifier, warped),
    }


def main():
    device = start(__doc__)
    digits = load_digits("train", source="offline").subset(slice(BATCH))
    images, labels = normalize(digits.images).to(device), digits.labels.to(device)
    model = STNClassifier(dropout=FAST_RECIPE.dropout).to(device).train()
    functions, parts = whole_steps(model, images, labels), parts_of(model, images)
    for name, (function, *inputs) in parts.items():
        functions[f"{name} forward"] = partial(function, *inputs)
        functions[name] = both_ways(function, *inputs)
    functions["optimizer"] = make_optimizer(model, FAST_RECIPE).step

    side = torch.randn(1024, 1024, device=device)
    functions["product"] = lambda: side @ side
    x, weight = torch.randn(BATCH, 64, 28, 28, device=device), torch.randn(64, 64, 3, 3, device=device)
    functions["convolution"] = lambda: F.conv2d(x, weight)
    best = best_of(ROUNDS, functions, REPEAT, device)
    print(f"{where(device)}; {what(device)} per step of {BATCH} digits, best of {ROUNDS}")
    report_steps(best)
    report_parts(best, list(parts))
    report_convolutions(best, convolution_flops(model, images))


def row(text, reference, milliseconds):
    cells = f"{milliseconds:.2f}", f"{1000 * BATCH / milliseconds:.0f}", f"{reference / milliseconds:.1f}×"
    print(line(STEPS, text, *cells))


def report_steps(best):
    print("\n" + line(STEPS, "step", "ms", "images/s", "ratio"))
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


def report_parts(best, parts):
    print("\n" + line(PARTS, "part of our step, nothing frozen", "forward", "backward", "share"))
    whole = best["our step"]
    for name in parts:
        forward, both = best[f"{name} forward"], best[name]
        print(line(PARTS, name, f"{forward:.2f}", f"{both - forward:.2f}", f"{both / whole:.0%}"))
    rest = whole - sum(best[name] for name in parts) - best["optimizer"]
    for text, part in (("optimizer", best["optimizer"]), ("all the rest (loss, zeroing, …)", rest)):
        print(line(PARTS, text, f"{part:.2f}", "", f"{part / whole:.0%}"))


def report_convolutions(best, flops):
    whole = best["our step"]
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
