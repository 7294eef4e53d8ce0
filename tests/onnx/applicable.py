"""Which of ONNX's tests say something about a compiler of classification networks.

A test applies if
  - every op of its model is one that the importer knows (the tables in compiler/import/),
  - its data are float32 tensors of rank 2 or 4, [N, C] or [N, C, H, W], of known sizes (--ranks asks for others),
  - it computes inference, and uses its ops as such networks do: what the op names an axis for is the channels, what it
    reduces is the image or the channels, what it pads is the image or the channels with a constant, what it slices is not the batch.
What a node's test feeds in as a weight or a setting (see PARAMETERS) is known when a network is compiled, so it is made
an initializer of the model first.
"""

import re

import numpy as np
import onnx
from onnx import numpy_helper

FLOAT = onnx.TensorProto.FLOAT

# Ops whose operands from the given one on are weights or settings; for those not listed, all operands are data.
PARAMETERS = {
    "GroupNormalization": 1, "InstanceNormalization": 1, "Resize": 1, "Upsample": 1,
    "BatchNormalization": 1, "Clip": 1, "Conv": 1, "Dropout": 1, "Expand": 1, "Gemm": 1, "LayerNormalization": 1, "MatMul": 1,
    "PRelu": 1, "Pad": 1, "Pow": 1, "ReduceMax": 1, "ReduceMean": 1, "ReduceSum": 1, "Reshape": 1, "Slice": 1, "Split": 1, "Squeeze": 1,
    "Unsqueeze": 1,
}


REARRANGING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand")


def known_ops(importer):
    """The ops that the importer, a folder of sources, translates, and those that it computes ahead where all operands
    are constants: the entries of its tables."""
    text = "".join(path.read_text() for path in sorted(importer.glob("*.cpp")))
    translated = set(re.findall(r'handlers\["(\w+)"\]', text))
    return translated, translated | set(re.findall(r'\bop == "([A-Z]\w+)"', text)) | {"Constant"}


def frozen(model, values):
    """The model with its parameters, of VALUES by name, as initializers; and the names of the inputs left."""
    graph = model.graph
    known = {initializer.name for initializer in graph.initializer}
    parameters = set()
    for node in graph.node:
        first = PARAMETERS.get(node.op_type, len(node.input))
        parameters.update(name for name in node.input[first:] if name in values)
    for node in graph.node:  # what is data anywhere stays data
        parameters.difference_update(node.input[: PARAMETERS.get(node.op_type, len(node.input))])
    for name in parameters:
        graph.initializer.append(numpy_helper.from_array(values[name], name))
    left = [value for value in graph.input if value.name not in parameters | known]
    del graph.input[:]
    graph.input.extend(left)
    model.ir_version = max(model.ir_version, 4)  # from here on initializers need not be inputs
    return model, [value.name for value in left]


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def constants(model):
    """Values known without running the model: initializers, and Constant nodes."""
    known = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        value = attributes(node).get("value") if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            known[node.output[0]] = numpy_helper.to_array(value)
    return known


def setting(node, known, name, index):
    """An attribute that later opsets made an operand, as a list; None if it is neither."""
    if name in attributes(node):
        return list(np.ravel(attributes(node)[name]))
    if index < len(node.input) and node.input[index] in known:
        value = known[node.input[index]]
        return None if value is None else list(np.ravel(value))
    return None


