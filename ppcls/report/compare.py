"""Several runs on one page: what they reached, their curves, and what their recipes have different."""

from __future__ import annotations

import datetime
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.analysis.statistics import wilson_interval
from ppcls.report import svg
from ppcls.report.build import PICTURES, page_path
from ppcls.report.charts import LineChart, Series
from ppcls.report.collect import collect
from ppcls.report.elements import STYLE, Charts, Section, bullets, metric_value, paragraph, share
from ppcls.report.files import write_text
from ppcls.report.png import write_charts
from ppcls.report.records import best_record
from ppcls.report.run_data import RunData
from ppcls.report.sections.curves import evaluation_points, training_points
from ppcls.report.statistics import ClassCounts, exact_matches
from ppcls.utils import html, json_text
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger

PAGE = "comparison.html"
_CLASSES = 20  # with the largest differences
# What tells where a run is, not what it is.
_PLACES = ("Global.output_dir", "Global.save_inference_dir", "Global.checkpoints", "Global.pretrained_model")


def compare(folders: Sequence[Path], out: Optional[Path] = None) -> Path:
    """Write one page about several runs; return its path.

    Args:
        out: the page, or a folder for it; None for ``comparison.html`` in the working directory.

    Raises:
        CheckpointError, ConfigError: one is not the folder of a run.
        MachineError: the page cannot be written.
    """
    page = Path(PAGE) if out is None else page_path(out, Path())
    runs = [collect(folder, with_data=False) for folder in folders]
    ensure_writable(page.absolute().parent, f"{page.parent}", "choose another place with --out")
    text, charts = render(runs)
    write_text(page, text)
    write_charts(charts.drawn, page.parent / PICTURES)
    get_logger().info("wrote %s", page)
    return page


def render(runs: Sequence[RunData]) -> Tuple[str, Charts]:
    """Return the page, and its charts."""
    names, charts = distinct_names([run.folder for run in runs]), Charts()
    sections = [
        _results(runs, names),
        _curves(runs, names, charts),
        _classes(runs, names),
        _recipes(runs, names),
    ]
    there = [section for section in sections if section is not None]
    links = "".join(f"<a href='#{section.name}'>{escape(section.title)}</a>" for section in there)
    title = f"{len(runs)} runs: {', '.join(names)}"
    written = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    body = [
        f"<h1>{escape(title)}</h1><p class='dim small'>Written {written}.</p><nav>{links}</nav>",
        *(section.html() for section in there),
    ]
    return html.page(title, body, STYLE + svg.STYLE), charts


def distinct_names(folders: Sequence[Path]) -> List[str]:
    """Return the shortest ends of paths that tell them apart."""
    parts = [path.resolve().parts for path in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]} ({number})" for number, part in enumerate(parts, 1)]


def _results(runs: Sequence[RunData], names: Sequence[str]) -> Section:
    section = Section("results", "Results")
    header = ("run", "model", "best", "of images", "95 % interval", "loss", "best epoch", "epochs", "images/s", "state")
    rows = [_row(run, name) for run, name in zip(runs, names)]
    section.body.append(html.table(header, rows))
    if len({len(run.answers) for run in runs if run.answers is not None}) > 1 or _differ(runs):
        section.body.append(paragraph("The runs were not evaluated on the same images: compare with care.", "bad"))
    problems = [f"{name}: {line}" for run, name in zip(runs, names) for line in run.problems]
    if problems:
        section.body.append(f"<div class='problem'>{bullets(problems)}</div>")
    return section


def _differ(runs: Sequence[RunData]) -> bool:
    """Return whether two runs have answers for different labels."""
    labels = [run.answers.labels for run in runs if run.answers is not None]
    return any(one.shape != labels[0].shape or not np.array_equal(one, labels[0]) for one in labels[1:])


