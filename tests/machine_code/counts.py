"""Counts the instructions that each kernel of hot_loops.nn executes, and the bytes of its code. Functions that kernels
share are counted by kind: all reductions of fast matrix multiplication, for instance, are strassen_product.

    counts.py CARDINAL RUN_ONCE NETWORK.nn COUNTS.txt [--record]

compares them with what COUNTS.txt has, and fails where they differ by more than 1%; with --record it writes the file.
Instructions are counted by valgrind's callgrind, which does not know AVX-512, so for x86-64-v3 alone. Exits with 77 if
valgrind is not installed or this CPU lacks AVX2.
"""

import collections
import itertools
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOLERANCE = 0.01
TARGETS = ["x86-64-v3", "x86-64-v4"]


def kernel_of(function):
    """A kernel's tile functions have its name and a suffix: kernel_3_conv_direct_6x1.panel0.tile1. Those that kernels
    share have the target's name, what they are and what they are made for: x86-64-v3.strassen_product_6x1_u4_p2_64."""
    if function.startswith("kernel_"):
        return function.split(".")[0]
    target, _, shared = function.partition(".")
    if target not in TARGETS:
        return None
    return "_".join(itertools.takewhile(lambda word: not word[0].isdigit(), shared.split("_")))


def code_bytes(library):
    sizes = collections.Counter()
    listing = subprocess.run(["nm", "-S", library], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tT" and kernel_of(fields[3]):
            sizes[kernel_of(fields[3])] += int(fields[1], 16)
    return sizes


def instructions(library, run_once, directory):
    out = os.path.join(directory, "callgrind.out")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", run_once, library]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ran.stderr}")
    counts, names, function, inclusive = collections.Counter(), {}, None, False
    with open(out) as lines:
        for line in lines:
            named = re.match(r"fn=\((\d+)\)(?: (.*))?", line)
            if named:
                if named.group(2):
                    names[named.group(1)] = named.group(2)
                function = kernel_of(names[named.group(1)])
            elif line.startswith("cfn="):
                called = re.match(r"cfn=\((\d+)\) (.*)", line)
                if called:
                    names[called.group(1)] = called.group(2)
            elif line.startswith("calls="):
                inclusive = True  # the next line is what the called function cost
            elif function and re.match(r"[+\-*\d]", line):
                if not inclusive:
                    counts[function] += int(line.split()[1])
                inclusive = False
            elif re.match(r"[+\-*\d]", line):
                inclusive = False
    return counts


def measure(cardinal, run_once, network):
    """{(target, kernel): {"bytes": n, "instructions": n}}"""
    measured = {}
    with tempfile.TemporaryDirectory() as directory:
        for target in TARGETS:
            library = os.path.join(directory, target + ".so")
            command = [cardinal, "compile", network, "--weights", "random:1", "--target", target, "-o", library]
            command += ["--plan", os.path.splitext(network)[0] + ".plan"]
            subprocess.run(command, check=True, capture_output=True)
            for kernel, size in code_bytes(library).items():
                measured[target, kernel] = {"bytes": size}
            if target == TARGETS[0]:
                for kernel, count in instructions(library, run_once, directory).items():
                    measured[target, kernel]["instructions"] = count
    return measured


def order(key):
    target, kernel = key
    return target, int(kernel.split("_")[1]) if kernel.startswith("kernel_") else math.inf, kernel


def write(path, measured):
    with open(path, "w") as out:
        out.write("# target kernel: bytes of code, instructions of a run. Written by counts.py --record.\n")
        for target, kernel in sorted(measured, key=order):
            numbers = ", ".join(f"{value} {name}" for name, value in measured[target, kernel].items())
            out.write(f"{target} {kernel}: {numbers}\n")


def read(path):
    recorded = {}
    with open(path) as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            key, numbers = line.split(": ")
            pairs = (number.split() for number in numbers.split(", "))
            recorded[tuple(key.split())] = {name: int(value) for value, name in pairs}
    return recorded


def differences(recorded, measured):
    for key in sorted(recorded.keys() | measured.keys(), key=order):
        old, new = recorded.get(key, {}), measured.get(key, {})
        for name in sorted(old.keys() | new.keys()):
            was, now = old.get(name, 0), new.get(name, 0)
            if abs(now - was) > TOLERANCE * was:
                change = f" ({100 * (now - was) / was:+.1f}%)" if was else ""
                yield f"{' '.join(key)}: {was} -> {now} {name}{change}"


def main():
    cardinal, run_once, network, path, *record = sys.argv[1:]
    with open("/proc/cpuinfo") as facts:
        has_avx2 = " avx2 " in facts.read()
    if not shutil.which("valgrind") or not has_avx2:
        print("skipped: needs valgrind and a CPU with AVX2")
        sys.exit(77)
    measured = measure(cardinal, run_once, network)
    if record == ["--record"]:
        return write(path, measured)
    found = list(differences(read(path), measured))
    print("\n".join(found) or f"{len(measured)} kernels as recorded")
    if found:
        print("if that is meant, record it with --record")
        sys.exit(1)


if __name__ == "__main__":
    main()
