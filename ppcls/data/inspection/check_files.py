"""The check of a folder, a list or shards, and the files that a check writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ppcls.data.build import build_dataset
from ppcls.data.datasets import Classes, Dataset, align_classes, count_classes
from ppcls.data.folder_layout import Layout
from ppcls.data.inspection.check_page import render_page
from ppcls.data.inspection.checking import WHOLE, Check, check_datasets
from ppcls.errors import DataError
from ppcls.utils import atomic, json_text
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger


def check_layout(layout: Layout, page: Path, next_command: str = "", workers: Optional[int] = None) -> Dict[str, Any]:
    """Read every image of a folder, a list or shards; write the page and, beside it, the report as JSON.

    Args:
        page: the HTML file.
        next_command: what the page says to type next, if nothing is wrong.
        workers: number of processes; by default one per core.

    Returns:
        The report: "ok" (nothing is broken, mislabelled or shared), "images", "counts" of problems by kind, "problems",
        "classes", "sizes", "modes".

    Raises:
        DataError: the data cannot be opened.
        MachineError: the files cannot be written.
    """
    prepare(page)
    datasets, problems = _open(layout)
    class_num = max(layout.num_classes, *(count_classes(dataset)[0] for dataset in datasets.values()))
    check = check_datasets(datasets, class_num, 1, workers, problems)
    write(check, page, str(layout.path), next_command if check.report["ok"] else "", workers)
    return check.report


def prepare(page: Path) -> None:
    """Make the folder of a page, and prove that files can be written there.

    Raises:
        MachineError: they cannot.
    """
    ensure_writable(page.parent, f"--out={page.parent}", "choose another folder with --out")


def write(check: Check, page: Path, title: str, next_command: str = "", workers: Optional[int] = None) -> None:
    """Write the page of a check and, beside it, its report as JSON, with the number of problems of each kind in it.

    Raises:
        MachineError: they cannot be written.
    """
    report = check.report
    report["counts"] = {name: len(lines) for name, lines in report["problems"].items()}
    data = page.with_suffix(".json")
    text = json_text.dumps(report, indent=1, ensure_ascii=False) + "\n"
    atomic.write_texts({data: text, page: render_page(check, title, next_command, workers)})
    get_logger().info("wrote %s", data)
    get_logger().info("wrote %s", page)


def _open(layout: Layout) -> Tuple[Dict[str, Dataset], Dict[str, List[str]]]:
    """Return the data sets of a layout, with the class ids of training, and what is wrong or remarkable about them."""
    train = build_dataset(layout.train, train=True)
    if layout.val is None:
        return {WHOLE: train}, {}
    val = build_dataset(layout.val, train=False)
    try:
        val, notes = align_classes(val, Classes.of(train), "the training part")
    except DataError as error:
        return {"Train": train, "Eval": val}, {"class_mismatch": [f"validation: {error}"]}
    return {"Train": train, "Eval": val}, {"differing_classes": [f"validation: {note}" for note in notes]}
