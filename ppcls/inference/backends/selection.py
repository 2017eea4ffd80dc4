"""What users leave to us: the faster runtime, and bfloat16 where it changes little. Measured once for a model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ppcls.errors import DataError, MachineError
from ppcls.inference.agreement import differences, within_tolerance
from ppcls.inference.backends import measurements
from ppcls.inference.backends.devices import Device
from ppcls.inference.description import PIXELS, Description
from ppcls.utils import environment
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.inference.backends import Backend

_CANDIDATES = ("onnx", "openvino")
_TURNS = 5
_SECONDS = 0.3  # for the turns of one batch size
_BATCH_SECONDS = 0.4  # a batch that would take longer is measured with fewer images
_COMPARED = 4  # images
Measured = Dict[str, Dict[int, float]]


@dataclass(frozen=True)
class Request:
    """What to open, and how; see ``open_backend``."""

    description: Description
    threads: Optional[int]
    device: Device
    precision: Optional[str] = None
    batch_size: int = 32

    def key(self, purpose: str) -> Dict[str, Any]:
        """Return everything that a measurement depends on, as JSON holds it."""
        file = self.description.onnx_file
        assert file is not None
        environment.prepare()
        return {
            "purpose": purpose,
            "model": self.description.files[file],
            "versions": {name: _version(name) for name in ("onnxruntime", "openvino")},
            "processor": [environment.processor_name(), environment.cores(), *environment.processor_instructions()],
            "threads": self.threads or int(os.environ.get(environment.THREADS, "1")),
            "precision": self.precision,
            "batch_size": self.batch_size,
        }


def fastest_first(
    names: List[str], request: Request, open_one: Callable[[str, Request], Backend]
) -> Tuple[List[str], str]:
    """Return runtimes with the faster one of ONNX Runtime and OpenVINO first, and what was measured.

    The faster one needs less time for a single image and for a batch, by the geometric mean of the two ratios.

    Args:
        open_one: opens a model in a runtime.
    """
    try:
        found, source = measurements.recall(
            request.description, request.key("backend"), lambda: _race(request, open_one)
        )
    except (DataError, MachineError) as error:
        get_logger().warning("the backends are not measured: %s", error)
        return names, ""
    return sorted(names, key=lambda name: name != found.get("backend")), f"{found.get('summary')}, {source}"


def openvino_precision(request: Request) -> Tuple[str, str]:
    """Return the precision in which OpenVINO is to compute, and what that is based on.

    Raises:
        DataError: OpenVINO cannot run the model.
    """
    if request.precision != "auto":
        return request.precision or "float32", ""
    from ppcls.inference.backends.openvino import has_bfloat16

    if not has_bfloat16():
        return "float32", "the processor has no bfloat16"
    found, source = _recorded_comparison(request.description), "compared when it was exported"
    if found is None:
        found, source = measurements.recall(
            request.description, request.key("bfloat16"), lambda: _compare_precisions(request)
        )
    values = [found.get(name) for name in ("max_difference", "logit_error")]  # null in JSON if not finite
    is_finite = all(isinstance(value, float) and math.isfinite(value) for value in values)
    precision = "bfloat16" if is_finite and within_tolerance(found, "bfloat16") else "float32"
    change = "gives answers that are not finite"
    if is_finite:
        difference, logits = found["max_difference"], found["logit_error"]
        change = f"changes a probability by up to {difference:.2g}, and the logits by {logits:.1%} of their spread"
    return precision, f"bfloat16 {change}, {source}"


def _version(name: str) -> Optional[str]:
    for distribution in (name, f"{name}-gpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def _race(request: Request, open_one: Callable[[str, Request], Backend]) -> Dict[str, Any]:
    """Measure both runtimes by turns.

    Raises:
        DataError, MachineError: one of them cannot run the model.
    """
    backends = {name: open_one(name, request) for name in _CANDIDATES}
    single = _times(backends, _noise(request.description, 1))
    fitting = int(_BATCH_SECONDS / max(single.values()))
    count = max(1, min(request.batch_size, fitting))
    batch = single if count == 1 else _times(backends, _noise(request.description, count))
    winner = min(_CANDIDATES, key=lambda name: math.log(single[name]) + math.log(batch[name]))
    rates = {name: {1: 1 / single[name], count: count / batch[name]} for name in _CANDIDATES}
    return {"backend": winner, "summary": _summary(rates, {name: backends[name].precision for name in _CANDIDATES})}


def _summary(rates: Mapping[str, Mapping[int, float]], precisions: Mapping[str, str]) -> str:
    """Return rates as text: "images/s at batch 1 / 32: onnx 45 / 50, openvino 60 / 70"."""
    sizes = " / ".join(str(size) for size in next(iter(rates.values())))
    shown = (
        f"{name} in {precisions[name]} {' / '.join(map(_shown, by_size.values()))}" for name, by_size in rates.items()
    )
    return f"images/s at batch {sizes}: {', '.join(shown)}"


def _shown(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def _times(backends: Mapping[str, Backend], batch: np.ndarray) -> Dict[str, float]:
    """Return the shortest seconds of each runtime for a batch, after one batch that does not count."""
    shortest = dict.fromkeys(backends, math.inf)
    for backend in backends.values():
        backend.run(batch)
    started = time.perf_counter()
    for _ in range(_TURNS):
        for name, backend in backends.items():
            turn_started = time.perf_counter()
            for _again in range(2):  # during the first run the other runtime's threads may still look for work
                begin = time.perf_counter()
                backend.run(batch)
                end = time.perf_counter()
                shortest[name] = min(shortest[name], end - begin)
                if end - turn_started > _SECONDS / 2:
                    break
        if time.perf_counter() - started > _SECONDS:
            break
    return shortest


def _noise(description: Description, count: int) -> np.ndarray:
    """Return a batch of noise as the model takes it."""
    rng, shape = np.random.default_rng(0), (count, *description.input_shape)
    if description.input == PIXELS:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape, dtype=np.float32)


def _recorded_comparison(description: Description) -> Optional[Mapping[str, Any]]:
    """Return how far bfloat16 was from the checkpoint at the export; None where that was not compared."""
    node: Any = description.values
    for key in ("Comparison", "models", description.onnx_file, "openvino", "bfloat16"):
        node = node.get(key) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return None
    return node


def _compare_precisions(request: Request) -> Dict[str, Any]:
    """Return how far OpenVINO's answers in bfloat16 are from those in float32, on noise."""
    from ppcls.inference.backends.openvino import OpenvinoBackend

    batch = _noise(request.description, _COMPARED)
    in_float32, in_bfloat16 = (
        OpenvinoBackend(request.description, request.threads, request.device, precision).run(batch)
        for precision in ("float32", "bfloat16")
    )
    return differences(in_bfloat16, in_float32, request.description.postprocess.activation)
