"""Writing the report of a run: the page, and the folder of its pictures."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path
from typing import Any, List, Optional, Sequence

import numpy as np

from ppcls.data.inspection.contact_sheets import contact_sheet
from ppcls.data.loader import DataLoader
from ppcls.engine import criteria, device
from ppcls.engine.data import build_loader
from ppcls.engine.evaluation import evaluate_model
from ppcls.engine.model import build_model, fetch_weights, load_required_weights
from ppcls.engine.predictions import PredictionRecorder
from ppcls.errors import ConfigError, DataError, MachineError, PpclsError
from ppcls.report.collect import collect
from ppcls.report.explain import explain
from ppcls.report.files import write_text
from ppcls.report.page import render
from ppcls.report.png import write_charts, write_picture
from ppcls.report.run_data import RunData, heat_key, photo_key
from ppcls.report.sections.confusion_matrix import cell_rows
from ppcls.report.sections.mistakes import shown_rows
from ppcls.report.seen_batch import SeenBatch
from ppcls.report.thumbnails import LARGE, SMALL, load_photos
from ppcls.utils.folders import ensure_writable
from ppcls.utils.lettering import DrawableNames
from ppcls.utils.logging import get_logger

PAGE = "report.html"
PICTURES = "pictures"
CLASS_NAMES = "class_names.txt"  # in that folder, where pictures show numbers
_MAX_PHOTOS = 400  # pictures of the cells of a confusion matrix
_SECONDS = 10.0  # for reading photos, and for finding a batch that is mixed


def rebuild(folder: Path, out: Optional[Path] = None, stage: Optional[str] = None) -> Path:
    """Write the report of a run from its folder; return the path of the page.

    Args:
        folder: of the run.
        out: the page, or a folder for it; None for ``report.html`` in the run's folder. Pictures go beside it.
        stage: of a run with stages; None takes the last one.

    Raises:
        CheckpointError, ConfigError: it is not the folder of a run.
        DataError: the data are not there, and a page that may have photos of them would be replaced.
        MachineError: the page cannot be written.
    """
    page = page_path(out, folder)
    data = collect(folder, stage)
    if data.evaluation is None and data.config.DataLoader.Eval is not None and page.exists():
        reasons = "; ".join(data.problems)
        raise DataError(f"{page}: stays, because a new page would have no photos; write one with --out PAGE. {reasons}")
    ensure_writable(page.parent, f"{page.parent}", "choose another place with --out")
    with contextlib.ExitStack() as stack:
        _set_device(data)
        loader = _loader(data, "Eval", stack)
        if loader is not None:
            if not data.predictions:
                _evaluate(data, loader)
            for _ in explain(data, loader, lambda: _load_model(data), shown_rows(data)):
                pass
        show_batch(data, _loader(data, "Train", stack))
    write(data, page, complete=True)
    return page


def _set_device(data: RunData) -> None:
    """Compute on the run's device; where that is not here, on the CPU, and say so."""
    try:
        device.setup_device(data.config)
    except MachineError as error:
        data.problems.append(f"computed on the CPU: {error}")
        data.config = data.config.with_global(device="cpu")
        device.setup_device(data.config)


def page_path(out: Optional[Path], folder: Path) -> Path:
    """Return where a page goes: ``out`` itself if it is named like a page, else a folder."""
    if out is None:
        return folder / PAGE
    return out if out.suffix.lower() in (".html", ".htm") else out / PAGE


def write(data: RunData, page: Path, complete: bool, seconds: float = _SECONDS) -> None:
    """Write a page, and with ``complete`` the folder of pictures beside it.

    Args:
        seconds: for reading photos; more photos are left out.

    Raises:
        MachineError: a file cannot be written.
    """
    problem = add_photos(data, seconds)
    if problem is not None and complete:
        data.problems.append(problem)
    text, charts = render(data, complete)
    write_text(page, text)
    if not complete:
        return
    folder = page.parent / PICTURES
    names = _drawable_names(data, folder)
    write_charts(charts.drawn, folder, names)
    _write_photos(data, folder / "mistakes.png", shown_rows(data), names)
    if data.seen is not None and data.seen.images:
        texts = [names.replace(text) for _, text in data.seen.images]
        write_picture(folder / "training_batch.png", contact_sheet([image for image, _ in data.seen.images], texts))
    get_logger().info("wrote %s", page)


