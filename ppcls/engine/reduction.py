"""What the processes of a run exchange: losses, gradients, batch-norm statistics and counts.

The gradients are added up here, not by ``paddle.DataParallel``, because that

- averages over processes, whatever the size of their parts: a last batch of 7 images for 2 processes would be wrong,
- waits for ever where a process's part is empty, since its hooks never run,
- needs ``no_sync`` for accumulation and ``find_unused_parameters`` for frozen parts,
- wraps the model, and so changes the names of its weights and hides its methods.

It overlaps communication with the backward pass, which this does not. With one process nothing is exchanged, and the
same code runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import paddle

from ppcls.data.loader import Batch
from ppcls.errors import ConfigError
from ppcls.loss.base import MIN_WEIGHT
from ppcls.utils import distributed

_SAME = 1e-9  # sums of float32 weights in float64


@dataclass(frozen=True)
class Losses:
    """The losses of a batch of all processes.

    Attributes:
        local_loss: what this process adds to the loss, a scalar to call ``backward`` on; None where its part is empty.
        by_name: the losses of the whole batch by name, and their sum as "loss".
        num_samples: how many the whole batch has.
    """

    local_loss: Optional[paddle.Tensor]
    by_name: Dict[str, float]
    num_samples: int


class GradientReducer:
    """All-reduces losses, gradients and batch-norm statistics; every method is a collective."""

    def __init__(self) -> None:
        # Since the last update: images of this process, and of all.
        self._local_samples = self._global_samples = 0
        # Of the accumulation group: how many samples it has, and for each loss the sum of their weights so far.
        self._group_size = 0
        self._group_weights: Any = 0.0

    def reduce_losses(
        self,
        criterion: Any,
        logits: Optional[paddle.Tensor],
        targets: Optional[np.ndarray],
        samples: int,
        group_size: Optional[int] = None,
    ) -> Losses:
        """Return the losses of a batch, of which this process has ``samples``.

        Args:
            criterion: the losses, see ``CombinedLoss``.
            logits: [B, K], or [views * B, K]; None where this process's part is empty.
            targets: [B] or [B, K].
            samples: B.
            group_size: how many samples all batches of the update have together; None where this batch is the only one.
        """
        parts = {}
        if logits is not None and targets is not None:
            parts = criterion.per_sample(logits, paddle.to_tensor(targets))
        sums = [(losses.sum(), weights.sum()) for losses, weights in parts.values()]
        local = np.zeros(2 * len(criterion.names) + 1, np.float64)
        if sums:
            local[:-1] = paddle.stack([value for pair in sums for value in pair]).astype("float64").numpy()
        local[-1] = samples
        reduced = distributed.all_reduce_array(local)
        loss_sums, weight_sums = reduced[:-1:2], np.maximum(reduced[1:-1:2], MIN_WEIGHT)
        global_samples = int(reduced[-1])
        self._local_samples += samples
        self._global_samples += global_samples
        values = {name: float(value) for name, value in zip(criterion.names, loss_sums / weight_sums)}
        values["loss"] = float(sum(values.values()))
        # A group's total weight is known only at its end; until then its losses are divided by its size.
        self._group_size = group_size or 0
        self._group_weights = self._group_weights + weight_sums
        shares = [losses / float(group_size or weight) for (losses, _), weight in zip(sums, weight_sums)]
        return Losses(sum(shares[1:], shares[0]) if shares else None, values, global_samples)

    def reduce_gradients(self, model: paddle.nn.Layer) -> None:
        """Before an update: add the gradients up, and average batch-norm statistics over the samples seen.

        The statistics are averaged here, and not only before they are used, so that all processes have the same
        weights at any time: whatever is saved, averaged (EMA) or evaluated needs no special case.

        Raises:
            ConfigError: losses whose samples weigh differently were accumulated: they have no common gradient.
        """
        self._rescale_by_weights(model)
        share = self._local_samples / max(self._global_samples, 1)
        self._local_samples = self._global_samples = 0
        if distributed.world_size() == 1:
            return
        parameters = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
        # None means "not used", and an optimizer leaves such a parameter alone; used by some is used by all.
        is_used = np.array([parameter.grad is not None for parameter in parameters], np.int32)
        used = [one for one, count in zip(parameters, distributed.all_reduce_array(is_used)) if count]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = paddle.zeros_like(parameter)
        distributed.all_reduce_tensors([parameter.grad for parameter in used])
        statistics = list(_statistics(model))
        with paddle.no_grad():
            for tensor in statistics:
                tensor.set_value(tensor * share)
        distributed.all_reduce_tensors(statistics)

    def _rescale_by_weights(self, model: paddle.nn.Layer) -> None:
        """Divide the gradients of an accumulation group by the weight of its samples, instead of by their number."""
        group_size, weights = self._group_size, self._group_weights
        self._group_size, self._group_weights = 0, 0.0
        if not group_size:
            return
        if weights.max() - weights.min() > _SAME * group_size:
            raise distributed.mark_on_all_ranks(
                ConfigError(
                    "Global.update_freq: cannot be more than 1 with several losses of which one has class_weights; "
                    "remove the weights or a loss, or make the batch larger instead"
                )
            )
        factor = group_size / max(float(weights[0]), MIN_WEIGHT)
        if abs(factor - 1) > _SAME:
            with paddle.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter.grad.set_value(parameter.grad * factor)


def _statistics(model: paddle.nn.Layer) -> Iterator[paddle.Tensor]:
    """Yield the running statistics of the batch norms that are training; frozen ones are the same everywhere."""
    for layer in model.sublayers(include_self=True):
        if layer.training and hasattr(layer, "_mean") and hasattr(layer, "_variance"):
            yield from (layer._mean, layer._variance)


class SampleLosses:
    """Losses of the samples of a data set, kept by sample, so that their sum does not depend on batches or processes.

    Args:
        names: of the losses.
        count: how many samples the data set has.
    """

    def __init__(self, names: Sequence[str], count: int) -> None:
        self._names = list(names)
        self._values = np.zeros((len(self._names), 2, count), np.float64)

    def add(self, indices: np.ndarray, per_sample: Mapping[str, Any]) -> None:
        """Keep (losses, weights) of the samples ``indices``, as ``CombinedLoss.per_sample`` returns them."""
        for row, name in enumerate(self._names):
            for column, tensor in enumerate(per_sample[name]):
                self._values[row, column, indices] = tensor.numpy()

    def means(self) -> Dict[str, float]:
        """Return each loss over all samples of all processes, and their sum as "loss"; a collective."""
        sums = distributed.all_reduce_array(self._values).sum(axis=-1)
        means = {name: float(sums[row, 0] / max(sums[row, 1], MIN_WEIGHT)) for row, name in enumerate(self._names)}
        return {**means, "loss": float(sum(means.values()))}


def gather_skipped_images(batch: Batch) -> List[str]:
    """Return the messages about images that were replaced in a batch of all processes; a collective."""
    messages = [message for _, message in batch.skipped]
    if not distributed.sync_errors(None, len(messages))[0]:
        return []
    return [message for part in distributed.all_gather(messages) for message in part]
