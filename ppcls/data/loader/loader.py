"""The data loader of training and evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.datasets.base import Dataset
from ppcls.data.loader.batch import Batch, SampleLoader
from ppcls.data.loader.pool import WorkerPool
from ppcls.data.loader.transform_plan import TransformPlan
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.data.transforms import Compose
from ppcls.errors import ConfigError


class DataLoader:
    """Yields the batches of an epoch in order. Use it as a context manager.

    The batches do not depend on the number of workers.

    Args:
        dataset: the source of the samples.
        transforms: called with a sample of the data set and a random generator; returns [C, H, W] float32.
        sampler: chooses the samples of each batch.
        seed: seed of the random transforms.
        num_workers: number of worker processes; 0 makes each batch in this process when it is requested.
        prefetch: number of batches that workers prepare in advance.
        train: whether the loader is for training, where unreadable images may be skipped (``on_error``).
        batch_transforms: mixes the images of a batch and makes soft targets, see ``BatchCompose``; for training only.
        use_shared_memory: whether workers pass images through shared memory; otherwise through pipes, which is slower.
        progressive_epochs: number of epochs that progressive training divides into stages; None without it.
        test_time_views: whether the transforms may make several views of each image of an evaluation.

    Attributes:
        plan: the transforms of each batch.
        views: number of images made of each sample: more than 1 with ``splits`` of AugMix or test-time augmentation.

    Raises:
        ConfigError: an evaluation would replace, leave out, repeat, split or mix images, or the transforms do not fit
            the sampler or progressive training.
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
        batch_transforms: Optional[BatchCompose] = None,
        use_shared_memory: bool = True,
        progressive_epochs: Optional[int] = None,
        test_time_views: bool = False,
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
                f"sampler: {type(sampler).__name__} is for training: it repeats images or changes their size, and "
                f"evaluation counts each once; use DistributedBatchSampler here"
            )
        if batch_transforms is not None and not train:
            raise ConfigError(
                "batch_transform_ops: would mix the images of an evaluation; use it in DataLoader.Train only"
            )
        self.plan = TransformPlan(transforms, sampler, progressive_epochs)
        self.views = transforms.views if isinstance(transforms, Compose) else 1
        if self.views > 1 and not test_time_views:
            _require_splits_possible(train, batch_transforms)
        self.dataset = dataset
        self.sampler = sampler
        self._batch_transforms = batch_transforms
        self._seed = seed
        self._samples = SampleLoader(dataset, self.plan, seed, skip)
        self._num_workers = num_workers
        self._prefetch = prefetch
        self._use_shared_memory = use_shared_memory
        self._pool: Optional[WorkerPool] = None
        self._iterations = 0

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
        """Return an iterator over the batches of an epoch. Earlier iterators of this loader become invalid.

        A batch is empty, [0, 0, 0, 0], if this process has no part of it (see the sampler).

        Args:
            epoch: counted from 0. The sample order and the random transforms depend on it.
            start: number of batches to leave out. The others are the same as in a full epoch.

        Raises:
            DataError: an image is broken, or a worker died. The iterator raises it.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start must be in 0..{len(self)}, not {start}")
        self._iterations += 1
        return self._iterate(epoch, start, self._iterations)

    def load_batch(self, epoch: int, draws: Sequence[int]) -> Batch:
        """Return a batch of chosen draws (see ``DistributedBatchSampler.batches``), without batch transforms.

        Raises:
            DataError: an image is broken.
        """
        return _with_views_first(self._samples.load_batch(epoch, None, draws, _allocate))

    def trial_batches(self) -> Iterator[Batch]:
        """Yield the first sample of the first epoch as a batch, by each of the transforms that occur in training.

        Raises:
            DataError: its image is broken.
        """
        draw = next((int(batch[0]) for batch in self.sampler.batches(0) if len(batch)), 0)
        for transforms, _ in self.plan.variants(self.sampler.batch_size):
            index, image = self._samples.load_sample(0, draw, [], transforms)
            indices = np.array([index], dtype=np.int64)
            batch = _with_views_first(Batch(image[None], self.dataset.labels[indices], indices))
            yield batch if self._batch_transforms is None else self._transformed(batch, 0, 0)

    def _iterate(self, epoch: int, start: int, iteration: int) -> Iterator[Batch]:
        self._check_current(iteration)
        if start == len(self):  # a run was resumed at the end of an epoch: do not start workers
            return
        batches = self._from_workers(epoch, start) if self._num_workers else self._from_this_process(epoch, start)
        for number, batch in enumerate(batches, start):
            batch = _with_views_first(batch)
            yield batch if self._batch_transforms is None else self._transformed(batch, epoch, number)
            del batch  # otherwise its images would stay alive while the next ones are made
            self._check_current(iteration)

    def _transformed(self, batch: Batch, epoch: int, number: int) -> Batch:
        """Return the batch after the batch transforms; they depend on seed, epoch, batch number and rank only."""
        assert self._batch_transforms is not None
        # The spawn key separates these seeds from those of samples: numpy pads entropy with zeros, so rank 0's batch
        # would otherwise get the same random numbers as the sample of the same number.
        seed = np.random.SeedSequence((self._seed, epoch, number, self.sampler.rank), spawn_key=(0,))
        targets = self._batch_transforms(batch.images, batch.labels, epoch, np.random.Generator(np.random.PCG64(seed)))
        return replace(batch, targets=targets)

    def _check_current(self, iteration: int) -> None:
        if iteration != self._iterations:
            raise RuntimeError("another epoch of this loader was started: an iterator over an earlier one has ended")

    def _from_this_process(self, epoch: int, start: int) -> Iterator[Batch]:
        for number, indices in enumerate(self.sampler.batches(epoch)[start:], start):
            yield self._samples.load_batch(epoch, number, indices.tolist(), _allocate)

    def _from_workers(self, epoch: int, start: int) -> Iterator[Batch]:
        if self._pool is None or self._pool.broken:
            slot_size = None
            indices = next((batch for batch in self.sampler.batches(epoch)[start:] if len(batch)), None)
            if self._use_shared_memory and indices is not None:
                # The memory must exist before the workers are forked, and its size depends on the image size.
                slot_size = max(
                    images * self._samples.load_sample(epoch, int(indices[0]), [], transforms)[1].size
                    for transforms, images in self.plan.variants(self.sampler.batch_size)
                )
            self._pool = WorkerPool(self._samples, self.sampler, self._num_workers, self._prefetch, slot_size)
        yield from self._pool.run(epoch, start)


def _require_splits_possible(train: bool, batch_transforms: Optional[BatchCompose]) -> None:
    if not train:
        raise ConfigError("transform_ops: splits is for training: an evaluation counts each image once; leave it out")
    if batch_transforms is not None:
        raise ConfigError(
            "batch_transform_ops: would mix different images, and splits compares images made of the same one; use "
            "one of them"
        )


def _with_views_first(batch: Batch) -> Batch:
    """Return a batch of images [B, views, C, H, W] with images [views * B, C, H, W], all clean ones first."""
    if batch.images.ndim != 5:
        return batch
    views = batch.images.shape[1]
    images = np.ascontiguousarray(batch.images.swapaxes(0, 1))
    return replace(batch, images=images.reshape(-1, *images.shape[2:]), views=views)


def _allocate(shape: Tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.float32)