def _drawable_names(data: RunData, folder: Path) -> DrawableNames:
    """Return the names of the classes as pictures show them; where that is by numbers, list them in the folder."""
    names = DrawableNames(data.class_names)
    path = folder / CLASS_NAMES
    path.unlink(missing_ok=True)
    if names.numbers:
        write_text(path, "".join(f"{number} {name}\n" for number, name in enumerate(data.class_names)))
        get_logger().warning(
            "no installed font has the letters of %d class names (such as %s): the pictures show their numbers, "
            "which %s lists. With a font such as Noto Sans CJK, `ppcls report %s` writes them with names",
            *(len(names.numbers), next(iter(names.numbers)), path, data.folder),
        )
    return names


def add_photos(data: RunData, seconds: float) -> Optional[str]:
    """Read the photos that the page shows; return what went wrong, None if nothing did."""
    if data.evaluation is None or data.answers is None:
        return None
    indices = data.answers.indices
    large = {photo_key(row): int(indices[row]) for row in shown_rows(data)}
    small = [row for rows in cell_rows(data).values() for row in rows][:_MAX_PHOTOS]
    others = {photo_key(row): int(indices[row]) for row in small if photo_key(row) not in large}
    first = load_photos(data.thumbnails, data.evaluation, large, LARGE, seconds)
    return load_photos(data.thumbnails, data.evaluation, others, SMALL, seconds) or first


def _write_photos(data: RunData, path: Path, rows: Sequence[int], names: DrawableNames) -> None:
    """Write the photos of answers, with their heat maps, into one picture."""
    answers = data.answers
    if answers is None:
        return
    images: List[np.ndarray] = []
    texts: List[str] = []
    for row in rows:
        if photo_key(row) not in data.thumbnails:
            continue
        images.append(data.thumbnails.image(photo_key(row)))
        if answers.is_multilabel:
            texts.append(data.photo_name(row))
        else:
            said = int(answers.predicted[row])
            name = data.class_names[said] if said < data.class_num else "none"
            texts.append(names.replace(f"{name}\nis {data.class_names[int(answers.labels[row])]}"))
        if heat_key(row) in data.thumbnails:
            images.append(data.thumbnails.image(heat_key(row)))
            texts.append("heat map")
    if images:
        write_picture(path, contact_sheet(images, texts, columns=8))


def _loader(data: RunData, side: str, stack: contextlib.ExitStack) -> Optional[DataLoader]:
    """Return a loader of the run's data that works in this process; None where they are not there."""
    dataset = data.train if side == "Train" else data.evaluation
    section = getattr(data.config.DataLoader, side)
    if dataset is None or section is None:
        return None
    alone = section.model_copy(update={"loader": section.loader.model_copy(update={"num_workers": 0})})
    loaders = data.config.DataLoader.model_copy(update={side: alone})
    config = data.config.model_copy(update={"DataLoader": loaders})
    try:
        return stack.enter_context(build_loader(config, side, dataset))
    except (DataError, ConfigError) as error:
        data.problems.append(str(error))
        return None


def _load_model(data: RunData) -> Any:
    """Return the model with the best weights."""
    fetch_weights(data.config)
    model = build_model(data.config)
    load_required_weights(data.config, model, "explain")
    return model


def _evaluate(data: RunData, loader: DataLoader) -> None:
    """Evaluate the best weights, as there are no answers of them in the run's folder."""
    config = data.config
    get_logger().info("%s has no answers of its best weights: they are evaluated", data.stage_folder)
    recorder = PredictionRecorder(len(loader.dataset))
    try:
        loss = criteria.build_loss(config, "Eval", loader.dataset)
        evaluate_model(_load_model(data), loader, loss, criteria.build_metrics(config, "Eval"), recorder=recorder)
    except PpclsError as error:
        data.problems.append(f"the best weights cannot be evaluated: {error}")
        return
    predictions = recorder.gather()
    if predictions is not None:
        data.predictions = {"eval" if config.EMA is None else "eval_ema": predictions}


def show_batch(data: RunData, loader: Optional[DataLoader]) -> None:
    """Let the page show a batch of training as the model saw it, where the training data are there."""
    if loader is None:
        return
    data.seen = seen = SeenBatch(data.config)
    deadline = time.monotonic() + _SECONDS
    try:
        epochs = range(max(1, data.epochs))
        for batch in itertools.chain.from_iterable(map(loader.epoch, epochs)):
            seen.look(batch, data.class_names)
            if seen.is_complete or time.monotonic() > deadline:
                break
    except PpclsError as error:
        data.problems.append(f"the training images cannot be shown: {error}")
