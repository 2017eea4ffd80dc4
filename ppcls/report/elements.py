"""What the sections of a page are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from ppcls.report.charts import Chart, LineChart
from ppcls.report.svg import draw_chart
from ppcls.utils.html import percent

STYLE = """
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .8rem 0; font-size: .9rem }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.2rem, 1fr)); gap: .7rem; margin: .8rem 0 }
.facts div { background: var(--soft); border-radius: .4rem; padding: .5rem .75rem; min-width: 0 }
.facts b { display: block; font-size: 1.1rem; line-height: 1.4; white-space: nowrap }
.facts span { color: var(--dim); font-size: .82rem }
.facts .main b { font-size: 1.9rem; line-height: 1.2 }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); gap: .9rem }
.gallery.pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 16.5rem), 1fr)) }
.gallery figure { margin: 0; min-width: 0 } .gallery figcaption { font-size: .82rem; line-height: 1.35 }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .25rem }
.meter { display: inline-block; height: .65rem; background: var(--c0); vertical-align: middle; border-radius: .1rem }
.problem { border-left: .25rem solid var(--bad); padding-left: .7rem }
"""


@dataclass
class Section:
    """A part of a page.

    Attributes:
        name: in addresses within the page.
        title: plain text.
        body: HTML.
    """

    name: str
    title: str
    body: List[str] = field(default_factory=list)

    def html(self) -> str:
        """Return the section with its heading."""
        return "\n".join([f"<section id='{self.name}'><h2>{escape(self.title)}</h2>", *self.body, "</section>"])


class Charts:
    """The charts of a page, which the folder of pictures has, too."""

    def __init__(self) -> None:
        self.drawn: Dict[str, Chart] = {}

    def show(self, charts: Iterable[Tuple[str, Chart]]) -> str:
        """Return charts, by the names of their files, in a grid; those without a point are left out."""
        parts = []
        for name, chart in charts:
            if isinstance(chart, LineChart) and chart.is_empty:
                continue
            self.drawn[name] = chart
            parts.append(draw_chart(chart))
        return f"<div class='charts'>{''.join(parts)}</div>" if parts else ""


def facts(values: Sequence[Tuple[str, str]], main: bool = False) -> str:
    """Return boxes with a value, HTML, above what it is.

    Args:
        main: whether the first one is the largest.
    """
    parts = [
        f"<div{' class=main' if main and not index else ''}><b>{value}</b><span>{escape(name)}</span></div>"
        for index, (value, name) in enumerate(values)
    ]
    return f"<div class='facts'>{''.join(parts)}</div>"


def bullets(lines: Sequence[str], limit: int = 30) -> str:
    """Return plain lines as a list, the first ones of many."""
    items = [f"<li>{escape(line)}</li>" for line in lines[:limit]]
    if len(lines) > limit:
        items.append(f"<li>and {len(lines) - limit:,} more</li>")
    return f"<ul>{''.join(items)}</ul>"


def paragraph(text: str, kind: str = "") -> str:
    """Return plain text as a paragraph."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def share(value: float, digits: int = 1) -> str:
    """Return a share as "98.2 %", "–" where there is none."""
    return "–" if math.isnan(value) else percent(value, digits)


def meter(value: float, width: float = 3.0) -> str:
    """Return a bar for a share."""
    return "" if math.isnan(value) else f"<span class='meter' style='width:{width * value:.2f}rem'></span>"


def metric_value(name: str, value: Optional[float]) -> str:
    """Return a metric as it is read: accuracies and the like in percent, other numbers with four digits."""
    if value is None:
        return "–"
    is_share = name.startswith(("top", "precision", "recall", "f1", "mAP", "balanced", "Accuracy", "MultiLabelMAP"))
    return percent(value) if is_share and 0 <= value <= 1 else f"{value:.4g}"
