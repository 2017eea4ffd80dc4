"""Batches of samples in shards: read front to back, and mixed as far as a buffer reaches."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ppcls.data.samplers.batch_samplers import PROVIDED, SAMPLERS, DistributedBatchSampler, positive
from ppcls.errors import ConfigError


@SAMPLERS.register(provided=(*PROVIDED, "boundaries"))
class ShardBatchSampler(DistributedBatchSampler):
    """For data sets in shards: several streams are read front to back at a time, and each is shuffled within a buffer.

    Every epoch the shards are put into a new order and cut into as many streams of equal length as asked for. Each
    batch has its share of every stream. Where ``streams`` is a multiple of processes times data workers, and the batch
    of all processes one of ``streams``, each stream is read by one worker alone. The order depends on seed, epoch,
    ``buffer_size`` and ``streams``, not on who reads.

    Args:
        batch_size: images a process and step.
        shuffle: draw a new order each epoch; else streams follow the shards in their order, unshuffled.
        drop_last: leave out a last batch that is not full.
        buffer_size: samples of a stream among which the next one is drawn.
        streams: how many places of the data set are read at a time, by all processes together.
        length: how many samples the data set has.
        seed: of the order.
        num_replicas: how many processes share a batch.
        rank: which of them this is.
        boundaries: number of each shard's first sample, then ``length``; None of data without shards.

    Raises:
        ConfigError: a value makes no sense, or the data set is not in shards.
        DataError: not even one batch.
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
        self.buffer_size = positive("buffer_size", buffer_size)
        self.streams = positive("streams", streams)
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
        pieces = np.split(samples, np.cumsum(counts)[:-1])
        if self.shuffle:
            rng = self._generator(epoch)
            shards = np.split(samples, self._boundaries[1:-1])
            samples = np.concatenate([shards[number] for number in rng.permutation(len(shards))])
            pieces = [samples[piece][buffer_order(len(piece), self.buffer_size, rng)] for piece in pieces]
        dealt = np.empty(self.length, np.int64)
        for stream, piece in enumerate(pieces):
            dealt[stream :: self.streams] = piece
        return dealt[self._by_stream()]

    def _by_stream(self) -> np.ndarray:
        """Return the order of what was dealt around that puts each batch's samples of one stream side by side."""
        places = np.arange(self.length, dtype=np.int64)
        batch = places // (self.batch_size * self.num_replicas)
        return np.argsort(batch * self.streams + places % self.streams, kind="stable")


def buffer_order(length: int, buffer_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the order in which a buffer gives away 0, 1, 2, ...: full, it gives one at random away for each it takes.

    What comes n-th out was among the first n + ``buffer_size`` that went in.

    Args:
        length: how many go in.
        buffer_size: how many it holds.
    """
    size = min(buffer_size, length)
    slots = np.concatenate([np.arange(size), rng.integers(size, size=length - size)])
    by_slot = np.argsort(slots, kind="stable")
    again = slots[by_slot[:-1]] == slots[by_slot[1:]]
    # Whoever is in a slot is given away when the slot is filled again.
    order = np.empty(length, np.int64)
    order[by_slot[1:][again] - size] = by_slot[:-1][again]
    last = np.ones(length, bool)
    last[by_slot[:-1][again]] = False
    order[length - size :] = rng.permutation(np.flatnonzero(last))
    return order
