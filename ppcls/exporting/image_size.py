"""A recipe for images of another size."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ppcls.arch import BACKBONES
from ppcls.config.schema import Config
from ppcls.data.transforms import TransformOp, name_and_arguments
from ppcls.engine.inference import transform_ops
from ppcls.utils.logging import get_logger

_SIZES = {"size", "resize_short"}


def with_image_size(config: Config, size: Tuple[int, int]) -> Config:
    """Return the recipe for images of ``size``, [height, width].

    The crop becomes that size. A resize before it keeps its ratio to the crop; where the proportions change, to the
    crop's side that grows most. A model that is made for one size (gMLP) is built for the new one, and its weights are
    resized when they are loaded.
    """
    channels, *before = config.Global.image_shape
    if list(size) == before:
        return config
    ops = [_resized_op(op, before, size) for op in transform_ops(config)]
    infer = config.Infer.model_copy(update={"transforms": ops})
    update: Dict[str, Any] = {"Infer": infer}
    if BACKBONES[config.Arch.name].takes("image_size"):
        update["Arch"] = type(config.Arch)(**{**config.Arch.model_dump(), "image_size": list(size)})
    pairs = [name_and_arguments(op) for op in ops]
    changed = [f"{name} {dict(arguments)}" for name, arguments in pairs if _SIZES & set(arguments)]
    get_logger().info(
        "images of %d x %d px instead of the recipe's %d x %d: %s", *size, *before, ", ".join(changed) or "no resize"
    )
    return config.model_copy(update=update).with_global(image_shape=[channels, *size])


def _resized_op(op: TransformOp, before: List[int], size: Tuple[int, int]) -> TransformOp:
    name, arguments = name_and_arguments(op)
    changed = dict(arguments)
    ratio = max(new / old for new, old in zip(size, before))  # so that the crop fits whatever fitted before
    if changed.get("resize_short") is not None:
        changed["resize_short"] = round(changed["resize_short"] * ratio)
    if changed.get("size") is not None:
        crop = changed["size"]
        width, height = (crop, crop) if isinstance(crop, int) else crop
        # [width, height], as PaddleClas has sizes.
        width, height = round(width * size[1] / before[1]), round(height * size[0] / before[0])
        changed["size"] = width if isinstance(crop, int) and width == height else [width, height]
    return {name: changed or None}
