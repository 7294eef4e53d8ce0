"""Compiles networks for three GPUs, or the one that has wgmma, assembles their kernels, and fails if one spills registers or
uses more than 168, with which 384 threads fit a multiprocessor, or if ptxas remarks anything, such as that it serialises
products of wgmma. Kernels that several networks share are assembled once."""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TARGETS = {"mma": ("sm_80", "sm_90a", "sm_100a"), "wgmma": ("sm_90a",)}  # by matrix unit
MOST_REGISTERS = 168
KERNELS_OF_A_RUN = 100  # of ptxas

ENTRY = re.compile(r"^\.visible \.entry (\w+)\(", re.MULTILINE)
REMARK = re.compile(r"^.*(?:\(C\d+\)|warning).*$", re.MULTILINE)
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")

Kernel = collections.namedtuple("Kernel", "target head body")  # {name} stands for its name in the body


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cardinal", type=pathlib.Path)
    parser.add_argument("ptxas", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path, help="of networks")
    parser.add_argument("--batch", type=int, help="images at once; as the networks say, if none is given")
    parser.add_argument("--matrix-unit", choices=TARGETS, default="mma")
    parser.add_argument("networks", nargs="*", help="all, if none is named")
    return parser.parse_args()


def networks_in(directory, wanted):
    found = [(file, name) for file in sorted(directory.glob("*.nn"))
             for name in re.findall(r"^network (\w+)", file.read_text(), re.MULTILINE)]
    return [(file, name) for file, name in found if not wanted or name in wanted]


def run(command):
    """Returns what it printed, on either stream; raises RuntimeError with that."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stdout[:1000])
    return done.stdout


def kernels_of(ptx, target):
    """Pairs of a name and a Kernel."""
    starts = list(ENTRY.finditer(ptx))
    ends = [start.start() for start in starts[1:]] + [len(ptx)]
    for start, end in zip(starts, ends):
        name = start.group(1)
        yield name, Kernel(target, ptx[:starts[0].start()], re.sub(rf"\b{name}(?=\b|_param_)", "{name}", ptx[start.start():end]))


def compile_network(args, scratch, file, name, target):
    output = scratch / f"{name}-{target}.ptx"
    run([args.cardinal, "compile", file, "--network", name, "--target", target, "--emit", "ptx", "-o", output,
         "--matrix-unit", args.matrix_unit, *(["--batch", args.batch] if args.batch else [])])
    ptx = output.read_text()
    output.unlink()
    return list(kernels_of(ptx, target))


def assemble(ptxas, scratch, number, kernels):
    """Returns for each kernel what is wrong with it, or ''."""
    source = scratch / f"{number}.ptx"
    source.write_text(kernels[0].head + "\n".join(k.body.replace("{name}", f"k{i}") for i, k in enumerate(kernels)))
    log = run([ptxas, f"-arch={kernels[0].target}", "-v", "-o", os.devnull, source])
    source.unlink()
    if remark := REMARK.search(log):
        raise RuntimeError(remark.group())
    problems = []
    # One part for each kernel, in the order of the log, each of which begins with the kernel's number.
    parts = dict(part.split("'", 1) for part in re.split(r"Compiling entry function 'k", log)[1:])
    for i in range(len(kernels)):
        spills, registers = SPILLS.search(parts[str(i)]), REGISTERS.search(parts[str(i)])
        problem = f"spills: {spills.group()}" if any(int(n) for n in spills.groups()) else ""
        if int(registers.group(1)) > MOST_REGISTERS:
            problem += f" uses {registers.group(1)} registers"
        problems.append(problem.strip())
    return problems


def collect(args, scratch, pool):
    """Of each distinct kernel the networks that have it, and how many compilations failed."""
    jobs = {(name, target): pool.submit(compile_network, args, scratch, file, name, target)
            for file, name in networks_in(args.directory, args.networks) for target in TARGETS[args.matrix_unit]}
    users, failures = collections.defaultdict(list), 0
    for (network, target), job in jobs.items():
        try:
            for name, kernel in job.result():
                users[kernel].append(f"{network} for {target}: {name}")
        except RuntimeError as error:
            print(f"{network} for {target}: {error}")
            failures += 1
    return users, failures, len(jobs)


def batches(kernels):
    by_head = collections.defaultdict(list)
    for kernel in kernels:
        by_head[kernel.target, kernel.head].append(kernel)
    for same in by_head.values():
        for i in range(0, len(same), KERNELS_OF_A_RUN):
            yield same[i:i + KERNELS_OF_A_RUN]


def main():
    args = options()
    failures = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        scratch = pathlib.Path(folder)
        users, failures, count = collect(args, scratch, pool)
        jobs = [(batch, pool.submit(assemble, args.ptxas, scratch, i, batch)) for i, batch in enumerate(batches(users))]
        for batch, job in jobs:
            try:
                for kernel, problem in zip(batch, job.result()):
                    if problem:
                        print(f"{users[kernel][0]} {problem}")
                        failures += 1
            except RuntimeError as error:
                print(f"{users[batch[0]][0]} and others: {error}")
                failures += 1
    print(f"{count} compilations, {len(users)} distinct kernels, {failures} failures")
    return 1 if failures or not users else 0


if __name__ == "__main__":
    sys.exit(main())
