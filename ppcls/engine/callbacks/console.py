"""The log lines of a training, as PaddleClas users grep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.progress import format_values
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_TAGS = {"eval": "Avg", "eval_ema": "EMA"}


class ConsoleLog(Callback):
    """Logs losses, metrics and throughput every ``Global.print_batch_step`` batches, each epoch and each evaluation."""

    def on_step(self, run: Run) -> None:
        """Log a line, where one is due."""
        if not run.is_log_step:
            return
        state = run.state
        remaining = (run.num_epochs - state.epoch) * run.num_batches - state.batch
        get_logger().info(
            "[Train][Epoch %d/%d][Iter: %d/%d]lr: %.8f, %s, %s",
            run.epoch_number,
            run.num_epochs,
            state.batch - 1,
            run.num_batches,
            state.optimizer.get_lr(),
            format_values(run.averages.values()),
            run.throughput.text(remaining),
        )
        run.throughput.restart()

    def on_epoch(self, run: Run) -> None:
        """Log the averages over the epoch."""
        text = format_values(run.averages.values())
        get_logger().info("[Train][Epoch %d/%d][Avg]%s", run.epoch_number, run.num_epochs, text)

    def on_eval(self, run: Run) -> None:
        """Log what was evaluated, and the best value so far."""
        log, best = get_logger(), run.state.best
        for kind, values in run.evaluation.items():
            log.info("[Eval][Epoch %d][%s]%s", run.epoch_number, _TAGS[kind], format_values(values))
        if best.value is None:
            log.warning("[Eval][Epoch %d]%s is not a number: there is no best model yet", run.epoch_number, best.metric)
        else:
            log.info("[Eval][Epoch %d][best metric: %.5f]", run.epoch_number, best.value)
