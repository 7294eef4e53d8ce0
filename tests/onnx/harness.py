"""What the ONNX tests share: driving the tool from a model file to its outputs, comparing, and a report."""

import json
import os
import pathlib
import subprocess

import numpy as np

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
RELATIVE = 1e-3  # ONNX's own tolerance: |error| <= 1e-3 |expected| + 1e-7,
ABSOLUTE = 1e-7
OF_LARGEST = 1e-4  # or 1e-4 of the largest expected value, which sums of many terms need
SECONDS = 900  # no import, compilation or run of one model takes longer


class Failure(Exception):
    """A model that did not get through, or outputs that differ."""


def call(command, directory):
    try:
        done = subprocess.run(
            [str(word) for word in command], cwd=directory, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"{command[1]}: not done after {SECONDS} s")
    if done.returncode != 0:
        raise Failure(f"{command[1]}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def build(tool, model, directory):
    """MODEL, an .onnx file, as a shared object; with what `cardinal info` says of it."""
    source, so = directory / "network.nn", directory / "network.so"
    call([tool, "import", model, "-o", source], directory)
    call([tool, "compile", source, "--weights", source.with_suffix(".safetensors"), "-o", so], directory)
    return so, json.loads(call([tool, "info", so, "--json"], directory))


def buffer_shape(tensor):
    """The dimensions of the caller's array."""
    shape = tensor["shape"]
    return [shape[0], shape[2], shape[3], shape[1]] if tensor["layout"] == "nhwc" else shape


def run(tool, so, info, inputs, directory):
    """The network's outputs, in order, for arrays in order."""
    if len(inputs) != len(info["inputs"]):
        raise Failure(f"the network has {len(info['inputs'])} inputs, the model {len(inputs)}")
    command = [tool, "run", so]
    for i, (tensor, array) in enumerate(zip(info["inputs"], inputs)):
        if array.size != np.prod(buffer_shape(tensor)):
            raise Failure(f"input {tensor['name']} is {buffer_shape(tensor)}, the model's is {list(array.shape)}")
        np.save(directory / f"in{i}.npy", np.ascontiguousarray(array.reshape(buffer_shape(tensor)), dtype=np.float32))
        command += ["--input", f"{tensor['name']}={directory / f'in{i}.npy'}"]
    outputs = [directory / f"out{i}.npy" for i in range(len(info["outputs"]))]
    for tensor, path in zip(info["outputs"], outputs):
        command += ["--output", f"{tensor['name']}={path}"]
    call(command, directory)
    return [np.load(path) for path in outputs]


def compare(actual, expected, strict_shape=True):
    """Raises Failure unless ACTUAL is close to EXPECTED and, if asked to be strict, of its shape."""
    if actual.size == expected.size and not strict_shape:
        actual = actual.reshape(expected.shape)
    if actual.shape != expected.shape:
        raise Failure(f"the output is {list(actual.shape)}, expected {list(expected.shape)}")
    expected = expected.astype(np.float64)
    error = np.abs(actual - expected)
    largest = np.abs(expected).max(initial=0)
    allowed = np.maximum(RELATIVE * np.abs(expected) + ABSOLUTE, OF_LARGEST * largest)
    wrong = ~(error <= allowed)
    if wrong.any():
        worst = np.nanmax(np.where(np.isnan(error), np.inf, error))
        raise Failure(f"{wrong.sum()} of {wrong.size} outputs differ, by up to {worst:.3g}; the largest is {largest:.3g}")


def report(suite, passed, failures, excluded):
    """Prints a suite's counts: FAILURES is a list of (name, why), EXCLUDED a Counter of reasons."""
    print(f"{suite}: {passed} of {passed + len(failures)} applicable tests pass; {sum(excluded.values())} do not apply")
    for reason, count in sorted(excluded.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:5} {reason}")
    for name, why in failures:
        print(f"  FAILED {name}: {os.linesep.join(why.splitlines()[:3])}")
