"""Checkpoints written beside training."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, Type

from ppcls.config.schema import Config
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.checkpointing.run_dir import METRICS
from ppcls.engine.state import TrainState
from ppcls.errors import CheckpointError
from ppcls.utils import atomic, distributed
from ppcls.utils.logging import NOT_ON_TERMINAL, get_logger


class BackgroundWriter:
    """Runs a job in the background; its error is raised by the next call of ``check``, ``wait`` or ``start``.

    A job works on copies, calls nothing of Paddle and holds no lock that data workers use: they are forked at any
    moment, and have no such thread. One job at a time bounds the memory that those copies take.
    """

    def __init__(self) -> None:
        self._thread: Optional[threading.Thread] = None
        self._error: Optional[BaseException] = None

    @property
    def busy(self) -> bool:
        """Return whether a job is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Callable[[], None]) -> None:
        """Run ``job`` in the background, after the one before it."""
        self.wait()
        # A daemon: a second Ctrl-C does not wait for a disk. What is cut off was not committed, and the old set stays.
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint-writer", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Return whether a job has failed, and its error was not raised yet."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error of a job that failed, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Wait for the job, if one is running; raise its error."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001  raised in the main thread
            self._error = error


class Saver:
    """Writes ``latest``, ``best_model`` and ``epoch_N`` into the run's folder. A context manager.

    Training stops only for a copy of the state; the copy is written in the background. There is one copy at a time: a
    save inside an epoch is put off until the one before it is written, any other waits for that.

    Of several processes the first one writes; all but ``prefix``, ``poll``,
    ``asks_for_others`` and ``resume_command`` are collectives.

    Args:
        folder: the run's output folder.
        config: the recipe, kept in every checkpoint.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self._writer = BackgroundWriter()
        self._written: queue.SimpleQueue[Path] = queue.SimpleQueue()  # not yet said in the log
        self._saved_at = time.monotonic()
        self._saved_step = 0

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], *_: object) -> None:
        if kind is None:
            self.wait()
        elif not issubclass(kind, Exception):
            return  # an interrupt that asks for more haste does not wait
        elif distributed.is_on_all_ranks(error):  # all wait: the launcher kills the others as soon as one has ended
            self._wait_and_log(self.wait)
        else:
            self._wait_and_log(self._writer.wait)

    def prefix(self, name: str) -> Path:
        """Return the prefix of the checkpoint called ``name``."""
        return self.folder / name

    def wait(self) -> None:
        """Return when everything is on the disk.

        Raises:
            CheckpointError: it could not be written.
        """
        distributed.wait_until(lambda: not self._writer.busy)
        with distributed.errors_on_all_ranks():
            self._writer.wait()
        self._log_written()

    def save_latest(self, state: TrainState, callbacks: Dict[str, Any]) -> Path:
        """Write ``latest``; return its prefix when it is on the disk."""
        self.save(state, callbacks)
        self.wait()
        return self.prefix("latest")

    def asks_for_others(self, step: int) -> bool:
        """Return whether ``poll`` would have something to say in this process."""
        self._log_written()
        return self._writer.failed or (distributed.is_main() and self._is_due(step) and not self._writer.busy)

    def poll(self, step: int) -> Tuple[Optional[CheckpointError], bool]:
        """Return what went wrong with writing, and whether ``latest`` is to be written now, for all to agree on.

        ``Global.save_every_minutes`` and ``save_every_steps`` say when.
        """
        self._log_written()
        try:
            self._writer.check()
        except CheckpointError as error:
            return error, False
        return None, distributed.is_main() and self._is_due(step) and not self._writer.busy

    def save_epoch(self, state: TrainState, callbacks: Dict[str, Any]) -> None:
        """Write what the end of an epoch calls for; the weights go to disk once."""
        self.save(state, callbacks, then=self._epoch_job(state))

    def finish_epoch(self, state: TrainState) -> None:
        """Make ``best_model`` and ``epoch_N`` of a ``latest`` that holds the end of an epoch.

        A run that was killed between the two does it when it is resumed.
        """
        distributed.run_on_main(self._epoch_job(state))
        self._log_written()

    def resume_hint(self) -> str:
        """Return the end of a message about a run that stopped by itself."""
        self._wait_and_log(self.wait)
        latest = self.prefix("latest")
        return f"; resume before it with {self.resume_command(latest)}" if checkpoint.exists(latest) else ""

    def resume_command(self, prefix: Path) -> str:
        """Return how to continue from ``prefix``."""
        return checkpoint.resume_command(self.config.Global.checkpoints, prefix)

    def _is_due(self, step: int) -> bool:
        minutes, steps = self.config.Global.save_every_minutes, self.config.Global.save_every_steps
        by_time = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        return by_time or (steps is not None and step // steps > self._saved_step // steps)

    def save(self, state: TrainState, callbacks: Dict[str, Any], then: Callable[[], None] = lambda: None) -> None:
        """Copy the state, and start to write ``latest``; ``then`` is done when that is on the disk."""
        self.wait()  # its copy takes as much memory as this one will
        self._saved_at, self._saved_step = time.monotonic(), state.step
        if not distributed.is_main():
            return
        copied = checkpoint.snapshot(state, self.config, callbacks=callbacks)

        def job() -> None:
            # What the position refers to must survive a power cut too.
            if (self.folder / METRICS).exists():
                atomic.fsync(self.folder / METRICS)
            checkpoint.write(copied, self.prefix("latest"))
            self._written.put(self.prefix("latest"))
            then()

        self._writer.start(job)

    def _epoch_job(self, state: TrainState) -> Callable[[], None]:
        latest, settings = self.prefix("latest"), self.config.Global
        epoch, is_best = state.epoch, state.best.epoch == state.epoch

        def job() -> None:
            if is_best:
                checkpoint.link_checkpoint(latest, self.prefix("best_model"))
                self._written.put(self.prefix("best_model"))
            if settings.save_interval > 0 and epoch % settings.save_interval == 0:
                checkpoint.link_checkpoint(latest, self.prefix(f"epoch_{epoch}"))
                self._written.put(self.prefix(f"epoch_{epoch}"))
                checkpoint.remove_old(self.folder, settings.keep_checkpoints)

        return job

    def _log_written(self) -> None:
        """Say what has been written; in the main thread, since data workers are forked while the writer runs."""
        while not self._written.empty():
            get_logger().info("Already save model in %s", self._written.get(), extra=NOT_ON_TERMINAL)

    @staticmethod
    def _wait_and_log(wait: Callable[[], None]) -> None:
        """Wait, where another error is on its way to the user that must not be hidden by the writer's."""
        try:
            wait()
        except CheckpointError as error:
            get_logger().error("%s", error)
