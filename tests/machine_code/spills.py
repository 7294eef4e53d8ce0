"""Looks for registers that are spilled to the stack in the innermost loops of the networks' kernels.

    spills.py CARDINAL NETWORK.nn TARGET [PLAN]

compiles the network to assembly for the target and fails if instructions of an innermost loop move vectors from or to
the stack: more than one in thirty, or of the kernels named below more than they are allowed.
"""

import re
import subprocess
import sys

ALLOWED_SHARE = 1 / 30
# Tiles whose vectors LLVM's scheduler loads early: by kernel, the share that their widest tiles spill.
EXCEPTIONS = {"conv_lanes": 1 / 9}
FEWEST_LOOPS = 20  # in the whole network, so that a change of the listing's form is not taken for success


def functions(assembly):
    name, lines = None, []
    for line in assembly.splitlines():
        label = re.match(r"([\w.]+):", line)
        if label and not line.startswith(".L"):
            name, lines = label.group(1), []
        elif line.startswith(".Lfunc_end"):
            yield name, lines
        else:
            lines.append(line)


def innermost_loops(lines):
    labels, loops = {}, []
    for number, line in enumerate(lines):
        label = re.match(r"(\.LBB\w+):", line)
        branch = re.match(r"\tj\w+\t(\.LBB\w+)", line)
        if label:
            labels[label.group(1)] = number
        elif branch and branch.group(1) in labels:
            loops.append((labels[branch.group(1)], number))
    for first, last in loops:
        if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops):
            yield [line for line in lines[first : last + 1] if line.startswith("\t") and not line.startswith("\t.")]


def is_spill(instruction):
    return "(%rsp" in instruction and "mm" in instruction


def main():
    cardinal, network, target, *plan = sys.argv[1:]
    command = [cardinal, "compile", network, "--weights", "random:1", "--target", target, "--emit", "asm", "-o", "-"]
    assembly = subprocess.run(command + (["--plan", plan[0]] if plan else []), check=True, capture_output=True, text=True)
    loops = [(name, loop) for name, lines in functions(assembly.stdout) for loop in innermost_loops(lines)]
    bad = []
    for name, loop in loops:
        spills = sum(is_spill(instruction) for instruction in loop)
        allowed = next((share for kernel, share in EXCEPTIONS.items() if kernel in name), ALLOWED_SHARE)
        if spills > allowed * len(loop):
            bad.append(f"{name}: {spills} of the {len(loop)} instructions of an innermost loop spill registers")
    if len(loops) < FEWEST_LOOPS:
        bad.append(f"only {len(loops)} loops found in the assembly of {network}")
    print("\n".join(bad) or f"{len(loops)} innermost loops for {target} keep their values in registers")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
