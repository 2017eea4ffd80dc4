"""From an image file's bytes to the array that a model takes.

Training, evaluation, inference and the exported model's predictor all run this code. It needs numpy and OpenCV only.
"""

# They register themselves.
from ppcls.data.transforms import auto_augment, decode, erasing, flips, geometry, jitter, tensor, timm_auto_augment
from ppcls.data.transforms.compose import Compose, build_transforms
from ppcls.data.transforms.registry import TRANSFORMS

__all__ = [
    "TRANSFORMS",
    "Compose",
    "auto_augment",
    "build_transforms",
    "decode",
    "erasing",
    "flips",
    "geometry",
    "jitter",
    "tensor",
    "timm_auto_augment",
]
