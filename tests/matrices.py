"""θ as matrices, for tests that put transforms one after the other and undo them."""

import torch


def square_matrix(theta):
    """θ as 3×3 matrices: an affine one gets its last row."""
    if theta.shape[1] == 3:
        return theta
    return torch.cat([theta, theta.new_tensor([[[0, 0, 1]]]).expand(len(theta), 1, 3)], 1)


def inverse(theta):
    """The affine θ that undoes this one."""
    return torch.linalg.inv(square_matrix(theta))[:, :2]
