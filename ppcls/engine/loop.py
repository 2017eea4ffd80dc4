"""Training: from a recipe to a folder of checkpoints, curves and logs."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.loader import Batch
from ppcls.engine import build, evaluation, freezing, metrics_log, reduction
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.reduction import Losses
from ppcls.engine.setup import Run, open_run
from ppcls.engine.signals import InterruptedRunError, SignalHandler
from ppcls.errors import DataError, TrainingError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger


def train(config: Config, stop: Optional[SignalHandler] = None) -> Dict[str, float]:
    """Train as the recipe says, or continue where ``Global.checkpoints`` left off.

    Args:
        stop: notes signals for several trainings in a row; None notes those of this one.

    Returns:
        The best evaluation, {"top1": ..., "epoch": ...}; without evaluation {"epoch": ...}, how many were trained.

    Raises:
        ConfigError, DataError, MachineError: something is wrong; found before the first step where it can be.
        TrainingError: the loss is not finite.
        InterruptedRunError: asked to stop; the run was saved.
    """
    with open_run(config, stop) as run:
        try:
            while run.state.epoch < run.epochs and not _is_stopped_early(run):
                _train_epoch(run)
                _finish_epoch(run)
        except DataError as error:
            raise distributed.mark_on_all_ranks(DataError(f"{error}{_save_for_repair(run)}")) from None
        return _result(run)


def _train_epoch(run: Run) -> None:
    """Use the rest of the current epoch's batches."""
    state, total = run.state, run.batches
    run.metrics.reset()
    if state.sums and distributed.is_main():  # the counts of all processes go on in one
        run.metrics.load_state(state.sums["metrics"])
    state.model.train()
    freezing.keep_frozen_in_eval(state.model, run.config.Global.freeze)
    run.clock.restart()
    batches = run.train_loader.epoch(state.epoch, start=state.batch)
    title = f"epoch {state.epoch + 1}/{run.epochs}"
    for batch in metrics_log.progress(run.data_timer(distributed.synchronized(batches)), title, total, state.batch):
        _compare_sizes(run, batch)
        samples = _train_batch(run, batch)
        run.clock.add(samples, run.data_timer.seconds)
        if (state.batch - 1) % run.config.Global.print_batch_step == 0:
            _log_batch(run)
        if _at_update(run):
            _save_if_asked(run)


def _compare_sizes(run: Run, batch: Batch) -> None:
    """Say it once if training sees images of another size than the recipe says."""
    if run.compared or not len(batch.labels):
        return
    run.compared = True
    seen, said = list(batch.images.shape[1:]), list(run.config.Global.image_shape)
    if seen != said:
        where = run.config.where("Global", "image_shape")
        get_logger().warning("the images of training are %s, and Global.image_shape is %s (%s)", seen, said, where)


def _train_batch(run: Run, batch: Batch) -> int:
    """Forward, backward and, at the end of an accumulation group, one update; return the images of all processes."""
    state = run.state
    # Random layers depend on the run's seed and the batch's number alone, so a resumed run draws the same.
    paddle.seed(_batch_seed(run.config.Global.seed, state.epoch, state.batch))
    state.optimizer.set_lr(run.lr_at(state.step))
    targets = batch.labels if batch.targets is None else batch.targets
    logits = None
    with state.precision.forward():
        if len(batch.labels):  # the epoch's last batch may not suffice for all processes
            images = paddle.to_tensor(batch.images)
            logits = state.model(images)
            if run.distillation is not None:
                run.distillation.observe(images)
        losses = run.reducer.losses(run.criterion, logits, targets, len(batch.labels), _group(run))
    _check_finite(run, losses.values["loss"])
    if losses.objective is not None:
        state.precision.backward(losses.objective)
    state.batch += 1
    if _at_update(run):
        run.reducer.combine(state.model)
        state.precision.update(state.optimizer)
        state.step += 1
        if state.ema is not None:
            state.ema.update(state.step)
    _count(run, batch, logits, losses)
    return losses.samples


def _group(run: Run) -> Optional[int]:
    """Return how many samples the current batch's accumulation group has; None without accumulation."""
    frequency = run.config.Global.update_freq
    if frequency == 1:
        return None
    first = run.state.batch // frequency * frequency
    return run.train_loader.sampler.draws(first, min(first + frequency, run.batches))  # an epoch ends a group


