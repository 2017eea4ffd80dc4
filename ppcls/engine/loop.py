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
from ppcls.engine import evaluation, freezing, saving
from ppcls.engine.checkpointing import finished
from ppcls.engine.finiteness import require_finite_losses, require_finite_weights
from ppcls.engine.memory import explain_evaluation_memory, explain_training_memory
from ppcls.engine.prefetch import DeviceBatch, Prefetcher
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
        if run.is_finished:
            reason = finished.stop_reason(run.run_dir)
            if reason is not None:
                get_logger().info(reason)
            return _result(run, done)
        try:
            run.callbacks.on_train_begin(run)
            while run.state.epoch < run.num_epochs and not _should_stop(run):
                _train_epoch(run)
                _finish_epoch(run)
        except DataError as error:
            raise distributed.mark_on_all_ranks(DataError(f"{error}{saving.save_for_repair(run)}")) from error.__cause__
        return _finish(run, done)


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
    run.throughput.begin_epoch()
    run.batches = Prefetcher(run.train_loader.epoch(state.epoch, start=state.batch), lambda: run.asked)
    batches = run.throughput.timed(run.batches)
    asked = False
    for batch in progress_bar(batches, f"epoch {run.epoch_number}/{run.num_epochs}", run.num_batches, state.batch):
        train_step(run, batch)
        asked = asked or run.asked
        if run.is_update_step and (asked or state.batch == run.num_batches):
            saving.save_if_due(run)
            asked = False


def train_step(run: Run, batch: DeviceBatch) -> None:
    """Use one batch: forward, loss, backward and, at the end of an accumulation group, an update.

    On ordinary steps nothing here waits for the device; what is computed is fetched every ``Global.print_batch_step``.
    """
    state, number = run.state, run.state.batch
    ends_group = run.ends_group(number + 1)
    # Random layers depend on the run's seed and the batch's number alone, so a resumed run draws the same.
    paddle.seed(_batch_seed(run.config.Global.seed, state.epoch, number))
    state.optimizer.set_lr(state.schedule.lr_at(state.step))
    global_samples = run.batch_size(number, number + 1)
    with state.amp.autocast():
        logits = _forward(run, batch, ends_group)
        losses = run.reducer.reduce_losses(
            run.criterion, logits, batch.target_tensor, len(batch.labels), global_samples, _group_size(run)
        )
    _require_gradient(losses.local_loss)
    run.reducer.backward(state.amp.backward, losses.local_loss, ends_group)
    run.asked = run.reducer.exchange(saving.asks_for_others(run), ends_group)
    state.batch += 1
    if ends_group:
        state.amp.step(state.optimizer)
        state.step += 1
        if state.ema is not None:
            state.ema.update(state.step)
    _report_step(run, batch, logits, losses)


def _forward(run: Run, batch: DeviceBatch, ends_group: bool) -> paddle.Tensor:
    """Return the logits [views * B, K] of a batch.

    If this process has no images of it (possible in the last batch), the logits are those of an image that weighs
    nothing: the others wait for this process's gradients.
    """
    images = batch.image_tensor
    if not len(batch.labels):
        images = paddle.to_tensor(next(run.train_loader.trial_batches()).images[:1])
    elif run.distillation is not None:
        run.distillation.run_models(images)
    return run.reducer.forward(images, ends_group)


def _group_size(run: Run) -> Optional[int]:
    """Return how many samples the current batch's accumulation group has; None without accumulation."""
    frequency = run.config.Global.update_freq
    if frequency == 1:
        return None
    first = run.state.batch // frequency * frequency
    return run.batch_size(first, first + frequency)  # an epoch ends a group


def _batch_seed(*numbers: int) -> int:
    # Each process draws its own, the first one as if it were alone.
    rank = (distributed.rank(),) if distributed.rank() else ()
    return int(np.random.SeedSequence((*numbers, *rank)).generate_state(1)[0])


def _report_step(run: Run, batch: DeviceBatch, logits: paddle.Tensor, losses: Losses) -> None:
    """Take the batch into the averages, and call the callbacks."""
    own = logits[: len(batch.labels)] if len(batch.labels) else None  # without augmented views
    run.averages.update(run.state.batch, losses, own, batch.label_tensor)
    run.throughput.add(losses.num_samples)
    if run.is_log_step:
        require_finite_losses(run)
    run.batch = batch
    run.callbacks.on_step(run)
    run.batch = None  # its images would take memory while the next ones are made


