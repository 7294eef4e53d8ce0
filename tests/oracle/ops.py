#!/usr/bin/env python3
"""Compares single ops, and the small patterns that passes rewrite, with PyTorch.

Exit code 0: all agree; 1: some do not; 77: PyTorch is not installed.
"""

import pathlib
import sys
import tempfile

from harness import TOLERANCE, WEIGHTS, Failure, arguments, compile_network, largest_error, reference
from harness import run_network, save_file, torch

from torch import nn
from torch.nn import functional as F


class Case(nn.Module):
    """A one-line network: its text in Cardinal's language, and the layers and the function that say the same."""

    def __init__(self, text, shape, layers, function=None):
        super().__init__()
        self.text = text
        self.shape = shape
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.function = function or (lambda m, x: m.op(x))

    def forward(self, x):
        return self.function(self, x)


def conv(text, shape, channels, kernel, **attributes):
    """A convolution alone; it has a bias unless the text says otherwise."""
    layer = nn.Conv2d(shape[1], channels, kernel, **attributes)
    return Case(f"op: conv({channels}, {text})", shape, {"op": layer})


def function(text, shape, f, **layers):
    return Case(text, shape, layers, f)


def convolutions():
    yield conv("kernel=1, bias=true", [1, 16, 7, 7], 16, 1)
    yield conv("kernel=1, bias=true", [1, 5, 9, 4], 7, 1)
    yield conv("kernel=1, stride=2", [1, 24, 9, 11], 40, 1, stride=2, bias=False)
    yield conv("kernel=3, bias=true", [1, 3, 13, 15], 16, 3, padding=1)
    yield conv("kernel=3, stride=2, bias=true", [2, 17, 15, 12], 33, 3, padding=1, stride=2)
    yield conv("kernel=3, padding=0", [1, 16, 5, 9], 32, 3, bias=False)
    yield conv("kernel=3, stride=3, padding=2", [1, 8, 10, 10], 16, 3, stride=3, padding=2, bias=False)
    yield conv("kernel=3, dilation=2", [1, 16, 11, 9], 16, 3, padding=2, dilation=2, bias=False)
    yield conv("kernel=3, dilation=3, padding=0, stride=2", [1, 4, 15, 14], 6, 3, dilation=3, stride=2, bias=False)
    yield conv("kernel=5, stride=2, bias=true", [1, 12, 12, 17], 20, 5, padding=2, stride=2)
    yield conv("kernel=7, stride=2, padding=3", [1, 3, 33, 31], 64, 7, stride=2, padding=3, bias=False)
    yield conv("kernel=[1, 3], bias=true", [1, 16, 6, 10], 16, (1, 3), padding=(0, 1))
    yield conv(
        "kernel=[5, 3], stride=[2, 1], padding=[1, 2]", [1, 8, 13, 8], 24, (5, 3),
        stride=(2, 1), padding=(1, 2), bias=False,
    )
    yield conv("kernel=4, stride=2, padding=1, bias=true", [1, 16, 14, 14], 16, 4, stride=2, padding=1)
    yield conv("kernel=2, stride=2, padding=0", [1, 32, 9, 9], 64, 2, stride=2, bias=False)
    yield conv("kernel=5, padding=2", [1, 16, 2, 3], 16, 5, padding=2, bias=False)
    yield conv("kernel=3", [1, 64, 1, 1], 48, 3, padding=1, bias=False)
    for width in (1, 2, 3, 4, 8, 16, 32, 64):
        groups = 6 if width == 3 else max(64 // width, 2)
        channels = width * groups
        stride = 2 if width in (2, 8, 64) else 1
        yield conv(
            f"kernel=3, groups={groups}, stride={stride}, bias=true",
            [1, channels, 9, 14], channels, 3, padding=1, groups=groups, stride=stride,
        )
    yield conv("kernel=3, groups=4", [1, 16, 8, 7], 48, 3, padding=1, groups=4, bias=False)
    yield conv("kernel=1, groups=8", [1, 64, 5, 5], 16, 1, groups=8, bias=False)
    yield conv("kernel=3, groups=16", [1, 16, 12, 5], 32, 3, padding=1, groups=16, bias=False)
    yield conv("kernel=5, groups=2, dilation=2", [2, 20, 12, 13], 12, 5, padding=4, dilation=2, groups=2, bias=False)


def others():
    image = [1, 20, 11, 14]
    yield Case("max_pool(3, stride=2, padding=1)", image, {"op": nn.MaxPool2d(3, 2, 1)})
    yield Case("max_pool(2)", image, {"op": nn.MaxPool2d(2)})
    yield Case("max_pool(3, stride=2, ceil_mode=true)", image, {"op": nn.MaxPool2d(3, 2, ceil_mode=True)})
    yield Case("max_pool(2, stride=2, padding=1, ceil_mode=true)", image, {"op": nn.MaxPool2d(2, 2, 1, ceil_mode=True)})
    yield Case("max_pool(3, stride=1, padding=1, dilation=2)", image, {"op": nn.MaxPool2d(3, 1, 1, dilation=2)})
    yield Case("max_pool([3, 2], stride=[1, 2])", image, {"op": nn.MaxPool2d((3, 2), (1, 2))})
    yield Case("avg_pool(3, stride=2, padding=1)", image, {"op": nn.AvgPool2d(3, 2, 1)})
    yield Case(
        "avg_pool(3, stride=2, padding=1, count_include_pad=false)", image,
        {"op": nn.AvgPool2d(3, 2, 1, count_include_pad=False)},
    )
    yield Case("avg_pool(2)", image, {"op": nn.AvgPool2d(2)})
    yield Case("avg_pool(3, stride=2, padding=1, ceil_mode=true)", image, {"op": nn.AvgPool2d(3, 2, 1, ceil_mode=True)})
    yield Case(
        "avg_pool(4, stride=3, padding=2, ceil_mode=true, count_include_pad=false)", [1, 16, 12, 13],
        {"op": nn.AvgPool2d(4, 3, 2, ceil_mode=True, count_include_pad=False)},
    )
    yield Case("global_avg_pool", [2, 37, 5, 6], {"op": nn.AdaptiveAvgPool2d(1)})
    yield Case("op: linear(10)", [1, 37], {"op": nn.Linear(37, 10)})
    yield Case("op: linear(130, bias=false)", [3, 64], {"op": nn.Linear(64, 130, bias=False)})
    yield Case("flatten |> op: linear(10)", [2, 5, 3, 7], {"op": nn.Linear(105, 10)}, lambda m, x: m.op(x.flatten(1)))
    yield Case("flatten(order=hwc) |> op: linear(10)", [2, 5, 3, 7], {"op": nn.Linear(105, 10)},
               lambda m, x: m.op(x.permute(0, 2, 3, 1).flatten(1)))
    for output in (1, 3, 6, 7, [7, 5], [1, 14], 20):
        yield Case(f"adaptive_avg_pool({output})", image, {"op": nn.AdaptiveAvgPool2d(output)})
        yield Case(f"adaptive_max_pool({output})", image, {"op": nn.AdaptiveMaxPool2d(output)})
    yield Case("global_max_pool", [2, 37, 5, 6], {"op": nn.AdaptiveMaxPool2d(1)})
    yield Case("max_pool([3, 5], stride=[2, 1], padding=[1, 2], dilation=[2, 1])", [1, 20, 11, 14],
               {"op": nn.MaxPool2d((3, 5), (2, 1), (1, 2), (2, 1))})
    yield function("max_pool(3, stride=2, padding=[0, 1, 1, 0])", image,
                   lambda m, x: F.max_pool2d(F.pad(x, (1, 0, 0, 1), value=-1e30), 3, 2))
    yield function("avg_pool(3, stride=2, padding=[0, 1, 1, 0])", image,
                   lambda m, x: F.avg_pool2d(F.pad(x, (1, 0, 0, 1)), 3, 2))
    yield function("avg_pool(3, stride=2, padding=[0, 1, 1, 0], count_include_pad=false)", image,
                   lambda m, x: F.avg_pool2d(F.pad(x, (1, 0, 0, 1)), 3, 2)
                   / F.avg_pool2d(F.pad(torch.ones_like(x), (1, 0, 0, 1)), 3, 2))
    yield function("avg_pool([3, 2], stride=[2, 1], padding=[1, 2], dilation=[2, 3])", image,
                   lambda m, x: F.conv2d(x, torch.full((20, 1, 3, 2), 1 / 6, dtype=x.dtype), stride=(2, 1),
                                         padding=(1, 2), dilation=(2, 3), groups=20))
    yield function("pad([1, 2, 3, 0])", image, lambda m, x: F.pad(x, (2, 0, 1, 3)))
    yield function("pad([1, -2, -3, 4], value=-1.5)", image, lambda m, x: F.pad(x, (-2, 4, 1, -3), value=-1.5))
    yield function("pad([1, 0, 0, 1]) |> a: conv(24, kernel=3, stride=2, padding=1)", image,
                   lambda m, x: m.a(F.pad(x, (0, 1, 1, 0))), a=nn.Conv2d(20, 24, 3, 2, 1, bias=False))
    yield function("relu |> pad(1) |> max_pool(3, stride=2)", image,
                   lambda m, x: F.max_pool2d(F.pad(F.relu(x), (1, 1, 1, 1)), 3, 2))
    yield Case("log_softmax", [2, 10], {"op": nn.LogSoftmax(1)})
    yield Case("log_softmax", [1, 21, 5, 3], {"op": nn.LogSoftmax(1)})
    yield Case("op: prelu", image, {"op": nn.PReLU(20, 0.3)})
    yield Case("op: prelu(shared=true)", [2, 21], {"op": nn.PReLU()})
    yield function("a: conv(40, kernel=3, bias=true) |> n: batch_norm |> p: prelu", image,
                   lambda m, x: m.p(m.n(m.a(x))), a=nn.Conv2d(20, 40, 3, padding=1), n=nn.BatchNorm2d(40), p=nn.PReLU(40))
    yield Case("softmax", [2, 10], {"op": nn.Softmax(1)})
    yield Case("softmax", [1, 21, 5, 3], {"op": nn.Softmax(1)})
    yield Case("op: batch_norm", image, {"op": nn.BatchNorm2d(20)})
    yield Case("op: batch_norm(eps=0.01)", [2, 33], {"op": nn.BatchNorm1d(33, eps=0.01)})
    for name, layer in [
        ("relu", nn.ReLU()), ("relu6", nn.ReLU6()), ("sigmoid", nn.Sigmoid()), ("tanh", nn.Tanh()), ("silu", nn.SiLU()),
        ("hardswish", nn.Hardswish()), ("hardsigmoid", nn.Hardsigmoid()), ("gelu", nn.GELU()),
        ("gelu(approximate=true)", nn.GELU(approximate="tanh")),
        ("leaky_relu", nn.LeakyReLU()), ("leaky_relu(negative_slope=0.3)", nn.LeakyReLU(0.3)),
        ("clip(-0.5, 1.25)", nn.Hardtanh(-0.5, 1.25)), ("elu", nn.ELU()), ("elu(alpha=0.4)", nn.ELU(0.4)),
        ("selu", nn.SELU()), ("celu", nn.CELU()), ("celu(alpha=2.5)", nn.CELU(2.5)), ("softplus", nn.Softplus()),
        ("softsign", nn.Softsign()), ("mish", nn.Mish()),
    ]:
        yield Case(name, [1, 19, 7, 9], {"op": layer})


def padded(x, kernel, stride, value=0.0):
    """x with the padding that TensorFlow and JAX call SAME."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def same_padding():
    for shape in ([1, 20, 11, 14], [2, 5, 8, 7]):
        for k, s in ((3, 2), (2, 2), (2, 1), (5, 3), (1, 2)):
            text = f"{k}, stride={s}, padding=same_upper"
            yield function(f"max_pool({text})", shape,
                           lambda m, x, k=k, s=s: F.max_pool2d(padded(x, k, s, -float("inf")), k, s))
            yield function(f"avg_pool({text})", shape, lambda m, x, k=k, s=s: F.avg_pool2d(padded(x, k, s), k, s))
            yield function(f"avg_pool({text}, count_include_pad=false)", shape,
                           lambda m, x, k=k, s=s: F.avg_pool2d(padded(x, k, s), k, s)
                           / F.avg_pool2d(padded(torch.ones_like(x), k, s), k, s))
            yield function(f"op: conv(24, {text})", shape, lambda m, x, k=k, s=s: m.op(padded(x, k, s)),
                           op=nn.Conv2d(shape[1], 24, k, stride=s, bias=False))


def patterns():
    image = [1, 32, 9, 10]
    c1, c3, norm = (lambda i, o: nn.Conv2d(i, o, 1)), (lambda i, o: nn.Conv2d(i, o, 3, padding=1)), nn.BatchNorm2d
    yield function("a: conv(48, kernel=3, bias=true) |> n: batch_norm |> silu", image,
                   lambda m, x: F.silu(m.n(m.a(x))), a=c3(32, 48), n=norm(48))
    yield function("n: batch_norm |> relu |> a: conv(16, kernel=3, bias=true)", image,
                   lambda m, x: m.a(F.relu(m.n(x))), n=norm(32), a=c3(32, 16))
    yield function("relu((x |> a: conv(32, kernel=3, bias=true) |> n: batch_norm) + x)", image,
                   lambda m, x: F.relu(m.n(m.a(x)) + x), a=c3(32, 32), n=norm(32))
    yield function("(x |> a: conv(32, kernel=1, bias=true)) * (x |> b: conv(32, kernel=3, bias=true) |> sigmoid)",
                   image, lambda m, x: m.a(x) * torch.sigmoid(m.b(x)), a=c1(32, 32), b=c3(32, 32))
    yield function("x * (x |> global_avg_pool |> a: conv(32, kernel=1, bias=true) |> hardsigmoid)", image,
                   lambda m, x: x * F.hardsigmoid(m.a(x.mean((2, 3), keepdim=True))), a=c1(32, 32))
    yield function("concat(x |> a: conv(24, kernel=1, bias=true), x |> b: conv(7, kernel=3, bias=true), x) "
                   "|> c: conv(16, kernel=3, bias=true)", image,
                   lambda m, x: m.c(torch.cat([m.a(x), m.b(x), x], 1)), a=c1(32, 24), b=c3(32, 7), c=c3(63, 16))
    yield function("a: linear(40) |> n: batch_norm |> relu |> b: linear(10) |> softmax", [2, 30],
                   lambda m, x: F.softmax(m.b(F.relu(m.n(m.a(x)))), 1),
                   a=nn.Linear(30, 40), n=nn.BatchNorm1d(40), b=nn.Linear(40, 10))
    yield function("a: conv(64, kernel=1) |> n: batch_norm |> relu |> global_avg_pool |> flatten |> b: linear(5)",
                   image, lambda m, x: m.b(F.relu(m.n(m.a(x))).mean((2, 3))),
                   a=nn.Conv2d(32, 64, 1, bias=False), n=norm(64), b=nn.Linear(64, 5))


def shifted(x, kernel):
    """Wu et al. 2018, by a depthwise convolution with one-hot kernels."""
    channels, taps = x.shape[1], kernel * kernel
    weight = torch.zeros(channels, 1, kernel, kernel, dtype=x.dtype)
    for c in range(channels):
        tap = c // (channels // taps)
        row, column = divmod(tap, kernel) if tap < taps else (kernel // 2, kernel // 2)
        weight[c, 0, row, column] = 1
    return F.conv2d(x, weight, padding=kernel // 2, groups=channels)


def channels():
    for count, groups in ((32, 2), (48, 3), (20, 4), (116, 2), (240, 3), (58, 29)):
        yield function(f"relu |> channel_shuffle(groups={groups})", [1, count, 5, 7],
                       lambda m, x, g=groups: F.channel_shuffle(F.relu(x), g))
    for begin, end in ((0, 16), (16, 40), (5, 21), (32, 48), (16, 20), (47, 48)):
        for before in ("", "relu |> "):
            yield function(f"{before}slice(c=[{begin}, {end}])", [2, 48, 5, 7],
                           lambda m, x, b=begin, e=end, r=before: (F.relu(x) if r else x)[:, b:e])
        yield function(f"relu |> slice(c=[{begin}, {end}]) |> a: conv(24, kernel=3)", [1, 48, 5, 7],
                       lambda m, x, b=begin, e=end: m.a(F.relu(x)[:, b:e]),
                       a=nn.Conv2d(end - begin, 24, 3, padding=1, bias=False))
    for count, kernel in ((9, 3), (40, 3), (150, 3), (25, 5), (144, 5)):
        yield function(f"shift(kernel={kernel})", [2, count, 7, 9], lambda m, x, k=kernel: shifted(x, k))
    yield function("slice(x, c=[0, 58]) + slice(x, c=[58, 0])", [1, 116, 6, 6], lambda m, x: x[:, :58] + x[:, 58:])
    yield function("concat(slice(x, c=[0, 16]), relu(slice(x, c=[16, 0]))) |> channel_shuffle(groups=2)", [1, 32, 6, 6],
                   lambda m, x: F.channel_shuffle(torch.cat([x[:, :16], F.relu(x[:, 16:])], 1), 2))
    yield function("concat(split(x, 4)) + concat(split(x, [5, 11, 16]))", [1, 32, 6, 6], lambda m, x: x + x)
    # Spatial attention: one number a pixel; and one a row, a column, a channel.
    yield function("x * (x |> a: conv(1, kernel=7, padding=3) |> sigmoid)", [2, 37, 6, 7],
                   lambda m, x: x * torch.sigmoid(m.a(x)), a=nn.Conv2d(37, 1, 7, padding=3, bias=False))
    yield function("relu(x) + adaptive_avg_pool(x, [6, 1]) * adaptive_max_pool(x, [1, 7])", [2, 37, 6, 7],
                   lambda m, x: F.relu(x) + x.mean(3, keepdim=True) * x.amax(2, keepdim=True))
    yield function("concat(slice(x, c=[0, 5]), relu(slice(x, c=[5, 0])))", [1, 32, 6, 6],
                   lambda m, x: torch.cat([x[:, :5], F.relu(x[:, 5:])], 1))


def over_channels(norm, x):
    """nn.LayerNorm, which takes the channels last."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def slices():
    shape = [2, 37, 9, 11]
    for text, f in (
        ("h=[1, -1], w=[0, 0, 2]", lambda x: x[:, :, 1:-1, ::2]), ("c=[5, 0, 2], h=[0, 0, 2], w=[1, 0, 2]", lambda x: x[:, 5::2, ::2, 1::2]),
        ("c=[-20, 0], w=[-3, 0]", lambda x: x[:, -20:, :, -3:]), ("h=[0, 5]", lambda x: x[:, :, :5]),
    ):
        yield function(f"slice({text})", shape, lambda m, x, f=f: f(x))
        yield function(f"relu |> slice({text})", shape, lambda m, x, f=f: f(F.relu(x)))
    yield function("relu |> slice(h=[0, 0, 2], w=[0, 0, 2]) |> a: conv(24, kernel=1) |> relu |> slice(h=[0, -1]) "
                   "|> b: conv(8, kernel=1)", shape,
                   lambda m, x: m.b(F.relu(m.a(F.relu(x)[:, :, ::2, ::2]))[:, :, :-1]),
                   a=nn.Conv2d(37, 24, 1, bias=False), b=nn.Conv2d(24, 8, 1, bias=False))
    yield function("pad(0, channels=[3, 20])", shape, lambda m, x: F.pad(x, (0, 0, 0, 0, 3, 20)))
    yield function("relu |> pad([1, 0, -2, 3], channels=[16, -2], value=0.5)", shape,
                   lambda m, x: F.pad(F.relu(x), (0, 3, 1, -2, 16, -2), value=0.5))
    # A Focus stem: every second pixel, in four ways.
    yield function("concat(slice(x, h=[0, 0, 2], w=[0, 0, 2]), slice(x, h=[1, 0, 2], w=[0, 0, 2]), "
                   "slice(x, h=[0, 0, 2], w=[1, 0, 2]), slice(x, h=[1, 0, 2], w=[1, 0, 2])) |> a: conv(16, kernel=3)", [1, 3, 12, 10],
                   lambda m, x: m.a(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)),
                   a=nn.Conv2d(12, 16, 3, padding=1, bias=False))
    for count, block in ((3, 2), (20, 2), (5, 3)):
        yield Case(f"space_to_depth({block})", [2, count, 6, 12], {"op": nn.PixelUnshuffle(block)})
        yield Case(f"depth_to_space({block})", [2, count * block ** 2, 3, 5], {"op": nn.PixelShuffle(block)})
    yield function("relu |> depth_to_space(2, order=dcr)", [2, 36, 3, 5], lambda m, x: F.pixel_shuffle(
        F.relu(x).reshape(2, 4, 9, 3, 5).transpose(1, 2).reshape(2, 36, 3, 5), 2))


