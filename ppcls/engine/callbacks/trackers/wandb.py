"""Weights & Biases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, List, Literal, Optional

from ppcls.engine.callbacks.registry import CALLBACKS
from ppcls.engine.callbacks.trackers.base import Tracker, Values
from ppcls.errors import MachineError

if TYPE_CHECKING:
    from ppcls.engine.run import Run


@CALLBACKS.register
class WandB(Tracker):
    """Sends curves and the recipe to Weights & Biases.

    A resumed run continues the same run there. The horizontal axis is the number of updates, ``step``.

    Args:
        project: where the run is listed; null: as the package does it.
        name: of the run; null: that of its folder.
        entity: user or team; null: the user that is logged in.
        group: runs of one group are shown together.
        tags: of the run.
        mode: "online"; "offline" for files that ``wandb sync`` sends later; "disabled"; null: what the environment
            (``WANDB_MODE``) says.
    """

    package: ClassVar[str] = "wandb"
    extra: ClassVar[Optional[str]] = "wandb"

    def __init__(
        self,
        project: Optional[str] = None,
        name: Optional[str] = None,
        entity: Optional[str] = None,
        group: Optional[str] = None,
        tags: Optional[List[str]] = None,
        mode: Optional[Literal["online", "offline", "disabled"]] = None,
    ) -> None:
        super().__init__()
        self._settings = {"project": project, "name": name, "entity": entity, "group": group, "tags": tags}
        self._mode = mode
        self._run: Any = None

    def open(self, run: Run) -> None:
        """Begin a run, or continue one.

        Raises:
            MachineError: W&B cannot be reached, or nobody is logged in.
        """
        import wandb

        settings = {**self._settings, "name": self._settings["name"] or run.run_dir.name}
        is_online = (self._mode or os.environ.get("WANDB_MODE") or "online") == "online"
        try:
            self._run = wandb.init(
                **settings,
                mode=self._mode,
                id=self.tracked_run,
                resume="allow" if self.tracked_run is not None and is_online else None,
                dir=str(run.run_dir),
                config=run.config.plain(),
                settings=wandb.Settings(console="off"),  # it would take over the standard streams
            )
        except (wandb.Error, OSError) as error:
            raise MachineError(
                f"Callbacks: WandB: {error}; log in with `wandb login`, or write files that can be sent later: "
                f"WandB: {{mode: offline}}"
            ) from None
        self.tracked_run = self._run.id
        # Not W&B's own step, which never goes back: a resumed run repeats steps after its checkpoint.
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Values) -> None:
        """Add a point to each curve."""
        self._run.log({**values, "step": step})

    def summarize(self, values: Values) -> None:
        """Note the best evaluation in the run's summary."""
        self._run.summary.update(values)

    def finish(self, done: bool) -> None:
        """Send the rest; a run that was stopped is shown as failed until it is resumed."""
        self._run.finish(exit_code=0 if done else 1)
