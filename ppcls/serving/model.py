"""The model that is served: preprocessing, inference, answer."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np

from ppcls.data.transforms import build_transforms
from ppcls.inference import examples, seen_area
from ppcls.inference.description import PIXELS
from ppcls.inference.predictor import Predictor
from ppcls.serving import image_checks
from ppcls.serving.settings import Settings


class Model:
    """An exported model, opened.

    Attributes:
        backend, device, precision: those of the ``Predictor``.
        backend_label: these, for the log.
        topk: how many classes an answer has at most; None where that depends on the image.
        is_multilabel: whether an image may have any number of classes.
        examples: the pictures that were exported with it.
        channels_last: whether the model takes images [H, W, C] instead of [C, H, W].

    Raises:
        DataError: there is no export, it or an example is damaged, or it has no model for the backend.
        MachineError: the backend is not installed, or cannot use the device.
        ConfigError: ``topk`` for a model whose answers depend on thresholds.
    """

    def __init__(self, settings: Settings) -> None:
        self._predictor = Predictor(
            settings.model,
            settings.backend,
            settings.threads,
            settings.max_batch,
            settings.topk,
            device=settings.device,
            precision=settings.precision,
        )
        self.backend, self.device = self._predictor.backend, self._predictor.device
        self.precision, self.backend_label = self._predictor.precision, self._predictor.backend_label
        self.description = self._predictor.description
        self._transforms = build_transforms(self.description.transform_ops)
        self._max_pixels = settings.max_pixels
        self.name = self.description.name
        self._postprocess = self._predictor.pipeline.postprocess
        self.topk = self._postprocess.topk
        self.is_multilabel = self._postprocess.is_multilabel
        self.class_names = self.description.class_names
        self.examples: List[examples.Example] = examples.read(self.description)
        self.channels_last = self.description.input == PIXELS

    def warm_up(self, batch: int) -> None:
        """Run once with one image and once with a whole batch, so that the first requests are not slow."""
        for size in sorted({1, batch}):
            kind = np.uint8 if self.channels_last else np.float32
            self.run(np.zeros((size, *self.description.input_shape), kind))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] of a batch of preprocessed images; in one thread at a time."""
        return self._predictor.run(batch)

    def prepare(self, data: bytes) -> np.ndarray:
        """Return an encoded image, preprocessed; in any thread.

        Raises:
            DataError: the image cannot be used.
        """
        image_checks.check(data, self._max_pixels)
        return self._predictor.prepare(data)

    def preview(self, data: bytes) -> Optional[np.ndarray]:
        """Return an encoded image as the model sees it, [H, W, 3] uint8 RGB; None where that is no picture.

        Raises:
            DataError: the image cannot be used.
        """
        image_checks.check(data, self._max_pixels)
        return seen_area.picture(self._transforms, data)

    def answer(self, scores: np.ndarray, topk: Optional[int]) -> Dict[str, Any]:
        """Return {class_ids, scores, label_names} of probabilities [K], and what else the post-processing gives."""
        return (self._postprocess if topk is None else self._postprocess.with_topk(topk))(scores)

    def label(self, class_id: int) -> Optional[str]:
        """Return a class's name, None where names are not known."""
        return self.class_names[class_id] if self.class_names else None
