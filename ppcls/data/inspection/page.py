"""The report on a data set as a page that a person looks at: one file, no scripts, nothing fetched."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any, List, Mapping, Sequence

import numpy as np

from ppcls.data.inspection.checking import TITLES, WRONG, Checked
from ppcls.data.inspection.scanning import thumbnail
from ppcls.data.inspection.sheet import contact_sheet
from ppcls.utils.opencv import cv2

_SHOWN = 200  # problems of one kind
_SAMPLES = 12  # pictures of a class
_CLASSES = 1000  # with pictures: of ImageNet all, in a page of some 40 MB

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .6rem; text-align: left; vertical-align: top }
.bar { background: #5b8fd0; height: .8rem; display: inline-block } .wrong { color: #b00020 }
ul { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere } img { max-width: 100% }
"""


def page(report: Mapping[str, Any], checked: Sequence[Checked], title: str) -> str:
    """Return the HTML page of a report."""
    verdict = "nothing wrong was found" if report["ok"] else "there are mistakes"
    counts = ", ".join(f"{escape(side)}: {count:,} images" for side, count in report["images"].items())
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}: <span class='{'' if report['ok'] else 'wrong'}'>{verdict}</span></h1><p>{counts}</p>",
    ]
    for name, lines in report["problems"].items():
        parts.append(f"<h2 class='{'wrong' if name in WRONG else ''}'>{len(lines):,} {escape(TITLES[name])}</h2><ul>")
        parts += [f"<li>{escape(line)}</li>" for line in lines[:_SHOWN]]
        parts.append("</ul>" + (f"<p>and {len(lines) - _SHOWN:,} more</p>" if len(lines) > _SHOWN else ""))
    for part in checked:
        parts += _classes(part, report["classes"][part.side])
    return "\n".join([*parts, "</html>\n"])


def _classes(part: Checked, balance: Mapping[str, int]) -> List[str]:
    most = max(balance.values(), default=0) or 1
    rows = [f"<h2>{escape(part.side)}: classes</h2><table><tr><th>class<th>images<th>"]
    for label, (name, count) in enumerate(balance.items()):
        bar = f"<span class='bar' style='width:{12 * count / most:.2f}rem'></span>"
        rows.append(f"<tr><td>{escape(name)}<td>{count:,}<td>{bar}<br>{_picture(part, label)}")
    return [*rows, "</table>"]


def _picture(part: Checked, label: int) -> str:
    """Return samples of a class as an image element."""
    if label >= _CLASSES:
        return ""
    own = [i for i in np.flatnonzero(part.dataset.labels == label).tolist() if part.findings[i].error is None]
    if not own:
        return ""
    chosen = [int(own[position]) for position in np.linspace(0, len(own) - 1, min(_SAMPLES, len(own))).astype(int)]
    texts = [Path(part.dataset.describe(index)).name for index in chosen]
    sheet = contact_sheet([thumbnail(part.dataset, index) for index in chosen], texts, columns=_SAMPLES)
    encoded = base64.b64encode(cv2.imencode(".jpg", sheet[:, :, ::-1])[1].tobytes()).decode("ascii")
    return f"<img alt='samples' src='data:image/jpeg;base64,{encoded}'>"
