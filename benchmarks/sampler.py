"""Our grid and sampler against torch's pair: CPU time side by side in one run, forward and backward.

python benchmarks/sampler.py
"""

import os
import time

import torch
import torch.nn.functional as F

from stncourse import Sampler, affine_grid

# (batch, side): from one digit to a training batch to one photograph
SHAPES = ((1, 28), (64, 28), (256, 28), (1, 1024))
ROUNDS = 9


def ours(images, theta):
    return SAMPLER(images, affine_grid(theta, images.shape))


def torchs(images, theta):
    return F.grid_sample(images, F.affine_grid(theta, images.shape, align_corners=False), align_corners=False)


def our_grid(images, theta):
    return affine_grid(theta, images.shape)


def torchs_grid(images, theta):
    return F.affine_grid(theta, images.shape, align_corners=False)


def milliseconds(function, images, theta, repeat):
    """CPU time of one call with its backward pass."""
    start = time.process_time()
    for _ in range(repeat):
        function(images, theta).sum().backward()
    return 1000 * (time.process_time() - start) / repeat


def compare(mine, reference, images, theta, repeat):
    """Best of several rounds, the two taking turns so that a busy moment of the machine hits both."""
    rounds = [
        (milliseconds(mine, images, theta, repeat), milliseconds(reference, images, theta, repeat))
        for _ in range(ROUNDS)
    ]
    return (min(column) for column in zip(*rounds, strict=True))


SAMPLER = Sampler()


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 of {os.cpu_count()} cores; CPU ms forward + backward, best of {ROUNDS}")
    print(f"{'images':>12}  {'grid':>8} {'torch':>8} {'ratio':>6}   {'grid + sampler':>14} {'torch':>8} {'ratio':>6}")
    for batch, side in SHAPES:
        images = torch.rand(batch, 1, side, side)
        theta = (torch.eye(2, 3) + 0.1 * torch.randn(batch, 2, 3)).requires_grad_()
        repeat = max(3, 40_000 // (batch * side * side // 20 + 1))
        grid, torch_grid = compare(our_grid, torchs_grid, images, theta, repeat)
        pair, torch_pair = compare(ours, torchs, images, theta, repeat)
        print(
            f"{batch:>5} × {side:>4}  {grid:8.3f} {torch_grid:8.3f} {torch_grid / grid:5.1f}×"
            f"   {pair:14.3f} {torch_pair:8.3f} {torch_pair / pair:5.1f}×"
        )


if __name__ == "__main__":
    main()
