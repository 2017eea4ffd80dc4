"""Batch samplers for data sets with random access."""

from __future__ import annotations

from typing import List

import numpy as np

from ppcls.errors import ConfigError, DataError
from ppcls.registry import Registry
from ppcls.registry.checks import require_int

SAMPLERS = Registry(
    "sampler",
    trial_arguments=lambda: {
        "length": 2**62,
        "seed": 0,
        "num_replicas": 1,
        "rank": 0,
        "labels": np.zeros(1, np.int64),
        "boundaries": np.array([0, 2**62]),
    },
    injectable=("length", "seed", "num_replicas", "rank", "labels", "boundaries"),
    interface=("batches", "batch_size", "num_replicas", "rank", "drop_last", "train_only", "__len__"),
    base="ppcls.data.samplers.DistributedBatchSampler",
)
INJECTED = ("length", "seed", "num_replicas", "rank")


@SAMPLERS.register(name="BatchSampler", injected=INJECTED)
@SAMPLERS.register(injected=INJECTED)
class DistributedBatchSampler:
    """Divides the samples into global batches, and each global batch among the processes.

    The order depends only on seed and epoch. No sample is repeated to fill up a batch. An incomplete last batch is
    divided as evenly as possible, so that some processes may get an empty part; ``drop_last`` leaves it out.

    Args:
        batch_size: images per process and step.
        shuffle: use a new random order in each epoch.
        drop_last: leave out an incomplete last batch.
        length: number of samples in the data set.
        seed: seed of the order.
        num_replicas: number of processes.
        rank: rank of this process.

    Attributes:
        train_only: whether an epoch may leave out or repeat samples, so that it cannot be used for evaluation.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there is not even one batch.
    """

    train_only = False

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
        self.batch_size = require_int("batch_size", batch_size, 1)
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
        complete, remainder = divmod(self.length, self.batch_size * self.num_replicas)
        return complete + bool(remainder and not self.drop_last)

    def batches(self, epoch: int) -> List[np.ndarray]:
        """Return this process's draws, one int64 array per batch.

        A draw is a sample's index, plus ``length`` for each earlier draw of that sample in the epoch, so that its
        repetitions are augmented differently.
        """
        order = self._order(epoch)
        size = self.batch_size * self.num_replicas
        return [self._part(order[number * size : (number + 1) * size]) for number in range(len(self))]

    def _order(self, epoch: int) -> np.ndarray:
        """Return the draws of all processes in an epoch."""
        order = np.arange(self.length, dtype=np.int64)
        if self.shuffle:
            self._generator(epoch).shuffle(order)
        return order

    def _part(self, batch: np.ndarray) -> np.ndarray:
        """Return this process's part of a global batch."""
        first, last = (len(batch) * rank // self.num_replicas for rank in (self.rank, self.rank + 1))
        return batch[first:last]

    def _generator(self, epoch: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, epoch))))


@SAMPLERS.register(injected=INJECTED)
class RASampler(DistributedBatchSampler):
    """Repeated augmentation: each epoch uses a part of the samples, several times (https://arxiv.org/abs/1901.09335).

    As in DeiT, an epoch is as long as without repetitions, and the repetitions of a sample go to different processes.
    With one process they are in the same batch. (DeiT also rounds the length down to a multiple of 256.)

    Args:
        batch_size: images per process and step.
        shuffle: must be true: otherwise every epoch would use the same first samples.
        drop_last: leave out an incomplete last batch.
        num_repeats: number of times that each sample is used.
        length: number of samples in the data set.
        seed: seed of the order.
        num_replicas: number of processes.
        rank: rank of this process.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there is not even one batch.
    """

    train_only = True

    def __init__(
        self,
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        num_repeats: int = 3,
        *,
        length: int,
        seed: int,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        if not shuffle:
            raise ConfigError("shuffle: false would train on the same first samples in every epoch; set it to true")
        self.num_repeats = require_int("num_repeats", num_repeats, 1)
        super().__init__(batch_size, shuffle, drop_last, length=length, seed=seed, num_replicas=num_replicas, rank=rank)

    def _order(self, epoch: int) -> np.ndarray:
        order = super()._order(epoch)[: -(-self.length // self.num_repeats)]
        repeats = np.arange(self.num_repeats, dtype=np.int64) * self.length
        return (order[:, None] + repeats).reshape(-1)[: self.length]

    def _part(self, batch: np.ndarray) -> np.ndarray:
        return batch[self.rank :: self.num_replicas]


@SAMPLERS.register(injected=(*INJECTED, "labels"))
class ClassBalancedSampler(DistributedBatchSampler):
    """Draws every class equally often. Samples of small classes are repeated; samples of large classes take turns.

    This is class-aware sampling, https://arxiv.org/abs/1512.05830. An epoch has as many draws as the data set has
    samples. Within a class, every sample is drawn once before any is drawn again.

    Args:
        batch_size: images per process and step.
        shuffle: must be true, since samples are drawn at random.
        drop_last: leave out an incomplete last batch.
        length: number of samples in the data set.
        seed: seed of the draws.
        num_replicas: number of processes.
        rank: rank of this process.
        labels: class ids of the samples.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there is not even one batch.
    """

    train_only = True

    def __init__(
        self,
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        *,
        length: int,
        seed: int,
        num_replicas: int = 1,
        rank: int = 0,
        labels: np.ndarray,
    ) -> None:
        if not shuffle:
            raise ConfigError("shuffle: false is not possible, since samples are drawn; set it to true")
        super().__init__(batch_size, shuffle, drop_last, length=length, seed=seed, num_replicas=num_replicas, rank=rank)
        if labels.ndim != 1:
            raise ConfigError("ClassBalancedSampler draws by the class of an image, and these images have several each")
        counts = np.unique(labels, return_counts=True)[1]
        self._members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])

    def _order(self, epoch: int) -> np.ndarray:
        rng = self._generator(epoch)
        counts = np.full(len(self._members), self.length // len(self._members))
        # The remaining draws go to randomly chosen classes.
        counts[rng.permutation(len(counts))[: self.length % len(counts)]] += 1
        draws = [self._draw_from_class(members, int(count), rng) for members, count in zip(self._members, counts)]
        order = np.concatenate(draws)
        rng.shuffle(order)
        return order

    def _draw_from_class(self, members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        rounds = -(-count // len(members))
        order = [rng.permutation(members) + number * self.length for number in range(rounds)]
        return np.concatenate([np.empty(0, np.int64), *order])[:count]
