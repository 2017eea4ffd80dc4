"""TensorBoard."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from ppcls.config.show import to_yaml
from ppcls.engine.callbacks.registry import CALLBACKS
from ppcls.engine.callbacks.trackers.base import Tracker, Values
from ppcls.utils.paths import user_path

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_FLUSH_SECONDS = 30


@CALLBACKS.register
class TensorBoard(Tracker):
    """Writes curves and the recipe for TensorBoard.

    Args:
        log_dir: folder of the event files; null: ``tensorboard`` in the run's folder.
    """

    package: ClassVar[str] = "tensorboard"
    extra: ClassVar[Optional[str]] = "tensorboard"

    def __init__(self, log_dir: Optional[str] = None) -> None:
        super().__init__()
        self._log_dir = log_dir
        self._writer: Any = None

    def open(self, run: Run) -> None:
        """Open an event file. TensorBoard reads all files of a folder as one run."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.run_dir / "tensorboard" if self._log_dir is None else user_path(self._log_dir)
        self._writer = EventFileWriter(str(folder), flush_secs=_FLUSH_SECONDS)
        if run.state.step:  # TensorBoard drops what earlier files have from this step on: it is computed again
            start = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(step=run.state.step + 1, session_log=start))
        else:
            self._add_text("recipe", f"<pre>{escape(to_yaml(run.config))}</pre>")

    def log(self, step: int, values: Values) -> None:
        """Add a point to each curve."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(step=step, wall_time=time.time(), summary=Summary(value=points)))

    def finish(self, done: bool) -> None:
        """Close the file."""
        self._writer.close()

    def _add_text(self, name: str, text: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        value = Summary.Value(tag=name, metadata=metadata, tensor=tensor)
        self._writer.add_event(Event(step=0, wall_time=time.time(), summary=Summary(value=[value])))
