"""The chapter's networks as a user of PyTorch writes them ("Dive into Deep Learning", section 8.6)."""

import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import cases

warnings.filterwarnings("ignore", module="torch")  # that lazy layers are new, and that `same` may pad with a copy


class Residual(nn.Module):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        if use_1x1conv:
            self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides)
        else:
            self.conv3 = None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()

    def forward(self, X):
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        Y += X
        return F.relu(Y)


class ResNeXtBlock(nn.Module):
    def __init__(self, num_channels, groups, bot_mul, use_1x1conv=False, strides=1):
        super().__init__()
        bot_channels = int(round(num_channels * bot_mul))
        self.conv1 = nn.LazyConv2d(bot_channels, kernel_size=1, stride=1)
        self.conv2 = nn.LazyConv2d(
            bot_channels, kernel_size=3, stride=strides, padding=1, groups=bot_channels // groups
        )
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=1)
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()
        self.bn3 = nn.LazyBatchNorm2d()
        if use_1x1conv:
            self.conv4 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides)
            self.bn4 = nn.LazyBatchNorm2d()
        else:
            self.conv4 = None

    def forward(self, X):
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = F.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        if self.conv4:
            X = self.bn4(self.conv4(X))
        return F.relu(Y + X)


class ResNet(nn.Module):
    def __init__(self, arch, num_classes=10):
        super().__init__()
        self.net = nn.Sequential(self.b1(arch[0][1]))
        for i, b in enumerate(arch):
            self.net.add_module(f"b{i+2}", self.block(*b, first_block=(i == 0)))
        self.net.add_module(
            "last", nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(num_classes))
        )

    def b1(self, num_channels):
        return nn.Sequential(
            nn.LazyConv2d(num_channels, kernel_size=7, stride=2, padding=3),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )

    def block(self, num_residuals, num_channels, first_block=False):
        blk = []
        for i in range(num_residuals):
            if i == 0 and not first_block:
                blk.append(Residual(num_channels, use_1x1conv=True, strides=2))
            else:
                blk.append(Residual(num_channels))
        return nn.Sequential(*blk)

    def forward(self, X):
        return self.net(X)


class Tiny(nn.Module):
    """What PyTorch does in its own way."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=8)
        self.norm = nn.LayerNorm(16)
        self.conv2 = nn.Conv2d(16, 12, (5, 2), padding="same")
        self.bn2 = nn.BatchNorm2d(12)
        self.pool2 = nn.AvgPool2d(2, stride=1, padding=1)
        self.fc = nn.Linear(12 * 4 * 4, 10)

    def forward(self, x):
        x = self.pool1(F.gelu(self.bn1(self.conv1(x))))
        x = self.norm(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.pool2(self.bn2(self.conv2(F.leaky_relu(x))))
        return self.fc(x.flatten(1))


NETWORKS = {
    "residual": lambda: Residual(3),
    "residual_projected": lambda: Residual(6, use_1x1conv=True),
    "residual_halving": lambda: Residual(6, use_1x1conv=True, strides=2),
    "resnext": lambda: ResNeXtBlock(16, 4, 1),
    "resnext_projected": lambda: ResNeXtBlock(12, 8, 2, use_1x1conv=True),
    "resnext_halving": lambda: ResNeXtBlock(24, 4, 0.5, use_1x1conv=True, strides=2),
    "tiny": Tiny,
    "small_resnet": lambda: ResNet(cases.SMALL_RESNET),
    "resnet18": lambda: ResNet(cases.RESNET18),
}


def save(make, x, draw, stem):
    from safetensors.torch import save_file

    network = make().eval()
    network(torch.from_numpy(x))  # gives the lazy layers their shapes
    state = network.state_dict()
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            value.copy_(torch.from_numpy(draw(name, tuple(value.shape))))

    save_file(network.state_dict(), stem + ".safetensors")
    np.savez(stem + ".npz", **{name: value.numpy() for name, value in network.state_dict().items()})
    with torch.no_grad():
        return network.double()(torch.from_numpy(x).double()).numpy()


if __name__ == "__main__":
    cases.main(NETWORKS, channels_last=False, save=save)