def resizes():
    shape = [2, 21, 7, 9]
    for text, options in (
        ("scale=2", dict(scale_factor=2)), ("scale=[1.5, 0.5]", dict(scale_factor=(1.5, 0.5))), ("size=[3, 25]", dict(size=(3, 25))),
        ("scale=2, mode=bilinear", dict(scale_factor=2, mode="bilinear", align_corners=False)),
        ("scale=1.3, mode=bilinear", dict(scale_factor=1.3, mode="bilinear", align_corners=False)),
        ("size=[4, 14], mode=bilinear", dict(size=(4, 14), mode="bilinear", align_corners=False)),
        ("size=[13, 1], mode=bilinear_corners", dict(size=(13, 1), mode="bilinear", align_corners=True)),
    ):
        yield function(f"relu |> resize({text})", shape, lambda m, x, o=options: F.interpolate(F.relu(x), **o))
    # Two levels of a feature pyramid, and soft attention from an hourglass.
    yield function("(x |> a: conv(16, kernel=1)) + (x |> b: conv(16, kernel=3, stride=2) |> resize(size=[7, 9]))", shape,
                   lambda m, x: m.a(x) + F.interpolate(m.b(x), size=(7, 9)),
                   a=nn.Conv2d(21, 16, 1, bias=False), b=nn.Conv2d(21, 16, 3, 2, 1, bias=False))
    yield function("x * (1 + (x |> max_pool(3, stride=2, padding=1) |> a: conv(21, kernel=3) |> resize(size=[7, 9], mode=bilinear) "
                   "|> sigmoid))", shape,
                   lambda m, x: x * (1 + torch.sigmoid(F.interpolate(m.a(F.max_pool2d(x, 3, 2, 1)), size=(7, 9), mode="bilinear"))),
                   a=nn.Conv2d(21, 21, 3, padding=1, bias=False))


