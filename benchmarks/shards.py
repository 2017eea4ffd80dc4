"""How fast shards are read, beside the same images in folders.

    python benchmarks/shards.py --images 4000

Images of a folder (``--source``), or made-up photo-sized ones, are read in the order of a training epoch: from class
folders by DistributedBatchSampler, from shards by the same, and from shards by ShardBatchSampler. "read" gives the
files to nobody, "decoded" decodes them. Before a "cold" turn the files are dropped from the system's cache, as far as
the file system honours that; a "warm" turn finds them there. The ways take turns, so that whatever else the machine
does hits them alike. Prints one JSON object: the median images a second of the rounds.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

import numpy as np

from ppcls.data.datasets import ImageFolder, ShardDataset
from ppcls.data.packing import PackOptions, pack
from ppcls.data.samplers import SAMPLERS
from ppcls.data.transforms.decode import decode_image
from ppcls.utils.opencv import cv2


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", help="folder of class folders; default: made-up images of 500 x 375 pixels")
    parser.add_argument("--images", type=int, default=400, help="how many are made up")
    parser.add_argument("--shard-size", type=int, default=16, help="MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where shards and made-up images go; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = options.source or make(Path(folder) / "images", options.images)
        packed = pack(PackOptions(str(source), shard_bytes=options.shard_size << 20), Path(folder) / "shards")
        files, shards = ImageFolder(str(source)), ShardDataset(packed["folder"])
        ways = {
            "folder": (files, "DistributedBatchSampler"),
            "shards, any order": (shards, "DistributedBatchSampler"),
            "shards": (shards, "ShardBatchSampler"),
        }
        read_files = [
            *(Path(files.describe(index)) for index in range(len(files))),
            *Path(packed["folder"]).glob("*.tar"),
        ]
        turns = list(itertools.product(("cold", "warm"), ("read", "decoded"), ways))
        speeds = {turn: [] for turn in turns}
        for number in range(options.rounds):
            for cache, what, way in turns:
                dataset, sampler = ways[way]
                if cache == "cold":
                    evict(read_files)
                speeds[cache, what, way].append(epoch(dataset, sampler, number, what == "decoded"))
    result = {"images": len(files), "shards": packed["shards"], "mb": round(packed["bytes"] / 1e6)}
    medians = {", ".join(turn): round(statistics.median(values)) for turn, values in speeds.items()}
    print(json.dumps({**result, "images_per_second": medians}))
    return 0


def make(folder: Path, count: int) -> Path:
    """Write photo-like JPEGs of two classes; return their folder."""
    for number in range(count):
        rng = np.random.default_rng(number)
        smooth = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (500, 375), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
        file = folder / "ab"[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


def evict(paths) -> None:
    """Drop files from the system's cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)  # what is not on the disk yet cannot be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def epoch(dataset, name: str, number: int, decode: bool) -> float:
    """Return the images per second of an epoch."""
    injected = {"length": len(dataset), "seed": 0, "num_replicas": 1, "rank": 0, "boundaries": dataset.boundaries}
    batches = SAMPLERS.build(name, {"batch_size": 32, "shuffle": True}, **injected).batches(number)
    started = time.perf_counter()
    for index in np.concatenate(batches):
        data = dataset.read(int(index))
        if decode:
            decode_image(data)
    return len(dataset) / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
