"""Data workers that are forked while a thread writes checkpoints: a program of its own."""

import threading
from pathlib import Path

import numpy as np

from ppcls.data.datasets.base import Dataset
from ppcls.data.loader import DataLoader
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.engine.checkpointing import checkpoint, file_set
from ppcls.engine.checkpointing.saver import BackgroundWriter
from ppcls.utils.logging import get_logger


class Squares(Dataset):
    """Pictures that need no files."""

    def __init__(self):
        super().__init__(np.zeros(32, np.int64), None, "error")

    def read(self, index):
        return np.full((3, 2, 2), index, np.float32)

    def describe(self, index):
        return str(index)


def written_forever(folder, stop):
    """Write, digest and log as a checkpoint does, without a pause."""
    arrays = {"w": np.ones(100_000, np.float32)}
    while not stop.is_set():
        file_set.write(folder / "latest", {".pdparams": lambda path: checkpoint._dump(arrays, path)}, {})
        get_logger().error("written")


def forked_epoch(workers):
    """Start workers, take what they make, end them; return the sum of the pictures' first numbers."""
    sampler = DistributedBatchSampler(length=32, batch_size=8, seed=0)
    with DataLoader(Squares(), lambda image, rng: image, sampler, seed=0, num_workers=workers, train=True) as loader:
        return sum(float(batch.images[:, 0, 0, 0].sum()) for batch in loader.epoch(0))


def main(folder):
    """Print the sum of 40 epochs, each with workers of its own."""
    stop, writer = threading.Event(), BackgroundWriter()
    writer.start(lambda: written_forever(Path(folder), stop))
    print(sum(forked_epoch(workers=2) for _ in range(40)))
    stop.set()
    writer.wait()
