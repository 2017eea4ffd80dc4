"""Transforms: from the bytes of an image file to the array that a model takes.

Training, evaluation, inference and the predictor of exported models all run this code. It needs only numpy and OpenCV.
"""

# These modules register their transforms when they are imported.
from ppcls.data.transforms import (
    augmix,
    auto_augment,
    crops,
    decode,
    erasing,
    flips,
    geometry,
    jitter,
    lighting,
    paddle_vision,
    rand_augment,
    tensor,
    timm_auto_augment,
)
from ppcls.data.transforms.compose import Compose, build_transforms
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.transform_op import TransformOp, name_and_arguments

__all__ = [
    "TRANSFORMS",
    "Compose",
    "TransformOp",
    "augmix",
    "auto_augment",
    "build_transforms",
    "crops",
    "decode",
    "erasing",
    "flips",
    "geometry",
    "jitter",
    "lighting",
    "name_and_arguments",
    "paddle_vision",
    "rand_augment",
    "tensor",
    "timm_auto_augment",
]
