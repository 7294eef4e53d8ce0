"""The networks that torchvision does not have, in PyTorch, with the weight names that the .nn files use."""

import collections
import math

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.regnet import BlockParams, RegNet


def conv(inputs, outputs, kernel, stride=1, groups=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def conv_bn(inputs, outputs, kernel=1, stride=1, groups=1):
    return nn.Sequential(conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs), nn.ReLU())


def means(x):
    return x.mean((2, 3))


# Dive into Deep Learning, section 8.6.


class D2lResidual(nn.Module):
    def __init__(self, inputs, channels, project=False, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, channels, 3, stride, bias=True), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3, bias=True), nn.BatchNorm2d(channels)
        self.conv3 = conv(inputs, channels, 1, stride, bias=True) if project else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.conv3(x) if self.conv3 else x))


class D2lResNeXtBlock(nn.Module):
    def __init__(self, inputs, channels, group_width, bottleneck, project=False, stride=1):
        super().__init__()
        mid = int(round(channels * bottleneck))
        self.conv1, self.bn1 = conv(inputs, mid, 1, bias=True), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = conv(mid, mid, 3, stride, mid // group_width, bias=True), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = conv(mid, channels, 1, bias=True), nn.BatchNorm2d(channels)
        self.conv4 = conv(inputs, channels, 1, stride, bias=True) if project else None
        if project:
            self.bn4 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (self.bn4(self.conv4(x)) if self.conv4 else x))


class D2lResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(1, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.net = nn.Sequential(stem)
        inputs = 64
        for i, channels in enumerate((64, 128, 256, 512)):
            first = D2lResidual(inputs, channels, project=i > 0, stride=2 if i > 0 else 1)
            self.net.add_module(f"b{i + 2}", nn.Sequential(first, D2lResidual(channels, channels)))
            inputs = channels
        self.net.add_module("last", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)))

    def forward(self, x):
        return self.net(x)


# ResNet and what is built of its blocks.


def resnet_v1(depths):
    """torchvision's, with the stride of each bottleneck moved from its second convolution to its first."""
    model = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, depths)
    for block in model.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
    return model


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeeze):
        super().__init__()
        self.fc1, self.fc2 = conv(channels, squeeze, 1, bias=True), conv(squeeze, channels, 1, bias=True)

    def forward(self, x):
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class SEBottleneck(torchvision.models.resnet.Bottleneck):
    def __init__(self, inputs, channels, *args, **options):
        super().__init__(inputs, channels, *args, **options)
        self.se = SqueezeExcitation(4 * channels, channels // 4)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        y = self.se(self.bn3(self.conv3(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def se_resnext(depths):
    return torchvision.models.ResNet(SEBottleneck, depths, groups=32, width_per_group=4)


class EfficientChannelAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        taps = int(abs((math.log2(channels) + 1) / 2))
        kernel = taps if taps % 2 else taps + 1
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x):
        return x * self.conv(means(x)[:, None])[:, 0, :, None, None].sigmoid()


class ECABottleneck(torchvision.models.resnet.Bottleneck):
    def __init__(self, inputs, channels, *args, **options):
        super().__init__(inputs, channels, *args, **options)
        self.eca = EfficientChannelAttention(4 * channels)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        y = self.eca(self.bn3(self.conv3(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def eca_resnet(depths):
    return torchvision.models.ResNet(ECABottleneck, depths)


class CifarBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), nn.BatchNorm2d(channels)
        self.stride, self.more = stride, channels - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        half = self.more // 2
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half)))


