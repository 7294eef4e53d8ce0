#!/usr/bin/env python3
"""Times Cardinal and its peers on the same networks with the same weights. See README.md in this directory."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/oracle"))
import compare  # noqa: E402
from harness import largest_error, np, reference, save_file, torch  # noqa: E402

NETWORKS = [
    "resnet18", "resnet50", "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "regnet_x_400mf",
    "regnet_y_400mf", "mobilenet_v2", "densenet121", "googlenet",
]
PEERS = ["onnxruntime", "openvino", "ncnn", "mnn", "tvm", "iree", "litert", "inductor"]
TOLERANCE = 1e-3  # of the largest logit; beyond it a runtime computes something else
LARGEST_BATCH = 8


def prepare(name, batches, directory):
    """Weights, inputs and ONNX files, once a network; returns its case and PyTorch's answer."""
    case = next(case for case in compare.cases() if case.name == name)
    model, image = compare.prepare(case)
    x = compare.picture((LARGEST_BATCH, *image.shape[1:]), torch.Generator().manual_seed(1))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, directory / f"{name}.safetensors")
    torch.save(state, directory / f"{name}.pt")
    (directory / f"{name}.json").write_text(json.dumps(compare.OPTIONS.get(name, {})))
    np.save(directory / f"{name}-x.npy", x.numpy())
    for batch in {1, *batches}:
        torch.onnx.export(model, x[:batch], directory / f"{name}-b{batch}.onnx", opset_version=13)
    return case, reference(model, x)


