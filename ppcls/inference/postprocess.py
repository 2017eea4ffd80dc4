"""From scores to an answer with label names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

import numpy as np


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
        """Return {class_ids, scores, label_names} of scores [K], best first; of equal scores the lower id first."""
        best = np.argsort(-scores, kind="stable")[: self.topk]
        names = [self.class_names[i] for i in best] if self.class_names else []
        return {
            "class_ids": [int(i) for i in best],
            "scores": [round(float(scores[i]), 5) for i in best],
            "label_names": names,
        }
