"""The page of ``ppcls compare``: one HTML file, without scripts or anything from a network."""

from __future__ import annotations

from html import escape
from typing import Any, Iterator, List, Optional

from ppcls.analysis import cards
from ppcls.analysis.comparing import BOTH, NEITHER, ONLY_A, ONLY_B, Answered, ComparedImage, Comparison
from ppcls.data.datasets import Dataset
from ppcls.errors import DataError
from ppcls.utils import html

_PICTURES = 60  # of a kind
_CLASSES = 30  # shown at once


def render(comparison: Comparison, dataset: Dataset) -> str:
    """Return the page.

    Args:
        dataset: gives the pictures.
    """
    return html.page("Comparison of two models", _body(comparison, dataset), cards.STYLE)


def _body(comparison: Comparison, dataset: Dataset) -> Iterator[str]:
    what = "all labels correct" if comparison.multilabel else "top-1 accuracy"
    verdict, _, counts = comparison.verdict.partition(": ")
    yield f"<h1>{escape(verdict)}</h1>"
    yield f"<p>{escape(counts[0].upper() + counts[1:])}</p>"
    yield f"<p class='dim'>{len(comparison.images):,} images of {escape(comparison.data)}</p>"
    rows = [
        [
            side,
            escape(item["model"]),
            html.percent(item["accuracy"]),
            " to ".join(html.percent(bound) for bound in item["interval"]),
            f"{item['correct']:,}",
        ]
        for side, item in zip("AB", comparison.accuracies)
    ]
    yield html.table(["", "model", what, "95 % interval", "right"], rows, text_columns=[1])
    for side, count in zip("AB", comparison.trained_on):
        if count:
            text = f"{side} was trained on {count:,} of these images: its accuracy on them says little."
            yield f"<p class='bad'>{text}</p>"
    outcomes = [[escape(outcome), f"{comparison.count(outcome):,}"] for outcome in (BOTH, ONLY_A, ONLY_B, NEITHER)]
    yield html.table(["outcome", "images"], outcomes)
    yield "<h2>Where they differ</h2>"
    for outcome in (ONLY_B, ONLY_A, NEITHER):
        images = [image for image in comparison.images if image.outcome == outcome and image.differs]
        yield from _pictures(outcome, images, dataset)
    yield "<h2>Classes</h2><p class='dim'>The largest differences first. Recall: of the images of the class those that "
    yield "are found; precision: of the answers of the class those that are right.</p>"
    yield from _classes(comparison)
    if comparison.broken:
        yield f"<h2>{len(comparison.broken):,} images cannot be used</h2><ul>"
        yield from (f"<li>{escape(name)}: {escape(error)}" for name, error in comparison.broken[:_PICTURES])
        yield "</ul>"


def _pictures(outcome: str, images: List[ComparedImage], dataset: Dataset) -> Iterator[str]:
    title = escape(outcome[0].upper() + outcome[1:]) + ", different answers" * (outcome == NEITHER)
    yield f"<h3>{title}: {len(images):,}</h3>"
    if not images:
        return
    # The surest mistakes first: they tell most.
    ordered = sorted(images, key=lambda image: -max(a.score for a in (image.a, image.b) if not a.right))
    shown = ordered[:_PICTURES]
    yield cards.cards(
        cards.figure(
            _read(dataset, image.index),
            image.name,
            [f"<b>{_names(image.truth)}</b>", _answer("A", image.a), _answer("B", image.b)],
        )
        for image in shown
    )
    if len(images) > len(shown):
        yield f"<p class='dim'>and {len(images) - len(shown):,} more, which the JSON file lists</p>"


def _read(dataset: Dataset, index: int) -> Any:
    try:
        return dataset.read(index)
    except DataError as error:
        return error


def _answer(side: str, answer: Answered) -> str:
    kind = "good" if answer.right else "bad"
    mark = "✓" if answer.right else "✗"
    return f"<span class='{kind}'>{side} {mark} {_names(answer.names)}</span> {html.percent(answer.score, 0)}"


def _names(names: Any) -> str:
    return escape(", ".join(names)) or "<i>none</i>"


def _classes(comparison: Comparison) -> Iterator[str]:
    header = ["class", "images", "recall A", "recall B", "change", "precision A", "precision B"]
    rows = [
        [
            escape(row["class"]),
            f"{row['images']:,}",
            html.percent(row["recall_a"]),
            html.percent(row["recall_b"]),
            _change(row["recall_a"], row["recall_b"]),
            html.percent(row["precision_a"]),
            html.percent(row["precision_b"]),
        ]
        for row in comparison.classes()
    ]
    yield html.table(header, rows[:_CLASSES])
    if rows[_CLASSES:]:
        yield html.details(f"the other {len(rows) - _CLASSES:,} classes", html.table(header, rows[_CLASSES:]))


def _change(before: Optional[float], after: Optional[float]) -> str:
    if before is None or after is None:
        return ""
    points = 100 * (after - before)
    kind = "good" if points > 0 else "bad" if points < 0 else "dim"
    return f"<span class='{kind}'>{points:+.1f}</span>"
