"""Load samples and collate them into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.datasets.base import Dataset
from ppcls.data.loader.transform_plan import TransformPlan, Transforms
from ppcls.data.transforms.compose import Compose
from ppcls.errors import DataError, PpclsError
from ppcls.registry.failures import source_of
from ppcls.registry.sources import describe_failure
from ppcls.utils.opencv import cv2

Skipped = Tuple[Tuple[int, str], ...]
Allocate = Callable[[Tuple[int, ...]], np.ndarray]
_CHUNK = 64  # images transformed in one call: more are not faster and take more memory
_MAX_VECTORIZED_SIZE = 3 * 64 * 64  # elements per image; a chunk of larger ones does not fit into the CPU's caches


@dataclass(frozen=True)
class Batch:
    """The images and labels of one step.

    Attributes:
        images: [B, C, H, W] float32; [views * B, C, H, W] with several views, all clean images first.
        labels: [B] int64.
        indices: [B] int64, index of each sample in the data set.
        skipped: (index, message) of the samples that could not be read and were replaced.
        targets: soft targets [B, K] float32 of mixed images; None without batch transforms. ``labels`` keeps the class
            of each sample before mixing.
        views: number of images made of each sample: more than 1 with ``splits`` of AugMix.
    """

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    skipped: Skipped = ()
    targets: Optional[np.ndarray] = None
    views: int = 1


def sample_rng(seed: int, epoch: int, draw: int) -> np.random.Generator:
    """Return the random generator of one draw in one epoch; it does not depend on the process or on other draws."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch, draw))))


