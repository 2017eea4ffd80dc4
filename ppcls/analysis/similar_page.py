"""The page of ``ppcls similar``: one HTML file, without scripts or anything from a network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Sequence, Tuple

from ppcls.analysis import cards
from ppcls.analysis.similar import Neighbour
from ppcls.errors import DataError
from ppcls.inference.inputs import expand_one
from ppcls.inference.source import Source
from ppcls.utils import html


def render(query: Source, found: Sequence[Neighbour], broken: Sequence[Tuple[str, str]], folder: str) -> str:
    """Return the page.

    Args:
        query: the photo that the others are like.
        found: the most similar first.
        broken: (path, error) of photos that cannot be used.
        folder: what was searched.
    """
    name = Path(query.name).name
    body = [
        f"<h1>Photos like {escape(name)}</h1>",
        f"<p class='dim'>The nearest in {escape(folder)}, by the cosine of the model's features: 1 is the same.</p>",
        cards.cards([cards.figure(_read(query), query.name, [f"<b>{escape(name)}</b>"])]),
        "<h2>Nearest</h2>",
        cards.cards(_neighbour(item) for item in found),
    ]
    if broken:
        items = "".join(f"<li>{escape(path)}: {escape(error)}" for path, error in broken[:100])
        body.append(html.details(f"{len(broken):,} photos cannot be used", f"<ul>{items}</ul>"))
    return html.page(f"Photos like {name}", body, cards.STYLE)


def _neighbour(item: Neighbour) -> str:
    lines = [f"<b>{item.similarity:.3f}</b>", escape("/".join(Path(item.name).parts[-2:]))]
    try:
        return cards.figure(_read(expand_one(item.name, item.name)), item.name, lines)
    except DataError as error:  # it went away meanwhile
        return cards.figure(error, item.name, lines)


def _read(source: Source) -> Any:
    try:
        return source.read()
    except DataError as error:
        return error