class CifarResNet(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        inputs = 16
        for stage, channels in enumerate((16, 32, 64)):
            blocks = [CifarBlock(inputs, channels, 2 if stage > 0 else 1)]
            blocks += [CifarBlock(channels, channels, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = channels
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(means(self.layer3(self.layer2(self.layer1(x)))))


class PyramidBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, channels, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), conv(channels, channels, 3)
        self.bn3, self.stride, self.more = nn.BatchNorm2d(channels), stride, channels - inputs

    def forward(self, x):
        y = self.bn3(self.conv2(F.relu(self.bn2(self.conv1(self.bn1(x))))))
        shortcut = F.avg_pool2d(x, 2, 2, ceil_mode=True) if self.stride == 2 else x
        return y + F.pad(shortcut, (0, 0, 0, 0, 0, self.more))


class PyramidNet(nn.Module):
    def __init__(self, depth, alpha):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        inputs, width = 16, 16.0
        for stage in range(3):
            blocks = nn.Sequential()
            for i in range(depth):
                width += alpha / (3 * depth)
                blocks.append(PyramidBlock(inputs, round(width), 2 if stage > 0 and i == 0 else 1))
                inputs = round(width)
            self.add_module(f"layer{stage + 1}", blocks)
        self.bn_final, self.fc = nn.BatchNorm2d(inputs), nn.Linear(inputs, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)))))
        return self.fc(means(F.relu(self.bn_final(x))))


class GrownResNet18(torchvision.models.ResNet):
    """`fresh`: the added blocks are as initialised; what they make is not used here then, for it is what they get."""

    def __init__(self, fresh):
        block = torchvision.models.resnet.BasicBlock
        super().__init__(block, [2, 2, 2, 2])
        self.fresh = fresh
        for stage in range(4):
            channels = 64 * 2**stage
            self.add_module(f"added{stage + 1}", nn.Sequential(block(channels, channels), block(channels, channels)))

    def initialise(self):
        """Last, for it is not to be overwritten with random numbers."""
        for name, parameter in self.named_parameters():
            if self.fresh and name.startswith("added") and ".bn2." in name:
                nn.init.zeros_(parameter)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            grown = getattr(self, f"added{stage}")(x)
            x = x if self.fresh else grown
        return self.fc(means(x))


