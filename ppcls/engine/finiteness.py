"""Training stops when a loss or a weight is not finite, and saves no such weights.

Losses are looked at where they are fetched from the device, which is not after every step. So are their weights.
"""

from __future__ import annotations

import paddle

from ppcls.engine.run import Run
from ppcls.errors import TrainingError
from ppcls.utils import distributed


def require_finite_losses(run: Run) -> None:
    """Look at the losses of the batches since the last call; a collective.

    Raises:
        TrainingError: one is not finite. The message names the first batch that it happened in.
        ConfigError: their samples weigh differently, see ``GradientReducer.require_common_weights``.
    """
    run.reducer.require_common_weights()
    found = run.averages.take_not_finite()
    if found is None or run.state.amp.can_skip_update():
        return
    batch, value = found
    step = run.updates_before(batch)
    error = TrainingError(
        f"the loss is {value} at epoch {run.epoch_number}, batch {batch}/{run.num_batches} "
        f"(update {step + 1}, learning rate {run.state.schedule.lr_at(step):g}); the weights are not saved. "
        f"Try a lower Optimizer.lr.learning_rate, a longer Optimizer.lr.warmup_epoch, or Optimizer.clip_norm=1.0"
        f"{run.saver.resume_hint()}"
    )
    raise distributed.mark_on_all_ranks(error)


def require_finite_weights(run: Run) -> None:
    """Refuse to go on with, and to save, weights that an update has ruined; the loss would show it one batch later.

    Raises:
        TrainingError: a weight is not finite.
    """
    state = run.state
    wrong = [name for name, tensor in state.trained.state_dict().items() if not _is_finite(tensor)]
    if not wrong:
        return
    rate = state.schedule.lr_at(max(0, state.step - 1))
    error = TrainingError(
        f"after update {state.step} (epoch {run.epoch_number}, learning rate {rate:g}) "
        f"{len(wrong)} of the model's tensors are not finite, such as {wrong[0]}; they are not saved. Try a lower "
        f"Optimizer.lr.learning_rate, a longer Optimizer.lr.warmup_epoch, or Optimizer.clip_norm=1.0"
        f"{run.saver.resume_hint()}"
    )
    raise distributed.mark_on_all_ranks(error)


def _is_finite(tensor: paddle.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(paddle.isfinite(tensor).all())
