"""Several trainings that belong together: what each is, how it has ended, and the file that remembers it."""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from tqdm import tqdm

from ppcls.config.schema import Config
from ppcls.engine.checkpointing import checkpoint, finished, resume, run_dir
from ppcls.errors import PpclsError
from ppcls.tuning.devices import Slot
from ppcls.tuning.runner import Ended, Job, run_all
from ppcls.utils import atomic, json_text
from ppcls.utils.folders import ensure_writable
from ppcls.utils.locks import locked
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

PENDING, DONE, FAILED, INTERRUPTED = "pending", "done", "failed", "interrupted"
_SHOWN_SECONDS = 2.0  # between two looks at how far the trainings are
_POSITION = ("kind", "step", "epoch")  # keys of a record that are no values


@dataclass
class Trial:
    """One training.

    Attributes:
        name: of its folder.
        changes: of the recipe, by dotted key.
        state: ``PENDING``, ``DONE``, ``FAILED`` or ``INTERRUPTED``.
        seconds: of training, over all attempts.
        error: why it failed.
        result: what ``read_result`` returns; None unless it is done.
    """

    name: str
    changes: Dict[str, Any] = field(default_factory=dict)
    state: str = PENDING
    seconds: float = 0.0
    error: Optional[str] = None
    result: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class Plan:
    """A training to be done.

    Attributes:
        trial: how far it is.
        config: its recipe.
        folder: ``Global.output_dir`` of the recipe.
        arguments: of ``ppcls train``.
    """

    trial: Trial
    config: Config
    folder: Path
    arguments: Sequence[str]


def read_result(folder: Path) -> Dict[str, Any]:
    """Return what the training in a folder has led to, of several stages the last one.

    Returns:
        {"metric": by which the best model is chosen, "lower": whether lower values are better, "value" and "epoch" of
        the best evaluation, "metrics" of it, "last": metrics of the last evaluation, "epochs": trained, "curve":
        [[epoch, value], ...], "run": the folder}.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    run = run_dir.best_checkpoint(folder).parent
    states = checkpoint.read_states(run / "latest")
    best, history = states["best"], states["history"]
    # With EMA the averaged weights are what counts.
    kind = history[-1]["kind"] if history else "eval"
    records = {record["epoch"]: record for record in history if record["kind"] == kind}
    return {
        "metric": best["metric"],
        "lower": best["lower"],
        "value": best["value"],
        "epoch": best["epoch"],
        "metrics": _values(records.get(best["epoch"], {})),
        "last": _values(records[max(records)] if records else {}),
        "epochs": states["epoch"],
        "curve": [[epoch, record.get(best["metric"])] for epoch, record in sorted(records.items())],
        "run": str(run),
    }


def _values(record: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _POSITION}


def lock_folder(root: Path, option: str) -> AbstractContextManager[None]:
    """Keep other processes from running the same trainings.

    Raises:
        MachineError: another one does, or the folder cannot be written to.
    """
    ensure_writable(root, f"{option}: {root}", f"choose another folder with {option}")
    return locked(
        root / ".lock", f"{option} {root}", "works in this folder", f"wait for it, or choose another {option}"
    )


def restore(file: Path, trials: Sequence[Trial]) -> None:
    """Let trials continue from what the file of an earlier call says of those of the same name."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))["trials"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        get_logger().warning("%s: damaged; the folders of the runs tell how far they are", file)
        return
    known = {record["name"]: record for record in saved}
    for trial in trials:
        record = known.get(trial.name)
        if record is not None:
            trial.state, trial.seconds = record["state"], record["seconds"]
            trial.error, trial.result = record["error"], record["result"]


def write(file: Path, trials: Sequence[Trial], about: Mapping[str, Any]) -> None:
    """Write the file that ``restore`` reads.

    Args:
        about: what else it says.
    """
    values = {**about, "trials": [asdict(trial) for trial in trials]}
    atomic.write_text(file, json_text.dumps(values, indent=1, ensure_ascii=False) + "\n")


def run(plans: Sequence[Plan], root: Path, slots: Sequence[Slot], title: str, on_change: Callable[[], None]) -> None:
    """Train what is not finished. A training that fails does not stop the others.

    Args:
        root: the folder of all.
        on_change: called when a trial has changed.

    Raises:
        ConfigError: a folder holds a run by another recipe; nothing was trained.
        InterruptedRunError: asked to stop.
    """
    pending = [plan for plan in plans if _is_pending(plan)]
    finished = len(plans) - len(pending)
    if finished:
        get_logger().info("%d of %d are finished already", finished, len(plans))
    by_name = {plan.trial.name: plan for plan in pending}
    jobs = [Job(name, plan.arguments, root / "console" / f"{name}.txt") for name, plan in by_name.items()]
    shown = time.monotonic()
    with tqdm(total=len(plans), initial=finished, desc=title, leave=False, disable=None) as bar:

        def end(job: Job, ended: Ended) -> None:
            _note(by_name[job.name], ended)
            bar.update()
            on_change()

        def poll(running: Sequence[Job]) -> None:
            nonlocal shown
            if sys.stderr.isatty() and time.monotonic() - shown > _SHOWN_SECONDS:
                bar.set_postfix_str(", ".join(_position(by_name[job.name]) for job in running))
                shown = time.monotonic()

        on_change()
        run_all(jobs, slots, end, poll)


def _is_pending(plan: Plan) -> bool:
    """Return whether a trial has to be trained, for the first time or further.

    Raises:
        ConfigError: its folder holds a run by another recipe.
    """
    longer = False
    for recipe in list(plan.config.stages.values()) or [plan.config]:
        folder = user_path(recipe.run_dir)
        if not checkpoint.exists(folder / "latest"):
            return True
        states = checkpoint.read_states(folder / "latest")
        resume.require_same_run(recipe, states, folder)
        changed = (key for key, _, _ in resume.changes_since(states, recipe))
        longer = longer or any(key.startswith(finished.LENGTH_KEYS) for key in changed)
    return longer or plan.trial.state != DONE


def _note(plan: Plan, ended: Ended) -> None:
    """Note how a training has ended, and log it."""
    trial = plan.trial
    trial.seconds += ended.seconds
    trial.error, trial.result = ended.error, None
    if ended.was_interrupted:
        trial.state = INTERRUPTED
        return
    if ended.error is None:
        try:
            trial.result, trial.state = read_result(plan.folder), DONE
        except PpclsError as error:
            trial.error = str(error)
    if trial.result is None:
        trial.state = FAILED
        get_logger().error("%s failed: %s", trial.name, trial.error)
        return
    value = trial.result["value"]
    text = "no evaluation gave a finite value" if value is None else f"{trial.result['metric']} {value:.5f}"
    get_logger().info("%s: %s at epoch %d (%.0f s)", trial.name, text, trial.result["epoch"], ended.seconds)


def _position(plan: Plan) -> str:
    """Return how far a running trial is, "lr=0.1 epoch 3"."""
    try:
        folder = run_dir.best_checkpoint(plan.folder).parent
        return f"{plan.trial.name} epoch {checkpoint.position_of(folder / 'latest')[0]:g}"
    except PpclsError:
        return plan.trial.name


def done(trials: Sequence[Trial]) -> List[Trial]:
    """Return the trials that have come to an end and have a value."""
    return [trial for trial in trials if trial.result is not None and trial.result["value"] is not None]
