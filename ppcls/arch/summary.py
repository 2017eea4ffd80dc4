"""A model's layers, with shapes, parameters and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Dict, List, Tuple

from paddle import nn

from ppcls.arch.macs import count_macs


@dataclass(frozen=True)
class LayerRow:
    """One layer that has parameters of its own.

    Attributes:
        shape: of its output for one image.
        params: weights in it, trainable ones only.
        macs: multiply-adds, for convolutions and linear layers; 0 for others.
    """

    name: str
    kind: str
    shape: Tuple[int, ...]
    params: int
    macs: int


def layers_and_macs(model: nn.Layer, image_shape: Tuple[int, int, int]) -> Tuple[List[LayerRow], Dict[str, int]]:
    """Return the layers that have parameters, in the order in which an image [C, H, W] passes them, and ``count_macs``.

    Nothing is computed: the layers are recorded while the model is traced.
    """
    rows: List[LayerRow] = []
    hooks = []
    for name, layer in model.named_sublayers():
        if layer.parameters(include_sublayers=False):
            hooks.append(layer.register_forward_post_hook(_recorder(rows, name)))
    try:
        macs = count_macs(model, image_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return rows, macs


def _recorder(rows: List[LayerRow], name: str) -> Any:
    def record(layer: nn.Layer, inputs: Any, output: Any) -> None:
        params = sum(int(p.size) for p in layer.parameters(include_sublayers=False) if p.trainable)
        shape = tuple(output.shape)
        macs = 0
        if isinstance(layer, nn.Conv2D):
            macs = prod(shape) * prod(layer.weight.shape[1:])
        elif isinstance(layer, nn.Linear):
            macs = prod(shape) * int(layer.weight.shape[0])
        rows.append(LayerRow(name, type(layer).__name__, shape, params, macs))

    return record


def summary(model: nn.Layer, image_shape: Tuple[int, int, int]) -> str:
    """Return a table of the layers and the totals, as text."""
    rows, total = layers_and_macs(model, image_shape)
    width = max(len(row.name) for row in rows)
    lines = [f"{'layer':<{width}}  {'kind':<14}  {'output':<20}  {'parameters':>12}  {'MACs':>16}"]
    for row in rows:
        shape = "[" + ", ".join(map(str, row.shape)) + "]"
        macs = f"{row.macs:,}" if row.macs else "-"
        lines.append(f"{row.name:<{width}}  {row.kind:<14}  {shape:<20}  {row.params:>12,}  {macs:>16}")
    params = sum(int(p.size) for p in model.parameters() if p.trainable)
    lines.append(f"parameters: {params:,}   input: {list(image_shape)}")
    lines.append(
        f"MACs: {total['total'] / 1e9:.3f} G (convolutions and matrix products, functional ones too; "
        f"{total['depthwise'] / 1e9:.3f} G of them in depthwise convolutions)"
    )
    return "\n".join(lines)
