"""The real launcher, and runs to compare: what the distributed tests share."""

import os
import subprocess
import sys

import numpy as np

from ppcls.weights import restricted_load
from tests.helpers.recipes import ROOT

# Sums of the same numbers in another order, over some ten updates.
CLOSE = 1e-5
PART = "DataLoader.Train.sampler.batch_size=8"  # two processes: the recipe's 16


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


def largest_difference(one, other, name="latest.pdparams"):
    """Return the largest difference of the weights of two runs."""
    first, second = (restricted_load(folder / name) for folder in (one, other))
    assert first.keys() == second.keys()
    return max(float(np.abs(np.asarray(first[key]) - np.asarray(second[key])).max()) for key in first)
