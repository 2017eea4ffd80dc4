"""What the model was trained and evaluated on, and what is remarkable about it."""

from __future__ import annotations

import json
import time
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ppcls.data.datasets import Dataset
from ppcls.data.transforms.formats import read_header
from ppcls.report.charts import BarChart
from ppcls.report.elements import Charts, Section, bullets, paragraph
from ppcls.report.run_data import RunData
from ppcls.report.sections.classes import training_counts
from ppcls.utils.html import table
from ppcls.utils.paths import user_path

_SAMPLE = 200  # images of each side whose sizes are read
_SECONDS = 3.0  # for reading them
_FEW = 20  # training images of a class
_IMBALANCE = 10  # times as many images of the largest class as of the smallest
_BARS = 40  # classes of the chart


def data_sheet(data: RunData, charts: Charts) -> Optional[Section]:
    """Return the section; None where the data are not there."""
    section = Section("data", "Data")
    sides = [
        (name, one) for name, one in (("training", data.train), ("evaluation", data.evaluation)) if one is not None
    ]
    if not sides:
        return None
    samples = {name: _sizes(dataset) for name, dataset in sides}
    rows = [_row(name, dataset, samples[name][0]) for name, dataset in sides]
    section.body.append(table(("", "images", "classes with images", "width", "height", "formats"), rows, (5,)))
    counts = training_counts(data)
    if counts is not None and len(counts):
        section.body.append(charts.show([("classes", _chart(data, counts))]))
    problems = [*_problems(data, counts), *(line for _, lines in samples.values() for line in lines)]
    section.body.append("<h3>What stands out</h3>")
    section.body.append(bullets(problems) if problems else paragraph("Nothing."))
    section.body += _checked(data)
    return section


def _row(name: str, dataset: Dataset, sizes: List[Tuple[str, int, int]]) -> List[str]:
    labels = dataset.labels
    used = int((labels.sum(axis=0) > 0).sum()) if dataset.is_multilabel else len(np.unique(labels))
    widths, heights = [width for _, width, _ in sizes], [height for _, _, height in sizes]
    formats = ", ".join(sorted({kind for kind, _, _ in sizes}))
    return [name, f"{len(dataset):,}", f"{used:,}", _range(widths), _range(heights), formats]


def _range(values: List[int]) -> str:
    if not values:
        return "–"
    low, middle, high = min(values), int(np.median(values)), max(values)
    return f"{low}" if low == high else f"{low} to {high} (median {middle})"


def _sizes(dataset: Dataset) -> Tuple[List[Tuple[str, int, int]], List[str]]:
    """Return format, width and height of some images, spread over the data, and what is wrong with others of these."""
    sizes: List[Tuple[str, int, int]] = []
    wrong: List[str] = []
    deadline = time.monotonic() + _SECONDS
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(_SAMPLE, len(dataset))).astype(int)):
        if time.monotonic() > deadline:
            break
        try:
            content = dataset.read(int(index))
            if isinstance(content, np.ndarray) and content.ndim == 3:
                sizes.append(("pixels", content.shape[1], content.shape[0]))
            else:
                kind, width, height = read_header(bytes(content))
                sizes.append((kind, width, height))
        except Exception as error:  # noqa: BLE001  code of anybody's, and files that are gone: the page says so
            wrong.append(f"{Path(dataset.describe(int(index))).name}: {error}")
    return sizes, wrong[:5]


def _chart(data: RunData, counts: np.ndarray) -> BarChart:
    if len(counts) <= _BARS:
        return BarChart(
            "Training images of each class", "", "", [name[:10] for name in data.class_names], counts.tolist()
        )
    numbers, edges = np.histogram(counts, bins=min(20, max(1, len(set(counts.tolist())))))
    labels = [f"{low:.0f}" for low in edges[:-1]]
    return BarChart("Classes by their number of training images", "training images", "", labels, numbers.tolist())


def _problems(data: RunData, counts: Optional[np.ndarray]) -> List[str]:
    lines = []
    names = data.class_names
    if counts is not None:
        used = counts[counts > 0]
        few = [f"{names[label]} ({count})" for label, count in enumerate(counts) if 0 < count < _FEW]
        if few:
            more = f" and {len(few) - 10:,} more" if len(few) > 10 else ""
            lines.append(f"fewer than {_FEW} training images: {', '.join(few[:10])}{more}")
        if len(used) and used.max() > _IMBALANCE * used.min():
            lines.append(f"the largest class has {used.max() / used.min():.0f} times the images of the smallest")
        empty = [names[label] for label, count in enumerate(counts) if not count]
        if empty:
            lines.append(f"{len(empty):,} classes without a training image: {', '.join(empty[:10])}")
    for dataset in (data.train, data.evaluation):
        if dataset is not None and dataset.unused.others:
            lines.append(
                f"{dataset.unused.root}: {len(dataset.unused.others):,} files are not images, and are not used"
            )
    skipped = data.stage_folder / "skipped_images.txt"
    if skipped.is_file():
        count = len(skipped.read_text(encoding="utf-8", errors="replace").splitlines())
        lines.append(f"{count:,} unreadable images were replaced in training: {skipped}")
    return lines


def _checked(data: RunData) -> List[str]:
    """Return what a check of these data found, if its result is where ``ppcls check`` puts it."""
    images = sum(len(one) for one in (data.train, data.evaluation) if one is not None)
    for path in _check_files(data):
        try:
            report: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            problems = {str(kind): list(lines) for kind, lines in report["problems"].items()}
            if sum(report["images"].values()) != images:
                continue  # of other data, or of what they were before
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue  # not there, or something else
        lines = [
            f"{kind.replace('_', ' ')}: {len(found):,}, such as {found[0]:.200}"
            for kind, found in problems.items()
            if found
        ]
        found = bullets(lines) if lines else paragraph("Nothing wrong was found.")
        return [f"<h3>The check of the data</h3><p class='dim small'>{escape(str(path))}</p>", found]
    return [paragraph("ppcls check finds copies, contradictions and broken files.", "dim small")]


def _check_files(data: RunData) -> List[Path]:
    """Return where the result of a check may be: in the working directory, or beside the folder of the images."""
    found = [Path("data_report") / "report.json"]
    for section in (data.config.DataLoader.Train, data.config.DataLoader.Eval):
        root = None if section is None else section.dataset.arguments.get("image_root")
        for folder in () if not root else (user_path(root), user_path(root).parent):
            found += [place / f"{folder.name}_check.json" for place in (Path(), folder.parent)]
    return list(dict.fromkeys(found))
