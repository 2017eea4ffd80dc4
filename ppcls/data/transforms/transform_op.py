"""One entry of a recipe's ``transform_ops``: the name of a transform, and its arguments."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

# {"ResizeImage": {"size": 224}}, {"ToCHWImage": None}: one key.
TransformOp = Mapping[str, Optional[Mapping[str, Any]]]


def name_and_arguments(op: TransformOp) -> Tuple[str, Mapping[str, Any]]:
    """Return the name of a transform, and its arguments; an empty map where it has none."""
    ((name, arguments),) = op.items()
    return name, arguments or {}
