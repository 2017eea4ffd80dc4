"""The suite "operators": each CPU operator of the project beside Paddle's own and PyTorch's."""

from __future__ import annotations

import argparse
from typing import Any, Dict, List, NamedTuple, Tuple

from benchmarks.suite import results
from benchmarks.suite.processes import Contestant, measure_by_turns
from benchmarks.suite.speed import seconds, versions

PASSES = {"forward": "forward", "both": "forward and backward"}
WHO = ("Paddle", "ours", "PyTorch")
_SECONDS = 0.5


class Operator(NamedTuple):
    """What is measured: an operator on a map [B, H, W, C], tokens [B, n, C] or vectors.

    Attributes:
        kind: as ``operator_steps`` and ``torch_operator_steps`` name it.
        shape: of the input.
        sizes: what else the kind needs, such as the outputs or the kernel size.
    """

    kind: str
    shape: Tuple[int, ...]
    sizes: Tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return the name in tables."""
        size = {
            "depthwise": "{0}x{0}",
            "dense": "3x3 to {0} channels",
            "pointwise": "to {0} channels",
            "linear": "to {0}",
            "ConvMixer's half block": "(depthwise {0}x{0}, GELU, batch norm, residual)",
        }
        return " ".join([self.kind, size.get(self.kind, "").format(*self.sizes)]).strip()


OPERATORS = [
    Operator("depthwise", (32, 16, 16, 256), (5,)),
    Operator("depthwise", (8, 16, 16, 1024), (9,)),
    Operator("depthwise", (8, 28, 28, 128), (3,)),
    Operator("pointwise", (8, 16, 16, 1024), (1024,)),
    Operator("dense", (8, 56, 56, 64), (64,)),
    Operator("linear", (8, 196, 256), (1536,)),
    Operator("GELU", (8, 196, 1536)),
    Operator("layer norm", (8, 196, 768)),
    Operator("batch norm", (32, 16, 16, 256)),
    Operator("max pooling", (8, 112, 112, 64)),
    Operator("cycle shift", (8, 56, 56, 64), (7,)),
    Operator("weighted sum of three maps", (8, 56, 56, 64)),
    Operator("residual sum", (8, 56, 56, 64)),
    Operator("ConvMixer's half block", (32, 16, 16, 256), (5,)),
    Operator("spatial gating", (8, 196, 768)),
]


def run(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    found = {}
    for operator in OPERATORS[:1] if options.quick else OPERATORS:
        measured = measure_by_turns(_contestants(operator, options), options.rounds, _SECONDS, options.threads)
        name = f"{operator}, {'x'.join(map(str, operator.shape))}"
        found[name] = {"contestants": measured}
    results.write(options.output, "operators", options.command, found, [_table(found)])
    if options.page is not None:
        content = {"tables": [_table(found)], "command": options.command, "versions": versions(found)}
        results.write_into(options.page, "operators", content)


def _contestants(operator: Operator, options: argparse.Namespace) -> List[Contestant]:
    contestants = []
    for mode in PASSES:
        given = {"operator": operator.kind, "shape": operator.shape, "sizes": operator.sizes, "mode": mode}
        for who, environment in (("Paddle", {"PPCLS_CPU_OPS": "plain"}), ("ours", {})):
            ours = {**given, "kind": "operator"}
            contestants.append(Contestant(f"{who}, {mode}", ours, environment=environment))
        if options.torch_python is not None and operator.kind != "cycle shift":  # not an operator of PyTorch
            torch = {**given, "kind": "torch operator"}
            contestants.append(Contestant(f"PyTorch, {mode}", torch, options.torch_python))
    return contestants


def _table(found: Dict[str, Any]) -> results.Table:
    header = ["operator, input", *(f"{who}, {label}" for label in PASSES.values() for who in WHO)]
    rows = []
    for name, measured in found.items():
        contestants = measured["contestants"]
        keys = [f"{who}, {mode}" for mode in PASSES for who in WHO]
        rows.append([name, *(f"{seconds(contestants[key]) * 1e3:.2g}" if key in contestants else "" for key in keys)])
    return results.Table("Operators in float32, ms", header, rows)
