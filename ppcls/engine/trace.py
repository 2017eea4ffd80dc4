"""Reads a trace that ``paddle.profiler`` exported: the time of training steps by phase, operator and callback."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, DefaultDict, Dict, Iterator, List, NamedTuple, Optional

from ppcls.engine.operator_events import OPERATOR

CALLBACK = "callback: "  # what the names of the events of callbacks begin with
PHASES = ("forward", "backward", "update", "callbacks", "other")
_ROUNDING = 1.0  # microseconds: beginnings are whole ones, durations are not
# By Paddle's category of an event: the phase that it begins.
_PHASES = {"Forward": "forward", "Backward": "backward", "Optimization": "update"}
_GRADIENT = re.compile(r"(?:Global_)?(.+?)(?:GradNode(?:Final)?|_grad)")
_CUSTOM_GRADIENT = "GradNodePyLayer_"


class Event(NamedTuple):
    """A span of time in the main thread, in microseconds."""

    start: float
    end: float
    name: str
    category: str


@dataclass
class Operator:
    """Time of an operator, without that of operators inside of it.

    Attributes:
        seconds: by phase.
        calls: in all phases.
    """

    seconds: DefaultDict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: int = 0

    @property
    def total(self) -> float:
        """Seconds in all phases."""
        return sum(self.seconds.values())


@dataclass
class TraceTimes:
    """Sums over all steps of a trace, in seconds.

    Attributes:
        phases: forward and backward pass, update and callbacks.
        operators: by name; those of this project begin with "ops.".
        callbacks: ``on_step`` of each, by name.
    """

    phases: DefaultDict[str, float] = field(default_factory=lambda: defaultdict(float))
    operators: DefaultDict[str, Operator] = field(default_factory=lambda: defaultdict(Operator))
    callbacks: DefaultDict[str, float] = field(default_factory=lambda: defaultdict(float))


class _Open(NamedTuple):
    """An event that has begun, its phase, and the operator that it is or lies in."""

    end: float
    phase: Optional[str]
    operator: Optional[str]


def read_trace(path: Path) -> TraceTimes:
    """Return the times of a trace in Chrome's format."""
    times, stack = TraceTimes(), [_Open(float("inf"), None, None)]
    for event in _events(json.loads(path.read_text(encoding="utf-8"))["traceEvents"]):
        while stack[-1].end <= event.start + _ROUNDING or stack[-1].end < event.end - _ROUNDING:
            stack.pop()
        outer = stack[-1]
        seconds = (event.end - event.start) / 1e6
        phase = outer.phase or ("callbacks" if event.name.startswith(CALLBACK) else _PHASES.get(event.category))
        if phase is not None and outer.phase is None:
            times.phases[phase] += seconds
        if event.name.startswith(CALLBACK):
            times.callbacks[event.name[len(CALLBACK) :]] += seconds
        operator = outer.operator
        if event.category == "Operator" or event.name.startswith(OPERATOR):
            operator = _operator_name(event.name)
            found = times.operators[operator]
            found.seconds[phase or "other"] += seconds
            found.calls += outer.operator != operator  # an operator of ours lies in its node of the gradients' graph
            if outer.operator is not None:
                times.operators[outer.operator].seconds[phase or "other"] -= seconds
        stack.append(_Open(event.end, phase, operator))
    return times


def _events(found: List[Dict[str, Any]]) -> Iterator[Event]:
    """Yield the events of the main thread that count, outer ones first."""
    spans = [event for event in found if event.get("ph") == "X"]
    main = next((_thread(event) for event in spans if event["cat"] == "ProfileStep"), None)
    events = []
    for event in spans:
        # Names end with the duration, such as "[5.227 ms]".
        name, category = re.sub(r"\[[^\[]*\]$", "", str(event["name"])), str(event["cat"])
        ours = category == "PythonUserDefined" and name.startswith((CALLBACK, OPERATOR))
        if _thread(event) == main and (ours or category == "Operator" or category in _PHASES):
            start = float(event["ts"])
            events.append(Event(start, start + float(event["dur"]), name, category))
    yield from sorted(events, key=lambda event: (event.start, -event.end))


def _thread(event: Dict[str, Any]) -> str:
    return str(event["tid"]).partition("(")[0]  # "5136(Python)", "5136(C++)"


def _operator_name(name: str) -> str:
    """Return "matmul" of "matmul dygraph" and of "MatmulGradNode", "ops.linear" of our own."""
    if name.startswith(OPERATOR):
        return f"ops.{_snake_case(name[len(OPERATOR) :])}"
    if _CUSTOM_GRADIENT in name:
        return f"ops.{_snake_case(name.partition(_CUSTOM_GRADIENT)[2])}"
    if "GradNodeAccumulation" in name:
        return "gradient accumulation"
    match = _GRADIENT.fullmatch(name)
    return _snake_case(match[1]) if match is not None else name.partition(" ")[0].rstrip("_")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip("_")).lower()
