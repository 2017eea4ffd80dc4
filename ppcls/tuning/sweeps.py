"""Trainings of one recipe with different values, and which is the best."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ppcls.config.schema import Config
from ppcls.engine import checks, load_config
from ppcls.errors import ConfigError, TrainingError
from ppcls.tuning import grid, trials
from ppcls.tuning.devices import Slot
from ppcls.tuning.grid import Point
from ppcls.tuning.sweep_page import render_sweep
from ppcls.tuning.tables import mean_and_deviation
from ppcls.tuning.trials import Plan, Trial
from ppcls.utils import atomic
from ppcls.utils.paths import user_path

FILE, PAGE = "sweep.json", "sweep.html"
_SEED = "Global.seed"


@dataclass(frozen=True)
class Recipe:
    """What is trained again and again.

    Attributes:
        name: the recipe's file or name.
        changes: of the recipe, for all trainings.
        imports: files or modules of the user's components.
    """

    name: str
    changes: Sequence[str] = ()
    imports: Sequence[str] = ()

    def load(self, changes: Sequence[Any] = ()) -> Config:
        """Return the recipe, with further changes.

        Raises:
            ConfigError: every mistake in it.
        """
        return load_config(self.name, [*self.changes, *changes])

    def arguments(self, changes: Sequence[str] = ()) -> List[str]:
        """Return the arguments of ``ppcls train``."""
        imports = [word for target in self.imports for word in ("--import", target)]
        every = [*self.changes, *changes]
        return ["-c", self.name, *imports, *(["-o", *every] if every else [])]


@dataclass(frozen=True)
class Ranked:
    """A point, which several runs with different seeds may have.

    Attributes:
        point: values by dotted key, without the seed where there are others.
        mean: of the best evaluations of its runs.
        deviation: of these; None for one run.
        members: its runs that are done.
    """

    point: Point
    mean: float
    deviation: Optional[float]
    members: Sequence[Trial]

    @property
    def best_run(self) -> Trial:
        """The best of its runs."""
        return min(self.members, key=_order)


@dataclass(frozen=True)
class Sweep:
    """What a sweep has led to.

    Attributes:
        recipe: what was trained.
        root: the folder of all.
        axes: the keys that were changed.
        trials: one for each point and seed.
        ranking: the points with a result, the best first.
    """

    recipe: Recipe
    root: Path
    axes: Sequence[str]
    trials: Sequence[Trial]
    ranking: Sequence[Ranked]

    @property
    def metric(self) -> str:
        """The metric that ranks points."""
        return str(self.ranking[0].members[0].result["metric"]) if self.ranking else "value"  # type: ignore[index]

    def command(self, point: Point) -> str:
        """Return the command that trains one point in the recipe's own folder."""
        return shlex.join(["ppcls", "train", *self.recipe.arguments(grid.as_changes(point))])

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "recipe": self.recipe.name,
            "changes": list(self.recipe.changes),
            "metric": self.metric,
            "best": None if not self.ranking else self._described(self.ranking[0]),
            "points": [self._described(ranked) for ranked in self.ranking],
            "unfinished": [
                {"changes": trial.changes, "state": trial.state, "error": trial.error}
                for trial in self.trials
                if trial.state != trials.DONE
            ],
        }

    def _described(self, ranked: Ranked) -> Dict[str, Any]:
        return {
            "changes": ranked.point,
            "value": ranked.mean,
            "deviation": ranked.deviation,
            "runs": [trial.result["run"] for trial in ranked.members if trial.result is not None],
            "command": self.command(ranked.point),
        }


def sweep(recipe: Recipe, points: Sequence[Point], root: Path, slots: Sequence[Slot]) -> Sweep:
    """Train all points that are not finished, and rank them.

    ``sweep.json`` and ``sweep.html`` in the folder are written anew after each training.

    Args:
        root: the folder of all; each point has a folder in it.
        slots: where trainings run at the same time.

    Raises:
        ConfigError: a point has mistakes, or the folder holds runs by another recipe; nothing was trained.
        InterruptedRunError: asked to stop.
        TrainingError: all points failed.
    """
    plans = [_plan(recipe, point, root) for point in points]
    _require_comparable([plan.config for plan in plans])
    axes, members = list(points[0]), [plan.trial for plan in plans]

    def result() -> Sweep:
        return Sweep(recipe, root, axes, members, rank(members))

    def save() -> None:
        current = result()
        trials.write(root / FILE, members, current.to_json())
        atomic.write_text(root / PAGE, render_sweep(current))

    with trials.lock_folder(root, "--output"):
        trials.restore(root / FILE, members)
        trials.run(plans, root, slots, "sweep", save)
    finished = result()
    if not finished.ranking:
        raise TrainingError(f"none of the {len(members)} trainings has a result; the first: {members[0].error}")
    return finished


def rank(members: Sequence[Trial]) -> List[Ranked]:
    """Return the points that have results, the best first; runs that differ in their seed alone are one point."""
    groups: Dict[str, List[Trial]] = {}
    for trial in trials.done(members):
        groups.setdefault(str(grid.as_changes(_without_seed(trial.changes))), []).append(trial)
    ranking = []
    for group in groups.values():
        mean, deviation = mean_and_deviation([trial.result["value"] for trial in group if trial.result is not None])
        ranking.append(Ranked(_without_seed(group[0].changes), mean, deviation, group))
    return sorted(ranking, key=lambda ranked: ranked.mean * _sign(ranked.members[0]))


def _order(trial: Trial) -> float:
    """Return a number that is lower for a better run."""
    assert trial.result is not None
    return float(trial.result["value"]) * _sign(trial)


def _sign(trial: Trial) -> int:
    return 1 if trial.result is not None and trial.result["lower"] else -1


def _without_seed(point: Mapping[str, Any]) -> Point:
    rest = {key: value for key, value in point.items() if key != _SEED}
    return rest or dict(point)


def _plan(recipe: Recipe, point: Point, root: Path) -> Plan:
    name = grid.point_name(point)
    folder = root / name
    changes = [*grid.as_changes(point), f"Global.output_dir={grid.show(str(folder))}", "Global.checkpoints=auto"]
    config = recipe.load(changes)
    for part in list(config.stages.values()) or [config]:
        checks.require_trainable(part)
    return Plan(Trial(name, dict(point)), config, user_path(folder), recipe.arguments(changes))


def _require_comparable(configs: Sequence[Config]) -> None:
    """Refuse trainings that no number compares.

    Raises:
        ConfigError: nothing is evaluated, or the best model is chosen by different metrics.
    """
    last = [list(config.stages.values())[-1] if config.Stages else config for config in configs]
    if not all(config.Global.eval_during_train for config in last):
        raise ConfigError("Global.eval_during_train: false: a sweep compares evaluations; set it to true")
    metrics = {repr(config.Global.best_metric or next(iter(config.Metric.Eval or []), None)) for config in last}
    if len(metrics) > 1:
        raise ConfigError(f"points are compared by one metric, and these choose their best model by {len(metrics)}")
