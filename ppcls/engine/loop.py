"""Training: the loop.

What a run consists of is built by ``ppcls.engine.setup``; what happens beside the loop (log lines, metrics files, early
stopping) is a callback; when checkpoints are written is decided by ``ppcls.engine.saving``.
"""

from __future__ import annotations

import logging
from typing import Dict, Optional

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.loader import Batch
from ppcls.engine import evaluation, freezing, saving
from ppcls.engine.memory import explain_evaluation_memory, explain_training_memory
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
        done = run.state.epoch
        if done >= run.num_epochs:  # as of a run that ended, started again by the same command
            level = logging.WARNING if done > run.num_epochs else logging.INFO
            message = "nothing to train: the checkpoint is at epoch %d, Global.epochs is %d"
            get_logger().log(level, message, done, run.num_epochs)
        try:
            run.callbacks.on_train_begin(run)
            while run.state.epoch < run.num_epochs and not _should_stop(run):
                _train_epoch(run)
                _finish_epoch(run)
        except DataError as error:
            raise distributed.mark_on_all_ranks(DataError(f"{error}{saving.save_for_repair(run)}")) from error.__cause__
        return _finish(run, trained=done <= run.num_epochs)


def _should_stop(run: Run) -> bool:
    """Return whether a callback of any process asked training to end, and say why; a collective."""
    stops = bool(distributed.sync_errors(None, int(run.stop_reason is not None))[0])
    if stops:
        get_logger().info(run.stop_reason or "another process asked training to end")
    return stops


def _train_epoch(run: Run) -> None:
    """Use the rest of the current epoch's batches."""
    state = run.state
    run.averages.reset(state.epoch_averages)
    state.trained.train()
    freezing.keep_frozen_in_eval(state.model, run.config.Global.freeze)
    run.throughput.restart()
    batches = run.throughput.timed(distributed.synchronized(run.train_loader.epoch(state.epoch, start=state.batch)))
    for batch in progress_bar(batches, f"epoch {run.epoch_number}/{run.num_epochs}", run.num_batches, state.batch):
        train_step(run, batch)
        if run.is_update_step:
            saving.save_if_due(run)


def train_step(run: Run, batch: Batch) -> None:
    """Use one batch: forward, loss, backward and, at the end of an accumulation group, an update."""
    state = run.state
    # Random layers depend on the run's seed and the batch's number alone, so a resumed run draws the same.
    paddle.seed(_batch_seed(run.config.Global.seed, state.epoch, state.batch))
    state.optimizer.set_lr(state.schedule.lr_at(state.step))
    targets = batch.labels if batch.targets is None else batch.targets
    with state.amp.autocast():
        logits = _forward(run, batch)
        losses = run.reducer.reduce_losses(run.criterion, logits, targets, len(batch.labels), _group_size(run))
    _require_finite_loss(run, losses.by_name["loss"])
    if losses.local_loss is not None:
        _require_gradient(losses.local_loss)
        state.amp.backward(losses.local_loss)
    state.batch += 1
    if run.is_update_step:
        run.reducer.reduce_gradients(state.trained)
        state.amp.step(state.optimizer)
        state.step += 1
        if state.ema is not None:
            state.ema.update(state.step)
    _report_step(run, batch, logits, losses)


def _forward(run: Run, batch: Batch) -> Optional[paddle.Tensor]:
    """Return the logits [views * B, K] of a batch.

    None if this process has no images of the batch (possible in the last batch).
    """
    if not len(batch.labels):
        return None
    images = paddle.to_tensor(batch.images)
    if run.distillation is not None:
        run.distillation.run_models(images)
    return run.state.model(images)


def _group_size(run: Run) -> Optional[int]:
    """Return how many samples the current batch's accumulation group has; None without accumulation."""
    frequency = run.config.Global.update_freq
    if frequency == 1:
        return None
    first = run.state.batch // frequency * frequency
    last = min(first + frequency, run.num_batches)  # an epoch ends a group
    return run.train_loader.sampler.draws(first, last, run.state.epoch)


def _batch_seed(*numbers: int) -> int:
    # Each process draws its own, the first one as if it were alone.
    rank = (distributed.rank(),) if distributed.rank() else ()
    return int(np.random.SeedSequence((*numbers, *rank)).generate_state(1)[0])


