"""How weight files name CycleMLP's tensors."""

from __future__ import annotations

import re
from typing import Dict, List, Match, Tuple

import numpy as np

from ppcls.arch.backbone.cyclemlp import CycleMLP
from ppcls.weights.name_scheme import NameScheme, Replacement, Restoration

# Parts of names within a block: the authors', ours.
_RENAMED_PARTS = (("attn.", "mixer."), ("mlp_c", "fc_c"), ("sfc_h", "fc_h"), ("sfc_w", "fc_w"))


def _block(match: Match) -> str:
    stage, block, suffix = int(match[1]) // 2, match[2], match[3]
    for original, renamed in _RENAMED_PARTS:
        suffix = suffix.replace(original, renamed)
    return f"stages.{stage}.blocks.{block}.{suffix}"


def _original_suffix(suffix: str) -> str:
    for original, renamed in _RENAMED_PARTS:
        suffix = suffix.replace(renamed, original)
    return suffix


def _offsets(model: CycleMLP, name: str) -> Dict[str, np.ndarray]:
    """Return the sampling offsets of the authors' cycle FCs, which their state dicts contain."""
    match = re.fullmatch(r"stages\.(\d+)\.blocks\.(\d+)\.mixer\.(fc_[hw])\.bias", name)
    if match is None:
        return {}
    mixer = model.stages[int(match[1])].blocks[int(match[2])].mixer
    return {"offset": getattr(mixer, match[3]).offsets()}


_RULES: List[Tuple[str, Replacement]] = [
    (r"patch_embed\.proj\.(\w+)", r"stem.\1"),
    # A list in which stages (even) and the convolutions between them (odd) alternate.
    (r"network\.(\d+)\.proj\.(\w+)", lambda m: f"stages.{int(m[1]) // 2 + 1}.downsample.{m[2]}"),
    (r"network\.(\d+)\.(\d+)\.((?:attn|mlp|norm)[\w.]+)", _block),
    (r"(norm|head)\.(weight|bias)", None),
]
_INVERSE: List[Tuple[str, Restoration]] = [
    (r"stages\.(\d+)\.downsample\.(\w+)", lambda m, _: f"network.{2 * int(m[1]) - 1}.proj.{m[2]}"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.(.+)", lambda m, _: f"network.{2 * int(m[1])}.{m[2]}.{_original_suffix(m[3])}"),
]
# Where a deformable convolution would sample: constants that follow from the kernel size.
_IGNORED = r"network\.\d+\.\d+\.attn\.sfc_[hw]\.offset|.*\bnum_batches_tracked"

NAME_SCHEMES = (
    NameScheme(
        "ppcls",
        rules=[
            (r"(stem|norm|head)\.\w+", None),
            (r"stages\.\d+\.downsample\.\w+", None),
            (r"stages\.\d+\.blocks\.\d+\.(norm[12]|mixer\.(fc_[chw]|proj|reweight\.fc[12])|mlp\.fc[12])\.\w+", None),
        ],
    ),
    NameScheme("ShoufaChen/CycleMLP", torch=True, rules=_RULES, dropped=_IGNORED, inverse=_INVERSE, buffers=_offsets),
)
