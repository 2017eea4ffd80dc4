"""When checkpoints are written, and the account of images that were skipped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional, Tuple, Type

from ppcls.config.schema import Config
from ppcls.data.loader import Batch
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.checkpointing.writer import Writer
from ppcls.engine.metrics_log import METRICS
from ppcls.engine.state import TrainState
from ppcls.errors import CheckpointError
from ppcls.utils import atomic, distributed
from ppcls.utils.logging import get_logger


class Saver:
    """Writes ``latest``, ``best_model`` and ``epoch_N`` into the run's folder. A context manager.

    Training stops only for a copy of the state; the copy is written in the background. There is one copy at a time: a
    save inside an epoch is put off until the one before it is written, any other waits for that.

    Of several processes the first one writes; all but ``prefix``, ``poll`` and ``continuation`` are collectives.

    Args:
        folder: the run's output folder.
        config: the recipe, kept in every checkpoint.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self._writer = Writer()
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

    def save_latest(self, state: TrainState, journal_bytes: int) -> Path:
        """Write ``latest``; return its prefix when it is on the disk."""
        self._save(state, journal_bytes)
        self.wait()
        return self.prefix("latest")

    def poll(self, step: int) -> Tuple[Optional[CheckpointError], bool]:
        """Return what went wrong with writing, and whether ``latest`` is to be written now, for all to agree on.

        ``Global.save_every_minutes`` and ``save_every_steps`` say when.
        """
        try:
            self._writer.check()
        except CheckpointError as error:
            return error, False
        return None, distributed.is_main() and self._is_due(step) and not self._writer.busy

    def save(self, state: TrainState, journal_bytes: int) -> None:
        """Write ``latest`` beside training."""
        self._save(state, journal_bytes)

    def save_epoch(self, state: TrainState, journal_bytes: int) -> None:
        """Write what the end of an epoch calls for; the weights go to disk once."""
        self._save(state, journal_bytes, then=self._epoch_job(state))

    def finish_epoch(self, state: TrainState) -> None:
        """Make ``best_model`` and ``epoch_N`` of a ``latest`` that holds the end of an epoch.

        A run that was killed between the two does it when it is resumed.
        """
        distributed.run_on_main(self._epoch_job(state))

    def resume_hint(self) -> str:
        """Return the end of a message about a run that stopped by itself."""
        self._wait_and_log(self.wait)
        latest = self.prefix("latest")
        return f"; resume before it with {self.continuation(latest)}" if checkpoint.exists(latest) else ""

    def continuation(self, prefix: Path) -> str:
        """Return how to continue from ``prefix``."""
        return checkpoint.continuation(self.config.Global.checkpoints, prefix)

    def _is_due(self, step: int) -> bool:
        minutes, steps = self.config.Global.save_every_minutes, self.config.Global.save_every_steps
        by_time = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        return by_time or (steps is not None and step // steps > self._saved_step // steps)

    def _save(self, state: TrainState, journal_bytes: int, then: Callable[[], None] = lambda: None) -> None:
        """Copy the state, and start to write ``latest``; ``then`` is done when that is on the disk."""
        self.wait()  # its copy takes as much memory as this one will
        self._saved_at, self._saved_step = time.monotonic(), state.step
        if not distributed.is_main():
            return
        copied = checkpoint.snapshot(state, self.config, journal_bytes=journal_bytes)

        def job() -> None:
            # What the position refers to must survive a power cut too.
            if (self.folder / METRICS).exists():
                atomic.fsync(self.folder / METRICS)
            checkpoint.write(copied, self.prefix("latest"))
            then()

        self._writer.start(job)

    def _epoch_job(self, state: TrainState) -> Callable[[], None]:
        latest, settings = self.prefix("latest"), self.config.Global
        epoch, is_best = state.epoch, state.best.epoch == state.epoch

        def job() -> None:
            if is_best:
                checkpoint.alias(latest, self.prefix("best_model"))
            if settings.save_interval and epoch % settings.save_interval == 0:
                checkpoint.alias(latest, self.prefix(f"epoch_{epoch}"))
                checkpoint.remove_old(self.folder, settings.keep_checkpoints)

        return job

    @staticmethod
    def _wait_and_log(wait: Callable[[], None]) -> None:
        """Wait, where another error is on its way to the user that must not be hidden by the writer's."""
        try:
            wait()
        except CheckpointError as error:
            get_logger().error("%s", error)


class SkippedImages:
    """The images that ``on_error: skip`` replaced: listed in ``skipped_images.txt`` at once, counted in the log.

    A resumed run continues the list.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "skipped_images.txt"
        self._known = set(self.file.read_text(encoding="utf-8").splitlines()) if self.file.exists() else set()
        self._reported = len(self._known)

    def note(self, messages: Iterable[str]) -> None:
        """List what was replaced in a batch of all processes, each image once."""
        new = [message for message in dict.fromkeys(messages) if message not in self._known]
        self._known.update(new)
        if new and distributed.is_main():
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(message + "\n" for message in new)

    def report(self, epoch: int) -> None:
        """Say how many there are, when there are more than before."""
        if len(self._known) == self._reported:
            return
        self._reported = len(self._known)
        get_logger().warning(
            "epoch %d: %d unreadable images so far were replaced by the next good one; see %s",
            *(epoch, len(self._known), self.file),
        )


class DataTimer:
    """Measures how long the training loop waits for each batch."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, with ``seconds`` set to the wait for the last one."""
        iterator = iter(batches)
        while True:
            started = time.perf_counter()
            batch = next(iterator, None)
            self.seconds = time.perf_counter() - started
            if batch is None:
                return
            yield batch
