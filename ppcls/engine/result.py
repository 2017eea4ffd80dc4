"""What a training has led to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.run import Run
from ppcls.errors import CheckpointError


@dataclass(frozen=True)
class TrainResult:
    """What ``train`` returns.

    Attributes:
        best: the best evaluation, {"top1": ..., "epoch": ...}; without evaluation {"epoch": how many were trained}.
        metrics: all losses and metrics of that evaluation, by name.
        history: one record per evaluation, as in ``metrics.jsonl``.
        run_dir: the folder of the run.
        weights: prefix of the best checkpoint, else of the latest; None where the best one is not in this folder.
        stages: of a recipe with stages, the result of each by name, in their order; the other attributes are those of
            the last one.
        trained: False where the run was finished before, so that nothing was trained.
    """

    best: Dict[str, Any]
    metrics: Dict[str, float]
    history: List[Dict[str, Any]]
    run_dir: Path
    weights: Optional[Path]
    stages: Dict[str, TrainResult] = field(default_factory=dict)
    trained: bool = True

    @classmethod
    def of(cls, run: Run, trained: bool) -> TrainResult:
        """Return the result of a run whose training is done.

        Args:
            trained: the attribute.
        """
        state = run.state
        if state.best.value is None:
            latest = run.saver.prefix("latest")
            return cls({"epoch": state.epoch}, {}, state.history, run.run_dir, latest, trained=trained)
        best_model = run.saver.prefix("best_model")
        return cls(
            best={state.best.metric: state.best.value, "epoch": state.best.epoch},
            metrics=_metrics_of(state.history, state.best.epoch),
            history=state.history,
            run_dir=run.run_dir,
            weights=best_model if checkpoint.exists(best_model) else None,
            trained=trained,
        )

    @classmethod
    def of_folder(cls, folder: Path, best: Dict[str, Any]) -> TrainResult:
        """Return the result of a run that was finished before, from its folder.

        Args:
            best: its ``best``.
        """
        try:
            history = checkpoint.read_states(folder / "latest")["history"]
        except CheckpointError:  # only the weights may have been kept
            history = []
        names = [name for name in ("best_model", "latest") if checkpoint.exists(folder / name)]
        metrics = _metrics_of(history, best["epoch"])
        return cls(best, metrics, history, folder, folder / names[0] if names else None, trained=False)

    def summary(self) -> Dict[str, Any]:
        """Return ``best``; of a recipe with stages, that of each by its name."""
        return {name: result.best for name, result in self.stages.items()} or self.best


def _metrics_of(history: List[Dict[str, Any]], epoch: int) -> Dict[str, float]:
    """Return the values of an epoch's evaluation; with EMA those of the averaged weights, which come last."""
    records = [record for record in history if record["epoch"] == epoch]
    return {key: value for key, value in records[-1].items() if key not in ("kind", "step", "epoch")} if records else {}
