"""The suites "train" and "infer": images a second of models, beside those of PyTorch."""

from __future__ import annotations

import argparse
import statistics
from typing import Any, Dict, List, NamedTuple, Optional

from benchmarks.suite.processes import Contestant, measure_by_turns
from benchmarks.suite.results import Table

MATMUL = {"float32": "matrix product, float32", "bfloat16": "matrix product, bfloat16"}
REFERENCE = "PyTorch, float32"
# Multiply-adds of a training step over those of its forward pass: gradients by inputs and by weights cost as much each.
_PASSES = {"train": 3, "infer": 1}


class Setting(NamedTuple):
    """The images that a model is measured on."""

    batch: int
    size: int


SETTINGS = {
    "ConvMLP_S": Setting(8, 224),
    "CycleMLP_B1": Setting(8, 224),
    "gMLP_S16": Setting(8, 224),
    "ConvMixer_1024_20": Setting(8, 224),
    "ConvMixer_256_8": Setting(32, 32),
}
QUICK = {"ConvMixer_256_8": Setting(2, 8)}


def run(options: argparse.Namespace, mode: str) -> Dict[str, Any]:
    """Return what was measured, by model."""
    settings = QUICK if options.quick else SETTINGS
    chosen = options.models or list(settings)
    unknown = [name for name in chosen if name not in settings]
    if unknown:
        raise SystemExit(f"--models {' '.join(unknown)}: must be some of {', '.join(settings)}")
    found = {}
    for name in chosen:
        setting = settings[name]
        contestants = _chosen(contestants_of(name, setting, mode, options), options.contestants)
        measured = measure_by_turns(contestants, options.rounds, options.seconds, options.threads)
        found[name] = {"batch": setting.batch, "size": setting.size, "contestants": measured}
    return found


def _chosen(contestants: List[Contestant], names: Optional[List[str]]) -> List[Contestant]:
    """Return the contestants of these names, or all."""
    chosen = [one for one in contestants if names is None or one.name in names]
    if not chosen:
        raise SystemExit(f"--contestants: must be some of {'; '.join(one.name for one in contestants)}")
    return chosen


def contestants_of(name: str, setting: Setting, mode: str, options: argparse.Namespace) -> List[Contestant]:
    """Return who is measured on a model: ours, the matrix products, and the peers that were given."""
    common = {"model": name, "mode": mode, "batch": setting.batch, "size": setting.size}
    ours = {**common, "kind": "ppcls"}
    contestants = [Contestant("ours, float32", {**ours, "dtype": "float32", "macs": True})]
    half = "bfloat16" in options.dtypes
    if half:
        contestants.append(Contestant("ours, bfloat16", {**ours, "dtype": "bfloat16"}))
    if options.plain:
        plain = {"PPCLS_CPU_OPS": "plain"}
        contestants.append(Contestant("ours, plain operators", {**ours, "dtype": "float32"}, environment=plain))
    contestants += [Contestant(MATMUL[dtype], {"kind": "matmul", "dtype": dtype}) for dtype in options.dtypes]
    for label, sources in _torch_sources(name, options).items():
        torch = {**common, "kind": "torch", "sources": sources}
        for dtype in options.dtypes:
            contestants.append(Contestant(f"{label}, {dtype}", {**torch, "dtype": dtype}, options.torch_python))
    return contestants


def _torch_sources(name: str, options: argparse.Namespace) -> Dict[str, Dict[str, str]]:
    """Return where models in PyTorch come from, by the name of the contestant; none where something was not given."""
    if options.torch_python is None:
        return {}
    authors = {"convmlp": options.convmlp_code, "cyclemlp": options.cyclemlp_code}
    sources = {key: str(folder.resolve()) for key, folder in authors.items() if folder is not None}
    needed = {"ConvMLP_S": "convmlp", "CycleMLP_B1": "cyclemlp"}.get(name)
    found = {"PyTorch": sources} if needed is None or needed in sources else {}
    if options.timm and name in ("ConvMixer_1024_20", "gMLP_S16"):
        found["timm"] = {"timm": "timm"}
    return found


def seconds(measured: Dict[str, Any]) -> float:
    """Return the seconds of a step: the median of all steps of all rounds."""
    return statistics.median(step for steps in measured["rounds"] for step in steps)


def spread(measured: Dict[str, Any]) -> float:
    """Return the distance between the fastest and the slowest round's median, as a share of the median."""
    medians = [statistics.median(steps) for steps in measured["rounds"]]
    return (max(medians) - min(medians)) / statistics.median(medians)


def tables(results: Dict[str, Any], mode: str) -> List[Table]:
    """Return a table of all contestants, and one row a model of their rates beside PyTorch's."""
    header = [
        "model",
        "contestant",
        "images/s",
        "ms a step",
        "spread",
        "to PyTorch float32",
        "peak MiB",
        "of the limit",
    ]
    rows = []
    for name, found in results.items():
        contestants = found["contestants"]
        reference = seconds(contestants[REFERENCE]) if REFERENCE in contestants else None
        for contestant, measured in contestants.items():
            if contestant in MATMUL.values():
                continue
            step = seconds(measured)
            rows.append(
                [
                    name,
                    contestant,
                    f"{found['batch'] / step:.3g}",
                    f"{step * 1000:.0f}" if step > 0.1 else f"{step * 1000:.3g}",
                    f"{spread(measured):.0%}",
                    "" if reference is None else f"{reference / step:.2f}",
                    "unknown" if measured["peak_mib"] is None else str(measured["peak_mib"]),
                    _share_of_limit(found, contestant, mode),
                ]
            )
    return [Table(f"Suite {mode}", header, rows), _limits(results)]


def _share_of_limit(found: Dict[str, Any], contestant: str, mode: str) -> str:
    """Return the operations per second as a share of those of the matrix product in the same type."""
    contestants = found["contestants"]
    limit = contestants.get(MATMUL["bfloat16" if "bfloat16" in contestant else "float32"])
    ours = contestants.get("ours, float32")
    if limit is None or ours is None:
        return ""
    operations = 2 * ours["facts"]["macs"] * _PASSES[mode] * found["batch"]
    rate = operations / seconds(contestants[contestant])
    return f"{rate / (limit['facts']['operations'] / seconds(limit)):.0%}"


def _limits(results: Dict[str, Any]) -> Table:
    rows = []
    for name, found in results.items():
        limits = [found["contestants"].get(limit) for limit in MATMUL.values()]
        rates = ["" if one is None else f"{one['facts']['operations'] / seconds(one) / 1e9:.0f}" for one in limits]
        rows.append([name, *rates])
    return Table("Matrix products in the same run, GFLOP/s", ["model", *MATMUL], rows)


def bars(results: Dict[str, Any]) -> Dict[str, Dict[str, float]]:
    """Return images a second by model and contestant, for the picture."""
    return {
        name: {
            contestant: found["batch"] / seconds(measured)
            for contestant, measured in found["contestants"].items()
            if contestant not in MATMUL.values()
        }
        for name, found in results.items()
    }
