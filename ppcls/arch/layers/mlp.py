"""Projections and MLPs over channels, initialised as in timm's and DeiT's vision transformers."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn.initializer import Constant, Normal

from ppcls.arch import ops
from ppcls.arch.layers.basic import linear


def normal_linear(in_features: int, out_features: int, bias: bool = True) -> nn.Linear:
    """Return a projection, [..., in] -> [..., out], with weights from N(0, 0.02) and zero biases.

    Source: ``trunc_normal_(std=.02)`` of timm, whose cut at -2 and 2 is a hundred standard deviations away.
    """
    return linear(in_features, out_features, bias, weight_init=Normal(std=0.02), bias_init=Constant(0.0))


class MLP(nn.Layer):
    """Linear, GELU, linear over the channels: [..., dim] -> [..., out_dim].

    Args:
        drop_rate: dropout after each of the two projections.
    """

    def __init__(self, dim: int, hidden_dim: int, out_dim: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.fc1 = normal_linear(dim, hidden_dim)
        self.fc2 = normal_linear(hidden_dim, out_dim)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return fc2(GELU(fc1(x)))."""
        return self.drop(self.fc2(self.drop(ops.gelu(self.fc1(x)))))
