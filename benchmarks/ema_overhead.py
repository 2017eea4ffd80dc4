"""What averaging the weights (EMA) adds to a training step.

    python benchmarks/ema_overhead.py --model CycleMLP_B2 --batch 8 --steps 5

Prints one JSON object, medians in seconds: "step" is forward, backward and update with AdamW at 224 px, "ema" the
update of the average. "added_mib" is the memory that the average adds, "weights_mib" the size of the weights.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from benchmarks import _memory  # noqa: E402
from ppcls.utils import environment  # noqa: E402


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="CycleMLP_B2")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    environment.import_paddle()
    import paddle

    from ppcls.engine.ema import EMA
    from ppcls.weights import create_model

    model = create_model(options.model)
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters())
    images, labels = paddle.randn([options.batch, 3, 224, 224]), paddle.randint(0, 1000, [options.batch])

    def train() -> float:
        started = time.perf_counter()
        paddle.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.clear_grad()
        return time.perf_counter() - started

    def update(number: int) -> float:
        started = time.perf_counter()
        ema.update(number)
        return time.perf_counter() - started

    for _ in range(3):  # they allocate
        train()
    before = _memory.peak()
    ema = EMA(model, 0.9999)
    numbers = range(1, options.steps + 2)
    step, average = zip(*((train(), update(number)) for number in numbers))
    added = round(_memory.peak() - before)
    parameters = sum(int(p.size) for p in model.parameters())
    medians = {name: round(statistics.median(values[1:]), 3) for name, values in (("step", step), ("ema", average))}
    memory = {"added_mib": added, "weights_mib": round(4 * parameters / 2**20)}
    print(json.dumps({"model": options.model, "parameters": parameters, "batch": options.batch, **medians, **memory}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
