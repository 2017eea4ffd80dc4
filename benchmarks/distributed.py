"""Images a second of one process with two threads, and of two processes with one thread each, on the same batches.

    python benchmarks/distributed.py

Both train the same recipe with the same global batch for two epochs, by turns, so that whatever else the machine does
hits them alike. Prints one JSON object: the median of the second epoch's rates over the rounds, each a fresh job.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def measure(processes: int, recipe: str, batch: int, changes: list) -> float:
    """Return images a second of all processes together over the second epoch."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes), "--log_dir", f"{folder}/log"]
        settings = [
            f"Global.output_dir={folder}/out",
            "Global.epochs=2",
            "Global.device=cpu",
            "Global.eval_during_train=false",
            "Global.use_visualdl=false",
            "Global.print_batch_step=2",
            f"DataLoader.Train.sampler.batch_size={batch // processes}",
        ]
        command = [sys.executable, *(launcher if processes > 1 else []), "tools/train.py", "-c", recipe]
        env = {**os.environ, "OMP_NUM_THREADS": str(2 // processes)}
        done = subprocess.run(
            [*command, "-o", *settings, *changes], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        log = (Path(folder) / "out" / "train.log").read_text(encoding="utf-8")
        rates = re.findall(r"\[Epoch 2/2\].*ips: ([0-9.]+)", log)
        return statistics.median(float(rate) for rate in rates[1:])


def main() -> int:
    """Measure both by turns; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="of all processes together")
    parser.add_argument("-c", "--config", default="configs/quick_start/digits_ConvMixer.yaml")
    parser.add_argument("-o", "--override", nargs="+", default=[])
    options = parser.parse_args()
    names = {1: "one process, two threads", 2: "two processes, one thread each"}
    rates: dict = {name: [] for name in names.values()}
    for _ in range(options.rounds):
        for processes, name in names.items():
            rates[name].append(measure(processes, options.config, options.batch, options.override))
    result = {name: {"images/s": statistics.median(values), "rounds": values} for name, values in rates.items()}
    print(json.dumps({"recipe": options.config, "batch": options.batch, **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