def misuse(node, rank, known, opset):
    """Why the node, whose first operand has this rank, is not used as in a classification network; None if it is."""
    a = attributes(node)
    op = node.op_type

    if rank is None:
        return None

    def axis_of(value):
        return value + rank if value < 0 else value

    defaults = {"Softmax": -1 if opset >= 13 else 1, "LogSoftmax": -1 if opset >= 13 else 1, "Concat": 1, "Split": 0}
    if op in defaults and axis_of(a.get("axis", defaults[op])) != 1:
        return "acts along another axis than the channels"
    if op in ("Softmax", "LogSoftmax") and opset < 13 and rank != 2:
        return "acts along another axis than the channels"
    if op == "LayerNormalization" and (rank != 2 or axis_of(a.get("axis", -1)) != 1):
        return "acts along another axis than the channels"
    if op == "Flatten" and axis_of(a.get("axis", 1)) != 1:
        return "acts along another axis than the channels"
    if op == "Slice":
        axes = setting(node, known, "axes", 3)
        starts = setting(node, known, "starts", 1) or []
        if any(axis_of(int(i)) == 0 for i in (axes if axes is not None else range(len(starts)))):
            return "takes a part of the batch"
        if any(step < 1 for step in setting(node, known, "steps", 4) or []):
            return "turns elements"
    if op == "Resize":
        stretches = a.get("keep_aspect_ratio_policy", b"stretch") == b"stretch"
        crops = a.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
        if a.get("mode") == b"cubic" or a.get("antialias") or crops or not stretches:
            return "prepares pictures"
    if op.startswith("Reduce"):
        axes = setting(node, known, "axes", 1)
        if axes is None or sorted(axis_of(int(i)) for i in axes) not in ([2, 3], [1]):
            return "reduces other axes than the image's or the channels'"
    if op == "Pad":
        if a.get("mode", b"constant") != b"constant":
            return "pads with the image's own pixels"
        pads, axes = setting(node, known, "pads", 1), setting(node, known, "axes", 3)
        axes = [axis_of(int(i)) for i in axes] if axes else list(range(rank))
        if rank != 4 or pads is None:
            return "pads another axis than the image's"
        if any(pad != 0 for pad, axis in zip(pads, axes * 2) if axis < 1):
            return "pads the batch"
    if op == "BatchNormalization" and (a.get("training_mode") or len([o for o in node.output if o]) > 1):
        return "is training"
    if op == "Dropout" and (len(node.input) > 2 and known.get(node.input[2], False) or len([o for o in node.output if o]) > 1):
        return "is training"
    if op in ("Gemm", "MatMul") and (rank != 2 or a.get("transA") or node.input[1] not in known):
        return "multiplies other than [N, C] by weights"
    return None


def type_problem(values, ranks):
    """Why tensors are no data of a classification network; None if they are."""
    for value in values:
        if not value.type.HasField("tensor_type"):
            return "takes or makes sequences, maps or optional tensors"
        if value.type.tensor_type.elem_type != FLOAT:
            return "computes in another type than float32"
    for value in values:
        rank = len(value.type.tensor_type.shape.dim)
        if rank not in ranks:
            return f"has data of rank {rank}"
        if any(not d.HasField("dim_value") or d.dim_value < 1 for d in value.type.tensor_type.shape.dim):
            return "leaves sizes open, or has empty tensors"
    return None


def unknown_ops(model, ops):
    """The ops of the model that the importer cannot deal with where they stand."""
    translated, computed = ops
    known, unknown = set(constants(model)), set()
    for node in model.graph.node:
        is_constant = all(name in known or not name for name in node.input)
        if is_constant and node.op_type in computed or node.op_type == "Shape":
            known.update(node.output)
        elif node.op_type not in translated:
            unknown.add(node.op_type)
    return unknown


def ranks_of(model):
    """The rank of every value, as far as ONNX infers it."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {v.name: len(v.type.tensor_type.shape.dim) for v in [*inferred.input, *inferred.value_info, *inferred.output]}


def why_not(model, ops, ranks=(2, 4), is_network=False):
    """Why the model, its parameters frozen, does not apply; None if it does. How a whole network uses its ops is up to
    it."""
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            return f"uses the domain {node.domain}"
    if unknown_ops(model, ops):
        return "has ops that the importer does not know"
    if not model.graph.input:
        return "has no data"
    problem = type_problem([*model.graph.input, *model.graph.output], ranks)
    if problem or is_network:
        return problem
    if len(model.graph.node) == 1 and model.graph.node[0].op_type in REARRANGING:
        return "rearranges axes, by itself"
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    rank_of, known = ranks_of(model), constants(model)
    for node in model.graph.node:
        if node.input and all(name in known for name in node.input):
            known.update((name, None) for name in node.output)  # folded before the network runs
        elif problem := misuse(node, rank_of.get(node.input[0]) if node.input else None, known, opset):
            return problem
    return None
