"""The protocol of callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping

if TYPE_CHECKING:
    from ppcls.engine.run import Run


class Callback:
    """Does something at certain points of a training.

    All methods are optional, and a callback need not inherit from this class. Every method is called in every process,
    once per stage, in the order in which the callbacks are given; those of ``ppcls`` come first. Guard what must happen
    only once with ``ppcls.utils.distributed.is_main()``.

    A callback that raises ends the run with its name. The state is saved before, so that the run can be continued.
    """

    def on_train_begin(self, run: Run) -> None:
        """Everything is built, and a resumed run is where it left off."""

    def on_step(self, run: Run) -> None:
        """A batch was used: ``run.state.batch`` of the epoch, ``run.state.step`` updates so far.

        It is called very often, so do not fetch values from the device here: call ``run.averages.values()`` for losses
        and metrics, which waits for the device, at most every so many steps and in all processes alike.
        """

    def on_epoch(self, run: Run) -> None:
        """All batches of epoch ``run.epoch_number``, counted from 1, were used; it is not evaluated or saved yet."""

    def on_eval(self, run: Run) -> None:
        """The epoch was evaluated: see ``run.evaluation`` and, if this is the best epoch so far, ``run.state.best``."""

    def on_save(self, run: Run) -> None:
        """A checkpoint of ``run.state`` is about to be written; ``state_dict`` is asked for right after."""

    def on_train_end(self, run: Run) -> None:
        """Training is done, and everything is on the disk. Not called for a run that was stopped or failed."""

    def close(self) -> None:
        """The run ends, however it ends: release files and connections."""

    def state_dict(self) -> Dict[str, Any]:
        """Return what a checkpoint keeps of this callback, as JSON holds it.

        It is asked for in every process, and that of the first one is kept and given to all of them.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state_dict`` returned; called before ``on_train_begin``, unless that was empty."""
