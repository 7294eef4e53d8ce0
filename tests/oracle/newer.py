"""Newer networks that torchvision does not have, with the layer names that their weights are shared under."""

import torch
from models import conv, conv_bn, means
from torch import nn
from torch.nn import functional as F


class SeparableConv(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1, self.pointwise = conv(inputs, inputs, 3, groups=inputs), conv(inputs, outputs, 1)


class XceptionBlock(nn.Module):
    def __init__(self, inputs, outputs, reps, stride=1, first_relu=True, widen_last=False):
        super().__init__()
        widths = [inputs] * reps + [outputs] if widen_last else [inputs] + [outputs] * reps
        layers = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.ReLU(), SeparableConv(before, after), nn.BatchNorm2d(after)]
        self.rep = nn.Sequential(*layers[0 if first_relu else 1:])
        if stride > 1:
            self.rep.append(nn.MaxPool2d(3, stride, 1))
            self.skip, self.skipbn = conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
        self.changes = stride > 1

    def forward(self, x):
        return self.rep(x) + (self.skipbn(self.skip(x)) if self.changes else x)


class Xception(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64)
        self.block1 = XceptionBlock(64, 128, 2, 2, first_relu=False)
        self.block2, self.block3 = XceptionBlock(128, 256, 2, 2), XceptionBlock(256, 728, 2, 2)
        for i in range(4, 12):
            self.add_module(f"block{i}", XceptionBlock(728, 728, 3))
        self.block12 = XceptionBlock(728, 1024, 2, 2, widen_last=True)
        self.conv3, self.bn3 = SeparableConv(1024, 1536), nn.BatchNorm2d(1536)
        self.conv4, self.bn4 = SeparableConv(1536, 2048), nn.BatchNorm2d(2048)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        for i in range(1, 13):
            x = self.get_submodule(f"block{i}")(x)
        x = F.relu(self.bn4(self.conv4(F.relu(self.bn3(self.conv3(x))))))
        return self.fc(means(x))


class RepVGGBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, deploy):
        super().__init__()
        if deploy:
            self.rbr_reparam = conv(inputs, outputs, 3, stride, bias=True)
            return
        if stride == 1 and inputs == outputs:
            self.rbr_identity = nn.BatchNorm2d(outputs)
        for name, kernel in (("rbr_dense", 3), ("rbr_1x1", 1)):
            layers = {"conv": conv(inputs, outputs, kernel, stride), "bn": nn.BatchNorm2d(outputs)}
            self.add_module(name, nn.Sequential())
            for part, layer in layers.items():
                self.get_submodule(name).add_module(part, layer)

    def forward(self, x):
        return F.relu(sum(branch(x) for branch in self.children()))


class RepVGG(nn.Module):
    def __init__(self, depths, a, b, deploy=False):
        super().__init__()
        widths = [int(64 * a), int(128 * a), int(256 * a), int(512 * b)]
        inputs = min(64, widths[0])
        self.stage0 = RepVGGBlock(3, inputs, 2, deploy)
        for stage, (depth, width) in enumerate(zip(depths, widths)):
            blocks = nn.Sequential()
            for i in range(depth):
                blocks.append(RepVGGBlock(inputs, width, 1 if i else 2, deploy))
                inputs = width
            self.add_module(f"stage{stage + 1}", blocks)
        self.linear = nn.Linear(inputs, 1000)

    def forward(self, x):
        for stage in range(5):
            x = self.get_submodule(f"stage{stage}")(x)
        return self.linear(means(x))


class SplitAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        inner = max(channels * 2 // 4, 32)
        self.conv, self.bn0 = conv(channels, 2 * channels, 3, groups=2), nn.BatchNorm2d(2 * channels)
        self.fc1, self.bn1 = conv(channels, inner, 1, bias=True), nn.BatchNorm2d(inner)
        self.fc2 = conv(inner, 2 * channels, 1, bias=True)

    def forward(self, x):
        parts = torch.stack(F.relu(self.bn0(self.conv(x))).chunk(2, 1), 1)
        logits = self.fc2(F.relu(self.bn1(self.fc1(parts.sum(1).mean((2, 3), keepdim=True)))))
        return (parts * torch.stack(logits.chunk(2, 1), 1).softmax(1)).sum(1)


class ResNeStBlock(nn.Module):
    def __init__(self, inputs, channels, stride, first):
        super().__init__()
        self.conv1, self.bn1, self.conv2 = conv(inputs, channels, 1), nn.BatchNorm2d(channels), SplitAttention(channels)
        self.conv3, self.bn3 = conv(channels, 4 * channels, 1), nn.BatchNorm2d(4 * channels)
        self.pool, self.downsample = nn.Identity(), nn.Identity()
        if first:
            self.pool = nn.AvgPool2d(3, stride, 1)
            half = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(half, conv(inputs, 4 * channels, 1), nn.BatchNorm2d(4 * channels))

    def forward(self, x):
        y = self.pool(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNeSt(nn.Module):
    def __init__(self, depths, stem):
        super().__init__()
        first, second = conv_bn(3, stem, 3, 2), conv_bn(stem, stem, 3)
        self.conv1, self.bn1 = nn.Sequential(*first, *second, conv(stem, 2 * stem, 3)), nn.BatchNorm2d(2 * stem)
        inputs = 2 * stem
        for stage, depth in enumerate(depths):
            blocks, channels = nn.Sequential(), 64 * 2**stage
            for i in range(depth):
                blocks.append(ResNeStBlock(inputs, channels, 2 if stage and i == 0 else 1, i == 0))
                inputs = 4 * channels
            self.add_module(f"layer{stage + 1}", blocks)
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(4):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.fc(means(x))


class GlobalResponseNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.randn(1, 1, 1, channels))

    def forward(self, x):
        norm = x.norm(dim=(1, 2), keepdim=True)
        return x + self.gamma * x * (norm / (norm.mean(-1, keepdim=True) + 1e-6)) + self.beta


class ChannelsFirst(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtV2Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv, self.norm = conv(channels, channels, 7, groups=channels, bias=True), nn.LayerNorm(channels, 1e-6)
        self.pwconv1, self.grn = nn.Linear(channels, 4 * channels), GlobalResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x):
        y = F.gelu(self.pwconv1(self.norm(self.dwconv(x).permute(0, 2, 3, 1))))
        return x + self.pwconv2(self.grn(y)).permute(0, 3, 1, 2)


class ConvNeXtV2(nn.Module):
    def __init__(self, depths, width):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, width, 4, 4), ChannelsFirst(width, 1e-6))
        self.downsample_layers, self.stages = nn.ModuleList([stem]), nn.ModuleList()
        for stage, depth in enumerate(depths):
            channels = width * 2**stage
            if stage:
                norm = ChannelsFirst(channels // 2, 1e-6)
                self.downsample_layers.append(nn.Sequential(norm, nn.Conv2d(channels // 2, channels, 2, 2)))
            self.stages.append(nn.Sequential(*(ConvNeXtV2Block(channels) for _ in range(depth))))
        self.norm, self.head = nn.LayerNorm(channels, 1e-6), nn.Linear(channels, 1000)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
        return self.head(self.norm(means(x)))


class StdConv(nn.Conv2d):
    """Qiao et al. 2019."""

    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), keepdim=True, unbiased=False)
        return self._conv_forward(x, (self.weight - mean) / torch.sqrt(variance + 1e-8), None)


class BitBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        mid = channels // 4
        self.norm1, self.norm2, self.norm3 = (nn.GroupNorm(32, width) for width in (inputs, mid, mid))
        self.conv1, self.conv2, self.conv3 = StdConv(inputs, mid, 1), StdConv(mid, mid, 3, stride), StdConv(mid, channels, 1)
        if stride > 1 or inputs != channels:
            self.downsample = nn.ModuleDict({"conv": StdConv(inputs, channels, 1, stride)})

    def forward(self, x):
        y = F.relu(self.norm1(x))
        shortcut = self.downsample["conv"](y) if hasattr(self, "downsample") else x
        return self.conv3(F.relu(self.norm3(self.conv2(F.relu(self.norm2(self.conv1(y))))))) + shortcut


class BitResNet(nn.Module):
    def __init__(self, depths):
        super().__init__()
        self.stem, self.stages, inputs = nn.ModuleDict({"conv": StdConv(3, 64, 7, 2)}), nn.ModuleList(), 64
        for stage, depth in enumerate(depths):
            blocks, channels = nn.Sequential(), 256 * 2**stage
            for i in range(depth):
                blocks.append(BitBlock(inputs, channels, 2 if stage and i == 0 else 1))
                inputs = channels
            self.stages.append(nn.ModuleDict({"blocks": blocks}))
        self.norm, self.head = nn.GroupNorm(32, inputs), nn.ModuleDict({"fc": conv(inputs, 1000, 1, bias=True)})

    def forward(self, x):
        x = F.max_pool2d(F.pad(self.stem["conv"](x), (1, 1, 1, 1)), 3, 2)
        for stage in self.stages:
            x = stage["blocks"](x)
        return self.head["fc"](F.relu(self.norm(x)).mean((2, 3), keepdim=True)).flatten(1)
