"""Looks for registers that are spilled to the stack in the innermost loops of the networks' kernels.

    spills.py CARDINAL NETWORK.nn[:NAME,...] TARGET [PLAN]

compiles the networks to assembly for the target and fails if instructions of an innermost loop move vectors from or to
the stack.
"""

import re
import subprocess
import sys

# Tiles that fill the registers, where LLVM has a value or two too early: by kernel, the share of a loop's instructions.
EXCEPTIONS = {"strassen_4x6": 1 / 25, "conv_lanes8_19": 1 / 5}
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
    # With an index register, as in 128(%rsp,%rax,4), it is an array on the stack that is meant to be there.
    return "(%rsp)" in instruction and "mm" in instruction


def spilling_loops(cardinal, source, name, target, plan):
    command = [cardinal, "compile", source, "--weights", "random:1", "--target", target, "--emit", "asm", "-o", "-"]
    command += (["--network", name] if name else []) + (["--plan", plan] if plan else [])
    assembly = subprocess.run(command, check=True, capture_output=True, text=True)
    loops = [(kernel, loop) for kernel, lines in functions(assembly.stdout) for loop in innermost_loops(lines)]
    bad = []
    for kernel, loop in loops:
        spills = sum(is_spill(instruction) for instruction in loop)
        allowed = next((share for tile, share in EXCEPTIONS.items() if tile in kernel), 0)
        if spills > allowed * len(loop):
            bad.append(f"{kernel}: {spills} of the {len(loop)} instructions of an innermost loop spill registers")
    if len(loops) < FEWEST_LOOPS:
        bad.append(f"only {len(loops)} loops found in the assembly of {source}")
    return len(loops), bad


def main():
    cardinal, networks, target, *plan = sys.argv[1:]
    source, _, names = networks.partition(":")
    failed = False
    for name in names.split(","):
        count, bad = spilling_loops(cardinal, source, name, target, plan[0] if plan else None)
        print("\n".join(bad) or f"{name or source}: {count} innermost loops for {target} keep their values in registers")
        failed = failed or bool(bad)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
