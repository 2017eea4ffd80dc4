"""Samples, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.datasets.base import Dataset
from ppcls.data.transforms.compose import Compose
from ppcls.errors import DataError
from ppcls.utils.opencv import cv2

Skipped = Tuple[Tuple[int, str], ...]
Allocate = Callable[[Tuple[int, ...]], np.ndarray]
_AT_ONCE = 64  # images transformed together: more is no faster and takes more memory
_SMALL = 3 * 64 * 64  # numbers in an image; larger ones, many at once, leave the processor's caches and take longer


@dataclass(frozen=True)
class Batch:
    """What one step works on.

    Attributes:
        images: [B, C, H, W] float32.
        labels: [B] int64.
        indices: [B] int64, the samples that are in the batch.
        skipped: (index, message) of samples that could not be read, and were replaced.
        targets: [B, K] float32, shares of the classes in mixed images; None where nothing was mixed. Of a mixed image,
            ``labels`` has the class of the sample itself.
    """

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    skipped: Skipped = ()
    targets: Optional[np.ndarray] = None


def generator(seed: int, epoch: int, draw: int) -> np.random.Generator:
    """Return the random numbers of one draw in one epoch: the same in whichever process, whatever came before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch, draw))))


class Reader:
    """Makes images of samples.

    Args:
        dataset: where samples come from.
        transforms: called with what the data set gives and a random generator.
        seed: of the random transforms.
        skip: replace a sample that cannot be read by the next one that can.
    """

    def __init__(self, dataset: Dataset, transforms: Callable[..., Any], seed: int, skip: bool) -> None:
        self.dataset = dataset
        self._transforms = transforms
        self._seed = seed
        self._skip = skip
        self._small: Optional[bool] = None  # whether images in memory are transformed together; known after the first

    def image(self, epoch: int, draw: int) -> np.ndarray:
        """Return the image [C, H, W] float32 of a draw (see ``DistributedBatchSampler.batches``).

        Raises:
            DataError: it cannot be made; the message begins with the file's name.
        """
        index = draw % len(self.dataset)
        try:
            image = self._transforms(self.dataset.read(index), generator(self._seed, epoch, draw))
            _check_result(image)
        except DataError as error:
            raise DataError(f"{self.dataset.describe(index)}: {error}") from None
        return image

    def sample(self, epoch: int, draw: int, skipped: List[Tuple[int, str]]) -> Tuple[int, np.ndarray]:
        """Return (index, image) of a draw, or of the next good sample; what was skipped is added to ``skipped``.

        Raises:
            DataError: the sample is broken and may not be skipped, or all are.
        """
        count = len(self.dataset)
        repeat, index = divmod(draw, count)
        if not self._skip:
            return index, self.image(epoch, draw)
        for step in range(count):
            candidate = (index + step) % count
            try:
                return candidate, self.image(epoch, candidate + repeat * count)
            except DataError as error:
                skipped.append((candidate, str(error)))
        raise DataError(f"none of the {count} samples can be read; the first: {skipped[-count][1]}")

    def batch(
        self, epoch: int, draws: Sequence[int], allocate: Allocate, check: Optional[Callable[[], None]] = None
    ) -> Batch:
        """Return a batch, or a part of one.

        Args:
            allocate: gives the array of a shape that the images are written to.
            check: called before each sample or a few of them; it may raise to end the work.

        Raises:
            DataError: a sample is broken, or shapes differ.
        """
        together = self._together(epoch, draws, allocate, check)
        if together is not None:
            return together
        skipped: List[Tuple[int, str]] = []
        images, used = np.empty((0, 0, 0, 0), np.float32), np.empty(len(draws), dtype=np.int64)
        for position, draw in enumerate(draws):
            if check is not None:
                check()
            used[position], image = self.sample(epoch, int(draw), skipped)
            if not position:
                images = allocate((len(draws), *image.shape))
            self.check_shape(int(used[0]), images.shape[1:], int(used[position]), image.shape)
            images[position] = image
        return Batch(images, self.dataset.labels[used], used, tuple(skipped))

    def _together(
        self, epoch: int, draws: Sequence[int], allocate: Allocate, check: Optional[Callable[[], None]]
    ) -> Optional[Batch]:
        """Return a batch of images in memory, many transformed at once; None if they have to be taken one by one."""
        indices = np.array(draws, dtype=np.int64) % len(self.dataset)
        images: Optional[np.ndarray] = None
        for start in range(0, len(draws), _AT_ONCE):
            if check is not None:
                check()
            part = slice(start, start + _AT_ONCE)
            pixels = self.dataset.read_many(indices[part]) if self._small is not False else None
            if pixels is None or not isinstance(self._transforms, Compose):
                return None
            try:
                if self._small is None:
                    self._small = self.image(epoch, int(draws[0])).size <= _SMALL
                if not self._small:
                    return None
                made = self._transforms.batch(pixels, [generator(self._seed, epoch, int(draw)) for draw in draws[part]])
                _check_result(made[0])
            except (DataError, cv2.error):  # one by one, the message has the image's name and the transform's
                return None
            if images is None:
                images = allocate((len(draws), *made.shape[1:]))
            if made.shape[1:] != images.shape[1:]:
                return None
            images[part] = made
        return None if images is None else Batch(images, self.dataset.labels[indices], indices)

    def check_shape(self, first: int, expected: Tuple[int, ...], index: int, shape: Tuple[int, ...]) -> None:
        """Check that the images of two samples can be in one batch.

        Raises:
            DataError: their shapes differ.
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
    if image.ndim != 3 or (image.shape[0] != 3 and image.shape[2] == 3):
        raise DataError(f"has the shape {list(image.shape)} after all transforms; end transform_ops with ToCHWImage")