def _report_step(run: Run, batch: Batch, logits: Optional[paddle.Tensor], losses: Losses) -> None:
    """Take the batch into the averages, and call the callbacks."""
    clean = None if logits is None else logits[: len(batch.labels)]  # without augmented views
    run.averages.update(losses, clean, paddle.to_tensor(batch.labels))
    run.throughput.add(losses.num_samples)
    run.batch = batch
    run.callbacks.on_step(run)
    run.batch = None  # its images would take memory while the next ones are made


def _require_gradient(loss: paddle.Tensor) -> None:
    if loss.stop_gradient:
        raise TrainingError(
            "the loss has no gradient, so nothing would be learned: Loss.Train must compute it from the logits, "
            "without detach() or numpy()"
        )


def _require_finite_loss(run: Run, value: float) -> None:
    state = run.state
    if np.isfinite(value) or state.amp.can_skip_update():
        return
    error = TrainingError(
        f"the loss is {value} at epoch {run.epoch_number}, batch {state.batch + 1}/{run.num_batches} "
        f"(update {state.step + 1}, learning rate {state.schedule.lr_at(state.step):g}); the weights are not saved. "
        f"Try a lower Optimizer.lr.learning_rate, a longer Optimizer.lr.warmup_epoch, or Optimizer.clip_norm=1.0"
        f"{run.saver.resume_hint()}"
    )
    raise distributed.mark_on_all_ranks(error)


def _finish_epoch(run: Run) -> None:
    """Evaluate and save at the end of an epoch."""
    state, settings = run.state, run.config.Global
    saving.require_finite_weights(run)
    if not state.epoch_ended:  # else the run was stopped during this evaluation before
        state.epoch_ended = True
        run.callbacks.on_epoch(run)
    due = run.epoch_number % settings.eval_interval == 0 and run.epoch_number >= settings.start_eval_epoch
    if run.eval_loader is not None and (due or run.epoch_number == run.num_epochs):
        _evaluate(run)
    state.epoch, state.batch, state.epoch_averages, state.epoch_ended = run.epoch_number, 0, {}, False
    saving.save_epoch(run)


def _evaluate(run: Run) -> None:
    """Evaluate the weights and, with EMA, their average, which then decides whether this is the best model."""
    state = run.state
    results = {"eval": _evaluate_weights(run)}
    details = {"eval": run.eval_metrics.details(state.class_names)}
    if state.ema is not None:
        with state.ema.applied():
            results["eval_ema"] = _evaluate_weights(run)
            details["eval_ema"] = run.eval_metrics.details(state.class_names)
    # Recorded last, so that a run that is stopped during an evaluation evaluates again.
    run.evaluation, run.evaluation_details = results, details
    state.history += [record(kind, state.step, run.epoch_number, values) for kind, values in results.items()]
    values = list(results.values())[-1]
    state.best.update(values[state.best.metric], run.epoch_number, values["loss"])
    state.schedule.on_evaluation(state.step, values[run.eval_metrics.names[0]], values["loss"])
    run.callbacks.on_eval(run)


def _evaluate_weights(run: Run) -> Dict[str, float]:
    """Return losses and metrics of the model's weights as they are."""
    assert run.eval_loader is not None
    with run.state.amp.eval_autocast(), explain_evaluation_memory(run.config):
        return evaluation.evaluate_model(
            run.state.model,
            run.eval_loader,
            run.eval_criterion,
            run.eval_metrics,
            check=lambda: saving.save_if_due(run),
            require_finite=False,
        )


def _finish(run: Run, trained: bool) -> TrainResult:
    """Wait until everything is on the disk, and say what was reached.

    Args:
        trained: whether the run has trained as long as the recipe says, and not longer before.
    """
    run.saver.wait()
    result = TrainResult.of(run)
    what = "training is done" if trained else "nothing was trained"
    if run.state.best.value is None:
        reason = "no evaluation gave a finite value" if run.state.history else "nothing was evaluated"
        get_logger().info("%s; %s. Weights: %s", what, reason, result.weights)
    else:
        best = run.state.best
        where = result.weights or "in the folder of the run that was resumed"
        get_logger().info("%s; best %s %.5f at epoch %d: %s", what, best.metric, best.value, best.epoch, where)
    run.callbacks.on_train_end(run)
    return result
