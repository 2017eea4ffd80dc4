"""Small real image files and data sets."""

import cv2
import numpy as np
import pytest

from ppcls.data.packing import PackOptions, pack


def picture(height=40, width=60, seed=0):
    """Return a smooth random RGB picture [H, W, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encode(rgb, suffix):
    """Return the bytes of an image file."""
    done, data = cv2.imencode(suffix, rgb[:, :, ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb)
    assert done
    return data.tobytes()


def pictures():
    """Return images of many kinds: noise, a dark and narrow one, flat ones, a gradient, a photo-like mixture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:61, 0:83]
    smooth = np.stack([x * 3 % 256, y * 4, (x + y) * 1.7], axis=-1).astype(np.uint8)
    return [
        rng.integers(0, 256, (37, 53, 3), np.uint8),
        rng.integers(20, 60, (64, 5, 3), np.uint8),
        np.full((16, 16, 3), 77, np.uint8),
        np.zeros((3, 3, 3), np.uint8),
        rng.integers(0, 256, (2, 2, 3), np.uint8),
        smooth,
        np.clip(smooth.astype(int) + rng.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8),
    ]


PICTURES = pictures()


OPS = [
    {"DecodeImage": {"to_rgb": True}},
    {"RandCropImage": {"size": 16}},
    {"RandFlipImage": {"flip_code": 1}},
    {"NormalizeImage": {"order": ""}},
    {"ToCHWImage": None},
]


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


def on_shards(folder, workers=0, batch_size=4, **sampler):
    """Return a DataLoader section over a folder of shards."""
    return {
        "dataset": {"name": "ShardDataset", "image_root": str(folder), "transform_ops": OPS},
        "sampler": {"name": "ShardBatchSampler", "batch_size": batch_size, **sampler},
        "loader": {"num_workers": workers},
    }


def assert_same(found, expected):
    """Check that two lists of batches are equal."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.indices, b.indices)
        assert a.skipped == b.skipped