def _at_update(run: Run) -> bool:
    """Return whether the batches used so far are whole accumulation groups: gradients are not saved."""
    return run.state.batch % run.config.Global.update_freq == 0 or run.state.batch == run.batches


def _batch_seed(*numbers: int) -> int:
    # Each process draws its own, the first one as if it were alone.
    rank = (distributed.rank(),) if distributed.rank() else ()
    return int(np.random.SeedSequence((*numbers, *rank)).generate_state(1)[0])


def _count(run: Run, batch: Batch, logits: Optional[paddle.Tensor], losses: Losses) -> None:
    """Add a batch to what the log averages over the epoch."""
    sums = run.state.sums
    added = sums.setdefault("losses", {})
    for name, value in losses.values.items():
        added[name] = added.get(name, 0.0) + value * losses.samples
    sums["samples"] = sums.get("samples", 0) + losses.samples
    if logits is not None:
        run.metrics.update(np.asarray(logits.detach().astype("float32")), batch.labels)
    if run.train_loader.dataset.on_error == "skip":
        run.skipped.note(reduction.skipped_of_all(batch))


def _count_all(run: Run) -> None:
    """Bring the counts of all processes together in the state; a collective."""
    run.state.sums["metrics"] = reduction.total_counts(run.metrics.state())


def _check_finite(run: Run, value: float) -> None:
    state = run.state
    if np.isfinite(value) or state.precision.skips_non_finite():
        return
    error = TrainingError(
        f"the loss is {value} at epoch {state.epoch + 1}, batch {state.batch + 1}/{run.batches} "
        f"(update {state.step + 1}, learning rate {run.lr_at(state.step):g}); the weights are not saved. Try a lower "
        f"Optimizer.lr.learning_rate, a longer Optimizer.lr.warmup_epoch, or Optimizer.clip_norm=1.0"
        f"{run.saver.resume_hint()}"
    )
    raise distributed.mark_on_all_ranks(error)


def _check_weights(run: Run) -> None:
    """Refuse to go on with, and to save, weights that an update has ruined; the loss would show it one batch later.

    Raises:
        TrainingError: a weight is not finite.
    """
    state = run.state
    wrong = [name for name, tensor in state.model.state_dict().items() if not _is_finite(tensor)]
    if not wrong:
        return
    error = TrainingError(
        f"after update {state.step} (epoch {state.epoch + 1}, learning rate {run.lr_at(max(0, state.step - 1)):g}) "
        f"{len(wrong)} of the model's tensors are not finite, {wrong[0]} for one; they are not saved. Try a lower "
        f"Optimizer.lr.learning_rate, a longer Optimizer.lr.warmup_epoch, or Optimizer.clip_norm=1.0"
        f"{run.saver.resume_hint()}"
    )
    raise distributed.mark_on_all_ranks(error)


