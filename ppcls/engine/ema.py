"""Exponential moving average of a model's weights and batch-norm statistics."""

from __future__ import annotations

import contextlib
from typing import Callable, Dict, Iterator, Mapping, Optional

import numpy as np
import paddle

from ppcls.errors import CheckpointError


class EMA:
    """Keeps e <- d e + (1 - d) w for every floating-point tensor of a model; the others are copied.

    One float32 copy of the model is kept; for an evaluation the two change places, tensor by tensor.

    Args:
        model: whose weights are averaged; the average begins with what they are now.
        decay: d.
        warmup: use min(d, (1 + n) / (10 + n)) after n updates: the average forgets the random weights sooner
            (https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage, ``num_updates``).
        weights: gives the tensors to average, by name; the model's own unless it computes with half-precision copies.
    """

    def __init__(
        self,
        model: paddle.nn.Layer,
        decay: float,
        warmup: bool = True,
        weights: Optional[Callable[[], Mapping[str, paddle.Tensor]]] = None,
    ) -> None:
        self.decay = decay
        self.warmup = warmup
        self._model = model
        self._weights = weights or model.state_dict
        self._swapped = False
        self._average: Dict[str, paddle.Tensor] = {}
        self.restart()

    def restart(self) -> None:
        """Begin with the weights as they are now."""
        with paddle.no_grad():
            self._average = {name: _as_float32(tensor).clone().detach() for name, tensor in self._weights().items()}

    def update(self, step: int) -> None:
        """Take the weights in after ``step`` updates, this one counted."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        with paddle.no_grad():
            for name, tensor in self._weights().items():
                average = self._average[name]
                if average.is_floating_point():
                    average.lerp_(_as_float32(tensor), 1.0 - decay)
                else:
                    average.set_value(tensor)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average while the block runs."""
        self._swap()
        self._swapped = True
        try:
            yield
        finally:
            self._swap()
            self._swapped = False

    def _swap(self) -> None:
        with paddle.no_grad():
            full = self._weights()
            for name, tensor in self._model.state_dict().items():
                average = self._average[name]
                if tensor.dtype == average.dtype:
                    kept = tensor.clone()
                    tensor.set_value(average)
                    average.set_value(kept)
                else:  # the rounded copy of a weight that is kept elsewhere: nothing to change places with
                    tensor.set_value((full[name] if self._swapped else average).astype(tensor.dtype))

    def raw_weights(self) -> Dict[str, np.ndarray]:
        """Return a copy of the weights that are trained, also while the average is applied."""
        moved = self._swapped_tensors()
        return {
            name: (self._average[name] if name in moved else _as_float32(tensor)).numpy()
            for name, tensor in self._weights().items()
        }

    def averaged_weights(self) -> Dict[str, np.ndarray]:
        """Return a copy of the average, also while it is applied."""
        moved = self._swapped_tensors()
        return {name: moved.get(name, tensor).numpy() for name, tensor in self._average.items()}

    def _swapped_tensors(self) -> Dict[str, paddle.Tensor]:
        """Return the tensors of the model that have changed places with the average."""
        if not self._swapped:
            return {}
        tensors = self._model.state_dict()
        return {name: tensor for name, tensor in tensors.items() if tensor.dtype == self._average[name].dtype}

    def load_average(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from an average that was saved.

        Raises:
            CheckpointError: it is of another model.
        """
        wrong = sorted(set(arrays) ^ set(self._average))
        wrong += [name for name in self._average if name not in wrong and _shape(arrays[name]) != self._shape_of(name)]
        if wrong:
            raise CheckpointError(f"the averaged weights do not fit this model: {', '.join(wrong[:10])}")
        for name, tensor in self._average.items():
            tensor.set_value(np.asarray(arrays[name]))

    def _shape_of(self, name: str) -> list:
        return list(self._average[name].shape)


def _as_float32(tensor: paddle.Tensor) -> paddle.Tensor:
    """Return half-precision numbers as float32, in which small steps are not rounded away."""
    return tensor.astype("float32") if tensor.dtype in (paddle.float16, paddle.bfloat16) else tensor


def _shape(array: np.ndarray) -> list:
    return list(np.asarray(array).shape)
