"""Metrics that need the scores of all samples together."""

from __future__ import annotations

import base64
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np
import paddle

from ppcls.errors import CheckpointError
from ppcls.metric.base import Metric
from ppcls.metric.predictions import read_batch

Samples = Mapping[str, np.ndarray]


class ScoreMetric(Metric):
    """Base class. The scores of all samples are kept, since they have to be sorted.

    They take 4 bytes per score: with one score per class, 200 MB for 50,000 images and 1,000 classes. While scores
    are gathered over processes, each process needs about seven times the memory of all scores. A checkpoint inside an
    epoch holds those of ``Metric.Train``.

    A subclass implements ``collect`` and ``compute``. Its result must not depend on the order of the samples.

    Attributes:
        array_names: the names of what is kept of each sample.
    """

    array_names: ClassVar[Sequence[str]] = ("scores", "targets")

    def __init__(self) -> None:
        self.reset()

    def collect(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what to keep of a batch, each [B, ...]; nothing is fetched from the device.

        Args:
            logits: [B, K] float32, with B of at least 1.
            targets: [B] int64 or [B, K] bool.
        """
        raise NotImplementedError

    def compute(self, samples: Samples) -> Dict[str, float]:
        """Return the numbers by name, from at least one sample."""
        raise NotImplementedError

    def compute_details(self, samples: Samples, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return what ``details`` does, from at least one sample."""
        return {}

    def reset(self) -> None:
        """Forget all samples."""
        self._batches: Dict[str, List[Union[paddle.Tensor, np.ndarray]]] = {}

    def update(self, logits: paddle.Tensor, targets: paddle.Tensor) -> None:
        """Keep what is needed of a batch; see ``read_batch``.

        Raises:
            ConfigError: the metric is not for such labels.
        """
        logits, targets = read_batch(logits, targets)
        self.check_labels(multi_label=targets.ndim == 2)
        if not len(targets):
            return
        for name, value in self.collect(logits, targets).items():
            self._batches.setdefault(name, []).append(value)

    def result(self) -> Dict[str, float]:
        """Return the numbers by name; NaN before the first sample."""
        return self.compute(self._fetch()) if self._batches else dict.fromkeys(self.names, float("nan"))

    def details(self, class_names: Optional[Sequence[str]] = None) -> Dict[str, Any]:
        """Return results that are not one number; empty before the first sample."""
        return self.compute_details(self._fetch(), class_names) if self._batches else {}

    def state(self) -> Dict[str, Any]:
        """Return what was kept of each sample, in base64; empty before the first sample."""
        return {name: _encode(array) for name, array in self._fetch().items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state`` returned.

        Raises:
            CheckpointError: it is another metric's.
        """
        if state and set(state) != set(self.array_names):
            raise CheckpointError(
                f"{type(self).__name__}: the saved arrays are {sorted(state)}, expected {sorted(self.array_names)}"
            )
        self._batches = {name: [_decode(value)] for name, value in state.items()}

    def merge(self, states: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
        """Return the samples of all processes, some of which may have had none."""
        counted = [state for state in states if state]
        if len(counted) < 2:
            return dict(counted[0]) if counted else {}
        return {name: _encode(np.concatenate([_decode(state[name]) for state in counted])) for name in counted[0]}

    def _fetch(self) -> Dict[str, np.ndarray]:
        joined: Dict[str, np.ndarray] = {}
        for name, batches in self._batches.items():
            arrays = [batch if isinstance(batch, np.ndarray) else batch.numpy() for batch in batches]
            joined[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
            self._batches[name] = [joined[name]]  # once: results and states ask several times
        return joined


def _encode(array: np.ndarray) -> Dict[str, Any]:
    content = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": str(array.dtype), "shape": list(array.shape), "base64": content}


def _decode(value: Mapping[str, Any]) -> np.ndarray:
    try:
        return np.frombuffer(base64.b64decode(value["base64"]), value["dtype"]).reshape(value["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the saved scores of a metric are damaged ({error})") from None
