"""A recipe for images of another size."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ppcls.arch import BACKBONES
from ppcls.config.schema import Config
from ppcls.engine.inference import transform_ops
from ppcls.utils.logging import get_logger

Op = Mapping[str, Optional[Mapping[str, Any]]]
_SIZES = {"size", "resize_short"}


def resized(config: Config, size: Tuple[int, int]) -> Config:
    """Return the recipe for images of ``size``, [height, width].

    The crop becomes that size, and a resize before it keeps its ratio to the crop (to the longer side's, where the
    proportions change). Models that are made for one size
    (gMLP) are built for the new one, to which their weights are resized when they are loaded.
    """
    channels, *before = config.Global.image_shape
    if list(size) == before:
        return config
    ops = [_resized_op(op, before, size) for op in transform_ops(config)]
    shape = config.Global.model_copy(update={"image_shape": [channels, *size]})
    infer = config.Infer.model_copy(update={"transforms": ops})
    update: Dict[str, Any] = {"Global": shape, "Infer": infer}
    if BACKBONES[config.Arch.name].takes("image_size"):
        update["Arch"] = type(config.Arch)(**{**config.Arch.model_dump(), "image_size": list(size)})
    pairs = [next(iter(op.items())) for op in ops]
    changed = [f"{name} {dict(arguments)}" for name, arguments in pairs if arguments and _SIZES & set(arguments)]
    get_logger().info(
        "images of %d x %d px instead of the recipe's %d x %d: %s", *size, *before, ", ".join(changed) or "no resize"
    )
    return config.model_copy(update=update)


def _resized_op(op: Op, before: List[int], size: Tuple[int, int]) -> Op:
    ((name, arguments),) = op.items()
    changed = dict(arguments or {})
    ratio = max(new / old for new, old in zip(size, before))  # so that the crop fits whatever fitted before
    if changed.get("resize_short") is not None:
        changed["resize_short"] = round(changed["resize_short"] * ratio)
    if changed.get("size") is not None:
        given = changed["size"]
        width, height = (given, given) if isinstance(given, int) else given
        # [width, height], as PaddleClas has sizes.
        width, height = round(width * size[1] / before[1]), round(height * size[0] / before[0])
        changed["size"] = width if isinstance(given, int) and width == height else [width, height]
    return {name: changed or None}
