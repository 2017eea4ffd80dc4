"""A recipe's data, checked and shown."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.config.schema import Config
from ppcls.data.datasets import Classes, Dataset
from ppcls.data.inspection import check_files
from ppcls.data.inspection.checking import check_datasets
from ppcls.data.inspection.contact_sheets import contact_sheet, denormalize, write_picture
from ppcls.data.loader import Batch, DataLoader
from ppcls.data.transforms import TRANSFORMS, TransformOp, name_and_arguments
from ppcls.engine import checks
from ppcls.engine.checks import require_split
from ppcls.engine.class_count import for_display
from ppcls.engine.data import build_loader, open_dataset
from ppcls.engine.label_names import match_classes
from ppcls.errors import ConfigError, DataError
from ppcls.utils.logging import repeats_dropped, warn_once

_SIDES = ("Train", "Eval")


@repeats_dropped()
def check_data(config: Config, target: Path, workers: Optional[int] = None) -> Dict[str, Any]:
    """Read every image of ``DataLoader.Train`` and ``.Eval``; write ``report.html`` and ``report.json``.

    Returns:
        The report: "ok" (nothing is broken, mislabelled or shared), "images", "counts" of problems by kind, "problems",
        "classes", "sizes", "modes".

    Raises:
        ConfigError: the recipe has no data.
        DataError: a list or folder is missing or malformed.
    """
    datasets = {side: open_dataset(config, side) for side in _SIDES if getattr(config.DataLoader, side) is not None}
    if not datasets:
        raise ConfigError("DataLoader: missing; the recipe has no data to check")
    checks.require_training_sizes(config)
    page = target / "report.html"
    check_files.prepare(page)
    config = for_display(config, datasets)
    datasets, found = _compare_classes(config, datasets)
    check = check_datasets(datasets, config.Arch.class_num, _crop_size(config), workers, found)
    check_files.write(check, page, f"Data of {config.Arch.name}", workers=workers)
    return check.report


def _compare_classes(config: Config, datasets: Dict[str, Dataset]) -> Tuple[Dict[str, Dataset], Dict[str, List[str]]]:
    """Return the data sets with the class ids of training, and what is wrong or remarkable about their classes."""
    problems: Dict[str, List[str]] = {"class_mismatch": [], "differing_classes": []}
    if "Train" not in datasets:
        return datasets, problems
    try:
        checks.require_class_count(config, datasets["Train"])
    except ConfigError as error:
        problems["class_mismatch"].append(str(error))
    if "Eval" not in datasets:
        return datasets, problems
    try:
        aligned, notes = match_classes(config, Classes.of(datasets["Train"]), "DataLoader.Train", datasets["Eval"])
    except DataError as error:
        problems["class_mismatch"].append(f"DataLoader.Eval: {error}")
        return datasets, problems
    for note in notes:
        warn_once("DataLoader.Eval: %s", note)
    problems["differing_classes"] = [f"DataLoader.Eval: {note}" for note in notes]
    return {**datasets, "Eval": aligned}, problems


def _crop_size(config: Config) -> int:
    """Return the side below which training has to enlarge or refuse an image."""
    sides = [1]
    for op in _ops(config, "Train"):
        name, arguments = name_and_arguments(op)
        size = arguments.get("size")
        if "Crop" in name and size is not None:
            sides.append(int(min(size) if isinstance(size, (list, tuple)) else size))
    return max(sides)


def _ops(config: Config, side: str) -> Sequence[TransformOp]:
    section = getattr(config.DataLoader, side)
    return section.dataset.transform_ops if section is not None else []


def show_data(config: Config, target: Path, count: int, side: str = "Train", epoch: int = 0) -> None:
    """Draw images of an epoch as the model gets them, with their labels, into a picture file.

    They are the first ``count`` of ``Train``, and of ``Eval``, which is mostly sorted by class, spread over all.

    Raises:
        ConfigError: no such data, or fewer than one image is asked for.
        DataError: an image is broken.
        MachineError: the picture cannot be written.
    """
    if count < 1:
        raise ConfigError(f"-n: expected at least 1, got {count}")
    changed = config.model_copy(update={"DataLoader": _without_workers(config, side)})
    images: List[np.ndarray] = []
    texts: List[str] = []
    with build_loader(for_display(changed), side) as loader:
        names = loader.dataset.class_names
        for batch in _batches(loader, side, count, epoch):
            for row, view in itertools.product(range(len(batch.labels)), range(batch.views)):
                images.append(pixels(config, side, batch.images[view * len(batch.labels) + row]))
                texts.append(label_text(batch, row, names))
            if len(images) >= count:
                break
    write_picture(contact_sheet(images[:count], texts[:count]), target)


def _batches(loader: DataLoader, side: str, count: int, epoch: int) -> Iterator[Batch]:
    if side == "Train":
        return loader.epoch(epoch)
    total = len(loader.dataset)
    return iter([loader.load_batch(epoch, np.linspace(0, total - 1, min(count, total)).astype(int).tolist())])


def _without_workers(config: Config, side: str) -> Any:
    split = require_split(config, side)
    alone = split.model_copy(update={"loader": split.loader.model_copy(update={"num_workers": 0})})
    return config.DataLoader.model_copy(update={side: alone})


def pixels(config: Config, side: str, image: np.ndarray) -> np.ndarray:
    """Return a normalized image's pixels, by what the recipe's NormalizeImage or Normalize says."""
    for op in _ops(config, side):
        name, arguments = name_and_arguments(op)
        if name in ("NormalizeImage", "Normalize"):
            scale, mean, std = TRANSFORMS.build(name, arguments).constants()
            return denormalize(image, mean, std, scale)
    raise ConfigError(f"DataLoader.{side}.dataset.transform_ops: has no NormalizeImage, so pixels cannot be shown")


def label_text(batch: Batch, row: int, names: Optional[Sequence[str]]) -> str:
    """Return the class of a sample, or its classes and their shares."""

    def name(label: int) -> str:
        return names[label] if names and label < len(names) else str(label)

    several = batch.labels.ndim == 2
    if batch.targets is None:
        labels = np.flatnonzero(batch.labels[row]).tolist() if several else [int(batch.labels[row])]
        return "\n".join(map(name, labels)) or "no class"
    shares = batch.targets[row]
    count = np.count_nonzero(shares) if several else 2
    largest = [int(label) for label in np.argsort(-shares)[:count] if shares[label] > 0]
    return "\n".join(f"{name(label)} {shares[label]:.2f}" for label in largest)
