"""What a loss is: a mean over samples, of which several processes can each compute a part."""

from __future__ import annotations

from typing import Any, FrozenSet, Optional

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.registry import Source
from ppcls.registry.failures import located_errors

# What a loss is for: images with one class each, or with any number of classes each.
SINGLE_LABEL, MULTI_LABEL = "single-label", "multi-label"
# A sum of sample weights is at least this: samples without weight have no loss, rather than 0 / 0.
MIN_WEIGHT = 1e-30


class Loss(nn.Layer):
    """The mean of ``sample_losses``; with ``sample_weights``, the sum of the losses over the sum of the weights.

    Attributes:
        weight: factor of this loss in the sum of all losses.
        label_kinds: which data the loss is for: ``SINGLE_LABEL`` (labels [B], or distributions [B, K]), ``MULTI_LABEL``
            (0 or 1 for each class, or a mixture of these, [B, K]), or both.
    """

    weight: float = 1.0
    label_kinds: FrozenSet[str] = frozenset({SINGLE_LABEL})

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B], for logits [B, K] and labels [B] or [B, K].

        Raises:
            ValueError: the labels have another shape or type.
        """
        raise NotImplementedError

    def sample_weights(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return how much each sample counts, float32 [B]; None where all count 1."""
        return None

    @property
    def is_weighted(self) -> bool:
        """Whether ``sample_weights`` gives weights; False where all samples count 1."""
        return type(self).sample_weights is not Loss.sample_weights

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the unweighted loss, a scalar of shape []; see ``sample_losses``."""
        losses, weights = self.sample_losses(logits, labels), self.sample_weights(logits, labels)
        return losses.mean() if weights is None else losses.sum() / paddle.clip(weights.sum(), min=MIN_WEIGHT)


class LossAdapter(Loss):
    """Adapts a user's loss: a callable of (logits, targets) that returns one number, or one per image.

    One number is taken as the mean over the images of the batch. Only a loss that returns one number per image is exact
    where batches are divided between processes or accumulated.

    Args:
        name: what the recipe calls it, for messages.
        loss: a callable, or an object with ``forward(logits, targets)``; a ``Loss`` keeps its ``sample_weights``.
        source: where its code comes from.

    Raises:
        ConfigError: it cannot be called.
    """

    label_kinds = frozenset({SINGLE_LABEL, MULTI_LABEL})  # as far as we know

    def __init__(self, name: str, loss: Any, source: Optional[Source]) -> None:
        super().__init__()
        self._name = name
        self._source = source
        self._loss = loss  # a layer's parameters and buffers become this layer's
        function = loss.sample_losses if isinstance(loss, Loss) else loss
        self._call: Any = function if callable(function) else getattr(loss, "forward", None)
        if self._call is None:
            raise ConfigError(f"{name}: a loss needs the method forward(logits, targets)")
        self.weight = float(getattr(loss, "weight", 1.0))

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B]; the mean of the batch for each if the loss returns only that.

        Raises:
            ConfigError: the loss fails, or returns something else.
        """
        with located_errors(self._name, self._source):
            value = self._call(logits, labels)
        batch = logits.shape[0]
        if isinstance(value, paddle.Tensor) and int(value.size) == 1 and value.ndim <= 1:
            return value.astype("float32").reshape([1]).expand([batch])
        if not isinstance(value, paddle.Tensor) or list(value.shape) != [batch]:
            what = f"a tensor of shape {list(value.shape)}" if isinstance(value, paddle.Tensor) else repr(value)
            raise ConfigError(f"{self._name}: a loss returns one number, or one per image ([{batch}]), not {what}")
        return value.astype("float32")

    def sample_weights(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return the weight of each sample, float32 [B]; None where all count 1."""
        if not isinstance(self._loss, Loss):
            return None
        with located_errors(self._name, self._source):
            return self._loss.sample_weights(logits, labels)

    @property
    def is_weighted(self) -> bool:
        """Whether ``sample_weights`` gives weights."""
        return isinstance(self._loss, Loss) and self._loss.is_weighted
