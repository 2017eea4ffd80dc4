"""Several metrics as one."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric.registry import METRICS


class CombinedMetric:
    """Metrics that see the same batches.

    Args:
        metrics: by name; see ``TopkAcc`` for what a metric can do.
    """

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self.metrics = dict(metrics)

    @property
    def names(self) -> List[str]:
        """What ``result`` reports, in order."""
        return [name for metric in self.metrics.values() for name in metric.names]

    def reset(self) -> None:
        """Forget all samples."""
        for metric in self.metrics.values():
            metric.reset()

    def check(self, class_num: int) -> None:
        """Make sure that all metrics can be computed for ``class_num`` classes.

        Raises:
            ConfigError: one cannot.
        """
        for name, metric in self.metrics.items():
            try:
                metric.check(class_num)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None

    def update(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Count a batch: logits [B, K], integer labels [B]."""
        for metric in self.metrics.values():
            metric.update(logits, labels)

    def result(self) -> Dict[str, float]:
        """Return all results, by their names."""
        return {name: value for metric in self.metrics.values() for name, value in metric.result().items()}

    def state(self) -> Dict[str, Dict[str, int]]:
        """Return the counts of each metric, fit for JSON."""
        return {name: metric.state() for name, metric in self.metrics.items()}

    def load_state(self, state: Mapping[str, Mapping[str, int]]) -> None:
        """Continue from counts that ``state`` returned.

        Raises:
            CheckpointError: they are of other metrics.
        """
        if set(state) != set(self.metrics):
            raise CheckpointError(f"the saved metrics are {sorted(state)}, the recipe's are {sorted(self.metrics)}")
        for name, metric in self.metrics.items():
            metric.load_state(state[name])


def build_metrics(components: Sequence[Mapping[str, Optional[Mapping[str, Any]]]]) -> CombinedMetric:
    """Build the metrics of a recipe's ``Metric.Train`` or ``Metric.Eval``.

    Args:
        components: single-key maps from a metric's name to its arguments; may be empty.

    Raises:
        ConfigError: one metric twice, an unknown one or one with wrong arguments.
    """
    metrics: Dict[str, Any] = {}
    for index, component in enumerate(components):
        if len(component) != 1:
            raise ConfigError(f"[{index}]: expected one metric and its arguments, got {sorted(component) or 'nothing'}")
        ((name, args),) = component.items()
        if name in metrics:
            raise ConfigError(f"[{index}]: {name} stands here twice")
        metrics[name] = METRICS.build(name, args)
    return CombinedMetric(metrics)
