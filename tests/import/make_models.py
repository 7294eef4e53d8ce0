#!/usr/bin/env python3
"""Makes models/*.onnx, each with inputs and the outputs of onnxruntime (NAME.values.safetensors).

Needs onnx, onnxruntime, numpy and safetensors; makes those that are named, or all. The files are kept in the repository: run this only to change them, then bless
the sources that the importer makes of them (see import_tests.cpp)."""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

MODELS = pathlib.Path(__file__).parent / "models"


class Model:
    """A graph under construction: values are called by name, nodes in order."""

    def __init__(self, name, opset=17, named=True):
        self.name, self.opset, self.named = name, opset, named
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.random = np.random.default_rng(len(name))
        self.count = 0

    def input(self, name, shape, dims=None):
        self.inputs.append((name, shape, dims or shape))
        return name

    def weight(self, name, *shape, low=-0.4, high=0.4):
        values = self.random.uniform(low, high, shape).astype(np.float32)
        return self.constant(name, values)

    def constant(self, name, values):
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def floats(self, value):
        self.count += 1
        return self.constant(f"number{self.count}", np.float32(value))

    def ints(self, *values):
        self.count += 1
        return self.constant(f"list{self.count}", np.array(values, np.int64))

    def node(self, op, *inputs, path="", outputs=1, **attributes):
        self.count += 1
        made = [f"{self.count}" if i == 0 else f"{self.count}_{i}" for i in range(outputs)]
        name = f"/{path}/{op}" if path else (f"{op}_{self.count}" if self.named else "")
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attributes))
        return made[0] if outputs == 1 else made

    def conv(self, x, path, oc, ic, kernel, bias=False, **attributes):
        weights = [self.weight(f"{path}.weight", oc, ic, kernel, kernel)]
        if bias:
            weights.append(self.weight(f"{path}.bias", oc))
        pads = attributes.pop("pads", [kernel // 2] * 4)
        return self.node("Conv", x, *weights, path=path.replace(".", "/"), kernel_shape=[kernel] * 2, pads=pads, **attributes)

    def norm(self, x, path, c):
        names = [self.weight(f"{path}.{n}", c) for n in ("weight", "bias", "running_mean")]
        names.append(self.weight(f"{path}.running_var", c, low=0.5, high=1.5))
        return self.node("BatchNormalization", x, *names, path=path.replace(".", "/"), epsilon=1e-5)

    def write(self, *outputs, list_initializers=False, external=False):
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n, _, dims in self.inputs]
        if list_initializers:
            infos += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in self.weights]
        results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, self.name, infos, results, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 3 if list_initializers else 10 if self.opset > 20 else 8
        feed = {n: self.random.standard_normal(shape).astype(np.float32) for n, shape, _ in self.inputs}
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        values = session.run(None, feed)
        tensors = {f"in.{n}": v for n, v in feed.items()}
        tensors |= {f"out.{i}": np.ascontiguousarray(v) for i, v in enumerate(values)}
        save_file(tensors, MODELS / f"{self.name}.values.safetensors")
        path = MODELS / f"{self.name}.onnx"
        if external:
            (MODELS / f"{self.name}.data").unlink(missing_ok=True)
            onnx.save(model, path, save_as_external_data=True, location=f"{self.name}.data", size_threshold=64)
        else:
            onnx.save(model, path)


