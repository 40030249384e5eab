"""Our grid and sampler against torch's pair, kornia's, and a plain copy of the images, side by side in one run.

python benchmarks/sampler.py                    (CPU, one thread)
python benchmarks/sampler.py --device cuda

From one digit to a training batch to one photograph, to see how the cost grows with the number of images and with their
size. CPU milliseconds (on a GPU: wall), best of several rounds in which all take turns. kornia's column is
``homography_warp`` with the same θ as a 3×3 matrix; it asks the same question, on the ruler of ``align_corners=True``.
Both pairs sample with ``grid_sample``; its column is what that costs alone, on a grid that is there, and "at most" is
the ratio that our pair would reach if our grid and our checks cost nothing.
"""

from functools import partial

import torch
import torch.nn.functional as F
from side_by_side import best_of, start, what, where

from stncourse import Sampler, affine_grid

try:
    from kornia.geometry.transform import homography_warp
except ImportError:  # a development dependency
    homography_warp = None

# (batch, side)
SHAPES = ((1, 28), (16, 28), (64, 28), (256, 28), (1, 56), (1, 112), (1, 1024))
ROUNDS = 25
SAMPLER = Sampler()


def ours(images, theta):
    return SAMPLER(images, affine_grid(theta, images.shape))


def torchs(images, theta):
    return F.grid_sample(images, F.affine_grid(theta, images.shape, align_corners=False), align_corners=False)


def grid_sample_alone(images, theta):
    grid = F.affine_grid(theta, images.shape, align_corners=False).detach().requires_grad_()

    def call(images, theta):
        torch.autograd.grad(F.grid_sample(images, grid, align_corners=False).sum(), grid)

    return call


def kornias(images, theta):
    last = theta.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(theta), -1, -1)
    matrix = torch.cat([theta, last], 1)
    return homography_warp(images, matrix, tuple(images.shape[-2:]), align_corners=True, normalized_homography=True)


def our_grid(images, theta):
    return affine_grid(theta, images.shape)


def torchs_grid(images, theta):
    return F.affine_grid(theta, images.shape, align_corners=False)


def copy(images, theta):
    return images.clone()


def forward(function):
    def call(images, theta):
        with torch.no_grad():
            function(images, theta)

    return call


def both_ways(function):
    def call(images, theta):
        function(images, theta).sum().backward()

    return call


WAYS = {
    "copy": forward(copy),
    "forward": forward(ours),
    "grid": both_ways(our_grid),
    "torch's grid": both_ways(torchs_grid),
    "pair": both_ways(ours),
    "torch's pair": both_ways(torchs),
} | ({"kornia's pair": both_ways(kornias)} if homography_warp else {})


def measure(images, theta, device):
    """Milliseconds of each way, best of several rounds in which they take turns."""
    repeat = max(3, 2_000_000 // (images.numel() + 20_000))
    ways = WAYS | {"grid_sample": grid_sample_alone(images, theta)}
    return best_of(ROUNDS, {name: partial(way, images, theta) for name, way in ways.items()}, repeat, device)


def main():
    device = start(__doc__)
    results = {}
    for batch, side in SHAPES:
        images = torch.rand(batch, 1, side, side, device=device)
        theta = (torch.eye(2, 3) + 0.1 * torch.randn(batch, 2, 3)).to(device).requires_grad_()
        results[batch, side] = measure(images, theta, device)
    report(results, device)


def report(results, device):
    print(f"{where(device)}; {what(device)}, best of {ROUNDS}; ratio: theirs / ours")
    print("\nForward and backward:")
    kornia = "kornia's pair" in WAYS
    head = f"{'images':>12}  {'our grid':>9}{columns('torch')}   {'our pair':>9}{columns('torch')}"
    print(head + columns("kornia") * kornia + f"   {'grid_sample':>11} {'at most':>8}")
    for (batch, side), ms in results.items():
        line = f"{batch:>5} × {side:>4}²  {ms['grid']:9.3f}{against(ms, 'grid', 'torch')}"
        line += f"   {ms['pair']:9.3f}{against(ms, 'pair', 'torch')}"
        line += against(ms, "pair", "kornia") if kornia else ""
        at_most = ms["torch's pair"] / ms["grid_sample"]
        print(line + f"   {ms['grid_sample']:11.3f} {at_most:7.2f}×")
    print("\nForward alone, against a copy of the images, and how it grows:")
    print(f"{'images':>12}  {'our pair':>9} {'copy':>8} {'pair / copy':>12} {'ns per pixel':>13}")
    for (batch, side), ms in results.items():
        print(
            f"{batch:>5} × {side:>4}²  {ms['forward']:9.3f} {ms['copy']:8.4f} {ms['forward'] / ms['copy']:11.0f}×"
            f" {1e6 * ms['forward'] / (batch * side * side):13.1f}"
        )


def columns(name):
    return f" {name:>8} {'ratio':>7}"


def against(ms, way, name):
    theirs = ms[f"{name}'s {way}"]
    return f" {theirs:8.3f} {theirs / ms[way]:6.2f}×"


if __name__ == "__main__":
    main()
