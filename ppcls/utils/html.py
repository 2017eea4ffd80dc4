"""HTML pages that people open from a folder: one file each, without scripts and without anything from a network.

Pages follow the reader's choice of light or dark, and fit a phone: what is wide scrolls in its own box.
"""

from __future__ import annotations

import base64
from html import escape
from typing import Iterable, Optional, Sequence

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1d2129; --dim: #5a6270; --line: #d5dae1; --soft: #f3f5f8;
  --accent: #1f5fbf; --bad: #b3261e; --good: #17703f; --heat: 31 95 191; --wrong: 200 60 50;
  --c0: #1f6fd0; --c1: #c2520b; --c2: #2c8043; --c3: #8a4fc2; --c4: #b0306e; --c5: #6b6f00;
  --c6: #00808a; --c7: #7a5a44; --c8: #5450cf; --c9: #a3262c }
@media (prefers-color-scheme: dark) { :root { --bg: #14171c; --fg: #e6e9ee; --dim: #a6afbb; --line: #3a424d;
  --soft: #1e242b; --accent: #8ab6ff; --bad: #ff9188; --good: #76d6a0; --heat: 90 140 220; --wrong: 200 80 70;
  --c0: #6ba6f5; --c1: #f2914f; --c2: #6cc585; --c3: #bb93ea; --c4: #ec7fb2; --c5: #c3c14a;
  --c6: #55c2cc; --c7: #c5a58e; --c8: #a3a0ff; --c9: #f08a8a } }
* { box-sizing: border-box }
html { scroll-behavior: smooth }
body { margin: 0 auto; max-width: 74rem; padding: 1rem; background: var(--bg); color: var(--fg);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.55rem; line-height: 1.25; margin: .3rem 0 .6rem }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem }
p { margin: .5rem 0; max-width: 50rem } a { color: var(--accent) }
.dim { color: var(--dim) } .bad { color: var(--bad) } .good { color: var(--good) } .small { font-size: .85rem }
code, pre { font: .85rem/1.45 ui-monospace, monospace }
pre { background: var(--soft); padding: .6rem .8rem; border-radius: .4rem; overflow-x: auto; margin: .5rem 0 }
.scroll { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; margin: .4rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--dim); font-weight: 600 } td:first-child, th:first-child { text-align: left }
td.text, th.text { text-align: left; white-space: normal; min-width: 9rem }
details { margin: .5rem 0 } summary { cursor: pointer; padding: .3rem 0; color: var(--accent) }
ul { padding-left: 1.3rem; margin: .4rem 0 }
img { max-width: 100%; height: auto }
@media (max-width: 30rem) { th, td { padding: .22rem .4rem } }
"""


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """Return a page.

    Args:
        title: plain text.
        body: HTML.
        style: CSS beside that of all pages.
    """
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>"
    )
    return "\n".join([head, *body, "</body></html>\n"])


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: Sequence[int] = ()) -> str:
    """Return a table, in a box that scrolls where it is wider than the page.

    Args:
        header: HTML of the column's titles.
        rows: HTML of the cells; numbers stand to the right, the first column to the left.
        text_columns: further columns that hold text.
    """

    def mark(index: int) -> str:
        return " class='text'" if index in text_columns else ""

    lines = ["<tr>" + "".join(f"<th{mark(index)}>{cell}" for index, cell in enumerate(header))]
    lines += ["<tr>" + "".join(f"<td{mark(index)}>{cell}" for index, cell in enumerate(row)) for row in rows]
    return "<div class='scroll'><table>" + "\n".join(lines) + "</table></div>"


def details(summary: str, body: str, opened: bool = False) -> str:
    """Return a part that opens when its summary, HTML, is clicked."""
    return f"<details{' open' if opened else ''}><summary>{summary}</summary>{body}</details>"


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture as an address that contains it.

    Args:
        kind: "jpeg" or "png".
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def percent(share: Optional[float], digits: int = 1) -> str:
    """Return a share as "98.2 %", an empty string for None."""
    return "" if share is None else f"{100 * share:.{digits}f} %"
