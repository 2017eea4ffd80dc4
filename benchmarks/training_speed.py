"""Images a second in the quick start's training, with and without the MKL setting, and with one or all threads.

    python benchmarks/training_speed.py

The settings take turns, so that whatever else the machine does hits them alike. Prints one JSON object: the median of
the rounds, each a fresh process; compilation and the first epoch's start are left out.
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
SETTINGS = {
    "as chosen at start-up": {},
    "MKL left alone": {"MKL_DEBUG_CPU_TYPE": ""},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "one thread, MKL left alone": {"OMP_NUM_THREADS": "1", "MKL_DEBUG_CPU_TYPE": ""},
}


def measure(environment: dict, recipe: str, changes: list) -> float:
    """Return images a second over the second epoch."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"Global.output_dir={folder}", "Global.epochs=2", "Global.eval_during_train=false"]
        command = [
            sys.executable,
            "tools/train.py",
            "-c",
            recipe,
            "-o",
            *settings,
            "Global.use_visualdl=false",
            *changes,
        ]
        env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE")}
        done = subprocess.run(
            command, cwd=ROOT, env={**env, **environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        rates = re.findall(r"\[Epoch 2/2\].*ips: ([0-9.]+)", done.stderr)
        return statistics.median(float(rate) for rate in rates[1:])


def main() -> int:
    """Measure all settings in turns; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-c", "--config", default="configs/quick_start/digits_ConvMixer.yaml")
    parser.add_argument("-o", "--override", nargs="+", default=[])
    options = parser.parse_args()
    rates: dict = {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name, environment in SETTINGS.items():
            rates[name].append(measure(environment, options.config, options.override))
    print(
        json.dumps({name: {"images/s": statistics.median(values), "rounds": values} for name, values in rates.items()})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
