"""Compiles networks and single ops for a GPU into a folder that can be carried to a machine with one."""

import argparse
import hashlib
import itertools
import json
import lzma
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/oracle"), str(pathlib.Path(__file__).resolve().parent)]

MOST_BYTES = 60 << 20
NETWORKS = ("resnet50", "resnext50_32x4d")
WGMMA_TARGET = "sm_90a"
WGMMA_BATCH = 32  # the fewest images that networks are compiled for it with: its tiles are large
BY_WGMMA = "op algorithm=wgmma"  # a plan's line
WGMMA_TILES = ("64x64", "64x128", "64x256", "128x64", "128x128", "128x256")


def options():
    parser = argparse.ArgumentParser(prog="tests/gpu/run.sh prepare", description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the build folder")
    parser.add_argument("--bundle", type=pathlib.Path, help="where to write; gpu_bundle in the build folder")
    parser.add_argument("--target", default="sm_90a")
    parser.add_argument("--networks", nargs="*", default=NETWORKS, help="of examples/networks/resnet.nn")
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 128])
    parser.add_argument("--no-ops", action="store_true", help="leave out single ops")
    parser.add_argument("--wgmma", action="store_true",
                        help="single ops and networks for large batches by wgmma as well; of one network, for its "
                             "weights are packed anew")
    args = parser.parse_args()
    if args.wgmma and args.target != WGMMA_TARGET:
        parser.error(f"--wgmma is for --target {WGMMA_TARGET}")
    return args


def compile_network(cardinal, source, weights, output, *arguments):
    """Returns what is wrong, or ''."""
    command = [cardinal, "compile", source, "--weights", weights, "-o", output, *arguments]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def op_cases(wgmma):
    """Every case of tests/oracle/ops.py, and with WGMMA each convolution that it can compute once more by it, with the
    plan that says so; also one in each of its tiles."""
    import ops

    for case in [*ops.convolutions(), *ops.others()]:
        yield case, ""
    if wgmma:
        for case in ops.convolutions():
            yield case, BY_WGMMA
        for tile in WGMMA_TILES:
            channels = int(tile.split("x")[1]) + 24
            yield ops.conv("kernel=3, bias=true", [2, 72, 23, 21], channels, 3, padding=1), f"{BY_WGMMA} tile={tile}"


def prepare_ops(cardinal, target, folder, wgmma):
    """op_cases with their inputs and PyTorch's answers in float64. Returns how many could not be compiled."""
    import numpy as np
    from harness import WEIGHTS, reference, save_file, torch

    failures = 0
    torch.manual_seed(1)
    for i, (case, plan) in enumerate(op_cases(wgmma)):
        case.eval()
        with torch.no_grad():
            for name, value in case.named_buffers():
                if name.endswith("running_var"):
                    value.uniform_(0.5, 1.5)
        place = folder / f"{i:03}"
        place.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            dims = ", ".join(str(extent) for extent in case.shape)
            source = scratch / "op.nn"
            source.write_text(f"network op {{\n  input x: f32[{dims}]\n  return y = x |> {case.text}\n}}\n")
            save_file({k: v.contiguous() for k, v in case.state_dict().items() if v.dim()}, scratch / WEIGHTS)
            (scratch / "plan").write_text(plan)
            problem = compile_network(cardinal, source, scratch / WEIGHTS, place / "network.so", "--target", target,
                                      "--plan", scratch / "plan")
        if problem:
            shutil.rmtree(place)
            if plan != BY_WGMMA or "allows no wgmma" not in problem:
                print(f"  {case.text} {plan}: {problem}")
                failures += 1
            continue
        x = torch.randn(case.shape)
        np.save(place / "x.npy", x.numpy())
        np.save(place / "y.npy", reference(case, x))
        (place / "text").write_text(f"{case.text} {plan}".strip())
        for extra in place.glob("*.h"):
            extra.unlink()
    return failures


def keep_weights(path, store):
    """Compresses the file at PATH into the folder STORE, where equal ones are one, and leaves its name there in its
    place."""
    data = path.read_bytes()
    name = hashlib.sha256(data).hexdigest()[:16]
    store.mkdir(exist_ok=True)
    if not (store / name).exists():
        (store / name).write_bytes(lzma.compress(data, preset=1))
    (path.parent / (path.name + ".where")).write_text(name)
    path.unlink()


def prepare_network(cardinal, name, batch, folder, store, options):
    """The shared object, and its weights in STORE. Returns what is wrong, or ''."""
    import seeded
    import torch
    import torchvision
    from safetensors.torch import save_file

    shapes = {key: value.shape for key, value in getattr(torchvision.models, name)().state_dict().items()}
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        weights = pathlib.Path(scratch) / "weights.safetensors"
        save_file({k: torch.from_numpy(v) for k, v in seeded.state(shapes).items()}, weights)
        problem = compile_network(cardinal, ROOT / "examples/networks/resnet.nn", weights, folder / "network.so",
                                  "--network", name, "--batch", batch, "--weights-file", *options)
    if problem:
        return problem
    for path in folder.iterdir():
        if path.suffix == ".h":
            path.unlink()
        elif path.suffix == ".weights":
            keep_weights(path, store)
    return ""


def main():
    args = options()
    cardinal = args.build / "compiler/driver/cardinal"
    bridge = next(iter((args.build / "tests/gpu/hardware").glob("libcardinal_bridge.so")), None)
    if not cardinal.exists() or not bridge:
        sys.exit(f"{args.build} has no cardinal or no libcardinal_bridge.so; build the targets cardinal and cardinal_bridge")
    bundle = args.bundle or args.build / "gpu_bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir(parents=True)
    shutil.copy(bridge, bundle)
    failures = 0
    if not args.no_ops:
        print("single ops")
        failures += prepare_ops(cardinal, args.target, bundle / "ops", args.wgmma)
    for name, batch in itertools.product(args.networks, args.batches):
        for unit in ("mma", "wgmma") if args.wgmma and batch >= WGMMA_BATCH else ("mma",):
            print(f"{name}, {batch} images, {unit}", flush=True)
            problem = prepare_network(cardinal, name, batch, bundle / "networks" / f"{name}-{batch}" / unit,
                                      bundle / "weights", ("--target", args.target, "--matrix-unit", unit))
            if problem:
                print(f"  {problem}")
                failures += 1
    (bundle / "bundle.json").write_text(json.dumps({"target": args.target}))
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    print(f"{bundle}: {size / 2**20:.1f} MiB")
    if size > MOST_BYTES:
        print(f"that is more than {MOST_BYTES >> 20} MiB; prepare fewer networks or batches at a time")
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
