"""VisualDL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ppcls.engine.callbacks.registry import CALLBACKS
from ppcls.engine.callbacks.trackers.base import Tracker, Values

if TYPE_CHECKING:
    from ppcls.engine.run import Run


@CALLBACKS.register
class VisualDL(Tracker):
    """Writes curves for VisualDL to ``vdl`` in the run's folder, as ``Global.use_visualdl: true`` does."""

    package: ClassVar[str] = "visualdl"

    def __init__(self) -> None:
        super().__init__()
        self._curves: Any = None

    def open(self, run: Run) -> None:
        """Open the log."""
        from visualdl import LogWriter  # imports for seconds; only where it is wanted

        self._curves = LogWriter(logdir=str(run.run_dir / "vdl"))

    def log(self, step: int, values: Values) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._curves.add_scalar(tag=name, step=step, value=value)

    def finish(self, done: bool) -> None:
        """Close the log."""
        self._curves.close()
