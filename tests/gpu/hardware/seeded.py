"""Weights from a seed, the same with any version of any library, that compress well.

They are small integers times a power of two that keeps the signal's size over a layer, and batch norms leave them so: a
network's weights then have less than 3 bits of information in 16, and what two networks have for two batch sizes fits
into 64 MiB.
"""

import math
import zlib

import numpy as np

LEVELS = 7  # -3 to 3
EPSILON = 1e-5  # of PyTorch's batch norms


def integers(count, seed, levels=LEVELS):
    """COUNT integers around 0, by splitmix64 (Steele, Lea, Flood 2014) of their positions."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(32)) % np.uint64(levels)).astype(np.int64) - levels // 2


def scale(shape):
    """The power of two that gives integers() of this shape about the deviation sqrt(2 / fan_in) of He et al. 2015."""
    deviation = math.sqrt((LEVELS * LEVELS - 1) / 12)
    return 2.0 ** round(math.log2(math.sqrt(2 / math.prod(shape[1:])) / deviation))


def tensor(name, shape, seed=0):
    """The value of a parameter or buffer of a torchvision model, as float32, by its NAME."""
    seed = (seed << 32) + zlib.crc32(name.encode())
    values = integers(math.prod(shape), seed).astype(np.float32).reshape(shape)
    if name.endswith("running_mean"):
        return np.zeros(shape, np.float32)
    if name.endswith("running_var"):
        return np.full(shape, 1 - EPSILON, np.float32)
    if name.endswith("bias"):
        return values / np.float32(32)
    if len(shape) == 1:  # a batch norm's scale; the last of a block small, so that sums over blocks do not grow
        return np.full(shape, 0.25 if name.endswith("bn3.weight") else 1, np.float32)
    return values * np.float32(scale(shape))


def state(shapes, seed=0):
    """Of a model: {name: array} for {name: shape}; counters of batches are left out."""
    return {name: tensor(name, tuple(shape), seed) for name, shape in shapes.items() if not name.endswith("tracked")}


def images(count, seed, channels=3, size=224):
    """Inputs, N, C, H, W: patches of one value, so that images differ by more than their noise, and noise on them. All
    are multiples of 1/16 in [-1.5, 1.5]."""
    patch = -(-size // 7)
    patches = integers(count * channels * 49, (seed << 32) + 1, levels=17).reshape(count, channels, 7, 7) / 8
    smooth = patches.repeat(patch, axis=2).repeat(patch, axis=3)[:, :, :size, :size]
    noise = integers(count * channels * size * size, (seed << 32) + 2, levels=17).reshape(smooth.shape) / 16
    return (smooth + noise).astype(np.float32)