def _require_gradient(loss: paddle.Tensor) -> None:
    if loss.stop_gradient:
        raise TrainingError(
            "the loss has no gradient, so nothing would be learned: Loss.Train must compute it from the logits, "
            "without detach() or numpy()"
        )


def _finish_epoch(run: Run) -> None:
    """Evaluate and save at the end of an epoch."""
    state, settings = run.state, run.config.Global
    require_finite_losses(run)
    require_finite_weights(run)
    if not state.epoch_ended:  # else the run was stopped during this evaluation before
        state.epoch_ended = True
        # A run that was stopped after the epoch's last batch has not set it yet.
        state.optimizer.set_lr(state.schedule.lr_at(max(0, state.step - 1)))
        run.callbacks.on_epoch(run)
    due = run.epoch_number % settings.eval_interval == 0 and run.epoch_number >= settings.start_eval_epoch
    if run.eval_loader is not None and (due or run.epoch_number == run.num_epochs):
        _evaluate(run)
    state.epoch, state.batch, state.epoch_averages, state.epoch_ended = run.epoch_number, 0, {}, False
    saving.save_epoch(run)


def _evaluate(run: Run) -> None:
    """Evaluate the weights and, with EMA, their average, which then decides whether this is the best model."""
    state = run.state
    run.predictions = {}
    results = {"eval": _evaluate_weights(run, "eval")}
    details = {"eval": run.eval_metrics.details(state.class_names)}
    if state.ema is not None:
        with state.ema.applied():
            results["eval_ema"] = _evaluate_weights(run, "eval_ema")
            details["eval_ema"] = run.eval_metrics.details(state.class_names)
    # Recorded last, so that a run that is stopped during an evaluation evaluates again.
    run.evaluation, run.evaluation_details = results, details
    state.history += [record(kind, state.step, run.epoch_number, values) for kind, values in results.items()]
    values = list(results.values())[-1]
    state.best.update(values[state.best.metric], run.epoch_number, values["loss"])
    state.schedule.on_evaluation(state.step, values[run.eval_metrics.names[0]], values["loss"])
    run.callbacks.on_eval(run)


def _evaluate_weights(run: Run, kind: str) -> Dict[str, float]:
    """Return losses and metrics of the model's weights as they are.

    Args:
        kind: "eval", or "eval_ema" of averaged weights.
    """
    assert run.eval_loader is not None
    with run.state.amp.eval_autocast(), explain_evaluation_memory(run.config):
        values = evaluation.evaluate_model(
            run.state.model,
            run.eval_loader,
            run.eval_criterion,
            run.eval_metrics,
            check=lambda: saving.save_if_due(run),
            require_finite=False,
            recorder=run.recorder,
        )
    predictions = None if run.recorder is None else run.recorder.gather()
    if predictions is not None:
        run.predictions[kind] = predictions
    return values


def _finish(run: Run, done: int) -> TrainResult:
    """Wait until everything is on the disk, say what was reached, and note that the run is finished; a collective."""
    run.saver.wait()
    result = _result(run, done)
    run.callbacks.on_train_end(run)
    distributed.run_on_main(lambda: finished.write(run.config, run.run_dir, result.best, run.stop_reason))
    return result


def _result(run: Run, done: int) -> TrainResult:
    """Return what was reached, and say it.

    Args:
        done: how many epochs the run had when it was begun or resumed.
    """
    result = TrainResult.of(run, trained=run.state.epoch > done)
    what = "training is done" if done <= run.num_epochs else "nothing was trained"
    if run.state.best.value is None:
        reason = "no evaluation gave a finite value" if run.state.history else "nothing was evaluated"
        get_logger().info("%s; %s. Weights: %s", what, reason, result.weights)
    else:
        best = run.state.best
        where = result.weights or "in the folder of the run that was resumed"
        get_logger().info("%s; best %s %.5f at epoch %d: %s", what, best.metric, best.value, best.epoch, where)
    return result
