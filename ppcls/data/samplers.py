"""Which samples make a batch."""

from __future__ import annotations

from typing import Any, List

import numpy as np

from ppcls.config.registry import Registry
from ppcls.errors import ConfigError, DataError

SAMPLERS = Registry(
    "sampler",
    trial=lambda: {"length": 2**62, "seed": 0, "num_replicas": 1, "rank": 0},
    planned=("RASampler", "DistributedRandomIdentitySampler"),
)
_PROVIDED = ("length", "seed", "num_replicas", "rank")


@SAMPLERS.register(name="BatchSampler", provided=_PROVIDED)
@SAMPLERS.register(provided=_PROVIDED)
class DistributedBatchSampler:
    """Cuts the samples, shuffled or not, into batches, and each batch into one part a process.

    The order depends on (seed, epoch) alone. No sample is repeated to fill a batch up. A last batch that is not full is
    shared out as evenly as possible, so some processes may get an empty part of it; with ``drop_last`` nobody gets any.

    Args:
        batch_size: images a process and step.
        shuffle: draw a new order each epoch.
        drop_last: leave out a last batch that is not full.
        length: how many samples the data set has.
        seed: of the order.
        num_replicas: how many processes share a batch.
        rank: which of them this is.

    Raises:
        ConfigError: a value makes no sense.
        DataError: not even one batch.
    """

    def __init__(
        self,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        length: int,
        seed: int,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        self.batch_size = _batch_size(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.length = length
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        if not 0 <= rank < num_replicas:
            raise ConfigError(f"rank: must be in 0..{num_replicas - 1}, not {rank}")
        if length == 0:
            raise DataError("the data set has no images")
        if not len(self):
            processes = f" x {num_replicas} processes" if num_replicas > 1 else ""
            raise DataError(
                f"the data set has {length} images, fewer than one batch (sampler.batch_size {self.batch_size}"
                f"{processes}), and sampler.drop_last leaves it out: lower batch_size or set drop_last to false"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch, the same for every process."""
        whole, rest = divmod(self.length, self.batch_size * self.num_replicas)
        return whole + bool(rest and not self.drop_last)

    def batches(self, epoch: int) -> List[np.ndarray]:
        """Return this process's sample indices, one int64 array a batch."""
        order = np.arange(self.length, dtype=np.int64)
        if self.shuffle:
            np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, epoch)))).shuffle(order)
        size = self.batch_size * self.num_replicas
        parts = []
        for number in range(len(self)):
            batch = order[number * size : (number + 1) * size]
            first, last = (len(batch) * rank // self.num_replicas for rank in (self.rank, self.rank + 1))
            parts.append(batch[first:last])
        return parts


def _batch_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1 or int(value) != value:
        raise ConfigError(f"batch_size: must be a whole number from 1 up, not {value!r}")
    return int(value)
