"""A recipe as text for people: short mappings on one line, and comments."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Optional

from ppcls.config.numbers import parse_scalar
from ppcls.config.tree import Path
from ppcls.utils import json_text

_WIDTH = 116  # columns of a line
_PLAIN = re.compile(r"[A-Za-z0-9_/.~][A-Za-z0-9_/.~+-]*")  # text that needs no quotes, not even within braces


def to_text(values: Mapping[str, Any], comments: Optional[Mapping[Path, str]] = None, header: str = "") -> str:
    """Return nested dicts as the text of a recipe.

    Args:
        values: the sections.
        comments: by path; a short one stands behind its value, a long one above it.
        header: lines of a comment at the beginning.
    """
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    remarks = dict(comments or {})
    for key, value in values.items():
        if lines:
            lines.append("")
        lines += _entry(f"{key}:", value, (key,), remarks, 0)
    return "\n".join(lines) + "\n"


def _entry(head: str, value: Any, path: Path, comments: Mapping[Path, str], depth: int) -> List[str]:
    """Return the lines of one key or list item, which begin with ``head``."""
    margin, comment = "  " * depth, comments.get(path)
    flow = _flow(value)
    has_comments_inside = any(place[: len(path)] == path and place != path for place in comments)
    is_block = isinstance(value, (dict, list)) and bool(value)
    fits = len(margin) + len(head) + 1 + len(flow) <= _WIDTH
    is_mapping = isinstance(value, dict)
    is_section = is_mapping and depth == 0  # which has lines of its own
    is_component = is_mapping and head == "-" and len(value) == 1  # such as a transform: - Name: {...}
    is_list_of_some = isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict)
    needs_lines = has_comments_inside or is_section or is_component or is_list_of_some
    if not is_block or (fits and not needs_lines):
        line = f"{margin}{head} {flow}" if value is not None or head == "-" else f"{margin}{head}"
        if comment is None:
            return [line]
        if len(line) + len(comment) + 4 <= _WIDTH:
            return [f"{line}  # {comment}"]
        return [f"{margin}# {comment}", line]
    lines = [] if comment is None else [f"{margin}# {comment}"]
    below: List[str] = []
    for key, item in value.items() if is_mapping else enumerate(value):
        below += _entry(f"{key}:" if is_mapping else "-", item, (*path, key), comments, depth + 1)
    if head == "-" and is_mapping and not below[0].lstrip().startswith("#"):  # the first key stands behind the dash
        return [*lines, f"{margin}- {below[0].lstrip()}", *below[1:]]
    return [*lines, f"{margin}{head}", *below]


def _flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) is not None and parse_scalar(value) == value
        return value if is_plain else json_text.dumps(value, ensure_ascii=False)
    return repr(value)