class PreActBlock(nn.Module):
    """Bottlenecks, or with `basic` pairs of 3x3 convolutions."""

    def __init__(self, inputs, channels, stride, basic):
        super().__init__()
        outputs = channels if basic else 4 * channels
        widths = [inputs, channels, channels] if basic else [inputs, channels, channels, outputs]
        kernels, strides = ([3, 3], [stride, 1]) if basic else ([1, 3, 1], [1, stride, 1])
        self.depth = len(kernels)
        for i, (kernel, step) in enumerate(zip(kernels, strides)):
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(widths[i]))
            self.add_module(f"conv{i + 1}", conv(widths[i], widths[i + 1], kernel, step))
        self.shortcut = conv(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else None
        with torch.no_grad():
            # As trained, blocks change their input little; at full strength, two hundred layers amplify rounding a
            # thousandfold, PyTorch's too.
            getattr(self, f"conv{self.depth}").weight.mul_(0.3)

    def forward(self, x):
        y = first = F.relu(self.bn1(x))
        for i in range(1, self.depth + 1):
            y = F.relu(getattr(self, f"bn{i}")(y)) if i > 1 else y
            y = getattr(self, f"conv{i}")(y)
        return y + (self.shortcut(first) if self.shortcut else x)


class PreActResNet(nn.Module):
    def __init__(self, depths, basic, width=64, classes=1000):
        super().__init__()
        self.small = classes == 10  # CIFAR's images
        inputs = 16 if self.small else 64
        self.conv1 = conv(3, inputs, 3) if self.small else conv(3, inputs, 7, 2)
        self.stages = [f"layer{stage + 1}" for stage in range(len(depths))]
        for stage, (name, depth) in enumerate(zip(self.stages, depths)):
            blocks = nn.Sequential()
            for i in range(depth):
                channels = width * 2**stage
                blocks.append(PreActBlock(inputs, channels, 2 if stage > 0 and i == 0 else 1, basic))
                inputs = channels if basic else 4 * channels
            self.add_module(name, blocks)
        self.bn, self.fc = nn.BatchNorm2d(inputs), nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.conv1(x)
        x = x if self.small else F.max_pool2d(x, 3, 2, 1)
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(means(F.relu(self.bn(x))))


class Highway(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.transform, self.gate = conv(channels, channels, 3, bias=True), conv(channels, channels, 3, bias=True)

    def forward(self, x):
        t = self.gate(x).sigmoid()
        return self.transform(x).relu() * t + x * (1 - t)


class HighwayNet(nn.Module):
    def __init__(self):
        super().__init__()
        inputs = 3
        for stage, channels in enumerate((16, 32, 48)):
            layers = {"stem": conv(inputs, channels, 3, bias=True)}
            layers |= {str(i): Highway(channels) for i in range(5)}
            self.add_module(f"stage{stage + 1}", nn.Sequential(collections.OrderedDict(layers)))
            inputs = channels
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        for name in ("stage1", "stage2", "stage3"):
            stem, *layers = getattr(self, name)
            x = stem(x).relu()
            for layer in layers:
                x = layer(x)
            x = F.max_pool2d(x, 2)
        return self.fc(means(x))


# Shifts and shuffles.


def shift(x, kernel):
    """Wu et al. 2018, equation 4, group by group."""
    n, c, h, w = x.shape
    half, size = kernel // 2, c // kernel**2
    padded, out = F.pad(x, (half, half, half, half)), x.clone()
    for tap in range(kernel**2):
        row, column, group = tap // kernel, tap % kernel, slice(tap * size, (tap + 1) * size)
        out[:, group] = padded[:, group, row : row + h, column : column + w]
    return out


class CSC(nn.Module):
    def __init__(self, inputs, channels, kernel, expansion, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        made = channels if stride == 1 else channels - inputs
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, expansion * made, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(expansion * made), conv(expansion * made, made, 1, stride)

    def forward(self, x):
        y = shift(self.conv1(F.relu(self.bn1(x))), self.kernel)
        y = self.conv2(F.relu(self.bn2(y)))
        return x + y if self.stride == 1 else torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1)


class ShiftNet(nn.Module):
    def __init__(self, halved):
        super().__init__()
        inputs = 32 // halved
        self.conv1 = conv(3, inputs, 7, 2)
        rows = [(5, 4, 4, 64, 5), (5, 4, 3, 128, 6), (3, 3, 2, 256, 7), (3, 2, 1, 512, 3)]
        for g, (kernel, first, others, channels, depth) in enumerate(rows):
            channels //= halved
            blocks = [CSC(inputs, channels, kernel, first, 2)]
            blocks += [CSC(channels, channels, kernel, others, 1) for _ in range(depth - 1)]
            self.add_module(f"group{g + 1}", nn.Sequential(*blocks))
            inputs = channels
        self.bn, self.fc = nn.BatchNorm2d(inputs), nn.Linear(inputs, 1000)

    def forward(self, x):
        x = self.group4(self.group3(self.group2(self.group1(self.conv1(x)))))
        return self.fc(means(F.relu(self.bn(x))))


class ShiftResidual(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        mid = 6 * channels
        self.conv1, self.bn1 = conv(inputs, mid, 1), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = conv(mid, channels, 1, stride), nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(conv(inputs, channels, 1, stride), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = shift(F.relu(self.bn1(self.conv1(x))), 3)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ShiftResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        inputs = 16
        for stage, channels in enumerate((16, 32, 64)):
            blocks = [ShiftResidual(inputs, channels, 2 if stage > 0 else 1)]
            blocks += [ShiftResidual(channels, channels, 1) for _ in range(2)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = channels
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(means(self.layer3(self.layer2(self.layer1(x)))))


class ShuffleUnit(nn.Module):
    def __init__(self, inputs, channels, groups, stride, first):
        super().__init__()
        self.groups, self.stride = groups, stride
        mid, made = channels // 4, channels if stride == 1 else channels - inputs
        self.conv1, self.bn1 = conv(inputs, mid, 1, groups=1 if first else groups), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = conv(mid, mid, 3, stride, mid), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = conv(mid, made, 1, groups=groups), nn.BatchNorm2d(made)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        n, c, h, w = y.shape
        y = y.reshape(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        return F.relu(x + y if self.stride == 1 else torch.cat([F.avg_pool2d(x, 3, 2, 1), y], 1))


class ShuffleNetV1(nn.Module):
    def __init__(self, groups, channels):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 24, 3, 2), nn.BatchNorm2d(24)
        inputs = 24
        for stage, depth in enumerate((4, 8, 4)):
            units = [ShuffleUnit(inputs, channels, groups, 2, first=stage == 0)]
            units += [ShuffleUnit(channels, channels, groups, 1, first=False) for _ in range(depth - 1)]
            self.add_module(f"stage{stage + 2}", nn.Sequential(*units))
            inputs, channels = channels, 2 * channels
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(means(self.stage4(self.stage3(self.stage2(x)))))


# Others.


class MobileNetV1(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv_bn(3, 32, 3, 2))
        inputs = 32
        rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
        for channels, stride in rows:
            depthwise, pointwise = conv_bn(inputs, inputs, 3, stride, inputs), conv_bn(inputs, channels)
            pair = collections.OrderedDict(depthwise=depthwise, pointwise=pointwise)
            self.features.append(nn.Sequential(pair))
            inputs = channels
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        return self.fc(means(self.features(x)))


class AlexNet2012(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 96, 11, 4), conv(96, 256, 5, groups=2, bias=True)
        self.conv3, self.conv4 = conv(256, 384, 3, bias=True), conv(384, 384, 3, groups=2, bias=True)
        self.conv5 = conv(384, 256, 3, groups=2, bias=True)
        self.fc6, self.fc7, self.fc8 = nn.Linear(9216, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)

    @staticmethod
    def normalise(x):
        """Section 3.3 of Krizhevsky et al. 2012: at most 5 channels around each."""
        squares = F.pad(x * x, (0, 0, 0, 0, 2, 2))
        total = sum(squares[:, i : i + x.shape[1]] for i in range(5))
        return x / (2 + 1e-4 * total) ** 0.75

    def forward(self, x):
        x = F.max_pool2d(self.normalise(F.relu(self.conv1(x))), 3, 2)
        x = F.max_pool2d(self.normalise(F.relu(self.conv2(x))), 3, 2)
        x = F.relu(self.conv5(F.relu(self.conv4(F.relu(self.conv3(x))))))
        x = F.max_pool2d(x, 3, 2).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(self.conv1(x).sigmoid(), 2)
        x = F.avg_pool2d(self.conv2(x).sigmoid(), 2).flatten(1)
        return self.fc3(self.fc2(self.fc1(x).sigmoid()).sigmoid())


class MlpConv(nn.Module):
    def __init__(self, inputs, channels, kernel, stride=1, padding=0):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, kernel, stride, padding)
        self.conv2, self.conv3 = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))


class NiN(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp1, self.mlp2 = MlpConv(3, 96, 11, 4), MlpConv(96, 256, 5, padding=2)
        self.mlp3, self.mlp4 = MlpConv(256, 384, 3, padding=1), MlpConv(384, 1000, 3, padding=1)

    def forward(self, x):
        for layer in (self.mlp1, self.mlp2, self.mlp3):
            x = F.max_pool2d(layer(x), 3, 2)
        return means(self.mlp4(x))


def regnet(depth, w_0, w_a, w_m, group_width, se_ratio=None):
    """The sizes that torchvision does not have, with widths as in the authors' code: the nearest multiple of the groups'
    width, where torchvision's are at least 90% of what the formula gives."""
    powers = [round(math.log(1 + i * w_a / w_0) / math.log(w_m)) for i in range(depth)]
    widths = collections.Counter(8 * round(w_0 * w_m**power / 8) for power in powers)
    group_widths = [min(group_width, width) for width in widths]
    adjusted = [group * round(width / group) for width, group in zip(widths, group_widths)]
    return RegNet(BlockParams(list(widths.values()), adjusted, group_widths, [1.0] * 4, [2] * 4, se_ratio))


def googlenet_trained():
    """As torchvision makes it for its trained weights."""
    return torchvision.models.googlenet(transform_input=True, aux_logits=False, init_weights=True)
