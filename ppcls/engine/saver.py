"""When checkpoints are written, and the account of images that were skipped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Iterable, Iterator

from ppcls.config.schema import Config
from ppcls.data.loader import Batch
from ppcls.engine import checkpoint
from ppcls.engine.state import TrainState
from ppcls.utils.logging import get_logger


class Saver:
    """Writes ``latest``, ``best_model`` and ``epoch_N`` into the run's folder.

    Args:
        folder: the run's output folder.
        config: the recipe, kept in every checkpoint.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self._saved_at = time.monotonic()

    def prefix(self, name: str) -> Path:
        """Return the prefix of the checkpoint called ``name``."""
        return self.folder / name

    def save_latest(self, state: TrainState, journal_bytes: int) -> Path:
        """Write ``latest`` and return its prefix."""
        latest = self.prefix("latest")
        checkpoint.save(state, latest, self.config, journal_bytes=journal_bytes)
        self._saved_at = time.monotonic()
        return latest

    def save_if_due(self, state: TrainState, journal_bytes: int) -> None:
        """Write ``latest`` when ``Global.save_every_minutes`` have passed since it was last written."""
        minutes = self.config.Global.save_every_minutes
        if minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes:
            self.save_latest(state, journal_bytes)

    def save_epoch(self, state: TrainState, journal_bytes: int) -> None:
        """Write what the end of an epoch calls for; the weights go to disk once."""
        self.save_latest(state, journal_bytes)
        self.finish_epoch(state)

    def finish_epoch(self, state: TrainState) -> None:
        """Make ``best_model`` and ``epoch_N`` of a ``latest`` that holds the end of an epoch.

        A run that was killed between the two does it when it is resumed.
        """
        latest, settings = self.prefix("latest"), self.config.Global
        if state.best.epoch == state.epoch:
            checkpoint.alias(latest, self.prefix("best_model"))
        if settings.save_interval and state.epoch % settings.save_interval == 0:
            checkpoint.alias(latest, self.prefix(f"epoch_{state.epoch}"))
            checkpoint.remove_old(self.folder, settings.keep_checkpoints)

    def resume_hint(self) -> str:
        """Return the end of a message about a run that stopped by itself."""
        latest = self.prefix("latest")
        return f"; resume before it with -o Global.checkpoints={latest}" if checkpoint.exists(latest) else ""


class SkippedImages:
    """The images that ``on_error: skip`` replaced: listed in ``skipped_images.txt`` at once, counted in the log.

    A resumed run continues the list.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "skipped_images.txt"
        self._known = set(self.file.read_text(encoding="utf-8").splitlines()) if self.file.exists() else set()
        self._reported = len(self._known)

    def note(self, batch: Batch) -> None:
        """List what was replaced in a batch, each image once."""
        new = [message for _, message in batch.skipped if message not in self._known]
        if new:
            self._known.update(new)
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


class Waiting:
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