def _is_finite(tensor: paddle.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(paddle.isfinite(tensor).all())


def _averages(run: Run) -> Dict[str, float]:
    """Return the epoch's losses and training metrics so far; a collective."""
    _count_all(run)
    sums = run.state.sums
    losses = {name: value / sums["samples"] for name, value in sums["losses"].items()}
    metrics = build.metrics(run.config, "Train")
    metrics.load_state(sums["metrics"])
    return {**metrics.result(), **losses}


def _log_batch(run: Run) -> None:
    state, epochs, total = run.state, run.epochs, run.batches
    lr = state.optimizer.get_lr()
    remaining = (epochs - state.epoch) * total - state.batch
    values = _averages(run)
    get_logger().info(
        "[Train][Epoch %d/%d][Iter: %d/%d]lr: %.8f, %s, %s",
        *(
            state.epoch + 1,
            epochs,
            state.batch - 1,
            total,
            lr,
            metrics_log.values_text(values),
            run.clock.text(remaining),
        ),
    )
    run.metrics_log.write("train", state.step, state.epoch + 1, {"lr": lr, **values})
    run.clock.restart()


def _finish_epoch(run: Run) -> None:
    """Log, evaluate and save at the end of an epoch."""
    state, settings = run.state, run.config.Global
    epoch = state.epoch + 1
    _check_weights(run)
    get_logger().info("[Train][Epoch %d/%d][Avg]%s", epoch, run.epochs, metrics_log.values_text(_averages(run)))
    run.skipped.report(epoch)
    last = epoch == run.epochs
    due = epoch % settings.eval_interval == 0 and epoch >= settings.start_eval_epoch
    if run.eval_loader is not None and (due or last):
        _evaluate(run, epoch)
    state.epoch, state.batch, state.sums = epoch, 0, {}
    run.saver.save_epoch(state, run.metrics_log.position())


def _evaluate(run: Run, epoch: int) -> None:
    """Evaluate, and note it if this is the best model so far; with EMA the average decides."""
    state = run.state
    results = {("Avg", "eval"): _evaluate_weights(run)}
    if state.ema is not None:
        with state.ema.applied():
            results["EMA", "eval_ema"] = _evaluate_weights(run)
    # All together: a run that is interrupted before evaluates again.
    for (tag, kind), values in results.items():
        get_logger().info("[Eval][Epoch %d][%s]%s", epoch, tag, metrics_log.values_text(values))
        state.history.append(run.metrics_log.write(kind, state.step, epoch, values))
    stopping, first = run.config.Global.early_stopping, build.metrics(run.config, "Eval").names[0]
    state.schedule.observe(state.step, values[first], values["loss"])
    state.best.take(values[state.best.metric], epoch, stopping.min_delta if stopping is not None else 0.0)
    if state.best.value is None:
        get_logger().warning("[Eval][Epoch %d]%s is not a number: there is no best model yet", epoch, state.best.metric)
    else:
        get_logger().info("[Eval][Epoch %d][best metric: %.5f]", epoch, state.best.value)


def _is_stopped_early(run: Run) -> bool:
    """Return whether the best metric has not improved for long enough, and say so."""
    stopping, best = run.config.Global.early_stopping, run.state.best
    if stopping is None or best.waited < stopping.patience:
        return False
    get_logger().info(
        "early stopping after epoch %d: %s has not improved by more than %g in %d evaluations (Global.early_stopping)",
        *(run.state.epoch, best.metric, stopping.min_delta, best.waited),
    )
    return True


def _evaluate_weights(run: Run) -> Dict[str, float]:
    """Return losses and metrics of the model's weights as they are."""
    assert run.eval_loader is not None
    with run.state.precision.evaluation():
        return evaluation.run(
            run.state.model,
            run.eval_loader,
            build.loss(run.config, "Eval"),
            build.metrics(run.config, "Eval"),
            check=lambda: _save_if_asked(run),
        )


def _save_if_asked(run: Run) -> None:
    """Save ``latest`` when it is time to, or when any process was asked to stop (and then stop); a collective."""
    error, is_due = run.saver.poll(run.state.step)
    signal, due = distributed.sync_errors(error, run.stop.signal or 0, int(is_due))
    if not (signal or due):
        return
    _check_weights(run)
    if run.state.sums:
        _count_all(run)
    if not signal:
        run.saver.save(run.state, run.metrics_log.position())
        return
    run.stop.signal = signal
    prefix = run.saver.save_latest(run.state, run.metrics_log.position())
    raise InterruptedRunError(
        f"stopped in epoch {run.state.epoch + 1} after batch {run.state.batch}/{run.batches}; continue with: "
        f"{run.saver.continuation(prefix)}",
        run.stop.exit_code,
    )


def _save_for_repair(run: Run) -> str:
    """Save the run that broken data ended, where that can be done; return the end of the message."""
    if not run.state.step or not _at_update(run):
        return run.saver.resume_hint()
    _check_weights(run)
    if run.state.sums:
        _count_all(run)
    prefix = run.saver.save_latest(run.state, run.metrics_log.position())
    return f"\nThe run up to there is saved: repair the data and continue with {run.saver.continuation(prefix)}"


def _result(run: Run) -> Dict[str, float]:
    best = run.state.best
    run.saver.wait()
    if best.value is None:
        get_logger().info("training is done; nothing was evaluated. Weights: %s", run.saver.prefix("latest"))
        return {"epoch": run.state.epoch}
    best_model = run.saver.prefix("best_model")
    where = best_model if checkpoint.exists(best_model) else "in the folder of the run that was resumed"
    get_logger().info("training is done; best %s %.5f at epoch %d: %s", best.metric, best.value, best.epoch, where)
    return {best.metric: best.value, "epoch": best.epoch}
