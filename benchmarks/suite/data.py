"""The suite "data": images a second of the data loader, the wait for the first batch, prefetching, and memory.

Two pipelines: photos (decode, random crop to 224 px, flip, rand-m9-mstd0.5-inc1, normalize, erase; batches of 32) and
CIFAR-10 (pad, crop, flip, normalize; batches of 128), with one thread per process. "first" is the time from an epoch's
start to its first batch, in seconds: the first epoch starts the workers, later ones find them there. "prefetch" is for
two workers: "drained" by a program that does nothing else, and "uneven" by one whose steps last between nothing and
twice as long as a batch takes to make. "memory" is the resident memory (RSS, MiB) of this process and of two workers
after each of some epochs; Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # read when the libraries are loaded

import numpy as np  # noqa: E402

from benchmarks import _memory  # noqa: E402
from benchmarks.augmentation import training  # noqa: E402
from benchmarks.shards import make  # noqa: E402
from benchmarks.suite.results import Table, draw_lines, write  # noqa: E402
from ppcls.data.datasets import Cifar10, Dataset  # noqa: E402
from ppcls.data.datasets.base import FileDataset  # noqa: E402
from ppcls.data.datasets.paths import PathTable  # noqa: E402
from ppcls.data.loader import DataLoader  # noqa: E402
from ppcls.data.samplers import DistributedBatchSampler  # noqa: E402
from ppcls.data.transforms import Compose, build_transforms  # noqa: E402

WORKERS, PREFETCH = (0, 1, 2), (1, 2, 4)
Pipeline = Tuple[Dataset, Compose, int]


def run(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    epochs, images = (2, 60) if options.quick else (20, 5000)
    with made_up_or_given(options) as folder:
        pipelines = {"photos": photos(folder, images)}
        if options.cifar is not None:
            pipelines["cifar"] = cifar(str(options.cifar))
        found: Dict[str, Any] = {
            name: {
                "workers": by_workers(pipeline, options.seconds),
                "prefetch": by_prefetch(pipeline, options.seconds),
            }
            for name, pipeline in pipelines.items()
        }
        memory = memory_by_epoch(photos(folder, 200), epochs)
    tables = [_workers_table(found), _prefetch_table(found)]
    write(options.output, "data", "python benchmarks/run.py --suite data", {**found, "memory": memory}, tables)
    rates = {
        name: {count: one["later_epoch"]["images_per_second"] for count, one in report["workers"].items() if count}
        for name, report in found.items()
    }
    draw_lines(options.output / "data.png", "Images by data workers", rates, "images/s")


@contextlib.contextmanager
def made_up_or_given(options: argparse.Namespace) -> Iterator[Path]:
    """Yield the folder of JPEGs that was given, or one of made-up photos.

    Raises:
        SystemExit: there are no JPEGs.
    """
    if options.images is None:
        with tempfile.TemporaryDirectory() as folder:
            yield make(Path(folder), 40 if options.quick else 400)
        return
    if not _jpegs(options.images):
        raise SystemExit(f"--images {options.images}: no JPEGs")
    yield options.images


def _jpegs(folder: Path) -> List[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")
    )


def photos(folder: Path, images: int) -> Pipeline:
    """Return the JPEGs of a folder, repeated until there are this many."""
    names = _jpegs(folder)
    copies = -(-images // len(names))
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


def by_workers(pipeline: Pipeline, seconds: float) -> Dict[float, Any]:
    """Return rates for each number of workers, in the first epoch and in a later one."""
    report = {}
    for workers in WORKERS:
        with loader(pipeline, workers) as batches:
            report[float(workers)] = {
                "first_epoch": rate(batches, 0, seconds),
                "later_epoch": rate(batches, 1, seconds),
            }
    return report


def by_prefetch(pipeline: Pipeline, seconds: float) -> Dict[int, Any]:
    """Return images a second for each number of batches that two workers make ahead."""
    report: Dict[int, Any] = {}
    for prefetch in PREFETCH:
        with loader(pipeline, 2, prefetch) as batches:
            drained = rate(batches, 0, seconds)["images_per_second"]
            pause = functools.partial(random.Random(0).uniform, 0, 2 * pipeline[2] / drained)
            uneven = rate(batches, 1, seconds, pause)["images_per_second"]
        report[prefetch] = {"drained": drained, "uneven": uneven}
    return report


def memory_by_epoch(pipeline: Pipeline, epochs: int) -> Dict[str, List[float]]:
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


def _workers_table(found: Dict[str, Any]) -> Table:
    rows = [
        [
            name,
            f"{count:g}",
            *(str(one[epoch]["images_per_second"]) for epoch in ("first_epoch", "later_epoch")),
            *(str(one[epoch]["first"]) for epoch in ("first_epoch", "later_epoch")),
        ]
        for name, report in found.items()
        for count, one in report["workers"].items()
    ]
    header = ["data", "workers", "images/s", "later epochs", "first batch, s", "of later epochs, s"]
    return Table("Data loader", header, rows)


def _prefetch_table(found: Dict[str, Any]) -> Table:
    rows = [
        [name, str(count), str(one["drained"]), str(one["uneven"])]
        for name, report in found.items()
        for count, one in report["prefetch"].items()
    ]
    return Table("Batches made ahead, two workers, images/s", ["data", "batches", "drained", "uneven steps"], rows)