def group_norms():
    for shape, groups in (([2, 36, 7, 9], 4), ([1, 64, 6, 5], 32), ([2, 21, 1, 3], 1), ([3, 40], 8)):
        yield Case(f"op: group_norm({groups})", shape, {"op": nn.GroupNorm(groups, shape[1])})
        yield function(f"relu |> op: group_norm({groups}, eps=0.01, scale=false, shift=false) |> relu", shape,
                       lambda m, x: F.relu(m.op(F.relu(x))), op=nn.GroupNorm(groups, shape[1], eps=0.01, affine=False))
    yield Case("op: instance_norm", [2, 21, 7, 9], {"op": nn.InstanceNorm2d(21)})
    yield Case("op: instance_norm(scale=true, shift=true)", [2, 21, 7, 9], {"op": nn.InstanceNorm2d(21, affine=True)})
    yield Case("op: batch_norm(scale=false, shift=false)", [2, 21, 7, 9], {"op": nn.BatchNorm2d(21, affine=False)})
    yield function("a: conv(24, kernel=3) |> n: batch_norm(scale=false, shift=false) |> relu", [2, 21, 7, 9],
                   lambda m, x: F.relu(m.n(m.a(x))), a=nn.Conv2d(21, 24, 3, padding=1, bias=False),
                   n=nn.BatchNorm2d(24, affine=False))
    yield function("op: layer_norm(scale=false, shift=false)", [2, 21, 7, 9], lambda m, x: over_channels(m.op, x),
                   op=nn.LayerNorm(21, elementwise_affine=False))
    # Efficient channel attention, and a layer that is used twice.
    for count, kernel in ((37, 3), (128, 5), (16, 9)):
        yield function(f"x * (x |> global_avg_pool |> op: channel_conv({kernel}) |> sigmoid)", [2, count, 5, 6],
                       lambda m, x: x * m.op(x.mean((2, 3))[:, None])[:, 0, :, None, None].sigmoid(),
                       op=nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False))
    yield function("x |> a: conv(21, kernel=3) |> n: batch_norm |> relu |> reuse a: conv(21, kernel=3) |> relu |> reuse n: batch_norm",
                   [2, 21, 7, 9], lambda m, x: m.n(F.relu(m.a(F.relu(m.n(m.a(x)))))),
                   a=nn.Conv2d(21, 21, 3, padding=1, bias=False), n=nn.BatchNorm2d(21))


