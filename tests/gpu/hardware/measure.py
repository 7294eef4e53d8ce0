"""The arithmetic of measuring: no GPU needed."""

import math
import statistics

ROTATED_BYTES = 120e6  # more than the level 2 cache of any GPU so far
TOLERANCE = 1e-2  # relative L2 error of fp16 with fp32 sums against fp64


def copies(bytes_each):
    """How many buffers of that size to use in turn, so that none is still in the cache when its turn comes."""
    return max(2, math.ceil(ROTATED_BYTES / bytes_each) + 1)


def relative_error(actual, expected):
    """The L2 norm of the difference over that of what was expected; infinite where a value is missing."""
    actual, expected = actual.double().flatten(), expected.double().flatten()
    if actual.shape != expected.shape or not bool(actual.isfinite().all()):
        return math.inf
    norm = float(expected.norm())
    return float((actual - expected).norm()) / norm if norm > 0 else float((actual - expected).norm())


def floor_seconds(steps, bandwidth, rate):
    """No kernel is faster than its compulsory traffic at BANDWIDTH (bytes/s), nor than its arithmetic at RATE (flop/s)."""
    return sum(max(step.bytes / bandwidth, step.flops / rate) for step in steps)


class Measurement:
    """A contender's seconds per run, one value for each round."""

    def __init__(self, name):
        self.name = name
        self.rounds = []
        self.problem = ""

    @property
    def seconds(self):
        return statistics.median(self.rounds)


def table(title, measurements, images, floor, ours=1):
    """Lines of text. The first OURS measurements are ours; ratios are of the best of the others to each."""
    baselines = [m for m in measurements[ours:] if m.rounds]
    best = min((m.seconds for m in baselines), default=None)
    lines = [title, f"  {'':<34}{'us':>10}{'min us':>10}{'img/s':>10}{'ratio':>8}{'% floor':>9}"]
    for m in measurements:
        if not m.rounds:
            lines.append(f"  {m.name:<34}not measured: {m.problem}")
            continue
        ratio = f"{best / m.seconds:8.2f}" if best else f"{'-':>8}"
        lines.append(f"  {m.name:<34}{m.seconds * 1e6:10.1f}{min(m.rounds) * 1e6:10.1f}{images / m.seconds:10.0f}"
                     f"{ratio}{100 * floor / m.seconds:9.1f}")
    return lines
