"""How weight files name gMLP's tensors."""

from __future__ import annotations

from typing import List, Tuple

from ppcls.weights.name_scheme import NameScheme, Replacement


def _timm_rules(stem: str, blocks: str) -> List[Tuple[str, Replacement]]:
    """Return the rules for timm's names and those of ports of it."""
    inside = {
        "norm": "norm",
        r"mlp_channels\.fc1": "proj_in",
        r"mlp_channels\.gate\.norm": "sgu.norm",
        r"mlp_channels\.gate\.proj": "sgu.spatial_proj",
        r"mlp_channels\.fc2": "proj_out",
    }
    rules: List[Tuple[str, Replacement]] = [(rf"{stem}\.(\w+)", r"stem.\1"), (r"(norm|head)\.\w+", None)]
    return rules + [
        (rf"{blocks}\.(\d+)\.{name}\.(\w+)", rf"blocks.\1.{renamed}.\2") for name, renamed in inside.items()
    ]


NAME_SCHEMES = (
    NameScheme(
        "ppcls",
        rules=[
            (r"(stem|norm|head)\.\w+", None),
            (r"blocks\.\d+\.(norm|proj_in|proj_out|sgu\.norm|sgu\.spatial_proj)\.\w+", None),
        ],
    ),
    NameScheme("timm", torch=True, rules=_timm_rules(r"stem\.proj", "blocks")),
    NameScheme("PaddleViT", rules=_timm_rules(r"patch_embed\.patch_embed", "mixer_layers")),
)
