"""Example pictures in an export, which the server's page offers to click."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from ppcls.errors import DataError
from ppcls.inference import description
from ppcls.inference.description import Description

KEY = "Examples"  # in the description
FOLDER = f"{description.STEM}_examples"  # in the export's folder
_FILE = re.compile(rf"{FOLDER}/\d+\.jpg")


class Example(NamedTuple):
    """A picture and its true classes.

    Attributes:
        class_ids: the model's; one but for multi-label models.
        data: a JPEG file's content.
    """

    class_ids: Tuple[int, ...]
    data: bytes


def write(folder: Path, examples: Sequence[Example]) -> List[Dict[str, Any]]:
    """Write pictures into an export's folder; return what its description has of them under ``KEY``."""
    (folder / FOLDER).mkdir()
    records = []
    for number, example in enumerate(examples, 1):
        name = f"{FOLDER}/{number}.jpg"  # file names of the data set may tell what is not to be published
        (folder / name).write_bytes(example.data)
        digest = hashlib.sha256(example.data).hexdigest()
        records.append({"file": name, "sha256": digest, "class_ids": list(example.class_ids)})
    return records


def read(described: Description) -> List[Example]:
    """Return the pictures of an export, in the order of its description; an empty list where it has none.

    Raises:
        DataError: one is missing or damaged.
    """
    records = described.values.get(KEY, [])
    if not isinstance(records, list):
        raise DataError(f"{described.path}: {KEY}: a list expected; export the model again")
    return [_read(described, record) for record in records]


def _read(described: Description, record: Any) -> Example:
    try:
        name, digest, class_ids = record["file"], record["sha256"], tuple(record["class_ids"])
        valid = _FILE.fullmatch(name) and all(class_id in range(described.class_num) for class_id in class_ids)
    except (KeyError, TypeError):
        valid = False
    if not valid:
        raise DataError(f"{described.path}: {KEY}: file, sha256 and class_ids expected, not {record!r}"[:300])
    path = described.folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; copy the whole folder, or export the model again"
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise DataError(f"{path}: damaged, or changed since it was exported; export the model again")
    return Example(class_ids, data)
