"""The real launcher with two processes, on a tiny model without batch norm."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from ppcls.weights import restricted_load
from tests.helpers.recipes import write_recipe

ROOT = Path(__file__).resolve().parents[2]
# Sums of the same numbers in another order, over some ten updates.
CLOSE = 1e-5
_MODEL = {"name": "gMLP", "class_num": 10, "image_size": 16, "patch_size": 4, "dim": 16, "depth": 2}


class Job:
    """A launcher and its processes.

    Args:
        tool: "train", "eval" or "infer".
        processes: how many; 1 runs the tool without a launcher.
    """

    def __init__(self, folder, tool, recipe, *changes, processes=2, script=None, threads="1"):
        self.logs = folder / f"launcher-{len(list(folder.glob('launcher-*')))}"
        self.logs.mkdir()
        script = script or ROOT / "tools" / f"{tool}.py"
        launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes), "--log_dir", str(self.logs)]
        command = [sys.executable, *(launcher if processes > 1 else []), str(script), "-c", str(recipe), "-o", *changes]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PADDLE_")}
        environment.update(PYTHONPATH=str(ROOT))
        environment.pop("OMP_NUM_THREADS")
        if threads is not None:
            environment["OMP_NUM_THREADS"] = threads
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self, code=0):
        """Wait; check the exit code (None: any but 0); return (standard output, everything that was said)."""
        out, err = self.process.communicate(timeout=400)
        said = "\n".join([out, err, *(self.log(rank) for rank in range(2))])
        got = self.process.returncode
        assert got if code is None else got == code, f"exit code {got}\n{said}"
        return out, said

    def log(self, rank):
        """Return what a process has said so far."""
        path = self.logs / f"workerlog.{rank}"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def job(tmp_path):
    """Return a function that starts a job; what is left of it is ended."""
    jobs = []

    def start(*arguments, **options):
        jobs.append(Job(tmp_path, *arguments, **options))
        return jobs[-1]

    yield start
    for started in jobs:
        if started.process.poll() is None:
            started.process.terminate()  # the launcher ends its processes, which would outlive it if it was killed
            started.process.communicate()


@pytest.fixture
def recipe(digits, tmp_path):
    """Return a recipe whose last batch of 16 has one image: a process has an empty part of it."""
    path = write_recipe(digits, tmp_path)
    values = yaml.safe_load(path.read_text())
    listed = (digits / "train_list.txt").read_text().splitlines()[:113]
    (tmp_path / "train_list.txt").write_text("\n".join(listed) + "\n")
    values["DataLoader"]["Train"]["dataset"]["cls_label_path"] = str(tmp_path / "train_list.txt")
    values["DataLoader"]["Eval"]["sampler"]["batch_size"] = 9  # of 40 images
    values["Arch"] = _MODEL
    values["Optimizer"].update(name="Momentum", momentum=0.9, clip_norm=0.5)
    values["Optimizer"]["lr"]["learning_rate"] = 0.05
    path.write_text(yaml.safe_dump(values))
    return path


PART = "DataLoader.Train.sampler.batch_size=8"  # two processes: the recipe's 16


def largest_difference(one, other, name="latest.pdparams"):
    """Return the largest difference of the weights of two runs."""
    first, second = (restricted_load(folder / name) for folder in (one, other))
    assert first.keys() == second.keys()
    return max(float(np.abs(np.asarray(first[key]) - np.asarray(second[key])).max()) for key in first)
