"""Early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from ppcls.config.global_section import EarlyStoppingSection
from ppcls.engine.callbacks.base import Callback
from ppcls.engine.state import Best

if TYPE_CHECKING:
    from ppcls.engine.run import Run


class EarlyStopping(Callback):
    """Ends the run when the metric that chooses the best model has not improved for a number of evaluations.

    It has no state of its own: what it needs follows from the history of evaluations, which a checkpoint has.

    Args:
        settings: ``Global.early_stopping``.
    """

    def __init__(self, settings: EarlyStoppingSection) -> None:
        self._settings = settings

    def on_train_begin(self, run: Run) -> None:
        """Look whether the run that is resumed had ended."""
        self.on_eval(run)

    def on_eval(self, run: Run) -> None:
        """Ask the run to end, if it is time."""
        state, settings = run.state, self._settings
        kind = "eval_ema" if state.ema is not None else "eval"
        waited = evaluations_without_improvement(state.history, kind, state.best, settings.min_delta)
        if waited >= settings.patience:
            run.stop(
                f"early stopping after epoch {run.last_evaluated_epoch}: {state.best.metric} has not improved by more "
                f"than {settings.min_delta:g} in {waited} evaluations (Global.early_stopping)"
            )


def evaluations_without_improvement(
    history: Sequence[Mapping[str, Any]], kind: str, best: Best, min_delta: float
) -> int:
    """Return how many evaluations there were since the last one that improved by more than ``min_delta``.

    Args:
        history: the records of all evaluations, in their order.
        kind: of the records that count: "eval", or "eval_ema" for averaged weights.
        best: names the metric, and says whether lower values are better.
    """
    waited = 0
    mark: Optional[float] = None  # the value that the next improvement is measured from
    for record in history:
        if record["kind"] != kind or best.metric not in record:
            continue
        value = record[best.metric]  # None where it was no number
        if value is not None and (mark is None or best.gain(value, mark) > min_delta):
            waited, mark = 0, value
        else:
            waited += 1
    return waited
