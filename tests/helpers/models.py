"""Small models."""

import paddle

from ppcls.weights import create_model


def small_convmixer(**changes):
    """Return a ConvMixer of two blocks and three classes; always the same weights."""
    paddle.seed(1)
    return create_model("ConvMixer", dim=8, depth=2, kernel_size=3, patch_size=4, class_num=3, **changes)
