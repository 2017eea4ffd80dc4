"""Images of a training batch as the model saw them: augmented and mixed."""

from __future__ import annotations

from html import escape
from typing import Optional

from ppcls.report.elements import Section, paragraph
from ppcls.report.run_data import RunData


def batch_key(number: int) -> str:
    """Return what the thumbnail of an image of the batch is called."""
    return f"b{number}"


def training_batch(data: RunData) -> Optional[Section]:
    """Return the section; None where no batch was seen."""
    if data.seen is None or not data.seen.images:
        return None
    section = Section("batch", "A batch as the model saw it")
    section.body.append(paragraph(data.seen.caption, "dim"))
    parts = []
    for number, (image, target) in enumerate(data.seen.images):
        key = batch_key(number)
        if key not in data.thumbnails:
            data.thumbnails.add(key, image)
        picture = data.thumbnails.show(key, f"training image: {target}", large=True)
        parts.append(f"<figure>{picture}<figcaption>{escape(target)}</figcaption></figure>")
    section.body.append(f"<div class='gallery'>{''.join(parts)}</div>")
    return section
