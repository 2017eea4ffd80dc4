"""Memory of a training step with and without gradient checkpointing (``Arch.recompute``), one variant a family.

    python benchmarks/recompute_memory.py [--batch 8] [VARIANT...]

Each measurement is a process of its own, which builds the model, then does two steps of forward, backward and SGD on
random images of the variant's size. Writes to logs/benchmarks/recompute_memory.json: "resident" is the largest resident
memory of the process, "step" by how much that exceeds what it was before the first step, in MiB; "seconds" those of the
second step. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = ("ConvMLP_S", "ConvMixer_1024_20", "gMLP_S16", "CycleMLP_B1")


def run(name: str, batch: int, recompute: bool) -> Dict[str, float]:
    """Train two steps; return the memory in MiB and the seconds of the second step. To be called in a fresh process."""
    import time

    sys.path.insert(0, str(ROOT))
    from benchmarks import _memory
    from ppcls.utils import environment

    environment.prepare()
    import paddle

    from ppcls.arch import spec
    from ppcls.weights import create_model

    paddle.seed(0)
    model = create_model(name, recompute=recompute)
    model.train()
    optimizer = paddle.optimizer.SGD(1e-3, parameters=model.parameters())
    size = spec(name).image_size
    images, labels = paddle.randn([batch, 3, size, size]), paddle.randint(0, 1000, [batch])
    before, seconds = _memory.peak(), 0.0
    for _ in range(2):
        begun = time.perf_counter()
        loss = paddle.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        seconds = time.perf_counter() - begun
    after = _memory.peak()
    return {
        "resident": round(after),
        "step": round(after - before),
        "seconds": round(seconds, 2),
        "loss": round(float(loss), 5),
    }


def measure(name: str, batch: int) -> Dict[str, Any]:
    """Return what both ways take."""
    found: Dict[str, Any] = {}
    for way, flag in (("plain", "0"), ("recompute", "1")):
        command = [sys.executable, __file__, "--one", flag, "--batch", str(batch), name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[way] = json.loads(done.stdout.splitlines()[-1])
    found["saved"] = round(1 - found["recompute"]["step"] / found["plain"]["step"], 3)
    return found


def main() -> int:
    """Measure, print and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=VARIANTS, metavar="VARIANT")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--log", type=Path, default=ROOT / "logs" / "benchmarks" / "recompute_memory.json")
    parser.add_argument("--one", choices="01", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run(options.variants[0], options.batch, options.one == "1")))
        return 0
    results = {}
    for name in options.variants:
        results[name] = measure(name, options.batch)
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in results.items())
    options.log.write_text(f'{{\n "batch": {options.batch},\n "variants": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
