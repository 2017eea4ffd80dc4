"""The loader that training and evaluation use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.datasets.base import Dataset
from ppcls.data.loader.batch import Batch, Reader
from ppcls.data.loader.pool import Pool
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.errors import ConfigError


class DataLoader:
    """Gives the batches of an epoch, in order; the same whatever the number of workers. A context manager.

    Args:
        dataset: where samples come from.
        transforms: called with what the data set gives and a random generator; returns [C, H, W] float32.
        sampler: says which samples make a batch.
        seed: of the random transforms.
        num_workers: processes that make batches; 0 makes them when they are asked for.
        prefetch: batches that workers make ahead.
        train: whether unreadable images may be replaced, as the data set's ``on_error`` says.
        mix: makes soft targets and mixes images in place, see ``BatchCompose``; for training only. None mixes nothing.
        use_shared_memory: whether workers hand images over in shared memory; pipes otherwise, which is slower.

    Raises:
        ConfigError: images would be replaced, left out, repeated or mixed in an evaluation.
    """

    def __init__(
        self,
        dataset: Dataset,
        transforms: Callable[..., Any],
        sampler: DistributedBatchSampler,
        *,
        seed: int,
        num_workers: int = 0,
        prefetch: int = 2,
        train: bool,
        mix: Optional[BatchCompose] = None,
        use_shared_memory: bool = True,
    ) -> None:
        skip = dataset.on_error == "skip"
        if skip and not train:
            raise ConfigError(
                "on_error: 'skip' would replace images, and evaluation counts each image once; use it in "
                "DataLoader.Train only, and repair or unlist broken images here"
            )
        if sampler.drop_last and not train:
            raise ConfigError("sampler.drop_last: true would leave images out, and evaluation counts each image once")
        if sampler.train_only and not train:
            raise ConfigError(
                f"sampler: {type(sampler).__name__} takes some images several times, and evaluation counts each once; "
                f"use DistributedBatchSampler here"
            )
        if mix is not None and not train:
            raise ConfigError(
                "batch_transform_ops: would mix the images of an evaluation; use it in DataLoader.Train only"
            )
        self.dataset = dataset
        self.sampler = sampler
        self._mix = mix
        self._seed = seed
        self._reader = Reader(dataset, transforms, seed, skip)
        self._num_workers = num_workers
        self._prefetch = prefetch
        self._use_shared_memory = use_shared_memory
        self._pool: Optional[Pool] = None
        self._passes = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.sampler)

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes; a later epoch starts new ones."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Return an iterator over the batches of an epoch; it ends the use of any earlier one.

        A batch of which this process has no part (see the sampler) is empty, [0, 0, 0, 0].

        Args:
            epoch: from 0; order and random transforms depend on it.
            start: batches already done. The others are the same as in a full epoch.

        Raises:
            DataError: an image is broken, or a worker died; raised by the iterator.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start must be in 0..{len(self)}, not {start}")
        self._passes += 1
        return self._iterate(epoch, start, self._passes)

    def load_batch(self, epoch: int, draws: Sequence[int]) -> Batch:
        """Return the batch of these draws (see ``DistributedBatchSampler.batches``) of an epoch, not mixed.

        Raises:
            DataError: an image is broken.
        """
        return self._reader.batch(epoch, draws, _allocate)

    def _iterate(self, epoch: int, start: int, this_pass: int) -> Iterator[Batch]:
        self._check_current(this_pass)
        if start == len(self):  # a run resumed at the end of an epoch: no reason to start workers
            return
        batches = self._with_workers(epoch, start) if self._num_workers else self._alone(epoch, start)
        for number, batch in enumerate(batches, start):
            yield batch if self._mix is None else self._mixed(batch, epoch, number)
            # Not to keep the images alive while the next ones are made.
            del batch
            self._check_current(this_pass)

    def _mixed(self, batch: Batch, epoch: int, number: int) -> Batch:
        """Return the batch with its images mixed, which depends on its number and this process's rank alone."""
        assert self._mix is not None
        # The spawn key sets it apart from the seeds of samples: numpy fills entropy up with zeros, so that the batch of
        # rank 0 would have the random numbers of the sample with its number.
        seed = np.random.SeedSequence((self._seed, epoch, number, self.sampler.rank), spawn_key=(0,))
        targets = self._mix(batch.images, batch.labels, epoch, np.random.Generator(np.random.PCG64(seed)))
        return replace(batch, targets=targets)

    def _check_current(self, this_pass: int) -> None:
        if this_pass != self._passes:
            raise RuntimeError("another epoch of this loader was started: an iterator over an earlier one has ended")

    def _alone(self, epoch: int, start: int) -> Iterator[Batch]:
        for indices in self.sampler.batches(epoch)[start:]:
            yield self._reader.batch(epoch, indices.tolist(), _allocate)

    def _with_workers(self, epoch: int, start: int) -> Iterator[Batch]:
        if self._pool is None or self._pool.broken:
            shape = None
            indices = next((batch for batch in self.sampler.batches(epoch)[start:] if len(batch)), None)
            if self._use_shared_memory and indices is not None:
                # The memory must be there before the workers, and its size depends on the images'.
                shape = self._reader.sample(epoch, int(indices[0]), [])[1].shape
            self._pool = Pool(self._reader, self.sampler, self._num_workers, self._prefetch, shape)
        yield from self._pool.run(epoch, start)


def _allocate(shape: Tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.float32)
