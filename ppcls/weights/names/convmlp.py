"""How weight files name ConvMLP's tensors."""

from __future__ import annotations

import re
from typing import Callable

from ppcls.weights.name_scheme import NameScheme


# The authors number the layers of a Sequential: convolution, batch norm, ReLU, convolution, ...
def _numbered(prefix: str) -> Callable[[re.Match], str]:
    def rename(match: re.Match) -> str:
        *place, layer, leaf = match.groups()
        return ".".join([prefix, *place, str(int(layer) // 3), ("conv", "norm")[int(layer) % 3], leaf])

    return rename


def _position(match: re.Match) -> str:
    *_, layer, kind, leaf = match.groups()
    return f"{3 * int(layer) + (kind == 'norm')}.{leaf}"


_BLOCK = r"stages\.\d+\.blocks\.\d+\.(norm1|norm2|connect|connect_norm|channel_mlp[12]\.fc[12])\.\w+"

NAME_SCHEMES = (
    NameScheme(
        "ppcls",
        rules=[
            (r"tokenizer\.\d+\.(conv|norm)\.\w+", None),
            (r"conv_blocks\.\d+\.\d+\.(conv|norm)\.\w+", None),
            (r"stages\.\d+\.downsample\.\w+", None),
            (_BLOCK, None),
            (r"(norm|head)\.\w+", None),
        ],
    ),
    NameScheme(
        "SHI-Labs/Convolutional-MLPs",
        torch=True,
        rules=[
            (r"tokenizer\.block\.([013467])\.(\w+)", _numbered("tokenizer")),
            (r"conv_stages\.conv_blocks\.(\d+)\.([013467])\.(\w+)", _numbered("conv_blocks")),
            # Our stages begin with the downsampling, the authors' end with it.
            (r"conv_stages\.downsample\.(\w+)", r"stages.0.downsample.\1"),
            (
                r"stages\.(\d+)\.downsample_mlp\.downsample\.(\w+)",
                lambda m: f"stages.{int(m[1]) + 1}.downsample.{m[2]}",
            ),
            (_BLOCK, None),
            (r"(norm|head)\.\w+", None),
        ],
        inverse=[
            (r"tokenizer\.(\d+)\.(conv|norm)\.(\w+)", lambda m, _: f"tokenizer.block.{_position(m)}"),
            (r"(conv_blocks\.\d+)\.(\d+)\.(conv|norm)\.(\w+)", lambda m, _: f"conv_stages.{m[1]}.{_position(m)}"),
            (r"stages\.0\.downsample\.(\w+)", r"conv_stages.downsample.\1"),
            (
                r"stages\.(\d+)\.downsample\.(\w+)",
                lambda m, _: f"stages.{int(m[1]) - 1}.downsample_mlp.downsample.{m[2]}",
            ),
        ],
    ),
)
