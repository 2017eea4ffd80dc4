"""Training: the loop.

What a run consists of is built by ``ppcls.engine.setup``; what happens beside the loop (log lines, metrics files, early
stopping) is a callback; when checkpoints are written is decided by ``ppcls.engine.saving``.
"""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.loader import Batch
from ppcls.engine import evaluation, freezing, saving
from ppcls.engine.memory import explain_evaluation_memory, explain_training_memory
from ppcls.engine.objective import build_loss, build_metrics
from ppcls.engine.progress import progress_bar
from ppcls.engine.reduction import Losses
from ppcls.engine.result import TrainResult
from ppcls.engine.run import Run, record
from ppcls.engine.setup import open_run
from ppcls.engine.signals import SignalHandler
from ppcls.engine.supplied import Supplied
from ppcls.errors import DataError, TrainingError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger


def train(config: Config, signals: Optional[SignalHandler] = None, supplied: Optional[Supplied] = None) -> TrainResult:
    """Train as the recipe says, or continue where ``Global.checkpoints`` left off.

    Args:
        signals: handles signals for several trainings in a row; None handles those of this one.
        supplied: what Python code gives in place of what the recipe names.

    Raises:
        ConfigError, DataError, MachineError: something is wrong; found before the first step where it can be.
        TrainingError: the loss is not finite, or memory ran out.
        CallbackError: a callback failed; the run was saved.
        InterruptedRunError: asked to stop; the run was saved.
    """
    with open_run(config, signals, supplied) as run, explain_training_memory(config):
        try:
            run.callbacks.on_train_begin(run)
            while run.state.epoch < run.epochs and run.stop_reason is None:
                _train_epoch(run)
                _finish_epoch(run)
        except DataError as error:
            raise distributed.mark_on_all_ranks(DataError(f"{error}{saving.save_for_repair(run)}")) from error.__cause__
        if run.stop_reason is not None:
            get_logger().info(run.stop_reason)
        return _finish(run)


def _train_epoch(run: Run) -> None:
    """Use the rest of the current epoch's batches."""
    state = run.state
    run.averages.restart(state.sums)
    state.model.train()
    freezing.keep_frozen_in_eval(state.model, run.config.Global.freeze)
    run.throughput.restart()
    batches = run.throughput.timed(distributed.synchronized(run.train_loader.epoch(state.epoch, start=state.batch)))
    for batch in progress_bar(batches, f"epoch {run.epoch}/{run.epochs}", run.batches, state.batch):
        train_step(run, batch)
        if run.is_update:
            saving.save_if_due(run)


def train_step(run: Run, batch: Batch) -> None:
    """Use one batch: forward, loss, backward and, at the end of an accumulation group, an update."""
    state = run.state
    # Random layers depend on the run's seed and the batch's number alone, so a resumed run draws the same.
    paddle.seed(_batch_seed(run.config.Global.seed, state.epoch, state.batch))
    state.optimizer.set_lr(state.schedule.lr_at(state.step))
    targets = batch.labels if batch.targets is None else batch.targets
    with state.precision.forward():
        logits = _forward(run, batch)
        losses = run.reducer.reduce_losses(run.criterion, logits, targets, len(batch.labels), _group_size(run))
    _require_finite_loss(run, losses.values["loss"])
    if losses.objective is not None:
        state.precision.backward(losses.objective)
    state.batch += 1
    if run.is_update:
        run.reducer.reduce_gradients(state.model)
        state.precision.update(state.optimizer)
        state.step += 1
        if state.ema is not None:
            state.ema.update(state.step)
    _report_step(run, batch, logits, losses)


def _forward(run: Run, batch: Batch) -> Optional[paddle.Tensor]:
    """Return the logits [B, K] of this process's part of a batch; None where that is empty, as at an epoch's end."""
    if not len(batch.labels):
        return None
    images = paddle.to_tensor(batch.images)
    if run.distillation is not None:
        run.distillation.observe(images)
    return run.state.model(images)


