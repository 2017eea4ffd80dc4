"""Trainings by recipe, each a job of its own: threads, processes and MKL's code path."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from benchmarks.suite.processes import ROOT, inherited_environment

RECIPE = "configs/quick_start/digits_ConvMixer.yaml"


class Job(NamedTuple):
    """How a recipe is trained.

    Attributes:
        processes: how many, which share the batch.
        environment: variables besides those of this process.
    """

    processes: int = 1
    environment: Optional[Dict[str, str]] = None


def rate(job: Job, batch: int, recipe: str = RECIPE) -> float:
    """Return the images a second of all processes together over the second epoch."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(job.processes)]
        start = [*launcher, "--log_dir", f"{folder}/log"] if job.processes > 1 else []
        settings = {
            "Global.output_dir": f"{folder}/out",
            "Global.epochs": 2,
            "Global.device": "cpu",
            "Global.eval_during_train": "false",
            "Global.use_visualdl": "false",
            "Global.print_batch_step": 2,
            "DataLoader.Train.sampler.batch_size": batch // job.processes,
        }
        changes = [f"{key}={value}" for key, value in settings.items()]
        command = [sys.executable, *start, "tools/train.py", "-c", recipe, "-o", *changes]
        environment = {**inherited_environment(), **(job.environment or {})}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        log = (Path(folder) / "out" / "train.log").read_text(encoding="utf-8")
    rates = [float(found) for found in re.findall(r"\[Epoch 2/2\].*ips: ([0-9.]+)", log)]
    return statistics.median(rates[1:])


def rates_by_turns(jobs: Dict[str, Job], rounds: int, batch: int) -> Dict[str, List[float]]:
    """Return the rates of each job in each round."""
    found: Dict[str, List[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            found[name].append(rate(job, batch))
    return found
