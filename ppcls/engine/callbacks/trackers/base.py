"""What all experiment trackers have in common."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, Mapping, Optional

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.callbacks.trackers.sending import BackgroundSender, Sender, Values
from ppcls.utils import distributed
from ppcls.utils.extras import missing_extra
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_POSITION = ("kind", "step", "epoch")  # keys of a record that are no values


class Tracker(Callback):
    """Sends the curves of ``metrics.jsonl`` to an experiment tracker; of several processes the first one does.

    A subclass implements ``open``, ``log``, ``summarize`` and ``finish``, which are called in the first process only.

    A tracker that cannot be reached when training begins is an error. Later it is a warning: training goes on, and the
    values are kept and sent when the tracker answers again.

    Attributes:
        package: what has to be installed.
        extra: the extra of this package that installs it; None where every installation has it.
        is_remote: whether ``log`` waits for a network: it is called in a thread then, beside training.
        tracked_run: identifies the run in the tracker, so that a resumed run continues it; None where a folder does.
    """

    package: ClassVar[str]
    extra: ClassVar[Optional[str]] = None
    is_remote: ClassVar[bool] = False

    def __init__(self) -> None:
        self.tracked_run: Optional[str] = None
        self._sender: Optional[Sender] = None  # where the connection is open
        self._is_finished = False

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
            kind = BackgroundSender if self.is_remote else Sender
            self._sender = kind(type(self).__name__, self.log)

    def on_step(self, run: Run) -> None:
        """Add a point to each curve of training, where a log line is due."""
        if run.is_log_step:
            self._add(run.train_record())

    def on_epoch(self, run: Run) -> None:
        """Add the averages over the epoch, unless its last batch did."""
        if not run.is_log_step:
            self._add(run.train_record())

    def on_eval(self, run: Run) -> None:
        """Add a point to each curve of evaluation."""
        for record in run.eval_records():
            self._add(record)

    def on_train_end(self, run: Run) -> None:
        """Note the best evaluation."""
        self._is_finished = True
        best = run.state.best
        if self._sender is None or best.value is None:
            return
        values = {f"best/{best.metric}": best.value, "best/epoch": best.epoch}
        self._sender.flush()
        self._call(self._sender, lambda: self.summarize(values), "the best evaluation")

    def close(self) -> None:
        """Send what is left, and end the connection."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        sender.flush()
        if sender.missing:
            get_logger().warning(
                "%s did not get %d lines of metrics; metrics.jsonl has them",
                type(self).__name__,
                sender.missing,
            )
        self._call(sender, lambda: self.finish(self._is_finished), "the end of the run")

    def state_dict(self) -> Dict[str, Any]:
        """Return the run in the tracker."""
        return {} if self.tracked_run is None else {"tracked_run": self.tracked_run}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a run of the tracker."""
        self.tracked_run = str(state["tracked_run"])

    def _call(self, sender: Sender, function: Callable[[], None], what: str) -> None:
        try:
            sender.call(function)
        except Exception as error:  # noqa: BLE001  of a package or a network: no reason to end the run
            get_logger().warning("%s: %s was not recorded: %s", type(self).__name__, what, error)

    def _add(self, record: Mapping[str, Any]) -> None:
        if self._sender is None:
            return
        values = {
            f"{record['kind']}/{name}": value
            for name, value in record.items()
            if name not in _POSITION and value is not None
        }
        self._sender.add(record["step"], values)
