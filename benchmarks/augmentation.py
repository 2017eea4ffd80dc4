"""Images a second through the ImageNet transforms on one core: both backends, and timm's beside them where installed.

    python benchmarks/augmentation.py FOLDER_OF_JPEGS

Training: decode, random crop to 224 px (bicubic), flip, rand-m9-mstd0.5-inc1, normalize, erase a quarter (pixel);
"mixed" is what the shipped recipes do, Pillow for the crop and OpenCV for the rest.
Evaluation: decode, short side to 256 px (bicubic), crop 224, normalize. The files are read into memory first. The
pipelines take turns, so that whatever else the machine does hits them alike. Prints one JSON object: the median of the
rounds, and the milliseconds of each transform. Then, in training, images a second with two worker processes, ours by
our loader and timm's by PyTorch's, in batches of 32: by the clock, so that other work on the machine counts.
timm 1.0.31 needs Pillow below 13, which refuses to posterize to 0 bits.
"""

import argparse
import io
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # read when the libraries are loaded
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from ppcls.data.datasets.base import FileDataset  # noqa: E402
from ppcls.data.datasets.paths import PathTable  # noqa: E402
from ppcls.data.loader import DataLoader  # noqa: E402
from ppcls.data.samplers import DistributedBatchSampler  # noqa: E402
from ppcls.data.transforms import Compose, build_transforms  # noqa: E402
from ppcls.data.transforms.warp import BACKENDS  # noqa: E402

Pipeline = Callable[[bytes, int], object]
WORKERS, BATCH = 2, 32


def training(backend: str) -> Compose:
    """Return the transforms of the ImageNet recipes."""
    crop, augment = ("pil", "cv2") if backend == "mixed" else (backend, backend)
    erasing = {"EPSILON": 0.25, "sl": 0.02, "sh": 1 / 3, "r1": 0.3, "attempt": 10, "use_log_aspect": True}
    policy = {"config_str": "rand-m9-mstd0.5-inc1", "img_size": 224}
    return build_transforms(
        [
            {"DecodeImage": None},
            {"RandCropImage": {"size": 224, "interpolation": "bicubic", "backend": crop}},
            {"RandFlipImage": None},
            {"TimmAutoAugment": {**policy, "interpolation": "bicubic", "backend": augment}},
            {"NormalizeImage": {"order": ""}},
            {"ToCHWImage": None},
            {"RandomErasing": {**erasing, "mode": "pixel"}},
        ]
    )


def evaluation(backend: str) -> Compose:
    """Return the transforms with which the recipes evaluate."""
    return build_transforms(
        [
            {"DecodeImage": None},
            {"ResizeImage": {"resize_short": 256, "interpolation": "bicubic", "backend": backend}},
            {"CropImage": {"size": 224, "backend": backend}},
            {"NormalizeImage": {"order": ""}},
            {"ToCHWImage": None},
        ]
    )


def ours(transforms: Compose) -> Pipeline:
    """Return ``transforms`` as a pipeline, with a generator of its own for each image, as the loader gives."""
    return lambda data, index: transforms(data, np.random.default_rng(index))


def with_workers(paths: List[Path], transforms: Compose, seconds: float) -> float:
    """Return images a second of our loader with two workers."""
    names = [str(path.resolve()) for path in paths] * 100
    dataset = FileDataset(PathTable(Path("/"), names), np.zeros(len(names), np.int64), None, "error")
    sampler = DistributedBatchSampler(BATCH, True, True, length=len(names), seed=0)
    with DataLoader(dataset, transforms, sampler, seed=0, num_workers=WORKERS, train=True) as loader:
        return drain((len(batch.images) for batch in loader.epoch(0)), seconds)


def timm_with_workers(paths: List[Path], pipeline: Pipeline, seconds: float) -> float:
    """Return images a second of PyTorch's loader with two workers, with timm's transforms."""
    from torch.utils import data

    class Photos(data.Dataset):
        def __len__(self) -> int:
            return 100 * len(paths)

        def __getitem__(self, index: int) -> object:
            return pipeline(paths[index % len(paths)].read_bytes(), index)

    loader = data.DataLoader(Photos(), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True)
    return drain((len(batch) for batch in loader), seconds)


def drain(sizes: Iterator[int], seconds: float) -> float:
    """Return how many images a second batches of these sizes bring, without the time to the first one."""
    next(sizes)
    start, images = time.perf_counter(), 0
    for size in sizes:
        images += size
        if time.perf_counter() - start > seconds:
            break
    return round(images / (time.perf_counter() - start), 1)


def timm_pipelines() -> Dict[str, Dict[str, Pipeline]]:
    """Return timm's pipelines for the same recipes, by recipe; none where timm cannot be imported."""
    try:
        import torch
        from PIL import Image
        from timm.data import create_transform
    except ImportError:
        return {"training": {}, "evaluation": {}}
    torch.set_num_threads(1)
    train = create_transform(
        224,
        is_training=True,
        interpolation="bicubic",
        auto_augment="rand-m9-mstd0.5-inc1",
        color_jitter=None,
        re_prob=0.25,
        re_mode="pixel",
    )
    evaluate = create_transform(224, interpolation="bicubic", crop_pct=224 / 256)

    def pipeline(transform: Callable[[object], object]) -> Pipeline:
        return lambda data, index: transform(Image.open(io.BytesIO(data)).convert("RGB"))

    return {"training": {"timm": pipeline(train)}, "evaluation": {"timm": pipeline(evaluate)}}


def rate(pipeline: Pipeline, files: List[bytes], turn: int) -> float:
    """Return images a second of processor time of this process, which others' work disturbs least."""
    start = time.process_time()
    for index, data in enumerate(files):
        pipeline(data, turn * len(files) + index)
    return len(files) / (time.process_time() - start)


def shares(transforms: Compose, files: List[bytes]) -> Dict[str, float]:
    """Return milliseconds an image for each transform."""
    spent = dict.fromkeys(transforms.names, 0.0)
    for index, data in enumerate(files):
        image, rng = data, np.random.default_rng(index)
        for name, op in zip(transforms.names, transforms.ops):
            start = time.process_time()
            image = op(image, rng)
            spent[name] += time.process_time() - start
    return {name: round(1000 * seconds / len(files), 3) for name, seconds in spent.items()}


def main() -> int:
    """Measure both recipes; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement with workers")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        parser.error(f"{options.folder}: no JPEGs")
    files = [path.read_bytes() for path in paths]
    foreign = timm_pipelines()
    report: dict = {"images": len(files), "timm": bool(foreign["training"]) or "not installed"}
    for recipe, make, backends in (
        ("training", training, ("cv2", "mixed", "pil")),
        ("evaluation", evaluation, BACKENDS),
    ):
        pipelines = {**{backend: ours(make(backend)) for backend in backends}, **foreign[recipe]}
        rates: Dict[str, List[float]] = {name: [] for name in pipelines}
        for turn in range(options.rounds):
            for name, pipeline in pipelines.items():
                rates[name].append(rate(pipeline, files, turn))
        report[recipe] = {
            "images_per_second": {name: round(statistics.median(found), 1) for name, found in rates.items()},
            "milliseconds": {backend: shares(make(backend), files) for backend in backends},
        }
    rates_of = {name: with_workers(paths, training(name), options.seconds) for name in ("cv2", "mixed", "pil")}
    timm = foreign["training"].get("timm")
    report["training"]["images_per_second_with_2_workers"] = {
        **rates_of,
        "timm": timm_with_workers(paths, timm, options.seconds) if timm else "not measured: timm is not installed",
    }
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