def arithmetic():
    for shape in ([2, 37, 5, 6], [1, 16, 4, 4], [3, 21]):
        means = lambda x: x.mean(1, keepdim=True)  # noqa: E731
        yield function("x / (1 + abs(x))", shape, lambda m, x: x / (1 + x.abs()))
        yield function("(max(x, -x / 3) - min(2 * x, x))", shape, lambda m, x: torch.max(x, -x / 3) - torch.min(2 * x, x))
        yield function("(sqrt(relu(x)) + exp(x) + x ** 2 + (x ** 2) ** 0.5)", shape,
                       lambda m, x: F.relu(x).sqrt() + x.exp() + x**2 + x.abs())
        yield function("1 / (1 + exp(-x))", shape, lambda m, x: x.sigmoid())
        yield function("channel_avg_pool", shape, lambda m, x: means(x))
        yield function("relu |> channel_max_pool", shape, lambda m, x: F.relu(x).amax(1, keepdim=True))
        yield function("x / (2 + channel_max_pool(x)) - channel_avg_pool(x)", shape,
                       lambda m, x: x / (2 + x.amax(1, keepdim=True)) - means(x))
        yield function("(sum([x, relu(x), x]) / sum([exp(x), exp(-x)]))", shape,
                       lambda m, x: (2 * x + F.relu(x)) / (x.exp() + (-x).exp()))
    # Global response normalisation, and a softmax over two branches; lanes beyond the channels divide nothing by nothing.
    yield function("x * (global_avg_pool(x * x) ** 0.5 / (channel_avg_pool(global_avg_pool(x * x) ** 0.5) + 1e-6))",
                   [2, 40, 6, 5], lambda m, x: x * (lambda g: g / (g.mean(1, keepdim=True) + 1e-6))(
                       x.pow(2).mean((2, 3), keepdim=True).sqrt()))
    yield function("(relu(x) / (x |> a: conv(37, kernel=1) |> relu |> global_max_pool)) |> b: conv(8, kernel=3)", [1, 37, 5, 6],
                   lambda m, x: m.b(F.relu(x) / F.relu(m.a(x)).amax((2, 3), keepdim=True)),
                   a=nn.Conv2d(37, 37, 1, bias=False), b=nn.Conv2d(37, 8, 3, padding=1, bias=False))


