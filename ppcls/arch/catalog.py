"""The table of all variants."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict, List

from ppcls.arch.registry import list_models, spec


def catalog(pattern: str = "*") -> List[Dict[str, Any]]:
    """Return the specs of the variants whose names match a shell-style ``pattern``, with "public_weights" in each."""
    specs = [spec(name) for name in list_models(pattern)]
    return [{**asdict(model_spec), "public_weights": model_spec.url is not None} for model_spec in specs]


def catalog_text(rows: List[Dict[str, Any]]) -> str:
    """Return the catalog as a text table."""
    lines = [f"{'name':<18} {'family':<10} {'parameters':>12} {'MACs':>9} {'input':>6} {'top-1':>6}  weights"]
    for row in rows:
        top1 = f"{row['top1']:.2f}" if row["top1"] is not None else "-"
        lines.append(
            f"{row['name']:<18} {row['family']:<10} {row['params']:>12,} {row['macs'] / 1e9:>7.2f} G "
            f"{row['image_size']:>6} {top1:>6}  {'public' if row['public_weights'] else '-'}"
        )
    lines.append("top-1: claimed by the authors on ImageNet-1k, percent. MACs: all convolutions and matrix products.")
    return "\n".join(lines)
