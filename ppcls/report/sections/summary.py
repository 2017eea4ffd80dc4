"""What was reached, how sure that is, and where the model is weakest."""

from __future__ import annotations

from html import escape
from typing import List, Sequence, Tuple

from ppcls.analysis.statistics import wilson_interval
from ppcls.report.elements import Section, bullets, facts, meter, metric_value, paragraph, share
from ppcls.report.records import best_record
from ppcls.report.run_data import RunData
from ppcls.report.statistics import ClassCounts, exact_matches, label_precisions
from ppcls.utils.html import percent, table

_WEAKEST = 5
_FEW = 30  # images of a class: below, its recall says little


def summary(data: RunData) -> Section:
    """Return the section."""
    section = Section("result", "Result")
    section.body.append(facts(_headline(data), main=True))
    section.body.append(_state(data))
    if data.problems:
        section.body.append(f"<div class='problem'>{bullets(data.problems)}</div>")
    if data.answers is not None and len(data.answers):
        section.body += _weakest(data)
    return section


def _headline(data: RunData) -> List[Tuple[str, str]]:
    values: List[Tuple[str, str]] = []
    answers, best = data.answers, data.best
    if answers is not None and len(answers):
        right = exact_matches(answers)
        correct, total = int(right.sum()), len(right)
        low, high = wilson_interval(correct, total)
        if answers.is_multilabel:
            if best.value is not None:
                values.append((metric_value(best.metric, best.value), f"best {best.metric}"))
            values.append((percent(correct / total), f"images without a mistake: {correct:,} of {total:,}"))
        else:
            values.append((percent(correct / total), f"top-1 accuracy: {correct:,} of {total:,} images"))
        values.append((f"{100 * low:.1f} to {percent(high)}", "95 % interval (Wilson)"))
    elif best.value is not None:
        values.append((metric_value(best.metric, best.value), f"best {best.metric}"))
    if best.epoch:
        values.append((f"{best.epoch}", "best epoch"))
    record = best_record(data.records, best.epoch)
    if record is not None and record.get("loss") is not None:
        values.append((f"{record['loss']:.4f}", "loss of the evaluation"))
    return values or [("–", "nothing was evaluated yet")]


def _state(data: RunData) -> str:
    planned = data.config.Global.epochs
    done = f"{data.epochs} of {planned} epochs" if planned else f"{data.epochs} epochs"
    stage = f", stage {data.records.name}" if data.records.name else ""
    state = "training is done" if data.finished else "stopped" if data.stopped else "not finished"
    weights = "the averaged weights (EMA)" if "eval_ema" in data.predictions else "the best weights"
    text = f"{data.config.Arch.name}, {data.class_num:,} classes; {done}{stage}: {state}. Answers are of {weights}"
    if data.answers is not None and data.answers.images > len(data.answers):
        text += f", for {len(data.answers):,} of {data.answers.images:,} images, evenly spread"
    return paragraph(f"{text}.", "dim")


def _weakest(data: RunData) -> List[str]:
    answers = data.answers
    assert answers is not None
    counts = ClassCounts.of(answers, data.class_num)
    if answers.is_multilabel:
        precisions = label_precisions(answers)
        known = [label for label in precisions.argsort() if counts.support[label]][:_WEAKEST]
        rows = [
            (escape(data.class_names[label]), share(precisions[label]), meter(precisions[label]), f"{support:,}")
            for label, support in ((label, counts.support[label]) for label in known)
        ]
        return ["<h3>Weakest labels</h3>", table(("label", "average precision", "", "images"), rows)]
    lines: List[Sequence[str]] = []
    weakest = counts.weakest(_WEAKEST)
    for label in weakest:
        correct, support = int(counts.correct[label]), int(counts.support[label])
        low, high = wilson_interval(correct, support)
        interval = f"<span class='dim'>{100 * low:.0f} to {100 * high:.0f} %</span>"
        name, recall = escape(data.class_names[label]), counts.recall[label]
        lines.append((name, share(recall), meter(recall), f"{correct:,} of {support:,}", interval))
    body = ["<h3>Weakest classes</h3>", table(("class", "found", "", "images", "95 % interval"), lines)]
    if any(counts.support[label] < _FEW for label in weakest):
        body.append(paragraph("With few images of a class, its share says little: look at the interval.", "dim small"))
    return body
