"""Several metrics as one."""

from __future__ import annotations

import functools
from typing import Any, Dict, List, Mapping, Optional, Sequence

import paddle

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric.base import Metric, MetricAdapter
from ppcls.metric.registry import METRICS
from ppcls.utils import distributed


class CombinedMetric:
    """Metrics that see the same batches.

    Args:
        metrics: by their names in the recipe.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = dict(metrics)

    @property
    def names(self) -> List[str]:
        """What ``result`` reports, in order."""
        return [name for metric in self.metrics.values() for name in metric.names]

    @property
    def lower_is_better(self) -> List[str]:
        """Those of ``names`` of which lower values are better."""
        return [name for metric in self.metrics.values() if metric.lower_is_better for name in metric.names]

    @property
    def renamed(self) -> Dict[str, str]:
        """What is reported instead of a name, as of top-k accuracies for fewer than k classes."""
        return {old: new for metric in self.metrics.values() for old, new in getattr(metric, "renamed", {}).items()}

    def reset(self) -> None:
        """Forget all samples."""
        for metric in self.metrics.values():
            metric.reset()

    def update(self, logits: paddle.Tensor, targets: paddle.Tensor) -> None:
        """Accumulate a batch: logits [B, K], targets [B] or [B, K]; nothing is fetched from the device."""
        for metric in self.metrics.values():
            metric.update(logits, targets)

    def result(self) -> Dict[str, float]:
        """Return all results, by their names."""
        return {name: value for metric in self.metrics.values() for name, value in metric.result().items()}

    def details(self, class_names: Optional[Sequence[str]] = None) -> Dict[str, Dict[str, Any]]:
        """Return the results that are not one number, as JSON values, by the metric's name; of metrics that have any.

        Args:
            class_names: by class id, where they are known.
        """
        details = {name: metric.details(class_names) for name, metric in self.metrics.items()}
        return {name: value for name, value in details.items() if value}

    def state(self) -> Dict[str, Dict[str, Any]]:
        """Return the state of each metric, as JSON values."""
        return {name: metric.state() for name, metric in self.metrics.items()}

    def load_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from what ``state`` returned.

        Raises:
            CheckpointError: it belongs to other metrics.
        """
        if set(state) != set(self.metrics):
            raise CheckpointError(f"the saved metrics are {sorted(state)}, the recipe's are {sorted(self.metrics)}")
        for name, metric in self.metrics.items():
            metric.load_state(state[name])

    def global_state(self) -> Dict[str, Dict[str, Any]]:
        """Return the state over the samples of all processes; a collective."""
        states = distributed.all_gather(self.state())
        return {name: metric.merge([state[name] for state in states]) for name, metric in self.metrics.items()}

    def global_result(self) -> Dict[str, float]:
        """Return all results over the samples of all processes, in each of them; a collective."""
        if distributed.world_size() > 1:
            self.load_state(self.global_state())
        return self.result()


def build_metrics(components: Sequence[Mapping[str, Optional[Mapping[str, Any]]]]) -> CombinedMetric:
    """Build the metrics of a recipe's ``Metric.Train`` or ``Metric.Eval``.

    Args:
        components: single-key maps from a metric's name to its arguments; may be empty.

    Raises:
        ConfigError: a metric is listed twice or unknown, or its arguments are wrong.
    """
    metrics: Dict[str, Metric] = {}
    for index, component in enumerate(components):
        if len(component) != 1:
            raise ConfigError(f"[{index}]: must be one metric and its arguments, not {sorted(component) or 'nothing'}")
        ((name, args),) = component.items()
        if name in metrics:
            raise ConfigError(f"[{index}]: {name} is listed twice")
        create = functools.partial(METRICS.build, name, args)
        source = METRICS[name].source
        metrics[name] = create() if source is None else MetricAdapter(name, create, source)
    _require_distinct_results(metrics)
    return CombinedMetric(metrics)


def _require_distinct_results(metrics: Mapping[str, Metric]) -> None:
    """Raise a ConfigError where two metrics report a number under the same name."""
    reported_by: Dict[str, str] = {}
    for name, metric in metrics.items():
        for result in metric.names:
            if result in reported_by:
                raise ConfigError(f"{reported_by[result]} and {name} both report {result!r}; remove one of them")
            reported_by[result] = name
