"""When the training loop saves: when a timer or a signal asks for it, at the end of an epoch, and after an error."""

from __future__ import annotations

from typing import Optional

from ppcls.engine.finiteness import require_finite_losses, require_finite_weights
from ppcls.engine.run import Run
from ppcls.engine.signals import InterruptedRunError
from ppcls.errors import CheckpointError, PpclsError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger


def save_if_due(run: Run) -> None:
    """Save ``latest`` if it is time to; save and raise if any process was asked to stop; a collective.

    Raises:
        InterruptedRunError: asked to stop; the run was saved.
        CallbackError: a callback failed; the run was saved.
        CheckpointError: an earlier checkpoint could not be written.
    """
    writing_error, is_due = run.saver.poll(run.state.step)
    callback_error = run.callbacks.take_error()
    signal, due, failed = distributed.sync_errors(
        writing_error, run.signals.signal or 0, int(is_due), int(callback_error is not None)
    )
    position = f"epoch {run.epoch_number} after batch {run.state.batch}/{run.num_batches}"
    if failed:
        _raise_after_saving(run, callback_error, position)
    elif signal:
        command = _save_and_wait(run)
        run.signals.signal = signal
        raise InterruptedRunError(f"stopped in {position}; continue with: {command}", run.signals.exit_code)
    elif due:
        _prepare(run)
        run.saver.save(run.state, run.callbacks.state_dict())


def asks_for_others(run: Run) -> bool:
    """Return whether this process has something to say after the step in progress: to ``save_if_due``, or an error."""
    lacks_batch = run.batches is not None and run.batches.failed
    stops = run.signals.signal is not None or run.callbacks.failed
    return lacks_batch or stops or run.saver.asks_for_others(run.state.step + 1)


def save_epoch(run: Run) -> None:
    """Write what the end of an epoch calls for; a collective.

    Raises:
        CallbackError: a callback failed; the run was saved.
    """
    run.callbacks.on_save(run)
    run.saver.save_epoch(run.state, run.callbacks.state_dict())
    error = run.callbacks.take_error()
    if distributed.sync_errors(None, int(error is not None))[0]:
        run.saver.wait()
        command = run.saver.resume_command(run.saver.prefix("latest"))
        _raise_on_all_ranks(error, f"after epoch {run.state.epoch}", command)


def save_for_repair(run: Run) -> str:
    """Save the run that broken data ended, where that can be done; return the end of the message; a collective."""
    if not run.state.step or not run.is_update_step:
        return run.saver.resume_hint()
    return f"\nThe run up to there is saved: repair the data and continue with {_save_and_wait(run)}"


def _prepare(run: Run) -> None:
    """Bring the state up to date for a checkpoint inside an epoch; a collective."""
    require_finite_losses(run)
    require_finite_weights(run)
    run.state.epoch_averages = run.averages.state_dict()
    run.callbacks.on_save(run)


def _save_and_wait(run: Run) -> str:
    """Write ``latest``; return, when it is on the disk, how to continue from it; a collective."""
    _prepare(run)
    return run.saver.resume_command(run.saver.save_latest(run.state, run.callbacks.state_dict()))


def _raise_after_saving(run: Run, error: Optional[PpclsError], position: str) -> None:
    """Save the run that a callback of any process ended, and raise the error in all of them; a collective."""
    try:
        command: Optional[str] = _save_and_wait(run)
    except CheckpointError as failure:  # the callback's error is the first thing to know
        get_logger().error("%s", failure)
        command = None
    _raise_on_all_ranks(error, f"in {position}", command)


def _raise_on_all_ranks(error: Optional[PpclsError], position: str, command: Optional[str]) -> None:
    """Raise the error of the process that has one in all of them, and say how to continue; a collective.

    Args:
        command: continues the run; None where it could not be saved.
    """
    if error is not None and command is not None:
        complete = type(error)(f"{error}\nThe run is saved, {position}; continue with: {command}")
        complete.__cause__ = error.__cause__
        error = complete
    distributed.sync_errors(error)
