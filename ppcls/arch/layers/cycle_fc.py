"""Cycle fully-connected layer: a projection whose channels each read a neighbour's value.

Paper: CycleMLP, https://arxiv.org/abs/2107.10224 (section 3.2). The authors compute it as a deformable convolution with
whole-number offsets; a shift gives the same numbers, can be exported, and is faster (benchmarks/cycle_fc.py).
"""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
import paddle
from paddle import nn
from paddle.nn.initializer import Initializer

from ppcls.arch import ops
from ppcls.arch.layers.basic import bias_attr, default_init
from ppcls.errors import ConfigError


class CycleFC(nn.Conv2D):
    """A 1x1 convolution of shifted channels, [B, H, W, in_channels] -> [B, H, W, out_channels].

    Args:
        kernel_size: (1, k) shifts along the width, (k, 1) along the height.
        weight_init: PyTorch's initialiser for convolutions unless given, like the authors' layer.
        bias_init: likewise.

    Raises:
        ConfigError: ``kernel_size`` is not two positive integers of which one is 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        weight_init: Optional[Initializer] = None,
        bias_init: Optional[Initializer] = None,
    ) -> None:
        if len(kernel_size) != 2 or min(kernel_size) != 1:
            raise ConfigError(f"kernel_size: must be [1, k] or [k, 1], not {kernel_size!r}")
        super().__init__(
            in_channels,
            out_channels,
            1,
            weight_attr=weight_init or default_init(in_channels),
            bias_attr=bias_attr(True, bias_init, in_channels),
            data_format="NHWC",
        )
        self.cycle_axis = 1 if kernel_size[0] > 1 else 2
        self.cycle_size = max(kernel_size)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the projection of the shifted ``x``."""
        cycle = ops.Cycle(self.cycle_axis, self.cycle_size)
        return ops.cycle_linear(x, self.weight.flatten(1), self.bias, cycle)

    def offsets(self) -> np.ndarray:
        """Return where the authors' deformable convolution samples, [1, 2 * in_channels, 1, 1]: y, x by channel."""
        channels, reach = self.weight.shape[1], self.cycle_size // 2
        offsets = np.zeros((channels, 2), np.float32)
        offsets[:, self.cycle_axis - 1] = (np.arange(channels) + reach) % self.cycle_size - reach
        return offsets.reshape(1, -1, 1, 1)

    def extra_repr(self) -> str:
        """Return what differs from a plain 1x1 convolution, for printing."""
        return f"{super().extra_repr()}, axis={'HW'[self.cycle_axis - 1]}, k={self.cycle_size}"
