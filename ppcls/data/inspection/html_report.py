"""The report on a data set as a single HTML file, without scripts or external resources."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any, List, Mapping, Sequence

import numpy as np

from ppcls.data.inspection.checking import ERRORS, TITLES, CheckedDataset
from ppcls.data.inspection.contact_sheets import contact_sheet
from ppcls.data.inspection.scanning import thumbnail
from ppcls.utils.opencv import cv2

_MAX_LISTED = 200  # problems of one kind
_SAMPLES = 12  # pictures per class
_MAX_CLASSES = 1000  # with pictures; enough for ImageNet, whose page has about 40 MB

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .6rem; text-align: left; vertical-align: top }
.bar { background: #5b8fd0; height: .8rem; display: inline-block } .wrong { color: #b00020 }
ul { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere } img { max-width: 100% }
"""


def render_report(report: Mapping[str, Any], checked: Sequence[CheckedDataset], title: str) -> str:
    """Return a report as an HTML page."""
    verdict = "nothing wrong was found" if report["ok"] else "there are mistakes"
    counts = ", ".join(f"{escape(split)}: {count:,} images" for split, count in report["images"].items())
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}: <span class='{'' if report['ok'] else 'wrong'}'>{verdict}</span></h1><p>{counts}</p>",
    ]
    for name, lines in report["problems"].items():
        parts.append(f"<h2 class='{'wrong' if name in ERRORS else ''}'>{len(lines):,} {escape(TITLES[name])}</h2><ul>")
        parts += [f"<li>{escape(line)}</li>" for line in lines[:_MAX_LISTED]]
        parts.append("</ul>" + (f"<p>and {len(lines) - _MAX_LISTED:,} more</p>" if len(lines) > _MAX_LISTED else ""))
    for item in checked:
        parts += _class_table(item, report["classes"][item.split])
    return "\n".join([*parts, "</html>\n"])


def _class_table(checked: CheckedDataset, class_counts: Mapping[str, int]) -> List[str]:
    largest = max(class_counts.values(), default=0) or 1
    rows = [f"<h2>{escape(checked.split)}: classes</h2><table><tr><th>class<th>images<th>"]
    for label, (name, count) in enumerate(class_counts.items()):
        bar = f"<span class='bar' style='width:{12 * count / largest:.2f}rem'></span>"
        rows.append(f"<tr><td>{escape(name)}<td>{count:,}<td>{bar}<br>{_samples_image(checked, label)}")
    return [*rows, "</table>"]


def _samples_image(checked: CheckedDataset, label: int) -> str:
    """Return an HTML image element with samples of a class."""
    if label >= _MAX_CLASSES:
        return ""
    dataset = checked.dataset
    findings = checked.findings
    readable = [i for i in range(len(dataset)) if label in dataset.classes(i) and findings[i].error is None]
    if not readable:
        return ""
    positions = np.linspace(0, len(readable) - 1, min(_SAMPLES, len(readable))).astype(int)
    indices = [int(readable[position]) for position in positions]
    texts = [Path(dataset.describe(index)).name for index in indices]
    sheet = contact_sheet([thumbnail(dataset, index) for index in indices], texts, columns=_SAMPLES)
    encoded = base64.b64encode(cv2.imencode(".jpg", sheet[:, :, ::-1])[1].tobytes()).decode("ascii")
    return f"<img alt='samples' src='data:image/jpeg;base64,{encoded}'>"
