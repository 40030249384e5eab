"""The classic tutorial's network and pipeline, written out plainly: what the benchmarks compare with.

https://docs.pytorch.org/tutorials/intermediate/spatial_transformer_tutorial.html, with two changes that leave the
computation as it is: ``align_corners=False`` is written out (it is the default, with a warning), and the DataLoader has
no worker processes, so that one process's clock counts all of the work.
"""

import torch
import torch.nn.functional as F
from torch import nn

from stncourse import load_digits
from stncourse.data.cache import cache_folder


class Net(nn.Module):
    """The tutorial's network."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)
        self.localization = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=7),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(True),
            nn.Conv2d(8, 10, kernel_size=5),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(True),
        )
        self.fc_loc = nn.Sequential(nn.Linear(10 * 3 * 3, 32), nn.ReLU(True), nn.Linear(32, 3 * 2))
        self.fc_loc[2].weight.data.zero_()
        self.fc_loc[2].bias.data.copy_(torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float))

    def stn(self, x):
        xs = self.localization(x)
        xs = xs.view(-1, 10 * 3 * 3)
        theta = self.fc_loc(xs)
        theta = theta.view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        x = self.stn(x)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = x.view(-1, 320)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


def loader(split):
    """The tutorial's DataLoader: torchvision's MNIST, each image through PIL, ToTensor and Normalize."""
    from torchvision import datasets, transforms

    load_digits(split, source="mnist")  # puts the files there
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    digits = datasets.MNIST(root=str(cache_folder()), train=split == "train", transform=steps)
    return torch.utils.data.DataLoader(digits, batch_size=64, shuffle=True)


def train_one_epoch(model, optimizer, batches):
    """The tutorial's loop, without its print-outs."""
    model.train()
    for data, target in batches:
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
