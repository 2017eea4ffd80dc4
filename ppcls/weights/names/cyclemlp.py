"""How weight files name CycleMLP's tensors."""

from __future__ import annotations

from typing import List, Match, Tuple

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
_OFFSETS = r"network\.\d+\.\d+\.attn\.sfc_[hw]\.offset|.*\bnum_batches_tracked"

NAME_SCHEMES = (
    NameScheme(
        "ppcls",
        rules=[
            (r"(stem|norm|head)\.\w+", None),
            (r"stages\.\d+\.downsample\.\w+", None),
            (r"stages\.\d+\.blocks\.\d+\.(norm[12]|mixer\.(fc_[chw]|proj|reweight\.fc[12])|mlp\.fc[12])\.\w+", None),
        ],
    ),
    NameScheme("ShoufaChen/CycleMLP", torch=True, rules=_RULES, dropped=_OFFSETS, inverse=_INVERSE),
)
