"""From an image file's bytes to the array that a model takes.

Training, evaluation, inference and the exported model's predictor all run this code. It needs numpy and OpenCV only.
"""

from ppcls.data.transforms import decode, geometry, tensor  # they register themselves
from ppcls.data.transforms.compose import Compose, build_transforms
from ppcls.data.transforms.registry import BATCH_TRANSFORMS, TRANSFORMS

__all__ = ["BATCH_TRANSFORMS", "TRANSFORMS", "Compose", "build_transforms", "decode", "geometry", "tensor"]