class SampleLoader:
    """Reads and transforms samples.

    Args:
        dataset: the source of the samples.
        plan: the transforms of each batch, called with a sample of the data set and a random generator.
        seed: seed of the random transforms.
        skip: replace an unreadable sample by the next readable one.
    """

    def __init__(self, dataset: Dataset, plan: TransformPlan, seed: int, skip: bool) -> None:
        self.dataset = dataset
        self._plan = plan
        self._seed = seed
        self._skip = skip
        self._source = source_of(dataset)
        # Whether images are small enough, by the id of their transforms; known after the first one.
        self._vectorize: Dict[int, bool] = {}

    def load_image(self, epoch: int, draw: int, transforms: Optional[Transforms] = None) -> np.ndarray:
        """Return the transformed image [C, H, W] float32 of a draw (see ``DistributedBatchSampler.batches``).

        Args:
            transforms: instead of those of the epoch.

        Returns:
            The image; [views, C, H, W] with several views.

        Raises:
            DataError: it cannot be read or transformed; the message begins with the file's name.
        """
        index = draw % len(self.dataset)
        transforms = transforms or self._plan.of_batch(epoch, None)
        try:
            image = transforms(self._read(index), sample_rng(self._seed, epoch, draw))
            _check_result(image)
        except DataError as error:
            raise DataError(f"{self.dataset.describe(index)}: {error}") from error.__cause__
        return image

    def _read(self, index: int) -> Union[bytes, np.ndarray]:
        try:
            return self.dataset.read(index)
        except PpclsError:
            raise
        except Exception as error:
            if self._source is None:
                raise
            raise DataError(describe_failure(error, self._source)) from error

    def load_sample(
        self, epoch: int, draw: int, skipped: List[Tuple[int, str]], transforms: Optional[Transforms] = None
    ) -> Tuple[int, np.ndarray]:
        """Return (index, image) of a draw, or of the next readable sample if broken ones are skipped.

        Args:
            skipped: (index, message) of skipped samples are appended to it.
            transforms: instead of those of the epoch.

        Raises:
            DataError: the sample is broken and may not be skipped, or all samples are broken.
        """
        count = len(self.dataset)
        repeat, index = divmod(draw, count)
        if not self._skip:
            return index, self.load_image(epoch, draw, transforms)
        for step in range(count):
            candidate = (index + step) % count
            try:
                return candidate, self.load_image(epoch, candidate + repeat * count, transforms)
            except DataError as error:
                skipped.append((candidate, str(error)))
        raise DataError(f"none of the {count} samples can be read; the first: {skipped[-count][1]}")

    def load_batch(
        self,
        epoch: int,
        number: Optional[int],
        draws: Sequence[int],
        allocate: Allocate,
        check_cancelled: Optional[Callable[[], None]] = None,
    ) -> Batch:
        """Return a batch, or a part of one. With several views its images are [B, views, C, H, W].

        Args:
            number: number of the batch in its epoch; None for chosen draws.
            allocate: returns the array for images of a given shape [n, C, H, W].
            check_cancelled: called between samples; it raises if the batch is not wanted any more.

        Raises:
            DataError: a sample is broken, or the images differ in shape.
        """
        transforms = self._plan.of_batch(epoch, number)
        batch = self._load_vectorized(epoch, draws, transforms, allocate, check_cancelled)
        if batch is not None:
            return batch
        skipped: List[Tuple[int, str]] = []
        images, indices = np.empty((0, 0, 0, 0), np.float32), np.empty(len(draws), dtype=np.int64)
        for row, draw in enumerate(draws):
            if check_cancelled is not None:
                check_cancelled()
            indices[row], image = self.load_sample(epoch, int(draw), skipped, transforms)
            if not row:
                images = allocate((len(draws), *image.shape))
            self.check_shape(int(indices[0]), images.shape[1:], int(indices[row]), image.shape)
            images[row] = image
        return Batch(images, self.dataset.labels[indices], indices, tuple(skipped))

    def _load_vectorized(
        self,
        epoch: int,
        draws: Sequence[int],
        transforms: Transforms,
        allocate: Allocate,
        check_cancelled: Optional[Callable[[], None]],
    ) -> Optional[Batch]:
        """Return a batch of small in-memory images, transformed many at a time; None if that is not possible."""
        if not isinstance(transforms, Compose) or transforms.views > 1:
            return None
        indices = np.array(draws, dtype=np.int64) % len(self.dataset)
        images: Optional[np.ndarray] = None
        for start in range(0, len(draws), _CHUNK):
            if check_cancelled is not None:
                check_cancelled()
            part = slice(start, start + _CHUNK)
            small = self._vectorize.get(id(transforms))
            pixels = self.dataset.read_many(indices[part]) if small is not False else None
            if pixels is None:
                return None
            try:
                if small is None:
                    small = self.load_image(epoch, int(draws[0]), transforms).size <= _MAX_VECTORIZED_SIZE
                    self._vectorize[id(transforms)] = small
                if not small:
                    return None
                transformed = transforms.batch(
                    pixels, [sample_rng(self._seed, epoch, int(draw)) for draw in draws[part]]
                )
                _check_result(transformed[0])
            except (DataError, cv2.error):  # loaded one by one, the error names the image and the transform
                return None
            if images is None:
                images = allocate((len(draws), *transformed.shape[1:]))
            if transformed.shape[1:] != images.shape[1:]:
                return None
            images[part] = transformed
        return None if images is None else Batch(images, self.dataset.labels[indices], indices)

    def check_shape(self, first: int, expected: Tuple[int, ...], index: int, shape: Tuple[int, ...]) -> None:
        """Check that an image has the same shape as the first one of its batch.

        Raises:
            DataError: it has not.
        """
        if shape != expected:
            raise DataError(
                f"images of one batch differ in shape: {self.dataset.describe(first)} gives {list(expected)}, "
                f"{self.dataset.describe(index)} gives {list(shape)} ([C, H, W]); add a CropImage, or a ResizeImage "
                f"with size, to transform_ops"
            )


def _check_result(image: Any) -> None:
    if not isinstance(image, np.ndarray):
        raise DataError("is still an undecoded file after all transforms; add DecodeImage to transform_ops")
    if image.dtype != np.float32:
        raise DataError(f"is still {image.dtype} after all transforms; add NormalizeImage to transform_ops")
    if image.ndim not in (3, 4) or (image.shape[-3] not in (3, 4) and image.shape[-1] in (3, 4)):
        raise DataError(f"has the shape {list(image.shape)} after all transforms; end transform_ops with ToCHWImage")
