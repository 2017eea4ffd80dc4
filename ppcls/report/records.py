"""What a run has written down while it trained: metrics, speed, and the answers for each image."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from ppcls.engine.checkpointing.run_dir import METRICS
from ppcls.engine.predictions import Predictions
from ppcls.errors import MachineError
from ppcls.report.files import replacing, write_text
from ppcls.utils import json_text

SPEED = "speed.jsonl"
PREDICTIONS = "predictions.npz"
_ARRAYS = ("indices", "labels", "predicted", "classes", "scores", "label_scores")
_FORMAT = 1


@dataclass
class Records:
    """The lines of one training: of a run, or of one of its stages.

    Attributes:
        name: of the stage; "" for a run without stages.
        train: records of training, as in ``metrics.jsonl``.
        evaluations: those of evaluations, by kind: "eval", and "eval_ema" of averaged weights.
        speed: records of ``speed.jsonl``, one per epoch.
        machine: where it trained, as far as that was written down.
        problems: what of it could not be read.
    """

    name: str = ""
    train: List[Dict[str, Any]] = field(default_factory=list)
    evaluations: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    speed: List[Dict[str, Any]] = field(default_factory=list)
    machine: Dict[str, Any] = field(default_factory=dict)
    problems: List[str] = field(default_factory=list)

    @property
    def deciding(self) -> List[Dict[str, Any]]:
        """The evaluations that choose the best model: those of averaged weights where there are any."""
        return self.evaluations.get("eval_ema") or self.evaluations.get("eval") or []

    @property
    def epochs(self) -> int:
        """How many epochs the records cover."""
        records = [*self.train, *self.deciding]
        return max((int(record["epoch"]) for record in records), default=0)

    @property
    def steps_per_epoch(self) -> float:
        """How many updates an epoch has; at least 1."""
        known = [record["step"] / record["epoch"] for record in self.deciding if record["epoch"]]
        known = known or [record["step"] / record["epoch"] for record in self.train if record["epoch"]]
        return max(1.0, max(known, default=1.0))


def read_records(folder: Path, name: str = "") -> Records:
    """Return what a training has written down in its folder; what is missing or damaged is in ``problems``."""
    records = Records(name)
    lines, problems = _read_lines(folder / METRICS)
    records.problems += problems
    for line in lines:
        if not {"kind", "step", "epoch"} <= set(line):
            continue
        if line["kind"] == "train":
            records.train.append(line)
        else:
            records.evaluations.setdefault(str(line["kind"]), []).append(line)
    lines, problems = _read_lines(folder / SPEED)
    records.problems += problems if (folder / SPEED).exists() else []
    records.speed = [line for line in lines if line.get("kind") == "epoch"]
    records.machine = next((line for line in reversed(lines) if line.get("kind") == "machine"), {})
    return records


def _read_lines(path: Path) -> Tuple[List[Dict[str, Any]], List[str]]:
    """Return the objects of a file with one JSON object per line, and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return [], [f"{path}: {error.strerror}"]
    values, damaged = [], 0
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            damaged += 1
            continue
        if isinstance(value, dict):
            values.append(value)
    return values, [f"{path}: {damaged} damaged lines are left out"] if damaged else []


class SpeedFile:
    """``speed.jsonl``: speed and memory of each epoch, and the machine; kept apart, as these differ between equal runs.

    Args:
        folder: of the run.
        epochs: how many epochs are done: later ones that the file has will be trained again.
        machine: where this process trains.

    Raises:
        MachineError: it cannot be written.
    """

    def __init__(self, folder: Path, epochs: int, machine: Mapping[str, Any]) -> None:
        self._path = folder / SPEED
        lines, _ = _read_lines(self._path)
        kept = [line for line in lines if line.get("kind") != "epoch" or line.get("epoch", 0) <= epochs]
        if not epochs:
            kept = []
        kept.append({"kind": "machine", **machine})
        write_text(self._path, "".join(json_text.dumps(line) + "\n" for line in kept))

    def add(self, record: Mapping[str, Any]) -> None:
        """Append the record of an epoch.

        Raises:
            MachineError: it cannot be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json_text.dumps({"kind": "epoch", **record}) + "\n")
        except OSError as error:
            raise MachineError(f"{self._path} cannot be written: {error.strerror}") from None


def save_predictions(folder: Path, epoch: int, predictions: Mapping[str, Predictions]) -> None:
    """Keep the answers of the best evaluation so far beside the best weights.

    Args:
        predictions: by kind of weights, "eval" and "eval_ema".

    Raises:
        MachineError: they cannot be written.
    """
    arrays: Dict[str, Any] = {"format": np.array(_FORMAT), "epoch": np.array(epoch)}
    for kind, one in predictions.items():
        arrays[f"{kind}.images"] = np.array(one.images)
        arrays.update({f"{kind}.{name}": getattr(one, name) for name in _ARRAYS})
    with replacing(folder / PREDICTIONS) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_predictions(folder: Path) -> Tuple[int, Dict[str, Predictions]]:
    """Return the epoch of the answers that ``save_predictions`` kept, and these; (0, {}) where there are none.

    Raises:
        MachineError: the file is damaged.
    """
    path = folder / PREDICTIONS
    if not path.is_file():
        return 0, {}
    try:
        with np.load(path, allow_pickle=False) as file:
            kinds = _kinds(file.files)
            found = {
                kind: Predictions(
                    **{name: file[f"{kind}.{name}"] for name in _ARRAYS}, images=int(file[f"{kind}.images"])
                )
                for kind in kinds
            }
            return int(file["epoch"]), found
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise MachineError(f"{path} is damaged: {error}") from None


def _kinds(names: Iterable[str]) -> List[str]:
    return sorted({name.partition(".")[0] for name in names if "." in name})


def best_record(records: Records, epoch: int) -> Optional[Dict[str, Any]]:
    """Return the evaluation of an epoch that chooses the best model; None where there is none."""
    found = [record for record in records.deciding if record["epoch"] == epoch]
    return found[-1] if found else None
