"""The real launcher with two processes, on a tiny model without batch norm."""

import pytest
import yaml

from tests.distributed.jobs import Job
from tests.helpers.recipes import write_recipe

_MODEL = {"name": "gMLP", "class_num": 10, "image_size": 16, "patch_size": 4, "dim": 16, "depth": 2}


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
