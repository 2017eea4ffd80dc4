"""The most confident mistakes and the least certain answers, with what the model looked at."""

from __future__ import annotations

from html import escape
from typing import List, Optional, Sequence

import numpy as np

from ppcls.report.elements import Section, bullets, paragraph
from ppcls.report.run_data import RunData, heat_key, photo_key
from ppcls.report.statistics import THRESHOLD, least_certain, most_confident_mistakes, worst_labels
from ppcls.utils.html import percent

COUNT = 16  # images of each kind


def shown_rows(data: RunData) -> List[int]:
    """Return the rows of the predictions that this section shows, mistakes first."""
    if data.answers is None:
        return []
    rows = [*most_confident_mistakes(data.answers, COUNT), *least_certain(data.answers, COUNT)]
    return list(dict.fromkeys(rows))


def mistakes(data: RunData) -> Optional[Section]:
    """Return the section; None without answers."""
    answers = data.answers
    if answers is None or not len(answers):
        return None
    section = Section("mistakes", "Mistakes and doubts")
    explanations = data.explanations
    if explanations is not None and explanations.heat_maps:
        text = "Beside a photo: what the answer rests on (Grad-CAM), on the image as the model sees it."
        section.body.append(paragraph(text, "dim"))
    if explanations is not None and explanations.problems:
        section.body.append(bullets(explanations.problems))
    if explanations is None and not data.finished:
        section.body.append(paragraph("Heat maps follow when training is done.", "dim"))
    wrong = most_confident_mistakes(answers, COUNT)
    title = "Most wrong" if answers.is_multilabel else "Most confident mistakes"
    section.body += [f"<h3>{title}</h3>", _gallery(data, wrong) or paragraph("There are none.")]
    doubts = least_certain(answers, COUNT)
    if doubts:
        section.body += ["<h3>Least certain</h3>", _gallery(data, doubts)]
    return section


def _gallery(data: RunData, rows: Sequence[int]) -> str:
    parts = []
    for row in rows:
        name = data.photo_name(row)
        pictures = data.thumbnails.show(photo_key(row), name, large=True)
        if heat_key(row) in data.thumbnails:
            heat = data.thumbnails.show(heat_key(row), f"heat map of {name}", large=True)
            pictures = f"<div class='pair'>{pictures}{heat}</div>"
        parts.append(f"<figure>{pictures}<figcaption>{_caption(data, row)}</figcaption></figure>")
    has_heat = any(heat_key(row) in data.thumbnails for row in rows)
    return f"<div class='gallery{' pairs' if has_heat else ''}'>{''.join(parts)}</div>" if parts else ""


def _caption(data: RunData, row: int) -> str:
    answers, names = data.answers, data.class_names
    assert answers is not None
    name = f"<br><span class='dim'>{escape(data.photo_name(row))}</span>"
    if answers.is_multilabel:
        label = int(worst_labels(answers)[0][row])
        has = "it has it" if answers.labels[row, label] else "it does not have it"
        found = np.flatnonzero(answers.scores[row] > THRESHOLD)
        said = ", ".join(names[int(index)] for index in found) or "no label"
        text = f"<b>{escape(names[label])}</b> {percent(float(answers.scores[row, label]))}: {has}"
        return f"{text}<br>answer: {escape(said)}{name}"
    label, predicted = int(answers.labels[row]), int(answers.predicted[row])
    own = percent(float(answers.label_scores[row]))
    if predicted == label:
        second = int(answers.classes[row, 1])
        other = f"{escape(names[second])} {percent(float(answers.scores[row, 1]))}"
        return f"<b class='good'>{escape(names[label])}</b> {own}, right<br>then {other}{name}"
    said = escape(names[predicted]) if predicted < len(names) else "no prediction"
    score = percent(float(answers.scores[row, 0]))
    return f"<b class='bad'>{said}</b> {score}<br>is {escape(names[label])} {own}{name}"
