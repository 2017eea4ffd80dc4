"""A batch sampler for shards: it reads them sequentially and shuffles within a buffer."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ppcls.data.samplers.batch_samplers import INJECTED, SAMPLERS, DistributedBatchSampler
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_int


@SAMPLERS.register(injected=(*INJECTED, "boundaries"))
class ShardBatchSampler(DistributedBatchSampler):
    """For data sets in shards: reads several streams sequentially and shuffles each of them within a buffer.

    Each epoch puts the shards in a new order and divides them into ``streams`` streams of equal length. Each batch
    takes an equal part from every stream. The order depends on seed, epoch, ``buffer_size`` and ``streams`` only. If
    ``streams`` is a multiple of processes times data workers, and the global batch a multiple of ``streams``, each
    stream is read by a single worker.

    Args:
        batch_size: images per process and step.
        shuffle: use a new random order in each epoch; otherwise the streams follow the order of the shards.
        drop_last: leave out an incomplete last batch.
        buffer_size: size of the shuffle buffer of each stream, in samples.
        streams: number of streams of all processes together.
        length: number of samples in the data set.
        seed: seed of the order.
        num_replicas: number of processes.
        rank: rank of this process.
        boundaries: index of each shard's first sample, then ``length``; None for data that are not in shards.

    Raises:
        ConfigError: an argument is invalid, or the data set is not in shards.
        DataError: there is not even one batch.
    """

    def __init__(
        self,
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        buffer_size: int = 1000,
        streams: int = 16,
        *,
        length: int,
        seed: int,
        num_replicas: int = 1,
        rank: int = 0,
        boundaries: Optional[np.ndarray],
    ) -> None:
        self.buffer_size = require_int("buffer_size", buffer_size, 1)
        self.streams = require_int("streams", streams, 1)
        if boundaries is None:
            raise ConfigError(
                "the data set is not in shards; use DistributedBatchSampler, or write shards with `ppcls pack-data` "
                "and read them with ShardDataset"
            )
        self._boundaries = boundaries
        super().__init__(batch_size, shuffle, drop_last, length=length, seed=seed, num_replicas=num_replicas, rank=rank)

    def _order(self, epoch: int) -> np.ndarray:
        samples = np.arange(self.length, dtype=np.int64)
        counts = np.full(self.streams, self.length // self.streams)
        counts[: self.length % self.streams] += 1
        streams = np.split(samples, np.cumsum(counts)[:-1])
        if self.shuffle:
            rng = self._generator(epoch)
            shards = np.split(samples, self._boundaries[1:-1])
            samples = np.concatenate([shards[number] for number in rng.permutation(len(shards))])
            streams = [samples[stream][shuffle_buffer_order(len(stream), self.buffer_size, rng)] for stream in streams]
        interleaved = np.empty(self.length, np.int64)
        for number, stream in enumerate(streams):
            interleaved[number :: self.streams] = stream
        return interleaved[self._group_by_stream()]

    def _group_by_stream(self) -> np.ndarray:
        """Return the permutation of interleaved streams that puts the samples of a stream in a batch side by side."""
        positions = np.arange(self.length, dtype=np.int64)
        batch = positions // (self.batch_size * self.num_replicas)
        return np.argsort(batch * self.streams + positions % self.streams, kind="stable")


def shuffle_buffer_order(length: int, buffer_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the order in which items 0, 1, 2, ... leave a shuffle buffer.

    The buffer is filled first. Then each new item replaces a random one, which leaves. At the end the rest leaves in
    random order. So the n-th item that leaves is among the first n + ``buffer_size`` items.

    Args:
        length: number of items.
        buffer_size: capacity of the buffer.
    """
    size = min(buffer_size, length)
    slots = np.concatenate([np.arange(size), rng.integers(size, size=length - size)])
    by_slot = np.argsort(slots, kind="stable")
    replaced = slots[by_slot[:-1]] == slots[by_slot[1:]]
    # An item leaves when the next one enters its slot.
    order = np.empty(length, np.int64)
    order[by_slot[1:][replaced] - size] = by_slot[:-1][replaced]
    last = np.ones(length, bool)
    last[by_slot[:-1][replaced]] = False
    order[length - size :] = rng.permutation(np.flatnonzero(last))
    return order
