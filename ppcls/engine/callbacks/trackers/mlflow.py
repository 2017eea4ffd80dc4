"""MLflow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterator, Mapping, Optional, Tuple

from ppcls.config.show import to_yaml
from ppcls.engine.callbacks.registry import CALLBACKS
from ppcls.engine.callbacks.trackers.base import Tracker, Values
from ppcls.errors import MachineError
from ppcls.utils import json_text

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_MAX_PARAMETERS = 100  # in one call


@CALLBACKS.register
class MLflow(Tracker):
    """Sends curves and the recipe to MLflow.

    A resumed run continues the same run there.

    Args:
        tracking_uri: the server, or the address of a local store, such as ``sqlite:///mlflow.db``; null: what the
            environment (``MLFLOW_TRACKING_URI``) says, else MLflow's default.
        experiment: its name; it is created if it is not there.
        run_name: null: the name of the run's folder.
        tags: of the run.
    """

    package: ClassVar[str] = "mlflow"
    extra: ClassVar[Optional[str]] = "mlflow"
    is_remote: ClassVar[bool] = True

    def __init__(
        self,
        tracking_uri: Optional[str] = None,
        experiment: str = "ppcls",
        run_name: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None,
    ) -> None:
        super().__init__()
        self._uri, self._experiment, self._run_name, self._tags = tracking_uri, experiment, run_name, tags
        self._client: Any = None

    def open(self, run: Run) -> None:
        """Begin a run, or continue one.

        Raises:
            MachineError: MLflow cannot be reached, or does not have the run that is resumed.
        """
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            self._client = MlflowClient(tracking_uri=self._uri)
            if self.tracked_run is None:
                self._begin(run)
            else:
                self._client.update_run(self.tracked_run, status="RUNNING")
        except (MlflowException, OSError) as error:
            raise MachineError(f"Callbacks: MLflow: {error}") from None

    def _begin(self, run: Run) -> None:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(self._experiment)
        name = self._run_name or run.run_dir.name
        self.tracked_run = self._client.create_run(experiment, run_name=name, tags=self._tags).info.run_id
        parameters = [Param(key, value) for key, value in _flat(run.config.plain())]
        for first in range(0, len(parameters), _MAX_PARAMETERS):
            self._client.log_batch(self.tracked_run, params=parameters[first : first + _MAX_PARAMETERS])
        self._client.log_text(self.tracked_run, to_yaml(run.config), "config.yaml")

    def log(self, step: int, values: Values) -> None:
        """Add a point to each curve."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        points = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.tracked_run, metrics=points)

    def summarize(self, values: Values) -> None:
        """Note the best evaluation."""
        self.log(0, values)

    def finish(self, done: bool) -> None:
        """Say that the run has ended; one that was stopped is KILLED until it is resumed."""
        self._client.set_terminated(self.tracked_run, status="FINISHED" if done else "KILLED")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[Tuple[str, str]]:
    """Yield each value of nested mappings with its dotted key; lists as JSON."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json_text.dumps(value)
