"""Transforms: from the bytes of an image file to the array that a model takes.

Training, evaluation, inference and the predictor of exported models all run this code. It needs only numpy and OpenCV.
"""

# These modules register their transforms when they are imported.
from ppcls.data.transforms import auto_augment, decode, erasing, flips, geometry, jitter, tensor, timm_auto_augment
from ppcls.data.transforms.compose import Compose, build_transforms
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.transform_op import TransformOp, name_and_arguments

__all__ = [
    "TRANSFORMS",
    "Compose",
    "TransformOp",
    "auto_augment",
    "build_transforms",
    "decode",
    "erasing",
    "flips",
    "geometry",
    "jitter",
    "name_and_arguments",
    "tensor",
    "timm_auto_augment",
]
