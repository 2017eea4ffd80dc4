"""Sections of a recipe's DataLoader, and the batches that they give."""

import numpy as np

OPS = [
    {"DecodeImage": {"to_rgb": True}},
    {"RandCropImage": {"size": 16}},
    {"RandFlipImage": {"flip_code": 1}},
    {"NormalizeImage": {"order": ""}},
    {"ToCHWImage": None},
]


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
