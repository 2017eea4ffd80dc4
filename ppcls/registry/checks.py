"""Range checks for the arguments of components. Every message reads "NAME: must be X, not Y"."""

from __future__ import annotations

import math
import numbers
from typing import Any, NoReturn, Optional, Sequence

from ppcls.errors import ConfigError


def require_int(name: str, value: Any, minimum: int, maximum: Optional[int] = None) -> int:
    """Return ``value`` as an int.

    Raises:
        ConfigError: it is not a whole number, or it is out of range.
    """
    is_int = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_int or value < minimum or (maximum is not None and value > maximum):
        bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        _refuse(name, f"a whole number {bounds}", value)
    return int(value)


def require_number(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    Raises:
        ConfigError: it is not a finite number.
    """
    if not _is_finite(value):
        _refuse(name, "a number", value)
    return float(value)


def require_non_negative(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    Raises:
        ConfigError: it is not a finite number of at least 0.
    """
    if not _is_finite(value) or value < 0:
        _refuse(name, "a number of at least 0", value)
    return float(value)


def require_positive(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    Raises:
        ConfigError: it is not a finite number above 0.
    """
    if not _is_finite(value) or value <= 0:
        _refuse(name, "a positive number", value)
    return float(value)


def require_probability(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    Raises:
        ConfigError: it is not a number from 0 to 1.
    """
    if not _is_finite(value) or not 0 <= value <= 1:
        _refuse(name, "a number from 0 to 1", value)
    return float(value)


def require_fraction(name: str, value: Any) -> float:
    """Return ``value``, such as a dropout rate or a momentum, as a float.

    Raises:
        ConfigError: it is not a number of at least 0 and below 1.
    """
    if not _is_finite(value) or not 0 <= value < 1:
        _refuse(name, "a number of at least 0 and below 1", value)
    return float(value)


def require_factor(name: str, value: Any) -> float:
    """Return ``value``, such as a decay per layer or per step, as a float.

    Raises:
        ConfigError: it is not a number above 0 and at most 1.
    """
    if not _is_finite(value) or not 0 < value <= 1:
        _refuse(name, "a number above 0 and at most 1", value)
    return float(value)


def require_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check that ``value`` is one of ``choices``.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or value not in choices:
        _refuse(name, f"one of {', '.join(map(repr, choices))}", value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, expected: str, value: Any) -> NoReturn:
    raise ConfigError(f"{name}: must be {expected}, not {value!r}")
