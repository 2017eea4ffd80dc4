"""What is said about a data set and about what was chosen for it."""

from __future__ import annotations

from typing import Mapping

from ppcls.starter.rules import Choice
from ppcls.starter.split import Parts
from ppcls.starter.survey import Survey
from ppcls.utils.logging import get_logger
from ppcls.utils.text import listed

_KINDS = {
    "classes": "one folder per class",
    "train_val": "folders for training and validation",
    "list": "lists",
    "shards": "tar shards",
}
_SAID = ("model", "image size", "epochs", "batch size")  # the recipe's comments say the rest
_NAMED = 5  # classes


def describe(found: Survey, parts: Parts, chosen: Mapping[str, Choice]) -> None:
    """Log what was found and chosen, and why."""
    log, layout = get_logger(), found.layout
    counts = sorted(layout.counts.values())
    each = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
    classes = f"{len(counts):,} classes ({listed(list(layout.counts), _NAMED)}), {each} each"
    log.info("%s: %s images of %s; %s", layout.path, f"{sum(counts):,}", classes, _KINDS[layout.kind])
    log.info("%s images to train with, %s to validate with", f"{parts.num_train:,}", f"{parts.num_val:,}")
    for note in (*layout.notes, *parts.notes):
        log.info("  %s", note)
    for name in _SAID:
        log.info("%s: %s (%s)", name, chosen[name].text, chosen[name].why)
    mirror, choice = found.mirror, chosen["mirror images"]
    shares = f"nearest thumbnail of the same class: {100 * mirror.as_is:.0f} %, mirrored: {100 * mirror.mirrored:.0f} %"
    log.info("mirror images: %s (%s)", choice.text, choice.why if choice.why == "--no-flip" else shares)
