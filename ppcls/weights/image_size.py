"""The image size that weights were made for: recorded with our checkpoints, given, or inferred.

It matters to models with linear layers over the patches (gMLP): weights for 32x48 px and for 48x32 px have the same
shapes, and mean different things.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from paddle import nn

from ppcls.arch.backbone.fixed_size import FixedSizeBackbone
from ppcls.errors import WeightsError

ImageSize = Union[int, Sequence[int], None]
Grid = Tuple[int, int]


@dataclass(frozen=True)
class SourceSize:
    """The image size of weights, as ``load_weights`` takes it.

    Attributes:
        image_size: for ``Backbone.adapt``; None lets it infer the grid.
        note: how they are resized, for the report; empty where they are not.
        assumption: what was assumed of them, where nothing tells; empty where something does.
    """

    image_size: ImageSize = None
    note: str = ""
    assumption: str = ""


def image_size_of(model: nn.Layer) -> Optional[List[int]]:
    """Return [height, width] in pixels of the images that a model's weights are for; None if they fit any size."""
    return list(model.image_size) if isinstance(model, FixedSizeBackbone) else None


def source_size(
    model: nn.Layer, arrays: Mapping[str, np.ndarray], given: ImageSize, recorded: Optional[List[int]], origin: str
) -> SourceSize:
    """Return the image size that weights are for, given, recorded or inferred, and what to say about it.

    Args:
        arrays: by name in the model.
        origin: the file, for messages.

    Raises:
        WeightsError: the size that is given is not that of the weights.
        ConfigError: it is no size.
    """
    patches = _patches(model, arrays)
    if not isinstance(model, FixedSizeBackbone) or patches is None:
        return SourceSize(given)
    known = given if given is not None else recorded
    grid = model.source_grid(patches, known)
    if given is not None and recorded is not None and grid != model.source_grid(patches, recorded):
        raise WeightsError(
            f"{origin}: made for images of {_text(recorded)} px, as recorded with it, not of {_text(given)} px; leave "
            "the image size of the weights out"
        )
    if known is not None and grid[0] * grid[1] != patches:
        raise WeightsError(
            f"{origin}: made for {patches} patches of {model.patch_size} px, and images of {_text(known)} px have "
            f"{grid[0]} x {grid[1]}; give the size that the weights were made for, [height, width]"
        )
    pixels = known if known is not None else [side * model.patch_size for side in grid]
    unclear = known is None and grid[0] * grid[1] == patches
    assumption = (
        f"{origin}: nothing says which image size these weights are for; assuming {_text(pixels)} px. Otherwise give "
        "--weights-image-size HEIGHTxWIDTH (image_size, in Python)"
    )
    note = f"from {_text(pixels)} to {_text(model.image_size)} px" if grid != model.grid else ""
    return SourceSize(known, note, assumption if unclear else "")


def require_same_size(model: nn.Layer, arrays: Mapping[str, np.ndarray], recorded: Optional[List[int]]) -> None:
    """Refuse weights that were made for another image size, where they must not be resized.

    Raises:
        WeightsError: the record beside them says so.
    """
    patches = _patches(model, arrays)
    if patches is None or recorded is None or not isinstance(model, FixedSizeBackbone):
        return
    if model.source_grid(patches, recorded) != model.grid:
        raise WeightsError(
            f"these weights are for images of {_text(recorded)} px, and the model is for {_text(model.image_size)} px"
        )


def size_advice(model: nn.Layer, arrays: Mapping[str, np.ndarray], known: ImageSize) -> List[str]:
    """Return what to do about weights for another number of patches whose image size is not known."""
    patches = _patches(model, arrays)
    if patches is None or known is not None or not isinstance(model, FixedSizeBackbone):
        return []
    expected = model.grid[0] * model.grid[1]
    if patches == expected:
        return []
    return [
        f"They are for images of another size: {patches} patches of {model.patch_size} px, the model for "
        f"{_text(model.image_size)} px has {expected}. To have them resized, give the size that they were made for: "
        "image_size=[height, width]"
    ]


def _patches(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> Optional[int]:
    """Return the number of patches that weights are for; None for a model that does not depend on it."""
    if not isinstance(model, FixedSizeBackbone):
        return None
    for name, array in arrays.items():
        if re.fullmatch(model.spatial_layers, name.rpartition(".")[0]) and array.ndim:
            return len(array)
    return None


def _text(size: Any) -> str:
    height, width = (size, size) if isinstance(size, int) else size
    return f"{height}x{width}"
