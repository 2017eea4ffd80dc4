"""The page of ``ppcls train --profile``: a single HTML file, without scripts or external resources."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from html import escape
from typing import Dict, List, Sequence, Tuple

import paddle

from ppcls.arch import ops
from ppcls.engine.trace import PHASES, TraceTimes
from ppcls.utils import environment, html

_STYLE = """
.bar { display: flex; height: 1.6rem; max-width: 60rem }
.key { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem }
"""
_COLORS = {
    "data": "#c0504d",
    "forward": "#4f81bd",
    "backward": "#2c5a8f",
    "update": "#8064a2",
    "callbacks": "#e0a030",
    "other": "#9a9a9a",
}
_TITLES = {
    "data": "waiting for data",
    "forward": "forward pass of the models",
    "backward": "backward pass",
    "update": "update of the weights",
    "callbacks": "callbacks",
    "other": "everything else: losses, metrics, checks, saving",
}


@dataclass(frozen=True)
class Profile:
    """What a page shows.

    Attributes:
        model: name of the architecture.
        batch_size: images in a step of this process.
        first: number of the first step, from 0.
        steps: seconds of each step, and of them waiting for its data.
        times: sums over these steps.
    """

    model: str
    batch_size: int
    first: int
    steps: Sequence[Tuple[float, float]]
    times: TraceTimes

    def phases(self) -> Dict[str, float]:
        """Return the mean seconds of a step by what they were spent on; together they are those of the step."""
        count = len(self.steps)
        phases = {"data": sum(data for _, data in self.steps) / count}
        phases.update({phase: self.times.phases[phase] / count for phase in PHASES if phase != "other"})
        phases["other"] = max(0.0, sum(step for step, _ in self.steps) / count - sum(phases.values()))
        return phases


def render_profile(profile: Profile) -> str:
    """Return the page."""
    title = f"Profile of {profile.model}"
    parts = (_summary, _phases, _operators, _callbacks)
    body = [f"<h1>{escape(title)}</h1>", *(line for part in parts for line in part(profile))]
    return html.page(title, body, _STYLE)


def _summary(profile: Profile) -> List[str]:
    steps = [step for step, _ in profile.steps]
    waited = profile.phases()["data"] / statistics.fmean(steps)
    last = profile.first + len(steps)
    threads = os.environ.get(environment.THREADS, "1")
    device = paddle.get_device()
    machine = f"{environment.processor_name()}, threads: {threads}. {ops.describe()}" if device == "cpu" else device
    note = (
        "Times are those of the main thread, and recording them takes time, too: compare them with each other. "
        "The time of an operator does not contain that of operators inside of it."
    )
    if device != "cpu":
        note += " The main thread only starts the kernels of a GPU: -p shows how long they take."
    return [
        f"<p>Steps {profile.first} to {last}, batches of {profile.batch_size} images. PaddlePaddle "
        f"{escape(paddle.__version__)} on {escape(machine)}.</p>",
        f"<p><b>{1000 * statistics.median(steps):.1f} ms a step</b> (median; {1000 * min(steps):.1f} to "
        f"{1000 * max(steps):.1f}), of which training waited for data <b>{waited:.1%}</b>.</p>",
        f"<p>{note}</p>",
    ]


def _phases(profile: Profile) -> List[str]:
    phases = profile.phases()
    total = sum(phases.values())
    parts = [
        f"<span style='background:{_COLORS[phase]};width:{100 * seconds / total:.2f}%'></span>"
        for phase, seconds in phases.items()
    ]
    rows = [
        (
            f"<span class='key' style='background:{_COLORS[phase]}'></span>{_TITLES[phase]}",
            f"{1000 * seconds:.2f}",
            f"{seconds / total:.1%}",
        )
        for phase, seconds in phases.items()
    ]
    bar = f"<div class='bar'>{''.join(parts)}</div>"
    return ["<h2>One step</h2>", bar, html.table(("part", "ms a step", "share"), rows)]


def _operators(profile: Profile) -> List[str]:
    count = len(profile.steps)
    total = sum(step for step, _ in profile.steps)
    rows = []
    for name, operator in sorted(profile.times.operators.items(), key=lambda item: -item[1].total):
        by_phase = [f"{1000 * operator.seconds[phase] / count:.3f}" for phase in ("forward", "backward")]
        rest = operator.total - operator.seconds["forward"] - operator.seconds["backward"]
        numbers = [f"{operator.calls / count:.1f}", *by_phase, f"{1000 * rest / count:.3f}"]
        rows.append(
            [escape(name), *numbers, f"{1000 * operator.total / count:.3f}", f"{operator.total / total:.1%}"],
        )
    header = ("operator", "calls", "forward, ms", "backward, ms", "elsewhere, ms", "ms a step", "share of the step")
    note = "<p>Operators of this project begin with <code>ops.</code>; the others are Paddle's.</p>"
    return ["<h2>Operators</h2>", note, html.table(header, rows)]


def _callbacks(profile: Profile) -> List[str]:
    count = len(profile.steps)
    rows = [
        (escape(name), f"{1000 * seconds / count:.3f}")
        for name, seconds in sorted(profile.times.callbacks.items(), key=lambda item: -item[1])
    ]
    return ["<h2>Callbacks</h2>", html.table(("callback", "ms a step"), rows)]
