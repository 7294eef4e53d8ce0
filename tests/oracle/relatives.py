"""More networks that torchvision does not have: relatives of ResNet that split, weigh or make up channels."""

import torch
from models import conv
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, ResNet


def shortcut(block, x):
    return x if block.downsample is None else block.downsample(x)


class ChannelAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc1, self.fc2 = conv(channels, channels // 16, 1), conv(channels // 16, channels, 1)

    def forward(self, x):
        pooled = (x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True))
        return x * sum(self.fc2(F.relu(self.fc1(y))) for y in pooled).sigmoid()


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv(2, 1, 7)

    def forward(self, x):
        return x * self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid()


class CBAMBottleneck(Bottleneck):
    def __init__(self, inputs, channels, *args, **options):
        super().__init__(inputs, channels, *args, **options)
        self.channel_attention, self.spatial_attention = ChannelAttention(4 * channels), SpatialAttention()

    def forward(self, x):
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))))
        return F.relu(self.spatial_attention(self.channel_attention(y)) + shortcut(self, x))


def cbam_resnet(depths):
    return ResNet(CBAMBottleneck, depths)


class SelectiveKernel(nn.Module):
    def __init__(self, channels, stride, groups, paths):
        super().__init__()
        self.paths = nn.ModuleList()
        for i in range(paths):
            layer = nn.Conv2d(channels, channels, 3, stride, i + 1, i + 1, groups, bias=False)
            self.paths.append(nn.ModuleDict({"conv": layer, "bn": nn.BatchNorm2d(channels)}))
        reduced = max(channels // 16, 32)
        self.fuse, self.fuse_bn = conv(channels, reduced, 1), nn.BatchNorm2d(reduced)
        self.select = conv(reduced, paths * channels, 1)

    def forward(self, x):
        branches = torch.stack([F.relu(path["bn"](path["conv"](x))) for path in self.paths], 1)
        z = F.relu(self.fuse_bn(self.fuse(branches.sum(1).mean((2, 3), keepdim=True))))
        logits = self.select(z).reshape(x.shape[0], len(self.paths), -1, 1, 1)
        return (branches * logits.softmax(1)).sum(1)


class SKUnit(Bottleneck):
    def __init__(self, inputs, channels, stride=1, downsample=None, groups=1, base_width=64, *args, **options):
        super().__init__(inputs, channels, stride, downsample, groups, base_width, *args, **options)
        self.sk = SelectiveKernel(channels * base_width // 64 * groups, stride, groups, 2)
        del self.conv2, self.bn2

    def forward(self, x):
        y = self.bn3(self.conv3(self.sk(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(y + shortcut(self, x))


def sknet(depths):
    return ResNet(SKUnit, depths, groups=32, width_per_group=4)


class Bottle2neck(Bottleneck):
    def __init__(self, inputs, channels, stride=1, downsample=None, groups=1, base_width=64, *args, **options):
        super().__init__(inputs, channels, stride, downsample, 1, 64, *args, **options)
        self.scale, self.width = 4, channels * base_width // 64
        self.conv1, self.bn1 = conv(inputs, 4 * self.width, 1), nn.BatchNorm2d(4 * self.width)
        self.convs = nn.ModuleList(conv(self.width, self.width, 3, stride) for _ in range(3))
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(3))
        self.conv3 = conv(4 * self.width, 4 * channels, 1)
        del self.conv2, self.bn2

    def forward(self, x):
        parts = F.relu(self.bn1(self.conv1(x))).split(self.width, 1)
        made = []
        for i in range(3):
            part = parts[i] + made[-1] if self.downsample is None and i > 0 else parts[i]
            made.append(F.relu(self.bns[i](self.convs[i](part))))
        last = parts[3] if self.downsample is None else F.avg_pool2d(parts[3], 3, self.stride, 1)
        return F.relu(self.bn3(self.conv3(torch.cat([*made, last], 1))) + shortcut(self, x))


def res2net(depths, width):
    return ResNet(Bottle2neck, depths, width_per_group=width)


def make_divisible(value, divisor):
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class GhostModule(nn.Module):
    def __init__(self, inputs, channels, active):
        super().__init__()
        primary = -(-channels // 2)
        act = nn.ReLU() if active else nn.Identity()
        self.channels = channels
        self.primary_conv = nn.Sequential(conv(inputs, primary, 1), nn.BatchNorm2d(primary), act)
        self.cheap_operation = nn.Sequential(conv(primary, primary, 3, groups=primary), nn.BatchNorm2d(primary), act)

    def forward(self, x):
        y = self.primary_conv(x)
        return torch.cat([y, self.cheap_operation(y)], 1)[:, : self.channels]


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        reduced = make_divisible(channels / 4, 4)
        self.conv_reduce, self.conv_expand = conv(channels, reduced, 1, bias=True), conv(reduced, channels, 1, bias=True)

    def forward(self, x):
        return x * F.hardsigmoid(self.conv_expand(F.relu(self.conv_reduce(x.mean((2, 3), keepdim=True)))))


class GhostBottleneck(nn.Module):
    def __init__(self, inputs, kernel, mid, channels, squeezed, stride):
        super().__init__()
        self.ghost1, self.ghost2 = GhostModule(inputs, mid, True), GhostModule(mid, channels, False)
        self.stride = stride
        if stride > 1:
            self.conv_dw, self.bn_dw = conv(mid, mid, kernel, stride, mid), nn.BatchNorm2d(mid)
        self.se = Gate(mid) if squeezed else nn.Identity()
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                conv(inputs, inputs, kernel, stride, inputs), nn.BatchNorm2d(inputs),
                conv(inputs, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.ghost1(x)
        y = self.bn_dw(self.conv_dw(y)) if self.stride > 1 else y
        return self.ghost2(self.se(y)) + self.shortcut(x)


class GhostNet(nn.Module):
    STAGES = [
        [(3, 16, 16, 0, 1)], [(3, 48, 24, 0, 2)], [(3, 72, 24, 0, 1)], [(5, 72, 40, 1, 2)], [(5, 120, 40, 1, 1)],
        [(3, 240, 80, 0, 2)],
        [(3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1)],
        [(5, 672, 160, 1, 2)],
        [(5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1)],
    ]

    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 16, 3, 2), nn.BatchNorm2d(16)
        self.blocks, inputs = nn.Sequential(), 16
        for rows in self.STAGES:
            stage = nn.Sequential()
            for row in rows:
                stage.append(GhostBottleneck(inputs, *row))
                inputs = row[2]
            self.blocks.append(stage)
        last = nn.Sequential()
        last.add_module("conv", conv(inputs, 960, 1))
        last.add_module("bn1", nn.BatchNorm2d(960))
        self.blocks.append(nn.Sequential(last))
        self.conv_head, self.classifier = conv(960, 1280, 1, bias=True), nn.Linear(1280, 1000)

    def forward(self, x):
        x = F.relu(self.blocks(F.relu(self.bn1(self.conv_stem(x)))))
        return self.classifier(F.relu(self.conv_head(x.mean((2, 3), keepdim=True))).flatten(1))
