"""The log lines of a training, as PaddleClas prints them and its users search for them; a table on a terminal.

Since release 2.4 the learning rate has eight digits and the name of its schedule, and throughput is in samples/s;
``Global.log_format: "2.3"`` gives the older lines. The name here is the recipe's (``Cosine``); PaddleClas prints that
of Paddle's class, which changes with a warm-up. See ppcls/engine/train/utils.py of
https://github.com/PaddlePaddle/PaddleClas.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from tqdm import tqdm

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.device import logs_to_console
from ppcls.engine.epoch_table import Epoch, EpochTable, RemainingTime
from ppcls.engine.progress import format_values
from ppcls.utils import terminal
from ppcls.utils.logging import NOT_ON_TERMINAL, get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_UNITS = {"2.4": "samples/s", "2.3": "images/sec"}
_TAGS = {"eval": "Avg", "eval_ema": "EMA"}


class ConsoleLog(Callback):
    """Logs losses, metrics and throughput every ``Global.print_batch_step`` batches, each epoch and each evaluation.

    A terminal shows one row for each epoch instead; the file has the same lines as ever.
    """

    def __init__(self) -> None:
        self._table: Optional[EpochTable] = None
        self._time = RemainingTime(0)
        self._ended: Optional[Epoch] = None  # an epoch whose row waits for its evaluation

    def on_train_begin(self, run: Run) -> None:
        """Begin the table, where standard error is a terminal."""
        if terminal.is_terminal() and logs_to_console(run.config):
            self._table = EpochTable(run.state.best.metric, run.num_epochs)
            self._time = RemainingTime(run.state.epoch + run.state.batch / run.num_batches)

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
            extra=NOT_ON_TERMINAL,
        )
        run.throughput.restart()

    def on_epoch(self, run: Run) -> None:
        """Log the averages over the epoch."""
        values = run.averages.values()
        position = (run.epoch_number, run.num_epochs)
        get_logger().info("[Train][Epoch %d/%d][Avg]%s", *position, format_values(values), extra=NOT_ON_TERMINAL)
        if self._table is not None:
            self._ended = _row_without_evaluation(run)

    def on_eval(self, run: Run) -> None:
        """Log what was evaluated, and the best value so far."""
        log, best = get_logger(), run.state.best
        for kind, values in run.evaluation.items():
            text = format_values(values)
            log.info("[Eval][Epoch %d][%s]%s", run.epoch_number, _TAGS[kind], text, extra=NOT_ON_TERMINAL)
        if best.value is None:
            log.warning("[Eval][Epoch %d]%s is not a number: there is no best model yet", run.epoch_number, best.metric)
        else:
            text = "[Eval][Epoch %d][best metric: %.5f]"
            log.info(text, run.epoch_number, best.value, extra=NOT_ON_TERMINAL)
        if self._table is not None:
            values = list(run.evaluation.values())[-1]  # those that decide which epoch is the best
            row = self._ended or _row_without_evaluation(run)  # where the run was stopped during the evaluation before
            is_best = best.epoch == run.epoch_number
            self._print(replace(row, metric=values[best.metric], eval_loss=values["loss"], is_best=is_best))

    def on_save(self, run: Run) -> None:
        """Show the row of an epoch that is not evaluated."""
        if self._ended is not None and not run.state.epoch_ended:
            self._print(self._ended)

    def _print(self, row: Epoch) -> None:
        self._ended = None
        assert self._table is not None
        left = self._time.seconds(row.number, row.total)
        for line in self._table.lines(replace(row, seconds_left=left)):
            tqdm.write(line, file=sys.stderr)


def _row_without_evaluation(run: Run) -> Epoch:
    return Epoch(
        number=run.epoch_number,
        total=run.num_epochs,
        loss=run.averages.values()["loss"],
        rate=run.state.optimizer.get_lr(),
        images_per_second=run.throughput.epoch_rate(),
    )


def _format_lr(run: Run) -> str:
    """Return "lr(Cosine): 0.00042000", or "lr: 0.00042" of the older format."""
    rate = run.state.optimizer.get_lr()
    if run.config.Global.log_format == "2.3":
        return f"lr: {rate:.5f}"
    assert run.config.Optimizer is not None
    return f"lr({run.config.Optimizer.lr.name}): {rate:.8f}"
