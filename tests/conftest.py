"""What several tests need: a small real data set, recipes for it, and the command line as a real process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Two test processes share two cores: one thread each. Set before paddle is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from ppcls.utils import environment  # noqa: E402

environment.prepare()


@pytest.fixture(scope="session")
def shared():
    """Return the folder of reference data beside the checkout, or skip."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Return a folder with 120 training and 40 validation pictures of handwritten digits, and their lists."""
    import cv2
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    lists = {"train": [], "val": []}
    for index in range(160):
        split = "val" if index % 4 == 0 else "train"
        name = f"{split}/{index:03d}.png"
        (folder / split).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), cv2.resize((data.images[index] * 15).astype("uint8"), (16, 16)))
        lists[split].append(f"{name} {data.target[index]}\n")
    for split, lines in lists.items():
        (folder / f"{split}_list.txt").write_text("".join(lines))
    (folder / "labels.txt").write_text("".join(f"{i} digit-{i}\n" for i in range(10)))
    return folder


@pytest.fixture
def recipe(digits, tmp_path):
    """Return the path of a recipe that trains a tiny ConvMixer on ``digits``, one second an epoch."""
    return write_recipe(digits, tmp_path)


def write_recipe(digits, folder):
    """Write the recipe; everything it makes goes below ``folder``."""
    values = {
        "Global": {
            "epochs": 2,
            "device": "cpu",
            "output_dir": f"{folder}/out",
            "save_inference_dir": f"{folder}/inference",
            "image_shape": [3, 16, 16],
            "print_batch_step": 2,
        },
        "Arch": {"name": "ConvMixer", "class_num": 10, "dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4},
        "Optimizer": {
            "name": "AdamW",
            "weight_decay": 0.01,
            "lr": {"name": "Cosine", "learning_rate": 0.01, "warmup_epoch": 1},
        },
        "DataLoader": {
            "Train": split(digits, "train", [{"Pad": {"padding": 2}}, {"RandCropImageV2": {"size": 16}}], shuffle=True),
            "Eval": split(digits, "val", [], shuffle=False),
        },
        "Metric": {"Train": [{"TopkAcc": {"topk": [1]}}], "Eval": [{"TopkAcc": {"topk": [1, 5]}}]},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def split(digits, name, augmentation, shuffle):
    """Return one side of DataLoader."""
    half = [0.5, 0.5, 0.5]
    normalize = {"scale": "1.0/255.0", "mean": half, "std": half, "order": ""}
    return {
        "dataset": {
            "name": "ImageNetDataset",
            "image_root": str(digits),
            "cls_label_path": f"{digits}/{name}_list.txt",
            "transform_ops": [{"DecodeImage": {}}, *augmentation, {"NormalizeImage": normalize}, {"ToCHWImage": None}],
        },
        "sampler": {"name": "DistributedBatchSampler", "batch_size": 16, "shuffle": shuffle},
        "loader": {"num_workers": 0},
    }


def on_shards(recipe, folder):
    """Change a recipe to train and evaluate on shards of its data; return their folder."""
    from ppcls.data.packing import PackOptions, pack

    values = yaml.safe_load(recipe.read_text())
    for side, prefix in (("Train", "train"), ("Eval", "val")):
        dataset = values["DataLoader"][side]["dataset"]
        settings = PackOptions(dataset["image_root"], dataset.pop("cls_label_path"), prefix=prefix, shard_samples=20)
        pack(settings, folder, workers=1)
        dataset.update(name="ShardDataset", image_root=str(folder), shards=f"{prefix}-*.tar")
    values["DataLoader"]["Train"]["sampler"].update(name="ShardBatchSampler", streams=4, buffer_size=8)
    recipe.write_text(yaml.safe_dump(values))
    return folder


@pytest.fixture
def run(tmp_path):
    """Return a function that runs ``ppcls`` as a process, checks its exit code unless that is None, and returns it."""

    def call(*arguments, code=0, cwd=tmp_path, timeout=240, environment=None, preexec=None):
        done = subprocess.run(
            [sys.executable, "-m", "ppcls", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=timeout,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            preexec_fn=preexec,
        )
        assert code in (None, done.returncode), f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


_MAKE = """
import sys
from ppcls import load_config
from ppcls import export, train
from ppcls.exporting.options import Options
train(load_config("recipe.yaml", ["Global.epochs=4"]))
export(load_config("recipe.yaml", ["Global.pretrained_model=out/best_model"]), Options(self_contained=True))
"""


@pytest.fixture(scope="session")
def models(digits, tmp_path_factory):
    """Return a folder with a run in ``out`` and, in ``inference``, its export for Paddle and for ONNX Runtime."""
    pytest.importorskip("paddle2onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("models")
    write_recipe(digits, folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _MAKE], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder
