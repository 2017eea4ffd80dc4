"""The value of an unquoted scalar in a recipe: a number, simple arithmetic, true, false, null, or text."""

from __future__ import annotations

import ast
import operator
import re
from typing import Any, Callable, Dict, Optional, Union

# Wider than YAML 1.1 in floats (1e-8), narrower elsewhere: no dates, no base-60 integers such as 1:30.
_INTEGER = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_ARITHMETIC = re.compile(r"(?=.*\d)(?=.*[-+*/])[-+*/().\d\seE]+")
_LONGEST = 100  # characters of a number; Python refuses to read integers of thousands
_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    # None is not YAML, but it is what `-o` took for years in PaddleClas.
    **dict.fromkeys(("", "~", "null", "Null", "NULL", "None"), None),
}
_OPERATORS: Dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS: Dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class ArithmeticFloat(float):
    """The value of an arithmetic expression, or of a number that a dict has as text.

    ``text`` is how it was written, for arguments that are text.
    """

    text: str


class ArithmeticInt(int):
    """The same for a whole number; see ``ArithmeticFloat``."""

    text: str


def parse_scalar(text: str) -> Any:
    """Return what the unquoted ``text`` means: bool, None, int, float, or the text itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _LONGEST:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[a-zA-Z])", "", text))  # Python writes .inf and .nan without the point
    if _ARITHMETIC.fullmatch(text):
        value = _evaluate(text)
        if value is not None:
            return with_text(value, text)
    return text


def with_text(value: Union[int, float], text: str) -> Union[ArithmeticInt, ArithmeticFloat]:
    """Return a number that remembers how it was written."""
    written = ArithmeticInt(value) if isinstance(value, int) else ArithmeticFloat(value)
    written.text = text
    return written


def _evaluate(text: str) -> Optional[Union[int, float]]:
    """Return the value of + - * / over numbers, None when ``text`` is anything else."""
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _value(node: ast.AST) -> Union[int, float]:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    raise ValueError(ast.dump(node))
