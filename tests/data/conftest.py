"""Small real image files and data sets."""

import numpy as np
import pytest

from ppcls.data.packing import PackOptions, pack
from tests.data.sections import OPS
from tests.helpers.images import encode, picture


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(tmp_path):
    """Return a folder with 23 pictures of three classes and ``list.txt``."""
    lines = []
    for index in range(23):
        name = f"image {index:02d}.png"
        (tmp_path / name).write_bytes(encode(picture(30 + index, 40, index), ".png"))
        lines.append(f"{name} {index % 3}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def section(images):
    """Return a function that gives a DataLoader section over ``images``."""

    def make(workers=0, batch_size=4, shared_memory=True, ops=OPS, dataset=None, **sampler):
        return {
            "dataset": {
                "name": "ImageNetDataset",
                "image_root": str(images),
                "cls_label_path": str(images / "list.txt"),
                "transform_ops": ops,
                "batch_transform_ops": None,
                **(dataset or {}),
            },
            "sampler": {"name": "DistributedBatchSampler", "batch_size": batch_size, "shuffle": True, **sampler},
            "loader": {"num_workers": workers, "use_shared_memory": shared_memory},
        }

    return make


@pytest.fixture
def packed(images, tmp_path_factory):
    """Return the pictures of ``images`` in four shards, in the order of their list."""
    (images / "labels.txt").write_text("red\ngreen\nblue\n")
    folder = tmp_path_factory.mktemp("packed")
    pack(PackOptions(str(images), str(images / "list.txt"), seed=None, shard_samples=6), folder, workers=1)
    return folder
