"""Between channels first and channels last."""

from __future__ import annotations

import paddle


def to_nchw(x: paddle.Tensor) -> paddle.Tensor:
    """Return a map [B, H, W, C] as [B, C, H, W]."""
    return x.transpose([0, 3, 1, 2])


def to_nhwc(x: paddle.Tensor) -> paddle.Tensor:
    """Return a map [B, C, H, W] as [B, H, W, C]."""
    return x.transpose([0, 2, 3, 1])
