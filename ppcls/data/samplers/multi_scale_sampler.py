"""A batch sampler for training on images of several sizes."""

from __future__ import annotations

from typing import List, Sequence, Tuple, Union

import numpy as np

from ppcls.data.samplers.batch_samplers import INJECTED, SAMPLERS, DistributedBatchSampler
from ppcls.data.transforms.arguments import size_pair
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_int

Size = Tuple[int, int]  # width, height, in pixels


@SAMPLERS.register(injected=INJECTED)
class MultiScaleSampler(DistributedBatchSampler):
    """Draws an image size for each batch, with fewer images where they are larger (MobileViT, arXiv 2110.02178, 3.2).

    Each group of ``len(scales)`` consecutive batches has every size once, in random order. So the number of batches is
    the same in every epoch. The size of a batch depends on seed, epoch and the batch's number
    only; all processes of a step have the same.

    Args:
        scales: sizes of the images: sides, or pairs [width, height], in pixels.
        first_bs: images per process and step at the first size. At another size it is this number times the ratio of
            the areas, rounded down.
        divided_factor: sides are rounded down to a multiple of it.
        is_training: false always takes the first size, as it is written.
        shuffle: use a new random order of the images in each epoch.
        drop_last: leave out an incomplete last batch.
        length: number of samples in the data set.
        seed: seed of the order and of the sizes.
        num_replicas: number of processes.
        rank: rank of this process.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there is not even one batch.
    """

    def __init__(
        self,
        scales: Sequence[Union[int, Sequence[int]]],
        first_bs: int,
        divided_factor: int = 32,
        is_training: bool = True,
        shuffle: bool = True,
        drop_last: bool = False,
        *,
        length: int,
        seed: int,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        if not scales:
            raise ConfigError("scales: give at least one size")
        sizes = [size_pair("scales", scale) for scale in scales]
        images = require_int("first_bs", first_bs, 1)
        factor = require_int("divided_factor", divided_factor, 1)
        area = sizes[0][0] * sizes[0][1] * images
        self.scales: List[Tuple[Size, int]] = [(sizes[0], images)]
        if is_training:
            sizes = [(width // factor * factor, height // factor * factor) for width, height in sizes]
            if not all(side for size in sizes for side in size):
                raise ConfigError(f"scales: a side is below divided_factor, {factor}, and would be rounded down to 0")
            self.scales = [((width, height), max(1, area // (width * height))) for width, height in sizes]
        self.train_only = is_training
        self._plan_last_round(length, seed, num_replicas, drop_last)
        super().__init__(images, shuffle, drop_last, length=length, seed=seed, num_replicas=num_replicas, rank=rank)
        self._epoch_plan: Tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def _plan_last_round(self, length: int, seed: int, num_replicas: int, drop_last: bool) -> None:
        """Set the number of complete rounds of all sizes, and the sizes after them, the same in every epoch."""
        counts = [images * num_replicas for _, images in self.scales]
        self._rounds, rest = divmod(length, sum(counts))
        # The spawn key separates these random numbers from those of the samples' order.
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed,), spawn_key=(1,))))
        self._last_round: List[int] = []
        for scale in rng.permutation(len(counts)):
            if rest > 0 and not (drop_last and rest < counts[scale]):
                self._last_round.append(int(scale))
            rest -= counts[scale]

    def __len__(self) -> int:
        """Return the number of batches in an epoch, the same for every process and epoch."""
        return self._rounds * len(self.scales) + len(self._last_round)

    def batches(self, epoch: int) -> List[np.ndarray]:
        """Return this process's draws, one int64 array per batch; see ``DistributedBatchSampler.batches``."""
        order, ends = self._order(epoch), self._ends(epoch)
        return [self._part(order[first:last]) for first, last in zip(ends, ends[1:])]

    def image_size(self, epoch: int, batch: int) -> Size:
        """Return the size (width, height) of the images in a batch of an epoch."""
        return self.scales[int(self._plan(epoch)[batch])][0]

    def _ends(self, epoch: int) -> np.ndarray:
        """Return the number of draws before each batch of an epoch, and in all of them."""
        counts = np.array([images * self.num_replicas for _, images in self.scales])[self._plan(epoch)]
        return np.minimum(np.concatenate([[0], np.cumsum(counts)]), self.length)

    def _plan(self, epoch: int) -> np.ndarray:
        """Return the index in ``scales`` of each batch of an epoch."""
        if self._epoch_plan[0] != epoch:
            seed = np.random.SeedSequence((self.seed, epoch), spawn_key=(1,))
            rounds = np.tile(np.arange(len(self.scales)), (self._rounds, 1))
            rounds = np.random.Generator(np.random.PCG64(seed)).permuted(rounds, axis=1)
            self._epoch_plan = (epoch, np.concatenate([rounds.ravel(), np.array(self._last_round, np.int64)]))
        return self._epoch_plan[1]