def _group_size(run: Run) -> Optional[int]:
    """Return how many samples the current batch's accumulation group has; None without accumulation."""
    frequency = run.config.Global.update_freq
    if frequency == 1:
        return None
    first = run.state.batch // frequency * frequency
    return run.train_loader.sampler.draws(first, min(first + frequency, run.batches))  # an epoch ends a group


def _batch_seed(*numbers: int) -> int:
    # Each process draws its own, the first one as if it were alone.
    rank = (distributed.rank(),) if distributed.rank() else ()
    return int(np.random.SeedSequence((*numbers, *rank)).generate_state(1)[0])


def _report_step(run: Run, batch: Batch, logits: Optional[paddle.Tensor], losses: Losses) -> None:
    """Take the batch into the averages, and call the callbacks."""
    run.averages.update(losses, logits, paddle.to_tensor(batch.labels))
    run.throughput.add(losses.samples)
    run.batch = batch
    run.callbacks.on_step(run)
    run.batch = None  # its images would take memory while the next ones are made


def _require_finite_loss(run: Run, value: float) -> None:
    state = run.state
    if np.isfinite(value) or state.precision.skips_non_finite():
        return
    error = TrainingError(
        f"the loss is {value} at epoch {run.epoch}, batch {state.batch + 1}/{run.batches} "
        f"(update {state.step + 1}, learning rate {state.schedule.lr_at(state.step):g}); the weights are not saved. "
        f"Try a lower Optimizer.lr.learning_rate, a longer Optimizer.lr.warmup_epoch, or Optimizer.clip_norm=1.0"
        f"{run.saver.resume_hint()}"
    )
    raise distributed.mark_on_all_ranks(error)


def _finish_epoch(run: Run) -> None:
    """Evaluate and save at the end of an epoch."""
    state, settings = run.state, run.config.Global
    saving.require_finite_weights(run)
    run.callbacks.on_epoch(run)
    due = run.epoch % settings.eval_interval == 0 and run.epoch >= settings.start_eval_epoch
    if run.eval_loader is not None and (due or run.epoch == run.epochs):
        _evaluate(run)
    state.epoch, state.batch, state.sums = run.epoch, 0, {}
    saving.save_epoch(run)


def _evaluate(run: Run) -> None:
    """Evaluate the weights and, with EMA, their average, which then decides whether this is the best model."""
    state = run.state
    results = {"eval": _evaluate_weights(run)}
    if state.ema is not None:
        with state.ema.applied():
            results["eval_ema"] = _evaluate_weights(run)
    # Noted together: a run that is interrupted before evaluates again.
    run.evaluation = results
    state.history += [record(kind, state.step, run.epoch, values) for kind, values in results.items()]
    values = list(results.values())[-1]
    state.best.update(values[state.best.metric], run.epoch)
    first = build_metrics(run.config, "Eval").names[0]
    state.schedule.on_evaluation(state.step, values[first], values["loss"])
    run.callbacks.on_eval(run)


def _evaluate_weights(run: Run) -> Dict[str, float]:
    """Return losses and metrics of the model's weights as they are."""
    assert run.eval_loader is not None
    with run.state.precision.evaluation(), explain_evaluation_memory(run.config):
        return evaluation.evaluate_model(
            run.state.model,
            run.eval_loader,
            build_loss(run.config, "Eval"),
            build_metrics(run.config, "Eval"),
            check=lambda: saving.save_if_due(run),
        )


def _finish(run: Run) -> TrainResult:
    """Wait until everything is on the disk, and say what was reached."""
    run.saver.wait()
    result = TrainResult.of(run)
    if run.state.best.value is None:
        get_logger().info("training is done; nothing was evaluated. Weights: %s", result.weights)
    else:
        best = run.state.best
        where = result.weights or "in the folder of the run that was resumed"
        get_logger().info("training is done; best %s %.5f at epoch %d: %s", best.metric, best.value, best.epoch, where)
    run.callbacks.on_train_end(run)
    return result
