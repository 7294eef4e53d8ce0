"""What stands beside torchvision's networks in the comparison: `REFERENCES` maps the name of a row of docs/networks.md to
its Reference."""

import dataclasses
from typing import Any, Callable

from models import AlexNet2012, CifarResNet, D2lResidual, D2lResNet18, D2lResNeXtBlock, GrownResNet18, HighwayNet, LeNet
from models import MobileNetV1, NiN, PreActResNet, PyramidNet, ShiftNet, ShiftResNet20, ShuffleNetV1, eca_resnet
from models import googlenet_trained, regnet, resnet_v1, se_resnext
from newer import BitResNet, ConvNeXtV2, RepVGG, ResNeSt, Xception
from relatives import GhostNet, cbam_resnet, res2net, sknet
from torch import nn


@dataclasses.dataclass
class Reference:
    make: Callable[[], nn.Module]
    network: str = ""  # of the .nn files; empty: the row's name
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the network's parameters
    shape: tuple[int, ...] = ()  # of an input that is not an image of the network's `size`
    odd_size: int | None = 97  # another height and width; None: the network has but one


REFERENCES = {
    "d2l_residual_block": Reference(lambda: D2lResidual(3, 3), shape=(4, 3, 6, 6)),
    "d2l_residual_block (projected)": Reference(
        lambda: D2lResidual(3, 6, True, 2), "d2l_residual_block",
        {"channels": 6, "project": "true", "stride": 2}, (4, 3, 6, 6)),
    "d2l_resnext_block": Reference(lambda: D2lResNeXtBlock(32, 32, 16, 1), shape=(4, 32, 96, 96)),
    "d2l_resnext_block (projected)": Reference(
        lambda: D2lResNeXtBlock(32, 64, 16, 1, True, 2), "d2l_resnext_block",
        {"channels": 64, "project": "true", "stride": 2}, (4, 32, 96, 96)),
    "d2l_resnet18": Reference(D2lResNet18),
    "resnet50 (v1)": Reference(lambda: resnet_v1([3, 4, 6, 3]), "resnet50", {"v1": "true"}),
    "resnet101 (v1)": Reference(lambda: resnet_v1([3, 4, 23, 3]), "resnet101", {"v1": "true"}),
    "resnet152 (v1)": Reference(lambda: resnet_v1([3, 8, 36, 3]), "resnet152", {"v1": "true"}),
    "se_resnext50_32x4d": Reference(lambda: se_resnext([3, 4, 6, 3])),
    "se_resnext101_32x4d": Reference(lambda: se_resnext([3, 4, 23, 3])),
    "eca_resnet50": Reference(lambda: eca_resnet([3, 4, 6, 3])),
    "eca_resnet101": Reference(lambda: eca_resnet([3, 4, 23, 3])),
    "cbam_resnet50": Reference(lambda: cbam_resnet([3, 4, 6, 3])),
    "sknet50": Reference(lambda: sknet([3, 4, 6, 3])),
    "res2net50_26w_4s": Reference(lambda: res2net([3, 4, 6, 3], 26)),
    "ghostnet": Reference(GhostNet),
    "xception": Reference(Xception),
    "repvgg_a0": Reference(lambda: RepVGG([2, 4, 14, 1], 0.75, 2.5)),
    "repvgg_a0 (deployed)": Reference(
        lambda: RepVGG([2, 4, 14, 1], 0.75, 2.5, True), "repvgg_a0", {"deploy": "true"}),
    "repvgg_b0": Reference(lambda: RepVGG([4, 6, 16, 1], 1, 2.5)),
    "resnest50": Reference(lambda: ResNeSt([3, 4, 6, 3], 32)),
    "resnest101": Reference(lambda: ResNeSt([3, 4, 23, 3], 64)),
    "convnext_v2_atto": Reference(lambda: ConvNeXtV2([2, 2, 6, 2], 40)),
    "convnext_v2_tiny": Reference(lambda: ConvNeXtV2([3, 3, 9, 3], 96)),
    "bit_resnet50": Reference(lambda: BitResNet([3, 4, 6, 3])),
    "cifar_resnet20": Reference(lambda: CifarResNet(3), odd_size=37),
    "cifar_resnet32": Reference(lambda: CifarResNet(5), odd_size=37),
    "cifar_resnet44": Reference(lambda: CifarResNet(7), odd_size=37),
    "cifar_resnet56": Reference(lambda: CifarResNet(9), odd_size=37),
    "cifar_resnet110": Reference(lambda: CifarResNet(18), odd_size=37),
    "pyramidnet110": Reference(lambda: PyramidNet(18, 48), odd_size=37),
    "grown_resnet18": Reference(lambda: GrownResNet18(False)),
    "grown_resnet18 (as initialised)": Reference(lambda: GrownResNet18(True), "grown_resnet18"),
    "preact_resnet18": Reference(lambda: PreActResNet([2, 2, 2, 2], basic=True)),
    "preact_resnet34": Reference(lambda: PreActResNet([3, 4, 6, 3], basic=True)),
    "preact_resnet50": Reference(lambda: PreActResNet([3, 4, 6, 3], basic=False)),
    "preact_resnet101": Reference(lambda: PreActResNet([3, 4, 23, 3], basic=False)),
    "preact_resnet152": Reference(lambda: PreActResNet([3, 8, 36, 3], basic=False)),
    "preact_resnet200": Reference(lambda: PreActResNet([3, 24, 36, 3], basic=False)),
    "preact_resnet164": Reference(lambda: PreActResNet([18] * 3, False, 16, 10), odd_size=37),
    "wide_resnet28_10": Reference(lambda: PreActResNet([4] * 3, True, 160, 10), odd_size=37),
    "googlenet (as trained)": Reference(googlenet_trained, "googlenet", {"transform": "true"}),
    "highway": Reference(HighwayNet, odd_size=37),
    "shiftnet_a": Reference(lambda: ShiftNet(1)),
    "shiftnet_b": Reference(lambda: ShiftNet(2)),
    "shift_resnet20": Reference(ShiftResNet20, odd_size=37),
    "shufflenet_v1": Reference(lambda: ShuffleNetV1(3, 240)),
    "shufflenet_v1 (1 group)": Reference(lambda: ShuffleNetV1(1, 144), "shufflenet_v1", {"groups": 1}),
    "shufflenet_v1 (8 groups)": Reference(lambda: ShuffleNetV1(8, 384), "shufflenet_v1", {"groups": 8}),
    "mobilenet_v1": Reference(MobileNetV1),
    "alexnet_2012": Reference(AlexNet2012, odd_size=None),
    "lenet": Reference(LeNet, odd_size=None),
    "nin": Reference(NiN),
    "regnet_x_200mf": Reference(lambda: regnet(13, 24, 36.44, 2.49, 8)),
    "regnet_x_400mf (paper)": Reference(
        lambda: regnet(22, 24, 24.48, 2.54, 16), "regnet_x_400mf", {"torchvision": "false"}),
    "regnet_x_600mf": Reference(lambda: regnet(16, 48, 36.97, 2.24, 24)),
    "regnet_x_4_0gf": Reference(lambda: regnet(23, 96, 38.65, 2.43, 40)),
    "regnet_x_6_4gf": Reference(lambda: regnet(17, 184, 60.83, 2.07, 56)),
    "regnet_x_12gf": Reference(lambda: regnet(19, 168, 73.36, 2.37, 112)),
    "regnet_y_200mf": Reference(lambda: regnet(13, 24, 36.44, 2.49, 8, 0.25)),
    "regnet_y_600mf": Reference(lambda: regnet(15, 48, 32.54, 2.32, 16, 0.25)),
    "regnet_y_800mf (paper)": Reference(
        lambda: regnet(14, 56, 38.84, 2.4, 16, 0.25), "regnet_y_800mf", {"torchvision": "false"}),
    "regnet_y_8gf (paper)": Reference(
        lambda: regnet(17, 192, 76.82, 2.19, 56, 0.25), "regnet_y_8gf", {"torchvision": "false"}),
    "regnet_y_4_0gf": Reference(lambda: regnet(22, 96, 31.41, 2.24, 64, 0.25)),
    "regnet_y_6_4gf": Reference(lambda: regnet(25, 112, 33.22, 2.27, 72, 0.25)),
    "regnet_y_12gf": Reference(lambda: regnet(19, 168, 73.36, 2.37, 112, 0.25)),
}
