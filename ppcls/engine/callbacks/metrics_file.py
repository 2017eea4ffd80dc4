"""``metrics.jsonl``, the machine-readable side of a run's log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Dict, Mapping

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.checkpointing.run_dir import METRICS
from ppcls.engine.evaluation import with_details
from ppcls.errors import MachineError
from ppcls.utils import distributed, json_text

if TYPE_CHECKING:
    from ppcls.engine.run import Run


class MetricsFile(Callback):
    """Writes one JSON object per line: at each log step and the end of each epoch of training, and at each evaluation.

    The checkpoint keeps the file's length, so that a resumed run continues the file where the checkpoint left off.
    """

    def __init__(self) -> None:
        self._file: Any = None
        self._bytes = 0

    def on_train_begin(self, run: Run) -> None:
        """Open the file; what was written after the checkpoint that is resumed will be written again."""
        if not distributed.is_main():
            return
        path = run.run_dir / METRICS
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(min(self._bytes, path.stat().st_size))
        self._file = path.open("a", encoding="utf-8")

    def on_step(self, run: Run) -> None:
        """Write a record, where a log line is due."""
        if run.is_log_step:
            self._write(run.train_record())

    def on_epoch(self, run: Run) -> None:
        """Write the averages over the epoch, unless its last batch did."""
        if not run.is_log_step:
            self._write(run.train_record())

    def on_eval(self, run: Run) -> None:
        """Write a record for each evaluation; what is not one number is in its "details"."""
        for record in run.eval_records():
            self._write(with_details(record, run.evaluation_details[record["kind"]]))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written was reported when it was
                self._file.close()

    def state_dict(self) -> Dict[str, Any]:
        """Return the length of the file in bytes."""
        return {"bytes": 0 if self._file is None else int(self._file.tell())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Note how much of the file to keep."""
        self._bytes = int(state["bytes"])

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json_text.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise MachineError(f"{self._file.name} cannot be written: {error.strerror}") from None
