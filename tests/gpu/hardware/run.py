"""Runs a folder that prepare.py made on this machine's GPU: first all results against PyTorch's, then the times."""

import argparse
import lzma
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CANNOT = 2  # exit code


def options():
    parser = argparse.ArgumentParser(prog="tests/gpu/run.sh", description=__doc__)
    parser.add_argument("--bundle", type=pathlib.Path, default=HERE.parents[2] / "build/gpu_bundle")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--check-only", action="store_true", help="no times")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out; it takes minutes")
    parser.add_argument("--steps", action="store_true", help="print the time of each step")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def stop(message):
    print(message, file=sys.stderr)
    sys.exit(CANNOT)


def unpack(folder, store, scratch):
    """The weights that STORE has compressed, beside a copy of the shared object; returns its path."""
    scratch.mkdir(parents=True)
    (scratch / "network.so").write_bytes((folder / "network.so").read_bytes())
    for where in folder.glob("*.where"):
        (scratch / where.stem).write_bytes(lzma.decompress((store / where.read_text()).read_bytes()))
    return scratch / "network.so"


def check_ops(bridge, bundle, device):
    """Returns how many are wrong."""
    import numpy as np
    import torch
    from bridge import GpuError
    from measure import TOLERANCE, relative_error

    folders = sorted((bundle / "ops").glob("*"))
    wrong = 0
    for folder in folders:
        x = torch.from_numpy(np.load(folder / "x.npy")).cuda(device)
        expected = torch.from_numpy(np.load(folder / "y.npy"))
        y = torch.full(expected.shape, float("nan"), device=x.device)
        try:
            network = bridge.open(folder / "network.so", device)
            network.run(x, y, torch.cuda.current_stream(device).cuda_stream)
            torch.cuda.synchronize(device)
            network.close()
            error = relative_error(y.cpu(), expected)
            problem = "" if error <= TOLERANCE else f"relative L2 error {error:.1e}"
        except GpuError as failure:
            problem = str(failure)
        if problem:
            print(f"  WRONG {(folder / 'text').read_text()} {list(x.shape)}: {problem}")
            wrong += 1
    print(f"single ops: {len(folders) - wrong} of {len(folders)} right")
    return wrong


def main():
    args = options()
    if not (args.bundle / "bundle.json").exists():
        stop(f"{args.bundle} is no bundle; make one with `tests/gpu/run.sh prepare` where the compiler is")
    try:
        import torch
    except ImportError as error:
        stop(f"this Python has no PyTorch ({error}); set PYTHON to one that has")
    if not torch.cuda.is_available():
        stop("PyTorch sees no GPU: this needs an NVIDIA GPU and a PyTorch built for CUDA")
    sys.path.insert(0, str(HERE))
    import contest
    from bridge import Bridge

    torch.cuda.set_device(args.device)
    bridge = Bridge(args.bundle / "libcardinal_bridge.so")
    print(f"{torch.cuda.get_device_name(args.device)}, PyTorch {torch.__version__}")
    wrong = check_ops(bridge, args.bundle, args.device)
    with tempfile.TemporaryDirectory() as scratch:
        for folder in sorted((args.bundle / "networks").glob("*")):
            # By matrix unit: what is measured against each other.
            ours = {unit.name: unpack(unit, args.bundle / "weights", pathlib.Path(scratch) / folder.name / unit.name)
                    for unit in sorted(folder.glob("*"))}
            name, _, batch = folder.name.rpartition("-")
            wrong += contest.network(bridge, ours, name, int(batch), args)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
