"""What the processes of a run exchange: losses, gradients, batch-norm statistics and counts.

On GPUs Paddle's reducer (``paddle.DataParallel``) adds up the gradients while the backward pass still computes others.
It averages over processes and waits for each of them, therefore

- each process's loss is a sum over its images, divided by the number of all images and multiplied by that of processes,
- a process without images of the last batch computes an image that weighs nothing,
- inside an accumulation group the model is called without it,
- only the call goes through it: the model keeps its names and methods.

Otherwise gradients are added up after the backward pass, in few calls, because the reducer (PaddlePaddle 3.3.1, gloo)

- on CPUs overlaps nothing, since gloo works in the thread that computes; and where a process dies, gloo's exception
  ends the others inside the backward pass ("terminate called after throwing an instance of 'gloo::IoException'", signal
  6), so that none can say what happened, and the launcher may name the wrong one,
- with ``recompute`` fails with "parameter ... has been ready before", with and without ``find_unused_parameters``,
  because Paddle's recomputation is a backward pass inside the backward pass,
- with other people's models fails where one leaves a parameter out in a step ("a serious error has occurred here"),
  unless ``find_unused_parameters`` costs a further exchange and a wait in every step; and such a model may recompute,
- with several models that are trained together fails likewise, where no loss uses one of them.

With one process nothing is exchanged, and the same code runs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import paddle

from ppcls.engine.transfer import fetch_later, is_asynchronous
from ppcls.errors import ConfigError
from ppcls.loss.base import MIN_WEIGHT
from ppcls.utils import distributed

_SAME = 1e-9  # sums of float32 weights in float64


@dataclass(frozen=True)
class Losses:
    """The losses of a batch.

    Attributes:
        local_loss: what this process adds to the loss of all, a scalar to call ``backward`` on.
        sums: float32 [losses, 2], on the device: each loss's sum over this process's images, and that of their weights.
        num_samples: how many images the batch has in all processes.
    """

    local_loss: paddle.Tensor
    sums: paddle.Tensor
    num_samples: int


class GradientReducer:
    """Reduces losses, gradients and batch-norm statistics over the processes.

    Args:
        model: is called with the images.
        trained: everything that is trained, the model included; None for the model alone.
        all_used: whether each step uses the same parameters in all processes; else they tell each other.
        overlap: let Paddle's reducer work during the backward pass.
    """

    def __init__(
        self,
        model: paddle.nn.Layer,
        trained: Optional[paddle.nn.Layer] = None,
        all_used: bool = False,
        overlap: bool = False,
    ) -> None:
        self._model = model
        self._trained = trained or model
        self._all_used = all_used
        self._overlaps = overlap and distributed.world_size() > 1
        # Newest last. Those before stay, because hooks of the parameters refer to them.
        self._reducers: List[Any] = []
        self._frozen: List[bool] = []
        # Since the last update: images of this process, and of all.
        self._local_samples = self._global_samples = 0
        # Of the accumulation group: how many samples it has, and for each loss the sum of the weights so far.
        self._group_size = 0
        self._group_weights: Optional[paddle.Tensor] = None
        # Of the losses' weights, as a share: the largest since they were last looked at.
        self._spread: Optional[paddle.Tensor] = None
        self._answers: Deque[Callable[[], np.ndarray]] = deque()

    def forward(self, images: paddle.Tensor, ends_group: bool) -> paddle.Tensor:
        """Return the logits; after the backward pass that ends an accumulation group, gradients are those of all."""
        if not self._overlaps or not ends_group:
            return self._model(images)
        frozen = [parameter.stop_gradient for parameter in self._model.parameters()]
        if frozen != self._frozen:  # this is the first step, or a callback has frozen layers or freed them
            self._frozen = frozen
            self._reducers.append(distributed.data_parallel(self._model))
        return self._reducers[-1](images)

    def reduce_losses(
        self,
        criterion: Any,
        logits: paddle.Tensor,
        targets: paddle.Tensor,
        samples: int,
        global_samples: Optional[int] = None,
        group_size: Optional[int] = None,
    ) -> Losses:
        """Return the losses of a batch, of which this process has ``samples``; a collective where they have weights.

        Args:
            criterion: the losses, see ``CombinedLoss``.
            logits: [B, K], or [views * B, K]; of an image without weight where this process's part is empty.
            targets: [B] or [B, K].
            samples: B.
            global_samples: B of all processes; None for one process.
            group_size: how many samples all batches of the update have together; None where this batch is the only one.
        """
        global_samples = samples if global_samples is None else global_samples
        self._local_samples += samples
        self._global_samples += global_samples
        if samples:
            parts = criterion.per_sample(logits, targets).values()
            sums = [(losses.sum(), weights.sum()) for losses, weights in parts]
        else:
            nothing = (logits * 0.0).sum().astype("float32")
            sums = [(nothing, nothing.detach())] * len(criterion.names)
        divisors: Sequence[Any] = [float(group_size or global_samples)] * len(sums)
        if criterion.is_weighted:
            weights = paddle.stack([weight.detach() for _, weight in sums]).astype("float64")
            if group_size is None:
                distributed.all_reduce_tensors([weights])
                divisors = paddle.clip(weights, min=MIN_WEIGHT).astype("float32").unbind()
            else:
                # A group's total weight is known only at its end; until then its losses are divided by its size.
                self._group_size = group_size
                self._group_weights = weights if self._group_weights is None else self._group_weights + weights
        shares = [losses / divisor for (losses, _), divisor in zip(sums, divisors)]
        loss = sum(shares[1:], shares[0])
        if self._overlaps:
            loss = loss * float(distributed.world_size())
        with paddle.no_grad():
            stacked = paddle.stack([paddle.stack(pair) for pair in sums])
        return Losses(loss, stacked.detach(), global_samples)

    def backward(self, backward: Callable[[paddle.Tensor], None], loss: paddle.Tensor, ends_group: bool) -> None:
        """Add the gradients of a loss; those of a whole accumulation group, over all processes, at its end.

        Args:
            backward: adds those of this process.

        Raises:
            MachineError: another process is gone.
        """
        backward(loss)
        if ends_group:
            if not self._overlaps and distributed.world_size() > 1:
                self._reduce_gradients()
            self._rescale_by_weights()

    def exchange(self, asks: bool, ends_group: bool) -> bool:
        """After the backward pass: tell whether a process asks for the others, and average batch-norm statistics.

        The statistics are averaged before each update, over the samples seen since the last one, so that all processes
        have the same weights at any time: whatever is saved, averaged (EMA) or evaluated needs no special case.

        Args:
            asks: whether this process has something to say; it will be asked what.

        Returns:
            Whether any process asked: in this step or, on GPUs, in the step before, whose answer has arrived meanwhile.
            With one process always: asking costs nothing.
        """
        share = self._local_samples / max(self._global_samples, 1)
        if ends_group:
            self._local_samples = self._global_samples = 0
        if distributed.world_size() == 1:
            return True
        statistics = list(batch_norm_statistics(self._trained)) if ends_group else []
        flag = paddle.full([1], float(asks), "float32")
        with paddle.no_grad():
            for tensor in statistics:
                tensor.scale_(share)
        distributed.all_reduce_tensors([*statistics, flag])
        self._answers.append(fetch_later(flag))
        delay = int(is_asynchronous())
        return len(self._answers) > delay and bool(self._answers.popleft()()[0])

    def _reduce_gradients(self) -> None:
        parameters = [parameter for parameter in self._trained.parameters() if not parameter.stop_gradient]
        # None means "not used", and an optimizer leaves such a parameter alone; used by some is used by all.
        is_used = np.array([parameter.grad is not None for parameter in parameters], np.int32)
        if not self._all_used:
            is_used = distributed.all_reduce_array(is_used)
        used = [parameter for parameter, count in zip(parameters, is_used) if count]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = paddle.zeros_like(parameter)
        distributed.all_reduce_tensors([parameter.grad for parameter in used])

    def _rescale_by_weights(self) -> None:
        """Divide the gradients of an accumulation group by the weight of its samples, instead of by their number."""
        weights, size = self._group_weights, self._group_size
        if weights is None:
            return
        self._group_weights = None
        distributed.all_reduce_tensors([weights])
        with paddle.no_grad():
            if len(weights) > 1:  # looked at later: it would make Python wait for the device
                spread = (weights.max() - weights.min()) / size
                self._spread = spread if self._spread is None else paddle.maximum(self._spread, spread)
            factor = (size / paddle.clip(weights[0], min=MIN_WEIGHT)).astype("float32")
            for parameter in self._trained.parameters():
                if parameter.grad is not None:
                    paddle.assign(parameter.grad * factor.astype(parameter.grad.dtype), parameter.grad)

    def require_common_weights(self) -> None:
        """Look at the weights of what was accumulated since the last call; waits for the device.

        Raises:
            ConfigError: losses whose samples weigh differently were accumulated: they have no common gradient.
        """
        spread, self._spread = self._spread, None
        if spread is not None and float(spread) > _SAME:
            raise distributed.mark_on_all_ranks(
                ConfigError(
                    "Global.update_freq: cannot be more than 1 with several losses of which one has class_weights; "
                    "remove the weights or a loss, or make the batch larger instead"
                )
            )


def batch_norm_statistics(model: paddle.nn.Layer) -> Iterator[paddle.Tensor]:
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


def gather_messages(messages: List[str]) -> List[str]:
    """Return the messages of all processes; a collective."""
    if not distributed.sync_errors(None, len(messages))[0]:
        return []
    return [message for part in distributed.all_gather(messages) for message in part]
