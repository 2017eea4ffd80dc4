"""What all experiment trackers have in common."""

from __future__ import annotations

import importlib
import importlib.util
import time
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Mapping, Optional, Tuple

from ppcls.engine.callbacks.base import Callback
from ppcls.utils import distributed
from ppcls.utils.extras import missing_extra
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_POSITION = ("kind", "step", "epoch")  # keys of a record that are no values
_RETRY_SECONDS = 60.0
Values = Dict[str, float]


class Tracker(Callback):
    """Sends the curves of ``metrics.jsonl`` to an experiment tracker; of several processes the first one does.

    A subclass implements ``open``, ``log``, ``summarize`` and ``finish``, which are called in the first process only.

    A tracker that cannot be reached when training begins is an error. Later it is a warning: training goes on, and the
    values are kept and sent when the tracker answers again.

    Attributes:
        package: what has to be installed.
        extra: the extra of this package that installs it; None where every installation has it.
        tracked_run: identifies the run in the tracker, so that a resumed run continues it; None where a folder does.
    """

    package: ClassVar[str]
    extra: ClassVar[Optional[str]] = None

    def __init__(self) -> None:
        self.tracked_run: Optional[str] = None
        self._is_open = False
        self._is_finished = False
        self._pending: List[Tuple[int, Values]] = []
        self._failed_at: Optional[float] = None

    def require_package(self) -> None:
        """Import the package.

        Raises:
            MachineError: it is not installed, or cannot be imported.
        """
        if not distributed.is_main():
            return
        try:
            importlib.import_module(self.package)
        except ImportError as error:
            reason = error if importlib.util.find_spec(self.package) is not None else None
            raise missing_extra(self.extra or "", self.package, f"Callbacks: {type(self).__name__}", reason) from None

    def open(self, run: Run) -> None:
        """Begin a run in the tracker, or continue ``tracked_run``."""
        raise NotImplementedError

    def log(self, step: int, values: Values) -> None:
        """Add a point to each of some curves ("train/loss", "eval/top1")."""
        raise NotImplementedError

    def summarize(self, values: Values) -> None:
        """Note the best evaluation ("best/top1", "best/epoch") of a run that is done."""

    def finish(self, done: bool) -> None:
        """End the connection.

        Args:
            done: whether training has come to its end, and was not stopped.
        """
        raise NotImplementedError

    def on_train_begin(self, run: Run) -> None:
        """Connect."""
        if distributed.is_main():
            self.open(run)
            self._is_open = True

    def on_step(self, run: Run) -> None:
        """Add a point to each curve of training, where a log line is due."""
        if run.is_log_step:
            self._add(run.train_record())

    def on_eval(self, run: Run) -> None:
        """Add a point to each curve of evaluation."""
        for record in run.eval_records():
            self._add(record)

    def on_train_end(self, run: Run) -> None:
        """Note the best evaluation."""
        self._is_finished = True
        best = run.state.best
        if not self._is_open or best.value is None:
            return
        self._send(now_or_never=True)
        try:
            self.summarize({f"best/{best.metric}": best.value, "best/epoch": best.epoch})
        except Exception as error:  # noqa: BLE001  of a package or a network: no reason to end the run
            get_logger().warning("%s: the best evaluation was not noted: %s", type(self).__name__, error)

    def close(self) -> None:
        """End the connection."""
        if not self._is_open:
            return
        self._is_open = False
        if self._pending:
            get_logger().warning(
                "%s did not get the values of %d log steps and evaluations; metrics.jsonl has them",
                type(self).__name__,
                len(self._pending),
            )
        self.finish(self._is_finished)

    def state_dict(self) -> Dict[str, Any]:
        """Return the run in the tracker."""
        return {} if self.tracked_run is None else {"tracked_run": self.tracked_run}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a run of the tracker."""
        self.tracked_run = str(state["tracked_run"])

    def _add(self, record: Mapping[str, Any]) -> None:
        if not self._is_open:
            return
        values = {
            f"{record['kind']}/{name}": value
            for name, value in record.items()
            if name not in _POSITION and value is not None
        }
        self._pending.append((record["step"], values))
        self._send()

    def _send(self, now_or_never: bool = False) -> None:
        """Send what is pending, unless the tracker has failed a moment ago: an attempt may take long."""
        failed_at = self._failed_at
        if failed_at is not None and time.monotonic() - failed_at < _RETRY_SECONDS and not now_or_never:
            return
        try:
            while self._pending:
                self.log(*self._pending[0])
                self._pending.pop(0)
            self._failed_at = None
        except Exception as error:  # noqa: BLE001  of a package or a network: no reason to end the run
            if self._failed_at is None:
                text = "%s does not answer: %s. Training goes on, and the values are sent when it answers again"
                get_logger().warning(text, type(self).__name__, error)
            self._failed_at = time.monotonic()
