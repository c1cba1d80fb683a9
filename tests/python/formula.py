"""Weights, inputs and labels that follow from a name, a position and a seed; csrc's tests have the
same generator in tests/support/formula.cpp, and both have to be exact to the bit."""

import math

import numpy as np
import torch


def fnv1a32(name):
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def hash32(name, seed, count):
    """The first `count` hashes, uint32; sums and products wrap."""
    offset = (fnv1a32(name) + seed * 2246822519) % 2**32
    x = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(offset)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def tensor(name, seed, shape, mid, half):
    """Float32 of this shape in (mid - half, mid + half), rounded once from double."""
    x = hash32(name, seed, math.prod(shape)).astype(np.float64)
    values = mid + half * ((2 * x + 1 - 2.0**32) / 2.0**32)
    return torch.from_numpy(values.astype(np.float32)).view(shape)


def parameter(name, seed, shape, variance):
    """A network's tensor by its published name; variance: mid and half of running_var."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("zeros"):
        return torch.zeros(shape)
    if name.endswith("running_mean"):
        return tensor(name, seed, shape, 0, 0.125)
    if name.endswith("running_var"):
        return tensor(name, seed, shape, *variance)
    if len(shape) > 1:
        return tensor(name, seed, shape, 0, 1 / math.sqrt(math.prod(shape[1:])))
    return tensor(name, seed, shape, *((0, 0.125) if name.endswith(".bias") else (1, 0.5)))


def state(module, golden):
    """A state for the module by the formula of a golden file."""
    seed, variance = int(golden["seed"]), golden["running_var_mid_half"].tolist()
    return {
        name: parameter(name, seed, tuple(value.shape), variance)
        for name, value in module.state_dict().items()
    }
