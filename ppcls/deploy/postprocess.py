"""From scores to an answer with label names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ppcls.errors import DataError


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities [B, K] of logits [B, K]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Topk:
    """The classes with the highest scores.

    Attributes:
        topk: how many; all classes when there are fewer.
        class_names: names by class id; without them ``label_names`` is empty.
    """

    topk: int = 5
    class_names: Optional[Sequence[str]] = None

    def __call__(self, scores: np.ndarray) -> Dict[str, List[Any]]:
        """Return {class_ids, scores, label_names} of scores [K], best first; of equal ones the lower id first."""
        best = np.argsort(-scores, kind="stable")[: self.topk]
        names = [self.class_names[i] for i in best] if self.class_names else []
        return {
            "class_ids": [int(i) for i in best],
            "scores": [round(float(scores[i]), 5) for i in best],
            "label_names": names,
        }


def read_class_names(file: Path, class_num: int) -> List[str]:
    """Read label names: lines ``id name``, or one name a line in the order of the ids.

    Raises:
        DataError: the file cannot be read, an id stands twice or is no id of ``class_num`` classes, or one is missing.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"class names {file}: cannot be read: {error}") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not all(line.split(maxsplit=1)[0].isdigit() and " " in line.replace("\t", " ") for _, line in numbered):
        numbered = [(number, f"{position} {line}") for position, (number, line) in enumerate(numbered)]
    names: Dict[int, str] = {}
    for number, line in numbered:
        text, name = line.split(maxsplit=1)
        if not int(text) < class_num or int(text) in names:
            what = "stands twice" if int(text) in names else f"is not one of 0..{class_num - 1}"
            raise DataError(f"class names {file}:{number}: class id {text} {what} (Arch.class_num is {class_num})")
        names[int(text)] = name
    missing = [i for i in range(class_num) if i not in names]
    if missing:
        raise DataError(
            f"class names {file}: {len(names)} names for {class_num} classes (Arch.class_num); no name for "
            f"{', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}"
        )
    return [names[i] for i in range(class_num)]
