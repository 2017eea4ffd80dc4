"""Deterministic weights and inputs, so that no weight file has to travel with the reference results."""

import zlib

import numpy as np


def fill(name: str, shape) -> np.ndarray:
    """Return the float32 tensor for a parameter or buffer; the counter ``num_batches_tracked`` is 0.

    Args:
        name: the reference implementation's own name.
        shape: in the reference's own layout: Linear weights are [out, in], Conv weights [out, in / groups, kh, kw].
    """
    shape = tuple(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if leaf == "running_var":
        x = 1.0 + 0.5 * np.abs(x)
    elif len(shape) >= 2:  # a projection: keep the variance of the activations
        x = x / np.sqrt(np.prod(shape[1:]))
    elif leaf == "weight":  # the scale of a norm
        x = 1.0 + 0.1 * x
    else:  # bias, running_mean
        x = 0.1 * x
    return x.astype(np.float32)


def image(size: int = 224, batch: int = 2, seed: int = 0) -> np.ndarray:
    """Return the input, float32 [batch, 3, size, size], already normalized."""
    return np.random.RandomState(seed).standard_normal((batch, 3, size, size)).astype(np.float32)


def labels(batch: int = 2, num_classes: int = 1000) -> np.ndarray:
    """Return the labels, int64 [batch]."""
    return (np.arange(batch) * 7 + 3) % num_classes
