"""The log lines of a training, as PaddleClas prints them and its users search for them.

Since release 2.4 the learning rate has eight digits and the name of its schedule, and throughput is in samples/s;
``Global.log_format: "2.3"`` gives the older lines. The name here is the recipe's (``Cosine``); PaddleClas prints that
of Paddle's class, which changes with a warm-up. See ppcls/engine/train/utils.py of
https://github.com/PaddlePaddle/PaddleClas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.progress import format_values
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_UNITS = {"2.4": "samples/s", "2.3": "images/sec"}
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
            "[Train][Epoch %d/%d][Iter: %d/%d]%s, %s, %s",
            run.epoch_number,
            run.num_epochs,
            state.batch - 1,
            run.num_batches,
            _format_lr(run),
            format_values(run.averages.values()),
            run.throughput.text(remaining, _UNITS[run.config.Global.log_format]),
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


def _format_lr(run: Run) -> str:
    """Return "lr(Cosine): 0.00042000", or "lr: 0.00042" of the older format."""
    rate = run.state.optimizer.get_lr()
    if run.config.Global.log_format == "2.3":
        return f"lr: {rate:.5f}"
    assert run.config.Optimizer is not None
    return f"lr({run.config.Optimizer.lr.name}): {rate:.8f}"