def scaled(case, count):
    """The case with a LayerScale parameter."""
    case.layer_scale = nn.Parameter(torch.rand(count, 1, 1) + 0.5)
    return case


def norms():
    for shape in ([1, 16, 5, 7], [2, 37, 6, 5], [1, 96, 7, 7]):
        count = shape[1]
        yield function("op: layer_norm(eps=1e-6)", shape, lambda m, x: over_channels(m.op, x),
                       op=nn.LayerNorm(count, eps=1e-6))
        yield function("relu |> op: layer_norm", shape, lambda m, x: over_channels(m.op, F.relu(x)),
                       op=nn.LayerNorm(count))
        for size, k in ((5, 1.0), (4, 2.0), (40, 0.5)):
            yield Case(f"local_response_norm({size}, alpha=0.3, k={k})", shape,
                       {"op": nn.LocalResponseNorm(size, alpha=0.3, k=k)})
        yield scaled(function("layer_scale: channel_scale", shape, lambda m, x: x * m.layer_scale), count)
    yield Case("local_response_norm(5, alpha=0.0001, beta=0.5, k=2)", [1, 64, 5, 5],
               {"op": nn.LocalResponseNorm(5, 1e-4, 0.5, 2)})
    yield Case("op: layer_norm", [2, 130], {"op": nn.LayerNorm(130)})
    # ConvNeXt's block, whose linear layers are convolutions of single pixels.
    yield scaled(function(
        "x + (x |> d: conv(24, kernel=7, groups=24, bias=true) |> n: layer_norm(eps=1e-6) |> "
        "a: conv(96, kernel=1, bias=true) |> gelu |> b: conv(24, kernel=1, bias=true) |> layer_scale: channel_scale)",
        [1, 24, 9, 8],
        lambda m, x: x + m.layer_scale * m.b(F.gelu(m.a(m.n(m.d(x).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2),
        d=nn.Conv2d(24, 24, 7, padding=3, groups=24), n=nn.LayerNorm(24, eps=1e-6),
        a=nn.Linear(24, 96), b=nn.Linear(96, 24)), 24)


class Standardised(nn.Conv2d):
    """Qiao et al. 2019, with a gain of each output channel (Brock et al. 2021)."""

    def __init__(self, *args, **options):
        super().__init__(*args, bias=False, **options)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), keepdim=True, unbiased=False)
        return self._conv_forward(x, (self.weight - mean) / torch.sqrt(variance + 1e-5) * self.gain, None)


def parameters():
    for shape in ([2, 37, 6, 5], [1, 16, 7, 7], [2, 21]):
        ones = [1] * (len(shape) - 2)
        gamma = f"(gamma: parameter({[1, shape[1], *ones]}))"
        beta = f"beta: parameter({[1, 1, *ones]})"
        case = function(f"x * {gamma} / (2 + ({beta})) - (reuse {beta})", shape,
                        lambda m, x: x * m.gamma / (2 + m.beta) - m.beta)
        case.gamma, case.beta = nn.Parameter(torch.randn(shape[1], *ones)), nn.Parameter(torch.rand(1))
        yield case
        case = function(f"relu(x - {gamma}) + x", shape, lambda m, x: F.relu(x - m.gamma) + x)
        case.gamma = nn.Parameter(torch.randn(1, shape[1], *ones))
        yield case
    for groups in (1, 4):
        yield function(
            f"conv(x, ((op: parameter([24, {16 // groups}, 3, 3], kernel=true)) |> group_norm(1, scale=false, shift=false)) "
            f"* (op.gain: parameter([24, 1, 1, 1])), stride=2, groups={groups}) |> relu", [1, 16, 9, 8],
            lambda m, x: F.relu(m.op(x)), op=Standardised(16, 24, 3, 2, 1, groups=groups))


def scalars():
    shape = [1, 19, 7, 9]
    yield function("x * 2", shape, lambda m, x: x * 2)
    yield function("1 - x", shape, lambda m, x: 1 - x)
    yield function("(0.5 + x) / 3 - 0.25", shape, lambda m, x: (0.5 + x) / 3 - 0.25)
    yield function("-x", shape, lambda m, x: -x)
    yield function("x - relu(x)", shape, lambda m, x: x - F.relu(x))
    yield function("x * (1 - sigmoid(x)) + tanh(x) * sigmoid(x)", shape,
                   lambda m, x: x * (1 - torch.sigmoid(x)) + torch.tanh(x) * torch.sigmoid(x))
    yield function("1 - 2 * (x |> a: conv(16, kernel=3) |> dropout(p=0.2) |> stochastic_depth(0.1))", shape,
                   lambda m, x: 1 - 2 * m.a(x), a=nn.Conv2d(19, 16, 3, padding=1, bias=False))


def source_of(case):
    shape = ", ".join(str(extent) for extent in case.shape)
    body = case.text if case.text.startswith(("x ", "(", "1 ", "-x", "relu(", "concat(", "slice(x", "conv(x")) else f"x |> {case.text}"
    return f"network op {{\n  input x: f32[{shape}]\n  return {body}\n}}\n"


def randomise(case, generator):
    """Weights near what training gives, batch-norm statistics off their defaults."""
    for layer in case.modules():
        if isinstance(layer, nn.PReLU):
            layer.weight.data.uniform_(-0.5, 0.5, generator=generator)
        if isinstance(layer, (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d)) and layer.weight is not None:
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.normal_(0, 0.3, generator=generator)
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            if layer.affine:
                layer.weight.data.uniform_(0.5, 1.5, generator=generator)
                layer.bias.data.normal_(0, 0.3, generator=generator)
            layer.running_mean.normal_(0, 0.5, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)


def compare(case, args, generator, directory):
    """The error of one case."""
    randomise(case, generator)
    case.eval()
    x = torch.randn(*case.shape, generator=generator) * 2
    (directory / "op.nn").write_text(source_of(case))
    state = {k: v.contiguous() for k, v in case.state_dict().items()}
    save_file(state, directory / WEIGHTS)
    tool = args.cardinal.resolve()
    so, _ = compile_network(tool, directory / "op.nn", directory, args.target)
    return largest_error(run_network(tool, so, x, directory), reference(case, x))


def main():
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="run the cases whose text contains this")
    args = parser.parse_args()

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    cases = [case for case in (*convolutions(), *others(), *same_padding(), *patterns(), *channels(), *norms(), *parameters(), *scalars(),
                          *slices(), *resizes(), *group_norms(), *arithmetic()) if args.only in case.text]
    worst, failures = 0.0, 0
    for case in cases:
        with tempfile.TemporaryDirectory() as directory:
            try:
                error = compare(case, args, generator, pathlib.Path(directory))
                worst = max(worst, error)
                if error > TOLERANCE:
                    raise Failure(f"the largest error is {error:.2e} of the largest output")
            except Failure as failure:
                failures += 1
                print(f"FAILED {case.text} on {case.shape}: {failure}", flush=True)
    print(f"{len(cases) - failures} of {len(cases)} cases agree with PyTorch; largest error {worst:.2e}")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
