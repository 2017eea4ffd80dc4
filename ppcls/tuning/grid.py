"""The points of a sweep: all combinations of given values, or some of them drawn at random."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Union

import numpy as np

from ppcls.config import overrides
from ppcls.config.numbers import parse_scalar
from ppcls.config.tree import dotted, plain
from ppcls.errors import ConfigError
from ppcls.registry import suggest
from ppcls.utils import json_text

Point = Dict[str, Any]  # values by dotted key

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?P<name>[a-z_]+)\(\s*(?P<low>{_NUMBER})\s*,\s*(?P<high>{_NUMBER})\s*\)")
_DIGITS = 4  # of numbers that are drawn: more say nothing, and make long commands
_NOT_IN_NAMES = re.compile(r"[^\w.=,+-]+")
_LONGEST_NAME = 80
_ATTEMPTS = 1000  # to draw a point that was not drawn before


@dataclass(frozen=True)
class Range:
    """Numbers to draw from.

    Attributes:
        low: the least number.
        high: the largest number.
        is_log: whether the logarithm is uniform, and not the number.
    """

    low: float
    high: float
    is_log: bool

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number, rounded to four digits."""
        if self.is_log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return float(f"{value:.{_DIGITS}g}")


Choice = Union[List[Any], Range]


def read_axes(texts: Sequence[str]) -> Dict[str, Choice]:
    """Return what to try for each key.

    Args:
        texts: ``Key.sub=[value, value]``, ``Key.sub=uniform(low, high)`` or ``Key.sub=loguniform(low, high)``.

    Raises:
        ConfigError: a text is none of these, or a key stands twice.
    """
    axes: Dict[str, Choice] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        found = _RANGE.fullmatch(value.strip()) if equals else None
        if found is not None:
            name, choice = key.strip(), _range(text, found["name"], float(found["low"]), float(found["high"]))
        else:
            name, choice = _values(text)
        if name in axes:
            raise ConfigError(f"{text}: {name} is given twice; put all of its values into one list")
        axes[name] = choice
    return axes


def _range(text: str, name: str, low: float, high: float) -> Choice:
    if name not in ("uniform", "loguniform"):
        raise ConfigError(f"{text}: unknown distribution {name!r}{suggest(name, ['uniform', 'loguniform'])}")
    if not low < high:
        raise ConfigError(f"{text}: the first number must be below the second one")
    if name == "loguniform" and low <= 0:
        raise ConfigError(f"{text}: loguniform takes numbers above 0")
    return Range(low, high, name == "loguniform")


def _values(text: str) -> Any:
    path, node = overrides.read(text)
    if not isinstance(node.value, list) or not node.value:
        raise ConfigError(f"{text}: give the values to try as a list, such as {dotted(tuple(path))}=[1e-4, 1e-3]")
    values = [plain(item) for item in node.value]
    shown = [show(value) for value in values]
    twice = next((value for index, value in enumerate(shown) if value in shown[:index]), None)
    if twice is not None:
        raise ConfigError(f"{text}: {twice} is given twice")
    return dotted(tuple(path)), values


def all_points(axes: Mapping[str, Choice]) -> List[Point]:
    """Return all combinations, the last key changing fastest.

    Raises:
        ConfigError: a key has a range, of which there are infinitely many.
    """
    for key, choice in axes.items():
        if isinstance(choice, Range):
            raise ConfigError(f"{key}: a range is drawn from: say how often with --random N")
    lists = [choice for choice in axes.values() if not isinstance(choice, Range)]
    return [dict(zip(axes, values)) for values in itertools.product(*lists)]


def random_points(axes: Mapping[str, Choice], count: int, seed: int) -> List[Point]:
    """Return different points drawn at random; more of them begin with the same ones.

    Raises:
        ConfigError: there are not that many.
    """
    rng = np.random.default_rng(seed)
    points: List[Point] = []
    for _ in range(count):
        point = next((drawn for drawn in _drawn(axes, rng) if drawn not in points), None)
        if point is None:
            raise ConfigError(
                f"--random {count}: only {len(points)} different points were found; give a smaller number"
            )
        points.append(point)
    return points


def _drawn(axes: Mapping[str, Choice], rng: np.random.Generator) -> Iterator[Point]:
    for _ in range(_ATTEMPTS):
        yield {
            key: choice.draw(rng) if isinstance(choice, Range) else choice[int(rng.integers(len(choice)))]
            for key, choice in axes.items()
        }


def show(value: Any) -> str:
    """Return a value as it is written after ``Key=``."""
    if isinstance(value, str):
        is_plain = parse_scalar(value) == value and value.strip() == value and value[:1] not in "[{'\"("
        return value if is_plain and value else json_text.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(float(value))
    return json_text.dumps(value, ensure_ascii=False)


def as_changes(point: Point) -> List[str]:
    """Return the changes of the recipe that a point is, as after ``-o``."""
    return [f"{key}={show(value)}" for key, value in point.items()]


def short_keys(keys: Sequence[str]) -> Dict[str, str]:
    """Return the last parts of dotted keys, as many of each as tell it from the others."""
    short = {}
    for key in keys:
        parts = key.split(".")
        others = [other.split(".") for other in keys if other != key]
        count = next(
            n for n in range(1, len(parts) + 1) if all(o[-n:] != parts[-n:] for o in others) or n == len(parts)
        )
        short[key] = ".".join(parts[-count:])
    return short


def point_name(point: Point) -> str:
    """Return the name of a point's folder, which depends on the point alone."""
    keys = short_keys(list(point))
    text = ",".join(f"{keys[key]}={show(value)}" for key, value in point.items())
    name = _NOT_IN_NAMES.sub("_", text)
    if name == text and len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(json.dumps(point, sort_keys=True).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].strip('_')}-{digest}"
