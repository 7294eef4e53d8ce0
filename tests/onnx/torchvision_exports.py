#!/usr/bin/env python3
"""Exports torchvision's classification networks to ONNX with random weights, and compares what Cardinal makes of them
with PyTorch in float64.

Which networks: all that torchvision lists but vision transformers and those with more parameters than --largest. The
tolerance is harness.py's. Exit code 0: all agree; 1: some do not; 77: PyTorch is not installed.

  tests/onnx/torchvision_exports.py --cardinal build/compiler/driver/cardinal --opset 13
"""

import argparse
import pathlib
import sys
import tempfile
import time
import warnings
from collections import Counter

warnings.filterwarnings("ignore")

try:
    import torch
    import torchvision
except ImportError as error:
    print(f"skipped: {error}; install tests/oracle/requirements.txt (./test.sh does) to export its networks")
    sys.exit(77)

import harness

TRANSFORMERS = ("vit_", "swin_", "maxvit_")
# Their constructors' own initialisation takes a minute.
SLOW_INITIALISATION = ("googlenet", "inception_v3")


def build(name):
    options = {"init_weights": False} if name in SLOW_INITIALISATION else {}
    return torchvision.models.get_model(name, weights=None, **options).eval()


def randomise(model, generator):
    """Batch-norm statistics off their defaults, and scales that keep deep networks' values in range."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1, generator=generator)
            layer.bias.data.normal_(0, 0.1, generator=generator)
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)


def compare(tool, name, model, args):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    randomise(model, generator)
    size = 299 if name == "inception_v3" else args.size
    x = torch.randn(1, 3, size, size, generator=generator)
    with tempfile.TemporaryDirectory() as directory, torch.no_grad():
        directory = pathlib.Path(directory)
        torch.onnx.export(model, x, directory / "model.onnx", opset_version=args.opset, input_names=["image"])
        so, info = harness.build(tool, directory / "model.onnx", directory)
        outputs = harness.run(tool, so, info, [x.numpy()], directory)
        harness.compare(outputs[0], model.double()(x.double()).numpy())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cardinal", type=pathlib.Path, required=True, help="the compiler's binary")
    parser.add_argument("--networks", default="", help="names, separated by commas; all by default")
    parser.add_argument("--opset", type=int, default=13, help="ONNX's operator set to export to, 11 to 17")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--largest", type=float, default=90, help="millions of parameters")
    args = parser.parse_args()

    wanted = [name for name in args.networks.split(",") if name]
    passed, failures, excluded = 0, [], Counter()
    for name in wanted or torchvision.models.list_models(module=torchvision.models):
        if name.startswith(TRANSFORMERS):
            excluded["is a vision transformer"] += 1
            continue
        model = build(name)
        if sum(p.numel() for p in model.parameters()) > args.largest * 1e6:
            excluded[f"has more than {args.largest:g} million parameters"] += 1
            continue
        start = time.monotonic()
        try:
            compare(args.cardinal.resolve(), name, model, args)
            passed += 1
        except Exception as failure:  # exporting fails in many ways of its own
            failures.append((name, f"{type(failure).__name__}: {failure}" if not isinstance(failure, harness.Failure) else str(failure)))
        print(f"  {name}: {'failed' if failures and failures[-1][0] == name else 'agrees'}, {time.monotonic() - start:.0f} s", flush=True)
    harness.report(f"torchvision {torchvision.__version__}, opset {args.opset}", passed, failures, excluded)
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
