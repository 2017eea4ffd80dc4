"""What is said of the images that training sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Set

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.reduction import gather_messages
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run


class ImageSizeCheck(Callback):
    """Warns once if training sees images of another size than ``Global.image_shape``, unless their size varies.

    In progressive training it logs the size at the beginning of each stage.
    """

    def __init__(self) -> None:
        self._done = False
        self._stage: Optional[int] = None

    def on_step(self, run: Run) -> None:
        """Compare the sizes of the first batch."""
        if not len(run.batch.labels):
            return
        plan = run.train_loader.plan
        stage = plan.stage(run.state.epoch)
        if stage != self._stage:
            self._stage = stage
            height, width = run.batch.images.shape[2:]
            get_logger().info("stage %d of %d: images of %d x %d", (stage or 0) + 1, plan.num_stages, height, width)
        if self._done or plan.varies:
            return
        self._done = True
        seen, said = list(run.batch.images.shape[1:]), list(run.config.Global.image_shape)
        if seen != said:
            where = run.config.where("Global", "image_shape")
            get_logger().warning("the images of training are %s, and Global.image_shape is %s (%s)", seen, said, where)


class SkippedImages(Callback):
    """Lists the images that ``on_error: skip`` replaced in ``skipped_images.txt``, and logs how many they are.

    The list is written with each log line, and before a checkpoint. A resumed run continues it.
    """

    def __init__(self) -> None:
        self._file: Optional[Path] = None
        self._known: Set[str] = set()
        self._pending: List[str] = []  # of this process
        self._reported = 0

    def on_train_begin(self, run: Run) -> None:
        """Read the list of a run that is resumed."""
        self._file = run.run_dir / "skipped_images.txt"
        self._known = set(self._file.read_text(encoding="utf-8").splitlines()) if self._file.exists() else set()
        self._reported = len(self._known)

    def on_step(self, run: Run) -> None:
        """Note what was replaced in this process, and list it where a log line is due."""
        self._pending += [message for _, message in run.batch.skipped]
        if run.is_log_step:
            self._list(run)

    def on_save(self, run: Run) -> None:
        """List what was replaced before the checkpoint."""
        self._list(run)

    def on_epoch(self, run: Run) -> None:
        """Log how many there are, when there are more than before."""
        self._list(run)
        if len(self._known) == self._reported:
            return
        self._reported = len(self._known)
        get_logger().warning(
            "epoch %d: %d unreadable images so far were replaced by the next good one; see %s",
            run.epoch_number,
            len(self._known),
            self._file,
        )

    def _list(self, run: Run) -> None:
        """List what was replaced in all processes; a collective."""
        if run.train_loader.dataset.on_error != "skip":
            return
        messages, self._pending = gather_messages(self._pending), []
        new = [message for message in dict.fromkeys(messages) if message not in self._known]
        self._known.update(new)
        if new and distributed.is_main():
            assert self._file is not None
            with self._file.open("a", encoding="utf-8") as file:
                file.writelines(message + "\n" for message in new)