def residual():
    """Blocks that the weights' names show, the first of each stage with a projection."""
    m = Model("residual")
    x = m.input("image", [1, 3, 9, 9], ["N", 3, 9, 9])
    x = m.node("Relu", m.norm(m.conv(x, "stem", 4, 3, 3), "bn", 4))
    channels = 4
    for stage, width in enumerate([4, 8]):
        for i in range(3):
            p, stride = f"layer{stage + 1}.{i}", 2 if stage and i == 0 else 1
            y = m.node("Relu", m.norm(m.conv(x, f"{p}.conv1", width, channels, 3, strides=[stride] * 2), f"{p}.bn1", width))
            y = m.norm(m.conv(y, f"{p}.conv2", width, width, 3), f"{p}.bn2", width)
            if stride != 1:
                x = m.norm(m.conv(x, f"{p}.downsample.0", width, channels, 1, strides=[2, 2]), f"{p}.downsample.1", width)
            x, channels = m.node("Relu", m.node("Add", y, x)), width
    x = m.node("GlobalAveragePool", x)
    x = m.node("Flatten", x)
    x = m.node("Gemm", x, m.weight("fc.weight", 5, 8), m.weight("fc.bias", 5), transB=1)
    m.write(x)


def nameless():
    """The same without names: blocks by structure alone."""
    m = Model("nameless", named=False)
    x = m.input("0", [1, 3, 8, 8])
    number = iter(range(100))

    def conv(x, oc, ic, kernel, **attributes):
        weights = [m.weight(f"w{next(number)}", oc, ic, kernel, kernel), m.weight(f"w{next(number)}", oc)]
        return m.node("Conv", x, *weights, pads=[kernel // 2] * 4, **attributes)

    x = m.node("MaxPool", m.node("Relu", conv(x, 6, 3, 3)), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 6
    for width in (6, 6, 12, 12):
        y = conv(m.node("Relu", conv(x, width // 2, channels, 1)), width, width // 2, 3)
        if width != channels:
            x = conv(x, width, channels, 1)
        x, channels = m.node("Relu", m.node("Add", y, x)), width
    m.write(m.node("Flatten", m.node("GlobalAveragePool", x)))


def mobile():
    """Activations as exporters spell them, squeeze-and-excite, depthwise convolutions."""
    m = Model("mobile", opset=13)
    x = m.input("image", [1, 3, 8, 8])
    x = m.conv(x, "features.0.0", 8, 3, 3, bias=True, strides=[2, 2])
    gate = m.node("Clip", m.node("Add", x, m.floats(3)), m.floats(0), m.floats(6))
    x = m.node("Div", m.node("Mul", x, gate), m.floats(6))
    for i in (1, 2):
        p = f"features.{i}"
        y = m.conv(x, f"{p}.conv.0.0", 16, 8, 1, bias=True)
        y = m.node("Clip", y, m.floats(0), m.floats(6))
        y = m.conv(y, f"{p}.conv.1.0", 16, 1, 3, bias=True, group=16)
        y = m.node("Mul", y, m.node("Sigmoid", y))
        s = m.node("ReduceMean", y, axes=[2, 3], keepdims=1)
        s = m.node("Relu", m.conv(s, f"{p}.se.fc1", 4, 16, 1, bias=True))
        s = m.node("HardSigmoid", m.conv(s, f"{p}.se.fc2", 16, 4, 1, bias=True), alpha=1 / 6)
        y = m.conv(m.node("Mul", s, y), f"{p}.conv.2", 8, 16, 1, bias=True)
        x = m.node("Add", x, y)
    y = m.node("LeakyRelu", x, alpha=0.1)
    m.write(m.node("ReduceMean", y, axes=[-1, -2], keepdims=0))


def shuffle():
    """Channel shuffles, splits and concatenations, with the arithmetic on shapes that exporters leave."""
    m = Model("shuffle", opset=13)
    x = m.input("image", [1, 8, 6, 6], ["batch", 8, 6, 6])
    for i in range(2):
        p = f"stage.{i}"
        left, right = m.node("Split", x, m.ints(4, 4), outputs=2, axis=1)
        right = m.node("Relu", m.conv(right, f"{p}.branch.0", 4, 4, 1, bias=True))
        right = m.conv(right, f"{p}.branch.1", 4, 1, 3, bias=True, group=4)
        x = m.node("Concat", left, right, axis=1)
        shape = m.node("Shape", x)
        batch = m.node("Unsqueeze", m.node("Gather", shape, m.constant(f"zero{i}", np.int64(0))), m.ints(0))
        x = m.node("Reshape", x, m.node("Concat", batch, m.ints(2), m.ints(4, 6, 6), axis=0))
        x = m.node("Transpose", x, perm=[0, 2, 1, 3, 4])
        x = m.node("Reshape", x, m.node("Concat", batch, m.ints(-1, 6, 6), axis=0))
    head = m.node("Slice", x, m.ints(1), m.ints(7), m.ints(1))
    x = m.node("Softmax", m.node("Squeeze", m.node("GlobalMaxPool", head), m.ints(2, 3)), axis=-1)
    m.write(x)


def channels_last():
    """As TensorFlow's models arrive: images with channels last, asymmetric padding, folded batch norms."""
    m = Model("channels_last", opset=13)
    x = m.input("image", [1, 9, 9, 3])
    x = m.node("Div", x, m.floats(127.5))
    x = m.node("Transpose", x, perm=[0, 3, 1, 2])
    x = m.node("Pad", x, m.ints(0, 0, 1, 1, 0, 0, 2, 2))
    x = m.node("Conv", x, m.weight("model/conv1/kernel", 4, 3, 3, 3), m.weight("model/conv1/bias", 4), strides=[2, 2])
    x = m.node("Mul", x, m.weight("model/bn1/scale", 1, 4, 1, 1))
    x = m.node("Relu", m.node("Add", x, m.weight("model/bn1/shift", 1, 4, 1, 1)))
    x = m.node("MaxPool", m.node("Pad", x, m.ints(0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=[3, 3], strides=[2, 2])
    x = m.node("Conv", x, m.weight("model/conv2/kernel", 6, 4, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    x = m.node("AveragePool", m.node("Relu", x), auto_pad="SAME_UPPER", kernel_shape=[2, 2])
    x = m.node("Reshape", m.node("Transpose", x, perm=[0, 2, 3, 1]), m.ints(1, -1))
    x = m.node("Add", m.node("MatMul", x, m.weight("model/fc/kernel", 24, 5)), m.weight("model/fc/bias", 5))
    m.write(m.node("Softmax", x, axis=1))


def pixels():
    """ConvNeXt's block: a layer norm and a perceptron over the channels of pixels, between transposes."""
    m = Model("pixels", opset=13)
    x = m.input("image", [1, 4, 5, 6])
    for i in range(2):
        p = f"features.{i}"
        y = m.conv(x, f"{p}.block.0", 4, 1, 7, bias=True, group=4)
        y = m.node("Transpose", y, perm=[0, 2, 3, 1])
        centred = m.node("Sub", y, m.node("ReduceMean", y, axes=[-1]))
        spread = m.node("ReduceMean", m.node("Pow", centred, m.floats(2)), axes=[-1])
        y = m.node("Div", centred, m.node("Sqrt", m.node("Add", spread, m.floats(1e-6))))
        y = m.node("Mul", y, m.weight(f"{p}.block.2.weight", 4))
        y = m.node("Add", y, m.weight(f"{p}.block.2.bias", 4))
        y = m.node("MatMul", y, m.weight(f"up{i}", 4, 8), path=f"features/features.{i}/block/block.3")
        y = m.node("Add", m.weight(f"{p}.block.3.bias", 8), y)
        gelu = m.node("Add", m.node("Erf", m.node("Div", y, m.floats(2**0.5))), m.floats(1))
        y = m.node("Mul", m.node("Mul", y, gelu), m.floats(0.5))
        y = m.node("MatMul", y, m.weight(f"down{i}", 8, 4), path=f"features/features.{i}/block/block.5")
        y = m.node("Add", m.weight(f"{p}.block.5.bias", 4), y)
        y = m.node("Transpose", y, perm=[0, 3, 1, 2])
        x = m.node("Add", m.node("Mul", m.weight(f"{p}.layer_scale", 4, 1, 1), y), x)
    m.write(x)


def old():
    """An early opset: initializers among the inputs, attributes where operands are now, and arithmetic."""
    m = Model("old", opset=9)
    x = m.input("data", [1, 4, 7, 7])
    x = m.node("LRN", x, size=3, alpha=1e-3, beta=0.75, bias=1.5)
    x = m.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    y = m.node("Clip", x, min=0.0, max=6.0)
    z = m.node("Sub", m.floats(1), m.node("Mul", x, m.floats(0.5)))
    x = m.node("Sum", x, y, z)
    x = m.node("Dropout", m.node("Add", x, m.weight("shift", 4, 1, 1)), ratio=0.5)
    x = m.node("Conv", x, m.weight("conv_weight", 6, 2, 1, 3), group=2, dilations=[1, 1], pads=[0, 1, 0, 1])
    x = m.node("PRelu", x, m.constant("slope", np.array([0.2], np.float32)))
    x = m.node("Flatten", x)
    x = m.node("Gemm", x, m.weight("fc_weight", 96, 5), m.weight("fc_bias", 5), alpha=0.5, beta=2.0)
    m.write(x, list_initializers=True)


def gated():
    """Squeeze-and-excite with fully connected layers, whose result goes on both as an image and as features."""
    m = Model("gated", opset=13)
    x = m.input("image", [2, 6, 4, 4])
    s = m.node("Flatten", m.node("GlobalAveragePool", x))
    s = m.node("Gemm", s, m.weight("fc1.weight", 3, 6), m.weight("fc1.bias", 3), transB=1)
    s = m.node("Gemm", m.node("Relu", s), m.weight("fc2.weight", 6, 3), m.weight("fc2.bias", 6), transB=1)
    gate = m.node("Sigmoid", s)
    y = m.node("Mul", x, m.node("Reshape", gate, m.ints(0, 6, 1, 1)))
    m.write(m.node("Add", m.node("Flatten", m.node("GlobalAveragePool", y)), s))


def external():
    m = Model("external")
    x = m.input("image", [1, 3, 5, 5])
    m.write(m.conv(x, "conv", 8, 3, 3, bias=True), external=True)


def resized():
    """Parts and sizes of images, channels of zeros, norms over groups, attention along the channels."""
    m = Model("resized", opset=21)
    x = m.input("image", [2, 3, 9, 10])
    y = m.conv(x, "stem", 8, 3, 3)
    y = m.node("GroupNormalization", y, m.weight("norm.weight", 8), m.weight("norm.bias", 8), num_groups=4, epsilon=1e-3)
    # A shortcut without weights.
    s = m.node("Slice", m.node("Relu", y), m.ints(0, 1), m.ints(2**60, -1), m.ints(2, 3), m.ints(2, 2))
    s = m.node("Pad", s, m.ints(0, 3, 0, 0, 0, 5, 0, 0))
    s = m.conv(s, "low", 16, 16, 3)
    # As PyTorch exports a group norm, and an instance norm.
    flat = m.node("Reshape", s, m.ints(0, 2, -1))
    ones, zeros = m.constant("ones", np.ones(2, np.float32)), m.constant("zeros", np.zeros(2, np.float32))
    s = m.node("Reshape", m.node("InstanceNormalization", flat, ones, zeros, epsilon=1e-5), m.ints(2, 16, 5, 4))
    s = m.node("InstanceNormalization", s, m.weight("inst.weight", 16), m.weight("inst.bias", 16), epsilon=1e-2)
    # Efficient channel attention.
    gate = m.node("Squeeze", m.node("GlobalAveragePool", s), m.ints(3))
    gate = m.node("Transpose", gate, perm=[0, 2, 1])
    gate = m.node("Conv", gate, m.weight("eca.weight", 1, 1, 3), kernel_shape=[3], pads=[1, 1])
    gate = m.node("Unsqueeze", m.node("Transpose", gate, perm=[0, 2, 1]), m.ints(3))
    s = m.node("Mul", s, m.node("Sigmoid", gate))
    up = m.node("Resize", s, "", m.constant("double", np.array([1, 1, 2, 2], np.float32)), mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    smooth = m.node("Resize", s, "", "", m.ints(2, 16, 10, 8), mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
    corners = m.node("Resize", s, "", "", m.ints(2, 16, 10, 8), mode="linear", coordinate_transformation_mode="align_corners")
    y = m.node("Add", m.node("Add", up, smooth), corners)
    y = m.node("DepthToSpace", y, blocksize=2, mode="CRD")
    y = m.node("AveragePool", y, kernel_shape=[2, 3], dilations=[2, 1])
    y = m.node("SpaceToDepth", m.node("Slice", y, m.ints(0), m.ints(14), m.ints(3)), blocksize=2)
    m.write(y)


def attention():
    """Channels pooled, a softmax over branches, pixels and channels that change places by reshapes."""
    m = Model("attention", opset=18)
    y = m.conv(m.input("image", [2, 3, 8, 6]), "stem", 8, 3, 3)
    pooled = m.node("Concat", m.node("ReduceMean", y, m.ints(1)), m.node("ReduceMax", y, m.ints(1)), axis=1)
    y = m.node("Mul", y, m.node("Sigmoid", m.conv(pooled, "spatial", 1, 2, 3)))
    branches = [m.conv(y, f"branch{i}", 8, 8, 3) for i in (1, 2)]
    logits = [m.conv(m.node("GlobalAveragePool", b), f"select{i}", 8, 8, 1) for i, b in enumerate(branches)]
    top = m.node("Max", *logits)
    powers = [m.node("Exp", m.node("Sub", logit, top)) for logit in logits]
    weighted = [m.node("Mul", branch, power) for branch, power in zip(branches, powers)]
    y = m.node("Div", m.node("Add", *weighted), m.node("Add", *powers))
    least = m.node("Min", y, m.node("Sqrt", m.node("Abs", y)))
    y = m.node("Add", least, m.node("Div", m.constant("one", np.ones(1, np.float32)), m.node("Exp", y)))
    y = m.node("Reshape", m.node("Transpose", m.node("Reshape", y, m.ints(2, 2, 2, 2, 8, 6)), perm=[0, 1, 4, 2, 5, 3]),
               m.ints(2, 2, 16, 12))
    y = m.conv(y, "wide", 2, 2, 3)
    y = m.node("Reshape", m.node("Transpose", m.node("Reshape", y, m.ints(2, 2, 8, 2, 6, 2)), perm=[0, 1, 3, 5, 2, 4]),
               m.ints(2, 8, 8, 6))
    m.write(m.node("ReduceMax", y, m.ints(2, 3)))


def stages():
    """Projections that come before what all blocks have, and groups that no number of channels is a multiple of."""
    m = Model("stages")
    x = m.input("image", [1, 4, 8, 8])
    channels = 4
    for stage, (width, groups, depth) in enumerate([(4, 1, 2), (9, 3, 4), (16, 4, 1)]):
        for i in range(depth):
            p, stride = f"layer{stage + 1}.{i}", 2 if i == 0 else 1
            shortcut = m.conv(x, f"{p}.proj", width, channels, 1, bias=True, strides=[2, 2]) if i == 0 else x
            y = m.node("Relu", m.conv(x, f"{p}.a", width, channels, 1, bias=True))
            y = m.node("Relu", m.conv(y, f"{p}.b", width, width // groups, 3, bias=True, strides=[stride] * 2, group=groups))
            x, channels = m.node("Relu", m.node("Add", shortcut, m.conv(y, f"{p}.c", width, width, 1, bias=True))), width
    m.write(m.node("GlobalAveragePool", x))


names = sys.argv[1:]
for make in (residual, nameless, mobile, shuffle, channels_last, pixels, old, gated, external, resized, attention, stages):
    if not names or make.__name__ in names:
        make()