class Peer:
    """A worker process. It is given the cores that it may use, and waits while others run."""

    def __init__(self, name, python, model, threads):
        self.name = name
        self.output = model.with_name(f"{model.stem}-{name}.npy")
        command = [python, pathlib.Path(__file__).with_name("worker.py"), name, model, threads, self.output]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, range(threads)),
        )
        answer = self.read()
        self.failed = answer.get("failed", "")
        self.version = answer.get("version", "")

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"failed": f"the process ended with {self.process.wait()}"}

    def result(self):
        return np.load(self.output)

    def run(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.kill()
        self.process.wait()


class Cardinal:
    """The compiled network under `cardinal bench`, which is a process of its own in each round."""

    name, failed = "cardinal", ""

    def __init__(self, tool, case, weights, x, threads, directory):
        self.tool, self.threads, self.directory = tool, threads, directory
        self.so = directory / f"{case.name}-b{len(x)}.so"
        self.peaks = []
        np.save(directory / "x.npy", x)
        # The sources are written for one image; imports are found beside the copy through their folder.
        text = case.source.read_text().replace("f32[1,", f"f32[{len(x)},")
        with tempfile.NamedTemporaryFile("w", dir=case.source.parent, suffix=".nn") as copy:
            copy.write(text)
            copy.flush()
            self.call("compile", copy.name, "--network", case.network, "--weights", weights, "-o", self.so)
        self.version = self.call("--version").split()[-1]

    def call(self, *words):
        command = ["taskset", "-c", f"0-{self.threads - 1}", self.tool, *words]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def result(self):
        output = self.directory / "y.npy"
        self.call("run", self.so, "--input", self.directory / "x.npy", "--output", output, "--threads", self.threads)
        return np.load(output)

    def run(self, seconds):
        words = ["bench", self.so, "--seconds", seconds, "--threads", self.threads, "--json"]
        answer = json.loads(self.call(*words))
        self.peaks.append(answer["peak_gflops"])
        self.flops = answer["flops"]
        return answer["times_ms"]

    def close(self):
        pass


def measure(case, expected, batch, threads, args):
    """All runtimes on one network: {"times": {runtime: [ms]}, "wrong": {runtime: why}, ...}."""
    name, directory = case.name, args.directory
    x = np.load(directory / f"{name}-x.npy")[:batch]
    row = {"network": name, "batch": batch, "threads": threads, "times": {}, "errors": {}, "left_out": {}, "versions": {}}
    runtimes = [Cardinal(args.cardinal, case, directory / f"{name}.safetensors", x, threads, directory)]
    for peer in args.peers:
        runtimes.append(Peer(peer, args.peers_python, directory / f"{name}-b{batch}.onnx", threads))
    able = []
    for runtime in runtimes:
        row["versions"][runtime.name] = runtime.version
        if not runtime.failed:
            y = runtime.result().astype(np.float32).reshape(expected[:batch].shape)
            row["errors"][runtime.name] = largest_error(y, expected[:batch])
            if row["errors"][runtime.name] > TOLERANCE:
                runtime.failed = f"wrong by {row['errors'][runtime.name]:.1e} of the largest logit"
        if runtime.failed:
            row["left_out"][runtime.name] = runtime.failed
            runtime.close()
        else:
            able.append(runtime)
    for _ in range(args.rounds):
        for runtime in able:
            row["times"].setdefault(runtime.name, []).extend(runtime.run(args.seconds))
    cardinal = runtimes[0]
    if cardinal in able:
        row["peak_gflops"], row["flops"] = statistics.median(cardinal.peaks), cardinal.flops
    for runtime in able:
        runtime.close()
    return row


def line(row):
    medians = {runtime: statistics.median(times) for runtime, times in row["times"].items()}
    peers = {runtime: time for runtime, time in medians.items() if runtime != "cardinal"}
    cells = []
    for runtime in ["cardinal", *PEERS]:
        cells.append(f"{medians[runtime]:.2f} ({min(row['times'][runtime]):.2f})" if runtime in medians else "-")
    ratio = share = "-"
    if "cardinal" in medians:
        share = f"{row['flops'] / medians['cardinal'] / row['peak_gflops'] / 1e4:.0f}%"
        if peers:
            best = min(peers, key=peers.get)
            ratio = f"{medians['cardinal'] / peers[best]:.2f} ({best})"
    return [row["network"], row["batch"], row["threads"], *cells, ratio, share]


def tables(rows, cpu, not_installed):
    titles = ["network", "batch", "threads", "cardinal", *PEERS, "ratio to the best peer", "% of FMA peak"]
    out = [f"Milliseconds, median (least), fp32, 224x224; {cpu}.", ""]
    out += ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    out += ["| " + " | ".join(str(cell) for cell in line(row)) + " |" for row in rows]
    versions = {name: version for row in rows for name, version in row["versions"].items() if version}
    out += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."]
    reasons = {(name, why) for row in rows for name, why in row["left_out"].items()}
    left_out = [f"- {name}: {why}" for name, why in sorted(reasons)] + [f"- {why}" for why in not_installed]
    return "\n".join(out + (["", "Left out:", ""] + left_out if left_out else [])) + "\n"


def plot(rows, python, directory):
    """By the peers' Python, where matplotlib is; without it there is no plot."""
    done = subprocess.run([python, pathlib.Path(__file__).with_name("plot.py"), directory / "results.json",
                           directory / "results.png"], capture_output=True, text=True)
    if done.returncode:
        print(f"no plot: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)


def cpu_name():
    for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.split(":", 1)[1].strip()
    return platform.processor()


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cardinal", type=pathlib.Path, default=ROOT / "build/compiler/driver/cardinal")
    parser.add_argument("--peers-python", required=True, help="the Python that has the peers")
    parser.add_argument("--directory", type=pathlib.Path, required=True, help="where models and results go")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--peers", default=",".join(PEERS), type=lambda text: text.split(","))
    parser.add_argument("--threads", default="1,2", type=numbers)
    parser.add_argument("--batches", default="1,8", type=numbers)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--seconds", default=1.0, type=float, help="of each runtime in each round")
    args = parser.parse_args()
    args.cardinal, args.directory = args.cardinal.resolve(), args.directory.resolve()
    args.directory.mkdir(parents=True, exist_ok=True)

    listed = args.directory / "not_installed.txt"
    not_installed = listed.read_text().splitlines() if listed.exists() else []
    rows = []
    for name in args.networks.split(","):
        case, expected = prepare(name, args.batches, args.directory)
        for batch in args.batches:
            for threads in args.threads:
                rows.append(measure(case, expected, batch, threads, args))
                print(*line(rows[-1]), sep="  ", flush=True)
                result = {"cpu": cpu_name(), "rows": rows}
                (args.directory / "results.json").write_text(json.dumps(result))
                (args.directory / "results.md").write_text(tables(rows, cpu_name(), not_installed))
    plot(rows, args.peers_python, args.directory)


if __name__ == "__main__":
    main()
