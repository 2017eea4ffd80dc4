"""What a metric is: numbers about predictions, accumulated on the device and exact over several processes."""

from __future__ import annotations

import json
from typing import Any, Callable, ClassVar, ContextManager, Dict, List, Mapping, Optional, Sequence

import paddle

from ppcls.errors import ConfigError
from ppcls.metric.registry import METRICS
from ppcls.registry import Source
from ppcls.registry.failures import located_errors


class Metric:
    """Accumulates batches, and reports one or several numbers.

    ``update`` runs where the logits are and must not fetch anything from the device: keep sums as tensors, and fetch
    them in ``state``. A subclass implements ``reset``, ``update``, ``result``, ``state`` and ``load_state``.

    Attributes:
        lower_is_better: whether lower results are better.
        single_label: whether the metric takes data with one label per image.
        multi_label: whether it takes data with several labels per image.
    """

    lower_is_better: ClassVar[bool] = False
    single_label: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return [type(self).__name__]

    def check(self, class_num: int) -> None:
        """Make sure that the metric can be computed for ``class_num`` classes.

        Raises:
            ConfigError: it cannot.
        """

    def check_labels(self, multi_label: bool) -> None:
        """Make sure that the metric is for such data.

        Args:
            multi_label: whether images have several labels.

        Raises:
            ConfigError: it is not.
        """
        if multi_label and not self.multi_label:
            raise ConfigError(
                f"is for data with one label per image, and these have several; for multi-label data there are "
                f"{_builtin_names('multi_label')}"
            )
        if not multi_label and not self.single_label:
            raise ConfigError(
                f"is for multi-label data, and these have one label per image, for which there are "
                f"{_builtin_names('single_label')}"
            )

    def reset(self) -> None:
        """Forget all samples."""
        raise NotImplementedError

    def update(self, logits: paddle.Tensor, targets: paddle.Tensor) -> None:
        """Accumulate a batch: logits [B, K] float32 and integer labels [B], or [B, K] of 0 and 1 (multi-label)."""
        raise NotImplementedError

    def result(self) -> Dict[str, float]:
        """Return the numbers by name, over all samples since ``reset``."""
        raise NotImplementedError

    def details(self, class_names: Optional[Sequence[str]] = None) -> Dict[str, Any]:
        """Return results that are not one number, such as those of each class, as JSON values; empty if there are none.

        Args:
            class_names: by class id, where they are known.
        """
        return {}

    def state(self) -> Dict[str, Any]:
        """Return what was accumulated, as JSON values."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state`` returned.

        Raises:
            CheckpointError: it belongs to another metric.
        """
        raise NotImplementedError

    def merge(self, states: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
        """Return the state over all processes from the state of each, by rank.

        By default, numbers are added. Override it if the state is not a sum.
        """
        return sum_states(states)


def _builtin_names(attribute: str) -> str:
    """Return the names of our metrics that take such labels, ``multi_label`` or ``single_label``."""
    entries = (METRICS[name] for name in METRICS.names())
    names = [entry.name for entry in entries if entry.source is None and getattr(entry.target, attribute, False)]
    return ", ".join(names)


def sum_states(states: Sequence[Any]) -> Any:
    """Return the element-wise sum of mappings, lists and numbers, which all have the same structure."""
    first = states[0]
    if isinstance(first, Mapping):
        return {key: sum_states([state[key] for state in states]) for key in first}
    if isinstance(first, (list, tuple)):
        return [sum_states(list(items)) for items in zip(*states)]
    return sum(states)


def class_records(class_names: Optional[Sequence[str]], **columns: Sequence[Any]) -> List[Dict[str, Any]]:
    """Return one record per class, for ``Metric.details``: its id, its name where it is known, and its values."""
    count = len(next(iter(columns.values())))
    return [
        {
            "class_id": index,
            **({} if class_names is None else {"class_name": class_names[index]}),
            **{name: values[index] for name, values in columns.items()},
        }
        for index in range(count)
    ]


class MetricAdapter(Metric):
    """Adapts a user's metric; only ``update`` and ``result`` are required.

    Args:
        name: what the recipe calls it; also the name of its result if that is a single number.
        create: makes a new one.
        source: where its code comes from.

    Raises:
        ConfigError: it lacks ``update`` or ``result``.
    """

    def __init__(self, name: str, create: Callable[[], Any], source: Optional[Source]) -> None:
        self._name = name
        self._create = create
        self._source = source
        self._metric = create()
        for method in ("update", "result"):
            if not callable(getattr(self._metric, method, None)):
                raise ConfigError(f"{name}: a metric needs the methods update(logits, targets) and result()")

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return list(getattr(self._metric, "names", [self._name]))

    @property
    def lower_is_better(self) -> bool:  # type: ignore[override]
        """Whether lower results are better; no, unless the metric says so."""
        return bool(getattr(self._metric, "lower_is_better", False))

    def check_labels(self, multi_label: bool) -> None:
        """Call the metric's own ``check_labels``, if it has one."""
        if hasattr(self._metric, "check_labels"):
            try:
                with located_errors("check_labels", self._source):  # the caller adds the name
                    self._metric.check_labels(multi_label)
            except ConfigError as error:
                attribute = "multi_label" if multi_label else "single_label"
                raise ConfigError(f"{error}; a metric of your own that takes them has {attribute} = True") from error

    def check(self, class_num: int) -> None:
        """Call the metric's own ``check``, if it has one."""
        if hasattr(self._metric, "check"):
            with located_errors("check", self._source):  # the caller adds the name
                self._metric.check(class_num)

    def reset(self) -> None:
        """Forget all samples; a metric without ``reset`` is replaced by a new one."""
        if hasattr(self._metric, "reset"):
            with self._located("reset"):
                self._metric.reset()
        else:
            self._metric = self._create()

    def update(self, logits: paddle.Tensor, targets: paddle.Tensor) -> None:
        """Accumulate a batch.

        Raises:
            ConfigError: the metric fails.
        """
        with self._located("update"):
            self._metric.update(logits, targets)

    def result(self) -> Dict[str, float]:
        """Return the numbers by name; a single number under the metric's name.

        Raises:
            ConfigError: the metric fails, or returns no number.
        """
        with self._located("result"):
            value = self._metric.result()
        named = dict(value) if isinstance(value, Mapping) else {self._name: value}
        try:
            return {str(name): float(number) for name, number in named.items()}
        except (TypeError, ValueError):
            raise ConfigError(
                f"{self._name}.result: must return a number or a dict of numbers, not {value!r:.80}"
            ) from None

    def details(self, class_names: Optional[Sequence[str]] = None) -> Dict[str, Any]:
        """Return the metric's own ``details``, if it has them.

        Raises:
            ConfigError: the metric fails, or returns what JSON cannot hold.
        """
        if not hasattr(self._metric, "details"):
            return {}
        with self._located("details"):
            value = self._metric.details(class_names)
        try:
            json.dumps(value, allow_nan=False)
            return dict(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self._name}.details: must return a dict of numbers, texts, None, lists and dicts ({error})"
            ) from None

    def state(self) -> Dict[str, Any]:
        """Return the metric's own state.

        Raises:
            ConfigError: it has none, and a checkpoint or another process needs it.
        """
        self._require("state")
        with self._located("state"):
            return dict(self._metric.state())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state`` returned."""
        self._require("load_state")
        with self._located("load_state"):
            self._metric.load_state(state)

    def merge(self, states: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
        """Return the state over all processes: the sum, unless the metric has a ``merge`` of its own."""
        with self._located("merge"):
            return dict(self._metric.merge(states)) if hasattr(self._metric, "merge") else sum_states(states)

    def _located(self, method: str) -> ContextManager[None]:
        return located_errors(f"{self._name}.{method}", self._source)

    def _require(self, method: str) -> None:
        if not hasattr(self._metric, method):
            raise ConfigError(
                f"{self._name}: a metric in Metric.Train, or over several processes, needs the methods state() and "
                f"load_state(state); see ppcls.metric.Metric"
            )