def _row(run: RunData, name: str) -> List[str]:
    best = run.best
    record = best_record(run.records, best.epoch) or {}
    right, interval = "–", "–"
    if run.answers is not None and len(run.answers):
        matches = exact_matches(run.answers)
        correct, total = int(matches.sum()), len(matches)
        low, high = wilson_interval(correct, total)
        right, interval = f"{correct:,} of {total:,}", f"{100 * low:.1f} to {100 * high:.1f} %"
    loss = record.get("loss")
    speeds = [line["images_per_second"] for line in run.records.speed if line.get("images_per_second")]
    return [
        escape(name),
        escape(run.config.Arch.name),
        f"{metric_value(best.metric, best.value)} {escape(best.metric)}",
        right,
        interval,
        "–" if loss is None else f"{loss:.4f}",
        f"{best.epoch}",
        f"{run.epochs}",
        f"{np.median(speeds):,.0f}" if speeds else "–",
        "done" if run.finished else "not finished",
    ]


def _curves(runs: Sequence[RunData], names: Sequence[str], charts: Charts) -> Section:
    section = Section("curves", "Curves")
    metrics = list(dict.fromkeys(run.best.metric for run in runs))
    shown = [(f"evaluation_{key}", _evaluations(runs, names, key)) for key in dict.fromkeys([*metrics, "loss"])]
    series = [
        Series(name, training_points(run.stages, "loss"), color=color)
        for color, (run, name) in enumerate(zip(runs, names))
    ]
    shown.append(("training_loss", LineChart("loss of the training", "epoch", "", series)))
    section.body.append(charts.show(item for item in shown if not item[1].is_empty) or paragraph("There are none."))
    return section


def _evaluations(runs: Sequence[RunData], names: Sequence[str], key: str) -> LineChart:
    series = []
    for color, (run, name) in enumerate(zip(runs, names)):
        kind = "eval_ema" if "eval_ema" in run.records.evaluations else "eval"
        series.append(Series(name, evaluation_points(run.stages, kind, key), "line+points", color))
    return LineChart(f"{key} of the evaluation", "epoch", "", series)


def _classes(runs: Sequence[RunData], names: Sequence[str]) -> Optional[Section]:
    """Return the recall of the classes where the runs differ most; None where their classes are not the same."""
    if any(run.answers is None or run.class_names != runs[0].class_names for run in runs):
        return None
    recalls = np.stack([ClassCounts.of(run.answers, run.class_num).recall for run in runs if run.answers is not None])
    spread = np.nan_to_num(recalls.max(axis=0) - recalls.min(axis=0), nan=-1.0)
    order = [int(label) for label in np.argsort(-spread, kind="stable")[:_CLASSES] if spread[label] >= 0]
    section = Section("classes", "Classes: share that is found")
    labels = runs[0].class_names
    rows = [
        [escape(labels[label]), *(share(value) for value in recalls[:, label]), share(spread[label])] for label in order
    ]
    section.body.append(html.table(("class", *map(escape, names), "difference"), rows))
    if len(labels) > len(order):
        section.body.append(paragraph(f"The {len(order)} of {len(labels):,} classes that differ most.", "dim small"))
    return section


def _recipes(runs: Sequence[RunData], names: Sequence[str]) -> Section:
    section = Section("recipes", "Differences of the recipes")
    rows = [[f"<code>{escape(key)}</code>", *map(escape, values)] for key, values in differences(runs)]
    if rows:
        section.body.append(html.table(("key", *map(escape, names)), rows, range(1, len(runs) + 1)))
    else:
        section.body.append(paragraph("There are none, but for the places of files."))
    return section


def differences(runs: Sequence[RunData]) -> List[Tuple[str, List[str]]]:
    """Return the keys whose values differ, each with the values of all runs as text."""
    flat = [_flattened(run.config.plain()) for run in runs]
    found_keys = list(dict.fromkeys(key for one in flat for key in one))
    sections = list(dict.fromkeys(key.partition(".")[0] for key in found_keys))
    keys = sorted(found_keys, key=lambda key: sections.index(key.partition(".")[0]))  # stable
    found = []
    for key in keys:
        values = [one.get(key, "–") for one in flat]
        if key not in _PLACES and len(set(values)) > 1:
            found.append((key, values))
    return found


def _flattened(value: Any, prefix: str = "") -> Dict[str, str]:
    """Return the scalars and lists of scalars in nested dicts and lists as text, by dotted key."""
    nested = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value)
    )
    if not nested or not value:
        return {prefix: json_text.dumps(value, ensure_ascii=False)}
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    found: Dict[str, str] = {}
    for key, item in entries:
        found.update(_flattened(item, f"{prefix}.{key}" if prefix else str(key)))
    return found
