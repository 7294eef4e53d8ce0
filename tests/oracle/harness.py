"""What the comparisons with PyTorch share: skipping without PyTorch, driving the tool, and measuring the error."""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import warnings

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
TOLERANCE = 1e-4  # largest |error| as a share of the largest |output|, fp32 against float64
WEIGHTS = "weights.safetensors"
ROOT = pathlib.Path(__file__).resolve().parents[2]

# torchvision's own image files are not used here; its decoder does not load beside this torch, which it says at length.
warnings.filterwarnings("ignore", message="Failed to load image Python extension")

try:
    import numpy as np
    import torch
    import torchvision
    from safetensors.torch import save_file
except ImportError as error:
    print(f"skipped: {error}; install tests/oracle/requirements.txt (./test.sh does) to compare with PyTorch")
    sys.exit(SKIPPED)

torch.set_num_threads(os.cpu_count() or 1)


class Failure(Exception):
    """A comparison that did not hold, or a command that should have worked."""


def call(command, directory):
    """Runs a command to its end; returns the seconds of processor time it took, which other load changes little."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(word) for word in command], cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Failure(f"{' '.join(str(word) for word in command)}: exit code {done.returncode}\n{done.stderr.strip()}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def arguments(description):
    """A parser for what both comparisons are told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cardinal", type=pathlib.Path, required=True, help="the compiler's binary")
    parser.add_argument("--target", default="native", help="the CPU to compile for; this machine runs the result")
    return parser


def compile_network(tool, source, directory, target, network="", settings=None):
    """Compiles SOURCE with DIRECTORY's weights into it; returns the shared object and the seconds."""
    so = directory / "network.so"
    command = [tool, "compile", source, "--weights", directory / WEIGHTS, "--target", target, "-o", so]
    command += ["--network", network] if network else []
    for key, value in (settings or {}).items():
        command += ["--set", f"{key}={value}"]
    return so, call(command, directory)


def code_bytes(tool, so, directory):
    """Of a compiled network, all but its weights."""
    text = subprocess.run([tool, "info", so, "--json"], cwd=directory, capture_output=True, text=True, check=True).stdout
    info = json.loads(text)
    return info["file_bytes"] - info["weights_bytes"]


def run_network(tool, so, x, directory, threads=1):
    """The compiled network's output for the tensor X."""
    np.save(directory / "x.npy", x.numpy().astype(np.float32))
    output = directory / "y.npy"
    output.unlink(missing_ok=True)
    command = [tool, "run", so, "--input", directory / "x.npy", "--output", output, "--threads", threads]
    call(command, directory)
    return np.load(output)


def largest_error(actual, expected):
    """max |actual - expected| / max |expected|, after checking that the two can be compared at all."""
    if actual.dtype != np.float32 or actual.shape != expected.shape:
        raise Failure(f"got {actual.dtype} {list(actual.shape)}, expected float32 {list(expected.shape)}")
    if not np.isfinite(actual).all():
        raise Failure(f"{np.count_nonzero(~np.isfinite(actual))} of {actual.size} outputs are not finite")
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def reference(model, x):
    """PyTorch's answer in float64."""
    with torch.no_grad():
        return model.double()(x.double()).numpy()
