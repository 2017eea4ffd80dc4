"""The ``labels.txt`` of a data set, which contains its class names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence

from ppcls.errors import DataError
from ppcls.utils import imagenet
from ppcls.utils.logging import get_logger
from ppcls.utils.text import read_lines

CLASS_NAMES_FILE = "labels.txt"


def find_class_names(folders: Iterable[Path], columns: Optional[int] = None) -> Optional[List[str]]:
    """Return the class names in the ``labels.txt`` of these folders; None if there is none.

    Args:
        columns: of multi-label data, whose number of classes is known: a file with other classes is for another list,
            if there is one that fits.

    Raises:
        DataError: it is malformed, gives two classes one name, or two of the folders have as many names, but other
            ones. Another number of names belongs to another labelling of the same images: the first folder counts.
    """
    files = [folder / CLASS_NAMES_FILE for folder in folders if (folder / CLASS_NAMES_FILE).is_file()]
    found = [(file, read_class_names(file)) for file in files]
    found = [item for item in found if len(item[1]) == columns] or found
    if not found:
        return None
    file, names = found[0]
    for other, other_names in found[1:]:
        if len(names) == len(other_names):
            _require_equal(file, names, other, other_names)
        else:
            get_logger().info("class names: %s; the %d in %s are of another labelling", file, len(other_names), other)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None and names != read_class_names(imagenet.LABEL_LIST):  # where two classes are called crane
        raise DataError(f"{file}: two classes are called {twice!r}; rename one")
    return names


def _require_equal(file: Path, names: Sequence[str], other: Path, others: Sequence[str]) -> None:
    """Raise a DataError if two files name a class differently."""
    for label, (first, second) in enumerate(zip(names, others)):
        if first != second:
            raise DataError(
                f"{file} and {other} contradict each other: class {label} is {first!r} in the first, and {second!r} in "
                f"the second; correct or remove one"
            )


def format_class_names(class_names: Sequence[str]) -> str:
    """Return the content of a ``labels.txt``.

    Raises:
        DataError: a name would not be read back unchanged.
    """
    for name in class_names:
        if name != name.strip() or not name or "\n" in name or "\r" in name:
            raise DataError(f"class {name!r}: has a line break, or blanks at an end; rename it")
        if not is_valid_unicode(name):
            raise DataError(f"class {name!r}: is not valid Unicode; rename it")
    return "".join(f"{number} {name}\n" for number, name in enumerate(class_names))


def is_valid_unicode(text: str) -> bool:
    """Return whether a file name can be written as UTF-8 text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # the file system gave bytes that are not UTF-8
        return False
    return True


def read_class_names(path: Path, delimiter: Optional[str] = None) -> List[str]:
    """Return the class names by class id.

    The file has lines ``id name`` in any order, or one name per line. (A number alone is a name.)

    Args:
        delimiter: between id and name; None is white space.

    Raises:
        DataError: the file is unreadable or empty, or its ids are not 0, 1, 2, ..., each exactly once.
    """
    lines = [(number, text.strip()) for number, text in read_lines(path) if text.strip()]
    if not lines:
        raise DataError(f"{path}: empty; write `id name` lines, or remove it")
    mark = (delimiter or "").strip()
    numbered = re.compile(rf"(\d+)\s*{re.escape(mark)}\s*(\S.*)" if mark else r"(\d+)\s+(\S.*)")
    matches = [numbered.fullmatch(text) for _, text in lines]
    if not all(matches):
        if mark:
            number, text = next(line for line, match in zip(lines, matches) if match is None)
            raise DataError(f"{path}:{number}: not a class id and a name with {mark!r} between: {text[:200]!r}")
        return [text for _, text in lines]
    names: Dict[int, str] = {}
    for (number, text), match in zip(lines, matches):
        assert match is not None
        if int(match[1]) in names:
            raise DataError(f"{path}:{number}: class {match[1]} has a name already: {text!r}")
        names[int(match[1])] = match[2]
    missing = sorted(set(range(len(names))) - set(names))
    if missing:
        raise DataError(f"{path}: {len(names)} names, but none for class {missing[0]}; ids count from 0")
    return [names[index] for index in range(len(names))]
