"""The Slurm script, with stand-ins for Slurm's commands that treat signals as those do, and for the training."""

import os
import signal
import subprocess
import time

import pytest

from tests.helpers.deploy_files import DEPLOY

# srun starts the step's processes in groups of their own, and kills them when it is told to end.
_SRUN = """#!/bin/bash
shift
setsid "$@" &
step=$!
echo "$step" > step
trap 'kill -KILL -- "-$step"' TERM
wait "$step"
"""
_SCANCEL = """#!/bin/bash
[ "$*" = "--signal=TERM 4242.0" ] && kill -TERM -- "-$(cat step)"
"""
_SCONTROL = """#!/bin/bash
case $1 in
    show) printf 'node7\\nnode8\\n' ;;
    requeue) echo "$2" > requeued ;;
esac
"""
# The launcher with its processes: saves when it is told to end.
_PYTHON = """#!/bin/bash
trap 'echo done > saved; exit 143' TERM
printf '%s\\n' "$@" > arguments
while true; do sleep 0.05; done
"""


@pytest.fixture
def job(tmp_path):
    """Return the script as Slurm runs it, when its training has begun."""
    for name, text in (("srun", _SRUN), ("scancel", _SCANCEL), ("scontrol", _SCONTROL), ("python", _PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {"JOB_ID": "4242", "JOB_NODELIST": "node[7-8]", "JOB_NUM_NODES": "2", "NODEID": "1", "GPUS_ON_NODE": "4"}
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment.update({f"SLURM_{name}": value for name, value in slurm.items()})
    command = ["bash", str(DEPLOY / "slurm.sh"), "a recipe.yaml", "-o", "Global.output_dir=/shared/a b"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 30
    while not (tmp_path / "arguments").is_file() or not (tmp_path / "arguments").read_text().endswith("a b\n"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()
    if not (tmp_path / "saved").is_file():
        os.killpg(int((tmp_path / "step").read_text()), signal.SIGKILL)


def test_each_machine_starts_its_launcher(job, tmp_path):
    launcher = "-m paddle.distributed.launch --master node7:24242 --nnodes 2 --rank 1 --devices 0,1,2,3"
    given = (tmp_path / "arguments").read_text().splitlines()
    assert given == [
        *launcher.split(),
        *("--log_dir", "logs/4242/1", "tools/train.py", "-c", "a recipe.yaml", "-o", "Global.checkpoints=auto"),
        *("-o", "Global.output_dir=/shared/a b"),
    ]


def test_before_its_time_is_up_it_saves_and_is_queued_again(job, tmp_path):
    (told,) = (line for line in (DEPLOY / "slurm.sh").read_text().splitlines() if line.startswith("#SBATCH --signal="))
    job.send_signal(signal.Signals[f"SIG{told.partition('B:')[2].partition('@')[0]}"])
    assert job.wait(30) == 0
    assert (tmp_path / "saved").is_file()
    assert (tmp_path / "requeued").read_text() == "4242\n"


def test_cancelled_by_its_user_it_is_not_queued_again(job, tmp_path):
    job.send_signal(signal.SIGTERM)
    assert job.wait(30) == -signal.SIGTERM
    assert not (tmp_path / "requeued").exists()


def test_without_a_recipe_it_says_how_it_is_used():
    done = subprocess.run(["bash", str(DEPLOY / "slurm.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: sbatch deploy/slurm.sh RECIPE" in done.stderr
