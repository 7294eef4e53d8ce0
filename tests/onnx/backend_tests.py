#!/usr/bin/env python3
"""Runs ONNX's backend tests that apply to Cardinal (see applicable.py): import, compile, run, compare.

The tests' models and data come with the onnx package: single nodes, layers and functions exported by PyTorch, simple
models, and `light` models, which are networks with made-up weights. The tolerance is ONNX's (see harness.py). Exit code
0: all that apply pass but those of known_failures.txt; 1: others fail, or one of these passes; 77: the onnx package is not
installed.

  tests/onnx/backend_tests.py --cardinal build/compiler/driver/cardinal
"""

import argparse
import collections
import concurrent.futures
import pathlib
import sys
import tempfile
import time

try:
    import numpy as np
    import onnx
    from onnx import numpy_helper
except ImportError as error:
    print(f"skipped: {error}; install tests/onnx/requirements.txt (./setup.sh --with-onnx does)")
    sys.exit(77)

import harness
from applicable import frozen, known_ops, unknown_ops, why_not

ROOT = pathlib.Path(__file__).resolve().parents[2]
KNOWN_FAILURES = pathlib.Path(__file__).with_name("known_failures.txt")
DATA = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
SUITES = ("node", "pytorch-converted", "pytorch-operator", "simple", "light")


class Test:
    """A model with its parameters frozen, the names and values of its inputs, and the expected outputs."""

    def __init__(self, name, model, inputs, outputs):
        self.name, self.model, self.inputs, self.outputs = name, model, inputs, outputs


def tensor(path):
    return numpy_helper.to_array(onnx.load_tensor(path))


def test_in(directory):
    """A test of a directory with a model and its data. Values are read only if they are tensors."""
    model = onnx.load(directory / "model.onnx")
    data = directory / "test_data_set_0"
    initialized = {i.name for i in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialized]
    values = {}
    for i, value in enumerate(inputs):
        if value.type.HasField("tensor_type") and (data / f"input_{i}.pb").exists():
            values[value.name] = tensor(data / f"input_{i}.pb")
    model, names = frozen(model, values)

    def outputs():
        return [tensor(data / f"output_{i}.pb") for i in range(len(model.graph.output))]

    return Test(directory.name, model, [values.get(name) for name in names], outputs)


def light_test(path):
    """As ONNX's own runner does: the input counts from 0 to 1; what is recorded is expected, else what ONNX's
    reference implementation computes."""
    model = onnx.load(path)
    model, names = frozen(model, {})
    inputs = []
    for value in model.graph.input:
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        inputs.append((np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32))
    recorded = path.with_name(f"{path.stem}_output_0.pb")

    def outputs():
        if recorded.exists():
            return [tensor(recorded)]
        import onnx.reference

        return onnx.reference.ReferenceEvaluator(model).run(None, dict(zip(names, inputs)))

    return Test(path.stem, model, inputs, outputs)


def tests_of(suite):
    if suite == "light":
        return [light_test(path) for path in sorted((DATA / suite).glob("*.onnx"))]
    return [test_in(model.parent) for model in sorted((DATA / suite).glob("*/model.onnx"))]


def outcome(tool, test):
    """Why the test fails; None if it passes."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        try:
            onnx.save(test.model, directory / "model.onnx")
            so, info = harness.build(tool, directory / "model.onnx", directory)
            outputs = harness.run(tool, so, info, test.inputs, directory)
            expected = test.outputs()
            if len(outputs) != len(expected):
                raise harness.Failure(f"the network has {len(outputs)} outputs, the model {len(expected)}")
            for actual, wanted in zip(outputs, expected):
                harness.compare(actual, wanted)
        except harness.Failure as failure:
            return str(failure)
    return None


def run_suite(suite, args, ops):
    excluded, strangers, applicable = collections.Counter(), collections.Counter(), []
    for test in tests_of(suite):
        if args.only not in test.name:
            continue
        reason = why_not(test.model, ops, args.ranks, is_network=suite == "light")
        if reason is None:
            applicable.append(test)
        else:
            excluded[reason] += 1
            strangers.update(unknown_ops(test.model, ops))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        outcomes = list(pool.map(lambda test: outcome(args.cardinal.resolve(), test), applicable))
    failures = [(test.name, why) for test, why in zip(applicable, outcomes) if why]
    harness.report(suite, len(applicable) - len(failures), failures, excluded)
    if strangers:
        names = [f"{op} ({count})" if count > 1 else op for op, count in sorted(strangers.items())]
        print(f"  ops that the importer does not know: {', '.join(names)}")
    return [test.name for test in applicable], {name for name, _ in failures}


def known_failures():
    lines = KNOWN_FAILURES.read_text().splitlines()
    return {line.split(":")[0] for line in lines if line and not line.startswith("#")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cardinal", type=pathlib.Path, required=True, help="the compiler's binary")
    parser.add_argument("--suites", default=",".join(SUITES), help="which, of " + ",".join(SUITES))
    parser.add_argument(
        "--ranks", type=lambda text: [int(rank) for rank in text.split(",")], default=[2, 4],
        help="the ranks of data; by default 2 and 4, [N, C] and [N, C, H, W]",
    )
    parser.add_argument("--only", default="", help="run the tests whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="how many tests to run at once")
    args = parser.parse_args()

    start, names, failed = time.monotonic(), set(), set()
    ops = known_ops(ROOT / "compiler" / "import")
    for suite in args.suites.split(","):
        applicable, failures = run_suite(suite, args, ops)
        names.update(applicable)
        failed |= failures
    passed, seconds = len(names) - len(failed), time.monotonic() - start
    print(f"ONNX {onnx.__version__}: {passed} of {len(names)} applicable tests pass, in {seconds:.0f} s")
    known = known_failures() & names
    for name in sorted(failed - known):
        print(f"{name} fails and is not a known failure")
    for name in sorted(known - failed):
        print(f"{name} passes and is listed in {KNOWN_FAILURES.name}")
    return 1 if failed != known or not names else 0


if __name__ == "__main__":
    sys.exit(main())
