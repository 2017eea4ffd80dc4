"""The transforms of each batch, where image sizes or strengths change over training."""

from __future__ import annotations

import bisect
from typing import Any, Callable, Dict, List, Optional, Tuple

from ppcls.data.samplers import DistributedBatchSampler, MultiScaleSampler
from ppcls.data.transforms import Compose
from ppcls.errors import ConfigError

Transforms = Callable[..., Any]


class TransformPlan:
    """The transforms of each batch. They depend on the epoch and the batch's number only.

    They are the same for all batches, except with a ``MultiScaleSampler``, which gives each batch an image size, and in
    progressive training (https://arxiv.org/abs/2104.00298, section 4.2), which divides the epochs into stages.

    Args:
        transforms: as the recipe lists them.
        sampler: chooses the samples of each batch.
        progressive_epochs: number of epochs that are divided into stages; None without progressive training.

    Raises:
        ConfigError: the transforms cannot change as they should, or they have stages and training is not progressive.
    """

    def __init__(
        self, transforms: Transforms, sampler: DistributedBatchSampler, progressive_epochs: Optional[int]
    ) -> None:
        self._sampler = sampler if isinstance(sampler, MultiScaleSampler) else None
        stages = transforms.stages if isinstance(transforms, Compose) else 0
        if stages and progressive_epochs is None:
            raise ConfigError(
                "transform_ops: progress_size and progress_magnitude have no effect without Global.train_mode: "
                "progressive, which is for training only; add it or leave them out"
            )
        if progressive_epochs is not None and not stages:
            raise ConfigError(
                "Global.train_mode: progressive needs RandCropImage.progress_size or RandAugmentV2.progress_magnitude "
                "in DataLoader.Train"
            )
        if stages and self._sampler is not None:
            raise ConfigError("sampler: MultiScaleSampler and Global.train_mode: progressive exclude each other")
        # As in PaddleClas: stage i ends with epoch int(epochs * (i + 1) / stages), counted from 1.
        self._stage_ends = [int((progressive_epochs or 0) * (index + 1) / stages) for index in range(stages)]
        # Made here, so that mistakes are found before training.
        self._made: Dict[Tuple[Optional[int], Any], Transforms] = {(None, None): transforms}
        if isinstance(transforms, Compose):
            for stage in range(stages):
                self._made[stage, None] = transforms.at_stage(stage)
            for size, _ in self._sampler.scales if self._sampler is not None else ():
                self._made[None, size] = transforms.resized(size)

    def of_batch(self, epoch: int, batch: Optional[int]) -> Transforms:
        """Return the transforms of a batch of an epoch, both counted from 0; None is a batch of chosen samples."""
        size = None if self._sampler is None or batch is None else self._sampler.image_size(epoch, batch)
        return self._made[self.stage(epoch), size]

    def stage(self, epoch: int) -> Optional[int]:
        """Return the stage of progressive training of an epoch, both counted from 0; None without it."""
        if not self._stage_ends:
            return None
        return min(bisect.bisect_left(self._stage_ends, epoch + 1), len(self._stage_ends) - 1)

    @property
    def num_stages(self) -> int:
        """Return the number of stages of progressive training; 0 without it."""
        return len(self._stage_ends)

    @property
    def varies(self) -> bool:
        """Return whether batches differ in their transforms."""
        return len(self._made) > 1

    def variants(self, batch_size: int) -> List[Tuple[Transforms, int]]:
        """Return all transforms that occur, each with the largest number of images per process.

        Args:
            batch_size: of batches without a size of their own.
        """
        if self._sampler is not None:
            return [(self._made[None, size], images) for size, images in self._sampler.scales]
        made = [
            transforms for (stage, _), transforms in self._made.items() if not self._stage_ends or stage is not None
        ]
        return [(transforms, batch_size) for transforms in made]
