"""CycleFC against the deformable convolution that says the same, at the shapes of CycleMLP-B1's stages for 224 px.

    python benchmarks/cycle_fc.py

Both take and give [B, H, W, C], and take turns, so that whatever else the machine does hits them alike. Prints one JSON
object: the median and the least of the rounds in milliseconds, without and with the backward pass.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ppcls.utils import environment

environment.prepare()

import paddle  # noqa: E402

from ppcls.arch.layers.cycle_fc import CycleFC  # noqa: E402

STAGES = ((64, 56), (128, 28), (320, 14), (512, 7))


def deformable(layer: CycleFC, size: int, batch: int) -> Callable[[paddle.Tensor], paddle.Tensor]:
    """Return the deformable convolution that computes ``layer``; its offsets are made outside the measurement."""
    channels = layer.weight.shape[1]
    expanded = paddle.to_tensor(layer.offsets()).expand([batch, 2 * channels, size, size])

    def forward(x: paddle.Tensor) -> paddle.Tensor:
        x = x.transpose([0, 3, 1, 2])
        y = paddle.vision.ops.deform_conv2d(x, expanded, layer.weight, layer.bias, deformable_groups=channels)
        return y.transpose([0, 2, 3, 1])

    return forward


def milliseconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - start)


def measure(channels: int, size: int, kernel_size: List[int], batch: int, rounds: int) -> dict:
    """Return the times of both at one stage's shape, and by how much their results differ."""
    layer = CycleFC(channels, channels, kernel_size)
    x = paddle.randn([batch, size, size, channels])
    x.stop_gradient = False
    gradient = paddle.ones_like(x)
    ways = {"cycle_fc": layer, "deform_conv2d": deformable(layer, size, batch)}

    def forward(way: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        with paddle.no_grad():
            way(x)

    def both(way: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        paddle.autograd.backward([way(x)], [gradient])
        x.clear_gradient()
        layer.clear_gradients()

    passes = {"forward": forward, "forward+backward": both}
    times: Dict[str, Dict[str, List[float]]] = {step: {name: [] for name in ways} for step in passes}
    for turn in range(rounds + 1):
        for step, run in passes.items():
            for name, way in ways.items():
                elapsed = milliseconds(lambda run=run, way=way: run(way))
                if turn:  # the first round warms up
                    times[step][name].append(elapsed)
    found: dict = {"channels": channels, "size": size, "kernel_size": kernel_size}
    for step, by_name in times.items():
        found[step] = {
            name: {"median": round(statistics.median(values), 2), "least": round(min(values), 2)}
            for name, values in by_name.items()
        }
        medians = [found[step][name]["median"] for name in ways]
        found[step]["times_faster"] = round(medians[1] / medians[0], 1)
    found["largest_difference"] = float((ways["cycle_fc"](x) - ways["deform_conv2d"](x)).abs().max())
    return found


def main() -> int:
    """Measure all stages and both axes; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    results = [
        measure(channels, size, kernel_size, options.batch, options.rounds)
        for channels, size in STAGES
        for kernel_size in ([1, 3], [3, 1])
    ]
    setting = {"batch": options.batch, "threads": os.environ.get("OMP_NUM_THREADS"), "paddle": paddle.__version__}
    print(json.dumps({**setting, "stages": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
