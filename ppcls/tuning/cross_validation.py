"""Cross-validation: as many trainings as there are folds, each evaluated on the fold that it has not seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ppcls.config.schema import Config
from ppcls.engine import checks
from ppcls.engine.checkpointing.run_dir import METRICS
from ppcls.errors import ConfigError, TrainingError
from ppcls.tuning import fold_files, trials
from ppcls.tuning.cross_validation_page import render_folds
from ppcls.tuning.devices import Slot
from ppcls.tuning.fold_files import Section
from ppcls.tuning.sweeps import Recipe
from ppcls.tuning.tables import summarize
from ppcls.tuning.trials import Plan, Trial
from ppcls.utils import atomic
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

FILE, PAGE = "cross_validation.json", "cross_validation.html"


@dataclass(frozen=True)
class Pooled:
    """The answers of all folds together: each image is predicted once, by the model that has not seen it.

    Attributes:
        classes: names, or ids where there are none.
        matrix: [K, K], rows by label, columns by prediction.
    """

    classes: Sequence[Any]
    matrix: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of images whose class is predicted."""
        return float(np.trace(self.matrix) / max(1, self.matrix.sum()))


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation has led to.

    Attributes:
        name: of the recipe.
        root: the folder of all.
        trials: one for each fold.
        sizes: how many images each fold has.
        pooled: None until a fold is done, and where there is no confusion matrix.
    """

    name: str
    root: Path
    trials: Sequence[Trial]
    sizes: Sequence[int]
    pooled: Optional[Pooled]

    @property
    def done(self) -> List[Trial]:
        """The folds that have a result."""
        return trials.done(self.trials)

    @property
    def metric(self) -> str:
        """The metric by which the best epoch of a fold is chosen."""
        return str(self.done[0].result["metric"]) if self.done else "value"  # type: ignore[index]

    def summary(self, kind: str) -> Dict[str, Dict[str, Optional[float]]]:
        """Return mean and deviation of each value over the folds.

        Args:
            kind: "metrics" for the best epoch of each fold, "last" for its last one.
        """
        records: List[Mapping[str, Any]] = [trial.result[kind] for trial in self.done if trial.result is not None]
        return summarize(records) if records else {}

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "recipe": self.name,
            "folds": len(self.trials),
            "finished": len(self.done),
            "images": sum(self.sizes),
            "metric": self.metric,
            "best_epochs": self.summary("metrics"),
            "last_epochs": self.summary("last"),
            "pooled": None if self.pooled is None else {"accuracy": self.pooled.accuracy},
        }

    def matrix_to_json(self) -> Dict[str, Any]:
        """Return the pooled confusion matrix as JSON values."""
        if self.pooled is None:
            return {}
        return {"confusion_matrix": {"classes": list(self.pooled.classes), "matrix": self.pooled.matrix.tolist()}}


def cross_validate(
    recipe: Recipe, section: Optional[Section], count: int, seed: int, root: Path, slots: Sequence[Slot]
) -> CrossValidation:
    """Train all folds that are not finished.

    ``cross_validation.json`` and ``cross_validation.html`` in the folder are written anew after each training.

    Args:
        section: the ``dataset`` section of the images to divide; None for that of ``DataLoader.Train``.
        count: the number of folds.
        seed: of the folds.
        root: the folder of all.
        slots: where trainings run at the same time.

    Raises:
        ConfigError: the recipe has mistakes, or the folder holds other folds or runs by another recipe.
        DataError: the data are wrong, or do not suffice.
        InterruptedRunError: asked to stop.
        TrainingError: a fold failed; the others are finished.
    """
    if count < 2:
        raise ConfigError(f"-k {count}: at least two folds are needed")
    config = recipe.load()
    _require_sides(config)
    assert config.DataLoader.Train is not None
    section = config.DataLoader.Train.dataset.model_dump() if section is None else section
    dataset = fold_files.open_samples(section)
    with trials.lock_folder(root, "--output"):
        sizes = fold_files.write_lists(dataset, section, root, count, seed)
        plans = []
        for fold in range(count):
            changes = [*recipe.changes, *fold_files.fold_changes(config, dataset, section, root, fold).items()]
            plans.append(_plan(recipe, fold_files.write_recipe(recipe.name, changes, root, fold), root, fold))
        members = [plan.trial for plan in plans]

        def result() -> CrossValidation:
            return CrossValidation(recipe.name, root, members, sizes, _pool(members))

        def save() -> None:
            current = result()
            trials.write(root / FILE, members, {**current.to_json(), **current.matrix_to_json()})
            atomic.write_text(root / PAGE, render_folds(current))

        trials.restore(root / FILE, members)
        trials.run(plans, root, slots, "folds", save)
    failed = [trial for trial in members if trial.error is not None]
    if failed:
        raise TrainingError(f"{len(failed)} of {count} folds failed: {failed[0].name}: {failed[0].error}")
    return result()


def _require_sides(config: Config) -> None:
    """Refuse a recipe by which folds cannot be trained and evaluated.

    Raises:
        ConfigError: a side of ``DataLoader`` is missing, or nothing is evaluated.
    """
    for name in ("Train", "Eval"):
        checks.require_split(config, name)
    for part in list(config.stages.values()) or [config]:
        checks.require_trainable(part)
    last = list(config.stages.values())[-1] if config.Stages else config
    if not last.Global.eval_during_train:
        raise ConfigError("Global.eval_during_train: false: cross-validation needs evaluations; set it to true")


def _plan(recipe: Recipe, config: Config, root: Path, fold: int) -> Plan:
    imports = [word for target in recipe.imports for word in ("--import", target)]
    arguments = ["-c", str(fold_files.recipe_file(root, fold)), *imports]
    return Plan(Trial(fold_files.fold_name(fold)), config, user_path(config.Global.output_dir), arguments)


def _pool(members: Sequence[Trial]) -> Optional[Pooled]:
    """Return the sum of the confusion matrices of the best epochs; None where there are none."""
    total: Optional[Pooled] = None
    for trial in trials.done(members):
        found = _matrix_of(trial)
        if found is None:
            return None
        classes, matrix = found["classes"], np.array(found["matrix"], np.int64)
        total = Pooled(classes, matrix if total is None else total.matrix + matrix)
    return total


def _matrix_of(trial: Trial) -> Optional[Dict[str, Any]]:
    """Return the confusion matrix of a fold's best epoch, as ``metrics.jsonl`` has it."""
    assert trial.result is not None
    file = Path(trial.result["run"]) / METRICS
    found = None
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if record["kind"] != "train" and record["epoch"] == trial.result["epoch"]:
                    found = record.get("details", {}).get(fold_files.MATRIX)  # with EMA, the average's comes last
    except (OSError, ValueError, KeyError) as error:
        get_logger().warning("%s: no confusion matrix of this fold: %s", file, error)
        return None
    return found
