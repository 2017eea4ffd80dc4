"""Gradient checkpointing: memory for time, without side effects on batch-norm statistics."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import paddle
from paddle import nn
from paddle.distributed.fleet.utils import recompute

from ppcls.arch import ops


def checkpointed(block: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    """Return ``block(x)``, keeping no activations inside the block: the backward pass computes them again.

    Gradients and running statistics are those of a plain call. Source: https://arxiv.org/abs/1604.06174.
    """
    # Paddle's recompute gives no gradient to the block's parameters when its input needs none (a frozen stem).
    if x.stop_gradient or not block.training:
        return block(x)
    runs, choices = 0, ops.Choices.now()

    def run(x: paddle.Tensor) -> paddle.Tensor:
        nonlocal runs
        runs += 1
        if runs == 1:
            return block(x)
        with _frozen_statistics(block), choices.again():
            return block(x)

    return recompute(run, x)


@contextmanager
def _frozen_statistics(block: nn.Layer) -> Iterator[None]:
    """Keep the second run from moving the running mean and variance a second time."""
    norms = [layer for layer in block.sublayers(include_self=True) if hasattr(layer, "_momentum")]
    momenta = [norm._momentum for norm in norms]
    for norm in norms:
        norm._momentum = 1.0  # running = running * momentum + batch * (1 - momentum)
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta):
            norm._momentum = momentum
