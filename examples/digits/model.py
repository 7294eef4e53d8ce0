"""The digits network in PyTorch; digits.nn says the same in Cardinal's language, with the same weight names."""

import torch
from torch import nn
from torch.nn import functional as F


class ResNeXtBlock(nn.Module):
    """The ResNeXt block of Dive into Deep Learning, 8.6.5: biased convolutions, `group_width` channels per group."""

    def __init__(self, in_channels, channels, group_width, bottleneck=1.0, project=False, stride=1):
        super().__init__()
        mid = round(channels * bottleneck)
        self.conv1 = nn.Conv2d(in_channels, mid, kernel_size=1)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, kernel_size=3, stride=stride, padding=1, groups=mid // group_width)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, channels, kernel_size=1)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv4 = None
        if project:
            self.conv4 = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride)
            self.bn4 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.conv4 is not None:
            x = self.bn4(self.conv4(x))
        return F.relu(y + x)


class Digits(nn.Module):
    """1x8x8 images, ink from 0 to 1 -> ten logits."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.layer1 = nn.Sequential(ResNeXtBlock(32, 32, group_width=4), ResNeXtBlock(32, 32, group_width=4))
        self.layer2 = nn.Sequential(
            ResNeXtBlock(32, 64, group_width=8, project=True, stride=2), ResNeXtBlock(64, 64, group_width=8)
        )
        self.layer3 = nn.Sequential(
            ResNeXtBlock(64, 128, group_width=16, bottleneck=0.5, project=True),
            ResNeXtBlock(128, 128, group_width=16, bottleneck=0.5),
        )
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(dim=(2, 3)))


def state(model):
    """The weights by name, without the training-only counters of batch norm."""
    return {k: v.contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
