"""Jobs of several processes, and runs to compare: what the distributed tests share."""

import os
import socket
import subprocess
import sys

import numpy as np
import yaml

from ppcls.weights import restricted_load
from tests.helpers.forks import Fork
from tests.helpers.recipes import ROOT, write_recipe

# Sums of the same numbers in another order, over some ten updates.
CLOSE = 1e-5
_MODEL = {"name": "gMLP", "class_num": 10, "image_size": 16, "patch_size": 4, "dim": 16, "depth": 2}
PART = "DataLoader.Train.sampler.batch_size=8"  # two processes: the recipe's 16


class Job:
    """The real launcher and its processes.

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

    def end(self):
        """End the processes that are left."""
        if self.process.poll() is None:
            self.process.terminate()  # the launcher ends its processes, which would outlive it if it was killed
            self.process.communicate()


# A process that failed waits before it ends, for a launcher to name the first one: there is none here.
_WITHOUT_LAUNCHER = """
import sys
from ppcls.cli import main
from ppcls.utils import distributed
distributed._EXIT_GRACE_SECONDS = 0
sys.exit(main(sys.argv[1:]))
"""


class Pair:
    """Two processes that compute together as those of ``Job`` do, without the launcher: they start at once.

    Args:
        tool: "train", "eval" or "infer".
        program: Python code to run instead of ``ppcls``.
    """

    def __init__(self, folder, tool, recipe, *changes, program=_WITHOUT_LAUNCHER):
        endpoints = [f"127.0.0.1:{port}" for port in _free_ports(2)]
        arguments = (tool, "-c", recipe, "-o", *changes)
        self.processes = [
            Fork(*arguments, cwd=folder, environment=_environment(rank, endpoints), program=program)
            for rank in range(2)
        ]

    def finish(self, codes=(0, 0)):
        """Wait; check the exit codes; return (the first one's standard output, everything that was said)."""
        outputs = [process.communicate(timeout=400) for process in self.processes]
        said = "\n".join(text for texts in outputs for text in texts)
        assert tuple(process.returncode for process in self.processes) == codes, said
        return outputs[0][0], said

    def log(self, rank):
        """Return what a process has said so far."""
        return "\n".join(self.processes[rank].said())

    def end(self):
        """End the processes that are left."""
        for process in self.processes:
            process.kill()
            process.wait()


def _environment(rank, endpoints):
    """Return the variables that the launcher sets for a process."""
    return {
        "PADDLE_MASTER": endpoints[0],
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
        "PADDLE_CURRENT_ENDPOINT": endpoints[rank],
        "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINERS_NUM": str(len(endpoints)),
        "PADDLE_RANK_IN_NODE": str(rank),
        "PADDLE_LOCAL_SIZE": str(len(endpoints)),
        "PADDLE_DISTRI_BACKEND": "gloo",
    }


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def write_uneven(digits, folder):
    """Write a recipe whose last batch of 16 has one image: a process has an empty part of it; return its path."""
    path = write_recipe(digits, folder)
    values = yaml.safe_load(path.read_text())
    listed = (digits / "train_list.txt").read_text().splitlines()[:113]
    (folder / "train_list.txt").write_text("\n".join(listed) + "\n")
    values["DataLoader"]["Train"]["dataset"]["cls_label_path"] = str(folder / "train_list.txt")
    values["DataLoader"]["Eval"]["sampler"]["batch_size"] = 9  # of 40 images
    values["Arch"] = _MODEL
    values["Optimizer"].update(name="Momentum", momentum=0.9, clip_norm=0.5)
    values["Optimizer"]["lr"]["learning_rate"] = 0.05
    path.write_text(yaml.safe_dump(values))
    return path


def largest_difference(one, other, name="latest.pdparams"):
    """Return the largest difference of the weights of two runs."""
    first, second = (restricted_load(folder / name) for folder in (one, other))
    assert first.keys() == second.keys()
    return max(float(np.abs(np.asarray(first[key]) - np.asarray(second[key])).max()) for key in first)
