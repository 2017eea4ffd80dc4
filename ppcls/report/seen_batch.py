"""A batch as the model saw it: the one of a training that its report shows."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.config.schema import Config
from ppcls.data.loader import Batch
from ppcls.engine.inspection import label_text, pixels

SHOWN = 16  # images
_TRIES = 32  # batches that are looked at for a mixed one
_LEAST_SHARE = 0.1  # of the target: with less of another image, nothing is seen of it


class SeenBatch:
    """Images of the first batch of a training; of the first one that is mixed, if the recipe mixes images.

    Attributes:
        images: the pixels [H, W, 3] uint8 of up to 16 images, the mixed ones first, and their targets as text.
        mixed: how many of them are mixed.

    Args:
        config: the recipe.
    """

    def __init__(self, config: Config) -> None:
        train = config.DataLoader.Train
        self._config = config
        self._mixes = train is not None and bool(train.dataset.batch_transform_ops)
        self._looked_at = 0
        self._shown = 0  # the number of the batch, from 1
        self._failed = False
        self.images: List[Tuple[np.ndarray, str]] = []
        self.mixed = 0

    @property
    def is_complete(self) -> bool:
        """Whether no other batch has to be looked at."""
        if self._failed or not self._mixes:
            return self._failed or bool(self.images)
        return self.mixed > 0 or self._looked_at == _TRIES

    def look(self, batch: Batch, names: Optional[Sequence[str]]) -> bool:
        """Look at the next batch of training; return whether its images are shown.

        Args:
            names: of the classes.

        Raises:
            ConfigError: the recipe does not normalize images, so that their pixels are not known.
        """
        self._looked_at += 1
        if not len(batch.labels):
            return False
        mixed = mixed_rows(batch)
        if self.images and not mixed.any():
            return False
        rows = np.argsort(~mixed, kind="stable")[:SHOWN]
        self._failed = True  # until it is done: the next batch would fail in the same way
        self.images = [
            (pixels(self._config, "Train", batch.images[row]), label_text(batch, int(row), names)) for row in rows
        ]
        self._failed = False
        self.mixed = int(mixed[rows].sum())
        self._shown = self._looked_at
        return True

    @property
    def caption(self) -> str:
        """What the images are."""
        height, width = self.images[0][0].shape[:2]
        targets = "with their targets."
        if not self._mixes:
            return f"The first images of training, {width} x {height} pixels, after augmentation, {targets}"
        which = f"batch {self._shown}, the first one that was mixed" if self._shown > 1 else "the first batch"
        text = f"Images of {which}, {width} x {height} pixels, after augmentation and mixing, {targets} "
        if self.mixed:
            return f"{text}{self.mixed} of these {len(self.images)} are mixed with another image."
        batches = f"first {self._looked_at:,} batches" if self._looked_at > 1 else "first batch"
        return f"{text}The recipe mixes images, but none of the {batches} was mixed."


def mixed_rows(batch: Any) -> np.ndarray:
    """Return which images [B] have a target of a class that they were not of; smoothing is not mixing."""
    targets, labels = batch.targets, batch.labels
    if targets is None:
        return np.zeros(len(labels), bool)
    own = labels > 0 if labels.ndim == 2 else np.arange(targets.shape[1]) == labels[:, None]
    others = np.where(own, 0.0, targets).max(axis=1)
    smoothing = targets.min(axis=1) if targets.shape[1] > 2 else 0.0  # of two classes, one is the other
    return np.asarray(others - smoothing >= _LEAST_SHARE)
