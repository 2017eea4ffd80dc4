"""What the data loader gives: images a second by the number of workers, the wait for the first batch, prefetch, memory.

    python benchmarks/loader.py FOLDER_OF_JPEGS --cifar FOLDER_OF_CIFAR10

Two pipelines: photos (decode, random crop to 224 px, flip, rand-m9-mstd0.5-inc1, normalize, erase; batches of 32) and
CIFAR-10 (pad, crop, flip, normalize; batches of 128). "first" is the time from an epoch's start to its first batch, in
seconds: the first epoch starts the workers, later ones find them there. "prefetch" is for two workers: "drained" by a
program that does nothing else, and "uneven" by one whose steps last between nothing and twice as long as a batch takes
to make. "memory" is the resident memory (RSS, MiB) of this process and of two workers after each of some epochs.
Prints one JSON object.
"""

import argparse
import functools
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # read when the libraries are loaded
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from benchmarks import _memory  # noqa: E402
from benchmarks.augmentation import training  # noqa: E402
from ppcls.data.datasets import Cifar10, Dataset  # noqa: E402
from ppcls.data.datasets.base import FileDataset  # noqa: E402
from ppcls.data.datasets.paths import PathTable  # noqa: E402
from ppcls.data.loader import DataLoader  # noqa: E402
from ppcls.data.samplers import DistributedBatchSampler  # noqa: E402
from ppcls.data.transforms import Compose, build_transforms  # noqa: E402

WORKERS, PREFETCH = (0, 1, 2), (1, 2, 4)
Pipeline = Tuple[Dataset, Compose, int]


def photos(folder: Path, images: int) -> Pipeline:
    """Return the JPEGs of a folder, repeated until there are this many."""
    names = sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")
    )
    copies = -(-images // len(names)) if names else 0
    labels = np.zeros(len(names) * copies, np.int64)
    return FileDataset(PathTable(folder, names * copies), labels, None, "error"), training("cv2"), 32


def cifar(folder: str) -> Pipeline:
    """Return CIFAR-10 as the recipes train on it."""
    ops: List[Dict[str, Any]] = [
        {"RandCropImageV2": {"size": 32, "padding": 4}},
        {"RandFlipImage": None},
        {"NormalizeImage": {"order": ""}},
        {"ToCHWImage": None},
    ]
    return Cifar10(folder), build_transforms(ops), 128


def loader(pipeline: Pipeline, workers: int, prefetch: int = 2) -> DataLoader:
    """Return a loader over a pipeline's data, shuffled."""
    dataset, transforms, batch_size = pipeline
    sampler = DistributedBatchSampler(batch_size, True, True, length=len(dataset), seed=0)
    return DataLoader(dataset, transforms, sampler, seed=0, num_workers=workers, prefetch=prefetch, train=True)


def rate(batches: DataLoader, epoch: int, seconds: float, pause: Callable[[], float] = lambda: 0.0) -> Dict[str, float]:
    """Return images a second of an epoch, or of its first seconds, and how long its first batch took."""
    start = time.perf_counter()
    images, first, after = 0, 0.0, start
    for batch in batches.epoch(epoch):
        after = time.perf_counter()
        if not first:
            first, begun = after - start, after
        else:
            images += len(batch.images)
        if images and after - start > seconds:
            break
        time.sleep(pause())
    return {"images_per_second": round(images / max(after - begun, 1e-9), 1), "first": round(first, 4)}


def by_workers(pipeline: Pipeline, seconds: float) -> Dict[str, Any]:
    """Return rates for each number of workers, in the first epoch and in a later one."""
    report = {}
    for workers in WORKERS:
        with loader(pipeline, workers) as batches:
            report[str(workers)] = {"first_epoch": rate(batches, 0, seconds), "later_epoch": rate(batches, 1, seconds)}
    return report


def by_prefetch(pipeline: Pipeline, seconds: float) -> Dict[str, Any]:
    """Return images a second for each number of batches that two workers make ahead."""
    report: Dict[str, Any] = {}
    for prefetch in PREFETCH:
        with loader(pipeline, 2, prefetch) as batches:
            drained = rate(batches, 0, seconds)["images_per_second"]
            pause = functools.partial(random.Random(0).uniform, 0, 2 * pipeline[2] / drained)
            uneven = rate(batches, 1, seconds, pause)["images_per_second"]
        report[str(prefetch)] = {"drained": drained, "uneven": uneven}
    return report


def memory(pipeline: Pipeline, epochs: int) -> Dict[str, List[float]]:
    """Return the memory of this process and of its two workers after each epoch."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    here: List[float] = []
    there: List[float] = []
    with loader(pipeline, 2) as batches:
        for epoch in range(epochs):
            for _ in batches.epoch(epoch):
                pass
            here.append(round(_memory.resident(), 1))
            there.append(round(sum(_memory.resident(int(child)) for child in children.read_text().split()), 1))
    return {"main": here, "workers": there}


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cifar", help="CIFAR-10's unpacked files")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--epochs", type=int, default=20, help="of the measurement of memory")
    options = parser.parse_args()
    pipelines = {"photos": photos(options.folder, 5000)}
    if not len(pipelines["photos"][0]):
        parser.error(f"{options.folder}: no JPEGs")
    if options.cifar:
        pipelines["cifar"] = cifar(options.cifar)
    report: Dict[str, Any] = {"cores": len(os.sched_getaffinity(0))}
    for name, pipeline in pipelines.items():
        report[name] = {
            "workers": by_workers(pipeline, options.seconds),
            "prefetch": by_prefetch(pipeline, options.seconds),
        }
    report["memory"] = memory(photos(options.folder, 200), options.epochs)
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
