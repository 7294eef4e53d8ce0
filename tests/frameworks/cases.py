"""What the four frameworks' networks share: the cases, their input, and random weights like a trained network's.

Each of {pytorch,mxnet,keras,flax}_networks.py is run by its own framework's Python as
    python FRAMEWORK_networks.py DIRECTORY [CASE...]
and leaves DIRECTORY/CASE/ with the weights in every container that the framework's users save, input.npy in the
framework's own layout, and output.npy, the framework's answer.
"""

import argparse
import functools
import pathlib
import zlib

import numpy as np

# The input's n, c, h, w. Heights and widths are odd and even, so that padding at stride 2 falls differently.
CASES = {
    "residual": (2, 3, 7, 6),
    "residual_projected": (2, 3, 7, 6),
    "residual_halving": (2, 3, 7, 6),
    "resnext": (1, 16, 7, 6),
    "resnext_projected": (1, 16, 7, 6),
    "resnext_halving": (1, 16, 7, 6),
    "tiny": (2, 3, 21, 24),
    "small_resnet": (1, 1, 33, 28),
    "resnet18": (1, 1, 96, 96),
}
RECORDED = [case for case in CASES if case != "resnet18"]  # whose weights are 45 MB

# The chapter's ResNet: how many blocks a stage has, and their channels.
RESNET18 = ((2, 64), (2, 128), (2, 256), (2, 512))
SMALL_RESNET = ((2, 8), (1, 12))


# The depthwise layer of `tiny`, by the names of the frameworks. It is quiet, so that the epsilon of the layer norm behind
# it counts.
QUIET = ("depthwise.", "4.", "depthwise/", "params/Conv_1/")


def random_weight(rng, name, shape):
    """A value for a weight: kernels keep the signal's size, and no scale, shift, mean or variance is what a fresh
    network has. NAME ends in what the framework calls the weight."""
    if len(shape) > 1:
        output_channels = shape[-1] if name.endswith("kernel") else shape[0]
        value = rng.normal(0, np.sqrt(2 * output_channels / np.prod(shape)), shape)
    elif name.endswith(("var", "variance")):
        value = rng.uniform(0.05, 1.5, shape)  # small ones, so that the epsilon counts
    elif name.endswith(("gamma", "scale", "weight")):
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = rng.normal(0, 0.3, shape)
    return (0.01 * value if name.startswith(QUIET) else value).astype(np.float32)


def main(networks, channels_last, save):
    """The command line of a framework's file. NETWORKS gives a constructor for each case; save(make, x, draw, stem)
    gives the network draw(name, shape) for its weights, writes them to STEM with the usual endings, and returns the
    network's output for x."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("case", nargs="*", default=list(CASES))
    args = parser.parse_args()
    for case in args.case:
        rng = np.random.RandomState(zlib.crc32(case.encode()))
        x = rng.normal(0, 1, CASES[case]).astype(np.float32)
        if channels_last:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        directory = args.directory / case
        directory.mkdir(parents=True, exist_ok=True)
        draw = functools.partial(random_weight, rng)
        output = save(networks[case], x, draw, str(directory / "weights"))
        np.save(directory / "input.npy", x)
        np.save(directory / "output.npy", np.ascontiguousarray(output).astype(np.float32))
