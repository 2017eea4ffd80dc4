"""Classes by their rank or by thresholds."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from ppcls.errors import ConfigError
from ppcls.inference.postprocess.base import (
    DEFAULT_THRESHOLD,
    INJECTED,
    POSTPROCESSES,
    SIGMOID,
    PostProcess,
    require_classes,
)
from ppcls.registry import suggest
from ppcls.registry.checks import require_int, require_probability


@POSTPROCESSES.register(injected=("class_names",))
class Topk(PostProcess):
    """The classes with the highest probabilities; of equal ones the lower id first.

    Args:
        topk: how many; all classes when there are fewer.
        class_names: names by class id; without them ``label_names`` is empty.

    Raises:
        ConfigError: ``topk`` is not positive.
    """

    def __init__(self, topk: int = 5, class_names: Optional[Sequence[str]] = None) -> None:
        self.topk = require_int("topk", topk, 1)
        self.class_names = class_names

    def __call__(self, scores: np.ndarray) -> Dict[str, List[Any]]:
        """Return {class_ids, scores, label_names} of probabilities [K], the highest first."""
        return self._answer(np.argsort(-scores, kind="stable")[: self.topk], scores)

    def with_topk(self, topk: int) -> Topk:
        """Return one whose answers have ``topk`` classes."""
        return Topk(topk, self.class_names)


@POSTPROCESSES.register(injected=INJECTED)
class ThreshOutput(PostProcess):
    """One of two classes that exclude each other: class 1 if its probability is at least ``threshold``, else class 0.

    Args:
        threshold: from 0 to 1.
        label_0: name of class 0; None takes that of the data.
        label_1: name of class 1; None takes that of the data.
        class_num: number of classes; None skips its check.
        class_names: names by class id.

    Raises:
        ConfigError: there are more or fewer than two classes, or the threshold is out of range.
    """

    def __init__(
        self,
        threshold: float = DEFAULT_THRESHOLD,
        label_0: Optional[str] = None,
        label_1: Optional[str] = None,
        *,
        class_num: Optional[int] = None,
        class_names: Optional[Sequence[str]] = None,
    ) -> None:
        self.threshold = require_probability("threshold", threshold)
        if class_num is not None:
            self.check_class_num(class_num)
        known = class_names or ("0", "1")
        given = [known[0] if label_0 is None else label_0, known[1] if label_1 is None else label_1]
        self.class_names = None if class_names is None and label_0 is None and label_1 is None else given

    def check_class_num(self, class_num: int) -> None:
        """Make sure that there are two classes.

        Raises:
            ConfigError: there are more or fewer.
        """
        require_classes(2, class_num)

    def __call__(self, scores: np.ndarray) -> Dict[str, List[Any]]:
        """Return {class_ids, scores, label_names} of probabilities [2]: those of the chosen class."""
        return self._answer([int(scores[1] >= np.float32(self.threshold))], scores)


@POSTPROCESSES.register(injected=INJECTED)
class MultiLabelThreshOutput(PostProcess):
    """All classes whose probability is at least their threshold, which may be none.

    Args:
        threshold: from 0 to 1: one for all classes, one for each as a list, or a map of class names to thresholds (0.5
            for those that it does not name).
        class_num: number of classes; None skips its check.
        class_names: names by class id.

    Raises:
        ConfigError: a threshold is out of range, there is not one for each class, or a class is unknown.
    """

    activation = SIGMOID

    def __init__(
        self,
        threshold: Union[float, Sequence[float], Mapping[str, float]] = DEFAULT_THRESHOLD,
        *,
        class_num: Optional[int] = None,
        class_names: Optional[Sequence[str]] = None,
    ) -> None:
        self.class_names = class_names
        self.thresholds = np.array(_thresholds(threshold, class_num, class_names), np.float32)
        if class_num is not None:
            self.check_class_num(class_num)

    def check_class_num(self, class_num: int) -> None:
        """Make sure that a list of thresholds has one for each class.

        Raises:
            ConfigError: it has not.
        """
        if self.thresholds.ndim and len(self.thresholds) != class_num:
            raise ConfigError(f"threshold: {len(self.thresholds)} numbers for {class_num} classes (Arch.class_num)")

    def __call__(self, scores: np.ndarray) -> Dict[str, List[Any]]:
        """Return {class_ids, scores, label_names} of probabilities [K], the highest first; of equal the lower id."""
        is_above = scores.astype(np.float32) >= self.thresholds
        return self._answer((i for i in np.argsort(-scores, kind="stable") if is_above[i]), scores)


def _thresholds(
    threshold: Union[float, Sequence[float], Mapping[str, float]],
    class_num: Optional[int],
    class_names: Optional[Sequence[str]],
) -> Union[float, List[float]]:
    """Return one threshold for all classes, or a list of one for each."""
    if isinstance(threshold, Mapping):
        values = {name: require_probability(f"threshold: {name}", value) for name, value in threshold.items()}
        if class_num is None:  # of a trial; the names are not known yet
            return DEFAULT_THRESHOLD
        if class_names is None:
            raise ConfigError("threshold: names classes, and the model has no class names; give a list, one per class")
        unknown = next((name for name in values if name not in class_names), None)
        if unknown is not None:
            raise ConfigError(f"threshold: {unknown}: unknown class{suggest(unknown, class_names)}")
        return [values.get(name, DEFAULT_THRESHOLD) for name in class_names]
    if isinstance(threshold, (int, float)):
        return require_probability("threshold", threshold)
    return [require_probability(f"threshold: {index}", value) for index, value in enumerate(threshold)]
