"""The page of one run."""

from __future__ import annotations

import datetime
from html import escape
from typing import List, Optional, Tuple

from ppcls.report import svg
from ppcls.report.elements import STYLE, Charts, Section
from ppcls.report.run_data import RunData
from ppcls.report.sections import confusion_matrix as confusion
from ppcls.report.sections import recipe as recipes
from ppcls.report.sections.averaged_weights import averaged_weights
from ppcls.report.sections.calibration_chart import calibration_chart
from ppcls.report.sections.classes import classes
from ppcls.report.sections.curves import curves
from ppcls.report.sections.data_sheet import data_sheet
from ppcls.report.sections.embeddings import embeddings
from ppcls.report.sections.lr_range import lr_range
from ppcls.report.sections.mistakes import mistakes
from ppcls.report.sections.summary import summary
from ppcls.report.sections.training_batch import training_batch
from ppcls.utils import html

STYLES = STYLE + svg.STYLE + confusion.STYLE + recipes.STYLE


def render(data: RunData, complete: bool) -> Tuple[str, Charts]:
    """Return the page, and its charts.

    Args:
        complete: whether to add what takes seconds: the sheet of the data, and the map of the embeddings.
    """
    charts = Charts()
    sections: List[Optional[Section]] = [
        summary(data),
        curves(data, charts),
        classes(data),
        confusion.confusion_matrix(data, charts),
        mistakes(data),
        training_batch(data),
        calibration_chart(data, charts),
        averaged_weights(data),
        data_sheet(data, charts) if complete else None,
        lr_range(data, charts),
        embeddings(data, charts) if complete else None,
        recipes.recipe(data),
    ]
    there = [section for section in sections if section is not None]
    title = title_of(data)
    written = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    links = "".join(f"<a href='#{section.name}'>{escape(section.title)}</a>" for section in there)
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='dim small'>Written {written}{_state(data)}.</p>",
        f"<nav>{links}</nav>",
        *(section.html() for section in there),
    ]
    return html.page(title, body, STYLES + data.thumbnails.style()), charts


def _state(data: RunData) -> str:
    if data.stopped:
        return " when the run was stopped"
    return "" if data.finished else "; refreshed while training goes on"


def title_of(data: RunData) -> str:
    """Return what a page about the run is called."""
    return f"{data.folder.resolve().name}: {data.config.Arch.name}"
