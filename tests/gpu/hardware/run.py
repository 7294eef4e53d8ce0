"""Runs a folder that prepare.py made on this machine's GPU: first all results against PyTorch's, then the times."""

import argparse
import lzma
import pathlib
import shutil
import subprocess
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
    parser.add_argument("--run-only", action="store_true", help="run every kernel once, compare and measure nothing")
    parser.add_argument("--sanitize", action="store_true", help="the same under each tool of compute-sanitizer")
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


def sanitize(args):
    """Returns how many tools found something. They see little but our kernels, since nothing is compared."""
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not pathlib.Path(program).exists():
        stop("compute-sanitizer is neither on the path nor in /usr/local/cuda/bin; it comes with the CUDA toolkit")
    found = 0
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, __file__, "--run-only",
                   "--bundle", str(args.bundle), "--device", str(args.device)]
        code = subprocess.run(command).returncode
        print(f"compute-sanitizer {tool}: {'nothing found' if code == 0 else f'exit code {code}'}", flush=True)
        found += code != 0
    return found


def run_once(bridge, so, batch, device):
    """A network of images with 1000 classes."""
    import torch

    x = torch.zeros(batch, 3, 224, 224, device=f"cuda:{device}")
    y = torch.zeros(batch, 1000, device=x.device)
    network = bridge.open(so, device)
    network.run(x, y, torch.cuda.current_stream(device).cuda_stream)
    torch.cuda.synchronize(device)
    network.close()


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
    if args.sanitize:
        return 1 if sanitize(args) else 0
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
            if args.run_only:
                for so in ours.values():
                    run_once(bridge, so, int(batch), args.device)
            else:
                wrong += contest.network(bridge, ours, name, int(batch), args)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
