#!/usr/bin/env python3
"""How near convolutions come to the FMA peak while everything they read is in the caches.

    warm.py CARDINAL [--seconds 0.5] [--target native] [--only grouped]

compiles small networks, profiles them, and prints tables of the share of the arithmetic floor (taps in the padding are
not counted; see docs/performance.md) that the least time of each convolution reaches. Times depend on the machine, so
this is no test.
"""

import argparse
import json
import math
import pathlib
import subprocess
import tempfile

SOURCE = """network warm(c: int, oc: int, size: int, kernel: int, groups: int, stride: int) {
  input image: f32[1, c, size, size]
  x = image |> before: conv(c, kernel=1, bias=true) |> relu
  y = x |> measured: conv(oc, kernel=kernel, groups=groups, stride=stride, bias=true) |> relu
  return y = y
}
"""
# Outputs and stride.
GEOMETRIES = [(28, 1), (14, 1), (7, 1), (28, 2), (14, 2), (7, 2)]
WIDTHS = [2, 4, 8, 16, 24, 32, 40, 48, 56, 64]
FEWEST_CHANNELS = 64  # of a grouped convolution


def grouped():
    for width in WIDTHS:
        whole = math.lcm(width, 16)
        channels = whole * math.ceil(FEWEST_CHANNELS / whole)
        yield f"groups of {width}", {"c": channels, "oc": channels, "kernel": 3, "groups": channels // width}


def dense():
    yield "1x1, 128 to 128", {"c": 128, "oc": 128, "kernel": 1, "groups": 1}
    yield "1x1, 256 to 64", {"c": 256, "oc": 64, "kernel": 1, "groups": 1}
    yield "3x3, 64 to 64", {"c": 64, "oc": 64, "kernel": 3, "groups": 1}


def depthwise():
    for kernel in (3, 5, 7):
        yield f"depthwise {kernel}x{kernel}", {"c": 64, "oc": 64, "kernel": kernel, "groups": 64}


TABLES = {"dense": dense, "grouped": grouped, "depthwise": depthwise}


class Bench:
    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, pathlib.Path(directory)
        (self.directory / "warm.nn").write_text(SOURCE)

    def run(self, *command):
        subprocess.run([self.arguments.cardinal, *command], check=True, cwd=self.directory, capture_output=True)

    def share(self, sizes, outputs, stride):
        """Of the arithmetic floor, in percent, and the kernel. Direct sums alone: fast algorithms have other floors."""
        settings = [f"{key}={value}" for key, value in {**sizes, "size": outputs * stride, "stride": stride}.items()]
        sets = [word for setting in settings for word in ("--set", setting)]
        direct = ["--winograd=off", "--fast-matmul=off", "--blocked-sums=off"]
        target = ["--weights", "random:0", "--target", self.arguments.target]
        self.run("compile", "warm.nn", *sets, *direct, *target, "-o", "warm.so")
        self.run("profile", "warm.so", "--seconds", str(self.arguments.seconds), "-o", "warm.json")
        steps = json.loads((self.directory / "warm.json").read_text())["steps"]
        step = next(step for step in steps if step["name"] == "measured")
        return 100 * step["floor_arithmetic_us"] / step["min_us"], step["kernel"].removeprefix("conv_")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cardinal", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--target", default="native")
    parser.add_argument("--only", choices=TABLES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(arguments, directory)
        for title, rows in TABLES.items():
            if arguments.only not in (None, title):
                continue
            columns = [f"{size}x{size}" + (" stride 2" if stride == 2 else "") for size, stride in GEOMETRIES]
            print("\n| " + " | ".join([title, *columns]) + " |")
            print("|---" * (len(columns) + 1) + "|")
            for name, sizes in rows():
                cells = ["{:.0f}% {}".format(*bench.share(sizes, *geometry)) for geometry in GEOMETRIES]
                print("| " + " | ".join([name, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
