"""How weight files name ConvMixer's tensors."""

from __future__ import annotations

from typing import Sequence

from ppcls.weights.name_scheme import NameScheme


def _depth(names: Sequence[str]) -> int:
    """Return the number of blocks in a model whose tensors have these names."""
    return len({name.split(".")[1] for name in names if name.startswith("blocks.")})


NAME_SCHEMES = (
    NameScheme(
        "ppcls",
        rules=[
            (r"stem\.(conv|norm)\.\w+", None),
            (r"blocks\.\d+\.(depthwise|pointwise)\.(conv|norm)\.\w+", None),
            (r"head\.\w+", None),
        ],
    ),
    # An nn.Sequential, so that names are positions: 0-2 stem, then the blocks, pooling, flattening and the head.
    NameScheme(
        "locuslab/convmixer",
        torch=True,
        rules=[
            (r"0\.(\w+)", r"stem.conv.\1"),
            (r"2\.(\w+)", r"stem.norm.\1"),
            (r"(\d+)\.0\.fn\.0\.(\w+)", lambda m: f"blocks.{int(m[1]) - 3}.depthwise.conv.{m[2]}"),
            (r"(\d+)\.0\.fn\.2\.(\w+)", lambda m: f"blocks.{int(m[1]) - 3}.depthwise.norm.{m[2]}"),
            (r"(\d+)\.1\.(\w+)", lambda m: f"blocks.{int(m[1]) - 3}.pointwise.conv.{m[2]}"),
            (r"(\d+)\.3\.(\w+)", lambda m: f"blocks.{int(m[1]) - 3}.pointwise.norm.{m[2]}"),
            (r"\d+\.(weight|bias)", r"head.\1"),
        ],
        inverse=[
            (r"blocks\.(\d+)\.depthwise\.conv\.(\w+)", lambda m, _: f"{int(m[1]) + 3}.0.fn.0.{m[2]}"),
            (r"blocks\.(\d+)\.depthwise\.norm\.(\w+)", lambda m, _: f"{int(m[1]) + 3}.0.fn.2.{m[2]}"),
            (r"blocks\.(\d+)\.pointwise\.conv\.(\w+)", lambda m, _: f"{int(m[1]) + 3}.1.{m[2]}"),
            (r"blocks\.(\d+)\.pointwise\.norm\.(\w+)", lambda m, _: f"{int(m[1]) + 3}.3.{m[2]}"),
            (r"head\.(\w+)", lambda m, names: f"{_depth(names) + 5}.{m[1]}"),
        ],
    ),
    NameScheme(
        "timm",
        torch=True,
        rules=[
            (r"stem\.0\.(\w+)", r"stem.conv.\1"),
            (r"stem\.2\.(\w+)", r"stem.norm.\1"),
            (r"blocks\.(\d+)\.0\.fn\.0\.(\w+)", r"blocks.\1.depthwise.conv.\2"),
            (r"blocks\.(\d+)\.0\.fn\.2\.(\w+)", r"blocks.\1.depthwise.norm.\2"),
            (r"blocks\.(\d+)\.1\.(\w+)", r"blocks.\1.pointwise.conv.\2"),
            (r"blocks\.(\d+)\.3\.(\w+)", r"blocks.\1.pointwise.norm.\2"),
            (r"head\.(weight|bias)", r"head.\1"),
        ],
    ),
)
